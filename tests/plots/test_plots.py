"""Figures of denoised files: they say what the results hold, in every odd case, and appear whole or not at all."""

from dataclasses import replace

import astropy.units as u
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from PIL import Image

from quietspec.denoisers.smoothers import Gaussian
from quietspec.errors import SpectraError, WriteError
from quietspec.lab.plots import gain_figure
from quietspec.plots import denoised_map_figure, save
from quietspec.plots.style import COLOURS, flux_label
from quietspec.spectra import Spectra

from .looking import drawn, texts


def cube(ny: int = 5, nx: int = 6, **fields) -> tuple[Spectra, np.ndarray]:
    """A cube of which the S/N falls along a row, and its truth."""
    rng = np.random.default_rng(0)
    wavelength = 4800 + 4.0 * np.arange(300)
    truth = np.linspace(20, 2, ny * nx)[:, None] * (1 - 0.5 * np.exp(-(((wavelength - 5300) / 12) ** 2)))
    fields = {
        "medium": "air",
        "spatial_shape": (ny, nx),
        "unit": u.Unit("1e-20 erg s-1 cm-2 AA-1"),
        "redshift": 0.05,
    } | fields
    flux = truth + rng.standard_normal(truth.shape)
    return Spectra(wavelength=wavelength, flux=flux, ivar=np.ones(truth.shape), **fields), truth


def test_map_figure_says_which_spaxels_and_how_much_was_gained() -> None:
    spectra, _ = cube()
    denoised = Gaussian(12).denoise(spectra)
    figure = drawn(denoised_map_figure(denoised))
    said = texts(figure)
    assert "White light" in said
    assert f"spaxel x = 0, y = 0:  S/N {denoised.snr_before[0]:.1f} before, {denoised.snr[0]:.1f} after" in said
    assert said.count("spaxel x = ") == 4
    assert r"10^{-20}" in said
    assert "Hβ" in said


def test_snr_maps_share_one_scale_and_show_the_values() -> None:
    spectra, _ = cube()
    denoised = Gaussian(12).denoise(spectra)
    images = drawn(denoised_map_figure(denoised)).findobj(mpl.image.AxesImage)
    by_title = {image.axes.get_title(): image for image in images}
    before, after = by_title["S/N before"], by_title["S/N after"]
    assert before.get_clim() == after.get_clim()
    assert_allclose(after.get_array(), spectra.image(denoised.snr))


@pytest.mark.parametrize("n", [1, 3, 30])
def test_spectra_without_an_image_are_drawn_without_maps(n: int) -> None:
    spectra, _ = cube(spatial_shape=None, redshift=np.nan, unit=u.one)
    figure = drawn(denoised_map_figure(Gaussian(12).denoise(spectra[:n])))
    assert not figure.findobj(mpl.image.AxesImage)
    assert texts(figure).count("spectrum ") == min(n, 4)


def test_most_spaxels_or_all_without_data() -> None:
    spectra, _ = cube()
    for n_good in (2, 0):
        ivar = np.where(np.arange(30)[:, None] < n_good, spectra.ivar, 0)
        figure = drawn(denoised_map_figure(Gaussian(12).denoise(replace(spectra, ivar=ivar))))
        assert texts(figure).count("spaxel x = ") == n_good
    assert "no spectrum could be denoised" in texts(figure)


def test_ignored_pixels_are_shaded_where_they_are() -> None:
    spectra, _ = cube()
    ignored = np.zeros(spectra.flux.shape, dtype=bool)
    ignored[:, 50:60] = True
    figure = drawn(denoised_map_figure(replace(Gaussian(12).denoise(spectra), ignored=ignored)))
    spans = [
        patch
        for patch in figure.findobj(mpl.patches.Rectangle)
        if patch.get_label() == "left out of the fit" and patch.axes
    ]
    assert len(spans) == 2 * 4  # beside each spectrum, and beside its residual
    edges = spans[0].get_extents().transformed(spans[0].axes.transData.inverted())
    assert_allclose([edges.x0, edges.x1], [spectra.wavelength[50] - 2, spectra.wavelength[59] + 2], rtol=1e-6)


def test_negative_fluxes_and_huge_spikes_do_not_break_the_figure() -> None:
    spectra, _ = cube()
    flux = -spectra.flux.copy()
    flux[:, 100] = 1e12
    drawn(denoised_map_figure(Gaussian(12).denoise(replace(spectra, flux=flux))))


def test_gain_figure_shows_errors_before_and_after() -> None:
    spectra, truth = cube()
    denoised = Gaussian(12).denoise(spectra)
    figure = drawn(gain_figure(truth, denoised))
    images = {image.axes.get_title(): image for image in figure.findobj(mpl.image.AxesImage)}
    expected = np.sqrt(np.mean((denoised.flux - truth) ** 2, axis=1))
    assert_allclose(images["RMS error, denoised"].get_array(), spectra.image(expected))
    assert images["RMS error, denoised"].get_clim() == images["RMS error, input"].get_clim()
    assert "times smaller" in texts(figure)


def test_gain_figure_refuses_what_it_cannot_draw() -> None:
    spectra, truth = cube()
    with pytest.raises(SpectraError, match="nothing to draw"):
        gain_figure(truth, Gaussian(12).denoise(replace(spectra, ivar=0 * spectra.ivar)))
    with pytest.raises(SpectraError, match="form no image"):
        gain_figure(truth, Gaussian(12).denoise(replace(spectra, spatial_shape=None)))


def test_callers_settings_are_left_alone() -> None:
    spectra, _ = cube()
    with mpl.rc_context({"font.size": 17.0, "image.cmap": "hot"}):
        figure = denoised_map_figure(Gaussian(12).denoise(spectra))
        assert mpl.rcParams["font.size"] == 17
    sizes = {text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()}
    assert max(sizes) < 10


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_save_writes_and_replaces(tmp_path, kind) -> None:
    path = tmp_path / f"figure.{kind}"
    path.write_text("old")
    assert save(Figure(figsize=(2, 1)), path) == path
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[kind]
    assert path.read_bytes().startswith(start)
    if kind == "png":
        with Image.open(path) as image:
            assert image.size == (400, 200)


def test_save_leaves_the_old_file_where_it_fails(tmp_path, monkeypatch) -> None:
    path = tmp_path / "figure.png"
    path.write_text("old")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(WriteError, match=r"figure\.png: the disk is full"):
        save(Figure(), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_save_names_what_is_wrong(tmp_path) -> None:
    with pytest.raises(WriteError, match=r"use \.pdf or \.png"):
        save(Figure(), tmp_path / "figure.doc")
    with pytest.raises(WriteError, match="nowhere"):
        save(Figure(), tmp_path / "nowhere" / "figure.png")


def test_labels_carry_units() -> None:
    assert flux_label(u.one) == "Flux"
    label = flux_label(u.Unit("1e-17 erg s-1 cm-2 AA-1"), "Mean flux")
    assert label.startswith(r"Mean flux [$\mathrm{10^{-17}")
    assert "times" not in label


def test_colours_differ_in_lightness_or_hue_for_the_colour_blind() -> None:
    # Deuteranopia after Machado, Oliveira & Fernandes 2009, severity 1: no two model colours come out close.
    matrix = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    seen = np.array([mpl.colors.to_rgb(colour) for colour in COLOURS]) @ matrix.T
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1) + 10 * np.eye(len(seen))
    assert distance.min() > 0.12
