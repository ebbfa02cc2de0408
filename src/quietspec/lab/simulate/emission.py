"""Gas emission lines, from star-forming regions to active nuclei: a nuisance that denoised spectra must not contain.

Line ratios are drawn rather than computed from gas physics, so that every ratio seen in galaxies occurs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quietspec.arrays import BySpectrum, FloatArray
from quietspec.lab.simulate.dust import transmission
from quietspec.lab.simulate.histories import log_uniform
from quietspec.wavelengths import EMISSION_LINES, FWHM_PER_SIGMA, SPEED_OF_LIGHT

__all__ = ["EmissionPrior", "Gas", "add_lines", "line_ratios", "random_gas"]

#: Case B, 10⁴ K, 100 cm⁻³, relative to Hβ (Osterbrock & Ferland 2006, Table 4.4).
_BALMER = {"Halpha": 2.86, "Hbeta": 1.0, "Hgamma": 0.468, "Hdelta": 0.259, "Hepsilon": 0.159, "H8": 0.105, "H9": 0.073}
#: The same of higher Balmer and of Paschen lines.
_PASCHEN = {
    "H10": 0.053, "H11": 0.0398, "H12": 0.0307, "Pa8": 0.0366, "Pa9": 0.0254, "Pa10": 0.0184, "Pa11": 0.0138,
    "Pa12": 0.0107,
}  # fmt: skip
#: Weaker lines that follow stronger ones of the same ion, or of like ionisation, in typical ratios (Osterbrock &
#: Ferland 2006; Esteban et al. 2004, MNRAS 355, 229).
_FOLLOWING = {
    "[NeV]3426": ("HeII4686", 0.5), "HeI3889": ("HeI5876", 0.8), "HeI7065": ("HeI5876", 0.25),
    "[OII]7320": ("[OII]3726", 0.03), "[OII]7330": ("[OII]3726", 0.025), "[ArIII]7751": ("[ArIII]7136", 0.24),
    "[SIII]6312": ("[ArIII]7136", 0.1), "[SIII]9069": ("[ArIII]7136", 2.0), "[SIII]9531": ("[ArIII]7136", 4.94),
    "OI8446": ("[OI]6300", 0.1),
    "CII]2326": ("[OII]3726", 0.05), "FeII2365": ("[OII]3726", 0.01), "FeII2396": ("[OII]3726", 0.03),
    "[NeIV]2424": ("HeII4686", 1.0), "[OII]2470": ("[OII]3726", 0.05), "FeII2612": ("[OII]3726", 0.02),
    "FeII2626": ("[OII]3726", 0.04), "MgII2796": ("[OII]3726", 0.1), "MgII2803": ("[OII]3726", 0.06),
    "OIII3133": ("HeII4686", 0.3), "HeII3203": ("HeII4686", 0.4), "[NeV]3346": ("HeII4686", 0.18),
}  # fmt: skip
_REACH = 5.0  # half-width over which a line is added, in its σ


@dataclass(frozen=True)
class EmissionPrior:
    """Ranges from which emission lines are drawn.

    Parameters
    ----------
    gas_fraction : float
        Fraction of spectra that have emission lines.
    ew_halpha : (low, high)
        Rest-frame equivalent width of Hα, Å, log-uniform.
    agn_fraction : float
        Fraction of the spectra with gas whose ratios are shifted from the star-forming sequence towards active nuclei,
        by a fraction of the way that is uniform in 0–1.
    sigma : (low, high)
        Velocity dispersion of the gas, km/s, log-uniform.
    velocity : float
        Standard deviation of the gas velocity about that of the stars, km/s.
    """

    gas_fraction: float = 0.7
    ew_halpha: tuple[float, float] = (0.3, 100.0)
    agn_fraction: float = 0.35
    sigma: tuple[float, float] = (40.0, 250.0)
    velocity: float = 60.0


@dataclass(frozen=True, eq=False)
class Gas(BySpectrum):
    """Emission lines of n spectra.

    Parameters
    ----------
    flux : (n, n_lines)
        Line fluxes in the flux unit times rest-frame Å, in the order of `EMISSION_LINES`; 0 without gas.
    velocity, sigma : (n,) or (n, n_lines)
        Velocity and velocity dispersion of the gas, km/s; of each line where lines have motions of their own.
    """

    flux: FloatArray
    velocity: FloatArray
    sigma: FloatArray

    @classmethod
    def of_width(
        cls,
        ratios: FloatArray,
        width: FloatArray,
        continuum: FloatArray,
        a_v: FloatArray,
        velocity: FloatArray,
        sigma: FloatArray,
    ) -> Gas:
        """Make emission lines whose Hα has the given equivalent widths.

        Parameters
        ----------
        ratios : (n, n_lines) or (1, n_lines)
            Intrinsic line fluxes, as from `line_ratios`.
        width : (n,)
            Rest-frame equivalent width of Hα as observed, Å.
        continuum : (n,)
            Stellar flux density at Hα, to which the width refers.
        a_v : (n,)
            Attenuation of the stars, mag; that of the gas is 1/0.44 times as large (Calzetti et al. 2000).
        velocity, sigma : (n,)
            Velocity and velocity dispersion of the gas, km/s.

        Returns
        -------
        Gas
            Lines of the n spectra.
        """
        flux = ratios * transmission(np.array(list(EMISSION_LINES.values())), a_v / 0.44)
        halpha = flux[:, list(EMISSION_LINES).index("Halpha")]
        return cls(flux=flux * (width * continuum / halpha)[:, None], velocity=velocity, sigma=sigma)


def random_gas(
    continuum: FloatArray,
    a_v: FloatArray,
    velocity: FloatArray,
    rng: np.random.Generator,
    prior: EmissionPrior | None = None,
) -> Gas:
    """Draw emission lines.

    Parameters
    ----------
    continuum : (n,)
        Stellar flux density at Hα, to which the equivalent width refers.
    a_v : (n,)
        Attenuation of the stars, mag; that of the gas is 1/0.44 times as large (Calzetti et al. 2000).
    velocity : (n,)
        Velocity of the stars, km/s.
    rng : numpy.random.Generator
        Source of all draws.
    prior : EmissionPrior, optional
        Ranges of the draws.

    Returns
    -------
    Gas
        Lines of the n spectra.
    """
    prior = prior or EmissionPrior()
    n = len(continuum)
    ratios = line_ratios(n, rng, prior.agn_fraction)
    width = log_uniform(rng, prior.ew_halpha, n) * (rng.random(n) < prior.gas_fraction)
    gas_velocity = velocity + prior.velocity * rng.standard_normal(n)
    return Gas.of_width(ratios, width, continuum, a_v, gas_velocity, log_uniform(rng, prior.sigma, n))


def line_ratios(n: int, rng: np.random.Generator, agn_fraction: float = 0.0) -> FloatArray:
    """Draw intrinsic line fluxes relative to Hβ.

    Parameters
    ----------
    n : int
        Number of spectra.
    rng : numpy.random.Generator
        Source of all draws.
    agn_fraction : float, optional
        As in `EmissionPrior`.

    Returns
    -------
    (n, n_lines)
        Fluxes, in the order of `EMISSION_LINES`.
    """
    ratios = _line_ratios(n, rng, agn_fraction)
    return np.stack([ratios[name] for name in EMISSION_LINES], axis=1)


def _line_ratios(n: int, rng: np.random.Generator, agn_fraction: float) -> dict[str, FloatArray]:
    # Star-forming sequence: Kewley et al. 2013, ApJ 774, 100, eq. 3. Doublets: Storey & Zeippen 2000, MNRAS 312, 813.
    # The other ratios span the SDSS galaxies of Kewley et al. 2006, MNRAS 372, 961.
    agn = rng.random(n) * (rng.random(n) < agn_fraction)

    def log_ratio(star_forming: FloatArray | float, scatter: float, active: FloatArray | float) -> FloatArray:
        return np.asarray(10 ** ((1 - agn) * star_forming + agn * active + scatter * rng.standard_normal(n)))

    nitrogen = rng.uniform(-1.3, -0.3, n)
    halpha = _BALMER["Halpha"]
    nii = halpha * log_ratio(nitrogen, 0.05, 0.1)
    oiii = log_ratio(0.61 / (nitrogen + 0.08) + 1.1, 0.15, rng.uniform(0.0, 1.1, n))
    sii, oi = halpha * log_ratio(-0.5, 0.12, -0.15), halpha * log_ratio(-1.6, 0.2, -0.7)
    oii = log_ratio(0.4, 0.2, 0.5)
    density, density_oii = rng.uniform(0.41, 0.59, (2, n))  # [SII] 6716/(6716+6731), [OII] 3729/(3726+3729)
    neiii = oiii * log_ratio(-1.1, 0.1, -1.0)
    hei = log_ratio(-0.93, 0.05, -0.95)
    nitrogen_neutral = log_ratio(-1.8, 0.2, -0.8)
    forbidden = {
        "[OII]3726": oii * (1 - density_oii), "[OII]3729": oii * density_oii,
        "[NeIII]3869": neiii, "[NeIII]3967": neiii * 0.301,
        "[OIII]4363": oiii * log_ratio(-2.0, 0.2, -1.7), "[OIII]4959": oiii / 2.98, "[OIII]5007": oiii,
        "HeI4471": hei * 0.36, "HeI5876": hei, "HeI6678": hei * 0.28, "HeII4686": log_ratio(-2.2, 0.3, -0.8),
        "[NI]5198": nitrogen_neutral * 0.5, "[NI]5200": nitrogen_neutral * 0.5,
        "[NII]5755": nii * 0.01, "[NII]6548": nii / 3.05, "[NII]6583": nii,
        "[OI]6300": oi, "[OI]6364": oi / 3.1,
        "[SII]6716": sii * density, "[SII]6731": sii * (1 - density), "[ArIII]7136": log_ratio(-1.0, 0.15, -0.9),
    }  # fmt: skip
    hydrogen = {name: np.full(n, ratio) for name, ratio in (_BALMER | _PASCHEN).items()}
    return forbidden | hydrogen | {name: ratio * forbidden[line] for name, (line, ratio) in _FOLLOWING.items()}


def add_lines(flux: FloatArray, rest_wavelength: FloatArray, rest_fwhm: FloatArray, gas: Gas) -> None:
    """Add Gaussian emission lines to spectra, in place.

    Parameters
    ----------
    flux : (n, n_pixels)
        Spectra to add to.
    rest_wavelength : (n_pixels,)
        Rest-frame air Å of the pixels.
    rest_fwhm : (n_pixels,)
        FWHM of the instrument in rest-frame Å.
    gas : Gas
        Lines of the n spectra.
    """
    rows = np.flatnonzero(gas.flux.any(axis=1))
    if not rows.size:
        return
    n_lines = len(EMISSION_LINES)
    shifts, widths = (np.broadcast_to(each[rows].T / SPEED_OF_LIGHT, (n_lines, len(rows)))
                      for each in (gas.velocity, gas.sigma))  # fmt: skip
    each_line = zip(EMISSION_LINES.values(), gas.flux[rows].T, 1 + shifts, widths, strict=True)
    for line, strength, shift, velocity_sigma in each_line:
        instrument = np.interp(line, rest_wavelength, rest_fwhm) / FWHM_PER_SIGMA
        centre, sigma = line * shift, np.hypot(line * velocity_sigma, instrument)
        low, high = np.searchsorted(rest_wavelength, [(centre - _REACH * sigma).min(), (centre + _REACH * sigma).max()])
        if low == high:
            continue
        offset = (rest_wavelength[low:high] - centre[:, None]).astype(np.float32)
        offset /= sigma.astype(np.float32)[:, None]
        peak = (strength / (np.sqrt(2 * np.pi) * sigma)).astype(np.float32)
        flux[rows, low:high] += peak[:, None] * np.exp(-0.5 * offset * offset)
