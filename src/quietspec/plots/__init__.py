"""Figures from result objects: one function per figure, each returning a matplotlib `Figure` outside pyplot."""

from quietspec.plots.denoised import denoised_map_figure
from quietspec.plots.populations_maps import populations_figure
from quietspec.plots.style import save

__all__ = [
    "denoised_map_figure",
    "populations_figure",
    "save",
]
