"""`Denoised`: what a denoiser says the noise-free spectra are, how sure it is, and its flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, join_rows, require_shape, select_rows
from quietspec.errors import SpectraError
from quietspec.exchange import specutils_spectrum
from quietspec.lines import Line, LinePosterior
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra
from quietspec.statistics import median_snr
from quietspec.summaries import Summarised, span

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["FAILURES", "Denoised", "Flag", "ModelId"]

Component = Literal["host", "nucleus"]

_HASH_SHOWN = 16  # digits of a hash that tell models apart in texts


class Flag(IntFlag):
    """Why a spectrum was not denoised, or why its result is in doubt. Bits combine."""

    OK = 0
    EMPTY = 1  #: no pixel with a finite flux and a positive inverse variance
    NO_REDSHIFT = 2  #: the denoiser works in the rest frame and the redshift is unknown
    OUT_OF_RANGE = 4  #: the redshift moves every good pixel out of the model's wavelengths
    NO_SIGNAL = 8  #: the flux scale is not above zero by twice its error
    POOR_FIT = 16  #: χ² per degree of freedom above 1.5, and improbable (p < 0.001), after `noise_scale`
    UNLIKE_PRIOR = 32  #: at its redshift, but with features or colours that the model does not know
    WRONG_REDSHIFT = 64  #: another redshift explains its features better; used instead if within 2000 km/s
    STAR = 128  #: stars at redshift 0 explain its features better
    NOT_GALAXY = 256  #: a smooth continuum explains it better than any galaxy does: quasar, artefact
    MISSCALED = 512  #: the scatter of its channels is not what the quoted errors say
    UNDETERMINED = 1024  #: fewer than 6 good pixels to go by, or values beyond what the arithmetic can hold
    PRIOR_LABELS = 2048  #: at least one label is little more than the prior: its error exceeds 0.9 of the prior's
    NUCLEUS = 4096  #: light of an active nucleus is seen: broad lines, or a power law
    STRONG_LINES = (
        8192  #: gas lines of more than 300 Å of equivalent width in all; stars are not seen under their wings
    )

    @property
    def failed(self) -> bool:
        """Whether the denoised spectrum is NaN because of this flag."""
        return bool(self & FAILURES)


#: Flags of spectra without an estimate.
FAILURES = Flag.EMPTY | Flag.NO_REDSHIFT | Flag.OUT_OF_RANGE | Flag.UNDETERMINED


@dataclass(frozen=True)
class ModelId:
    """What made a result; as text, name and the first 16 digits of the hash.

    Parameters
    ----------
    name : str
        Name of the denoiser, with its settings where there is no model file.
    hash : str, optional
        SHA-256 of the model behind it, 64 hexadecimal digits; None where there is none.

    Examples
    --------
    >>> print(ModelId("posterior", "05307f056e6ba8bf9ad04d673e934f5cf3da701ab983c8765f02ff5460bd778f"))
    posterior 05307f056e6ba8bf
    """

    name: str
    hash: str | None = None

    @property
    def short_hash(self) -> str | None:
        """The first 16 digits of the hash."""
        return None if self.hash is None else self.hash[:_HASH_SHOWN]

    def __str__(self) -> str:
        return self.name if self.hash is None else f"{self.name} {self.short_hash}"


_PER_SPECTRUM = (
    "flux", "sigma", "flags", "ignored", "chi2", "dof", "evidence", "noise_scale", "p_value", "redshift",
    "parameter_posterior", "remainder", "lines",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Denoised(Summarised):
    """What a denoiser says the noise-free spectra are, and how sure it is.

    Parameters
    ----------
    spectra : Spectra
        What was denoised.
    flux, sigma : (n_spectra, n_pixels)
        Estimate of the noise-free flux and its 1σ error, in ``spectra.unit``; NaN where the denoiser says nothing
        (outside its wavelengths, or the spectrum's flag is a failure).
    flags : (n_spectra,) of int
        Bits of `Flag`.
    ignored : (n_spectra, n_pixels) of bool
        Good input pixels the denoiser left out: emission lines, spikes.
    model : ModelId
        The denoiser, with the hash of its model where it has one.
    chi2, dof : (n_spectra,)
        χ² of data minus estimate over the pixels used, and the number of these less the effective number of
        parameters; NaN where the denoiser does not define them.
    evidence : (n_spectra,)
        Log evidence ln p(data | model); NaN where the denoiser defines none.
    parameters : mapping of str to ((n_spectra,), (n_spectra,))
        Mean and 1σ of physical parameters, by name.
    parameter_posterior : ParameterPosterior, optional
        Joint posterior of the same parameters; none where the denoiser has only means and errors.
    factor_of : callable, optional
        Maps a row number to F of shape (n_pixels, n_factors); the pixel covariance is F Fᵀ + diag(remainder²).
    nucleus_of : callable, optional
        Maps a row number to the flux (n_pixels,) of an active nucleus, and a square root (n_pixels, n_factors) of its
        covariance in the columns of F.
    remainder : (n_spectra, n_pixels), optional
        The part of `sigma` that is independent from pixel to pixel; none if not given.
    noise_scale : (n_spectra,), optional
        Factor by which the denoiser took the input's errors to be larger than quoted; 1 if not given. Where it was
        measured on n pixels, its own relative error is √(3.5 / n).
    p_value : (n_spectra,), optional
        Probability that a galaxy at its redshift looks as odd as this spectrum; NaN where nothing tells.
    redshift : (n_spectra,), optional
        Redshift at which each was denoised; that of ``spectra`` if not given.
    lines : LinePosterior, optional
        Emission lines, where they were fitted with the stars (``emission="fit"``).

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> denoised
    <Denoised: 4 spectra, by posterior f6476c755dd308f1, median S/N 30.4 → 205.3, z 0.03, flags: none>
    >>> age, error = denoised.parameters["log_age_lw"]
    >>> age.round(1)
    array([9.8, 9.9, 9.8, 9.9])
    >>> bool((denoised.snr > 3 * denoised.snr_before).all()), int(denoised.valid[0].sum())
    (True, 2757)
    >>> bool((denoised.counted <= denoised.valid).all()), denoised.residual.shape
    (True, (4, 2757))
    """

    spectra: Spectra
    flux: FloatArray
    sigma: FloatArray
    flags: npt.NDArray[np.integer[Any]]
    ignored: BoolArray
    model: ModelId
    chi2: FloatArray
    dof: FloatArray
    evidence: FloatArray
    parameters: Mapping[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    parameter_posterior: ParameterPosterior | None = None
    factor_of: Callable[[int], FloatArray] | None = None
    nucleus_of: Callable[[int], tuple[FloatArray, FloatArray]] | None = None
    remainder: FloatArray | None = None
    noise_scale: FloatArray = field(default_factory=lambda: np.array(1.0))
    p_value: FloatArray = field(default_factory=lambda: np.array(np.nan))
    redshift: FloatArray | None = None
    lines: LinePosterior | None = None

    def __post_init__(self) -> None:
        shape = self.spectra.flux.shape
        redshift = self.spectra.redshift if self.redshift is None else self.redshift
        for name, values in (("noise_scale", self.noise_scale), ("p_value", self.p_value), ("redshift", redshift)):
            object.__setattr__(self, name, np.broadcast_to(values, shape[:1]))
        for name in ("flux", "sigma", "ignored"):
            require_shape(f"Denoised.{name}", getattr(self, name), shape)
        for name in ("flags", "chi2", "dof", "evidence"):
            require_shape(f"Denoised.{name}", getattr(self, name), shape[:1])

    def __len__(self) -> int:
        return len(self.spectra)

    def _preview(self) -> tuple[FloatArray, list[FloatArray]]:
        """Wavelengths, input and estimate of the brightest spectrum, for a thumbnail."""
        known = np.isfinite(self.snr_before)
        rows = np.nanargmax([self.snr_before], axis=1) if known.any() else []
        good, spectra = self.spectra.good, self.spectra
        lines = [line for row in rows for line in (np.where(good[row], spectra.flux[row], np.nan), self.flux[row])]
        return spectra.wavelength, lines

    def _facts(self) -> dict[str, str]:
        """What a summary tells, by name."""
        known = np.isfinite(self.snr)
        before, after = (np.median(snr[known]) if known.any() else np.nan for snr in (self.snr_before, self.snr))
        names = {flag.name: int(np.sum(self.flags & flag != 0)) for flag in Flag if flag}
        flagged = ", ".join(f"{count} {name}" for name, count in names.items() if count)
        return {
            "spectra": f"{len(self)} spectra" if len(self) != 1 else "1 spectrum",
            "model": f"by {self.model}",
            "S/N": f"median S/N {before:.1f} → {after:.1f}",
            "redshift": f"z {span(self.spectra.redshift)}",
            "flags": f"flags: {flagged or 'none'}",
        }

    @property
    def valid(self) -> BoolArray:
        """Pixels with an estimate, (n_spectra, n_pixels)."""
        return np.isfinite(self.flux)

    @property
    def counted(self) -> BoolArray:
        """Good pixels with an estimate that the denoiser did not leave out, (n_spectra, n_pixels)."""
        return self.valid & self.spectra.good & ~self.ignored

    @property
    def snr(self) -> FloatArray:
        """Median of denoised flux over its error, on the good pixels the model covers, (n_spectra,)."""
        return median_snr(self.flux, self.sigma, self.valid & self.spectra.good)

    @property
    def snr_before(self) -> FloatArray:
        """The same for the input, on the same pixels, (n_spectra,)."""
        return median_snr(self.spectra.flux, self.spectra.sigma, self.valid & self.spectra.good)

    @property
    def residual(self) -> FloatArray:
        """Input minus estimate, (n_spectra, n_pixels): noise, emission lines and whatever the model does not know."""
        return np.asarray(self.spectra.flux - self.flux)

    def covariance_factor(self, row: int) -> FloatArray:
        """Factor F of the covariance F Fᵀ + diag(remainder²) of one spectrum's estimate.

        Parameters
        ----------
        row : int
            Number of the spectrum.

        Returns
        -------
        (n_pixels, n_factors)
            F, in the flux's unit.

        Raises
        ------
        SpectraError
            If the denoiser gives no covariance.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> denoised.covariance_factor(0).shape[0]
        2757
        """
        if self.factor_of is None:
            raise SpectraError(f"{self.model}: this denoiser gives no covariance; only sigma.")
        return self.factor_of(range(len(self))[row])

    def covariance(self, row: int) -> FloatArray:
        """Covariance between the pixels of one spectrum's estimate.

        Parameters
        ----------
        row : int
            Number of the spectrum.

        Returns
        -------
        (n_pixels, n_pixels)
            In the flux's unit squared; its diagonal is ``sigma**2``.

        Raises
        ------
        SpectraError
            If the denoiser gives no covariance.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> bool(np.allclose(np.diag(denoised.covariance(0)), denoised.sigma[0] ** 2, rtol=1e-3))
        True
        """
        factor = self.covariance_factor(row)
        independent = 0.0 if self.remainder is None else self.remainder[row].astype(np.float64)
        return np.asarray(factor @ factor.T + np.diag(np.broadcast_to(independent, len(factor)) ** 2))

    def component(self, name: Component) -> tuple[FloatArray, FloatArray]:
        """Flux of a part of the light by itself.

        Parameters
        ----------
        name : {'host', 'nucleus'}
            Stars, or the active nucleus: power law, Fe II, Balmer continuum and broad lines. Both include the
            calibration error of the exposure, as `flux` does.

        Returns
        -------
        flux, sigma : (n_spectra, n_pixels)
            Estimate and its 1σ error, in the flux's unit. The two components add up to `flux`.

        Raises
        ------
        SpectraError
            If the denoiser does not tell them apart.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> host, _ = denoised.component("host")
        >>> nucleus, error = denoised.component("nucleus")
        >>> bool(np.allclose(host + nucleus, denoised.flux, rtol=1e-4)), error.shape
        (True, (4, 2757))
        """
        if name not in get_args(Component):
            raise SpectraError(f"component {name!r}: there are {' and '.join(get_args(Component))}.")
        flux, sigma = np.full((2, *self.flux.shape), np.nan)
        for row in range(len(self)):
            found, factor = self._nucleus(row)
            if name == "host":
                found, factor = self.flux[row] - found, self.covariance_factor(row) - factor
            flux[row], sigma[row] = found, np.sqrt(np.einsum("pi,pi->p", factor, factor))
        unknown = ~self.valid
        flux[unknown] = sigma[unknown] = np.nan
        return flux, sigma

    def _nucleus(self, row: int) -> tuple[FloatArray, FloatArray]:
        if self.nucleus_of is None:
            raise SpectraError(f"{self.model}: this denoiser does not tell nuclei from stars.")
        return self.nucleus_of(range(len(self))[row])

    def line(self, name: str) -> Line:
        """Flux and equivalent width of an emission line, fitted with the stars.

        Parameters
        ----------
        name : str
            A line of `quietspec.wavelengths.EMISSION_LINES`, or ``[OII]3727`` for the sum of the doublet.

        Returns
        -------
        Line
            Of all spectra.

        Raises
        ------
        SpectraError
            If no lines were fitted, or none of this name.

        Examples
        --------
        >>> import quietspec
        >>> cube = quietspec.read(quietspec.demo_cube())[9:11, 9:11]
        >>> denoised = quietspec.load_denoiser("posterior", emission="fit").denoise(cube)
        >>> halpha = denoised.line("Halpha")
        >>> halpha.flux.shape, bool((halpha.error > 0).all())
        ((4,), True)
        """
        if self.lines is None:
            raise SpectraError('no emission lines were fitted; make the denoiser with emission="fit".')
        return self.lines.line(name)

    def __getitem__(self, index: Any) -> Self:
        """Select spectra by number, slice, list, mask, or ``[y, x]`` slices of a cube."""
        grid = np.arange(len(self))
        rows = grid.reshape(self.spectra.spatial_shape or (-1,))[index] if isinstance(index, tuple) else grid[index]
        rows = np.atleast_1d(rows).ravel()
        of, nucleus_of = self.factor_of, self.nucleus_of
        return replace(
            self,
            spectra=self.spectra[index],
            parameters={name: (mean[rows], sigma[rows]) for name, (mean, sigma) in self.parameters.items()},
            factor_of=None if of is None else (lambda row: of(int(rows[row]))),
            nucleus_of=None if nucleus_of is None else (lambda row: nucleus_of(int(rows[row]))),
            **{name: select_rows(getattr(self, name), rows) for name in _PER_SPECTRUM},
        )

    @classmethod
    def stack(cls, tiles: Sequence[Denoised], spectra: Spectra) -> Self:
        """Join the results of consecutive tiles of `spectra`.

        Parameters
        ----------
        tiles : sequence of Denoised
            From one denoiser, in the order of the spectra.
        spectra : Spectra
            The whole input.

        Returns
        -------
        Denoised
            Of the whole; covariance factors are kept where the tiles have them.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> Denoised.stack([denoised[:2], denoised[2:]], denoised.spectra).flux.shape
        (4, 2757)
        """
        first = tiles[0]
        starts = np.cumsum([0, *(len(tile) for tile in tiles)])

        def tile_of(row: int) -> tuple[Denoised, int]:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            return tiles[number], row - int(starts[number])

        def factor_of(row: int) -> FloatArray:
            tile, place = tile_of(row)
            return tile.covariance_factor(place)

        def nucleus_of(row: int) -> tuple[FloatArray, FloatArray]:
            tile, place = tile_of(row)
            return tile._nucleus(place)

        return cls(
            spectra=spectra,
            model=first.model,
            parameters={
                name: tuple(join_rows([tile.parameters[name][part] for tile in tiles]) for part in (0, 1))
                for name in first.parameters
            },
            factor_of=None if first.factor_of is None else factor_of,
            nucleus_of=None if first.nucleus_of is None else nucleus_of,
            **{name: join_rows([getattr(tile, name) for tile in tiles]) for name in _PER_SPECTRUM},
        )

    def to_specutils(self) -> Spectrum:
        """Convert the estimate to a specutils `Spectrum`.

        Returns
        -------
        specutils.Spectrum
            With 1σ uncertainty; pixels without an estimate are masked.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> denoised.to_specutils().shape
        (2, 2, 2757)
        """
        spectra = self.spectra
        return specutils_spectrum(
            spectra.wavelength, *map(spectra._on_sky, (self.flux, self.sigma, ~self.valid)), unit=spectra.unit,
            redshift=spectra.redshift, meta=spectra.meta,
        )  # fmt: skip
