"""Which emission lines are fitted, and which of them atomic physics ties to each other."""

from __future__ import annotations

from dataclasses import dataclass

from quietspec.wavelengths import EMISSION_LINES

__all__ = ["GROUPS", "LineGroup", "is_forbidden"]


def is_forbidden(name: str) -> bool:
    """Whether a line of `EMISSION_LINES` is forbidden, by its name.

    Parameters
    ----------
    name : str
        Name, with brackets where the line is a forbidden one.

    Returns
    -------
    bool
        False for the lines of hydrogen and helium, and for the few permitted ones of metals.

    Examples
    --------
    >>> is_forbidden("[NII]6583"), is_forbidden("Halpha")
    (True, False)
    """
    return "]" in name


@dataclass(frozen=True)
class LineGroup:
    """Lines whose fluxes have a fixed ratio.

    Parameters
    ----------
    name : str
        Its strongest line, whose flux stands for the group.
    members : tuple of (str, float)
        Lines of `EMISSION_LINES`, and their fluxes over that of the first.
    """

    name: str
    members: tuple[tuple[str, float], ...]

    @property
    def wavelength(self) -> float:
        """Rest-frame air wavelength of its strongest line, Å."""
        return EMISSION_LINES[self.name]


#: Ratios of doublets from one upper level: Storey & Zeippen 2000, MNRAS 312, 813 ([OIII], [NII]); Osterbrock & Ferland
#: 2006, Table 3.x and the transition probabilities there ([OI], [NeIII], [SIII]). [NI] is a blend, taken as even.
_TIED = {
    "[OIII]5007": {"[OIII]4959": 1 / 2.98},
    "[NII]6583": {"[NII]6548": 1 / 3.05},
    "[OI]6300": {"[OI]6364": 1 / 3.1},
    "[NeIII]3869": {"[NeIII]3967": 0.301},
    "[SIII]9531": {"[SIII]9069": 1 / 2.47},
    "[NI]5200": {"[NI]5198": 1.0},
}
_BLENDED = ("HeI3889",)  # 0.4 Å from H8, which therefore stands for both


def _groups() -> tuple[LineGroup, ...]:
    following = {line for lines in _TIED.values() for line in lines} | set(_BLENDED)
    heads = (name for name in EMISSION_LINES if name not in following)
    return tuple(LineGroup(name, ((name, 1.0), *_TIED.get(name, {}).items())) for name in heads)


#: All groups, by increasing wavelength of their strongest lines.
GROUPS: tuple[LineGroup, ...] = tuple(sorted(_groups(), key=lambda group: group.wavelength))
