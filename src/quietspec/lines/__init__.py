"""Emission lines: which are fitted, what a posterior says of their fluxes, and what follows from ratios."""

from quietspec.lines.catalogue import GROUPS, LineGroup, is_forbidden
from quietspec.lines.results import FittedLines, Line, LinePosterior

__all__ = ["GROUPS", "FittedLines", "Line", "LineGroup", "LinePosterior", "is_forbidden"]
