"""What a benchmark ran on, for its results file."""

from quietspec.lab.bench import machine

__all__ = ["machine"]
