"""What it costs to start, beside an earlier release: the import, the help, and a first spectrum denoised.

    python benchmarks/start_up.py --release PYTHON [--repeats 7]

PYTHON is the interpreter of an environment that has the release (version 0.1.0: commit 7eb9f84). Processor time of
processes that do one thing, both versions by turns, the median of some.
"""

from __future__ import annotations

import os
import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
from file_speed import ONE_THREAD
from script import console, finish, parser

HELP = "import sys; from quietspec.cli import app; sys.argv = ['quietspec', '--help']; app()"
FIRST = """
import numpy as np
import quietspec
wavelength = np.arange(4000.0, 7000.0, 2.0)
flux = 1 + 0.1 * np.random.default_rng(0).normal(size=(1, wavelength.size))
spectra = quietspec.Spectra(
    wavelength=wavelength, flux=flux, ivar=np.full(flux.shape, 100.0), redshift=0.01, medium="air"
)
quietspec.load_denoiser("posterior").denoise(spectra)
"""
CODES = {"import quietspec": "import quietspec", "quietspec --help": HELP, "first spectrum": FIRST}


def processor_time(python: str, code: str) -> float:
    """Seconds of processor time of an interpreter that runs some code in one thread of linear algebra."""
    known = dict(os.environ) | ONE_THREAD
    if python != sys.executable:
        known.pop("PYTHONPATH", None)
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([python, "-c", code], env=known, stdout=subprocess.DEVNULL, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    made = parser(__doc__, results="start_up")
    made.add_argument("--release", required=True, metavar="PYTHON", help="interpreter that has the release")
    made.add_argument("--repeats", type=int, default=7)
    options = made.parse_args()
    found: dict[str, dict[str, float]] = {}
    for name, code in CODES.items():
        turns = [
            [processor_time(python, code) for python in (options.release, sys.executable)]
            for _ in range(options.repeats)
        ]
        release, now = np.median(turns, axis=0).round(4).tolist()
        found[name] = {"release": release, "now": now, "ratio": round(now / release, 3)}
    console.print(found)
    finish(options, {"seconds of processor time": found})


if __name__ == "__main__":
    main()
