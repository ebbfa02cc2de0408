"""What quantities and flags are called on a page: names, units, groups, and what each flag means in a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntFlag

from quietspec.flags import Flag

__all__ = ["FLAG_WORDS", "GROUPS", "Name", "flag_list", "name_of"]

#: What each flag says about a spectrum, by its name.
FLAG_WORDS: dict[str, str] = {
    "EMPTY": "no pixel has a finite flux and a positive inverse variance",
    "NO_REDSHIFT": "the redshift is unknown",
    "OUT_OF_RANGE": "at its redshift, no good pixel lies within the model's wavelengths",
    "NO_SIGNAL": "the flux is not above zero by twice its error",
    "POOR_FIT": "the model does not fit: χ² per degree of freedom above 1.5, improbable by chance",
    "UNLIKE_PRIOR": "features or colours that the model does not know at this redshift",
    "WRONG_REDSHIFT": "another redshift explains the features better",
    "STAR": "a star at redshift 0 explains the features better",
    "NOT_GALAXY": "a smooth continuum explains it better than any galaxy does: quasar or artefact",
    "MISSCALED": "the scatter between channels is not what the quoted errors say",
    "UNDETERMINED": "fewer than 6 good pixels, or numbers beyond the arithmetic (an S/N of thousands in part of them)",
    "PRIOR_LABELS": "at least one label is little more than the prior",
    "NUCLEUS": "light of an active nucleus is seen: broad lines or a power law",
    "STRONG_LINES": "gas lines of more than 300 Å of equivalent width in all",
    "ULTRAVIOLET": "by the model of the near ultraviolet, which covers more of it",
    "UNLIKE_NEIGHBOURS": "unlike its galaxy or neighbours, hence denoised by itself",
    "NO_DATA": "too few usable pixels, no redshift, or no template covers the wavelengths",
    "FAILED": "the fit raised an error",
    "AT_LIMIT": "velocity or dispersion is at the end of its range",
    "DOUBTFUL": "the denoiser flagged the spectrum",
}


@dataclass(frozen=True)
class Name:
    """What a quantity is called.

    Parameters
    ----------
    label, unit : str
        For axes and tables.
    group : str
        Heading under which it is listed.
    diverging : bool
        Whether zero is in the middle of its colour scale.
    """

    label: str
    unit: str = ""
    group: str = "Other"
    diverging: bool = False


_STARS, _KINEMATICS, _QUALITY, _GAS = "Stellar populations", "Kinematics", "Quality", "Gas"
GROUPS = ("Light", _STARS, _KINEMATICS, _GAS, "Indices", _QUALITY, "Other")  #: headings, in order
_NAMES: dict[str, Name] = {
    "WHITE": Name("White light", group="Light"),
    "SNR": Name("S/N per pixel", group=_QUALITY),
    "SNR_IN": Name("S/N before", group=_QUALITY),
    "SNR_OUT": Name("S/N after", group=_QUALITY),
    "GOOD": Name("Good pixels", "%", _QUALITY),
    "N_SPAXELS": Name("Spaxels that inform it", group=_QUALITY),
    "OF_GALAXY": Name("Probability of the galaxy", group=_QUALITY),
    "CHI2": Name("χ²", group=_QUALITY),
    "DOF": Name("DOF", group=_QUALITY),
    "EVIDENCE": Name("ln evidence", group=_QUALITY),
    "NOISE_SCALE": Name("Noise / quoted", group=_QUALITY),
    "P_VALUE": Name("p-value", group=_QUALITY),
    "FLAGS": Name("Flags", group=_QUALITY),
    "REDSHIFT": Name("Redshift given", group=_KINEMATICS),
    "REDSHIFT_USED": Name("Redshift used", group=_KINEMATICS),
    "LOG_AGE_LW": Name("log age (light)", "yr", _STARS),
    "LOG_AGE_MW": Name("log age (mass)", "yr", _STARS),
    "MH_LW": Name("[M/H] (light)", "dex", _STARS),
    "MH_MW": Name("[M/H] (mass)", "dex", _STARS),
    "LOG_T50": Name("log t₅₀", "yr", _STARS),
    "LOG_T90": Name("log t₉₀", "yr", _STARS),
    "LOG_ML_V": Name("log M*/L_V", "M☉/L☉", _STARS),
    "A_V": Name("A_V", "mag", _STARS),
    "NUCLEUS": Name("Nucleus, share", group=_STARS),
    "VELOCITY": Name("V", "km/s", _KINEMATICS, diverging=True),
    "SIGMA": Name("σ", "km/s", _KINEMATICS),
    "H3": Name("h₃", group=_KINEMATICS, diverging=True),
    "H4": Name("h₄", group=_KINEMATICS, diverging=True),
    "GAS_VELOCITY": Name("V of the gas", "km/s", _GAS, diverging=True),
    "GAS_SIGMA": Name("σ of the gas", "km/s", _GAS),
    "FORBIDDEN_VELOCITY": Name("V of forbidden lines", "km/s", _GAS, diverging=True),
    "FORBIDDEN_SIGMA": Name("σ of forbidden lines", "km/s", _GAS),
    "GAS_APART": Name("Forbidden lines apart", group=_GAS),
    "GAS_COMPONENTS": Name("Components of gas", group=_GAS),
    "GAS2_VELOCITY": Name("V of the second gas", "km/s", _GAS, diverging=True),
    "GAS2_SIGMA": Name("σ of the second gas", "km/s", _GAS),
    "GAS2_SHARE": Name("Share of the second gas", group=_GAS),
    "FLUX_BROAD_HALPHA": Name("Flux broad Hα", group=_GAS),
    "FLUX_BROAD_HBETA": Name("Flux broad Hβ", group=_GAS),
    "BROAD_VELOCITY": Name("V of broad lines", "km/s", _GAS, diverging=True),
    "BROAD_FWHM": Name("FWHM of broad lines", "km/s", _GAS),
    "AV_GAS": Name("A_V of the gas", "mag", _GAS),
    "SPX_MFLUX": Name("Mean flux in g", group="Light"),
    "BIN_MFLUX": Name("Mean flux in g, bins", group="Light"),
    "SPX_SNR": Name("S/N in g", group=_QUALITY),
    "BIN_SNR": Name("S/N in g, bins", group=_QUALITY),
    "BIN_AREA": Name("Area of the bin", "arcsec²"),
    "STELLAR_VEL": Name("V", "km/s", _KINEMATICS, diverging=True),
    "STELLAR_SIGMA": Name("σ", "km/s", _KINEMATICS),
}
_PREFIXES: tuple[tuple[str, str, str], ...] = (  # start of the name, words, group
    ("FLUX_", "Flux ", _GAS),
    ("EW_", "EW ", _GAS),
    ("BPT_", "BPT ", _GAS),
    ("WHAN_", "WHAN ", _GAS),
    ("INDEX_", "", "Indices"),
    ("EMLINE_", "Gas ", _GAS),
    ("SPECINDEX", "Index", "Indices"),
)
_GREEK = {"ALPHA": "α", "BETA": "β", "GAMMA": "γ", "DELTA": "δ", "EPSILON": "ε"}


def name_of(name: str, unit: str = "") -> Name:
    """Name a quantity for people.

    Parameters
    ----------
    name : str
        Of the HDU or column, in capitals; a channel follows after a colon.
    unit : str
        As the file writes it, used where the quantity is not a known one.

    Returns
    -------
    Name
        Label, unit and group.

    Examples
    --------
    >>> name_of("MH_LW").label, name_of("FLUX_HALPHA").label, name_of("EW_OIII5007").group
    ('[M/H] (light)', 'Flux Hα', 'Gas')
    """
    base, _, channel = name.partition(":")
    if base in _NAMES:
        known = _NAMES[base]
        return known if not channel else Name(f"{known.label} {channel}", known.unit, known.group, known.diverging)
    for start, words, group in _PREFIXES:
        if base.startswith(start):
            rest = f"{words}{_line(base.removeprefix(start))} {channel}".strip()
            return Name(rest, unit, group, diverging="VEL" in base)
    return Name(name.replace("_", " ").capitalize() if "_" in name else name, unit)


def _line(text: str) -> str:
    """Write a line's name with Greek letters and brackets of forbidden lines: ``HALPHA``, ``OIII5007``."""
    for spelt, letter in _GREEK.items():
        text = re.sub(rf"^H{spelt}$", f"H{letter}", text)
    ion = re.fullmatch(r"([A-Z]|NE|AR|HE)(I+V?)(\d{4})", text)
    if ion is None:
        return text.replace("_", " ").lower() if "_" in text else text
    element = ion[1].capitalize()
    allowed = element in ("He", "O") and (element, ion[2]) in (("He", "I"), ("He", "II"))
    return f"{element} {ion[2]} {ion[3]}" if allowed else f"[{element} {ion[2]}] {ion[3]}"


def flag_list(measured: bool) -> list[dict[str, str | int]]:
    """Bits, names and meanings of the flags of a file.

    Parameters
    ----------
    measured : bool
        Whether the file holds measurements, not spectra.

    Returns
    -------
    list of dict
        ``bit``, ``name`` and ``words`` of each.
    """
    kind: type[IntFlag] = Flag
    if measured:
        from quietspec.populations.result import PopulationFlag  # takes a second

        kind = PopulationFlag
    named = [(int(flag), flag.name or "") for flag in kind if flag]
    return [{"bit": bit, "name": name.replace("_", " "), "words": FLAG_WORDS[name]} for bit, name in named]
