"""Export of a trained network to an ONNX file, which runs without torch."""

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
from quietspec.denoisers import NETWORK_FORMAT
from quietspec.errors import ModelError
from quietspec.io.writing.atomic import os_errors_named, whole_file
from quietspec.lab.networks import Network, WithErrors
from quietspec.lab.training.networks.batches import Corpus, network_input
from quietspec.lab.training.networks.run import Run

__all__ = ["ResidualTable", "export_onnx", "residual_table"]

_LEVELS = 6  # S/N at which residuals are measured
_RESIDUALS = 4  # random stream of the run's seed, beside those of `batches`
_TOLERANCE = 1e-5  # largest difference between torch and ONNX, in units of the mean flux


class ResidualTable(NamedTuple):
    """Residuals of a network, in the form that `WithErrors` takes.

    Parameters
    ----------
    levels : (n_levels,)
        Ratios of mean |flux| to mean 1σ noise.
    residual : (n_levels, n_pixels)
        RMS residual over mean |flux|, at each level.
    """

    levels: Tensor
    residual: Tensor


def residual_table(network: Network, corpus: Corpus, run: Run) -> ResidualTable:
    """Measure the residuals of a network on the validation spectra, over the run's range of S/N.

    Parameters
    ----------
    network : Network
        Trained network.
    corpus : Corpus
        Source of the validation spectra, whose noise is drawn again.
    run : Run
        Range of S/N, seed, batch size.

    Returns
    -------
    ResidualTable
        Residuals at S/N evenly spaced in the logarithm.
    """
    levels, residuals = [], []
    for number, snr in enumerate(np.geomspace(*run.snr, _LEVELS)):
        ratios, squares = [], []
        rng = np.random.default_rng((run.seed, _RESIDUALS, number))
        for start in range(0, len(corpus.validation), run.batch):
            simulated = corpus.recipe.observe(corpus.validation[start : start + run.batch], rng, float(snr))
            spectra = network_input(simulated, network.channels, corpus.wiener)
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
    """Write a network as ONNX, once its results are found to agree with those of torch.

    Parameters
    ----------
    network : Network
        Trained network.
    table : ResidualTable or None
        Its residuals; None for a network that predicts its variance.
    wavelength : (n_pixels,)
        Grid of the network, rest-frame air Å, evenly spaced.
    path : path
        File to write.
    overwrite : bool
        Whether an existing file is replaced.

    Returns
    -------
    float
        Largest difference between ONNX and torch, in units of the mean flux.

    Raises
    ------
    ModelError
        If the difference exceeds 1e-5; no file is written.
    WriteError
        If the file exists and `overwrite` is False, or cannot be written.
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
    used = {entry.name: inputs[entry.name] for entry in session.get_inputs()}
    difference = float(np.abs(np.concatenate(session.run(None, used)) - expected.numpy()).max())
    if not difference <= _TOLERANCE:
        raise ModelError(
            f"{path}: ONNX and torch differ by {difference:.1e} of the mean flux; the file was not written."
        )
    with os_errors_named(path), whole_file(path, overwrite=overwrite) as partial:
        onnx.save(graph, partial)
    return difference


def _traced(model: WithErrors, spectra: Tensor, sigma: Tensor) -> tuple[onnx.ModelProto, Tensor]:
    """Trace the ONNX graph for any number of spectra, and compute flux and error of those given by torch, joined."""
    n_spectra = torch.export.Dim("n_spectra")
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused attention has no ONNX operator
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports a missing torchvision, which is not needed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*LeafSpec")  # a deprecation within torch
            warnings.filterwarnings("ignore", message=".*The axis name: n_spectra")  # both inputs share it
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
