"""Model files of priors: arrays and JSON in an ``.npz``, no code, checked completely when read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quietspec.arrays import FloatArray
from quietspec.errors import ModelError

__all__ = ["OPTIONAL", "REQUIRED", "pack_symmetric", "read_model", "write_model"]

#: Arrays of a model file, and their dimensions: pixels, components, Gaussians of the mixture, labels, parts of the
#: labels' scatter; symmetric matrices are packed as lower triangles.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "wavelength": ("pixels",),
    "fwhm": ("pixels",),
    "mean": ("pixels",),
    "components": ("components", "pixels"),
    "truncation": ("pixels",),
    "weights": ("mixture",),
    "means": ("mixture", "components"),
    "covariances": ("mixture", "component pairs"),
    "labels": ("mixture", "labels"),
    "slopes": ("mixture", "labels", "components"),
    "label_covariances": ("mixture", "label pairs"),
}
#: Arrays that come together or not at all.
OPTIONAL: Mapping[str, tuple[str, ...]] = {
    "part_weights": ("mixture", "parts"),
    "part_offsets": ("mixture", "parts", "labels"),
    "part_covariances": ("mixture", "parts", "labels", "labels"),
}
_PACKED = ("covariances", "label_covariances")
_FORMAT = 1
_HEADER = "header"
_LARGEST = 2**28  # bytes of all arrays; the shipped priors have 3 MB
_LARGEST_VALUE = 1e12  # of spectra whose level is 1, wavelengths in Å, labels
_SUM_TOLERANCE = 1e-3  # of weights that sum to 1


def write_model(path: Path, arrays: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any]) -> None:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    path : path
        The file; replaced if it exists.
    arrays : mapping of str to array
        Those of `REQUIRED` and, if there are any, `OPTIONAL`.
    header : mapping
        ``label_names`` and ``card``, as JSON types.
    """
    from quietspec.io.writing.atomic import whole_file

    text = json.dumps({"format": _FORMAT, **header})
    buffer = io.BytesIO()
    contents: dict[str, Any] = {_HEADER: np.frombuffer(text.encode(), dtype=np.uint8), **arrays}
    np.savez_compressed(buffer, **contents)
    with whole_file(path, overwrite=True) as partial:
        partial.write_bytes(buffer.getvalue())


def read_model(path: Path) -> dict[str, Any]:
    """Read a model file and check that it holds a complete and possible model.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict
        Fields of `SpectralPrior`: arrays in float64, ``label_names`` and ``card``.

    Raises
    ------
    ModelError
        If the file is missing, damaged, too large, of another format, or no possible prior.
    """
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            stored = _arrays(archive)
        header = _header(stored.pop(_HEADER, None))
        arrays = {name: array.astype(np.float64) for name, array in stored.items()}
        _require_shapes(arrays, len(header["label_names"]))
        _require_values(arrays)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file. `quietspec models` lists those that ship.") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error} Train it again.") from error
    except Exception as error:
        raise ModelError(f"{path}: not a quietspec model, or damaged ({error}). Train it again.") from error
    return header | arrays | {name: _unpacked(arrays[name]) for name in _PACKED}


def _arrays(archive: zipfile.ZipFile) -> dict[str, npt.NDArray[Any]]:
    """All arrays; their names and sizes are checked before any is read."""
    entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
    known = {_HEADER, *REQUIRED, *OPTIONAL}
    if len(entries) < len(archive.infolist()) or not entries.keys() <= known:
        raise ModelError(f"not a model: unknown or repeated arrays ({_listed(entries.keys() - known)}).")
    if missing := {_HEADER, *REQUIRED} - entries.keys():
        raise ModelError(f"not a complete model, {_listed(missing)} missing.")
    if 0 < len(OPTIONAL.keys() & entries.keys()) < len(OPTIONAL):
        raise ModelError(f"not a complete model, {_listed(OPTIONAL.keys() - entries.keys())} missing.")
    sizes = {name: _stored_size(archive, entry) for name, entry in entries.items()}
    if (total := sum(sizes.values())) > _LARGEST:
        raise ModelError(f"its arrays take {total / 2**20:.0f} MB; models have up to {_LARGEST >> 20} MB.")
    arrays = {}
    for name, entry in entries.items():
        with archive.open(entry) as stream:
            arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
    return arrays


