"""Nuclei: their share of the light, their lines and their continua."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.errors import TemplateError
from quietspec.lab.simulate.kinematics import log_wavelengths
from quietspec.lab.simulate.nucleus import NucleusPrior, NucleusRecipe, read_iron
from quietspec.wavelengths import in_window

WAVELENGTH = log_wavelengths(3440.0, 9440.0, 50.0)
IRON = {"b4F": np.array([[4549.5, 1.0], [4583.8, 1.3]]), "a4G": np.array([[5316.6, 1.0]])}
ALL = NucleusPrior(fraction=1.0, hidden=0.0, lineless=0.0)


def drawn(prior, n=60, seed=0):
    return NucleusRecipe(WAVELENGTH, IRON, prior).draw(np.ones((n, len(WAVELENGTH))), np.random.default_rng(seed))


def test_shares_are_those_of_the_light_at_5000():
    nucleus, share = drawn(ALL)
    light = nucleus[:, in_window(WAVELENGTH, (4980, 5020))].mean(axis=1)
    np.testing.assert_allclose(share, light / (1 + light), rtol=1e-5)
    assert share.min() > 0.009
    assert share.max() < 0.86
    assert np.isfinite(nucleus).all()


def test_only_some_galaxies_have_one():
    nucleus, share = drawn(replace(ALL, fraction=0.3), 1000)
    assert 0.25 < np.mean(share > 0) < 0.35
    np.testing.assert_array_equal(nucleus.any(axis=1), share > 0)


def test_a_nucleus_without_lines_is_a_power_law():
    nucleus, _ = drawn(replace(ALL, lineless=1.0, balmer_continuum=(0.0, 0.0)))
    logarithm = np.log(nucleus)
    slope = np.diff(logarithm, axis=1) / np.diff(np.log(WAVELENGTH))
    assert np.ptp(slope, axis=1).max() < 2e-2
    assert np.std(slope.mean(axis=1)) > 0.4


def test_lines_have_their_width_and_equivalent_width():
    prior = replace(ALL, width=(3000.0, 3000.0), ew_hbeta=(50.0, 50.0), iron=(1e-6, 1e-6), shift=0.0)
    nucleus, _ = drawn(prior, 40)
    near = in_window(WAVELENGTH, (4650.0, 5080.0))
    edges = nucleus[:, near][:, [0, -1]].mean(axis=1)
    excess = nucleus[:, near] / edges[:, None] - 1
    width = np.trapezoid(excess, WAVELENGTH[near], axis=1)
    assert 35 < np.median(width) < 60
    peak = WAVELENGTH[near][excess.argmax(axis=1)]
    np.testing.assert_allclose(peak, 4861.3, atol=12)


def test_hidden_nuclei_are_lines_alone():
    nucleus, _ = drawn(replace(ALL, hidden=1.0, width=(2000.0, 2000.0)))
    between = in_window(WAVELENGTH, (8000.0, 8200.0))
    halpha = in_window(WAVELENGTH, (6500.0, 6630.0))
    assert np.all(nucleus[:, between].max(axis=1) < 0.02 * nucleus[:, halpha].max(axis=1))


def test_the_balmer_continuum_ends_at_its_edge():
    prior = replace(ALL, slope=(0.0, 0.0), ew_hbeta=(1e-3, 1e-3), balmer_continuum=(0.5, 0.5))
    nucleus, _ = drawn(prior, 20)
    below, above = (nucleus[:, in_window(WAVELENGTH, limits)].mean(axis=1) for limits in ((3500, 3600), (3800, 3900)))
    assert np.all(below > 1.2 * above)


def test_iron_lines_are_read_by_term(tmp_path):
    path = tmp_path / "iron.csv"
    path.write_text("ime,wav,Int\nb4F,4549.474,1.0\nb4F,4583.837,1.34\na4G,5316.615,1.0\n")
    found = read_iron(path)
    assert list(found) == ["b4F", "a4G"]
    np.testing.assert_allclose(found["b4F"], [[4549.474, 1.0], [4583.837, 1.34]])
    path.write_text("wavelength\n1\n")
    with pytest.raises(TemplateError, match="quietspec fetch iron"):
        read_iron(path)


def test_lines_of_the_ultraviolet_are_drawn_where_the_spectrum_begins_there():
    wavelength = log_wavelengths(2080.0, 7060.0, 50.0)
    prior = replace(ALL, width=(3000.0, 3000.0), ew_hbeta=(50.0, 50.0), shift=0.0, balmer_continuum=(0.0, 0.0))
    nucleus, _ = NucleusRecipe(wavelength, IRON, prior).draw(np.ones((60, len(wavelength))), np.random.default_rng(1))
    assert np.isfinite(nucleus).all()
    peak, beside = (nucleus[:, in_window(wavelength, band)].mean(axis=1) for band in ((2780, 2820), (2850, 2880)))
    assert np.median(peak / beside) > 1.2  # Mg II
    iron, gap = (nucleus[:, in_window(wavelength, band)].mean(axis=1) for band in ((2540, 2620), (2640, 2670)))
    assert np.median(iron / gap) > 1.0
