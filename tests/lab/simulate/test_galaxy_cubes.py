"""Cubes made of parts: seeing mixes light, labels are those of the mixture, noise is correlated, features are found."""

from dataclasses import replace

import numpy as np
import pytest

from quietspec.lab.simulate import WORLDS, CubeSetup, Star, World, simulate_cube, world
from quietspec.lab.simulate.cube_worlds import Stripes
from quietspec.lab.simulate.galaxy import Population
from quietspec.lab.simulate.galaxy_cube import best_gaussian, line_strengths, near
from quietspec.lab.simulate.kinematics import FourierLibrary, Losvd, log_wavelengths, losvd_transform
from quietspec.lab.simulate.sky import Sky, boundary, random_field
from quietspec.lab.simulate.sky_parts import Blob, Bulge, Disc, GasDisc, Ring, Rotation
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT, rest_air

SETUP = CubeSetup(shape=(9, 10), limits=(4200.0, 5400.0))
CALM = {"emission": False, "calibration_error": False, "masks": False, "spikes": False, "noise_spread": False}


def cube_of(library, parts, setup=SETUP, seed=1, star=None, **switches):
    galaxy = World(parts if isinstance(parts, dict) else {"part": parts}, star)
    return simulate_cube(library, galaxy, setup, np.random.default_rng(seed), **CALM | switches)


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_is_a_cube_with_its_truth(tiny_library, name):
    rng = np.random.default_rng(2)
    cube = simulate_cube(tiny_library, world(name, rng), SETUP, rng)
    observed, truth = cube.simulated.observed, cube.simulated.truth
    assert observed.spatial_shape == cube.shape == SETUP.shape
    assert observed.wcs.pixel_n_dim == 2
    assert observed.wavelength[0] >= 4200
    assert observed.wavelength[-1] <= 5400
    assert truth.shape == observed.flux.shape
    assert np.isfinite(truth).all()
    assert all(np.isfinite(values).all() for values in cube.simulated.parameters.values())
    expected = {
        "smooth": {"companion"}, "clumps": {"clump", "ring"}, "step": {"step", "edge"}, "core": {"core"},
        "spiral": {"arms", "companion"}, "patchy": {"clump", "edge"},
    }  # fmt: skip
    assert cube.regions.keys() == expected[name] | {"border"}
    assert all(inside.any() for inside in cube.regions.values())
    assert cube.shares.keys() == expected[name] & {"companion"} | ({"star"} if name in ("core", "patchy") else set())


def test_an_unknown_world_is_refused():
    with pytest.raises(ValueError, match="'flat'; there are smooth, clumps"):
        world("flat", np.random.default_rng(0))


def test_snr_falls_outwards_from_the_given_one(tiny_library):
    cube = cube_of(tiny_library, Disc(), replace(SETUP, shape=(15, 15), snr=40.0))
    snr = cube.simulated.observed.image(cube.simulated.parameters["snr"])
    assert snr.max() == pytest.approx(40)
    assert np.unravel_index(snr.argmax(), snr.shape) == (7, 7)
    assert snr[0, 0] < 4
    assert np.all(np.diff(snr[7, 7:]) < 0)


def test_light_of_parts_adds_up(tiny_library):
    disc, bulge = Disc(), Bulge()
    one, other, both = (cube_of(tiny_library, parts) for parts in (disc, bulge, {"disc": disc, "bulge": bulge}))
    np.testing.assert_allclose(one.simulated.truth + other.simulated.truth, both.simulated.truth, rtol=2e-3)
    a_v = both.simulated.parameters["a_v"]
    assert np.all((a_v > bulge.a_v) & (a_v < disc.a_v))


def test_even_stars_have_their_own_labels_everywhere(tiny_library):
    stars = Population(9.3, -0.5, log_age_scatter=0.0, mh_scatter=0.0)
    disc = Disc(population=stars, rotation=Rotation(speed=0.0), sigma=(90.0, 90.0))
    parameters = cube_of(tiny_library, disc).simulated.parameters
    for name, value in {"log_age_mw": 9.3, "mh_mw": -0.5, "a_v": 0.4, "velocity": 0.0, "sigma": 90.0}.items():
        np.testing.assert_allclose(parameters[name], value, rtol=2e-3, atol=1e-6, err_msg=name)


