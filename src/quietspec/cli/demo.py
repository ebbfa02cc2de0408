"""The command `demo`: the example cube denoised, drawn, and held against its truth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quietspec.cli.console import command_line, console, log, print_path, progress_bar
from quietspec.cli.options import Model
from quietspec.errors import WriteError
from quietspec.models import demo_cube

if TYPE_CHECKING:
    from quietspec.arrays import BoolArray, FloatArray
    from quietspec.denoised import Denoised

__all__ = ["COMPARED", "Truth", "demo", "run_demo"]

COMPARED = ("savgol", "wiener", "posterior")  #: denoisers shown side by side; the files are the last one's
_SNR_EDGES = (2, 4, 8, 16, 32)
_LABELS = {"log_age_lw": "log age", "mh_lw": r"\[M/H]"}


@dataclass(frozen=True, eq=False)
class Truth:
    """What the example cube is made of.

    Parameters
    ----------
    flux : (n_spectra, n_pixels)
        Noise-free flux, without gas emission.
    parameters : mapping of str to (n_spectra,)
        True parameters, and ``snr``, the S/N in the window.
    """

    flux: FloatArray
    parameters: dict[str, FloatArray]

    @classmethod
    def read(cls, path: Path) -> Truth:
        """Read the truth out of the example cube."""
        import numpy as np
        from astropy.io import fits

        with fits.open(path) as hdus:
            cube, table = hdus["TRUTH"].data, hdus["SPECTRA"].data
            flux = np.ascontiguousarray(cube.reshape(len(cube), -1).T, dtype=np.float32)
            return cls(flux, {name: np.array(table[name], dtype=float) for name in table.names})


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if missing.")] = Path(
        "quietspec-demo"
    ),
    model: Model = "auto",
) -> None:
    """Denoise the embedded example cube, draw it, and print what was gained against the truth."""
    run_demo(out, model)


def run_demo(out: Path, model: str = "auto") -> None:
    """Denoise the example cube into a folder and print what was gained.

    Parameters
    ----------
    out : Path
        Folder; made if missing. The demo's own files in it are replaced, others stay.
    model : str, optional
        Prior: the name of a shipped one, or the path of an .npz.

    Raises
    ------
    WriteError
        If the folder cannot be made or written to.
    """
    from quietspec.denoisers import load_denoiser
    from quietspec.files import denoise_file
    from quietspec.lab.plots import gain_figure
    from quietspec.plots import denoised_map_figure, save

    start = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{out}: cannot be made a folder ({error.strerror}). Choose another: --out DIR.") from error
    tools = {name: load_denoiser(name, model) for name in COMPARED}
    output = out / "demo_denoised.fits"
    path = demo_cube()
    log(f"denoising {path.name}, a simulated galaxy of known truth")
    truth = Truth.read(path)
    with progress_bar(path.name) as progress:
        *others, chosen = tools.values()
        _, denoised = denoise_file(
            [path], output, chosen, overwrite=True, command=command_line(), keep=True, progress=progress
        )
    if denoised is None:  # never: `keep` was asked for
        raise WriteError(f"{output}: nothing was denoised.")
    results = {tool.name: tool.denoise(denoised.spectra) for tool in others} | {chosen.name: denoised}
    _print_gains(truth, results)
    _print_populations(truth, denoised)
    figures = {"demo_maps.png": denoised_map_figure(denoised), "demo_gain.png": gain_figure(truth.flux, denoised)}
    for written in (output, *(save(figure, out / name) for name, figure in figures.items())):
        print_path(written, dim=True)
    log(f"done in {time.perf_counter() - start:.1f} s")


def _snr_ranges(truth: Truth) -> dict[str, BoolArray]:
    """Spaxels of each range of S/N, and all, by name."""
    import numpy as np

    snr = truth.parameters["snr"]
    ranges = {f"{low}–{high}": (snr >= low) & (snr < high) for low, high in pairwise(_SNR_EDGES)}
    filled = {name: inside for name, inside in ranges.items() if inside.any()}
    return filled | {"all": np.ones(snr.shape, dtype=bool)}


def _print_gains(truth: Truth, results: dict[str, Denoised]) -> None:
    """Print errors before and after, by range of S/N, over good pixels clear of emission lines and spikes."""
    import numpy as np
    from rich.table import Table

    from quietspec.lab.evaluation import coverage, rms

    denoised = results[COMPARED[-1]]
    spectra = denoised.spectra
    counted = denoised.counted
    before = rms(spectra.flux - truth.flux, counted)
    after = {name: rms(result.flux - truth.flux, counted) for name, result in results.items()}
    inside = coverage(truth.flux, denoised.flux, denoised.sigma, 0.6827, denoised.valid)
    last = COMPARED[-1]

    table = Table(box=None, header_style="bold", pad_edge=False, title="Gained against the truth", title_justify="left")
    columns = ["S/N", "spaxels", "S/N before", "S/N after", "RMS error before", "after"]
    for column in [*columns, *(f"removed: {name}" for name in COMPARED), "truth within 1σ"]:
        table.add_column(column, justify="right")
    for name, rows in _snr_ranges(truth).items():
        if name == "all":
            table.add_section()
        table.add_row(
            name,
            str(np.count_nonzero(rows)),
            f"{np.nanmedian(denoised.snr_before[rows]):.1f}",
            f"{np.nanmedian(denoised.snr[rows]):.0f}",
            f"{np.nanmedian(before[rows]):.4f}",
            f"{np.nanmedian(after[last][rows]):.4f}",
            *(_percent(1 - after[tool][rows] / before[rows]) for tool in COMPARED),
            _percent(inside[rows]),
        )
    console.print(table)
    unit = f"{spectra.unit:unicode}".removeprefix("1×")
    console.print(
        f"RMS error in {unit}, emission lines and spikes left out. Medians over spaxels; means of percentages."
    )
    console.print()


def _print_populations(truth: Truth, denoised: Denoised) -> None:
    """Print how well the light-weighted age and metallicity are recovered, where the model gives them."""
    import numpy as np
    from rich.table import Table

    known = {name: text for name, text in _LABELS.items() if name in denoised.parameters}
    if not known:
        return
    title = "Light-weighted stellar populations, in dex"
    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for column in ["S/N", *(f"{text} {what}" for text in known.values() for what in ("rms error", "quoted"))]:
        table.add_column(column, justify="right")
    for name, rows in _snr_ranges(truth).items():
        cells = []
        for label in known:
            mean, sigma = (values[rows] for values in denoised.parameters[label])
            error = np.sqrt(np.nanmean((mean - truth.parameters[label][rows]) ** 2))
            cells += [f"{error:.2f}", f"{np.sqrt(np.nanmean(sigma**2)):.2f}"]
        if name == "all":
            table.add_section()
        table.add_row(name, *cells)
    console.print(table)
    console.print()


def _percent(fractions: FloatArray) -> str:
    import numpy as np

    return f"{100 * np.nanmean(fractions):.1f} %"
