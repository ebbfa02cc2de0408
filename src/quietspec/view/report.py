"""One page about a denoised file that needs no server: maps, spectra, noise, flags, methods, versions."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from quietspec.arrays import FloatArray
from quietspec.errors import ViewError
from quietspec.flags import FAILURES
from quietspec.hashing import file_sha256
from quietspec.io.writing.atomic import os_errors_named, whole_file
from quietspec.view.answers import about_document, spectrum_answer
from quietspec.view.bundle import script_of, static_text, styles_of
from quietspec.view.document import Document
from quietspec.view.encoding import as_json, packed
from quietspec.view.marks import marks
from quietspec.view.methods import methods_text, noise_text, versions
from quietspec.view.words import flag_list

__all__ = ["write_report"]

_MAPS = (
    "WHITE", "SNR_IN", "SNR_OUT", "VELOCITY", "SIGMA", "LOG_AGE_LW", "MH_LW", "A_V", "LOG_ML_V", "NOISE_SCALE",
)  # fmt: skip
_SAMPLE = 12  # spectra, from the brightest to a faint one
_DOUBTFUL = 4  # further ones, of the commonest flags
_NO_NUMBER = 65535
_MAP_BYTES = 2.0e6  # of all maps before they are packed; larger images are thinned out
_SPECTRA_BYTES = 1.4e6  # of all spectra


def write_report(output: str | PathLike[str], page: str | PathLike[str]) -> Path:
    """Write a page about a denoised file.

    Parameters
    ----------
    output : path
        The file.
    page : path
        HTML to write; it contains all it needs, and is smaller than 5 MB. An existing one is replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ReadError
        If the file cannot be read.
    ViewError
        If quietspec did not denoise it.
    WriteError
        If the page cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import quietspec
    >>> denoised = quietspec.load_denoiser("posterior").denoise(quietspec.read(quietspec.demo_cube())[9:11, 9:11])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     quietspec.write(denoised, Path(folder) / "out.fits")
    ...     text = write_report(Path(folder) / "out.fits", Path(folder) / "out.html").read_text(encoding="utf-8")
    >>> "Methods" in text, len(text) < 5e6
    (True, True)
    """
    path = Path(page)
    document = Document(output)
    try:
        if document.kind != "denoised":
            raise ViewError(f"{document.path}: was not denoised by quietspec; a report is about a denoised file.")
        text = _page(document)
    finally:
        document.close()
    with os_errors_named(path), whole_file(path, overwrite=True) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _page(document: Document) -> str:
    facts = about_document(document)
    script = script_of("report")
    data = b64encode(zlib.compress(as_json(_embedded(document, facts)), 9)).decode("ascii")
    sections = {
        "title": escape(facts["title"] or document.path.name),
        "summary": _summary(document, facts),
        "noise": f"<p>{escape(noise_text(document))}</p>",
        "flags": _flag_table(document),
        "methods": "".join(f"<p>{escape(paragraph)}</p>" for paragraph in methods_text(document)),
        "versions": _definitions(versions(document) | {"SHA-256 of the output": file_sha256(document.path)}),
    }
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; style-src 'unsafe-inline'; img-src data: blob:"
    )
    return Template(static_text("report.html")).substitute(
        sections,
        script=script,
        styles=styles_of("vendor/uPlot.css", "style.css", "report.css"),
        data=data,
        policy=policy,
    )


def _digest(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode("ascii")


def _summary(document: Document, facts: Mapping[str, Any]) -> str:
    shape = f"{facts['shape'][1]} × {facts['shape'][0]} spaxels" if facts["shape"] else f"{facts['n_spectra']} spectra"
    before, after = (_median(document, name) for name in ("SNR_IN", "SNR_OUT"))
    redshift = f", z = {facts['redshift']:.5f}" if facts["redshift"] else ""
    gain = f"; median S/N per pixel {before:.1f} before, {after:.1f} after by the model's own errors" if before else ""
    return escape(f"{document.path.name}: {shape}{redshift}{gain}.")


def _median(document: Document, name: str) -> float:
    values = document.values(name) if name in document.quantities else np.array([])
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def _flag_table(document: Document) -> str:
    flags = document.flags
    if flags is None:
        return "<p>The file has no flags.</p>"
    rows = []
    for flag in flag_list(measured=False):
        count = int(np.count_nonzero(flags & int(flag["bit"])))
        if count:
            share = f"{100 * count / len(flags):.1f} %"
            name = escape(str(flag["name"]).lower())
            rows.append(
                f"<tr><th scope='row'>{name}</th><td>{count}</td><td>{share}</td>"
                f"<td class='words'>{escape(str(flag['words']))}</td></tr>"
            )
    clean = int(np.count_nonzero(flags == 0))
    total = f"<p>{clean} of {len(flags)} spectra carry no flag.</p>"
    columns = ("Flag", "Spectra", "Share", "Meaning")
    heads = "".join(f"<th scope='col'>{name}</th>" for name in columns)
    head = f"<thead><tr>{heads}</tr></thead>"
    return total + (f"<table class='wide'>{head}<tbody>{''.join(rows)}</tbody></table>" if rows else "")


def _definitions(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in facts.items())}</dl>"


# --- numbers ---


def _embedded(document: Document, facts: dict[str, Any]) -> dict[str, Any]:
    """All that the page's script needs."""
    names = [name for name in _MAPS if name in document.quantities and np.isfinite(document.values(name)).any()]
    step = _thinning(document, len(names))
    flags = document.flags
    bits = np.zeros(document.n_spectra, np.int32) if flags is None else flags
    return {
        "about": facts,
        "marks": marks(),
        "step": step,
        "maps": {name: _packed_steps(_thinned(document.values(name), document, step)) for name in names},
        "flags": packed(_thinned(bits, document, step), np.int32),
        "spectra": [spectrum_answer(document, row) for row in _sample(document)],
    }


