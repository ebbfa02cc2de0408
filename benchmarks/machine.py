"""What a benchmark ran on, for its results file."""

from quietspec.benchmarking import machine

__all__ = ["machine"]
