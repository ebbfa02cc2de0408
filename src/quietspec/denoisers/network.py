"""Run a trained network: spectra to its rest-frame grid, through ONNX Runtime, and back to their pixels."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers.base import finish, flag_few_pixels, import_extra, initial_flags
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.errors import ModelError
from quietspec.resampling import Resampler
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["NETWORK_FORMAT", "NetworkDenoiser"]

NETWORK_FORMAT = 1  #: version of the ONNX files' inputs, outputs and properties
_CHANNELS = {"flux", "sigma", "masked"}
_WIENER = "wiener"  # a channel that exists in training only
_LARGEST_FILE = 2**30  # bytes; the largest network we know has 65 MB
_MOST_PIXELS = 2**17  # of a grid
_LONGEST = 1e7  # Å
_BATCH = 128  # spectra per call
_ON_GRID = 1e-6  # relative difference below which wavelengths are the same
_EDGE = 100.0  # Å whose mean continues a spectrum beyond its end


class NetworkDenoiser:
    """A network on a fixed rest-frame grid, from an ONNX file that ``quietspec lab train-network`` wrote.

    Spectra that are not on the grid are brought to it by cubic splines, and back. A network without a mask sees masked
    pixels filled from their neighbours, and a spectrum that ends within the grid continued at its level: use
    `Posterior` where much is missing.

    Parameters
    ----------
    name : str
        Name in tables.
    path : path
        The ONNX file.

    Raises
    ------
    ModelError
        If the file is missing, damaged or not a network of ours, or if ONNX Runtime is not installed.
    """

    def __init__(self, name: str, path: str | Path) -> None:
        self.name = name
        content = _content(Path(path))
        self._session = _session(content, path)
        facts = _facts(self._session, path)
        self.hash = hashlib.sha256(content).hexdigest()
        self.channels: tuple[str, ...] = tuple(facts["channels"])
        self.wavelength: FloatArray = np.linspace(*facts["wavelength"])
        self._require_shapes(path)

    def _require_shapes(self, path: str | Path) -> None:
        """Raise `ModelError` unless inputs and outputs are those of the channels and the grid."""
        n_pixels = len(self.wavelength)
        inputs = {"spectra": [len(self.channels), n_pixels], "sigma": [n_pixels]}
        found = {entry.name: entry.shape[1:] for entry in self._session.get_inputs()}
        outputs = {entry.name: entry.shape[1:] for entry in self._session.get_outputs()}
        right = all(inputs.get(name) == shape for name, shape in found.items()) and "spectra" in found
        if not right or outputs != {"flux": [n_pixels], "error": [n_pixels]}:
            raise ModelError(
                f"{path}: inputs {found} and outputs {outputs} do not fit {len(self.channels)} channel(s) of "
                f"{n_pixels} pixels; train it again."
            )

    @property
    def model(self) -> ModelId:
        """The name, with the SHA-256 of the file."""
        return ModelId(self.name, self.hash)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the network's wavelengths.
        """
        return without_gross_outliers(spectra, self._denoise)

    def _denoise(self, spectra: Spectra) -> Denoised:
        flux, sigma = np.full((2, *spectra.flux.shape), np.nan, dtype=spectra.flux.dtype)
        flags = initial_flags(spectra, rest_frame=True)
        for redshift, alike in spectra.by_redshift(flags == 0):
            rest = rest_air(spectra.wavelength, redshift, spectra.medium)
            inside = (rest >= self.wavelength[0] * (1 - _ON_GRID)) & (rest <= self.wavelength[-1] * (1 + _ON_GRID))
            inside &= bool(np.any((self.wavelength >= rest[0]) & (self.wavelength <= rest[-1])))
            alike = alike[flag_few_pixels(flags, alike, spectra.good[np.ix_(alike, inside)].sum(axis=1))]
            for start in range(0, len(alike), _BATCH):
                rows = alike[start : start + _BATCH]
                flux[rows], sigma[rows] = self._estimate(spectra, rows, rest)
        return finish(spectra, flux, sigma, model=self.model, flags=flags)

    def _estimate(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], rest: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Flux and error of a batch at one redshift, (n_rows, n_pixels) each."""
        good = spectra.good[rows]
        # In units of their own level, so that float32 holds fluxes of any unit.
        scale = np.nanmean(np.where(good, np.abs(spectra.flux[rows]), np.nan), axis=1, keepdims=True, dtype=np.float64)
        scale = np.where(scale > 0, scale, 1.0)
        flux, sigma = (_filled(rest, values[rows] / scale, good) for values in (spectra.flux, spectra.sigma))
        on_grid = len(rest) == len(self.wavelength) and np.allclose(rest, self.wavelength, rtol=_ON_GRID, atol=0)
        given: dict[str, npt.NDArray[Any]] = {"flux": flux, "sigma": sigma, "masked": ~good}
        if not on_grid:
            given = _on_grid(rest, self.wavelength, flux, sigma, ~good)
        inputs = {"spectra": np.stack([given[name] for name in self.channels], axis=1), "sigma": given["sigma"]}
        results = self._run({entry.name: inputs[entry.name].astype(np.float32) for entry in self._session.get_inputs()})
        if not on_grid:
            results = [Resampler(self.wavelength, rest)(values) for values in results]
        estimate, error = (values * scale for values in results)
        return estimate, error

    def _run(self, inputs: Mapping[str, npt.NDArray[np.float32]]) -> list[FloatArray]:
        try:
            return list(self._session.run(["flux", "error"], inputs))
        except Exception as error:
            raise ModelError(f"{self.name}: ONNX Runtime cannot run this network ({error}). Train it again.") from error


def _content(path: Path) -> bytes:
    """The file's bytes."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ModelError(f"{path}: not a regular file.")
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(f"{path}: larger than {_LARGEST_FILE >> 20} MB; not a network of ours.")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error


