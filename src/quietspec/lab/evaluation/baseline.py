"""The denoiser that knows nothing of a spectrum but its continuum: what any other has to beat."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, ModelId
from quietspec.denoisers import SpectralPrior
from quietspec.denoisers.base import finish, flag_few_pixels, initial_flags
from quietspec.denoisers.posterior.moving import with_usual_motions
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["BASELINE", "MeanTimesCubic"]

BASELINE = "mean × cubic"  #: name of the baseline in tables
_ORDER = 3


class MeanTimesCubic:
    """The mean spectrum of a prior times a cubic polynomial, by weighted least squares.

    Parameters
    ----------
    prior : SpectralPrior
        Whose mean spectrum, in usual motions where the prior is at rest, stands for every galaxy.
    """

    name = BASELINE

    def __init__(self, prior: SpectralPrior) -> None:
        self._prior = with_usual_motions(prior) if prior.at_rest else prior
        self.model = ModelId(BASELINE, prior.hash)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Fit every spectrum; the errors are those of the polynomial alone."""
        flux, sigma = np.full((2, *spectra.flux.shape), np.nan)
        flags = initial_flags(spectra, rest_frame=True)
        for redshift, group in spectra.by_redshift(np.flatnonzero(flags == 0)):
            for alike in spectra.by_resolution(group):
                design, covered = self._design(spectra, redshift, int(alike[0]))
                rows = alike[flag_few_pixels(flags, alike, spectra.good[alike][:, covered].sum(axis=1))]
                ivar = np.where(covered, spectra.ivar[rows], 0)
                gram = np.einsum("np,pi,pj->nij", ivar, design, design)
                inverse = np.linalg.pinv(gram, hermitian=True)
                seen = np.where(ivar > 0, spectra.flux[rows], 0)
                found = np.einsum("nij,nj->ni", inverse, (ivar * seen) @ design)
                flux[rows] = np.where(covered, found @ design.T, np.nan)
                sigma[rows] = np.sqrt(np.einsum("pi,nij,pj->np", design, inverse, design))
        return finish(spectra, flux, sigma, model=self.model, flags=flags)

    def _design(self, spectra: Spectra, redshift: float, row: int) -> tuple[FloatArray, BoolArray]:
        """Mean spectrum times powers of wavelength on the pixels, (n_pixels, 4), and which pixels it covers."""
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else row]
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        basis = self._prior.on_pixels(rest, None if fwhm is None else fwhm / (1 + redshift))
        position = np.interp(rest, rest[[0, -1]], [-1.0, 1.0])
        shape = basis.vectors[:, 0] + basis.vectors[:, 1:] @ (self._prior.weights @ self._prior.means)
        return shape[:, None] * np.polynomial.legendre.legvander(position, _ORDER), basis.covered
