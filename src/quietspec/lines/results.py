"""What a posterior says of emission lines: fluxes with their covariance, equivalent widths, motions, draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtr, ndtri

from quietspec.arrays import SHARED, BySpectrum, FloatArray
from quietspec.errors import SpectraError
from quietspec.lines.catalogue import GROUPS, LineGroup

__all__ = ["BroadLines", "FittedLines", "GasMotion", "Line", "LinePosterior"]

_FURTHER = (
    "second_velocity", "second_sigma", "second_share", "broad_halpha", "broad_hbeta", "broad_velocity", "broad_fwhm",
)  # fmt: skip
_OF = {name: (group, ratio) for group in GROUPS for name, ratio in group.members}


class GasMotion(NamedTuple):
    """Motion of a part of the gas: of the fainter of two components, or of the forbidden lines.

    Parameters
    ----------
    velocity, log_sigma : float
        Velocity (km/s) and ln σ_g.
    motion_errors : (2,)
        1σ of these.
    """

    velocity: float
    log_sigma: float
    motion_errors: FloatArray


class BroadLines(NamedTuple):
    """Broad Balmer lines; each a value and its 1σ, in the order given, NaN where not covered.

    Parameters
    ----------
    halpha, hbeta : (float, float)
        Fluxes, flux unit times rest-frame Å.
    velocity, fwhm : (float, float)
        Velocity and full width at half maximum, km/s.
    """

    halpha: tuple[float, float]
    hbeta: tuple[float, float]
    velocity: tuple[float, float]
    fwhm: tuple[float, float]


@dataclass(frozen=True, eq=False)
class FittedLines:
    """Lines of one spectrum in units of the fit.

    Parameters
    ----------
    flux : (n_groups,)
        Fluxes, flux unit times rest-frame Å.
    continuum : (n_groups,)
        Flux of the stars about each line.
    covariance : (2 n_groups, 2 n_groups)
        Joint covariance of fluxes and continua.
    velocity, log_sigma : float
        Velocity (km/s) and ln σ_g.
    motion_errors : (2,)
        1σ of these.
    components : int
        Number of narrow components whose motions were fitted; 0 where lines are averaged over the motions gas may have.
    second : GasMotion, optional
        Motion of the fainter of two components; `flux` is the sum of both.
    second_share : (float, float)
        Its share of the flux of the lines that reveal gas, and 1σ.
    forbidden : GasMotion, optional
        Motion of the forbidden lines, where it differs from that of the other lines.
    broad : BroadLines, optional
        Broad Balmer lines, where they are seen.
    """

    flux: FloatArray
    continuum: FloatArray
    covariance: FloatArray
    velocity: float
    log_sigma: float
    motion_errors: FloatArray
    components: int = 0
    second: GasMotion | None = None
    second_share: tuple[float, float] = (float("nan"), float("nan"))
    forbidden: GasMotion | None = None
    broad: BroadLines | None = None


@dataclass(frozen=True, eq=False)
class Line:
    """One line of n spectra; every array is (n_spectra,).

    Parameters
    ----------
    name : str
        Name.
    flux, error : (n_spectra,)
        Flux and its 1σ error, flux unit times Å; may be negative where there is no line.
    ew, ew_error : (n_spectra,)
        Rest-frame equivalent width in emission, Å, against the stars within 15 Å, and its 1σ error.
    """

    name: str
    flux: FloatArray
    error: FloatArray
    ew: FloatArray
    ew_error: FloatArray

    @property
    def snr(self) -> FloatArray:
        """Flux over error."""
        return np.asarray(self.flux / self.error)

    def upper_limit(self, level: float = 0.95) -> FloatArray:
        """Flux below which a line lies with this probability, given that it is no absorption line.

        Parameters
        ----------
        level : float
            Probability.

        Returns
        -------
        (n_spectra,)
            Upper limits, flux unit times Å.
        """
        below = ndtr(-self.snr)
        return np.asarray(self.flux + self.error * ndtri(below + level * (1 - below)))


@dataclass(frozen=True, eq=False)
class LinePosterior(BySpectrum):
    """Joint posterior of the emission lines of spectra: Gaussian in the fluxes.

    Parameters
    ----------
    names : tuple of str
        Groups of lines that are fitted, by their strongest line.
    flux : (n_spectra, n_groups)
        Observed flux of the strongest line of each, flux unit times observed Å; NaN where it is not covered.
    covariance : (n_spectra, n_groups, n_groups)
        Covariance of the fluxes, the errors of stars and calibration included.
    continuum, continuum_variance, covariance_with_continuum : (n_spectra, n_groups)
        Flux density of the stars about each line, its variance, and its covariance with the flux.
    velocity, sigma : (n_spectra, 2)
        Velocity of the gas relative to the redshift, and velocity dispersion, km/s: mean and 1σ; of the brighter
        component where there are two, and of the Balmer lines (and all others that are not forbidden) where forbidden
        lines move apart.
    forbidden_velocity, forbidden_sigma : (n_spectra, 2)
        Motion of the forbidden lines: equal to `velocity` and `sigma` where the evidence does not ask for their own.
    apart : (n_spectra,)
        1 where they have their own, 0 where they do not, NaN where lines are not known.
    components : (n_spectra,)
        Number of narrow components: 1, or 2 where the evidence asks for a second one; 0 where no motion is known, and
        fluxes are averages over those that gas may have.
    second_velocity, second_sigma : (n_spectra, 2)
        Motion of the fainter component, NaN without one.
    second_share : (n_spectra, 2)
        Its share of the flux of [OII], Hβ, [OIII], [NII] and Hα together, and 1σ.
    broad_halpha, broad_hbeta : (n_spectra, 2)
        Observed flux of broad Balmer lines and 1σ; NaN where none are seen.
    broad_velocity, broad_fwhm : (n_spectra, 2)
        Their velocity and full width at half maximum, km/s, and 1σ.
    redshift : (n_spectra,)
        Redshift at which the spectra were fitted.
    """

    names: tuple[str, ...] = field(metadata=SHARED)
    flux: FloatArray
    covariance: FloatArray
    continuum: FloatArray
    continuum_variance: FloatArray
    covariance_with_continuum: FloatArray
    velocity: FloatArray
    sigma: FloatArray
    forbidden_velocity: FloatArray
    forbidden_sigma: FloatArray
    apart: FloatArray
    components: FloatArray
    second_velocity: FloatArray
    second_sigma: FloatArray
    second_share: FloatArray
    broad_halpha: FloatArray
    broad_hbeta: FloatArray
    broad_velocity: FloatArray
    broad_fwhm: FloatArray
    redshift: FloatArray

    def __len__(self) -> int:
        return len(self.flux)

    @classmethod
    def empty(cls, n: int, names: tuple[str, ...] | None = None) -> Self:
        """Lines of n spectra about which nothing is known."""
        names = tuple(group.name for group in GROUPS) if names is None else names

        def unknown(*shape: int) -> FloatArray:
            return np.full((n, *shape), np.nan, dtype=np.float32)

        size = len(names)
        return cls(
            names=names,
            flux=unknown(size),
            covariance=unknown(size, size),
            continuum=unknown(size),
            continuum_variance=unknown(size),
            covariance_with_continuum=unknown(size),
            velocity=unknown(2),
            sigma=unknown(2),
            forbidden_velocity=unknown(2),
            forbidden_sigma=unknown(2),
            apart=unknown(),
            components=unknown(),
            **{name: unknown(2) for name in _FURTHER},
            redshift=np.full(n, np.nan),
        )

    def with_fitted(
        self, row: int, groups: tuple[LineGroup, ...], found: FittedLines, unit: float, redshift: float
    ) -> None:
        """Put what was found about one spectrum in its place.

        Parameters
        ----------
        row : int
            Number of the spectrum.
        groups : tuple of LineGroup
            Groups that are fitted.
        found : FittedLines
            Their lines.
        unit : float
            Flux unit of the fit.
        redshift : float
            Redshift.
        """
        place = [self.names.index(group.name) for group in groups]
        n, wide = len(place), unit * (1 + redshift)
        self.flux[row, place] = found.flux * wide
        self.covariance[np.ix_([row], place, place)] = found.covariance[:n, :n] * wide**2
        self.continuum[row, place] = found.continuum * unit
        self.continuum_variance[row, place] = np.diagonal(found.covariance)[n:] * unit**2
        self.covariance_with_continuum[row, place] = np.diagonal(found.covariance, n) * unit * wide
        self.velocity[row], self.sigma[row] = _motion(found)
        self.forbidden_velocity[row], self.forbidden_sigma[row] = _motion(found.forbidden or found)
        self.apart[row] = found.forbidden is not None
        self.components[row] = found.components
        if found.second is not None:
            self.second_velocity[row], self.second_sigma[row] = _motion(found.second)
            self.second_share[row] = found.second_share
        if found.broad is not None:
            self.broad_halpha[row], self.broad_hbeta[row] = (np.multiply(one, wide) for one in found.broad[:2])
            self.broad_velocity[row], self.broad_fwhm[row] = found.broad[2:]
        self.redshift[row] = redshift

    def line(self, name: str) -> Line:
        """One line, or the sum of the [OII] doublet under the name ``[OII]3727``.

        Parameters
        ----------
        name : str
            A line of `quietspec.wavelengths.EMISSION_LINES`.

        Returns
        -------
        Line
            Flux, equivalent width and errors.

        Raises
        ------
        SpectraError
            If no such line is fitted.
        """
        weights = self._weights(name)
        used = weights != 0
        flux = self.flux[:, used] @ weights[used]
        variance = np.einsum("nij,i,j->n", self.covariance[:, used][:, :, used], weights[used], weights[used])
        share = np.abs(weights[used]) / np.abs(weights[used]).sum()
        continuum = self.continuum[:, used] @ share
        cross = self.covariance_with_continuum[:, used] @ weights[used]
        with np.errstate(divide="ignore", invalid="ignore"):
            ew = flux / continuum / (1 + self.redshift)
            spread = variance - 2 * cross * flux / continuum
            spread = spread + (self.continuum_variance[:, used] @ share) * (flux / continuum) ** 2
            ew_error = np.sqrt(np.maximum(spread, 0)) / np.abs(continuum) / (1 + self.redshift)
        return Line(name, flux, np.sqrt(variance), ew, ew_error)

    def _weights(self, name: str) -> FloatArray:
        """Weights of the groups' fluxes in that of a line, (n_groups,)."""
        if name == "[OII]3727":
            return self._weights("[OII]3726") + self._weights("[OII]3729")
        weights = np.zeros(len(self.names))
        group, ratio = _OF.get(name, (None, 0.0))
        if group is None or group.name not in self.names:
            known = ", ".join(one for group in self.names for one, _ in _OF[group][0].members)
            raise SpectraError(f"line {name!r} is not fitted; these are: {known}, [OII]3727.")
        weights[self.names.index(group.name)] = ratio
        return weights

    def draw(self, names: tuple[str, ...], n: int, rng: np.random.Generator) -> FloatArray:
        """Draw fluxes of lines from their joint posterior.

        Parameters
        ----------
        names : tuple of str
            Lines.
        n : int
            Number of draws.
        rng : numpy.random.Generator
            Source of the draws.

        Returns
        -------
        (n_spectra, n, n_names)
            Fluxes; NaN where a line is not covered.
        """
        weights = np.stack([self._weights(name) for name in names])
        used = (weights != 0).any(axis=0)
        weights, flux = weights[:, used], self.flux[:, used]
        covariance = weights @ self.covariance[:, used][:, :, used].astype(np.float64) @ weights.T
        known = np.isfinite(covariance).all(axis=(1, 2))
        drawn = np.full((len(flux), n, len(names)), np.nan)
        values, vectors = np.linalg.eigh(covariance[known])
        half = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        noise = rng.standard_normal((int(known.sum()), n, len(names)))
        drawn[known] = (flux[known] @ weights.T)[:, None] + noise @ np.swapaxes(half, 1, 2)
        return drawn


def _motion(of: FittedLines | GasMotion) -> tuple[tuple[float, float], tuple[float, float]]:
    """Velocity and σ, km/s, each with its 1σ."""
    sigma = float(np.exp(of.log_sigma))
    return (of.velocity, float(of.motion_errors[0])), (sigma, sigma * float(of.motion_errors[1]))