def test_seeing_mixes_light_and_not_labels(tiny_library):
    """Spaxels of the bright side of a step move towards it, and the dispersion grows where both sides meet."""
    still = Rotation(speed=0.0, step=300.0, step_at=(0.0, 0.0))
    cube = cube_of(tiny_library, Disc(rotation=still, sigma=(40.0, 40.0)), replace(SETUP, shape=(9, 21)))
    image = cube.simulated.observed.image
    velocity, sigma = image(cube.simulated.parameters["velocity"])[4], image(cube.simulated.parameters["sigma"])[4]
    np.testing.assert_allclose(velocity[[0, -1]], [-150, 150], atol=1)
    np.testing.assert_allclose(sigma[[0, -1]], 40, atol=1)
    assert abs(velocity[10]) < 1
    assert sigma[10] > 120
    assert image(cube.regions["step"])[4].tolist() == [abs(column - 10) <= 3 for column in range(21)]


def test_stripes_keep_the_contrast_that_seeing_leaves(tiny_library):
    seeing, period = 2.5, 10.0
    setup = replace(SETUP, shape=(6, 40), seeing=seeing)
    stripes = Stripes(period / 20, amplitude=0.1, angle=0.0)
    found = cube_of(tiny_library, stripes, setup).simulated.parameters["mh_lw"].reshape(6, 40)[3, 10:30]
    phase = 2 * np.pi * np.arange(20) / period
    contrast = abs(np.mean(found * np.exp(1j * phase))) * 2
    expected = np.exp(-2 * (np.pi * seeing / FWHM_PER_SIGMA / period) ** 2) * np.sinc(1 / period)
    unblurred = cube_of(tiny_library, Stripes(200.0, 0.1), setup).simulated.parameters["mh_lw"]
    assert np.ptp(unblurred) < 0.01
    assert contrast == pytest.approx(0.1 * expected, rel=0.06)  # light varies a little with [M/H]


def test_noise_of_neighbours_is_correlated_and_quoted_errors_are_right_for_single_spaxels(tiny_library):
    cube = cube_of(tiny_library, Disc(), replace(SETUP, shape=(12, 12), drizzle=0.4)).simulated
    pull = ((cube.observed.flux - cube.truth) * np.sqrt(cube.observed.ivar)).reshape(12, 12, -1)
    assert pull.std() == pytest.approx(1, abs=0.02)
    assert np.mean(pull[1:] * pull[:-1]) == pytest.approx(0.4, abs=0.03)
    assert np.mean(pull[:, 1:] * pull[:, :-1]) == pytest.approx(0.4, abs=0.03)
    assert np.mean(pull[3:] * pull[:-3]) == pytest.approx(0, abs=0.03)


def test_missing_spaxels_have_no_data_and_border_the_field(tiny_library):
    missing = np.zeros(SETUP.shape, dtype=bool)
    missing[4, 5] = True
    setup = replace(SETUP, missing=missing, seeing=1.0)
    cube = cube_of(tiny_library, Disc(), setup)
    np.testing.assert_array_equal(~cube.observed_spaxels.reshape(SETUP.shape), missing)
    border = cube.regions["border"].reshape(SETUP.shape)
    assert border[4, 4]
    assert border[0].all()
    assert not border[2, 2]


def test_a_star_is_a_point_at_rest_in_front(tiny_library):
    star = Star(place=(0.4, -0.2), light=3.0, log_age=8.0)
    setup = replace(SETUP, shape=(11, 11))
    with_star, without = (cube_of(tiny_library, Disc(), setup, star=one) for one in (star, None))
    added = (with_star.simulated.truth - without.simulated.truth).reshape(11, 11, -1)
    assert np.unravel_index(added.mean(axis=2).argmax(), (11, 11)) == (4, 7)
    assert with_star.shares["star"].reshape(11, 11)[4, 7] > 0.3
    assert with_star.foreign().sum() < 40
    assert not without.foreign().any()
    wavelength = rest_air(with_star.simulated.observed.wavelength, 0.0, "vacuum")
    hydrogen = np.abs(wavelength - EMISSION_LINES["Hbeta"]) < 10
    beside = (np.abs(wavelength - EMISSION_LINES["Hbeta"]) > 20) & (np.abs(wavelength - EMISSION_LINES["Hbeta"]) < 30)
    assert added[4, 7, hydrogen].min() < 0.8 * added[4, 7, beside].mean()
    assert added.mean(axis=2).sum() == pytest.approx(3 * without.simulated.truth.mean(axis=1).max(), rel=0.01)


def test_a_companion_has_its_own_velocity(tiny_library):
    companion = Blob(light=3.0, size=0.15, place=(0.5, 0.5), velocity=1000.0, kind="companion")
    disc = Disc(rotation=Rotation(speed=0.0))
    cube = cube_of(tiny_library, {"disc": disc, "companion": companion}, replace(SETUP, shape=(15, 15)))
    velocity, share = cube.simulated.parameters["velocity"], cube.shares["companion"]
    np.testing.assert_allclose(velocity[share > 0.8], 1000, atol=1)
    np.testing.assert_allclose(velocity[share < 0.2], 0, atol=1)
    assert cube.regions["companion"][share > 0.5].all()


