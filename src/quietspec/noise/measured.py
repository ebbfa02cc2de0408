"""The correlation of a cube's noise between its spaxels, measured from the residuals that denoising leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.denoised import Denoised
from quietspec.errors import SpectraError
from quietspec.noise.correlation import NoiseCorrelation
from quietspec.statistics import MAD_TO_SIGMA

__all__ = [
    "REACH", "MeasuredCorrelation", "best_patch", "correlation_of_signs", "measure_correlation", "residual_signs",
]  # fmt: skip

REACH = 4  #: spaxels; correlations are measured up to this offset
_FAR = 2 * REACH  # any correlation between the reach and this offset is common to all spaxels
_STEP = 3  # channels between those whose difference is taken
_BLOCKS = 16  # of wavelengths, whose scatter is the error
_SIGNIFICANT = 4.0  # σ; those of the forty correlations that are smaller count as none
_FEWEST = 3000  # products at the smallest offset and in the common part
_FEWEST_CHANNELS = 20  # of a part of the wavelengths
_SIDE = 20  # spaxels along each side of the patch that is denoised
_BEST_SNR = 5.0


@dataclass(frozen=True, eq=False)
class MeasuredCorrelation:
    """What was measured of the noise of a cube.

    Parameters
    ----------
    correlation : NoiseCorrelation
        The correlation to use, in which insignificant values are 0.
    lags, error : (2 r + 1, 2 r + 1)
        Correlation at each offset, the common part taken out, and its 1σ error.
    common : (n_pixels,)
        Correlation between spaxels too far apart for resampling to mix them.
    common_error : float
        1σ error of its mean over wavelength.
    """

    correlation: NoiseCorrelation
    lags: FloatArray
    error: FloatArray
    common: FloatArray
    common_error: float


def measure_correlation(denoised: Denoised) -> MeasuredCorrelation:
    """Measure the correlation of a cube's noise between spaxels.

    Parameters
    ----------
    denoised : Denoised
        Spectra that form an image; a few hundred suffice.

    Returns
    -------
    MeasuredCorrelation
        Up to 4 spaxels apart. What correlates at 5 to 8 spaxels is common to all: noise of the subtracted sky, and
        features that the model does not know.

    Raises
    ------
    SpectraError
        If the spectra form no image, or are too few.

    Notes
    -----
    The correlation is that of differences of residuals 3 channels apart, from which drops out whatever is broad along
    the wavelength, such as an error of calibration. Only their signs count (the quadrant correlation, Blomqvist 1950,
    Ann. Math. Stat. 21, 593), so that neither outliers nor the size of the quoted errors matter. The common part is
    measured in 16 parts of the wavelengths, by the median size of the mean sign over all spaxels, so that single sky
    lines do not count. Lags within 4σ of 0, and a common part within 4σ of 0, are set to 0.

    Examples
    --------
    The noise of the example cube is independent:

    >>> import quietspec
    >>> cube = quietspec.read(quietspec.demo_cube())
    >>> denoised = quietspec.load_denoiser("posterior").denoise(cube[5:15, 5:15])
    >>> measure_correlation(denoised).correlation
    <NoiseCorrelation: independent neighbours, common 0.000>
    """
    shape = denoised.spectra.spatial_shape
    if shape is None:
        raise SpectraError("measure_correlation: these spectra form no image, so none of them are neighbours.")
    return correlation_of_signs(residual_signs(denoised).reshape(*shape, -1))


def correlation_of_signs(signs: npt.NDArray[np.float32]) -> MeasuredCorrelation:
    """Measure the correlation of a cube's noise between spaxels from what `residual_signs` gives.

    Parameters
    ----------
    signs : (ny, nx, n_pixels − 3)
        Signs of the spaxels of an image.

    Returns
    -------
    MeasuredCorrelation
        As `measure_correlation` says.

    Raises
    ------
    SpectraError
        If the spaxels are too few.

    Examples
    --------
    >>> signs = np.sign(np.random.default_rng(0).standard_normal((20, 20, 300))).astype(np.float32)
    >>> correlation_of_signs(signs).correlation
    <NoiseCorrelation: independent neighbours, common 0.000>
    """
    products, counts = _products(signs)
    if counts[~_within(products.shape[:2], REACH)].sum() < _FEWEST or counts[0, _FAR + 1].sum() < _FEWEST:
        raise SpectraError(
            "measure_correlation: too few spaxels have an estimate to measure how the noise of neighbours is "
            "correlated. Give the correlation instead: correlation=INDEPENDENT, or NoiseCorrelation.of_kernel(fwhm)."
        )
    lags = _lags(products, counts, np.ones(_BLOCKS, dtype=bool))
    leaving_out = [_lags(products, counts, np.arange(_BLOCKS) != block) for block in range(_BLOCKS)]
    error = np.sqrt(_BLOCKS - 1.0) * np.std(leaving_out, axis=0)  # jackknife
    common, common_error = _common(signs, lags, counts)
    kept = np.where(np.abs(lags) > _SIGNIFICANT * np.maximum(error, np.median(error)), np.clip(lags, -1, 1), 0.0)
    kept[REACH, REACH] = 1.0
    used = np.clip(common, 0, 1) if common.mean() > _SIGNIFICANT * common_error else 0.0
    return MeasuredCorrelation(NoiseCorrelation(_trimmed(kept), common=used), lags, error, common, common_error)


def residual_signs(denoised: Denoised) -> npt.NDArray[np.float32]:
    """Signs of the differences of residuals three channels apart.

    Parameters
    ----------
    denoised : Denoised
        Denoised spectra.

    Returns
    -------
    (n_spectra, n_pixels − 3)
        1 or −1; 0 where there is none.

    Examples
    --------
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> bool(abs(residual_signs(denoised).mean()) < 0.1)
    True
    """
    counted = denoised.counted
    residual = np.where(counted, denoised.residual, 0.0) * np.sqrt(denoised.spectra.ivar)
    both = counted[:, _STEP:] & counted[:, :-_STEP]
    return np.where(both, np.sign(residual[:, _STEP:] - residual[:, :-_STEP]), 0.0).astype(np.float32)


def _products(signs: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Sum of the products of signs, and their number, by offset dy ≥ 0, dx and block of wavelengths."""
    ny, nx, n_pixels = signs.shape
    edges = np.linspace(0, n_pixels, _BLOCKS + 1).astype(int)[:-1]
    known = np.abs(signs)
    products = np.zeros((_FAR + 1, 2 * _FAR + 1, _BLOCKS))
    counts = np.zeros_like(products)
    for dy in range(min(_FAR, ny - 1) + 1):
        for dx in range(-min(_FAR, nx - 1), min(_FAR, nx - 1) + 1):
            one = slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx))
            other = slice(dy, ny), slice(max(0, dx), nx - max(0, -dx))
            for values, total in ((signs, products), (known, counts)):
                by_pixel = np.einsum("yxp,yxp->p", values[one], values[other])
                total[dy, dx + _FAR] = np.add.reduceat(by_pixel, edges)
    return products, counts


