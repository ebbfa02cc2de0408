"""Figures from result objects: one function per figure, each a matplotlib `Figure`; nothing here keeps pyplot state."""

from quietspec.plots.denoised import denoised_map_figure
from quietspec.plots.populations_maps import populations_figure
from quietspec.plots.style import save

__all__ = [
    "denoised_map_figure",
    "populations_figure",
    "save",
]
