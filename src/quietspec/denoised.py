"""`Denoised`: what a denoiser says the noise-free spectra are, how sure it is, and its flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from quietspec.arrays import BoolArray, FloatArray, join_rows, require_shape, select_rows
from quietspec.compact import CompactPosterior
from quietspec.correlated import Correlated
from quietspec.exchange import specutils_spectrum
from quietspec.flags import FAILURES, Flag, ModelId
from quietspec.lines import LinePosterior
from quietspec.measuring import Measuring
from quietspec.parameters import ParameterPosterior
from quietspec.spectra import Spectra
from quietspec.statistics import median_snr
from quietspec.summaries import Summarised, span

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["FAILURES", "Denoised", "Flag", "ModelId"]


_PER_SPECTRUM = (
    "flux", "sigma", "flags", "ignored", "chi2", "dof", "evidence", "noise_scale", "p_value", "redshift",
    "parameter_posterior", "remainder", "lines", "compact", "n_spaxels", "of_galaxy",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Denoised(Summarised, Correlated, Measuring):
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
        χ² of data minus estimate over the pixels used, less what the denoiser ascribes to the air, and the number of
        these pixels less the effective number of parameters; NaN where the denoiser does not define them.
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
        measured on n pixels, its own relative error is √(3.5 / n). The posterior raises the errors of a spectrum whose
        median S/N per pixel is above 1000 to that S/N, since what its model leaves out is larger; this counts too.
    p_value : (n_spectra,), optional
        Probability that a galaxy at its redshift looks as odd as this spectrum; NaN where nothing tells.
    redshift : (n_spectra,), optional
        Redshift at which each was denoised; that of ``spectra`` if not given.
    lines : LinePosterior, optional
        Emission lines, where they were fitted with the stars (``emission="fit"``).
    compact : CompactPosterior, optional
        What the covariances follow from, as files hold it.
    n_spaxels : (n_spectra,), optional
        Number of spaxels that each estimate of a cube denoised as a whole rests on, counted in spaxels like itself.
    of_galaxy : (n_spectra,), optional
        Probability that a spaxel of such a cube follows its galaxy and its neighbours, not the survey as a whole.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> denoised
    <Denoised: 4 spectra, by posterior 427cf81c89d9607a, median S/N 30.4 → 188.7, z 0.03, flags: none>
    >>> age, error = denoised.parameters["log_age_lw"]
    >>> age.round(1)
    array([9.8, 9.9, 9.9, 9.9])
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
    compact: CompactPosterior | None = None
    n_spaxels: FloatArray | None = None
    of_galaxy: FloatArray | None = None

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
        after = np.median(self.snr[known]) if known.any() else np.nan
        before = f"{np.nanmedian(self.snr_before):.1f} → " if np.isfinite(self.snr_before).any() else ""
        names = {flag.name: int(np.sum(self.flags & flag != 0)) for flag in Flag if flag}
        flagged = ", ".join(f"{count} {name}" for name, count in names.items() if count)
        return {
            "spectra": f"{len(self)} spectra" if len(self) != 1 else "1 spectrum",
            "model": f"by {self.model}",
            "S/N": f"median S/N {before}{after:.1f}",
            "redshift": f"z {span(self.spectra.redshift)}",
            "flags": f"flags: {flagged or 'none'}",
        }

    @property
    def counted(self) -> BoolArray:
        """Good pixels with an estimate that the denoiser did not leave out, (n_spectra, n_pixels)."""
        return self.valid & self.spectra.good & ~self.ignored

    @property
    def snr(self) -> FloatArray:
        """Median of denoised flux over its error, on the good pixels the model covers, (n_spectra,)."""
        good = self.spectra.good
        seen = self.valid & good if good.any() else self.valid  # without the input, as files are: all it covers
        return median_snr(self.flux, self.sigma, seen)

    @property
    def snr_before(self) -> FloatArray:
        """The same for the input, on the same pixels, (n_spectra,)."""
        return median_snr(self.spectra.flux, self.spectra.sigma, self.valid & self.spectra.good)

    @property
    def residual(self) -> FloatArray:
        """Input minus estimate, (n_spectra, n_pixels): noise, emission lines and whatever the model does not know."""
        return np.asarray(self.spectra.flux - self.flux)

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
    def read(cls, path: str | PathLike[str], model: str | PathLike[str] | None = None) -> Denoised:
        """Read a file of denoised spectra as the result from which it was written.

        Parameters
        ----------
        path : path
            A file that ``quietspec denoise`` or `quietspec.write` made.
        model : str or path, optional
            File of the model that made it, where that is none of those that ship.

        Returns
        -------
        Denoised
            With the covariances, where the file has a POSTERIOR. The file does not hold the input: ``spectra`` has
            inverse variances of 0, and NaN for fluxes unless the file has a RESIDUAL. Line fluxes and the joint
            posterior of the parameters are not in it either.

        Raises
        ------
        ReadError
            If it is no such file, or damaged.
        ModelError
            If its model is not at hand.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     quietspec.write(denoised, Path(folder) / "out.fits")
        ...     again = quietspec.Denoised.read(Path(folder) / "out.fits")
        >>> bool(np.allclose(again.covariance(0), denoised.covariance(0), rtol=1e-5, atol=1e-8))
        True
        """
        restored: Denoised = import_module("quietspec.files").restore(path, model)  # which is built on this
        return restored

    def view(self, **options: Any) -> Any:
        """Show maps and spectra in a notebook's cell, or at an address.

        Parameters
        ----------
        **options
            ``port`` and ``hosts`` of `quietspec.view.view_denoised`.

        Returns
        -------
        quietspec.view.notebook.InlineView
            The page, as the value of the cell; its `close` ends it.

        Examples
        --------
        >>> import quietspec
        >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
        >>> page = denoised.view()
        >>> page.close()
        """
        return import_module("quietspec.view").view_denoised(self, **options)  # which is built on this

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
        if any(tile.lines is not None for tile in tiles):  # a tile without any estimate has none
            tiles = [replace(tile, lines=tile.lines or LinePosterior.empty(len(tile))) for tile in tiles]
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
