"""Maps of cubes show the truth and every contender, on one scale per label."""

import matplotlib as mpl
import numpy as np

from quietspec.lab.plots import cube_maps_figure

from ...plots.looking import drawn, texts
from ..evaluation.made_cubes import LABELS, SHAPE, estimate, made_cube


def test_truth_and_contenders_stand_side_by_side() -> None:
    cube = made_cube()
    results = {"spaxels": estimate(cube, label_pull=1.0), "bins": estimate(cube)}
    figure = drawn(cube_maps_figure(cube, results, tuple(LABELS)))
    said = texts(figure)
    for text in ("truth", "spaxels", "bins", "velocity [km/s]", "[M/H]"):
        assert text in said
    images = figure.findobj(mpl.image.AxesImage)
    velocity = [one for one in images if one.get_cmap().name == "RdBu_r"]
    assert len(velocity) == 3
    assert len({one.get_clim() for one in velocity}) == 1
    truth = cube.simulated.parameters["velocity"].reshape(SHAPE)
    np.testing.assert_allclose(velocity[1].get_array() - truth, LABELS["velocity"])
