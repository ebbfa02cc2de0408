"""What is written comes back the same by every reader, and a file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.errors import WriteError
from quietspec.io import read
from quietspec.io.writing.hdus import IGNORED, INPUT_MASKED, NO_ESTIMATE
from quietspec.io.writing.writer import DenoisedWriter, write
from quietspec.spectra import Spectra

NY, NX, N_PIXELS = 3, 4, 120
N_SPECTRA = NY * NX
PIXELS = np.arange(N_PIXELS)
AXES = {
    "linear": 4750 + 1.25 * PIXELS,
    "logarithmic": 3622 * 10 ** (1e-4 * PIXELS),
    "two arms": np.r_[3650 + 1.05 * PIXELS[:60], 6240 + 0.596 * PIXELS[:60]],
}


def sky() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [63.36, 10.47]
    wcs.wcs.crpix = [2, 3]
    wcs.wcs.cd = [[-5e-5, 1e-5], [1e-5, 5e-5]]
    return wcs


def denoised(axis: str = "linear", cube: bool = True, scale: float = 1, **fields) -> Denoised:
    rng = np.random.default_rng(3)
    shape = N_SPECTRA, N_PIXELS
    ivar = np.full(shape, 4 / scale**2)
    ivar[2, 10:20] = 0
    image = {"spatial_shape": (NY, NX), "wcs": sky()} if cube else {}
    spectra = Spectra(
        wavelength=AXES[axis],
        flux=(scale * rng.normal(10, 0.5, shape)).astype(np.float32),
        ivar=ivar,
        redshift=rng.uniform(0.08, 0.09, N_SPECTRA),
        fwhm=np.linspace(2.6, 2.8, N_PIXELS),
        unit=u.Unit("1e-20 erg s-1 cm-2 AA-1"),
        **image,
        **({"medium": "air", "meta": {"survey": "MUSE", "object": "A478"}} | fields),
    )
    flux = (scale * rng.normal(10, 0.1, shape)).astype(np.float32)
    flux[:, :5] = np.nan
    flux[7] = np.nan
    ignored = np.zeros(shape, dtype=bool)
    ignored[:, 50:52] = True
    flags = np.zeros(N_SPECTRA, dtype=int)
    flags[7] = Flag.EMPTY | Flag.NO_REDSHIFT
    return Denoised(
        spectra=spectra,
        flux=flux,
        sigma=(scale * rng.uniform(0.05, 0.2, shape)).astype(np.float32),
        flags=flags,
        ignored=ignored,
        model=ModelId("posterior", 4 * "0123456789abcdef"),
        chi2=rng.chisquare(100, N_SPECTRA),
        dof=np.full(N_SPECTRA, 100.0),
        evidence=np.full(N_SPECTRA, np.nan),
        parameters={"log_age_mw": (rng.normal(9.8, 0.1, N_SPECTRA), np.full(N_SPECTRA, 0.1))},
    )


def bulk(file: fits.HDUList, name: str) -> np.ndarray:
    """Data of FLUX, VAR or MASK as (n_spectra, n_pixels)."""
    data = file[name].data
    return data.reshape(N_PIXELS, -1).T if data.ndim == 3 else data


def corners(wcs: WCS) -> np.ndarray:
    """Right ascension and declination of the image's corners, degrees."""
    return np.array(wcs.pixel_to_world_values([0, NX - 1, 0, NX - 1], [0, 0, NY - 1, NY - 1]))


every_axis = pytest.mark.parametrize("axis", AXES)
cube_or_not = pytest.mark.parametrize("cube", [True, False], ids=["cube", "spectra"])


