"""The commands `lab …`: simulation, training, evaluation and timing, for those who test or make models."""

from quietspec.cli.lab.main import lab

__all__ = ["lab"]