def test_gas_is_in_the_flux_and_not_in_the_truth(tiny_library):
    setup = replace(SETUP, limits=(6600.0, 7000.0), snr=1e5, redshift=0.03)
    ring = {"disc": Disc(ew_halpha=0.0), "ring": Ring(light=2.0, radius=0.5, width=0.1, ew_halpha=80.0, kind="ring")}
    lit, dark = (cube_of(tiny_library, ring, setup, emission=on).simulated for on in (True, False))
    np.testing.assert_array_equal(lit.truth, dark.truth)
    line = np.abs(rest_air(lit.observed.wavelength, 0.03, "vacuum") - EMISSION_LINES["Halpha"]) < 4
    assert (lit.observed.flux - lit.truth)[:, line].max() > 0.5 * lit.truth.max()
    assert lit.contaminated[:, line].any()
    assert not dark.contaminated.any()


def test_shuffling_moves_spaxels_with_all_that_is_known_of_them(tiny_library):
    cube = cube_of(tiny_library, {"disc": Disc(), "clump": Blob()}, star=Star())
    shuffled = cube.shuffled(np.random.default_rng(3))
    assert shuffled.shape == cube.shape
    assert shuffled.simulated.observed.wcs is cube.simulated.observed.wcs
    order = [int(np.flatnonzero((cube.simulated.truth == row).all(axis=1))[0]) for row in shuffled.simulated.truth]
    assert sorted(order) == list(range(90))
    assert order != list(range(90))
    np.testing.assert_array_equal(shuffled.simulated.observed.flux, cube.simulated.observed.flux[order])
    np.testing.assert_array_equal(shuffled.simulated.parameters["mh_lw"], cube.simulated.parameters["mh_lw"][order])
    np.testing.assert_array_equal(shuffled.regions["clump"], cube.regions["clump"][order])
    np.testing.assert_array_equal(shuffled.shares["star"], cube.shares["star"][order])


def test_the_seed_determines_all_draws(tiny_library):
    patchy = Disc(patchiness=0.3)
    one, two, other = (cube_of(tiny_library, patchy, seed=seed).simulated for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.observed.flux, two.observed.flux)
    assert not np.array_equal(one.parameters["log_age_mw"], other.parameters["log_age_mw"])


def test_a_patchy_disc_varies_by_what_is_asked(tiny_library):
    sky, rng = Sky.over((60, 60), 0, 2), np.random.default_rng(5)
    smooth, patchy = (Disc(patchiness=dex, patch=0.05).layer(sky, rng) for dex in (0.0, 0.3))
    assert np.std(patchy.log_age - smooth.log_age) == pytest.approx(0.3, rel=0.15)
    assert np.std(patchy.mh - smooth.mh) == pytest.approx(0.21, rel=0.15)
    np.testing.assert_array_equal(patchy.light, smooth.light)


def test_arms_are_young_and_bright():
    sky = Sky.over((40, 40), 0, 1)
    layer, calm = (Disc(arms=arms).layer(sky, np.random.default_rng(0)) for arms in (0.6, 0.0))
    bright = layer.light > 1.4 * calm.light
    assert 0.1 < bright.mean() < 0.5
    assert np.all(layer.log_age[bright] < calm.log_age[bright] - 0.2)
    assert np.all(layer.ew_halpha[bright] > calm.ew_halpha[bright])


def test_random_fields_are_alike_over_their_length():
    rng = np.random.default_rng(6)
    rough, smooth = (np.stack([random_field((64, 64), length, rng) for _ in range(20)]) for length in (1.0, 6.0))
    for drawn in (rough, smooth):
        assert drawn.mean() == pytest.approx(0, abs=1e-9)
        assert drawn.std() == pytest.approx(1, rel=0.1)
    lag = [np.mean(drawn[:, 4:] * drawn[:, :-4]) for drawn in (rough, smooth)]
    assert lag[0] < 0.3
    assert lag[1] > 0.6


@pytest.mark.parametrize(("velocity", "sigma"), [(0.0, 30.0), (250.0, 80.0), (-400.0, 200.0)])
def test_the_best_gaussian_of_a_gaussian_is_itself(velocity, sigma):
    grid = np.arange(-1500, 1500, 10.0)
    losvd = np.exp(-0.5 * ((grid - velocity) / sigma) ** 2)[None]
    np.testing.assert_allclose(np.ravel(best_gaussian(grid, 3 * losvd)), [velocity, sigma], rtol=1e-3, atol=1e-3)