def _session(content: bytes, path: str | Path) -> Any:
    """A session that keeps to these bytes: weights in other files could be anything."""
    runtime = import_extra("onnxruntime", "a network")
    options = runtime.SessionOptions()
    nowhere = os.path.join(os.devnull, "none")  # noqa: PTH118 (a path that cannot exist)
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", nowhere)
    try:
        return runtime.InferenceSession(content, options)
    except Exception as error:
        if "xternal data" in str(error):
            raise ModelError(f"{path}: has weights in another file; save the network as one file.") from error
        raise ModelError(f"{path}: not an ONNX file of a quietspec network, or damaged.") from error


def _facts(session: Any, path: str | Path) -> dict[str, Any]:
    """Format, channels and grid that the file states, checked."""
    try:
        facts = json.loads(session.get_modelmeta().custom_metadata_map["quietspec"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not an ONNX file of a quietspec network, or damaged.") from error
    found = facts.get("format") if isinstance(facts, dict) else facts
    if found != NETWORK_FORMAT:
        raise ModelError(f"{path}: format {found}, this version reads {NETWORK_FORMAT}; train it again.")
    channels, grid = facts.get("channels"), facts.get("wavelength")
    known = isinstance(channels, list) and channels and all(isinstance(name, str) for name in channels)
    if known and _WIENER in channels:
        raise ModelError(f"{path}: needs the Wiener filter's estimate, which is available in training only.")
    if not known or not set(channels) <= _CHANNELS:
        raise ModelError(f"{path}: channels {channels!r}; known are {', '.join(sorted(_CHANNELS))}. Train it again.")
    if not _is_grid(grid):
        raise ModelError(
            f"{path}: grid {grid!r}; it must be first and last wavelength (Å) and 2 to {_MOST_PIXELS} pixels."
        )
    return {"channels": channels, "wavelength": grid}


def _is_grid(grid: object) -> bool:
    """Whether these are a first and a last wavelength and a number of pixels."""
    if not isinstance(grid, list) or len(grid) != 3 or not all(type(value) in (int, float) for value in grid):
        return False
    low, high, n_pixels = grid
    return bool(0 < low < high < _LONGEST) and type(n_pixels) is int and 2 <= n_pixels <= _MOST_PIXELS


def _filled(rest: FloatArray, values: FloatArray, good: BoolArray) -> FloatArray:
    """Copies with bad pixels interpolated linearly from good ones."""
    if good.all():
        return values
    return np.stack([np.interp(rest, rest[where], row[where]) for row, where in zip(values, good, strict=True)])


def _on_grid(
    rest: FloatArray, grid: FloatArray, flux: FloatArray, sigma: FloatArray, masked: BoolArray
) -> dict[str, npt.NDArray[Any]]:
    """Resample filled spectra; the part of the grid beyond them is masked and continued at their level."""
    to_grid = Resampler(rest, grid)
    # Splines keep σ but correlate it; the network knows white noise, so it is given the σ that is equivalent.
    white = np.sqrt(np.interp(grid, rest, np.gradient(rest)) / np.gradient(grid))
    nearest = np.round(np.interp(grid, rest, np.arange(len(rest)))).astype(int)
    return {
        "flux": _continued(grid, to_grid(flux), to_grid.covered),
        "sigma": _continued(grid, to_grid(sigma) * white, to_grid.covered),
        "masked": masked[:, nearest] | ~to_grid.covered,
    }


def _continued(grid: FloatArray, values: FloatArray, covered: BoolArray) -> FloatArray:
    """Fill both ends with the mean of what lies next to them."""
    first, last = grid[covered][[0, -1]]
    for beyond, beside in ((grid < first, grid <= first + _EDGE), (grid > last, grid >= last - _EDGE)):
        values[:, beyond] = values[:, beside & covered].mean(axis=1, keepdims=True)
    return values