def _thinning(document: Document, n_maps: int) -> int:
    """Every how-many-th spaxel is shown, so that the maps fit."""
    size = 2.0 * document.n_spectra * max(n_maps, 1)
    return max(1, int(np.ceil(np.sqrt(size / _MAP_BYTES)))) if document.shape is not None else 1


def _thinned(values: Any, document: Document, step: int) -> Any:
    return values if document.shape is None else np.reshape(values, document.shape)[::step, ::step].ravel()


def _packed_steps(values: FloatArray) -> dict[str, Any]:
    """Pack numbers into 16 bits each, between the 0.2nd and the 99.8th percentile."""
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite].astype(np.float64), (0.2, 99.8)) if finite.any() else (0.0, 1.0)
    high = high if high > low else low + 1
    inside = np.clip((np.where(finite, values, low) - low) / (high - low), 0, 1)
    steps = np.where(finite, np.rint(inside * (_NO_NUMBER - 1)), _NO_NUMBER)
    return packed(steps, np.uint16) | {"low": float(low), "high": float(high)}


def _sample(document: Document) -> list[int]:
    """Numbers of spectra from the brightest to a faint one, and of doubtful ones."""
    flags = document.flags
    bits = np.zeros(document.n_spectra, np.int32) if flags is None else flags
    snr = np.where(bits & int(FAILURES), np.nan, document.values("SNR_IN"))
    if not np.isfinite(snr).any():  # a file without the input's S/N
        snr = np.where(bits & int(FAILURES), np.nan, document.values("SNR_OUT"))
    order = np.argsort(-snr)[: np.count_nonzero(np.isfinite(snr))]
    most = max(1, int(_SPECTRA_BYTES / (13 * document.spectra.source.wavelength.size))) if document.spectra else 1
    n = min(_SAMPLE, most, len(order))
    ranks = np.linspace(0, max(0, round(0.95 * len(order)) - 1), n).round().astype(int)
    chosen = list(dict.fromkeys(int(row) for row in order[ranks]))
    common = sorted(
        (int(flag["bit"]) for flag in flag_list(measured=False)), key=lambda bit: -int(np.sum(bits & bit > 0))
    )
    for bit in [] if most < _SAMPLE else common[:_DOUBTFUL]:
        flagged = np.flatnonzero((bits & bit > 0) & np.isfinite(snr))
        if flagged.size and int(flagged[len(flagged) // 2]) not in chosen:
            chosen.append(int(flagged[len(flagged) // 2]))
    return chosen
