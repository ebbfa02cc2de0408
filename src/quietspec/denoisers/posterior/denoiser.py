"""Denoise by the posterior mean under a prior's own basis, or by least squares on it, on the native pixels."""

from __future__ import annotations

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.denoised import ModelId
from quietspec.denoisers.base import Emission
from quietspec.denoisers.posterior.basis import BasisDenoiser
from quietspec.denoisers.posterior.diagnosed import DiagnosingDenoiser
from quietspec.denoisers.posterior.grid import BasisGrid, Batch
from quietspec.denoisers.posterior.inference import CoefficientPosterior, infer
from quietspec.denoisers.posterior.linear import LinearFit, fit_groups, full_projections, project, project_groups
from quietspec.denoisers.posterior.moving import with_usual_motions
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.walk import Noise
from quietspec.errors import ModelError
from quietspec.parameters import ParameterPosterior

__all__ = ["NEGLECTED", "Posterior", "PrincipalComponents"]

NEGLECTED = 0.003  #: share of the error by which data about neglected directions may move the last fit
_BROAD = 1.2  # breadth above which what was counted to first order is computed again in full
_COMPONENTS = 6  # of PCA, where the card says none


class Posterior(DiagnosingDenoiser[BasisGrid], BasisDenoiser):
    """Posterior mean under a Gaussian mixture over spectra; under a prior of one Gaussian it is the Wiener filter.

    Motions, where the spectra have any, are part of the prior's basis; `KinematicPosterior` makes them parameters.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none', 'fit'}, optional
        Gas emission lines: 'auto' always masks the strong ones, and the weak ones where gas is detected; 'strong' masks
        only the strong ones; 'none' masks none. As the model's card says by default, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        'measured' rescales each spectrum's errors by what a first fit leaves (`noise_scale`), 'quoted' takes the
        input's errors as they are. As the model's card says by default, else 'measured'.

    References
    ----------
    Wiener 1949; Rybicki & Press 1992, ApJ 398, 169 (one Gaussian). Bovy, Hogg & Roweis 2011, Annals of Applied
    Statistics 5, 1657 (mixtures).

    Examples
    --------
    >>> import numpy as np
    >>> from quietspec import Spectra
    >>> from quietspec.denoisers import Posterior, load_prior
    >>> prior = load_prior("paper")
    >>> noisy = prior.mean + 0.1 * np.random.default_rng(0).normal(size=(2, prior.wavelength.size))
    >>> spectra = Spectra.from_arrays(prior.wavelength, noisy, 0.1, medium="air", redshift=0.0)
    >>> denoised = Posterior("posterior", prior).denoise(spectra)
    >>> bool(np.median(denoised.sigma) < 0.01)
    True
    """

    def _solve(
        self, batch: Batch[BasisGrid], residual: FloatArray, weight: FloatArray, fit: LinearFit
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
        The prior whose basis is used, or whose draws in usual motions are analysed where it is at rest; its mixture
        serves only to find spikes and lines.
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
        super().__init__(name, with_usual_motions(prior) if prior.at_rest else prior, emission, noise)
        self._model = ModelId(name, prior.hash)
        most = self.prior.n_components
        self.n_components = n_components or prior.card.get("pca_components", min(_COMPONENTS, most))
        if not isinstance(self.n_components, int) or not 1 <= self.n_components <= most:
            raise ModelError(f"{name}: {self.n_components!r} components; this prior has 1 to {most}.")

    @property
    def model(self) -> ModelId:
        """The name, with the hash of the prior as it was given."""
        return self._model

    def _solve(
        self, batch: Batch[BasisGrid], residual: FloatArray, weight: FloatArray, fit: LinearFit
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
        labels, weights = ParameterPosterior.empty(len(mean), ()), np.zeros((len(mean), self.prior.n_mixture))
        return (
            CoefficientPosterior(mean @ to_coordinates.T, covariance, unset, dof, labels, np.ones(len(mean)), weights),
            fit_groups(project_groups(coordinates, residual, weight, fit, NEGLECTED), coordinates, fit),
        )