@every_axis
@cube_or_not
def test_astropy_gets_the_same_values(tmp_path, axis, cube):
    result = denoised(axis, cube)
    write(result, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits", checksum=True) as file:
        file.verify("exception")
        assert all(hdu.verify_datasum() == 1 for hdu in file)
        flux, variance, mask = (bulk(file, name) for name in ("FLUX", "VAR", "MASK"))
        np.testing.assert_array_equal(flux, result.flux)
        np.testing.assert_allclose(variance, np.where(result.valid, result.sigma.astype(float) ** 2, np.nan), rtol=1e-6)
        np.testing.assert_array_equal((mask & NO_ESTIMATE) > 0, ~result.valid)
        np.testing.assert_array_equal((mask & INPUT_MASKED) > 0, ~result.spectra.good)
        np.testing.assert_array_equal((mask & IGNORED) > 0, result.ignored)
        assert u.Unit(file["FLUX"].header["BUNIT"]) == result.spectra.unit
        assert u.Unit(file["VAR"].header["BUNIT"]) == result.spectra.unit**2
        np.testing.assert_array_equal(file["WAVE"].data["wavelength"], result.spectra.wavelength)
        np.testing.assert_array_equal(file["WAVE"].data["fwhm"], result.spectra.fwhm)
        table = file["SPECTRA"].data
        columns = {"redshift": result.spectra.redshift, "flags": result.flags, "chi2": result.chi2, "dof": result.dof}
        columns |= {"snr_in": result.snr_before, "snr_out": result.snr, "evidence": result.evidence}
        columns |= {
            "ebv": result.spectra.ebv,
            "noise_scale": result.noise_scale,
            "p_value": result.p_value,
            "redshift_used": result.redshift,
        }
        columns |= dict(zip(("log_age_mw", "log_age_mw_err"), result.parameters["log_age_mw"], strict=True))
        assert set(table.names) == set(columns)
        for name, column in columns.items():
            np.testing.assert_array_equal(table[name], column, err_msg=name)


def test_images_stand_beside_a_cube_only(tmp_path):
    result = denoised()
    write(result, tmp_path / "cube.fits")
    write(denoised(cube=False), tmp_path / "spectra.fits")
    with fits.open(tmp_path / "cube.fits") as file:
        names = [hdu.name for hdu in file]
        assert {"SNR_IN", "SNR_OUT", "FLAGS", "CHI2", "DOF", "LOG_AGE_MW", "LOG_AGE_MW_ERR"} < set(names)
        assert "EVIDENCE" not in names  # NaN everywhere: this denoiser defines none
        np.testing.assert_array_equal(file["FLAGS"].data, result.flags.reshape(NY, NX))
        np.testing.assert_array_equal(file["SNR_OUT"].data, result.snr.reshape(NY, NX).astype(np.float32))
        assert "16: POOR_FIT" in list(file["FLAGS"].header["COMMENT"])
        for hdu in file:
            if hdu.is_image and hdu.header["NAXIS"] == 2:
                np.testing.assert_allclose(corners(WCS(hdu.header)), corners(sky()), rtol=1e-12, err_msg=hdu.name)
    with fits.open(tmp_path / "spectra.fits") as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "FLUX", "VAR", "MASK", "WAVE", "SPECTRA", "PROVENANCE"]


@pytest.mark.parametrize("axis", ["linear", "logarithmic"])
@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_three_dimensional_wcs_gives_sky_and_wavelength(tmp_path, axis, medium):
    result = denoised(axis, medium=medium)
    write(result, tmp_path / "out.fits")
    for name in ("FLUX", "VAR", "MASK"):
        wcs = WCS(fits.getheader(tmp_path / "out.fits", name))
        ra, dec, metres = wcs.pixel_to_world_values(2.0, 1.0, PIXELS)
        np.testing.assert_allclose(metres * 1e10, result.spectra.wavelength, rtol=1e-10)
        np.testing.assert_allclose([ra[0], dec[0]], sky().pixel_to_world_values(2.0, 1.0), rtol=1e-12)
        assert wcs.wcs.ctype[2].startswith("AWAV" if medium == "air" else "WAVE")


@pytest.mark.parametrize("axis", ["linear", "logarithmic"])
@cube_or_not
def test_specutils_gets_the_same_values(tmp_path, axis, cube):
    from specutils import Spectrum

    result = denoised(axis, cube)
    write(result, tmp_path / "out.fits")
    spectrum = Spectrum.read(tmp_path / "out.fits", format="wcs1d-fits")
    as_rows = (lambda values: values.reshape(N_PIXELS, -1).T) if cube else (lambda values: values)
    np.testing.assert_allclose(spectrum.spectral_axis.to_value(u.AA), result.spectra.wavelength, rtol=1e-10)
    np.testing.assert_array_equal(as_rows(spectrum.flux.to_value(result.spectra.unit)), result.flux)
    sigma = np.sqrt(spectrum.uncertainty.quantity.to_value(result.spectra.unit**2))
    np.testing.assert_allclose(as_rows(sigma)[result.valid], result.sigma[result.valid], rtol=1e-6)
    np.testing.assert_array_equal((as_rows(spectrum.mask) & NO_ESTIMATE) > 0, ~result.valid)


@every_axis
@cube_or_not
@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_own_reader_gets_the_same_values(tmp_path, axis, cube, medium):
    result = denoised(axis, cube, medium=medium)
    write(result, tmp_path / "out.fits")
    back = read(tmp_path / "out.fits")
    before = result.spectra
    np.testing.assert_array_equal(back.wavelength, before.wavelength)
    np.testing.assert_array_equal(back.good, result.valid)
    np.testing.assert_array_equal(back.flux[back.good], result.flux[result.valid])
    np.testing.assert_allclose(back.sigma[back.good], result.sigma[result.valid], rtol=1e-5)
    np.testing.assert_array_equal(back.redshift, before.redshift)
    np.testing.assert_array_equal(back.fwhm, before.fwhm)
    assert (back.medium, back.unit, back.spatial_shape) == (medium, before.unit, before.spatial_shape)
    assert back.meta["object"] == "A478"
    if cube:
        np.testing.assert_allclose(corners(back.wcs), corners(sky()), rtol=1e-12)


