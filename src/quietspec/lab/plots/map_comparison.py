"""Maps of stellar populations by several methods, beside the truth of a simulated galaxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from quietspec.errors import SpectraError
from quietspec.plots.populations_maps import PARAMETER_LABELS
from quietspec.plots.sky import SPREAD, colour_limits, outer_labels, sky_axes
from quietspec.plots.style import PAGE_WIDTH, SMALL, colour_bar, figure, hatched_image, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure, SubFigure

    from quietspec.arrays import FloatArray
    from quietspec.lab.evaluation.maps import MapComparison

__all__ = ["map_comparison_figure"]


@styled
def map_comparison_figure(comparison: MapComparison, parameters: Sequence[str] = ("log_age_lw", "mh_lw")) -> Figure:
    """Draw the maps that several methods made of a simulated galaxy, beside the truth.

    Parameters
    ----------
    comparison : MapComparison
        Result of `quietspec.lab.evaluation.maps.compare_maps`.
    parameters : sequence of str
        Parameters to draw.

    Returns
    -------
    matplotlib.figure.Figure
        For each parameter a row of maps, one of recovered minus true with its root mean square, and one of the stated
        errors, with one column per method, on one scale per row. Clump and ring are outlined on the truth.

    Raises
    ------
    SpectraError
        If the spectra form no image.
    """
    cell = PAGE_WIDTH / (len(comparison.methods) + 1.8)
    page = figure((3 * cell + 0.95) * len(parameters))
    parts = np.atleast_1d(np.asarray(page.subfigures(len(parameters), 1), dtype=object))
    for part, parameter in zip(parts, parameters, strict=True):
        part.suptitle("{} [{}]".format(*PARAMETER_LABELS[parameter]), fontsize=8)
        _draw_comparison(part, comparison, parameter)
    return page


def _draw_comparison(page: SubFigure, comparison: MapComparison, parameter: str) -> None:
    """Three rows of maps of one parameter: recovered, recovered minus true, stated error."""
    observed = comparison.simulated.observed
    if observed.spatial_shape is None:
        raise SpectraError("map_comparison_figure: these simulated spectra form no image.")
    truth = observed.image(comparison.simulated.parameters[parameter])
    maps = {name: observed.image(one.populations.values[parameter]) for name, one in comparison.methods.items()}
    errors = {name: observed.image(one.populations.error(parameter)) for name, one in comparison.methods.items()}
    differences = {name: values - truth for name, values in maps.items()}
    rms = {name: f"rms {one.scores[parameter].rms:.3f}" for name, one in comparison.methods.items()}
    rows: list[tuple[str, dict[str, FloatArray], Normalize, str]] = [
        ("", {"truth": truth} | maps, colour_limits(truth), "viridis"),
        ("recovered\n− true", differences, _symmetric(np.array(list(differences.values()))), "RdBu_r"),
        ("stated\nerror", errors, colour_limits(np.array(list(errors.values())), low=0.0), "cividis"),
    ]
    n_columns = len(maps) + 1
    for row, (label, images, norm, cmap) in enumerate(rows):
        first = n_columns - len(images)
        for column, (name, values) in enumerate(images.items(), start=first):
            place = (3, n_columns, row * n_columns + column + 1)
            axes = sky_axes(page, place, observed.spatial_shape, observed.wcs)
            image = hatched_image(axes, values, norm, cmap)
            outer_labels(axes, first=column == first, last=row == 2 or name == "truth", wcs=observed.wcs)
            if row < 2:
                axes.set_title(rms[name] if row else name.replace(", ", ",\n"), fontsize=SMALL, pad=2)
            if name == "truth":
                _outline(axes, comparison, observed.spatial_shape)
        colour_bar(axes, image, "")
        if label:
            page.add_subplot(3, n_columns, row * n_columns + 1, frameon=False, xticks=[], yticks=[]).text(
                0.6, 0.5, label, ha="right", va="center", fontsize=SMALL
            )


def _outline(axes: Axes, comparison: MapComparison, shape: tuple[int, int]) -> None:
    for name in ("clump", "ring"):
        if name in comparison.regions:
            axes.contour(comparison.regions[name].reshape(shape).astype(float), [0.5], colors="white", linewidths=0.6)


def _symmetric(values: FloatArray) -> Normalize:
    """Colours symmetric about 0."""
    from matplotlib.colors import Normalize

    finite = np.abs(values[np.isfinite(values)])
    span = float(np.percentile(finite, SPREAD[1])) if finite.size else 1.0
    return Normalize(-max(span, 1e-3), max(span, 1e-3))
