"""What the page may ask, and the answers, as values that `encoding.as_json` takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from quietspec import __version__
from quietspec.errors import ViewError
from quietspec.io.writing.hdus import IGNORED, INPUT_MASKED
from quietspec.plots.style import robust_limits
from quietspec.view.document import Document
from quietspec.view.encoding import packed
from quietspec.view.marks import marks
from quietspec.view.query import Documents, Query, document_of, integer_of, real_of, shape_of
from quietspec.view.regions import Stop, band_of, rows_inside, sum_of
from quietspec.view.sky import coordinates, sky_frame
from quietspec.view.sums import DataSum, DataSums
from quietspec.view.words import GROUPS, flag_list, name_of
from quietspec.wavelengths import stretches

__all__ = [
    "ANSWERS", "about_document", "flags_answer", "map_answer", "spectrum_answer", "sum_answer",
]  # fmt: skip

_MOST_IN_BAND = 600  # spaxels; the covariance of each takes some tenth of a second
_PROVENANCE = ("QSVERS", "QSMODEL", "QSHASH", "QSMETHOD", "QSCMD", "QSINPUT", "QSINSHA", "DATE", "OBJECT", "SURVEY")


def about(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    """Everything but numbers: files, quantities, flags, lines."""
    return {"version": __version__, "files": [about_document(each) for each in documents], "marks": marks()}


def about_document(document: Document) -> dict[str, Any]:
    """Facts about one file.

    Parameters
    ----------
    document : Document
        The file.

    Returns
    -------
    dict
        ``name``, ``kind``, ``title``, ``shape``, ``n_spectra``, ``sky``, ``quantities``, ``flags``, ``provenance``,
        ``notes``; with spectra also ``wavelength``, ``medium``, ``unit``, ``gaps``, ``input``.
    """
    header = {} if document.file is None else document.file.primary
    facts: dict[str, Any] = {
        "name": document.path.name,
        "kind": document.kind,
        "title": str(header.get("OBJECT", "")).strip(),
        "n_spectra": document.n_spectra,
        "shape": document.shape,
        "sky": sky_frame(document.wcs),
        "quantities": [
            {"name": each.name, **asdict(each.words), "errors": each.errors is not None}
            for each in sorted(document.quantities.values(), key=lambda each: GROUPS.index(each.words.group))
        ],
        "flags": [] if document.flags is None else flag_list(document.kind == "maps"),
        "provenance": {key: str(header[key]) for key in _PROVENANCE if key in header},
        "notes": [],
    }
    return facts if document.spectra is None else facts | _about_spectra(document)


def _about_spectra(document: Document) -> dict[str, Any]:
    spectra = document.spectra
    if spectra is None:
        return {}
    source = spectra.source
    ends = [stretch.stop for stretch in stretches(source.wavelength)][:-1]
    return {
        "title": str(source.meta.get("object", "") or "").strip(),
        "survey": source.survey,
        "wavelength": packed(source.wavelength, np.float64),
        "medium": source.medium,
        "unit": f"{source.unit:unicode}".removeprefix("1×") if str(source.unit) else "",
        "gaps": ends,
        "input": {"known": spectra.has_input, "from": spectra.input_from},
        "redshift": float(np.nanmedian(source.redshift)) if np.isfinite(source.redshift).any() else None,
        "posterior": document.file is not None and "POSTERIOR" in document.file,
        "notes": list(source.meta["warnings"]),
    }


def _map(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    return map_answer(document_of(documents, query), query.get("name", ""))


def map_answer(document: Document, name: str) -> dict[str, Any]:
    """Values of one quantity, with errors.

    Parameters
    ----------
    document : Document
        The file.
    name : str
        The quantity.

    Returns
    -------
    dict
        ``name``, ``values``, ``errors`` (or None) and ``done``, the fraction of the spectra that is measured.
    """
    values, errors = document.values(name), document.errors(name)
    return {
        "name": name,
        "values": packed(values),
        "errors": None if errors is None else packed(errors),
        "done": document.done,
    }


def _flags(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    return flags_answer(document_of(documents, query))


def flags_answer(document: Document) -> dict[str, Any]:
    """Bits of the flags of all spectra; zeros where the file has none."""
    flags = document.flags
    return {"values": packed(np.zeros(document.n_spectra) if flags is None else flags, np.int32)}


def _spectrum(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    return spectrum_answer(document_of(documents, query), integer_of(query, "row"), stop)


def spectrum_answer(document: Document, number: int, stop: Stop = lambda: False) -> dict[str, Any]:
    """One spectrum with all that is known about it.

    Parameters
    ----------
    document : Document
        The file.
    number : int
        The spectrum.
    stop : callable, optional
        Whether nobody waits for the answer any more.

    Returns
    -------
    dict
        ``row``, ``redshift``, ``flags``, ``labels``, ``sky``, and the arrays of `ShownSpectra` that there are, with
        ``limits``, the range of fluxes to show.
    """
    row = document.row_at(number)
    flags = document.flags
    found = {
        "row": row,
        "redshift": document.redshift(row),
        "flags": 0 if flags is None else int(flags[row]),
        "labels": document.labels(row),
        "sky": _place(document, row),
    }
    if document.spectra is None or stop():
        return found
    shown = document.spectra.read([row])
    arrays = {name: getattr(shown, name) for name in ("flux", "sigma", "input", "input_sigma", "mask")}
    for name, values in arrays.items():
        if values is not None:
            found[name] = packed(values[0], np.uint8 if name == "mask" else np.float32)
    main = shown.input if shown.flux is None else shown.flux
    return found | {"limits": None if main is None else robust_limits(main[0])}


def _place(document: Document, row: int) -> list[float] | None:
    if document.shape is None:
        return None
    y, x = divmod(row, document.shape[1])
    return coordinates(document.wcs, x, y)


def _region(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    document = document_of(documents, query)
    rows = rows_inside(shape_of(query), document.shape)
    found = sum_of(document, rows, stop)
    arrays = {name: values for name, values in vars(found).items() if isinstance(values, np.ndarray)}
    main = found.input if found.flux is None else found.flux
    redshifts = [document.redshift(row) for row in rows.tolist()]
    known = [value for value in redshifts if math.isfinite(value)]
    return {
        "n_inside": found.n_inside,
        "n_summed": found.n_summed,
        "sharing": found.sharing,
        "assumed": found.words,
        "redshift": float(np.median(known)) if known else None,
        "limits": None if main is None else robust_limits(main),
        "no_data": document.no_data,
        **{name: packed(values) for name, values in arrays.items()},
    }


def _sum(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    document = document_of(documents, query)
    return sum_answer(DataSums.of(document).sum(rows_inside(shape_of(query), document.shape), stop))


def sum_answer(found: DataSum) -> dict[str, Any]:
    """The posterior of the summed data of a region.

    Parameters
    ----------
    found : DataSum
        The sum.

    Returns
    -------
    dict
        As `spectrum_answer`, with ``n_inside``, ``n_summed``, ``n_spikes``; ``quantities`` and ``flag_words``, which
        the file need not have; and ``assumed``, what the band is, in words.
    """
    denoised, spectra = found.denoised, found.denoised.spectra
    good = spectra.good[0]
    labels = found.labels
    arrays = {
        "flux": denoised.flux[0],
        "sigma": denoised.sigma[0],
        "input": np.where(good, spectra.flux[0], np.nan),
        "input_sigma": np.where(good, spectra.sigma[0], np.nan),
    }
    return {
        "n_inside": found.n_inside,
        "n_summed": found.n_summed,
        "n_spikes": found.n_spikes,
        "assumed": found.words,
        "redshift": found.redshift,
        "flags": int(denoised.flags[0]),
        "flag_words": flag_list(measured=False),
        "labels": labels,
        "quantities": [{"name": each["name"], **asdict(name_of(each["name"], each["unit"]))} for each in labels],
        "limits": robust_limits(denoised.flux[0]),
        **{name: packed(values) for name, values in arrays.items()},
        "mask": packed(np.where(good, 0, INPUT_MASKED) | np.where(denoised.ignored[0], IGNORED, 0), np.uint8),
    }


def _band(documents: Documents, query: Query, stop: Stop) -> dict[str, Any]:
    document = document_of(documents, query)
    rows = np.array([document.row_at(integer_of(query, "row"))]) if "row" in query else None
    limits = min(ends := (real_of(query, "low"), real_of(query, "high"))), max(ends)
    if rows is None:
        rows = rows_inside(shape_of(query), document.shape)
        if not document.no_data:
            return asdict(DataSums.of(document).sum(rows, stop).band(limits))
    if len(rows) > _MOST_IN_BAND:
        raise ViewError(
            f"the error of a band is computed for up to {_MOST_IN_BAND} spaxels; the region has {len(rows)}."
        )
    return asdict(band_of(document, rows, limits, stop))


#: Answers by the name under which they are asked for.
ANSWERS: Mapping[str, Callable[[Documents, Query, Stop], dict[str, Any]]] = {
    "about": about, "map": _map, "flags": _flags, "spectrum": _spectrum, "region": _region, "sum": _sum,
    "band": _band,
}  # fmt: skip
