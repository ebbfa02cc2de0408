"""How fast the explorer is on a large cube: from a click to the drawn spectrum, until it can be used; its memory.

A denoised file is laid side by side until it is `--side` spaxels wide and high. The page is opened in Chromium, where
Playwright and Chromium are installed (the extra `browser`); without them only the server's answers are timed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import numpy as np
from astropy.io import fits
from script import finish, log, parser

import quietspec

BULK = ("FLUX", "VAR", "MASK", "RESIDUAL")
CLICK = """async ([nx, rows]) => {
    const canvas = document.querySelector("#canvases canvas");
    const found = [];
    for (const row of rows) {
        const frame = canvas.getBoundingClientRect();
        const [px, py] = canvas.map.toCanvas(row % nx, Math.floor(row / nx));
        const options = { clientX: frame.left + px, clientY: frame.top + py, pointerId: 1, bubbles: true };
        const start = performance.now();
        canvas.dispatchEvent(new PointerEvent("pointerdown", options));
        while (document.body.dataset.row !== String(row)) await new Promise((next) => setTimeout(next, 0));
        await new Promise((next) => requestAnimationFrame(() => setTimeout(next, 0)));
        found.push(performance.now() - start);
    }
    return found;
}"""


def main() -> None:
    """Measure, and write the results."""
    made = parser(__doc__ or "", results="view")
    made.add_argument("--file", type=Path, help="denoised cube with its residual; part of the example cube by default")
    made.add_argument("--side", type=int, default=300, help="spaxels along each side")
    made.add_argument("--clicks", type=int, default=60, help="spaxels to click, while the copy is made and afterwards")
    options = made.parse_args()
    with TemporaryDirectory(prefix="quietspec-view-") as folder:
        source = options.file or denoised_example(Path(folder))
        cube = tiled(source, Path(folder) / "large.fits", options.side)
        found = measured(cube, options)
    log(json.dumps(found, indent=1))
    finish(options, found)


def denoised_example(folder: Path) -> Path:
    """Denoise the middle of the example cube."""
    path = folder / "example.fits"
    denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[6:14, 6:14])
    quietspec.write(denoised, path, residual=True)
    return path


def tiled(source: Path, target: Path, side: int) -> Path:
    """Lay a file side by side, plane by plane."""
    with fits.open(source) as hdus, target.open("wb") as file:
        file.write(plain(hdus[0].header).tostring().encode())
        for hdu in hdus[1:]:
            if hdu.is_image and hdu.data.ndim in (2, 3):
                write_image(file, hdu, side)
            elif hdu.name == "SPECTRA":
                table = fits.BinTableHDU(np.resize(hdu.data, side * side), name="SPECTRA")
                write_whole(file, table)
            elif hdu.name in ("WAVE", "PROVENANCE"):
                write_whole(file, fits.BinTableHDU(hdu.data, hdu.header))
    return target


def plain(header: fits.Header) -> fits.Header:
    """Header without checksums, which would be others'."""
    return fits.Header([card for card in header.cards if card.keyword not in ("CHECKSUM", "DATASUM")])


def write_image(file: Any, hdu: Any, side: int) -> None:
    """Write an image or a cube, each plane repeated."""
    planes = hdu.data if hdu.data.ndim == 3 else hdu.data[None]
    header = plain(hdu.header)
    header["NAXIS1"] = header["NAXIS2"] = side
    file.write(header.tostring().encode())
    times = [-(-side // size) for size in planes.shape[1:]]
    kind = planes.dtype.newbyteorder(">")
    for plane in planes:
        file.write(np.tile(plane, times)[:side, :side].astype(kind).tobytes())
    size = len(planes) * side * side * kind.itemsize
    file.write(bytes(-size % 2880))


def write_whole(file: Any, hdu: Any) -> None:
    """Write a table."""
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu])
    with TemporaryDirectory() as folder:
        hdus.writeto(Path(folder) / "table.fits")
        file.write((Path(folder) / "table.fits").read_bytes()[2880:])


def measured(cube: Path, options: Namespace) -> dict[str, Any]:
    """Time the page and the server's answers."""
    rng = np.random.default_rng(0)
    rows = rng.choice(options.side**2, 2 * options.clicks, replace=False).tolist()
    facts: dict[str, Any] = {"side": options.side, "bytes": cube.stat().st_size}
    with served(cube) as (process, address, starting):
        facts["start_seconds"] = round(starting, 2)
        page = in_browser(address, options.side, rows[: options.clicks])
        facts |= page(None) if page else {}
        began = time.perf_counter()
        while not is_prepared(process.pid) and time.perf_counter() - began < 600:
            time.sleep(0.5)
        facts["copy_seconds"] = round(time.perf_counter() - began, 1)
        facts["answer_ms"] = quantiles([timed(f"{address}api/spectrum?row={row}") for row in rows[: options.clicks]])
        facts |= page(rows[options.clicks :]) if page else {}
        facts["server_peak_mb"] = peak(process.pid)
    return facts


@contextmanager
def served(cube: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A server in a process of its own; its address, and the seconds until it printed that."""
    began = time.perf_counter()
    command = [sys.executable, "-c", "from quietspec.cli import app; app()", "view", str(cube), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip(), time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def in_browser(address: str, side: int, first: list[int]) -> Any:
    """Open the page and time the first clicks; returns what times further ones, or None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return None
    chromium = next(filter(None, map(which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        return None
    library = sync_playwright().start()
    browser = library.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1440, "height": 900})

    def times(rows: list[int] | None) -> dict[str, Any]:
        if rows is not None:
            found = {"click_ms": quantiles(page.evaluate(CLICK, [side, rows]))}
            browser.close()
            library.stop()
            return found
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        ready = 1000 * (time.perf_counter() - began)
        return {"ready_ms": round(ready), "click_ms_while_copying": quantiles(page.evaluate(CLICK, [side, first]))}

    return times


def is_prepared(pid: int) -> bool:
    """Whether the server has read the cube to its end: its copies no longer grow."""
    sizes = [sum(each.stat().st_size for each in copies(pid)) for _ in range(2) if time.sleep(0.5) is None]
    return sizes[0] == sizes[1] and sizes[0] > 0


def copies(pid: int) -> list[Path]:
    """Temporary files that a process holds open."""
    return [each for each in Path(f"/proc/{pid}/fd").iterdir() if "(deleted)" in str(each.readlink())]


def peak(pid: int) -> float:
    """Most memory that a process ever had, MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    return round(int(found[1]) / 1e3, 1) if found else float("nan")


def timed(address: str) -> float:
    """Milliseconds of one answer."""
    began = time.perf_counter()
    with urlopen(address) as answer:
        answer.read()
    return 1000 * (time.perf_counter() - began)


def quantiles(times: list[float]) -> dict[str, float]:
    """Median and 95th percentile, ms."""
    middle, most = np.percentile(times, (50, 95))
    return {"median": round(float(middle), 1), "95 %": round(float(most), 1)}


if __name__ == "__main__":
    main()