def _within(shape: tuple[int, ...], reach: int) -> npt.NDArray[np.bool_]:
    """Offsets (dy ≥ 0, dx) of at most `reach` spaxels along each axis."""
    dy, dx = np.indices(shape)
    return np.asarray((dy <= reach) & (np.abs(dx - _FAR) <= reach))


def _lags(products: FloatArray, counts: FloatArray, blocks: npt.NDArray[np.bool_]) -> FloatArray:
    """Correlations at offsets within reach, (2 r + 1, 2 r + 1), from some blocks of wavelengths."""
    total, count = products[..., blocks].sum(axis=-1), counts[..., blocks].sum(axis=-1)
    far = ~_within(total.shape, REACH)
    common = np.sin(np.pi / 2 * total[far].sum() / max(count[far].sum(), 1.0))
    quadrant = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    half = np.sin(np.pi / 2 * quadrant)[: REACH + 1, _FAR - REACH : _FAR + REACH + 1]
    whole = np.concatenate([half[:0:-1, ::-1], half])
    whole[REACH] = (whole[REACH] + whole[REACH, ::-1]) / 2
    return np.asarray((whole - common) / (1 - common))


def _common(signs: npt.NDArray[np.float32], lags: FloatArray, counts: FloatArray) -> tuple[FloatArray, float]:
    """Correlation between distant spaxels on the pixels of the spectra, and the error of its mean over wavelength."""
    # The mean of N signs has the variance 2 c / π + Σ r / N², where r is the correlation of the signs of neighbours.
    number = np.abs(signs).sum(axis=(0, 1))
    mean = np.abs(np.divide(signs.sum(axis=(0, 1)), number, out=np.zeros_like(number), where=number > 0))
    edges = np.linspace(0, len(mean), _BLOCKS + 1)
    near = np.array(lags[REACH:])
    near[0, :REACH] = 0.0  # each pair once
    pairs = (2 * np.arcsin(np.clip(near, -1, 1)) / np.pi)[..., None] * counts[
        : REACH + 1, _FAR - REACH : _FAR + REACH + 1
    ]
    alone = 2 * pairs.sum(axis=(0, 1)) - pairs[0, REACH]
    common, centre = np.full(_BLOCKS, np.nan), (edges[:-1] + edges[1:] + _STEP - 1) / 2
    for block, (low, high) in enumerate(zip(edges[:-1].astype(int), edges[1:].astype(int), strict=True)):
        known = number[low:high] > number.max() / 2
        if known.sum() > _FEWEST_CHANNELS:
            scatter = MAD_TO_SIGMA * np.median(mean[low:high][known])
            share = alone[block] / (number[low:high] ** 2).sum()
            common[block] = np.pi / 2 * (scatter**2 - share)
    measured = np.isfinite(common)
    if not measured.any():  # too few channels
        return np.zeros(len(mean) + _STEP), float("inf")
    spread = np.interp(np.arange(len(mean) + _STEP), centre[measured], common[measured])
    return spread, float(np.std(common[measured]) / np.sqrt(measured.sum()))


