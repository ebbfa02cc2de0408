"""What is done with a spoilt input, and what is wrong with how it ends.

A target is given a random generator and a folder of its own. It returns ``read`` where the input was taken, ``refused``
where it was refused by an error of ours, and raises otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from quietspec.errors import QuietspecError

from . import bases, mutate
from .mutate import Random


class WrongError(AssertionError):
    """An input ended in a way that no input should."""


def _judged(path: Path, act: Callable[[], object]) -> str:
    """Do something with a file; a refusal must name it."""
    try:
        act()
    except QuietspecError as error:
        if "fault of quietspec" in str(error):
            raise
        if str(path) not in str(error):
            raise WrongError(f"the message does not name the file: {error}") from error
        return "refused"
    return "read"


def read(rng: Random, folder: Path) -> str:
    """A FITS file is described and read."""
    from quietspec.io import describe, open_spectra

    path = folder / "input.fits"
    path.write_bytes(mutate.fits_file(rng))
    options = choice_of_options(rng)

    def act() -> None:
        with open_spectra(path, **options) as source:
            describe(source)
            spectra = source.read()
        good = spectra.good
        if not (np.isfinite(spectra.flux[good]).all() and np.isfinite(spectra.ivar[good]).all()):
            raise WrongError("good pixels that are not finite")
        if not (np.isfinite(spectra.wavelength).all() and (np.diff(spectra.wavelength) > 0).all()):
            raise WrongError("wavelengths that do not increase")

    return _judged(path, act)


def choice_of_options(rng: Random) -> dict[str, object]:
    """Options that answer what readers most often ask, half of the time."""
    if rng.random() < 0.5:
        return {}
    return {"redshift": 0.05, "medium": "air", "noise_from_residuals": True, "wavelength_unit": "Angstrom", "fwhm": 2.5}


def text(rng: Random, folder: Path) -> str:
    """A text table is read."""
    from quietspec.io import read as read_spectra

    path = folder / "input.csv"
    path.write_bytes(mutate.text_table(rng))
    return _judged(path, lambda: read_spectra(path, **choice_of_options(rng)))


def denoise(rng: Random, folder: Path) -> str:
    """A FITS file is denoised into another, which is sound."""
    from astropy.io import fits

    from quietspec.denoisers import load_denoiser
    from quietspec.files import denoise_file

    path, output = folder / "input.fits", folder / "output.fits"
    path.write_bytes(mutate.fits_file(rng))
    output.unlink(missing_ok=True)
    name = "posterior" if rng.random() < 0.1 else "gaussian"

    def act() -> None:
        denoise_file([path], output, load_denoiser(name), workers=0, redshift=0.05, medium="air", overwrite=True)

    ending = _judged(path, act)
    if any(folder.glob(".*.part")):
        raise WrongError("an unfinished file was left")
    if ending == "refused":
        if output.exists():
            raise WrongError("an output was left although the input was refused")
        return ending
    with fits.open(output, checksum=True) as hdus:
        table = hdus["SPECTRA"].data
        flux = hdus["FLUX"].data
        rows = flux.reshape(len(flux), -1).T if flux.ndim == 3 else np.atleast_2d(flux)
        silent = ~np.isfinite(rows).any(axis=1) & (table["flags"] == 0)
        if silent.any():
            raise WrongError("a spectrum without any estimate carries no flag")
    return ending


def model(rng: Random, folder: Path) -> str:
    """A model file is loaded, and used if it loads."""
    from quietspec.denoisers import load_denoiser
    from quietspec.spectra import Spectra

    path = folder / "model.npz"
    path.write_bytes(mutate.model_file(rng))

    def act() -> None:
        denoiser = load_denoiser(mutate.choose(rng, ("posterior", "posterior", "wiener", "pca")), path)
        wavelength = 4300 + 20.0 * np.arange(80)
        flux = np.ones((2, 80)) + 0.1 * np.sin(np.arange(160)).reshape(2, 80)
        ivar, redshift = np.full((2, 80), 100.0), np.zeros(2)
        denoiser.denoise(Spectra(wavelength=wavelength, flux=flux, ivar=ivar, redshift=redshift, medium="air"))

    return _judged(path, act)


def network(rng: Random, folder: Path) -> str:
    """A network's file is loaded."""
    from quietspec.denoisers import load_denoiser

    path = folder / "network.onnx"
    content = bases.network_file()
    path.write_bytes(mutate.choose(rng, (mutate._raw_bytes, mutate._cut, mutate._insert))(rng, content))
    return _judged(path, lambda: load_denoiser(path))


