"""Denoise by a posterior whose velocity, dispersion and flux calibration are parameters of their own."""

from __future__ import annotations

from threading import Lock

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray
from quietspec.denoised import Denoised, Flag, ModelId
from quietspec.denoisers.base import Emission, flag_few_pixels, initial_flags
from quietspec.denoisers.outliers import without_gross_outliers
from quietspec.denoisers.posterior.basis import Noise
from quietspec.denoisers.posterior.calibration import CalibrationLaw, rough_factor
from quietspec.denoisers.posterior.contamination import line_mask, noise_scale, spike_mask
from quietspec.denoisers.posterior.inference import infer
from quietspec.denoisers.posterior.kinematic_results import Fitted, Joint, KinematicGrid, KinematicResults
from quietspec.denoisers.posterior.kinematics import MOTIONS, KinematicCoordinates, State
from quietspec.denoisers.posterior.linear import Projections
from quietspec.denoisers.posterior.losvd import LosvdBasis, log_width
from quietspec.denoisers.posterior.masking import gas_mask
from quietspec.denoisers.posterior.motions import NARROWEST, WIDEST, Dispersion, condition_on_motions, label_motions
from quietspec.denoisers.posterior.pixel_model import PixelModel
from quietspec.denoisers.posterior.prior import SpectralPrior
from quietspec.denoisers.posterior.velocity_scan import ScanResult, VelocityScan
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra
from quietspec.wavelengths import rest_air

__all__ = ["KinematicPosterior"]

_BATCH = 64  # spectra that are worked on at a time
_GRIDS = 2  # pixel grids kept prepared, of some 100 MB each
_FIRST_MASK = (0.0, 250.0)  # velocity and σ, km/s, of the line mask under which the first fit is made
_FIRST_STEPS, _LAST_STEPS = (
    2,
    3,
)  # most steps of the fit that finds gas and spikes, and of the last; faint ones make one
_STILL = 5.0, 0.03  # km/s and u: within a smaller step the model is as good as linear
_BROAD = 0.15  # 1σ of u beyond which its likelihood is evaluated, not taken for a Gaussian
_NODES = 5  # values of u at which that is done …
_NODE_REACH = 3.0  # … within so many σ of the peak
_WIDEST_START = float(
    log_width(250.0)
)  # of u: from lines too wide a fit does not find its way, from narrow ones it does
_FIRST_DOF = 8.0  # coordinates determined by a first look
_SURE = 15.0  # km/s, error of the velocity in a fit below which it is trusted whatever the scan says
_LINEAR = np.array([60.0, 0.35])  # km/s and u, over which a spectrum changes evenly
_FAINT = 30.0  # km/s, 1σ of the velocity in the scan, beyond which the scan's own moments are used
_MARGIN = 0.008  # of the wavelength, at the ends of the prior, that broadening and shifts use up