def test_the_best_gaussian_of_gauss_hermite_losvds_has_their_velocity_and_dispersion():
    """So labels of mixtures and those of the recipes mean the same."""
    grid, given = np.arange(-2000, 2000, 10.0), Losvd(*(np.array([value]) for value in (60.0, 120.0, 0.1, 0.05)))
    frequency = 2 * np.pi * np.fft.rfftfreq(len(grid), d=10.0)
    transform = losvd_transform(frequency, given) * np.exp(1j * frequency * grid[0])
    losvd = np.fft.irfft(transform, n=len(grid), axis=1)
    np.testing.assert_allclose(np.ravel(best_gaussian(grid, losvd)), [60, 120], rtol=5e-3)


@pytest.mark.parametrize("widths", [(80.0, 110.0), (110.0, 80.0)])
def test_the_dispersion_of_a_mixture_is_that_by_which_one_losvd_fits_its_spectrum(tiny_library, widths):
    grid = log_wavelengths(4200.0, 5400.0, 50.0)
    library = tiny_library.at(grid)
    weights = np.zeros((2, library.n_ssp))
    weights[0, library.log_age.argmin()] = weights[1, library.log_age.argmax()] = 1
    weights /= (weights @ library.light())[:, None]
    fourier, inner = FourierLibrary(library.spectra, 50.0), slice(40, -40)

    def broadened(sigma, of):
        none = np.zeros(len(of))
        return fourier.mix(of, Losvd(none, none + sigma, none, none))[:, inner].astype(float)

    seen = broadened(widths, weights).sum(axis=0)
    tried = np.arange(75.0, 115.0, 0.25)
    misfit = [np.sum((broadened(sigma, weights.sum(axis=0)[None])[0] - seen) ** 2) for sigma in tried]
    velocity = np.arange(-800, 801, 10.0)
    parts = np.exp(-0.5 * (velocity / np.array(widths)[:, None]) ** 2) / np.array(widths)[:, None]
    of_lines, of_light = (
        best_gaussian(velocity, (strength[:, None] * parts).sum(axis=0)[None])[1][0]
        for strength in (line_strengths(library.spectra, weights), np.ones(2))
    )
    best = tried[np.argmin(misfit)]
    assert abs(of_lines - best) < 0.5 * abs(of_light - best)


def test_an_empty_losvd_has_no_gaussian():
    assert np.isnan(best_gaussian(np.arange(-100.0, 101.0, 10.0), np.zeros((1, 21)))).all()


def test_what_is_near():
    places = np.zeros((5, 5), dtype=bool)
    assert not near(places, 3).any()
    places[2, 2] = True
    assert near(places, 1).sum() == 5
    left = np.indices((5, 5))[1] < 2
    np.testing.assert_array_equal(boundary(left).any(axis=0), [False, True, True, False, False])


def test_rotation_is_that_of_an_inclined_disc():
    sky = Sky.over((41, 41), 0, 1)
    velocity = Rotation(speed=200.0, axis_ratio=0.6, angle=90.0).velocity(sky)
    np.testing.assert_allclose(velocity, -velocity[::-1], atol=1e-9)
    assert velocity[-1, 20] > 100
    assert velocity.max() < 200 * 0.8
    assert np.abs(velocity).max() / SPEED_OF_LIGHT < 1e-3


def test_gas_may_move_apart_from_the_stars_which_stay_the_same(tiny_library):
    made = {gas: world("step", np.random.default_rng(6), gas=gas) for gas in (False, True)}
    assert made[True].parts == made[False].parts
    gas = made[True].gas
    assert isinstance(gas, GasDisc)
    rotation = Rotation(speed=-200.0, angle=20.0)
    galaxy = World(
        {"disc": Disc(rotation=replace(rotation, speed=200.0))}, gas=replace(gas, rotation=rotation, edge=0.6)
    )
    setup = replace(SETUP, limits=(6300.0, 7000.0), seeing=1.2, snr=3000.0)
    cube = simulate_cube(tiny_library, galaxy, setup, np.random.default_rng(7), **CALM | {"emission": True})
    found = cube.simulated.parameters
    seen = found["halpha"] > 0.1 * found["halpha"].max()
    assert 0 < seen.sum() < len(seen)
    assert np.corrcoef(found["gas_velocity"][seen], found["velocity"][seen])[0, 1] < -0.95
    assert np.all(found["gas_sigma"][seen] > 0.95 * min(gas.sigma))
    observed = cube.simulated.observed
    near = np.abs(rest_air(observed.wavelength, 0.03, observed.medium) - EMISSION_LINES["Halpha"]) < 9
    line = (observed.flux - cube.simulated.truth)[:, near] @ np.gradient(observed.wavelength)[near]
    assert line[seen] == pytest.approx(found["halpha"][seen], rel=0.05)


def test_without_emission_there_is_no_halpha(tiny_library):
    assert not cube_of(tiny_library, Disc()).simulated.parameters["halpha"].any()
