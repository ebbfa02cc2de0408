"""Maps of a simulated galaxy by several contenders, beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quietspec.plots.populations_maps import PARAMETER_LABELS
from quietspec.plots.sky import colour_limits, outer_labels, sky_axes
from quietspec.plots.style import PAGE_WIDTH, SMALL, colour_bar, figure, hatched_image, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from quietspec.denoised import Denoised
    from quietspec.lab.simulate import GalaxyCube

__all__ = ["cube_maps_figure"]

_COLOURS = {"velocity": "RdBu_r"}


@styled
def cube_maps_figure(
    cube: GalaxyCube,
    results: Mapping[str, Denoised],
    labels: Sequence[str] = ("log_age_lw", "mh_lw", "velocity", "sigma"),
) -> Figure:
    """Draw the maps that contenders made of a simulated galaxy, beside the truth.

    Parameters
    ----------
    cube : GalaxyCube
        The galaxy.
    results : mapping of str to Denoised
        Its spaxels, denoised, by contender.
    labels : sequence of str
        Labels to draw.

    Returns
    -------
    matplotlib.figure.Figure
        One row per label, on one scale, and one column for the truth and for each contender.
    """
    observed, n_columns = cube.simulated.observed, len(results) + 1
    page = figure(PAGE_WIDTH / (n_columns + 0.8) * len(labels) + 0.4)
    for row, label in enumerate(labels):
        truth = cube.simulated.parameters[label]
        columns = {"truth": truth} | {name: one.parameters[label][0] for name, one in results.items()}
        norm = colour_limits(truth[cube.observed_spaxels & ~cube.foreign()])
        for column, (name, values) in enumerate(columns.items()):
            place = (len(labels), n_columns, row * n_columns + column + 1)
            axes = sky_axes(page, place, cube.shape, observed.wcs)
            image = hatched_image(axes, observed.image(values), norm, _COLOURS.get(label, "viridis"))
            outer_labels(axes, first=column == 0, last=row == len(labels) - 1, wcs=observed.wcs)
            if row == 0:
                axes.set_title(name, fontsize=SMALL, pad=2)
        colour_bar(axes, image, "{} [{}]".format(*PARAMETER_LABELS[label]))
    return page
