"""Instruments as simulated: wavelength grid, resolution, noise law, and range of redshifts of the galaxies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quietspec.instruments import (
    SAMI_FWHM,
    WEAVE_RESOLUTION,
    califa_fwhm,
    desi_fwhm,
    manga_fwhm,
    muse_fwhm,
    sdss_fwhm,
)
from quietspec.lab.simulate.noise import SAMI_NOISE, NoiseLaw

if TYPE_CHECKING:
    from quietspec.arrays import FloatArray
    from quietspec.kinds import Medium

__all__ = ["INSTRUMENTS", "Instrument"]


@dataclass(frozen=True, eq=False)
class Instrument:
    """A spectrograph and the noise of its data.

    Parameters
    ----------
    name : str
        Survey or spectrograph.
    arms : tuple of (n_pixels_of_arm,)
        Wavelengths of each arm, observed Å, in increasing order and without overlap.
    fwhm : (n_pixels,)
        Resolution in Å over all arms.
    medium : {'air', 'vacuum'}
        What the wavelengths are measured in.
    noise : NoiseLaw
        Relative noise.
    redshift : (low, high)
        Range of redshifts for which the templates cover most of the pixels.
    """

    name: str
    arms: tuple[FloatArray, ...]
    fwhm: FloatArray
    medium: Medium
    noise: NoiseLaw
    redshift: tuple[float, float]

    @property
    def wavelength(self) -> FloatArray:
        """Pixel centres of all arms, (n_pixels,), observed Å."""
        return np.concatenate(self.arms)


def _law(rows: Iterable[tuple[float, ...]], source: str, correlation: tuple[float, float]) -> NoiseLaw:
    """Noise law from rows (wavelength, median, 16 %, 84 %), in two sections: blueward and redward of 4530 Å."""
    wavelength, median, low, high = np.array(list(rows)).T
    section = (wavelength > 4530).astype(int)
    return NoiseLaw(wavelength, median, low, high, section, source=source, correlation=correlation)


def _sami() -> Instrument:
    blue, red = 3650.0 + 1.05 * np.arange(2048), 6240.0 + 0.596 * np.arange(2048)
    fwhm = np.repeat([SAMI_FWHM["580V"], SAMI_FWHM["1000R"]], 2048)
    return Instrument("SAMI", (blue, red), fwhm, "air", SAMI_NOISE, (0.004, 0.11))


def _manga() -> Instrument:
    wavelength = 10 ** (3.5589 + 1e-4 * np.arange(4563))
    fwhm = manga_fwhm(wavelength)
    noise = _law(
        [
            (3630, 3.1, 2.4, 4.7), (3700, 2.0, 1.8, 3.2), (3800, 1.45, 1.3, 1.9), (3900, 1.22, 1.16, 1.42),
            (4000, 1.07, 0.97, 1.3), (4200, 1.05, 1.02, 1.11), (4400, 1.0, 0.98, 1.03), (4600, 1.0, 0.98, 1.01),
            (4800, 1.02, 0.94, 1.08), (5000, 1.0, 0.88, 1.06), (5400, 0.95, 0.79, 1.01), (5577, 1.02, 0.83, 1.11),
            (5900, 1.12, 1.01, 1.26), (6050, 1.01, 0.93, 1.15), (6500, 0.85, 0.69, 0.94), (7000, 0.77, 0.59, 0.85),
            (7500, 0.73, 0.54, 0.80), (8400, 0.78, 0.58, 0.86), (9200, 0.75, 0.51, 0.80), (9600, 0.95, 0.84, 1.03),
            (10000, 1.35, 1.26, 1.48),
        ],
        "IVAR and SRES of the seven filled spectra of MaNGA_test_spectra.fits.gz (sdss-mangadap 4.5.0)",
        (0.0, 0.3),
    )  # fmt: skip
    return Instrument("MaNGA", (wavelength,), fwhm, "vacuum", noise, (0.01, 0.15))


def _califa() -> Instrument:
    wavelength = 3701.0 + 2.0 * np.arange(1901)
    noise = _law(
        [
            (3700, 2.66, 1.7, 4.0), (3800, 2.4, 1.75, 2.8), (3900, 1.75, 1.2, 1.85), (4000, 1.4, 1.0, 1.5),
            (4200, 1.15, 0.87, 1.22), (4400, 1.04, 0.98, 1.06), (4600, 0.95, 0.92, 1.02), (4800, 0.90, 0.86, 0.98),
            (5000, 1.1, 0.95, 1.5), (5400, 1.04, 0.80, 1.31), (5900, 1.05, 0.85, 1.46), (6200, 0.89, 0.74, 1.17),
            (6500, 0.87, 0.73, 1.08), (6800, 0.87, 0.79, 1.06), (7000, 0.96, 0.93, 1.15), (7200, 1.31, 1.24, 1.39),
            (7500, 1.72, 1.57, 1.88),
        ],
        "ERROR of the three spectra of NGC2691.COMB.RSS.fits (CALIFA V500)",
        (0.1, 0.4),
    )  # fmt: skip
    return Instrument("CALIFA V500", (wavelength,), califa_fwhm(wavelength), "air", noise, (0.005, 0.03))


def _muse() -> Instrument:
    wavelength = 4749.89 + 1.25 * np.arange(3681)
    fwhm = muse_fwhm(wavelength)
    noise = _law(
        [
            (4750, 1.47, 1.29, 1.69), (4800, 1.10, 0.99, 1.24), (4900, 1.02, 0.95, 1.08), (5000, 0.95, 0.86, 1.02),
            (5200, 0.83, 0.71, 0.95), (5400, 0.72, 0.61, 0.86), (5600, 0.69, 0.59, 0.80), (5800, 0.63, 0.55, 0.73),
            (6000, 0.58, 0.50, 0.67), (6300, 0.54, 0.46, 0.63), (6500, 0.48, 0.41, 0.57), (6700, 0.45, 0.38, 0.54),
            (6880, 0.55, 0.465, 0.67), (7000, 0.41, 0.35, 0.50), (7200, 0.39, 0.33, 0.46), (7500, 0.38, 0.32, 0.45),
            (7550, 0.38, 0.32, 0.45), (7600, 0.64, 0.54, 0.76), (7650, 0.38, 0.31, 0.45), (8000, 0.37, 0.315, 0.44),
            (8500, 0.38, 0.32, 0.455), (9000, 0.41, 0.35, 0.48), (9300, 0.54, 0.45, 0.65),
        ],
        "STAT of the 1600 spaxels of mpdaf's minicube.fits (MUSE, Abell 478)",
        (0.1, 0.4),
    )  # fmt: skip
    return Instrument("MUSE", (wavelength,), fwhm, "air", noise, (0.003, 0.15))


def _sdss() -> Instrument:
    wavelength = 10 ** (3.5800 + 1e-4 * np.arange(3842))
    fwhm = sdss_fwhm(wavelength)
    noise = _law(
        [
            (3800, 1.38, 1.2, 1.8), (3900, 1.02, 0.9, 1.2), (4200, 0.97, 0.86, 1.09), (4400, 0.97, 0.9, 1.03),
            (4600, 1.0, 0.97, 1.03), (5000, 0.95, 0.89, 1.0), (5400, 0.96, 0.85, 1.08), (5700, 0.95, 0.83, 1.08),
            (6000, 0.75, 0.63, 0.9), (6500, 0.82, 0.67, 1.03), (7000, 0.81, 0.63, 1.0), (7500, 0.79, 0.60, 1.04),
            (8000, 0.77, 0.58, 0.99), (9200, 0.87, 0.69, 1.09),
        ],
        "ivar and wdisp of NGC3522 and NGC3073, SDSS DR18 (ppxf 9.5.2); the percentiles are the range of the two",
        (0.0, 0.2),
    )  # fmt: skip
    return Instrument("SDSS", (wavelength,), fwhm, "vacuum", noise, (0.01, 0.15))


_DESI_NOISE = [
    (3620, 6.3), (3720, 3.4), (3820, 2.4), (3920, 1.85), (4020, 1.6), (4220, 1.21), (4520, 1.0), (4720, 0.86),
    (4920, 0.68), (5220, 0.60), (5620, 0.57), (5780, 0.75), (5880, 0.54), (6180, 0.44), (6580, 0.39), (7080, 0.33),
    (7480, 0.42), (7640, 0.39), (7740, 0.27), (8140, 0.22), (8540, 0.19), (8640, 0.30), (8740, 0.19), (9240, 0.18),
    (9340, 0.30), (9740, 0.29),
]  # fmt: skip


def _with_range(table: Iterable[tuple[float, float]], factor: float) -> list[tuple[float, ...]]:
    """Rows of a noise law whose 16th and 84th percentiles are a factor from the median."""
    return [(wavelength, median, median / factor, median * factor) for wavelength, median in table]


def _desi() -> Instrument:
    arms = (np.arange(3600.0, 5780.0, 0.8), np.arange(5780.8, 7570.0, 0.8), np.arange(7570.4, 9824.0, 0.8))
    fwhm = desi_fwhm(np.concatenate(arms))
    noise = _law(
        _with_range(_DESI_NOISE, 1.15),
        "IVAR of the one target of S/N above 1 in coadd-5-169 (specutils' test data); the range is ours",
        (0.0, 0.1),
    )
    return Instrument("DESI", arms, fwhm, "vacuum", noise, (0.01, 0.3))


def _weave() -> Instrument:
    arms = np.arange(3660.0, 5900.0, 0.5), np.arange(5900.5, 9590.0, 0.5)
    wavelength = np.concatenate(arms)
    noise = _law(_with_range(_DESI_NOISE, 1.25), "that of DESI, with a wider range: no public data", (0.0, 0.4))
    return Instrument("WEAVE", arms, wavelength / WEAVE_RESOLUTION, "air", noise, (0.01, 0.25))


#: The instruments of the recipe `survey`, by name.
INSTRUMENTS: dict[str, Instrument] = {
    instrument.name: instrument for instrument in (_sami(), _manga(), _califa(), _muse(), _sdss(), _desi(), _weave())
}
