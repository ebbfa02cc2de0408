"""How a denoised file was made, in sentences that a paper can take over, with what they cite."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np

from quietspec.denoisers import PRIORS, model_cards
from quietspec.view.document import Document

__all__ = ["methods_text", "noise_text", "versions"]

_PAPER = "Kim, Lee & Rey 2026, AJ 171 (arXiv:2605.04434)"
_LIBRARIES = ("quietspec", "numpy", "scipy", "astropy")


def _header(document: Document) -> Any:
    return {} if document.file is None else document.file.primary


def _card(document: Document) -> dict[str, Any]:
    """Card of the shipped model that made a file; empty where it does not ship."""
    start = str(_header(document).get("QSHASH", "none"))
    cards = model_cards()
    return next((dict(cards[name]) for name in PRIORS if str(cards[name]["hash"]).startswith(start)), {})


def noise_text(document: Document) -> str:
    """Say what the residuals tell about the noise of the input.

    Parameters
    ----------
    document : Document
        A denoised file.

    Returns
    -------
    str
        Sentences.
    """
    found = _noise(document)
    parts = []
    if "QSNOISE" in found:
        correlation = [found[key] for key in ("QSCORR1", "QSCORR2", "QSCORR3") if key in found]
        near = (
            f" Channels 1, 2 and 3 apart are correlated by {', '.join(correlation)}." if len(correlation) == 3 else ""
        )
        parts.append(f"Channels scatter about the estimate by {found['QSNOISE']} of the quoted errors.{near}")
    scale = document.values("NOISE_SCALE") if "NOISE_SCALE" in document.quantities else np.array([np.nan])
    finite = scale[np.isfinite(scale)]
    if finite.size:
        low, middle, high = np.percentile(finite, (16, 50, 84))
        parts.append(
            f"The errors of broad features exceed the quoted ones by a factor of {middle:.2f} (median over spectra; "
            f"{low:.2f} to {high:.2f} for the central 68 %), by which the estimates' errors were widened."
        )
    return " ".join(parts) or "This denoiser takes the quoted errors as they are; nothing was measured of the noise."


def _noise(document: Document) -> dict[str, str]:
    if document.file is None or "PROVENANCE" not in document.file:
        return {}
    table = document.file["PROVENANCE"].data
    pairs = zip(table["keyword"].tolist(), table["value"].tolist(), strict=True)
    return {str(key).strip(): str(value).strip() for key, value in pairs if str(key).startswith(("QSNOISE", "QSCORR"))}


def methods_text(document: Document) -> list[str]:
    """Describe how a file was denoised, for the methods section of a paper.

    Parameters
    ----------
    document : Document
        A denoised file.

    Returns
    -------
    list of str
        Paragraphs: what was done, and what to cite.
    """
    header, card = _header(document), _card(document)
    name, start = str(header.get("QSMODEL", "")), str(header.get("QSHASH", ""))
    release = str(header.get("QSVERS", ""))
    shown = f"model {start}" if start else "no model file"
    parts = [f"We denoised the spectra with quietspec {release} ({name}, {shown})."]
    if name.startswith("posterior"):
        parts.append(_posterior_text(spatial="spatial" in name))
    if "EBV" in header:
        parts.append(
            f"Dust of the Milky Way, E(B−V) = {float(header['EBV']):.3f}, was applied to the model by the law of "
            "Gordon et al. (2023, ApJ 950, 86); the fluxes are not dereddened."
        )
    parts.append(noise_text(document))
    named = "; ".join(each["citation"] for each in card.get("templates", []))
    citations = list(dict.fromkeys(filter(None, map(str.strip, named.split(";")))))
    sources = f" The prior rests on the stellar population models of {'; '.join(citations)}." if citations else ""
    return [" ".join(parts), f"Please cite quietspec {release}, and {_PAPER}, from which it grew.{sources}"]


def _posterior_text(*, spatial: bool) -> str:
    each = (
        ", for each spaxel, the posterior of its noise-free spectrum given its own data and what the other spaxels of "
        "the galaxy say about it, with a flux calibration error that all spaxels share, under a Gaussian-mixture prior"
        if spatial
        else ", for each spectrum by itself, the posterior of a noise-free galaxy spectrum given the data, under a "
        "Gaussian-mixture prior"
    )
    return (
        f"It computes{each} learned from simulated galaxies. Masked pixels, the instrumental resolution and a flux "
        "calibration error as a Gaussian process are part of the model, and the pixels of the input are not resampled. "
        "The estimate is the mean of that posterior; its errors are correlated between pixels, and errors of sums and "
        "indices were taken from the full covariance."
    )


def versions(document: Document) -> dict[str, str]:
    """Versions, hashes and the command of a file.

    Parameters
    ----------
    document : Document
        A denoised file.

    Returns
    -------
    dict of str to str
        By what they are.
    """
    header = _header(document)
    named = {
        "Written (UTC)": "DATE",
        "Made by quietspec": "QSVERS",
        "Denoiser": "QSMODEL",
        "SHA-256 of the model, start": "QSHASH",
        "Command": "QSCMD",
        "Input": "QSINPUT",
        "SHA-256 of the input": "QSINSHA",
    }
    facts = {words: str(header[key]) for words, key in named.items() if key in header}
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return facts | {"Page made with": f"Python {platform.python_version()}, {libraries}"}
