"""What every denoiser is (`Denoiser`), and the way from its estimate to a `Denoised` with flags and χ²."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quietspec.denoised import Denoised, Flag
from quietspec.errors import SpectraError

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.spectra import Spectra

__all__ = ["POOR_FIT_PROBABILITY", "POOR_FIT_REDUCED", "Denoiser", "chi_square", "finish", "initial_flags"]

POOR_FIT_PROBABILITY = 0.001  #: a χ² less probable than this may set `Flag.POOR_FIT` …
POOR_FIT_REDUCED = 1.5  #: … if χ² per degree of freedom exceeds this: surveys' errors are rarely right to 20 %


class Denoiser(Protocol):
    """Anything that estimates noise-free spectra from noisy ones.

    Masked pixels never matter, spectra never matter to each other, and scaling the flux scales the result.
    """

    @property
    def name(self) -> str:
        """Short name, as in tables and on the command line."""
        ...

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`."""
        ...


def initial_flags(spectra: Spectra, *, rest_frame: bool = False) -> npt.NDArray[np.int64]:
    """Set the flags that follow from the data alone.

    Parameters
    ----------
    spectra : Spectra
        What is to be denoised.
    rest_frame : bool
        Whether the denoiser needs the redshift.

    Returns
    -------
    (n_spectra,) of int
        `Flag.EMPTY` where no pixel is good, `Flag.NO_REDSHIFT` where a needed redshift is unknown.

    Raises
    ------
    SpectraError
        If no spectrum has the redshift that is needed; a tile of a larger whole may be without.
    """
    unknown = ~np.isfinite(spectra.redshift)
    if rest_frame and len(spectra) and unknown.all() and "rows" not in spectra.meta:
        raise SpectraError(
            "denoise: no spectrum has a redshift, which this denoiser needs. Give it: spectra.with_redshift(z)."
        )
    flags = np.where(spectra.good.any(axis=1), 0, int(Flag.EMPTY))
    if rest_frame:
        flags |= np.where(unknown, int(Flag.NO_REDSHIFT), 0)
    return flags.astype(np.int64)


def chi_square(spectra: Spectra, flux: FloatArray, ignored: BoolArray | None = None) -> FloatArray:
    """Sum χ² of the data minus an estimate over good pixels that have one and are not ignored.

    Parameters
    ----------
    spectra : Spectra
        The data.
    flux : (n_spectra, n_pixels)
        The estimate; NaN where there is none.
    ignored : (n_spectra, n_pixels) of bool, optional
        Pixels left out.

    Returns
    -------
    (n_spectra,)
        χ².
    """
    used = spectra.good & np.isfinite(flux)
    if ignored is not None:
        used &= ~ignored
    residual = np.subtract(spectra.flux, flux, out=np.zeros(flux.shape), where=used)
    return np.asarray(np.sum(residual**2 * spectra.ivar, axis=1, dtype=np.float64))


def finish(
    spectra: Spectra,
    flux: FloatArray,
    sigma: FloatArray,
    *,
    model: str,
    flags: npt.NDArray[np.integer[Any]] | None = None,
    ignored: BoolArray | None = None,
    dof: FloatArray | None = None,
    **fields: Any,
) -> Denoised:
    """Make a `Denoised` out of an estimate: failed spectra become NaN, χ² is computed, improbable ones are flagged.

    Parameters
    ----------
    spectra : Spectra
        What was denoised.
    flux, sigma : (n_spectra, n_pixels)
        Estimate and its 1σ error, in ``spectra.unit``; NaN in either makes the pixel NaN in both.
    model : str
        Name of the denoiser.
    flags : (n_spectra,) of int, optional
        Bits of `Flag`; those of `initial_flags` if not given.
    ignored : (n_spectra, n_pixels) of bool, optional
        Good pixels the denoiser left out; none by default.
    dof : (n_spectra,), optional
        Expectation of χ² where the estimate is right; without it neither χ² nor `Flag.POOR_FIT` is set.
    **fields
        Other fields of `Denoised`.

    Returns
    -------
    Denoised
        Flux and sigma in the floating type of ``spectra.flux``.
    """
    flags = initial_flags(spectra) if flags is None else flags
    unset = np.full(len(spectra), np.nan)
    failed = np.array([Flag(int(flag)).failed for flag in flags], dtype=bool)
    silent = failed[:, None] | ~np.isfinite(flux) | ~np.isfinite(sigma)
    flux, sigma = (np.where(silent, np.nan, values).astype(spectra.flux.dtype) for values in (flux, sigma))
    chi2 = unset if dof is None else np.where(failed, np.nan, chi_square(spectra, flux, ignored))
    dof = unset if dof is None else np.where(failed, np.nan, dof)
    corrected = chi2 / np.maximum(fields.get("noise_scale", 1.0), 1.0) ** 2
    return Denoised(
        spectra=spectra,
        flux=flux,
        sigma=sigma,
        flags=np.where(_improbable(corrected, dof), flags | int(Flag.POOR_FIT), flags),
        ignored=np.zeros(flux.shape, dtype=bool) if ignored is None else ignored,
        model=model,
        **{"chi2": chi2, "dof": dof, "evidence": unset} | fields,
    )


def _improbable(chi2: FloatArray, dof: FloatArray) -> BoolArray:
    from scipy.stats import chi2 as chi2_distribution

    defined = np.isfinite(chi2) & (dof > 0)
    tail = chi2_distribution.sf(np.where(defined, chi2, 0), np.where(defined, dof, 1))
    return np.asarray(defined & (tail < POOR_FIT_PROBABILITY) & (chi2 > POOR_FIT_REDUCED * dof))
