"""Ratios, dust, classes and star formation from the joint posterior of lines."""

import numpy as np
import pytest

from quietspec.lines.diagnostics import (
    balmer_attenuation,
    bpt_classes,
    log_ratio,
    sfr_density,
    whan_classes,
)

from .line_posteriors import posterior

SHARP = 1e-4


def lines_of(nii, oiii, halpha=2.86, error=SHARP, **options):
    """Lines with Hβ 1, and log [NII]/Hα and log [OIII]/Hβ given."""
    fluxes = {"Hbeta": [1.0], "Halpha": [halpha], "[NII]6583": [halpha * 10**nii], "[OIII]5007": [10**oiii]}
    return posterior(fluxes, {name: [error] for name in fluxes}, **options)


def rng():
    return np.random.default_rng(3)


def test_a_well_measured_ratio():
    np.testing.assert_allclose(log_ratio(lines_of(-0.5, 0.0), "[NII]6583", "Halpha", rng()), [[-0.5] * 3], atol=1e-3)


def test_a_ratio_with_nothing_above_has_an_open_end():
    low, middle, high = log_ratio(
        posterior({"[NII]6583": [0.0], "Halpha": [10.0]}, {"[NII]6583": [1.0], "Halpha": [0.1]}),
        "[NII]6583", "Halpha", rng(),
    )[0]  # fmt: skip
    assert low == -np.inf
    assert middle <= high < -0.8


def test_the_error_of_a_ratio_is_that_of_the_fluxes():
    low, _, high = log_ratio(
        posterior({"Halpha": [10.0], "Hbeta": [10.0]}, {"Halpha": [1.0], "Hbeta": [1e-3]}),
        "Halpha",
        "Hbeta",
        rng(),
        4000,
    )[0]
    assert (high - low) / 2 == pytest.approx(0.1 / np.log(10), rel=0.06)


@pytest.mark.parametrize("a_v", [0.0, 1.0, 3.0])
def test_attenuation_undoes_what_dust_does(a_v):
    from astropy import units as u
    from dust_extinction.parameter_averages import G23

    red, blue = (float(G23(Rv=3.1)(x * u.AA)) for x in (6562.80, 4861.33))
    halpha = 2.86 * 10 ** (-0.4 * a_v * (red - blue))
    np.testing.assert_allclose(balmer_attenuation(lines_of(-0.5, 0.0, halpha), rng()), [[a_v] * 3], atol=5e-3)


@pytest.mark.parametrize(
    ("nii", "oiii", "kind"),
    [(-0.8, 0.0, "star-forming"), (-0.15, 0.0, "composite"), (0.1, 1.0, "Seyfert"), (0.2, 0.3, "LINER")],
)
def test_bpt_classes(nii, oiii, kind):
    found = bpt_classes(lines_of(nii, oiii), rng())
    assert found[kind][0] == 1
    assert sum(found.values())[0] == pytest.approx(1)


def test_noisy_lines_have_probabilities():
    found = bpt_classes(lines_of(-0.35, 0.0, error=0.3), rng())
    assert 0.05 < found["star-forming"][0] < 0.95
    assert sum(found.values())[0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("nii", "width", "kind"),
    [
        (-0.6, 20, "star-forming"), (0.0, 20, "strong AGN"), (0.0, 4, "weak AGN"), (0.0, 1.5, "retired"),
        (0.0, 0.2, "passive"),
    ],
)  # fmt: skip
def test_whan_classes(nii, width, kind):
    continuum = 2.86 / width / 1.05
    found = whan_classes(lines_of(nii, 0.0, continuum=continuum), rng())
    assert found[kind][0] == 1
    assert sum(found.values())[0] == pytest.approx(1)


def test_classes_without_the_lines_are_unknown():
    lines = posterior({"Halpha": [1.0]}, {"Halpha": [0.1]})
    assert np.isnan(bpt_classes(lines, rng())["LINER"]).all()
    assert np.isnan(whan_classes(lines, rng())["passive"]).all()


def test_star_formation_of_a_square_kiloparsec():
    # 1 M☉/yr is 10^41.27 erg/s; seen from 10 Mpc a square kpc covers (1/10⁴ rad)².
    luminosity, distance = 10**41.27, 10 * 3.0857e24
    flux = luminosity / (4 * np.pi * distance**2)
    area = (1e-4 * 180 / np.pi * 3600) ** 2
    lines = posterior(
        {"Halpha": [flux], "Hbeta": [flux / 2.86]}, {"Halpha": [flux * SHARP], "Hbeta": [flux * SHARP]}, 0.0
    )
    np.testing.assert_allclose(sfr_density(lines, area, 1.0, rng()), [[0.0] * 3], atol=2e-3)
