"""Training of networks by Lightning (extra ``train``): settings in; checkpoints, learning curve and ONNX out."""

from quietspec.lab.training.networks.batches import Batch, Corpus, NoisyBatches, network_input
from quietspec.lab.training.networks.cost import inference_flops, training_flops
from quietspec.lab.training.networks.curve import LearningCurve, read_curve
from quietspec.lab.training.networks.export import ResidualTable, export_onnx, residual_table
from quietspec.lab.training.networks.fit import CURVE, best_network, main_process, train_network
from quietspec.lab.training.networks.module import DenoisingModule, spectrum_losses
from quietspec.lab.training.networks.run import RUNS, Run

__all__ = [
    "CURVE", "RUNS", "Batch", "Corpus", "DenoisingModule", "LearningCurve", "NoisyBatches", "ResidualTable", "Run",
    "best_network", "export_onnx", "inference_flops", "main_process", "network_input", "read_curve", "residual_table",
    "spectrum_losses", "train_network", "training_flops",
]  # fmt: skip
