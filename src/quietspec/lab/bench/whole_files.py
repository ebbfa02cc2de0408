"""What users do with a whole cube, from file to file: denoise it, measure it, denoise its spaxels together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quietspec.denoisers import load_denoiser
from quietspec.files import Report, denoise_file, measure_file
from quietspec.io import open_spectra
from quietspec.populations.methods import PosteriorMethod

__all__ = ["WAYS", "from_file"]


def _denoise(path: Path, output: Path, spatial: bool = False, **options: Any) -> Report:
    return denoise_file([path], output, load_denoiser("posterior", spatial=spatial), **options)[0]


def _measure(path: Path, output: Path, **options: Any) -> Report:
    return measure_file([path], output, PosteriorMethod(load_denoiser("posterior", emission="fit")), **options)[0]


def _spatial(path: Path, output: Path, **options: Any) -> Report:
    return _denoise(path, output, spatial=True, **options)


WAYS: dict[str, Callable[..., Report]] = {
    "posterior-file": _denoise,
    "measure-file": _measure,
    "spatial-file": _spatial,
}  #: `quietspec denoise`, `measure`, and `denoise --spatial`


def from_file(way: str, path: Path, redshift: float, workers: int) -> dict[str, Any]:
    """Do one of `WAYS` with a cube, and delete the result.

    Parameters
    ----------
    way : str
        Its name.
    path : Path
        The cube.
    redshift : float
        Redshift of its galaxy.
    workers : int
        As `--workers`.

    Returns
    -------
    dict
        ``n_spectra``, ``n_pixels``, ``seconds`` of wall time.
    """
    output = path.with_name(f"{way}_{path.name}")
    try:
        report = WAYS[way](path, output, workers=workers, redshift=redshift)
    finally:
        output.unlink(missing_ok=True)
    with open_spectra(path, redshift=redshift) as source:
        n_pixels = len(source.wavelength)
    return {"n_spectra": report.n_spectra, "n_pixels": n_pixels, "seconds": report.seconds}
