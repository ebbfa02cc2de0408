"""Run a trained network: spectra to its rest-frame grid, through ONNX Runtime, and back to their pixels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import finish, initial_flags
from quietspec.errors import ModelError
from quietspec.resampling import Resampler
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["NETWORK_FORMAT", "NetworkDenoiser"]

NETWORK_FORMAT = 1  #: version of the ONNX files' inputs, outputs and properties
_BATCH = 128  # spectra a call
_ON_GRID = 1e-6  # relative difference of wavelengths that are the same
_EDGE = 100.0  # Å whose mean continues a spectrum beyond its end


class NetworkDenoiser:
    """A network on a fixed rest-frame grid, from an ONNX file that ``quietspec train-network`` wrote.

    Spectra not on the grid are brought to it by cubic splines and back. A network without a mask sees masked pixels
    filled from their neighbours, and a spectrum that ends within the grid continued at its level: use `Posterior`
    where much is missing.

    Parameters
    ----------
    name : str
        Name in tables.
    path : path
        The ONNX file.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not one of ours.
    """

    def __init__(self, name: str, path: str | Path) -> None:
        import onnxruntime

        self.name = name
        try:
            content = Path(path).read_bytes()
            self._session: Any = onnxruntime.InferenceSession(content)
            facts = json.loads(self._session.get_modelmeta().custom_metadata_map["quietspec"])
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
        except Exception as error:
            raise ModelError(f"{path}: not an ONNX file of a quietspec network, or damaged.") from error
        if (found := facts.get("format")) != NETWORK_FORMAT:
            raise ModelError(f"{path}: format {found}, this version reads {NETWORK_FORMAT}; train it anew.")
        self.hash = hashlib.sha256(content).hexdigest()
        self.channels: tuple[str, ...] = tuple(facts["channels"])
        if "wiener" in self.channels:
            raise ModelError(f"{path}: needs the Wiener filter's estimate, which is there in training only.")
        self.wavelength: FloatArray = np.linspace(*facts["wavelength"])

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
        flux, sigma = np.full((2, *spectra.flux.shape), np.nan, dtype=spectra.flux.dtype)
        flags = initial_flags(spectra, rest_frame=True)
        usable = np.flatnonzero(flags == 0)
        for redshift in np.unique(spectra.redshift[usable]):
            rest = rest_air(spectra.wavelength, float(redshift), spectra.medium)
            alike = usable[spectra.redshift[usable] == redshift]
            inside = (rest >= self.wavelength[0] * (1 - _ON_GRID)) & (rest <= self.wavelength[-1] * (1 + _ON_GRID))
            inside &= bool(np.any((self.wavelength >= rest[0]) & (self.wavelength <= rest[-1])))
            seen = spectra.good[np.ix_(alike, inside)].any(axis=1)
            flags[alike[~seen]] |= int(Flag.OUT_OF_RANGE)
            for start in range(0, int(seen.sum()), _BATCH):
                rows = alike[seen][start : start + _BATCH]
                flux[rows], sigma[rows] = self._estimate(spectra, rows, rest)
        return finish(spectra, flux, sigma, model=f"{self.name} {self.hash[:16]}", flags=flags)

    def _estimate(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], rest: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Flux and error of a batch at one redshift, (n_rows, n_pixels) each."""
        good = spectra.good[rows]
        # In units of their own level, for no flux unit is to be too small for float32.
        scale = np.nanmean(np.where(good, np.abs(spectra.flux[rows]), np.nan), axis=1, keepdims=True, dtype=np.float64)
        scale = np.where(scale > 0, scale, 1.0)
        flux, sigma = (_filled(rest, values[rows] / scale, good) for values in (spectra.flux, spectra.sigma))
        on_grid = len(rest) == len(self.wavelength) and np.allclose(rest, self.wavelength, rtol=_ON_GRID, atol=0)
        given: dict[str, npt.NDArray[Any]] = {"flux": flux, "sigma": sigma, "masked": ~good}
        if not on_grid:
            given = _on_grid(rest, self.wavelength, flux, sigma, ~good)
        inputs = {"spectra": np.stack([given[name] for name in self.channels], axis=1), "sigma": given["sigma"]}
        wanted = {entry.name: inputs[entry.name].astype(np.float32) for entry in self._session.get_inputs()}
        results = self._session.run(["flux", "error"], wanted)
        if not on_grid:
            results = map(Resampler(self.wavelength, rest), results)
        estimate, error = (values * scale for values in results)
        return estimate, error


def _filled(rest: FloatArray, values: FloatArray, good: BoolArray) -> FloatArray:
    """Copies with bad pixels interpolated linearly from good ones."""
    if good.all():
        return values
    return np.stack([np.interp(rest, rest[where], row[where]) for row, where in zip(values, good, strict=True)])


def _on_grid(
    rest: FloatArray, grid: FloatArray, flux: FloatArray, sigma: FloatArray, masked: BoolArray
) -> dict[str, npt.NDArray[Any]]:
    """Resample filled spectra; what the grid has beyond them is masked and continued at their level."""
    there = Resampler(rest, grid)
    # Splines keep σ but correlate it; the network knows white noise, so it is told the σ that says as much.
    white = np.sqrt(np.interp(grid, rest, np.gradient(rest)) / np.gradient(grid))
    nearest = np.round(np.interp(grid, rest, np.arange(len(rest)))).astype(int)
    return {
        "flux": _continued(grid, there(flux), there.covered),
        "sigma": _continued(grid, there(sigma) * white, there.covered),
        "masked": masked[:, nearest] | ~there.covered,
    }


def _continued(grid: FloatArray, values: FloatArray, covered: BoolArray) -> FloatArray:
    """Fill both ends with the mean of what lies next to them."""
    first, last = grid[covered][[0, -1]]
    for beyond, beside in ((grid < first, grid <= first + _EDGE), (grid > last, grid >= last - _EDGE)):
        values[:, beyond] = values[:, beside & covered].mean(axis=1, keepdims=True)
    return values
