"""Numbers as JSON holds them: arrays as base64 of their bytes, single numbers as themselves, NaN as null."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_json", "packed"]


def packed(values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> dict[str, Any]:
    """Pack an array; NaN stays NaN in it.

    Parameters
    ----------
    values : array
        Numbers.
    dtype : dtype, optional
        Type to send: single or double precision, or integers.

    Returns
    -------
    dict
        ``dtype`` (``f4``, ``f8``, ``i4``, ``u1``), ``shape``, and ``data``, base64 of the little-endian bytes.

    Examples
    --------
    >>> packed([1, 2], np.uint8)
    {'dtype': 'u1', 'shape': [2], 'data': 'AQI='}
    """
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    return {
        "dtype": f"{array.dtype.kind}{array.dtype.itemsize}",
        "shape": list(array.shape),
        "data": b64encode(array.tobytes()).decode("ascii"),
    }


def as_json(content: Any) -> bytes:
    """Encode as JSON that any parser takes: numbers that are not finite become null.

    Parameters
    ----------
    content : object
        Mappings, sequences, texts, numbers, and what numpy has of these.

    Returns
    -------
    bytes
        UTF-8.

    Examples
    --------
    >>> as_json({"a": float("nan"), "b": (1, True)})
    b'{"a":null,"b":[1,true]}'
    """
    return json.dumps(_plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _plain(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, np.generic):
        return _plain(content.item())
    if isinstance(content, float):
        return content if isfinite(content) else None
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_plain(value) for value in content]
    return content
