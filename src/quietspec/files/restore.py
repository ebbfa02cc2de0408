"""From a file of denoised spectra back to a `Denoised`, with its covariances."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.compact import CompactPosterior
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers import PRIORS, SpectralPrior, StoredCovariances, load_prior, model_cards
from quietspec.errors import ModelError, ReadError
from quietspec.io import ReadOptions, read
from quietspec.io.posterior import read_posterior, read_resolution
from quietspec.io.reading.fitsfile import FitsFile
from quietspec.io.reading.hdu import Hdu
from quietspec.io.writing.hdus import IGNORED
from quietspec.spectra import Spectra

__all__ = ["prior_of", "restore"]

_OWN = ("flags", "chi2", "dof", "evidence", "noise_scale", "p_value", "redshift_used")  # columns that are fields
_OTHER = ("redshift", "ebv", "snr_in", "snr_out")  # … and those that follow from others
_HASH = re.compile(r"\b[0-9a-f]{16}\b")  # starts of hashes, where a model's name lists several


def restore(path: str | PathLike[str], model: str | PathLike[str] | None = None) -> Denoised:
    """Read a file of denoised spectra as the result it was written from.

    Parameters
    ----------
    path : path
        A file that `quietspec denoise` or `quietspec.write` made.
    model : str or path, optional
        The model that made it, where it is none of those that ship.

    Returns
    -------
    Denoised
        See `Denoised.read`.

    Raises
    ------
    ReadError
        If the file is no such file, or damaged.
    ModelError
        If its model is not at hand.
    """
    spectra = read(path)
    with FitsFile(Path(path), max_memory=ReadOptions().max_memory) as file:
        if "SPECTRA" not in file or "QSMODEL" not in file.primary:
            raise ReadError(f"{path}: is no file of denoised spectra. `quietspec denoise` makes them.")
        fields, parameters = _columns(file["SPECTRA"])
        compact = read_posterior(file["POSTERIOR"], len(spectra)) if "POSTERIOR" in file else None
        if "LSF" in file:
            spectra = replace(spectra, fwhm=read_resolution(file["LSF"], file["LSF_OF"]))
        ignored = (_by_spectrum(file["MASK"], spectra) & IGNORED) != 0
        residual = _by_spectrum(file["RESIDUAL"], spectra) if "RESIDUAL" in file else None
        identity = str(file.primary["QSMODEL"]), file.primary.get("QSHASH")
    flux = np.where(spectra.good, spectra.flux, np.nan).astype(spectra.flux.dtype)
    sigma = np.where(spectra.good, spectra.sigma, np.nan).astype(spectra.flux.dtype)
    given = _input(spectra, flux, residual)
    known: dict[str, Any] = {}
    if compact is not None:
        priors = _priors(Path(path), *identity, model)
        known = _covariances(priors, fields["flags"] & int(Flag.ULTRAVIOLET) != 0, given, fields["redshift"], compact)
    return Denoised(
        spectra=given,
        flux=flux,
        sigma=sigma,
        ignored=ignored,
        model=ModelId(*identity),
        parameters=parameters,
        **fields,
        **known,
    )


def _columns(table: Hdu) -> tuple[dict[str, Any], dict[str, tuple[FloatArray, FloatArray]]]:
    """Fields of a `Denoised`, and its parameters, from the columns of SPECTRA."""
    names = list(table.columns.names)
    if missing := set(_OWN) - set(names):
        raise ReadError(f"{table.where}: has no column {', '.join(sorted(missing))}. Denoise the original file again.")
    fields: dict[str, Any] = {name: table.numbers(name) for name in _OWN}
    fields["flags"] = fields["flags"].astype(np.int64)
    fields["redshift"] = fields.pop("redshift_used")
    fields |= {name: table.numbers(name) if name in names else None for name in ("n_spaxels", "of_galaxy")}
    labels = [name for name in names if f"{name}_err" in names and name not in _OTHER]
    return fields, {name: (table.numbers(name), table.numbers(f"{name}_err")) for name in labels}


def _by_spectrum(image: Hdu, spectra: Spectra) -> npt.NDArray[Any]:
    """Values of FLUX and the like, (n_spectra, n_pixels)."""
    values = np.asarray(image.data)
    return values.reshape(len(values), -1).T if spectra.spatial_shape is not None else values.reshape(len(spectra), -1)


def _input(spectra: Spectra, flux: FloatArray, residual: npt.NDArray[Any] | None) -> Spectra:
    """The spectra that were denoised, as far as the file knows them: their errors it does not."""
    unknown = np.full_like(flux, np.nan) if residual is None else (flux + residual).astype(flux.dtype)
    meta = {name: value for name, value in spectra.meta.items() if name not in ("denoised", "warnings")}
    return replace(spectra, flux=unknown, ivar=np.zeros_like(flux), meta=meta)


def _covariances(
    priors: Sequence[SpectralPrior],
    second: BoolArray,
    spectra: Spectra,
    redshift: FloatArray,
    compact: CompactPosterior,
) -> dict[str, Any]:
    """Fields of a `Denoised` that speak of covariance; of two priors, `second` tells which spectra have the second."""
    stored = [StoredCovariances.of(prior, spectra, redshift, compact) for prior in priors]
    remainder = stored[0].remainder()
    if len(stored) > 1:
        remainder = np.where(second[:, None], stored[1].remainder(), remainder)

    def of(row: int) -> StoredCovariances:
        return stored[-1] if second[row] else stored[0]

    return {
        "factor_of": lambda row: of(row).factor(row),
        "nucleus_of": lambda row: of(row).nucleus(row),
        "remainder": remainder,
        "compact": compact,
    }


def _priors(path: Path, name: str, hash_start: str | None, model: str | PathLike[str] | None) -> list[SpectralPrior]:
    """The prior that made a file, or all whose hashes the name of its model lists."""
    starts = [] if hash_start else _HASH.findall(name)
    return [prior_of(path, start, None) for start in starts] or [prior_of(path, hash_start, model)]


def prior_of(path: Path, hash_start: str | None, model: str | PathLike[str] | None) -> SpectralPrior:
    """Load the prior that made a file: the one given, or the shipped one of its hash.

    Parameters
    ----------
    path : Path
        The file, for messages.
    hash_start : str or None
        Start of the SHA-256 of its model; None where the file names no model, or several.
    model : str or path, optional
        The model, where it is none of those that ship.

    Returns
    -------
    SpectralPrior
        The prior.

    Raises
    ------
    ModelError
        If it is not at hand, or the one given is another.
    """
    if hash_start is None:
        raise ModelError(
            f"{path}: names no single model from which its covariances follow. "
            "quietspec.Denoised.read gives those of files by several shipped models."
        )
    cards = model_cards()
    shipped = (name for name in PRIORS if str(cards[name]["hash"]).startswith(hash_start))
    name = model or next(shipped, None)
    if name is None:
        raise ModelError(
            f"{path}: its covariances need the model that made it, {hash_start}, which does not ship. Give its file: "
            "Denoised.read(path, model='MODEL.npz')."
        )
    prior = load_prior(str(name))
    if not prior.hash.startswith(hash_start):
        raise ModelError(f"{path}: was made by the model {hash_start}, and {name} is {prior.hash[:16]}.")
    return prior