def journal(rng: Random, folder: Path) -> str:
    """The state of a batch is read and reported."""
    from quietspec.batch.report import batch_status
    from quietspec.batch.state import Journal

    state = folder / "batch"
    state.mkdir(exist_ok=True)
    (state / "journal.jsonl").write_bytes(mutate.journal(rng))
    (state / "plan.json").write_bytes(mutate.plan(rng))

    def act() -> None:
        with Journal(folder):
            pass
        batch_status(folder)

    return _judged(folder, act)


def manifest(rng: Random, folder: Path) -> str:
    """A manifest is read."""
    from quietspec.batch.manifest import read_manifest

    path = folder / mutate.choose(rng, ("manifest.csv", "manifest.txt", "manifest.tsv", "manifest.lst"))
    for name in ("a.fits", "b.fits", "c1.fits"):
        (folder / name).touch()
    path.write_bytes(mutate.manifest(rng))
    return _judged(path, lambda: read_manifest(path))


def command(rng: Random, folder: Path) -> str:
    """A command with strange options ends with status 0, 1 or 2 and says why."""
    from typer.testing import CliRunner

    from quietspec.cli import app
    from quietspec.io import ReadOptions

    path = folder / "input.fits"
    path.write_bytes(bases.fits_files()["muse"])
    options = [f"--{field.name.replace('_', '-')}" for field in fields(ReadOptions)]
    name = mutate.choose(rng, ("info", "denoise", "measure"))
    words = [name, str(path), *mutate.command(rng, options)]
    if name != "info":
        words += ["-o", str(folder / "out.fits"), "--overwrite"]
        words += ["--denoiser", "gaussian"] if name == "denoise" else ["--method", "posterior"]
    result = CliRunner().invoke(app, words)
    said = result.stdout + result.stderr
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1, 2) or (result.exit_code and not result.stderr.strip()):
        raise WrongError(f"{words}: status {result.exit_code}, {said!r}")
    if "fault of quietspec" in said or "Traceback" in said:
        raise WrongError(f"{words}: {said}")
    if "\x1b" in said.replace("\x1b[0m", ""):
        raise WrongError(f"{words}: an escape sequence was printed")
    return "read" if result.exit_code == 0 else "refused"


#: With the share of the inputs that each is given.
TARGETS: dict[str, tuple[Callable[[Random, Path], str], float]] = {
    "read": (read, 0.62),
    "text": (text, 0.1),
    "denoise": (denoise, 0.08),
    "model": (model, 0.06),
    "journal": (journal, 0.05),
    "manifest": (manifest, 0.05),
    "command": (command, 0.02),
    "network": (network, 0.002),
}


def run(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Make one input and try it.

    Parameters
    ----------
    seed, number : int
        Of the input; the same give the same.
    folder : Path
        For its files.

    Returns
    -------
    name, ending : str
        The target, and ``read`` or ``refused``.
    """
    name, act = target(seed, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return name, act(np.random.default_rng([seed, number, 1]), folder)


def target(seed: int, number: int) -> tuple[str, Callable[[Random, Path], str]]:
    """Target of an input."""
    names = list(TARGETS)
    shares = np.array([share for _, share in TARGETS.values()])
    name = names[int(np.random.default_rng([seed, number]).choice(len(names), p=shares / shares.sum()))]
    return name, TARGETS[name][0]
