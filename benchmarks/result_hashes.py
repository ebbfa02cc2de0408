"""SHA-256 of every array that the default denoiser makes of some files: proof that new code changes no result.

    quietspec lab simulate -o survey.fits --recipe survey -n 576 --seed 5
    cube=$(quietspec fetch muse-a478 | tail -1)
    python benchmarks/result_hashes.py survey.fits demo "$cube:0.0858" --json hashes.json

A redshift may follow a file after a colon. Run it under both versions on one machine, with the same files, and compare
the two JSON files with ``diff``. Linear algebra runs in one thread, since the order of its sums is part of the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import quietspec

_ARRAYS = (
    "flux",
    "sigma",
    "ignored",
    "flags",
    "chi2",
    "dof",
    "evidence",
    "noise_scale",
    "p_value",
    "redshift",
    "remainder",
)


def hashes_of(path: Path, redshift: float | None, n_rows: int) -> dict[str, str]:
    """Hash every array of the result, the covariance of the first spectrum and the labels' mixtures included."""
    with quietspec.open_spectra(path, redshift=redshift) as source:
        spectra = source.read(slice(0, n_rows))
    denoised = quietspec.load_denoiser("posterior").denoise(spectra)
    arrays = {name: getattr(denoised, name) for name in _ARRAYS}
    arrays |= {"input flux": spectra.flux, "input ivar": spectra.ivar, "covariance 0": denoised.covariance(0)}
    posterior = denoised.parameter_posterior
    arrays |= {f"labels {name}": getattr(posterior, name) for name in ("weights", "means", "covariances")}
    for name, (mean, sigma) in denoised.parameters.items():
        arrays |= {f"{name} mean": mean, f"{name} sigma": sigma}
    return {name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for name, array in arrays.items()}


def main() -> None:
    """Hash the results of the files on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="FILE, FILE:REDSHIFT, or demo for the example cube")
    parser.add_argument("-n", type=int, default=2048, help="spectra per file")
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    found: dict[str, dict[str, str]] = {}
    for text in given.files:
        name, _, redshift = text.partition(":")
        with as_file(files("quietspec.models") / "demo.fits") as demo, threadpool_limits(limits=1):
            path = demo if name == "demo" else Path(name)
            found[path.name] = hashes_of(path, float(redshift) if redshift else None, given.n)
    given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
