"""Simulated cubes on disk: read back as MUSE, with the noise that they quote, independent of the block size."""

import numpy as np
import pytest

from quietspec.errors import WriteError
from quietspec.io import open_spectra
from quietspec.lab.simulate import cubes
from quietspec.lab.simulate.cubes import SimulatedCube


@pytest.fixture(scope="module")
def cube(tiny_library):
    return SimulatedCube.draw(tiny_library, (7, 5), seed=1, n_populations=4, snr=(2.0, 20.0))


def test_it_is_read_as_muse_and_its_errors_are_right(cube, tmp_path):
    cube.write(tmp_path / "cube.fits")
    with open_spectra(tmp_path / "cube.fits", redshift=cube.redshift) as source:
        spectra = source.read()
    assert source.survey == "MUSE"
    assert spectra.spatial_shape == (7, 5)
    assert spectra.flux.shape == (35, 3681)
    assert spectra.good.all()
    noiseless = cube.spectra[cube.population] * cube.brightness[:, None]
    pull = (spectra.flux - noiseless) * np.sqrt(spectra.ivar)
    assert pull.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(pull[:, 1:].ravel(), pull[:, :-1].ravel())[0, 1] == pytest.approx(0.25, abs=0.03)


def test_signal_falls_outwards_between_the_limits(cube):
    sky = np.median(cubes._sigma(cubes.INSTRUMENTS["MUSE"]))
    snr = (cube.brightness / sky).reshape(7, 5)
    assert snr[3, 2] == pytest.approx(20)
    assert snr[0, 0] == pytest.approx(2)
    assert (np.diff(snr[3, 2:]) < 0).all()
    # Without gas, spectra have mean 1 over the pixels that the templates cover; beyond, their last value is repeated.
    np.testing.assert_allclose(np.median(cube.spectra, axis=1), 1, rtol=0.4)


def test_a_cube_does_not_depend_on_how_much_is_written_at_once(cube, tmp_path, monkeypatch):
    cube.write(tmp_path / "whole.fits")
    monkeypatch.setattr(cubes, "_VALUES_AT_ONCE", 1)
    cube.write(tmp_path / "lines.fits")
    assert (tmp_path / "whole.fits").read_bytes() == (tmp_path / "lines.fits").read_bytes()


def test_an_existing_file_is_kept(cube, tmp_path):
    (tmp_path / "cube.fits").write_text("mine")
    with pytest.raises(WriteError, match="exists already"):
        cube.write(tmp_path / "cube.fits")
    assert (tmp_path / "cube.fits").read_text() == "mine"