def _trimmed(lags: FloatArray) -> FloatArray:
    """Cut off the outermost offsets where none is correlated."""
    while len(lags) > 1 and not (lags[[0, -1]].any() or lags[:, [0, -1]].any()):
        lags = lags[1:-1, 1:-1]
    return lags


def best_patch(snr: FloatArray) -> tuple[slice, slice]:
    """Choose the part of a cube where the correlation of its noise is best measured.

    Parameters
    ----------
    snr : (ny, nx)
        S/N of the spaxels; NaN where there are no data.

    Returns
    -------
    (slice, slice)
        At most 20 × 20 spaxels that have data and are of S/N about 5: bright enough for the posterior to know the
        galaxy, and faint enough for the noise to outweigh what it does not know.

    Examples
    --------
    >>> y, x = np.indices((60, 40))
    >>> best_patch(50 * np.exp(-np.hypot(y - 50, x - 20) / 15))
    (slice(10, 30, None), slice(0, 20, None))
    """
    sides = [min(_SIDE, size) for size in snr.shape]
    starts = [
        np.unique(np.r_[0 : size - side + 1 : max(side // 2, 1), size - side])
        for size, side in zip(snr.shape, sides, strict=True)
    ]
    patches = [(slice(y, y + sides[0]), slice(x, x + sides[1])) for y in starts[0].tolist() for x in starts[1].tolist()]

    def merit(patch: tuple[slice, slice]) -> float:
        known = snr[patch][np.isfinite(snr[patch])]
        if not known.size:
            return 0.0
        typical = max(float(np.median(known)), 0.1)
        return float(known.size / (1 + np.log(typical / _BEST_SNR) ** 2))

    return max(patches, key=merit)
