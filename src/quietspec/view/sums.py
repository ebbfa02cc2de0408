"""Regions whose data are summed and denoised: the posterior of a sum, where the input of a file is at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import SpectraError, ViewError
from quietspec.io.writing.hdus import IGNORED
from quietspec.view.regions import Band, Stop, go_on

if TYPE_CHECKING:
    from quietspec.binning import NoiseCorrelation, Spikes
    from quietspec.denoised import Denoised
    from quietspec.denoisers import Denoiser
    from quietspec.populations import Populations
    from quietspec.spectra import Spectra
    from quietspec.view.document import Document

__all__ = ["DataSum", "DataSums"]

_KEPT = 32  # sums kept in memory
_TILE = 256  # spectra read at once
_PAUSE = 0.05  # seconds between looks at whether anybody still waits

_known: WeakKeyDictionary[Document, DataSums] = WeakKeyDictionary()
_making = Lock()

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DataSum:
    """The posterior of the summed data of a region.

    Parameters
    ----------
    denoised : Denoised
        One spectrum: the sum and its estimate.
    populations : Populations
        What was measured of it, lines included.
    n_inside, n_summed : int
        Spaxels in the region, and those among them that have data.
    n_spikes : int
        Pixels of these left out as cosmic rays.
    noise : str
        How the noise of spaxels was taken to be correlated, in words.
    """

    denoised: Denoised
    populations: Populations
    n_inside: int
    n_summed: int
    n_spikes: int
    noise: str

    @property
    def words(self) -> str:
        """What the band of the sum is."""
        left_out = f"; {self.n_spikes} pixels of single spaxels are left out as cosmic rays" if self.n_spikes else ""
        return (
            "The data of the region were summed and the sum denoised: the band is the error of this posterior. "
            f"{self.noise}{left_out}."
        )

    @property
    def redshift(self) -> float:
        """Redshift at which it was denoised."""
        used = self.denoised.redshift
        return float("nan") if used is None else float(used[0])

    @property
    def labels(self) -> list[dict[str, Any]]:
        """All that was measured: ``name``, ``value``, ``error`` and ``unit`` of each, S/N before first."""
        import astropy.units as u

        spectra, populations = self.denoised.spectra, self.populations
        flux = f"{spectra.unit * u.AA:unicode}".removeprefix("1×")
        measured = {name: (populations.values[name], populations.error(name)) for name in populations.names}
        found = [{"name": "SNR_IN", "value": float(spectra.snr[0]), "error": None, "unit": ""}]
        for name, (value, error) in (measured | dict(populations.further)).items():
            unit = flux if name.startswith("flux_") else "Å" if name.startswith("ew_") else ""
            found.append({"name": name.upper(), "value": float(value[0]), "error": float(error[0]), "unit": unit})
        return found

    def band(self, limits: tuple[float, float]) -> Band:
        """Integrate the estimate between two wavelengths, observed Å; a `ViewError` where it has none."""
        wavelength, denoised = self.denoised.spectra.wavelength, self.denoised
        inside = (wavelength >= limits[0]) & (wavelength <= limits[1])
        weights = np.where(inside, np.gradient(wavelength), 0.0)
        flux = denoised.flux[0]
        if not inside.any() or not np.isfinite(flux[inside]).all():
            raise ViewError("the sum has no estimate in the whole band.")
        independent = np.zeros_like(flux) if denoised.remainder is None else denoised.remainder[0]
        along = weights[inside] @ denoised.covariance_factor(0)[inside]
        error = float(np.sqrt((along**2).sum() + (weights[inside] ** 2 @ independent[inside] ** 2)))
        diagonal = float(np.sqrt(weights[inside] ** 2 @ denoised.sigma[0, inside] ** 2))
        return Band(float(weights[inside] @ flux[inside]), error, None, diagonal, None)


class DataSums:
    """Sums of the data of a file, denoised one at a time.

    Parameters
    ----------
    document : Document
        A file whose data are at hand.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._lock = Lock()
        self._sums: OrderedDict[bytes, DataSum] = OrderedDict()
        self._denoiser: Denoiser | None = None
        self._noise: tuple[NoiseCorrelation, str] | None = None

    @classmethod
    def of(cls, document: Document) -> DataSums:
        """Sums of a file, always the same ones; a `ViewError` that says why where its data are not at hand."""
        reason = document.no_data
        if reason:
            raise ViewError(reason)
        with _making:
            if document not in _known:
                _known[document] = cls(document)
            return _known[document]

    def sum(self, rows: Rows, stop: Stop = lambda: False) -> DataSum:
        """Sum the data of some spectra and denoise the sum.

        Parameters
        ----------
        rows : (n,) of int
            Numbers of the spectra.
        stop : callable, optional
            Whether nobody waits for the answer any more.

        Returns
        -------
        DataSum
            As `Denoised.sum` makes it: noise of spaxels correlated as measured, cosmic rays left out.

        Raises
        ------
        ViewError
            If no spectrum has data, or nobody waits any more.
        ModelError
            If the model that made the file is not at hand.
        """
        key = rows.tobytes()
        with self._turn(stop):
            if key not in self._sums:
                self._sums[key] = self._summed(rows, stop)
                if len(self._sums) > _KEPT:
                    self._sums.popitem(last=False)
            return self._sums[key]

    @contextmanager
    def _turn(self, stop: Stop) -> Iterator[None]:
        """Wait until no other sum is being denoised."""
        while not self._lock.acquire(timeout=_PAUSE):
            go_on(stop)
        try:
            yield
        finally:
            self._lock.release()

    def _summed(self, rows: Rows, stop: Stop) -> DataSum:
        from quietspec.binning.sums import sum_rows
        from quietspec.binning.weights import checked_weights
        from quietspec.populations.posterior import posterior_populations  # takes a second

        denoiser = self._denoiser = self._denoiser or self._begin()
        correlation, words = self._noise = self._noise or self._measure(denoiser, stop)
        light, spikes = self._looked_through(rows, stop)
        seen = rows[np.isfinite(light[rows])]
        if not seen.size:
            raise ViewError("no spaxel of the region has data.")

        def read(some: Rows) -> Spectra:
            go_on(stop)
            return self._document.data(some)

        weights = np.zeros(self._document.n_spectra)
        weights[seen] = 1.0
        matrix = checked_weights(weights, len(weights))
        found = denoiser.denoise(sum_rows(read, matrix, light, correlation, self._document.shape, spikes))
        return DataSum(found, posterior_populations(found), len(rows), len(seen), int(spikes.counts(matrix)[0]), words)

    def _looked_through(self, rows: Rows, stop: Stop) -> tuple[FloatArray, Spikes]:
        """Light of the spaxels of the region, NaN elsewhere, and spikes in them and in those around."""
        from quietspec.binning.spikes import Spikes, SpikeSearch
        from quietspec.binning.sums import signal_and_noise

        ny, nx = self._document.shape or (1, self._document.n_spectra)
        y, x = np.divmod(rows, nx)
        lines, columns = (
            np.arange(max(along.min() - 1, 0), min(along.max() + 2, size)) for along, size in ((y, ny), (x, nx))
        )
        box = (lines[:, None] * nx + columns).ravel()
        search = SpikeSearch((len(lines), len(columns)))
        light = np.full(ny * nx, np.nan)
        for start in range(0, len(box), _TILE):
            go_on(stop)
            some = box[start : start + _TILE]
            spectra = self._document.data(some)
            search.add(spectra)
            light[some] = signal_and_noise(spectra)[0]
        spikes = search.result()
        return light, Spikes(box[spikes.row], spikes.pixel)

    def _begin(self) -> Denoiser:
        """Check the data, once, and load the denoiser."""
        if self._document.spectra is not None:
            self._document.spectra.check_input()
        if reason := self._document.no_data:
            raise ViewError(reason)
        return self._load()

    def _load(self) -> Denoiser:
        """Denoiser that made the file, with lines; the usual one for spectra of other surveys, or of several models."""
        from quietspec.denoisers import load_denoiser
        from quietspec.denoisers.registry import posterior_of
        from quietspec.files.restore import prior_of
        from quietspec.files.settling import settled

        document = self._document
        header = {} if document.file is None else document.file.primary
        if document.kind == "denoised" and header.get("QSHASH"):
            prior = prior_of(document.path, header["QSHASH"], None)
            name = str(header.get("QSMODEL", "posterior"))
            known = prior.collapsed() if name == "wiener" else prior
            return posterior_of(name, known, "fit" if prior.at_rest else None)
        denoiser = load_denoiser("posterior", emission="fit")
        return denoiser if document.spectra is None else settled(denoiser, document.spectra.source).denoiser

    def _measure(self, denoiser: Denoiser, stop: Stop) -> tuple[NoiseCorrelation, str]:
        """Correlation of the noise between spaxels, and how it was found, in words."""
        from quietspec.binning import INDEPENDENT, best_patch, measure_correlation

        document = self._document
        while document.done < 1:  # the S/N of spaxels is still being measured
            go_on(stop)
            sleep(_PAUSE)
        snr = document.values("SNR_IN" if document.kind == "denoised" else "SNR").reshape(document.shape or (1, -1))
        rows = np.arange(snr.size).reshape(snr.shape)[best_patch(snr)]
        try:
            found = measure_correlation(self._residuals(denoiser, rows)).correlation
        except SpectraError:
            return INDEPENDENT, "Noise of spaxels is taken as independent: they are too few to measure how it is not"
        return found, "The correlation of the noise between spaxels is measured from the residuals of the file"

    def _residuals(self, denoiser: Denoiser, rows: Rows) -> Denoised:
        """Estimates of a patch: those of the file, where it has them."""
        from dataclasses import replace

        from quietspec.denoised import Denoised

        document = self._document
        spectra = replace(document.data(rows.ravel()), spatial_shape=rows.shape)
        if document.kind != "denoised" or document.spectra is None:
            return denoiser.denoise(spectra)
        shown = document.spectra.read(rows.ravel())
        if shown.flux is None or shown.sigma is None:
            raise ViewError(f"{document.path.name}: holds no estimates.")
        mask = np.zeros(shown.flux.shape, np.uint8) if shown.mask is None else shown.mask
        nothing: Any = np.full(rows.size, np.nan)
        return Denoised(
            spectra=spectra, flux=shown.flux, sigma=shown.sigma, flags=np.zeros(rows.size, np.int64),
            ignored=(mask & IGNORED) != 0, model=denoiser.model, chi2=nothing, dof=nothing, evidence=nothing,
        )  # fmt: skip
