"""Denoise by the posterior mean under a `SpectralPrior`, on the native pixels, with its full covariance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from threading import Lock
from typing import Literal

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, Flag
from quietspec.denoisers.base import initial_flags
from quietspec.denoisers.posterior.contamination import TRACERS, line_mask, measure_gas, noise_scale, spike_mask
from quietspec.denoisers.posterior.coordinates import Coordinates, PreparedPrior
from quietspec.denoisers.posterior.diagnosis import SYMPTOMS, Reason, SymptomLaws, diagnose, measure
from quietspec.denoisers.posterior.discrepancy import Discrepancy, FollowedData
from quietspec.denoisers.posterior.features import FeatureScan
from quietspec.denoisers.posterior.grid import Grid, Rows
from quietspec.denoisers.posterior.inference import CoefficientPosterior, infer
from quietspec.denoisers.posterior.linear import LinearFit, Projections, fit_linear, project
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.results import Accumulator
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra
from quietspec.wavelengths import EMISSION_LINES, SPEED_OF_LIGHT, STRONG_LINES, rest_air

__all__ = ["NEGLECTED", "Emission", "Noise", "Posterior", "PrincipalComponents"]

Emission = Literal["auto", "strong", "none"]
Noise = Literal["measured", "quoted"]

_GRIDS = 2  # pixel grids kept prepared, of some 50 MB each
_BATCH = 256  # spectra that are held in float64 at once
_FARTHEST = 2000.0  # km/s: another redshift found nearer is taken for an error of the one given
_BETTER = 5.0  # ln evidence by which it must explain the features better
_FLAGS = {
    Reason.NO_SIGNAL: Flag.NO_SIGNAL,
    Reason.WRONG_REDSHIFT: Flag.WRONG_REDSHIFT,
    Reason.STAR: Flag.STAR,
    Reason.NOT_GALAXY: Flag.NOT_GALAXY,
    Reason.UNLIKE_PRIOR: Flag.UNLIKE_PRIOR,
    Reason.ERRORS: Flag.MISSCALED,
}
NEGLECTED = 0.003  # of the error, for which the data on directions may be neglected in the last fit …
_NEGLECTED_BEFORE = 0.05  # … and in those that find gas and spikes
_FAR = 1.2  # mean square, over the prior's, of what was counted to first order
_FIRST_MASK = (0.0, 250.0)  # velocity and σ, km/s, of the line mask under which the first continuum is fitted


class _BasisDenoiser(ABC):
    """What all denoisers that project onto a prior's basis share: the walk over redshifts, and contamination."""

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        emission: Emission | None = None,
        noise: Noise | None = None,
        *,
        discrepancy: bool = True,
    ) -> None:
        self.name = name
        self.prior = prior
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        self.discrepancy = Discrepancy.from_card(prior.card) if discrepancy else None
        self.prepared = PreparedPrior(prior)
        self._grids: dict[tuple[object, ...], Grid | None] = {}
        self._making_grid = Lock()

    def __getstate__(self) -> dict[str, object]:
        """What is sent to other processes: prepared grids are not, they are made anew."""
        return {name: value for name, value in self.__dict__.items() if name != "_making_grid"} | {"_grids": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._making_grid = Lock()

    @property
    def model(self) -> str:
        """Name and hash, as written to output files."""
        return f"{self.name} {self.prior.hash[:16]}"

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the model's wavelengths. Emission lines and spikes are left out of the fit (`ignored`) and
            come back in `Denoised.residual`.
        """
        result = Accumulator(spectra, self.prior)
        result.flags |= initial_flags(spectra, rest_frame=True)
        self._denoise_rows(spectra, np.flatnonzero(result.flags == 0), result)
        return self._checked(spectra, result)

    def _checked(self, spectra: Spectra, result: Accumulator) -> Denoised:
        """Finish the result; a denoiser that can tell what is no galaxy does so here."""
        return result.finish(self.model)

    def _denoise_rows(self, spectra: Spectra, rows: npt.NDArray[np.intp], result: Accumulator) -> None:
        """Denoise some spectra, each at its redshift in `result`."""
        for redshift in np.unique(result.redshift[rows]):
            alike = rows[result.redshift[rows] == redshift]
            for fwhm_rows in _by_resolution(spectra, alike):
                self._denoise_alike(spectra, fwhm_rows, float(redshift), result)

    def _denoise_alike(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], redshift: float, result: Accumulator
    ) -> None:
        """Denoise spectra of one redshift and one resolution."""
        grid = self._grid(spectra, redshift, int(rows[0]))
        seen = np.zeros(len(rows), dtype=bool) if grid is None else spectra.good[rows, grid.pixels].any(axis=1)
        result.flags[rows[~seen]] |= int(Flag.OUT_OF_RANGE)
        rows = rows[seen]
        for start in range(0, len(rows), _BATCH):
            if grid is not None:
                batch = rows[start : start + _BATCH]
                self._denoise_batch(Rows.of(spectra, batch, grid), batch, result)

    def _grid(self, spectra: Spectra, redshift: float, row: int) -> Grid | None:
        """Pixels of a spectrum that the model covers, None if there are none; kept for the next tile."""
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else row]
        key = (spectra.wavelength.tobytes(), spectra.medium, redshift, None if fwhm is None else fwhm.tobytes())
        with self._making_grid:
            if key not in self._grids:
                rest = rest_air(spectra.wavelength, redshift, spectra.medium)
                while len(self._grids) >= _GRIDS:
                    self._grids.pop(next(iter(self._grids)))
                self._grids[key] = self._new_grid(rest, None if fwhm is None else fwhm / (1 + redshift))
            return self._grids[key]

    def _new_grid(self, rest: FloatArray, fwhm: FloatArray | None) -> Grid | None:
        basis = self.prior.on_pixels(rest, fwhm)
        sharp = np.interp(rest, self.prior.wavelength, self.prior.fwhm)
        width = np.maximum(sharp, np.nan_to_num(fwhm)) if fwhm is not None else sharp
        covered = np.flatnonzero(basis.covered)
        if not covered.size:
            return None
        pixels = slice(int(covered[0]), int(covered[-1]) + 1)  # wavelengths increase
        vectors = basis.vectors[pixels]
        coordinates = Coordinates(self.prepared, vectors)
        origin = float(rest[0])
        return Grid(pixels, rest[pixels], origin, width[pixels], vectors, basis.truncation[pixels], coordinates)

    def _denoise_batch(self, rows: Rows, index: npt.NDArray[np.intp], result: Accumulator) -> None:
        ignored, fit, residual = self._contamination(rows)
        weight = np.where(ignored, 0, rows.weight)
        if self.noise == "measured":
            result.noise_scale[index] = noise_scale(residual, weight, fit.dof)
            weight /= _column(result.noise_scale[index]) ** 2
        weight /= 1 + weight * (_column(fit.scale) * _single(rows.grid.truncation)) ** 2
        less = self._less(weight, rows, fit.scale)
        posterior, fit = self._solve(rows, residual, less, fit)
        result.store(index, rows, posterior, fit.scale, ignored, self._followed(rows, weight, posterior))
        result.evidence[index] = posterior.log_evidence + _noise_constant(less, rows.unit)
        result.flags[index[fit.scale < 2 * fit.error]] |= int(Flag.NO_SIGNAL)

    def _less(self, weight: FloatArray, rows: Rows, scale: FloatArray) -> FloatArray:
        """Weights for the coefficients: the data less the discrepancy are what they describe."""
        if self.discrepancy is None:
            return weight
        spread = self.discrepancy.as_noise(rows.grid.rest, rows.grid.vectors[:, 0])
        return np.asarray(weight / (1 + weight * (_column(scale) * _single(spread)) ** 2))

    def _followed(self, rows: Rows, weight: FloatArray, posterior: CoefficientPosterior) -> FollowedData | None:
        if self.discrepancy is None:
            return None
        grid = rows.grid
        model = _single(posterior.mean) @ grid.coordinates.vectors.T
        return self.discrepancy.follow(rows.flux - model, weight, model, grid.rest, grid.origin)

    @abstractmethod
    def _solve(
        self, rows: Rows, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        """Posterior of the coordinates of the spectra and last fit of their scale, from a first one."""

    def _contamination(self, rows: Rows) -> tuple[BoolArray, LinearFit, FloatArray]:
        """Pixels spoilt by spikes and (unless `emission` is 'none') gas, the fit behind it and what that left."""
        grid = rows.grid
        first = np.zeros(rows.flux.shape, dtype=bool)
        if self.emission != "none":
            first |= line_mask(grid.rest, grid.fwhm, *_FIRST_MASK)
        ignored, fit, residual = first, _first_fit(rows, np.where(first, 0, rows.weight)), rows.flux
        for _ in range(2):
            weight = np.where(ignored, 0, rows.weight)
            residual = rows.flux - _single(fit.mean) @ grid.coordinates.vectors.T
            groups = _projected(grid.coordinates, residual, weight, fit, _NEGLECTED_BEFORE)
            fit = _fit(groups, grid.coordinates, fit)
            residual = rows.flux - _single(fit.mean) @ grid.coordinates.vectors.T
            ignored = spike_mask(residual, np.where(first, 0, rows.weight))
            if self.emission != "none":
                ignored |= self._lines(residual, rows)
        return np.asarray(ignored & (rows.weight > 0)), fit, residual

    def _lines(self, residual: FloatArray, rows: Rows) -> BoolArray:
        """Mask strong lines always, weak ones where gas is seen, as wide as the gas's lines are."""
        grid = rows.grid
        gas = measure_gas(residual, rows.weight, rows.flux - residual, grid.rest, grid.fwhm)
        mask = np.zeros(residual.shape, dtype=bool)
        kinds = np.stack([gas.detected & (self.emission == "auto"), gas.velocity, gas.sigma], axis=1)
        for weak, velocity, sigma in np.unique(kinds, axis=0):
            alike = (kinds == (weak, velocity, sigma)).all(axis=1)
            mask[alike] = line_mask(grid.rest, grid.fwhm, velocity, sigma, EMISSION_LINES if weak else STRONG_LINES)
        for broad in np.unique(gas.broad[gas.broad > 0]):
            mask[gas.broad == broad] |= line_mask(grid.rest, grid.fwhm, 0.0, broad, TRACERS)
        return mask


class Posterior(_BasisDenoiser):
    """Posterior mean under a Gaussian-mixture prior; with a one-Gaussian prior it is the Wiener filter.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        The prior.
    emission : {'auto', 'strong', 'none'}, optional
        Gas emission lines: 'auto' masks the strong ones always and the weak ones where gas is detected, 'strong' the
        strong ones only, 'none' none. What the model's card says if not given, else 'auto'.
    noise : {'measured', 'quoted'}, optional
        'measured' rescales each spectrum's errors by what a first fit leaves (`noise_scale`), 'quoted' believes the
        input. What the model's card says if not given, else 'measured'.
    discrepancy : bool, optional
        Allow for what real spectra have and the prior does not (`Discrepancy`), if the model's card knows it. Simulated
        spectra have none.

    References
    ----------
    Wiener 1949; Rybicki & Press 1992, ApJ 398, 169 (one Gaussian). Bovy, Hogg & Roweis 2011 (mixtures).
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

    def _checked(self, spectra: Spectra, result: Accumulator) -> Denoised:
        """Tell what is no galaxy at its redshift; where another redshift nearby explains it, denoise again there."""
        denoised = super()._checked(spectra, result)
        if self._laws is None:
            return denoised
        symptoms = measure(denoised, self._scan)
        found = diagnose(symptoms, self._laws)
        nearby = np.abs(np.nan_to_num(found.velocity, nan=np.inf)) <= _FARTHEST
        better = symptoms.values[:, SYMPTOMS.index("elsewhere")] > _BETTER
        again = np.flatnonzero((found.reason != Reason.NONE) & nearby & better)
        again = self._move(spectra, again, found.velocity[again], denoised, result)
        if again.size:
            denoised = super()._checked(spectra, result)
        flags = denoised.flags.copy()
        flags[again] |= int(Flag.WRONG_REDSHIFT)
        for reason, flag in _FLAGS.items():
            flags[found.reason == reason] |= int(flag)
        return replace(denoised, flags=flags, p_value=found.p_value)

    def _move(
        self,
        spectra: Spectra,
        rows: npt.NDArray[np.intp],
        velocity: FloatArray,
        denoised: Denoised,
        result: Accumulator,
    ) -> npt.NDArray[np.intp]:
        """Denoise some spectra at redshifts moved by velocities; keep and return those fitted better there."""
        redshift = spectra.redshift[rows] + (1 + spectra.redshift[rows]) * velocity / SPEED_OF_LIGHT
        trial = Accumulator(spectra[rows].with_redshift(redshift), self.prior)
        self._denoise_rows(trial.spectra, np.arange(len(rows)), trial)
        moved = super()._checked(trial.spectra, trial)
        better = moved.chi2 / moved.dof < denoised.chi2[rows] / denoised.dof[rows]
        result.replace(rows, trial, np.flatnonzero(better))
        return rows[better]

    def _solve(
        self, rows: Rows, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        coordinates = rows.grid.coordinates
        groups = _projected(coordinates, residual, weight, fit, NEGLECTED)
        last = _fit(groups, coordinates, fit)
        whole = Projections.stack([projections.whole() for _, projections in groups])[_order(groups)]
        posterior = infer(whole, coordinates, last.scale)
        far = np.flatnonzero(posterior.reach > _FAR)  # what is unlike the prior's bulk needs more
        if far.size:
            whole = _project_fully(coordinates, residual[far], weight[far], fit.mean[far])
            again = infer(whole, coordinates, last.scale[far], posterior.reach[far])
            posterior = posterior.with_rows(far, again)
        return posterior, last


class PrincipalComponents(_BasisDenoiser):
    """Weighted least-squares projection onto the mean and the first basis vectors: PCA as it is usually done.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Whose basis is used; the mixture serves only to find spikes and lines.
    n_components : int, optional
        Components used; what the model's card says (``pca_components``) if not given, else 6.
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
        self.n_components = n_components or int(prior.card.get("pca_components", 6))

    def _solve(
        self, rows: Rows, residual: FloatArray, weight: FloatArray, fit: LinearFit
    ) -> tuple[CoefficientPosterior, LinearFit]:
        coordinates, size = rows.grid.coordinates, self.n_components + 1
        vectors = rows.grid.vectors[:, :size]
        gram = np.stack([(vectors.T * row) @ vectors for row in weight.astype(np.float64)])
        inverse = np.linalg.pinv(gram, hermitian=True)
        mean = np.einsum("nij,nj->ni", inverse, (rows.flux * weight).astype(np.float64) @ vectors)
        to_coordinates = np.linalg.inv(coordinates.transform)[:, :size]
        covariance = to_coordinates @ inverse @ to_coordinates.T
        dof, unset = np.full(len(mean), float(size)), np.full(len(mean), np.nan)
        labels = ParameterPosterior.empty(len(mean), ())
        return (
            CoefficientPosterior(mean @ to_coordinates.T, covariance, unset, dof, labels, np.ones(len(mean))),
            _fit(_projected(coordinates, residual, weight, fit, NEGLECTED), coordinates, fit),
        )


def _first_fit(rows: Rows, weight: FloatArray) -> LinearFit:
    """Scale of the prior's mean spectrum that fits best."""
    coordinates = rows.grid.coordinates
    information = (weight @ coordinates.shape**2).astype(np.float64)
    information = np.where(information > 0, information, rows.weight @ coordinates.shape**2)
    scale = ((rows.flux * weight) @ coordinates.shape) / information
    error = information**-0.5
    mean = np.maximum(scale, error)[:, None] * coordinates.centre
    return LinearFit(scale, error, mean, np.ones(len(scale)))


_Groups = list[tuple[npt.NDArray[np.intp], Projections]]  # spectra, and their projections


def _projected(
    coordinates: Coordinates, residual: FloatArray, weight: FloatArray, fit: LinearFit, neglected: float
) -> _Groups:
    """Project spectra, from the residuals of a fit, in sets that need equally many directions."""
    information = coordinates.information(weight)
    ranks = coordinates.ranks(information, np.maximum(fit.scale, fit.error), neglected)
    groups = []
    for rank in np.unique(ranks):
        rows = np.flatnonzero(ranks == rank)
        some = project(residual[rows], weight[rows], fit.mean[rows], coordinates, information[rows], int(rank))
        groups.append((rows, some))
    return groups


def _order(groups: _Groups) -> npt.NDArray[np.intp]:
    """Where the spectra are among those of all groups, one group after the other."""
    return np.argsort(np.concatenate([rows for rows, _ in groups]))


def _fit(groups: _Groups, coordinates: Coordinates, fit: LinearFit) -> LinearFit:
    """Fit again under one Gaussian."""
    fits = [fit_linear(projections, coordinates, fit.scale[rows], fit.error[rows]) for rows, projections in groups]
    return LinearFit.stack(fits)[_order(groups)]


def _project_fully(
    coordinates: Coordinates, residual: FloatArray, weight: FloatArray, start: FloatArray
) -> Projections:
    information = coordinates.information(weight)
    return project(residual, weight, start, coordinates, information, coordinates.size)


def _single(values: FloatArray) -> FloatArray:
    return values.astype(np.float32)


def _column(values: FloatArray) -> FloatArray:
    return values.astype(np.float32)[:, None]


def _noise_constant(weight: FloatArray, unit: FloatArray) -> FloatArray:
    """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,), of inverse variances in units of each spectrum."""
    used = weight > 0
    terms = np.log(np.where(used, weight, 1))
    constant = np.log(2 * np.pi) + 2 * np.log(unit)
    return np.asarray(0.5 * (terms.sum(axis=1, dtype=np.float64) - used.sum(axis=1) * constant))


def _by_resolution(spectra: Spectra, rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Split rows into sets of one resolution; those of a common one stay together."""
    if spectra.fwhm is None or spectra.fwhm.ndim == 1 or not len(rows):
        return [rows]
    _, kind = np.unique(spectra.fwhm[rows], axis=0, return_inverse=True)
    return [rows[kind.ravel() == k] for k in range(int(kind.max()) + 1)]
