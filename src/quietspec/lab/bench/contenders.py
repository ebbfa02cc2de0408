"""The contenders that are timed: functions that each handle the same spectra, run in a process of their own.

All take the path of a cube, its redshift and a number of spectra, and return a `Speed`. Loading of models and a first
call are not counted.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quietspec.denoisers import Denoiser, NetworkDenoiser, load_denoiser, network_file
from quietspec.denoisers.shipped import NETWORKS
from quietspec.errors import ModelError
from quietspec.io import open_spectra
from quietspec.spectra import Spectra

__all__ = ["CONTENDERS", "Speed", "absent", "sample"]

_AT_LEAST = 4.0  # s that a measurement lasts
_FEWEST = 16  # spectra it takes, some of which cost more than others
_FIRST = 4  # spectra of the first call, which starts what other processes a contender has


@dataclass(frozen=True)
class Speed:
    """How fast spectra were handled.

    Parameters
    ----------
    per_second : float
        Spectra per second of wall time, on as many cores as the contender takes by itself.
    cpu_ms : float
        Milliseconds of processor time per spectrum, over all its threads but not over other processes. It says more
        than wall time if other work runs on the machine.
    """

    per_second: float
    cpu_ms: float


def sample(path: Path, redshift: float, n: int) -> Spectra:
    """Read `n` spectra spread evenly over a cube."""
    with open_spectra(path, redshift=redshift) as source:
        return source.read(np.linspace(0, source.n_spectra - 1, min(n, source.n_spectra)).astype(int))


def _square(path: Path, redshift: float, n: int) -> Spectra:
    """Read an image of at most `n` spaxels, every few of the cube's along both axes, as bright as `sample`."""
    with open_spectra(path, redshift=redshift) as source:
        ny, nx = source.spatial_shape or (1, source.n_spectra)
        side = int(min(n**0.5, ny, nx))
        y, x = (np.linspace(0, size - 1, side).astype(int) for size in (ny, nx))
        return replace(source.read((y[:, None] * nx + x).ravel()), spatial_shape=(side, side))


def absent(name: str) -> str | None:
    """Why a contender cannot be measured here; None if it can."""
    needs = {"eut-paper": ("torch", "onnx", "onnxscript", "pydantic"), "eut-paper-torch": ("torch", "pydantic")}
    needs |= dict.fromkeys(("ppxf", "ppxf-gas", "ppxf-parallel"), ("ppxf",))
    missing = [module for module in needs.get(name, ()) if find_spec(module) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if name.startswith("ppxf"):
        from quietspec.io.fetching import cached

        return None if cached("miles") else "needs the MILES models: quietspec fetch miles"
    if name in NETWORKS:
        try:
            network_file(name)
        except ModelError as error:
            return str(error)
    return None


def _speed(action: Callable[[Spectra], Any], spectra: Spectra) -> Speed:
    """Time an action on more and more of the spectra, until it takes long enough to measure."""
    action(spectra[:_FIRST])
    n = min(_FEWEST, len(spectra))
    while True:
        seconds, speed = _once(action, spectra[:n])
        if n == len(spectra) or seconds > _AT_LEAST:
            return speed
        n = min(len(spectra), max(2 * n, int(1.2 * _AT_LEAST * n / seconds)))


def _once(action: Callable[[Spectra], Any], spectra: Spectra) -> tuple[float, Speed]:
    """Seconds that an action takes, and its speed."""
    start, before = time.perf_counter(), time.process_time()
    action(spectra)
    seconds, busy = time.perf_counter() - start, time.process_time() - before
    return seconds, Speed(len(spectra) / seconds, 1e3 * busy / len(spectra))


def _denoised(denoiser: Denoiser, path: Path, redshift: float, n: int) -> Speed:
    return _speed(denoiser.denoise, sample(path, redshift, n))


def _named(name: str, path: Path, redshift: float, n: int, **options: Any) -> Speed:
    return _denoised(load_denoiser(name, **options), path, redshift, n)


def _spatial(path: Path, redshift: float, n: int) -> Speed:
    """All spaxels together, once: what they learn from each other depends on their number."""
    return _once(load_denoiser("posterior", spatial=True).denoise, _square(path, redshift, n))[1]


def _paper_onnx(path: Path, redshift: float, n: int) -> Speed:
    """The paper's network by ONNX Runtime, with random weights, which take the same time."""
    from quietspec.lab.training.networks import export_onnx

    network, wavelength, table = _paper_network()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eut-paper.onnx"
        export_onnx(network, table, wavelength, file)
        return _denoised(NetworkDenoiser("eut-paper", file), path, redshift, n)


def _paper_torch(path: Path, redshift: float, n: int) -> Speed:
    """The same network by torch, without the resampling to its grid."""
    import torch

    network, wavelength, _ = _paper_network()

    def forward(spectra: Spectra) -> None:
        with torch.inference_mode():
            for row in spectra.flux:
                flux = np.resize(row, len(wavelength)).astype(np.float32)
                network(torch.from_numpy(flux)[None, None])

    return _speed(forward, sample(path, redshift, n))


def _paper_network() -> tuple[Any, Any, Any]:
    """The paper's network with random weights, its grid, and a table of errors."""
    import torch

    from quietspec.denoisers import load_prior
    from quietspec.lab.networks import make_network
    from quietspec.lab.training.networks import ResidualTable, Run

    torch.manual_seed(0)
    wavelength = load_prior("paper").wavelength
    table = ResidualTable(torch.tensor([1.0, 100.0]), torch.ones(2, len(wavelength)))
    return make_network(Run.load("eut-paper").network).eval(), wavelength, table


def _ppxf(jobs: int, gas: Literal["mask", "fit"], path: Path, redshift: float, n: int) -> Speed:
    """Kinematics and weights of the 150 MILES models, with gas masked or fitted, and formal errors only."""
    from joblib.externals.loky import get_reusable_executor

    from quietspec.io.fetching import fetch
    from quietspec.populations import PpxfOptions, fit_populations
    from quietspec.templates import load_library

    library, options = load_library(fetch("miles")), PpxfOptions(regularisation=0, gas=gas)
    try:
        return _speed(partial(fit_populations, library=library, options=options, jobs=jobs), sample(path, redshift, n))
    finally:
        get_reusable_executor().shutdown()  # otherwise this process would wait until its workers time out


CONTENDERS: dict[str, Callable[[Path, float, int], Speed]] = {
    "posterior": partial(_named, "posterior"),
    "posterior-stars": partial(_named, "posterior", emission="none"),
    "posterior-gas": partial(_named, "posterior", emission="fit"),
    "posterior-still": partial(_named, "posterior", model="paper"),
    "posterior-spatial": _spatial,
    "wiener": partial(_named, "wiener"),
    "savgol": partial(_named, "savgol"),
    "eut-placed": partial(_named, "eut-placed"),
    "eut-paper": _paper_onnx,
    "eut-paper-torch": _paper_torch,
    "ppxf": partial(_ppxf, 1, "mask"),
    "ppxf-gas": partial(_ppxf, 1, "fit"),
    "ppxf-parallel": partial(_ppxf, -1, "mask"),
}  #: contenders by name
