"""How fast denoising is, beside other methods, and how far from what the machine allows."""

from quietspec.lab.bench.machine import machine, measured_rates
from quietspec.lab.bench.run import BenchOptions, run_bench

__all__ = ["BenchOptions", "machine", "measured_rates", "run_bench"]
