"""From a trained network to an ONNX file that needs no torch."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from quietspec.arrays import FloatArray
from quietspec.denoisers import NETWORK_FORMAT, Denoiser
from quietspec.errors import ModelError
from quietspec.io.writing.atomic import os_errors_named, whole_file
from quietspec.lab.networks import Network, WithErrors
from quietspec.lab.training.networks.batches import Corpus, network_input
from quietspec.lab.training.networks.run import Run

__all__ = ["ResidualTable", "export_onnx", "residual_table"]

_LEVELS = 6
_SEED = 4  # child of the run's seed
_TOLERANCE = 1e-5  # of the mean flux, between torch and ONNX


class ResidualTable(NamedTuple):
    """A network's residuals, as `WithErrors` takes them.

    Parameters
    ----------
    levels : (n_levels,)
        Mean |flux| over mean 1σ noise.
    residual : (n_levels, n_pixels)
        RMS residual over mean |flux|.
    """

    levels: Tensor
    residual: Tensor


def residual_table(network: Network, corpus: Corpus, run: Run, wiener: Denoiser | None = None) -> ResidualTable:
    """Measure a network's residuals on the validation spectra, over the run's range of S/N.

    Parameters
    ----------
    network : Network
        Trained.
    corpus : Corpus
        Whose validation spectra are used, with noise not used before.
    run : Run
        Range of S/N, seed, batch size.
    wiener : Denoiser, optional
        Fills the channel ``'wiener'``.

    Returns
    -------
    ResidualTable
        At S/N evenly spaced in their logarithm.
    """
    levels, residuals = [], []
    for number, snr in enumerate(np.geomspace(*run.snr, _LEVELS)):
        ratios, squares = [], []
        rng = np.random.default_rng((run.seed, _SEED, number))
        for start in range(0, len(corpus.validation), run.batch):
            simulated = corpus.recipe.observe(corpus.validation[start : start + run.batch], rng, float(snr))
            spectra = network_input(simulated, network.channels, wiener)
            with torch.no_grad():
                residual = network(spectra)[:, 0] - torch.from_numpy(np.asarray(simulated.truth))
            scale = spectra[:, 0].abs().mean(dim=-1, keepdim=True)
            ratios.append(scale[:, 0].numpy() / simulated.observed.sigma.mean(axis=1))
            squares.append((residual / scale).square())
        levels.append(np.exp(np.log(np.concatenate(ratios)).mean()))
        residuals.append(torch.cat(squares).mean(dim=0).sqrt())
    return ResidualTable(torch.tensor(np.array(levels), dtype=torch.float32), torch.stack(residuals))


def export_onnx(
    network: Network, table: ResidualTable | None, wavelength: FloatArray, path: Path, *, overwrite: bool = False
) -> float:
    """Write a network as ONNX, and compare the file's results with torch's.

    Parameters
    ----------
    network : Network
        Trained.
    table : ResidualTable or None
        Its errors; None for a network with a variance of its own.
    wavelength : (n_pixels,)
        The grid, rest-frame air Å, evenly spaced.
    path : path
        The file.
    overwrite : bool
        Whether it may be there.

    Returns
    -------
    float
        Largest difference between the two, over the mean flux.

    Raises
    ------
    ModelError
        If they differ by more than 1e-5.
    """
    model = WithErrors(network, *(table or ())).eval()
    spectra = torch.linspace(0.5, 1.5, 3 * len(wavelength)).reshape(3, 1, -1).repeat(1, len(network.channels), 1)
    if "masked" in network.channels:
        spectra[:, network.channels.index("masked")] = 0
    sigma = 0.1 * torch.ones(3, len(wavelength))
    graph, expected = _traced(model, spectra, sigma)
    properties = {
        "format": NETWORK_FORMAT,
        "channels": network.channels,
        "wavelength": [float(wavelength[0]), float(wavelength[-1]), len(wavelength)],
    }
    onnx.helper.set_model_props(graph, {"quietspec": json.dumps(properties)})
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    inputs = {"spectra": spectra.numpy(), "sigma": sigma.numpy()}
    given = {entry.name: inputs[entry.name] for entry in session.get_inputs()}
    difference = float(np.abs(np.concatenate(session.run(None, given)) - expected.numpy()).max())
    if not difference <= _TOLERANCE:
        raise ModelError(f"{path}: ONNX and torch differ by {difference:.1e} of the flux; not written.")
    with os_errors_named(path), whole_file(path, overwrite=overwrite) as partial:
        onnx.save(graph, partial)
    return difference


def _traced(model: WithErrors, spectra: Tensor, sigma: Tensor) -> tuple[onnx.ModelProto, Tensor]:
    """Return the ONNX graph for any number of spectra, and torch's results for those given, one after the other."""
    n_spectra = torch.export.Dim("n_spectra")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused attention is no ONNX operator
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which nobody needs
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec")  # torch's own, about itself
            warnings.filterwarnings("ignore", message=".*The axis name: n_spectra")  # both inputs have it
            program = torch.onnx.export(
                model,
                (spectra, sigma),
                input_names=["spectra", "sigma"],
                output_names=["flux", "error"],
                dynamic_shapes=({0: n_spectra}, {0: n_spectra}),
                dynamo=True,
                verbose=False,
            )
        with torch.no_grad():
            return program.model_proto, torch.cat(model(spectra, sigma))  # type: ignore[union-attr]
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
