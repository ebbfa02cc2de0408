"""Line measurements by name, each with its error: what maps and tables hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.lines.diagnostics import balmer_attenuation, bpt_classes, whan_classes
from quietspec.lines.results import LinePosterior

__all__ = ["line_name", "line_quantities"]

_DRAWS = 200
_SEED = 17  # of the draws for ratios, which have no say of their own


def line_name(name: str) -> str:
    """Name of a line without brackets, as columns and images have it: ``OIII5007``."""
    return name.replace("[", "").replace("]", "")


def line_quantities(lines: LinePosterior) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """List what lines say.

    Parameters
    ----------
    lines : LinePosterior
        Lines of spectra.

    Yields
    ------
    name : str
        ``flux_Halpha``, ``ew_Halpha`` and so on for every line that some spectrum covers and for the sum of the [OII]
        doublet; ``gas_velocity``, ``gas_sigma``; ``forbidden_velocity``, ``forbidden_sigma``, which are other ones only
        where the evidence asks for a motion of the forbidden lines (``gas_apart`` is 1 there, 0 elsewhere);
        ``gas_components``, how many narrow components were fitted; where some spectrum has a second one,
        ``gas2_velocity``, ``gas2_sigma`` and ``gas2_share``; where some has broad Balmer lines,
        ``flux_broad_Halpha``, ``flux_broad_Hbeta``, ``broad_velocity`` and ``broad_fwhm``; ``av_gas`` by the Balmer
        decrement; probabilities of the classes of two diagrams, ``bpt_…`` and ``whan_…``.
    value, error : (n_spectra,)
        The quantity and its 1σ error, NaN where there is none; half the central interval of what is no Gaussian.
    """
    covered = [name for name, flux in zip(lines.names, lines.flux.T, strict=True) if np.isfinite(flux).any()]
    if {"[OII]3726", "[OII]3729"} <= set(covered):
        covered.append("[OII]3727")
    for name in covered:
        line = lines.line(name)
        yield f"flux_{line_name(name)}", line.flux, line.error
        yield f"ew_{line_name(name)}", line.ew, line.ew_error
    yield "gas_velocity", *lines.velocity.T
    yield "gas_sigma", *lines.sigma.T
    yield "forbidden_velocity", *lines.forbidden_velocity.T
    yield "forbidden_sigma", *lines.forbidden_sigma.T
    for name, count in (("gas_apart", lines.apart), ("gas_components", lines.components)):
        yield name, count, np.where(np.isfinite(count), 0.0, np.nan)
    yield from _further(lines)
    if not {"Halpha", "Hbeta"} <= set(covered):
        return
    rng = np.random.default_rng(_SEED)
    low, middle, high = balmer_attenuation(lines, rng, _DRAWS).T
    known = np.isfinite(low) & np.isfinite(high)
    half = np.subtract(high, low, out=np.full_like(low, np.nan), where=known) / 2
    yield "av_gas", np.where(known, middle, np.nan), half
    kinds = whan_classes(lines, rng, _DRAWS) if "[NII]6583" in covered else {}
    named = [("whan", kinds)]
    if {"[NII]6583", "[OIII]5007"} <= set(covered):
        named.append(("bpt", bpt_classes(lines, rng, _DRAWS)))
    for prefix, classes in named:
        for kind, probability in classes.items():
            spread = np.sqrt(probability * (1 - probability) / _DRAWS)
            yield f"{prefix}_{kind.lower().replace(' ', '_').replace('-', '_')}", probability, spread


def _further(lines: LinePosterior) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """List what second components and broad lines say, where there are any."""
    named = {
        "gas2_velocity": lines.second_velocity, "gas2_sigma": lines.second_sigma, "gas2_share": lines.second_share,
        "flux_broad_Halpha": lines.broad_halpha, "flux_broad_Hbeta": lines.broad_hbeta,
        "broad_velocity": lines.broad_velocity, "broad_fwhm": lines.broad_fwhm,
    }  # fmt: skip
    for name, pairs in named.items():
        if np.isfinite(pairs[:, 0]).any():
            yield name, *pairs.T
