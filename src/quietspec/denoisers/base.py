"""`Denoiser`, the protocol of all denoisers, and the way from an estimate to a `Denoised` with flags and χ²."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from quietspec.denoised import FAILURES, Denoised, Flag, ModelId
from quietspec.errors import ModelError, SpectraError
from quietspec.spectra import Spectra

if TYPE_CHECKING:
    import numpy.typing as npt

    from quietspec.arrays import BoolArray, FloatArray

__all__ = [
    "FEWEST_PIXELS", "POOR_FIT_PROBABILITY", "POOR_FIT_REDUCED", "Denoiser", "Emission", "chi_square", "finish",
    "flag_few_pixels", "import_extra", "initial_flags", "require_spectra",
]  # fmt: skip

#: How gas emission lines are treated: strong lines always masked and weak ones where gas is detected; strong lines
#: masked only; none masked.
Emission = Literal["auto", "strong", "none", "fit"]

FEWEST_PIXELS = 6  #: good pixels that a spectrum needs to be denoised
POOR_FIT_PROBABILITY = 0.001  #: a χ² less probable than this may set `Flag.POOR_FIT` …
POOR_FIT_REDUCED = 1.5  #: … if χ² per degree of freedom exceeds this: surveys' errors are rarely right to 20 %


class Denoiser(Protocol):
    """Anything that estimates noise-free spectra from noisy ones.

    The values of masked pixels never matter, no spectrum affects another (but where a cube is denoised as a whole), and
    scaling the flux scales the result.
    """

    @property
    def name(self) -> str:
        """Short name, as in tables and on the command line."""
        ...

    @property
    def model(self) -> ModelId:
        """What the results rest on: the name, with the hash of the model where there is one."""
        ...

    def denoise(self, spectra: Spectra) -> Denoised:
        """Estimate the noise-free flux and its error on the pixels of `spectra`."""
        ...


def import_extra(module: str, purpose: str) -> Any:
    """Import a package that comes with the extra `lab`.

    Parameters
    ----------
    module : str
        Name of the package.
    purpose : str
        What needs it, for the message.

    Returns
    -------
    module
        The package.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(f"{purpose} needs {module}, which is not installed: pip install 'quietspec[lab]'.") from error


def require_spectra(given: Any) -> Spectra:
    """Return `Spectra` as they are; for anything else, raise a `SpectraError` that says how to make them.

    Parameters
    ----------
    given : object
        What a denoiser was given.

    Returns
    -------
    Spectra
        The same.

    Raises
    ------
    SpectraError
        If these are no `Spectra`.
    """
    if isinstance(given, Spectra):
        return given
    name = type(given).__name__
    if hasattr(given, "spectral_axis"):
        cure = "Spectra.from_specutils(spectrum, medium='air', redshift=z)"
    elif isinstance(given, str | PathLike):
        cure = "quietspec.read(path)"
    else:
        cure = "Spectra.from_arrays(wavelength, flux, uncertainty, medium='air', redshift=z)"
    raise SpectraError(f"denoise: expected Spectra, got {name}. Make them first: {cure}.")


def initial_flags(spectra: Spectra, *, rest_frame: bool = False) -> npt.NDArray[np.int64]:
    """Set the flags that follow from the data alone.

    Parameters
    ----------
    spectra : Spectra
        The spectra to denoise.
    rest_frame : bool
        Whether the denoiser needs the redshift.

    Returns
    -------
    (n_spectra,) of int
        `Flag.EMPTY` where no pixel is good, `Flag.NO_REDSHIFT` where a needed redshift is unknown.

    Raises
    ------
    SpectraError
        If no spectrum has the redshift that is needed; a tile of a larger set may have none.
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


def flag_few_pixels(
    flags: npt.NDArray[np.int64], rows: npt.NDArray[np.intp], n_good: npt.NDArray[np.intp]
) -> BoolArray:
    """Flag spectra with too few good pixels within a model's wavelengths.

    Parameters
    ----------
    flags : (n_spectra,) of int
        Bits of `Flag`, changed in place: `Flag.OUT_OF_RANGE` is set where there is no good pixel,
        `Flag.UNDETERMINED` where there are some, but fewer than `FEWEST_PIXELS`.
    rows : (n_rows,) of int
        The spectra in question.
    n_good : (n_rows,) of int
        Their numbers of good pixels.

    Returns
    -------
    (n_rows,) of bool
        Which of them have enough.
    """
    enough = n_good >= FEWEST_PIXELS
    flags[rows[n_good == 0]] |= int(Flag.OUT_OF_RANGE)
    flags[rows[~enough & (n_good > 0)]] |= int(Flag.UNDETERMINED)
    return np.asarray(enough)


def chi_square(spectra: Spectra, flux: FloatArray, ignored: BoolArray | None = None) -> FloatArray:
    """χ² of an estimate over the good pixels that have one and are not ignored.

    Parameters
    ----------
    spectra : Spectra
        The data.
    flux : (n_spectra, n_pixels)
        The estimate; NaN where there is none.
    ignored : (n_spectra, n_pixels) of bool, optional
        Pixels to leave out; none by default.

    Returns
    -------
    (n_spectra,)
        Σ (data − estimate)² / σ².
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
    model: ModelId,
    flags: npt.NDArray[np.integer[Any]] | None = None,
    ignored: BoolArray | None = None,
    dof: FloatArray | None = None,
    explained: FloatArray | None = None,
    **fields: Any,
) -> Denoised:
    """Make a `Denoised` from an estimate: compute χ², flag improbable χ² and missing estimates, set failures to NaN.

    Parameters
    ----------
    spectra : Spectra
        The input.
    flux, sigma : (n_spectra, n_pixels)
        Estimate and its 1σ error, in ``spectra.unit``; NaN in either makes the pixel NaN in both.
    model : ModelId
        The denoiser.
    flags : (n_spectra,) of int, optional
        Bits of `Flag`; those of `initial_flags` by default.
    ignored : (n_spectra, n_pixels) of bool, optional
        Good pixels that the denoiser left out; none by default.
    dof : (n_spectra,), optional
        Expectation of χ² where the estimate is right; without it neither χ² nor `Flag.POOR_FIT` is set.
    explained : (n_spectra,), optional
        χ² of the data that the denoiser ascribes to something else than the estimate and noise, which is subtracted.
    **fields
        Other fields of `Denoised`.

    Returns
    -------
    Denoised
        Flux and sigma in the floating type of ``spectra.flux``.
    """
    flags = initial_flags(spectra) if flags is None else flags
    unset = np.full(len(spectra), np.nan)
    undefined = ~np.isfinite(flux) | ~np.isfinite(sigma)
    failed = (flags & int(FAILURES)) != 0
    lost = ~failed & undefined.all(axis=1)
    flags, failed = np.where(lost, flags | int(Flag.UNDETERMINED), flags), failed | lost
    silent = failed[:, None] | undefined
    flux, sigma = (np.where(silent, np.nan, values).astype(spectra.flux.dtype) for values in (flux, sigma))
    chi2 = unset if dof is None else np.where(failed, np.nan, chi_square(spectra, flux, ignored))
    chi2 = chi2 if explained is None else chi2 - explained
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
    from scipy.special import gammaincc

    defined = np.isfinite(chi2) & (dof > 0)
    tail = gammaincc(np.where(defined, dof, 1) / 2, np.where(defined, chi2, 0) / 2)  # P(χ² above this)
    return np.asarray(defined & (tail < POOR_FIT_PROBABILITY) & (chi2 > POOR_FIT_REDUCED * dof))