@every_axis
@cube_or_not
def test_tiles_in_any_order_make_the_same_file(tmp_path, axis, cube):
    result = denoised(axis, cube)
    write(result, tmp_path / "whole.fits")
    scattered = [1, 9, 4]
    rest = np.setdiff1d(np.arange(N_SPECTRA), [*scattered, 7, 8])
    with DenoisedWriter(tmp_path / "tiles.fits", result.spectra) as writer:
        writer.add(result[7:9], slice(7, 9))
        writer.add(result[scattered], scattered)
        writer.add(result[rest], rest)
    difference = fits.FITSDiff(
        tmp_path / "whole.fits", tmp_path / "tiles.fits", ignore_keywords=["DATE", "CHECKSUM"], ignore_comments=["*"]
    )
    assert difference.identical, difference.report()


def test_provenance_is_in_header_and_table(tmp_path):
    digest = hashlib.sha256(b"raw").hexdigest()
    meta = {"path": ["entrée.fits", "red.fits"], "sha256": [digest], "survey": "SAMI", "warnings": ["σ is unknown"]}
    command = "quietspec denoise " + "a long name " * 20
    write(denoised(meta=meta), tmp_path / "out.fits", command=command, history=["by hand"])
    with fits.open(tmp_path / "out.fits") as file:
        header = file[0].header
        table = dict(zip(file["PROVENANCE"].data["keyword"], file["PROVENANCE"].data["value"], strict=True))
        assert (header["QSMODEL"], header["QSHASH"]) == ("posterior", "0123456789abcdef")
        assert header["QSCMD"] == command.strip()
        assert header["QSINPUT"].endswith(r"entr\xe9e.fits")
        assert header["QSINSHA"] == digest
        assert header["QSINPUT2"] == "red.fits"  # of an unknown hash
        assert "QSINSHA2" not in header
        assert header["SURVEY"] == "SAMI"
        assert {r"Input: \u03c3 is unknown", "by hand"} < set(header["HISTORY"])
        for keyword, value in table.items():
            assert str(header[keyword]) == value, keyword


