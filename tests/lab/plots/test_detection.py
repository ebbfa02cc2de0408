"""The figure of detection: one panel per kind, the S/N named, nothing hidden."""

import numpy as np

from quietspec.lab.plots.detection import detection_figure

from ...plots.looking import drawn, texts


def test_every_kind_and_snr_is_shown() -> None:
    rng = np.random.default_rng(0)
    snrs = (2.0, 10.0, 40.0)
    galaxies = {snr: rng.random(500) for snr in snrs}
    outsiders = {kind: {snr: rng.random(50) ** snr for snr in snrs} for kind in ("stars", "noise", "quasars", "sky")}
    page = drawn(detection_figure(galaxies, outsiders))
    shown = texts(page)
    assert all(name in shown for name in (*outsiders, "S/N 2", "S/N 10", "S/N 40"))
    assert sum(axes.get_visible() for axes in page.axes) == len(outsiders) + 1
