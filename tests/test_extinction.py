"""Reddening by the Milky Way: the law's properties, and what `Spectra` keeps of it."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietspec.errors import SpectraError
from quietspec.extinction import SFD_SCALE, scaled_ebv, transmission
from quietspec.spectra import Spectra

WAVELENGTH = np.linspace(3500.0, 10_000.0, 300)


@settings(deadline=None)  # the first call loads the law
@given(st.floats(0, 3), st.floats(0, 3))
def test_screens_multiply(first, second):
    product = transmission(WAVELENGTH, first) * transmission(WAVELENGTH, second)
    np.testing.assert_allclose(product, transmission(WAVELENGTH, first + second), rtol=1e-10)


def test_blue_light_is_dimmed_more_and_the_colour_excess_is_as_named():
    passed = transmission(WAVELENGTH, 0.5)
    assert np.all(np.diff(passed) > 0)
    blue, visual = -2.5 * np.log10(transmission(np.array([4400.0, 5500.0]), 0.5))
    assert visual == pytest.approx(3.1 * 0.5, rel=0.02)
    assert blue - visual == pytest.approx(0.5, rel=0.06)


def test_no_dust_takes_nothing_and_loads_no_law():
    np.testing.assert_array_equal(transmission(WAVELENGTH, [0.0, 0.0]), np.ones((2, 300)))
    program = (
        "import sys, quietspec.io, quietspec.denoisers\n"
        "from quietspec.extinction import transmission\n"
        "transmission([5000.0], 0.0)\n"
        "sys.exit('dust_extinction' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_wavelengths_beyond_the_law_take_its_ends():
    low, end, high = transmission(np.array([100.0, 912.0, 1e7]), 0.1)
    assert low == end
    assert 0.99 < high <= 1


@pytest.mark.parametrize("ebv", [-0.1, np.nan, np.inf])
def test_impossible_colour_excesses_are_refused(ebv):
    with pytest.raises(ValueError, match="finite and at least 0"):
        transmission(WAVELENGTH, ebv)


def test_maps_of_1998_are_brought_to_the_colours_of_stars():
    assert scaled_ebv(None) is None
    assert scaled_ebv([0.1, 0.2]).tolist() == pytest.approx([0.1 * SFD_SCALE, 0.2 * SFD_SCALE])


def spectra(**fields):
    shape = (4, 300)
    return Spectra.from_arrays(WAVELENGTH, np.ones(shape), 0.1, medium="air", redshift=0.02, **fields)


def test_spectra_keep_it_through_selections():
    assert not spectra().ebv.any()
    assert spectra(ebv=0.1).ebv.tolist() == [0.1] * 4
    four = spectra(ebv=[0.0, 0.1, 0.2, 0.3], spatial_shape=(2, 2))
    assert four[1:3].ebv.tolist() == [0.1, 0.2]
    assert four[:, 1:].ebv.tolist() == [0.1, 0.3]
    assert four.between(4000, 5000).with_redshift(0.1).ebv.tolist() == [0.0, 0.1, 0.2, 0.3]
    assert "E(B−V) 0–0.3" in repr(four)
    assert "E(B−V)" not in repr(spectra())


@pytest.mark.parametrize(("ebv", "message"), [(-0.1, "at least 0"), (np.nan, "finite"), ([0.1, 0.2], "shape")])
def test_spectra_refuse_what_cannot_be_one(ebv, message):
    with pytest.raises(SpectraError, match=rf"Spectra.ebv: .*{message}"):
        spectra(ebv=ebv)
