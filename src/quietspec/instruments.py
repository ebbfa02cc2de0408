"""Instruments and the sky above them as papers describe them: line spread, mask bits, and lines of the night sky."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray

__all__ = [
    "BRIGHT_SKY_LINES",
    "DESI_BAD_BITS",
    "JWST_BAD_BITS",
    "LAMOST_RESOLUTION",
    "MANGA_BAD_BITS",
    "MANGA_DAP_BAD_BITS",
    "NIGHT_SKY_LINES",
    "SAMI_FWHM",
    "SDSS_BAD_BITS",
    "WEAVE_RESOLUTION",
    "califa_fwhm",
    "desi_fwhm",
    "instrument_of",
    "manga_fwhm",
    "muse_fwhm",
    "sdss_fwhm",
]  # fmt: skip

#: FWHM in Å of SAMI's gratings (van de Sande et al. 2017, MNRAS 472, 1272, Table 1).
SAMI_FWHM: dict[str, float] = {"580V": 2.66, "1000R": 1.59}

#: λ/FWHM of LAMOST's low- and medium-resolution spectra (pages of its data releases).
LAMOST_RESOLUTION: dict[str, float] = {"low": 1800.0, "medium": 7500.0}

#: λ/FWHM of WEAVE's low-resolution mode (Jin et al. 2024, MNRAS 530, 2688).
WEAVE_RESOLUTION = 5000.0

#: The bright lines of the night sky, air Å: [OI], Na D and the strongest OH lines to 8500 Å (Osterbrock et al. 1996,
#: PASP 108, 277).
BRIGHT_SKY_LINES: tuple[float, ...] = (
    5577.34, 5889.95, 5895.92, 6300.30, 6363.78, 6863.96, 6923.22, 7276.41, 7316.28, 7340.89, 7571.75, 7750.64,
    7794.11, 7821.50, 7913.71, 7964.65, 7993.33, 8344.60, 8399.17, 8430.17, 8465.36, 8493.39,
)  # fmt: skip
_FAINTER_SKY_LINES = (
    4358.34, 5197.93, 5460.73, 5932.86, 5953.42, 6257.96, 6287.43, 6498.73, 6533.04, 6553.62, 6577.28, 6948.94, 7242.0,
)  # fmt: skip
#: Emission lines of the night sky, air Å, increasing: the bright ones, and below 7400 Å fainter OH lines and those of
#: mercury street lamps and [NI] (Osterbrock et al. 1996; Hanuschik 2003, A&A 407, 1157).
NIGHT_SKY_LINES: tuple[float, ...] = tuple(sorted((*BRIGHT_SKY_LINES, *_FAINTER_SKY_LINES)))

_COARSE_STEP = 1.5  # Å per pixel; CALIFA's V500 and COMB have 2 Å, V1200 has 0.7 Å
_CALIFA_V500, _CALIFA_V1200 = 6.0, 2.3  # FWHM, Å (Sánchez et al. 2016, A&A 594, A36, Table 1)
# Coefficients of λ², λ, 1 in Å. Bacon et al. 2017, A&A 608, A1 give two fits: equation 7 for the mosaic, used here, and
# equation 8 for the deep field udf-10 (5.866e-8, -9.187e-4, 6.040); they differ by 0.4 %.
_MUSE_MOSAIC = (5.835e-8, -9.080e-4, 5.983)


_BY_SURVEY = {
    "SAMI": "SAMI", "MaNGA": "MaNGA", "MaNGA DAP": "MaNGA", "SDSS": "SDSS", "CALIFA": "CALIFA", "MUSE": "MUSE",
    "DESI": "DESI", "LEGA-C": "LEGA-C", "WEAVE": "WEAVE",
}  # fmt: skip


def instrument_of(meta: Mapping[str, Any]) -> str | None:
    """Instrument that made spectra, by the facts that readers keep.

    Parameters
    ----------
    meta : mapping
        ``Spectra.meta``; its ``survey`` decides.

    Returns
    -------
    str or None
        SAMI, MaNGA, SDSS, CALIFA, MUSE, DESI, LEGA-C or WEAVE; None for any other, for simulated spectra, and for what
        quietspec wrote.

    Examples
    --------
    >>> instrument_of({"survey": "MaNGA DAP"}), instrument_of({"survey": "simulated MUSE"})
    ('MaNGA', None)
    """
    return _BY_SURVEY.get(str(meta.get("survey", "")))


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


#: MANGA_DRP3PIXMASK: FORESTAR and DONOTUSE, the latter also in MANGA_DRP2PIXMASK (Law et al. 2016, AJ 152, 83).
MANGA_BAD_BITS = _bits((3, 10))
#: MANGA_DAPSPECMASK: IGNORED, FORESTAR, FLUXINVALID, IVARINVALID, ARTIFACT. The others tell which pixels the pipeline's
#: own fits left out (Westfall et al. 2019, AJ 158, 231).
MANGA_DAP_BAD_BITS = _bits(range(5))
#: SPPIXMASK: NOPLUG, BADTRACE, BADFLAT, BADARC; FULLREJECT, NOSKY, BRIGHTSKY, NODATA, COMBINEREJ, BADFLUXFACTOR,
#: BADSKYCHI, REDMONSTER. The others inform (data model of SDSS, ``spec``).
SDSS_BAD_BITS = _bits((0, 1, 2, 3, 18, 22, 23, 24, 25, 26, 27, 28))
#: ``specmask`` of desispec: ALLBADPIX, COSMIC, LOWFLAT, BADFIBERFLAT, BADSKY, BAD2DFIT and what later versions add.
#: SOMEBADPIX and BRIGHTSKY inform: the inverse variance allows for them.
DESI_BAD_BITS = _bits((1, 2, 3, 4, 6, *range(7, 31)))
#: DO_NOT_USE; the other bits of JWST's DQ inform.
JWST_BAD_BITS = _bits((0,))


def muse_fwhm(wavelength: FloatArray) -> FloatArray:
    """FWHM (Å) of MUSE's line-spread function at observed wavelengths (Å); Bacon et al. 2017, A&A 608, A1, equation 7.

    Parameters
    ----------
    wavelength : (n_pixels,)
        Observed air Å.

    Returns
    -------
    (n_pixels,)
        FWHM, Å.

    Examples
    --------
    >>> import numpy as np
    >>> muse_fwhm(np.array([4750.0, 7500.0])).round(2)
    array([2.99, 2.46])
    """
    return np.asarray(np.polyval(_MUSE_MOSAIC, wavelength))


def califa_fwhm(wavelength: FloatArray) -> FloatArray:
    """FWHM (Å) of the CALIFA setup that has this sampling, V500 (or COMB) or V1200; Sánchez et al. 2016, Table 1."""
    coarse = np.median(np.abs(np.diff(wavelength))) > _COARSE_STEP if len(wavelength) > 1 else True
    return np.full(len(wavelength), _CALIFA_V500 if coarse else _CALIFA_V1200)


def manga_fwhm(wavelength: FloatArray) -> FloatArray:
    """Typical FWHM (Å) of MaNGA at observed wavelengths (Å): SRES of the spectra in ``MaNGA_test_spectra.fits.gz``."""
    return np.interp(wavelength, [3700, 4500, 5500, 6500, 7500, 9000], [2.51, 2.55, 2.88, 3.48, 3.59, 3.74])


def sdss_fwhm(wavelength: FloatArray) -> FloatArray:
    """Typical FWHM (Å) of the SDSS spectrographs at observed wavelengths (Å): wdisp of NGC 3522 and NGC 3073, DR18."""
    return np.interp(wavelength, [3900, 4500, 5500, 6000, 6500, 9000], [2.33, 2.39, 2.43, 3.0, 3.22, 3.46])


def desi_fwhm(wavelength: FloatArray) -> FloatArray:
    """Typical FWHM (Å) of DESI at observed wavelengths (Å): the ``RESOLUTION`` of a coadd, with steps between arms."""
    known = [3820, 5580, 5770, 5790, 7434, 7560, 7580, 8672, 9594]
    return np.interp(wavelength, known, [1.71, 1.56, 1.55, 1.54, 1.53, 1.53, 1.88, 1.70, 1.83])
