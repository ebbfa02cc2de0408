"""How fast denoising is, beside other methods, and how far from what the machine allows."""

from quietspec.lab.bench.machine import measured_rates
from quietspec.lab.bench.run import BenchOptions, run_bench

__all__ = ["BenchOptions", "measured_rates", "run_bench"]
