"""The covariance between the pixels of spectra, from the posterior that their file holds, read for them alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.errors import ViewError
from quietspec.io.posterior import read_resolution, read_some_posteriors

if TYPE_CHECKING:
    from quietspec.denoisers import SpectralPrior
    from quietspec.view.document import Document
    from quietspec.view.opened_spectra import ShownSpectra

__all__ = ["Stored"]

_known: WeakKeyDictionary[Document, Stored] = WeakKeyDictionary()
_loading = Lock()


class Stored:
    """Covariances of the spectra of a denoised file.

    Parameters
    ----------
    document : Document
        The file.
    prior : SpectralPrior
        The model that made it.
    """

    def __init__(self, document: Document, prior: SpectralPrior) -> None:
        self._document, self._prior = document, prior
        self._lock = Lock()

    @classmethod
    def of(cls, document: Document) -> Stored:
        """Load the model of a file, once; a `ViewError` without a posterior, a `ModelError` without its model."""
        from quietspec.files.restore import prior_of  # takes a second

        with _loading:
            if document not in _known:
                file = document.file
                if file is None or document.kind != "denoised" or "POSTERIOR" not in file:
                    raise ViewError(
                        f"{document.path.name}: has no POSTERIOR, so that the error of a band is not known. "
                        "Denoise with a model such as survey."
                    )
                _known[document] = cls(document, prior_of(document.path, file.primary.get("QSHASH"), None))
            return _known[document]

    def errors(self, rows: npt.NDArray[np.intp], weights: FloatArray, shown: ShownSpectra) -> Iterator[float]:
        """1σ errors of the weighted sums of the pixels of some spectra.

        Parameters
        ----------
        rows : (n,) of int
            Numbers of the spectra.
        weights : (n_pixels,)
            Weight of each pixel.
        shown : ShownSpectra
            The spectra.

        Yields
        ------
        float
            √(wᵀ C w), with C the covariance between the pixels of a spectrum.
        """
        with self._lock:
            denoised = self._denoised(rows, shown)
        used = weights != 0
        for number in range(len(rows)):
            with self._lock:
                along = weights[used] @ denoised.covariance_factor(number)[used]
            alone = 0.0 if denoised.remainder is None else weights * denoised.remainder[number]
            yield float(np.sqrt(np.sum(along**2) + np.sum(np.square(alone))))

    def _denoised(self, rows: npt.NDArray[np.intp], shown: ShownSpectra) -> Denoised:
        """Estimates of some spectra with their covariances."""
        from quietspec.denoisers import StoredCovariances

        document = self._document
        if document.file is None or document.spectra is None or shown.flux is None or shown.sigma is None:
            raise ViewError(f"{document.path.name}: holds no estimates.")
        spectra = document.spectra.source.read(rows)
        if "LSF" in document.file:
            of = document.file["LSF_OF"]
            spectra = replace(spectra, fwhm=read_resolution(document.file["LSF"], of, rows))
        redshift = np.array([document.redshift(row) for row in rows.tolist()])
        compact = read_some_posteriors(document.file["POSTERIOR"], rows)
        stored = StoredCovariances.of(self._prior, spectra, redshift, compact)
        unknown = np.full(len(rows), np.nan)
        return Denoised(
            spectra=spectra, flux=shown.flux, sigma=shown.sigma, flags=np.zeros(len(rows), np.int64),
            ignored=np.zeros(shown.flux.shape, dtype=bool), model=ModelId("posterior"), chi2=unknown, dof=unknown,
            evidence=unknown, redshift=redshift, factor_of=stored.factor, remainder=stored.remainder(), compact=compact,
        )  # fmt: skip
