"""Denoise by the posterior mean under a `SpectralPrior`, or by least squares on its basis, on the native pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.basis import BasisDenoiser, Noise
from quietspec.denoisers.posterior.diagnosis import SYMPTOMS, SymptomLaws, diagnose, measure
from quietspec.denoisers.posterior.features import FeatureScan
from quietspec.denoisers.posterior.grid import Batch
from quietspec.denoisers.posterior.inference import CoefficientPosterior, infer
from quietspec.denoisers.posterior.linear import LinearFit, fit_groups, full_projections, project, project_groups
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.errors import ModelError
from quietspec.parameters import ParameterPosterior
from quietspec.wavelengths import SPEED_OF_LIGHT

__all__ = ["NEGLECTED", "Posterior", "PrincipalComponents"]

NEGLECTED = 0.003  #: share of the error by which data about neglected directions may move the last fit
_BROAD = 1.2  # breadth above which what was counted to first order is computed again in full
_COMPONENTS = 6  # of PCA, where the card says none
_FARTHEST = 2000.0  # km/s: a better redshift nearer than this is taken for an error of the given one
_BETTER = 5.0  # ln evidence by which it must explain the features better


class Posterior(BasisDenoiser):
    """Posterior mean under a Gaussian-mixture prior; under a prior of one Gaussian it is the Wiener filter.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none'}, optional
        Gas emission lines: 'auto' always masks the strong ones, and the weak ones where gas is detected; 'strong' masks
        only the strong ones; 'none' masks none. As the model's card says by default, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        'measured' rescales each spectrum's errors by what a first fit leaves (`noise_scale`), 'quoted' takes the
        input's errors as they are. As the model's card says by default, else 'measured'.
    discrepancy : bool, optional
        Allow for what real spectra have and the prior does not (`Discrepancy`), where the model's card has it.
        Simulated spectra have none.

    References
    ----------
    Wiener 1949; Rybicki & Press 1992, ApJ 398, 169 (one Gaussian). Bovy, Hogg & Roweis 2011, Annals of Applied
    Statistics 5, 1657 (mixtures).

    Examples
    --------
    >>> from importlib.resources import files
    >>> import quietspec
    >>> from quietspec.denoisers import Posterior, load_prior
    >>> cube = quietspec.read(str(files("quietspec.models") / "demo.fits"))
    >>> denoised = Posterior("posterior", load_prior("survey")).denoise(cube[:2])
    >>> denoised.flux.shape == cube[:2].flux.shape
    True
    >>> print(denoised.model)
    posterior 05307f056e6ba8bf
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        discrepancy: bool = True,
    ) -> None:
        super().__init__(name, prior, emission, noise, discrepancy=discrepancy)
        laws = prior.card.get("symptom_laws")
        self._laws = None if laws is None else SymptomLaws.from_dict(laws)

    @cached_property
    def _scan(self) -> FeatureScan:
        return FeatureScan(self.prior)

    def _finish(self, result: Accumulator) -> Denoised:
        """Flag what is not a galaxy at its redshift; where a nearby redshift explains it, denoise it again there."""
        denoised = super()._finish(result)
        if self._laws is None:
            return denoised
        symptoms = measure(denoised, self._scan)
        found = diagnose(symptoms, self._laws)
        nearby = np.abs(np.nan_to_num(found.velocity, nan=np.inf)) <= _FARTHEST
        better = symptoms.values[:, SYMPTOMS.index("elsewhere")] > _BETTER
        again = np.flatnonzero((found.flags != 0) & nearby & better)
        moved = self._move(again, found.velocity[again], denoised, result)
        if moved.size:
            denoised = super()._finish(result)
        flags = denoised.flags | found.flags
        flags[moved] |= int(Flag.WRONG_REDSHIFT)
        return replace(denoised, flags=flags, p_value=found.p_value)

    def _move(
        self, rows: npt.NDArray[np.intp], velocity: FloatArray, denoised: Denoised, result: Accumulator
    ) -> npt.NDArray[np.intp]:
        """Denoise some spectra at redshifts moved by velocities; keep and return those that fit better there."""
        spectra = result.spectra
        redshift = spectra.redshift[rows] + (1 + spectra.redshift[rows]) * velocity / SPEED_OF_LIGHT
        trial = Accumulator(spectra[rows].with_redshift(redshift), self.prior.label_names)
        self._denoise_rows(np.arange(len(rows)), trial)
        moved = super()._finish(trial)
        better = moved.chi2 / moved.dof < denoised.chi2[rows] / denoised.dof[rows]
        result.replace(rows, trial, np.flatnonzero(better))
        return rows[better]

    def _solve(
        self, batch: Batch, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        coordinates = batch.grid.coordinates
        groups = project_groups(coordinates, residual, weight, fit, NEGLECTED)
        last = fit_groups(groups, coordinates, fit)
        posterior = infer(full_projections(groups), coordinates, last.scale)
        broad = np.flatnonzero(posterior.breadth > _BROAD)
        if broad.size:
            # These are unlike the bulk of the prior: all directions, and less counted to first order.
            information = coordinates.information(weight[broad])
            everything = residual[broad], weight[broad], fit.mean[broad], coordinates, information, coordinates.size
            again = infer(project(*everything), coordinates, last.scale[broad], posterior.breadth[broad])
            posterior = posterior.with_rows(broad, again)
        return posterior, last


class PrincipalComponents(BasisDenoiser):
    """Weighted least-squares projection onto the mean and the first basis vectors: PCA as it is usually done.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior whose basis is used; its mixture serves only to find spikes and lines.
    n_components : int, optional
        Components used; as the model's card says (``pca_components``) by default, else 6 or all.
    emission, noise : str, optional
        As for `Posterior`.

    References
    ----------
    Connolly & Szalay 1999, AJ 117, 2052 (PCA of gappy spectra by weighted least squares).
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        n_components: int | None = None,
        emission: Emission | None = None,
        noise: Noise | None = None,
    ) -> None:
        super().__init__(name, prior, emission, noise, discrepancy=False)
        self.n_components = n_components or prior.card.get("pca_components", min(_COMPONENTS, prior.n_components))
        if not isinstance(self.n_components, int) or not 1 <= self.n_components <= prior.n_components:
            raise ModelError(f"{name}: {self.n_components!r} components; this prior has 1 to {prior.n_components}.")

    def _solve(
        self, batch: Batch, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        coordinates, size = batch.grid.coordinates, self.n_components + 1
        vectors = batch.grid.vectors[:, :size]
        # Normal equations of the coefficients b, then x = T⁻¹ b.
        gram = np.stack([(vectors.T * row) @ vectors for row in weight.astype(np.float64)])
        inverse = np.linalg.pinv(gram, hermitian=True)
        mean = np.einsum("nij,nj->ni", inverse, (batch.flux * weight).astype(np.float64) @ vectors)
        to_coordinates = np.linalg.inv(coordinates.transform)[:, :size]
        covariance = to_coordinates @ inverse @ to_coordinates.T
        dof, unset = np.full(len(mean), float(size)), np.full(len(mean), np.nan)
        labels = ParameterPosterior.empty(len(mean), ())
        return (
            CoefficientPosterior(mean @ to_coordinates.T, covariance, unset, dof, labels, np.ones(len(mean))),
            fit_groups(project_groups(coordinates, residual, weight, fit, NEGLECTED), coordinates, fit),
        )