class KinematicPosterior:
    """Posterior mean under a prior of populations at rest, with velocity, dispersion and calibration as parameters.

    Parameters
    ----------
    name : str
        Name in tables.
    prior : SpectralPrior
        Of unbroadened spectra at rest (`quietspec.lab.training.train_rest_prior`).
    calibration : CalibrationLaw, optional
        Of the instrument; a wide one if not given.
    emission : {'auto', 'strong', 'none'}, optional
        As for `Posterior`.
    noise : {'measured', 'quoted'}, optional
        As for `Posterior`.
    """

    def __init__(
        self,
        name: str,
        prior: SpectralPrior,
        calibration: CalibrationLaw | None = None,
        emission: Emission | None = None,
        noise: Noise | None = None,
    ) -> None:
        self.name, self.prior = name, prior
        self.calibration = calibration or CalibrationLaw()
        self.emission: Emission = emission or prior.card.get("emission", "auto")
        self.noise: Noise = noise or prior.card.get("noise", "measured")
        self.coordinates = KinematicCoordinates(prior)
        self._grids: dict[tuple[object, ...], KinematicGrid | None] = {}
        self._making_grid = Lock()

    def __getstate__(self) -> dict[str, object]:
        """What is sent to other processes: prepared grids are not, they are made anew."""
        return {name: value for name, value in self.__dict__.items() if name != "_making_grid"} | {"_grids": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._making_grid = Lock()

    @property
    def model(self) -> ModelId:
        """The name, with the hash of the prior."""
        return ModelId(self.name, self.prior.hash)

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`.

        Parameters
        ----------
        spectra : Spectra
            With redshifts.

        Returns
        -------
        Denoised
            NaN outside the model's wavelengths. The flux contains the flux-calibration error that the data show.
        """
        return without_gross_outliers(spectra, self._denoise)

    def _denoise(self, spectra: Spectra) -> Denoised:
        result = KinematicResults(spectra, self.coordinates)
        result.flags |= initial_flags(spectra, rest_frame=True)
        for redshift, rows in spectra.by_redshift(np.flatnonzero(result.flags == 0)):
            for alike in spectra.by_resolution(rows):
                self._denoise_alike(spectra, alike, redshift, result)
        return result.finish(self.model)

    def _denoise_alike(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], redshift: float, result: KinematicResults
    ) -> None:
        grid = self._grid(spectra, redshift, int(rows[0]))
        if grid is None:
            result.flags[rows] |= int(Flag.OUT_OF_RANGE)
            return
        rows = rows[flag_few_pixels(result.flags, rows, spectra.good[rows, grid.pixels].sum(axis=1))]
        for start in range(0, len(rows), _BATCH):
            self._denoise_batches(spectra, rows[start : start + _BATCH], grid, result)

    def _denoise_batches(
        self, spectra: Spectra, rows: npt.NDArray[np.intp], grid: KinematicGrid, result: KinematicResults
    ) -> None:
        """Denoise spectra together; where the algebra breaks down on one of them, find and flag it."""
        try:
            _Batch(self, spectra, rows, grid).denoise(result)
        except np.linalg.LinAlgError:
            if len(rows) == 1:
                result.flags[rows] |= int(Flag.UNDETERMINED)
                return
            for half in np.array_split(rows, 2):
                self._denoise_batches(spectra, half, grid, result)

    def _grid(self, spectra: Spectra, redshift: float, row: int) -> KinematicGrid | None:
        """Pixels of a spectrum that the model covers, None if there are none; kept for the next tile."""
        fwhm = None if spectra.fwhm is None else np.atleast_2d(spectra.fwhm)[0 if spectra.fwhm.ndim == 1 else row]
        key = (spectra.wavelength.tobytes(), spectra.medium, redshift, None if fwhm is None else fwhm.tobytes())
        with self._making_grid:
            if key not in self._grids:
                while len(self._grids) >= _GRIDS:
                    self._grids.pop(next(iter(self._grids)))
                self._grids[key] = self._new_grid(spectra, redshift, None if fwhm is None else fwhm / (1 + redshift))
            return self._grids[key]

    def _new_grid(self, spectra: Spectra, redshift: float, fwhm: FloatArray | None) -> KinematicGrid | None:
        prior = self.prior
        rest = rest_air(spectra.wavelength, redshift, spectra.medium)
        inside = (rest > prior.wavelength[0] * (1 + _MARGIN)) & (rest < prior.wavelength[-1] * (1 - _MARGIN))
        covered = np.flatnonzero(inside)
        if not covered.size:
            return None
        pixels = slice(int(covered[0]), int(covered[-1]) + 1)  # wavelengths increase
        rest = rest[pixels]
        own = np.interp(rest, prior.wavelength, prior.fwhm)
        fwhm = None if fwhm is None else fwhm[pixels]
        width = own if fwhm is None else np.maximum(own, np.nan_to_num(fwhm))
        basis = LosvdBasis(self.coordinates.table, rest, fwhm)
        knots = self.calibration.knots(spectra.wavelength[pixels])
        truncation = np.interp(rest, prior.wavelength, prior.truncation)
        scan = VelocityScan(basis, self.coordinates.populations.centre)
        return KinematicGrid(
            pixels,
            spectra.wavelength[pixels],
            rest,
            width,
            truncation,
            PixelModel(self.coordinates, basis, knots),
            scan,
        )


def _is_still(step: FloatArray) -> bool:
    """Whether a step hardly moves velocity and u."""
    size = KinematicCoordinates.motion_sizes
    return bool(np.all(np.abs(step[:MOTIONS] * size) < _STILL))


class _Batch:
    """Spectra of one grid, in units of their typical error and single precision."""

    def __init__(
        self, denoiser: KinematicPosterior, spectra: Spectra, index: npt.NDArray[np.intp], grid: KinematicGrid
    ) -> None:
        weight = spectra.ivar[index, grid.pixels].astype(np.float64)
        used = weight > 0
        unit = np.sqrt(used.sum(axis=1) / weight.sum(axis=1))
        flux = np.where(used, spectra.flux[index, grid.pixels], 0) / unit[:, None]
        self.denoiser, self.index, self.grid, self.unit = denoiser, index, grid, unit
        self.flux = flux.astype(np.float32)
        self.weight = (weight * unit[:, None] ** 2).astype(np.float32)

    def denoise(self, result: KinematicResults) -> None:
        """Fit, and store what came out."""
        first = np.zeros(self.flux.shape, dtype=bool)
        if self.denoiser.emission != "none":
            first |= line_mask(self.grid.rest, self.grid.fwhm, *_FIRST_MASK)
        scan, begun, weight = self._first_look(first, result)
        faint = scan.covariance[:, 0, 0] > _FAINT**2
        states, residual, dof = self._fit(begun, weight, faint)
        ignored = self._spoilt(residual, first) & (self.weight > 0)
        weight = np.where(ignored, 0, self.weight)
        noise_scales = np.ones(len(states))
        if self.denoiser.noise == "measured":
            noise_scales = np.asarray(noise_scale(residual, weight, dof))
            weight /= noise_scales.astype(np.float32)[:, None] ** 2
        size = np.array([state.scale for state in states], dtype=np.float32)
        weight /= 1 + weight * (size[:, None] * self.grid.truncation.astype(np.float32)) ** 2
        spectra = zip(states, self.flux, weight, faint.tolist(), strict=True)
        fitted = [self._last_fit(*one) for one in spectra]
        result.noise_scale[self.index], result.ignored[self.index, self.grid.pixels] = noise_scales, ignored
        self._store(fitted, scan, weight, result)

    def _first_look(self, first: BoolArray, result: KinematicResults) -> tuple[ScanResult, list[State], FloatArray]:
        """Velocities and dispersions by the scan, states to fit from, and weights without what looks spoilt."""
        scan = self.grid.scan
        residual = scan.residual(self.flux, np.where(first, 0, self.weight))
        weight = np.where(self._spoilt(residual, first), 0, self.weight)
        scale, error = scan.scale(self.flux, weight)
        result.flags[self.index[scale < 2 * error]] |= int(Flag.NO_SIGNAL)
        model = self.flux - residual
        factor = rough_factor(self.flux, weight, model, self.grid.wavelength)
        trusted = np.ones(len(factor))
        if self.denoiser.noise == "measured":
            noise = noise_scale(self.flux - factor * model, weight, np.full(len(factor), _FIRST_DOF))
            trusted = np.maximum(noise, 1.0) ** -2
        found = scan(self.flux / factor, (weight * factor**2 * trusted[:, None]).astype(np.float32))
        widths = np.minimum(found.peak[:, 1], _WIDEST_START)
        places = zip(found.peak[:, 0], widths, np.maximum(scale, error), strict=True)
        return found, [self.grid.model.start(*place) for place in places], weight

    def _store(self, fitted: list[Fitted], scan: ScanResult, weight: FloatArray, result: KinematicResults) -> None:
        """Take all components of the prior into account, give the motions their true posterior, and store."""
        scale = np.array([one.state.scale for one in fitted])
        posterior = infer(_projections(fitted, scale), self.denoiser.coordinates, scale)
        for row, (index, one) in enumerate(zip(self.index, fitted, strict=True)):
            joint = posterior.mean[row] / scale[row], posterior.covariance[row] / scale[row] ** 2
            labels = posterior.labels[row : row + 1]
            if one.faint:
                joint, labels = _as_scanned(joint, labels, scan.mean[row], scan.covariance[row])
            else:
                joint, labels = _with_true_dispersion(joint, labels, one)
            result.store(int(index), self.grid, one, joint, labels, float(self.unit[row]))
        cost = np.array([one.marginalised.log_determinant for one in fitted])
        result.dof[self.index] = (weight > 0).sum(axis=1) - posterior.dof
        result.evidence[self.index] = posterior.log_evidence - 0.5 * cost + _noise_constant(weight, self.unit)

    def _spoilt(self, residual: FloatArray, first: BoolArray) -> BoolArray:
        """Pixels spoilt by spikes and (unless `emission` is 'none') gas, seen in what a fit without `first` left."""
        spoilt = spike_mask(residual, np.where(first, 0, self.weight))
        if self.denoiser.emission == "none":
            return spoilt
        pixels = self.grid.rest, self.grid.fwhm
        return spoilt | gas_mask(residual, self.flux, self.weight, pixels, self.denoiser.emission)

    def _fit(
        self, states: list[State], weight: FloatArray, faint: BoolArray
    ) -> tuple[list[State], FloatArray, FloatArray]:
        """Fit under one Gaussian: states, residuals and numbers of coordinates the data determine."""
        moved, residuals, dof = [], np.empty_like(self.flux), np.empty(len(states))
        for row, (state, flux, one) in enumerate(zip(states, self.flux, weight, strict=True)):
            for _ in range(1 if faint[row] else _FIRST_STEPS):
                linearised = self.grid.model.linearise(state)
                residual = flux - linearised.model
                marginalised = linearised.marginalise(residual, one)
                step, scale = marginalised.step()
                state = state.moved(step, scale)
                if _is_still(step):
                    break
            moved.append(state)
            residuals[row] = residual - linearised.change(step)
            dof[row] = marginalised.determined(scale)
        return moved, residuals, dof

    def _last_fit(self, state: State, flux: FloatArray, weight: FloatArray, faint: bool) -> Fitted:
        for last in range(1 if faint else _LAST_STEPS, 0, -1):
            linearised = self.grid.model.linearise(state)
            marginalised = linearised.marginalise(flux - linearised.model, weight)
            step, scale = marginalised.step()
            if last == 1 or _is_still(step):
                break
            state = state.moved(step, scale)
        velocity_error, error = marginalised.errors(scale)
        faint &= velocity_error > _SURE
        widths = np.empty(0)
        if not faint and error > _BROAD:
            centre, reach = state.width, _NODE_REACH * error
            widths = np.linspace(max(centre - reach, NARROWEST), min(centre + reach, WIDEST), _NODES)
        logs = [self.grid.model.log_likelihood(state, float(width), flux, weight) for width in widths]
        return Fitted(marginalised, faint, widths, np.array(logs))


def _projections(fitted: list[Fitted], scale: FloatArray) -> Projections:
    """What the data say, in coordinates that grow with the scale."""
    starts, grams, gradients = [], [], []
    for one, size in zip(fitted, scale, strict=True):
        state = one.state
        shrink = np.ones(len(one.marginalised.gradient))
        shrink[:MOTIONS] = 1 / size
        starts.append(np.concatenate([state.motions() * size, state.populations]))
        grams.append(one.marginalised.gram * shrink[:, None] * shrink)
        gradients.append(one.marginalised.gradient * shrink)
    chi2 = np.array([one.marginalised.chi2 for one in fitted])
    return Projections(np.array(starts), np.array(grams), np.array(gradients), np.zeros((len(fitted), 0)), chi2)


def _with_true_dispersion(joint: Joint, labels: ParameterPosterior, one: Fitted) -> tuple[Joint, ParameterPosterior]:
    mean, error = float(labels.mean("width")[0]), float(labels.sigma("width")[0])
    if one.nodes.size:
        found = Dispersion.of_nodes(one.nodes, one.log_likelihood)
    else:
        found = Dispersion.of_gaussian(mean, error**2)
    centre, size = KinematicCoordinates.motions(np.zeros(MOTIONS)), KinematicCoordinates.motion_sizes
    width = np.array([(found.mean - centre[1]) / size[1]])
    joint = condition_on_motions(*joint, width, np.array([[found.variance / size[1] ** 2]]), 1)
    # The velocity follows u as it is correlated with it.
    moved = KinematicCoordinates.motions(joint[0][:MOTIONS])
    velocity = float(moved[0]), float(np.sqrt(joint[1][0, 0]) * size[0])
    return joint, label_motions(labels, velocity, found)


def _as_scanned(
    joint: Joint, labels: ParameterPosterior, mean: FloatArray, covariance: FloatArray
) -> tuple[Joint, ParameterPosterior]:
    centre, size = KinematicCoordinates.motions(np.zeros(MOTIONS)), KinematicCoordinates.motion_sizes
    # The flux is linear in the motions only so far; their own posterior is given as it is.
    fitted = KinematicCoordinates.motions(joint[0][:MOTIONS])
    near = fitted + np.clip(mean - fitted, -_LINEAR, _LINEAR)
    shrink = np.minimum(_LINEAR / np.sqrt(np.diagonal(covariance)), 1.0)
    joint = condition_on_motions(*joint, (near - centre) / size, covariance * np.outer(shrink / size, shrink / size))
    found = Dispersion.of_normal(float(mean[1]), float(covariance[1, 1]))
    return joint, label_motions(labels, (float(mean[0]), float(covariance[0, 0] ** 0.5)), found)


def _noise_constant(weight: FloatArray, unit: FloatArray) -> FloatArray:
    """−½ Σ ln(2πσ²) over the pixels used, (n_spectra,), of inverse variances in units of each spectrum."""
    used = weight > 0
    terms = np.log(np.where(used, weight, 1))
    constant = np.log(2 * np.pi) + 2 * np.log(unit)
    return np.asarray(0.5 * (terms.sum(axis=1, dtype=np.float64) - used.sum(axis=1) * constant))
