"""specutils reads MUSE and CALIFA cubes through our loaders."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import StdDevUncertainty

from quietspec.errors import ReadError

from . import layouts
from .layouts import N_PIXELS, NX, NY, SIGMA

specutils = pytest.importorskip("specutils")
import quietspec.io.loaders  # noqa: F401


@pytest.mark.parametrize(("label", "layout"), [("MUSE cube", layouts.muse), ("CALIFA cube", layouts.califa)])
@pytest.mark.parametrize("named", [True, False])
def test_cube_through_specutils(save, label, layout, named):
    hdus = layout()
    spectrum = specutils.Spectrum.read(save(hdus), **({"format": label} if named else {}))
    assert spectrum.shape == (N_PIXELS, NY, NX)
    assert isinstance(spectrum.uncertainty, StdDevUncertainty)
    good = ~spectrum.mask
    np.testing.assert_allclose(spectrum.flux.value[good], layouts.spectra()[good], rtol=1e-6)
    np.testing.assert_allclose(spectrum.uncertainty.array[good], SIGMA, rtol=1e-5)
    first, step = (4750, 1.25) if label == "MUSE cube" else (3701, 2)
    np.testing.assert_allclose(spectrum.spectral_axis.to_value(u.AA), first + step * np.arange(N_PIXELS), rtol=1e-9)
    assert spectrum.wcs.has_celestial
    assert spectrum.flux.unit.is_equivalent(u.erg / (u.s * u.cm**2 * u.AA))


def test_other_files_are_left_to_others(save):
    from astropy.io import registry

    def labels(path):
        return registry.identify_format("read", specutils.Spectrum, str(path), None, [], {})

    assert "MUSE cube" in labels(save(layouts.muse(), "a.fits"))
    assert not {"MUSE cube", "CALIFA cube"} & set(labels(save(layouts.sami(), "b.fits")))
    assert "CALIFA cube" not in labels(save(layouts.califa(stacked=True), "c.fits"))


def test_a_stack_is_no_cube(save):
    with pytest.raises(ReadError, match="is not a cube"):
        specutils.Spectrum.read(save(layouts.califa(stacked=True)), format="CALIFA cube")
