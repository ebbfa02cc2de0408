"""Line posteriors with given fluxes and errors."""

import numpy as np

from quietspec.lines import LinePosterior


def posterior(fluxes, errors, redshift=0.05, continuum=2.0, correlation=0.0):
    """Lines of n spectra: fluxes and errors by name, (n,) each; continuum known to 1 %."""
    n = len(next(iter(fluxes.values())))
    lines = LinePosterior.empty(n)
    for name, flux in fluxes.items():
        place = lines.names.index(name)
        lines.flux[:, place] = flux
        lines.covariance[:, place, place] = np.square(errors[name])
        lines.continuum[:, place] = continuum
        lines.continuum_variance[:, place] = (0.01 * continuum) ** 2
        lines.covariance_with_continuum[:, place] = 0.0
    names = list(fluxes)
    for one in names:
        for other in names:
            if one != other:
                both = lines.names.index(one), lines.names.index(other)
                lines.covariance[(slice(None), *both)] = correlation * np.multiply(errors[one], errors[other])
    lines.redshift[:] = redshift
    return lines