@pytest.mark.parametrize(("scale", "bits"), [(1, -32), (1e-19, -64), (1e18, -64)])
def test_variances_do_not_underflow(tmp_path, scale, bits):
    result = denoised(scale=scale)
    write(result, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        assert file["VAR"].header["BITPIX"] == bits
        sigma = np.sqrt(bulk(file, "VAR"))
        np.testing.assert_allclose(sigma[result.valid], result.sigma[result.valid], rtol=1e-6)


@pytest.mark.parametrize(("scale", "bits"), [(1e40, -64), (1e-45, -64), (1e-20, -32), (1.0, -32)])
def test_fluxes_do_not_overflow(tmp_path, scale, bits):
    plain = denoised()
    observed = plain.spectra
    spectra = replace(observed, flux=scale * observed.flux.astype(float), ivar=observed.ivar / scale**2)
    result = replace(
        plain, spectra=spectra, flux=scale * plain.flux.astype(float), sigma=scale * plain.sigma.astype(float)
    )
    write(result, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        assert file["FLUX"].header["BITPIX"] == bits
        np.testing.assert_allclose(bulk(file, "FLUX"), result.flux, rtol=1e-6)


def test_resolution_that_differs_is_given_by_its_median(tmp_path):
    fwhm = np.linspace(2, 3, N_SPECTRA)[:, None] * np.ones(N_PIXELS)
    result = denoised()
    object.__setattr__(result.spectra, "fwhm", fwhm)
    write(result, tmp_path / "out.fits")
    np.testing.assert_allclose(fits.getdata(tmp_path / "out.fits", "WAVE")["fwhm"], 2.5)


def test_units_that_fits_does_not_know_are_kept(tmp_path):
    result = denoised()
    object.__setattr__(result.spectra, "unit", u.Unit("3 Jy"))
    write(result, tmp_path / "out.fits")
    assert u.Unit(fits.getheader(tmp_path / "out.fits", "FLUX")["BUNIT"]) == u.Unit("3 Jy")


def interrupted() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def failing() -> None:
    raise RuntimeError("the model broke")


@pytest.mark.parametrize(("stop", "error"), [(interrupted, KeyboardInterrupt), (failing, RuntimeError)])
@pytest.mark.parametrize("existing", [True, False])
def test_a_broken_write_leaves_what_was_there(tmp_path, stop, error, existing):
    path, result = tmp_path / "out.fits", denoised()
    if existing:
        path.write_bytes(b"precious")
    writer = DenoisedWriter(path, result.spectra, overwrite=True)
    with pytest.raises(error), writer:
        writer.add(result[:4], slice(4))
        assert len(list(tmp_path.iterdir())) == 1 + existing
        stop()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"precious"] * existing


def test_a_spectrum_that_was_not_added_fails_the_file(tmp_path):
    result = denoised()
    with (
        pytest.raises(WriteError, match=r"out\.fits: 8 of 12 spectra were never added, the first of them is number 4"),
        DenoisedWriter(tmp_path / "out.fits", result.spectra) as writer,
    ):
        writer.add(result[:4], slice(4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tile", "rows", "message"),
    [
        (lambda: denoised()[:2], [0, 1, 2], "2 spectra for 3 rows"),
        (lambda: denoised()[:2], [3, 4], "a row among 3-4 was added before"),
        (lambda: denoised()[:2], [5, 5], "a row among 5-5 was added before"),
        (lambda: denoised()[:1], [12], "index 12 is out of bounds"),
        (lambda: denoised("logarithmic")[:1], [5], "other wavelengths"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(tmp_path, tile, rows, message):
    result = denoised()
    with pytest.raises(WriteError, match=message), DenoisedWriter(tmp_path / "out.fits", result.spectra) as writer:
        writer.add(result[:4], slice(4))
        writer.add(tile(), rows)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_not_open_says_so(tmp_path):
    result = denoised()
    with pytest.raises(WriteError, match="with statement"):
        DenoisedWriter(tmp_path / "out.fits", result.spectra).add(result, slice(None))


def test_existing_output_is_replaced_only_if_allowed(tmp_path):
    path = tmp_path / "out.fits"
    path.write_bytes(b"precious")
    with pytest.raises(WriteError, match=r"out\.fits: exists already.*overwrite=True"):
        write(denoised(), path)
    assert path.read_bytes() == b"precious"
    write(denoised(), path, overwrite=True)
    assert fits.getheader(path)["QSMODEL"] == "posterior"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path, result = tmp_path / "out.fits", denoised()
    with pytest.raises(WriteError, match="exists already"), DenoisedWriter(path, result.spectra) as writer:
        writer.add(result, slice(None))
        path.write_bytes(b"another's")
    assert path.read_bytes() == b"another's"
    assert list(tmp_path.iterdir()) == [path]


def test_the_input_is_never_replaced(tmp_path):
    path = tmp_path / "raw.fits"
    path.write_bytes(b"raw")
    (tmp_path / "link.fits").symlink_to(path)
    for name in ("raw.fits", "link.fits"):
        with pytest.raises(WriteError, match="is an input"):
            write(denoised(meta={"path": str(path)}), tmp_path / name, overwrite=True)
    assert path.read_bytes() == b"raw"


def test_a_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "out.fits", tmp_path / "elsewhere" / "real.fits"
    link.symlink_to(target)
    write(denoised(), link)
    assert link.is_symlink()
    assert fits.getheader(target)["QSMODEL"] == "posterior"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a directory"),
        ("absent/out.fits", "there is no folder .*absent"),
        ("out.fits.gz", "not compressed"),
        ("/dev/null", "not a regular file"),
        ("/sys/out.fits", "/sys/out.fits: cannot be written: "),  # not even for root
    ],
)
def test_places_that_cannot_be_written_are_named(tmp_path, name, message):
    if name.startswith("/") and not Path(name).parent.is_dir():
        pytest.skip(f"this system has no {name}")
    with pytest.raises(WriteError, match=message):
        write(denoised(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("permissions do not bind this user")
    with pytest.raises(WriteError, match="Permission denied"):
        write(denoised(), tmp_path / "out.fits")


FULL_DISK = """
    import os, resource, sys
    sys.path.insert(0, os.environ["TESTS"])
    from test_write import denoised, write
    from quietspec.errors import WriteError
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    try:
        write(denoised(), sys.argv[1], overwrite=True)
    except WriteError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (
            20_000,
            "(ulimit -f): 34560 bytes (0.0 MB) are needed",
        ),  # found out before anything is written
        (
            40_000,
            "out.fits: the limit on the size of files is reached",
        ),  # while the small HDUs are added
    ],
)
def test_a_full_disk_leaves_what_was_there(tmp_path, limit, message):
    path = tmp_path / "out.fits"
    path.write_bytes(b"precious")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path), str(limit)],
        env=os.environ | {"TESTS": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert message in done.stdout, done.stderr
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"precious"]