def _stored_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Bytes that an array takes in memory, by its own header; it must be one of numbers."""
    with archive.open(entry) as stream:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.kind not in "fu" or min(shape, default=1) < 1:
        raise ModelError(f"{entry.filename}: {dtype} of shape {shape} is no array of a model.")
    count = 1
    for length in shape:
        count *= length
    return int(count * dtype.itemsize)


def _header(stored: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Names of the labels, and the card."""
    if stored is None or stored.dtype != np.uint8:
        raise ModelError("its header is not text.")
    try:
        header = json.loads(stored.tobytes())
    except RecursionError as error:
        raise ModelError("its header is nested too deeply.") from error
    found = header.get("format") if isinstance(header, dict) else None
    if found != _FORMAT:
        raise ModelError(f"model format {found}, this version reads {_FORMAT}.")
    names, card = header.get("label_names"), header.get("card")
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise ModelError(f"label names {names!r}; they must be a list of names such as 'log_age_mw'.")
    if not "".join(names).isascii() or len(set(names)) < len(names):
        raise ModelError(f"label names {names!r}; they must be ASCII, and different.")
    if not isinstance(card, dict):
        raise ModelError("its card is not a mapping.")
    return {"label_names": tuple(names), "card": card}


def _require_shapes(arrays: Mapping[str, FloatArray], n_labels: int) -> None:
    """Raise `ModelError` unless all arrays fit each other."""
    n_components = len(arrays["components"])
    sizes = {
        "labels": n_labels,
        "components": n_components,
        "component pairs": n_components * (n_components + 1) // 2,
        "label pairs": n_labels * (n_labels + 1) // 2,
    }
    for name, dimensions in {**REQUIRED, **OPTIONAL}.items():
        if name not in arrays:
            continue
        shape = arrays[name].shape
        if len(shape) == len(dimensions):
            for dimension, length in zip(dimensions, shape, strict=True):
                sizes.setdefault(dimension, length)
        if shape != (wanted := tuple(sizes.get(dimension, 0) for dimension in dimensions)):
            raise ModelError(f"{name} has shape {shape}, not {wanted} ({', '.join(dimensions)}).")


def _require_values(arrays: Mapping[str, FloatArray]) -> None:
    """Raise `ModelError` unless all values are possible."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelError(f"{name} holds values that are not finite.")
        if np.abs(array).max(initial=0.0) > _LARGEST_VALUE:
            raise ModelError(f"{name} holds values beyond {_LARGEST_VALUE:g}, whose products overflow.")
    wavelength = arrays["wavelength"]
    if len(wavelength) < 2 or wavelength[0] <= 0 or not (np.diff(wavelength) > 0).all():
        raise ModelError("wavelength must be at least 2 increasing positive numbers.")
    for name in ("fwhm", "truncation", "weights", "part_weights"):
        if name in arrays and arrays[name].min() < 0:
            raise ModelError(f"{name} holds negative values.")
    for name in ("weights", "part_weights"):
        if name in arrays and np.abs(arrays[name].sum(axis=-1) - 1).max() > _SUM_TOLERANCE:
            raise ModelError(f"{name} do not sum to 1.")
    try:
        np.linalg.cholesky(_unpacked(arrays["covariances"]))
    except np.linalg.LinAlgError as error:
        raise ModelError("covariances are not positive definite.") from error


def pack_symmetric(full: FloatArray) -> FloatArray:
    """Lower triangles (n, d (d + 1) / 2) of symmetric matrices (n, d, d)."""
    rows, columns = np.tril_indices(full.shape[1])
    return full[:, rows, columns]


def _unpacked(packed: FloatArray) -> FloatArray:
    """Symmetric matrices (n, d, d) from their lower triangles (n, d (d + 1) / 2)."""
    size = int((np.sqrt(8 * packed.shape[1] + 1) - 1) / 2)
    rows, columns = np.tril_indices(size)
    full = np.zeros((len(packed), size, size))
    full[:, rows, columns] = packed
    full[:, columns, rows] = packed
    return full


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
