"""Ways to spoil an input: each takes a random generator and what is sound, and returns something that may not be."""

from __future__ import annotations

import copy
import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from . import bases
from .fitsbytes import BLOCK, CARD, RawHdu, card, put_together, take_apart

Random = np.random.Generator

INTEGERS = (-(2**31), -2880, -1, 0, 1, 2, 3, 7, 8, 16, 39, 999, 1000, 2**31 - 1, 2**31, 2**62, 2**63, 10**18, 10**30)
WORDS = (
    "''", "' '", "'nonsense'", "'10**(99999999)'", "'1e999 erg'", "'Jy'", "'mag'", "'erg/s/cm2/Angstrom'", "'Angstrom'",
    "'WAVE-TAB'", "'FREQ'", "'LINEAR'", "'VELO-LSR'", "'PIXEL'", "'FLUX'", "'IVAR'", "'MASK'", "'unclosed", "'%s%n'",
    "'" + 9 * "((((" + "'", "'1234567890' / '", "'\x7f\xff\xfe'", "'../../x'", "'nan'",
)  # fmt: skip
NUMBERS = ("NaN", "nan", "inf", "-inf", "1e400", "-1e308", "1e-320", "0.0", "-0.0", "1.5", "T", "F", "1D5", "(1,2)", "")
FORMATS = (
    "'0E'",
    "'1E'",
    "'40E'",
    "'-1E'",
    "'PE(3)'",
    "'QD'",
    "'A'",
    "'40A'",
    "'X'",
    "'1Z'",
    "'E40'",
    "'9999999D'",
    "",
)
STRUCTURE = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "TFIELDS", "GROUPS",
    "ZIMAGE", "ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZNAXIS2", "ZNAXIS3", "ZTILE1", "ZTILE2", "ZTILE3", "ZCMPTYPE", "ZVAL1",
    "ZNAME1", "ZQUANTIZ", "THEAP", "BSCALE", "BZERO", "BLANK", "EXTNAME", "EXTVER",
)  # fmt: skip
MEANING = (
    "CTYPE1", "CTYPE3", "CUNIT1", "CUNIT3", "CRVAL1", "CRVAL3", "CRPIX1", "CRPIX3", "CDELT1", "CDELT3", "CD1_1",
    "CD3_3", "CD1_2", "PC1_1", "PC3_3", "PV2_1", "BUNIT", "DC-FLAG", "WCSAXES", "DISPAXIS", "REDSHIFT", "Z", "Z_SPEC",
    "MED_VEL", "VACUUM", "AIRORVAC", "OBJECT", "INSTRUME", "TELESCOP", "SPEC_RES", "GRATID", "ERRDATA", "QUALDATA",
    "HDUCLAS3", "VOCLASS", "TUCD1", "PROG_ID", "LONPOLE", "RADESYS", "EQUINOX", "QSVERS", "WAT1_001", "CHECKSUM",
    "DATASUM", "CRDER1", "RESTFRQ", "SPECSYS", "PS3_0", "PS3_1", "CROTA2", "LATPOLE", "MJD-OBS", "DATE-OBS",
)  # fmt: skip
COLUMNS = ("TTYPE", "TFORM", "TUNIT", "TNULL", "TSCAL", "TZERO", "TDIM", "TDISP", "TBCOL")


def choose(rng: Random, options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def value(rng: Random) -> str:
    """Something to stand in a header card."""
    kind = rng.integers(6)
    if kind < 2:
        return str(choose(rng, INTEGERS))
    if kind == 2:
        return str(choose(rng, NUMBERS))
    if kind == 3:
        return str(rng.normal() * 10.0 ** rng.integers(-12, 13))
    return choose(rng, WORDS) if kind == 4 else choose(rng, FORMATS)


# FITS


def _header_value(rng: Random, hdus: list[RawHdu]) -> None:
    hdu = choose(rng, hdus)
    keys = hdu.keys()
    present = [key for key in keys if key and key not in ("COMMENT", "HISTORY", "CONTINUE")]
    column = f"{choose(rng, COLUMNS)}{rng.integers(1, 5)}"
    key = choose(rng, (choose(rng, STRUCTURE), choose(rng, MEANING), column, choose(rng, present)))
    places = [i for i, known in enumerate(hdu.keys()) if known == key]
    if places:
        hdu.cards[places[0]] = card(key, value(rng))
    else:
        hdu.cards.append(card(key, value(rng)))


def _header_size(rng: Random, hdus: list[RawHdu]) -> None:
    """Change a size a little, so that it may still fit the file."""
    hdu = choose(rng, hdus)
    keys = [key for key in list(hdu.keys()) if key.startswith(("NAXIS", "ZNAXIS", "ZTILE", "TFIELDS", "PCOUNT"))]
    if keys:
        key = choose(rng, keys)
        place = hdu.keys().index(key)
        new = hdu.integer(key) + int(rng.integers(-3, 4))
        hdu.cards[place] = card(key, str(choose(rng, (new, new * 2, new // 2, -new))))


def _header_cards(rng: Random, hdus: list[RawHdu]) -> None:
    """Remove, repeat, exchange or garble a card."""
    hdu = choose(rng, hdus)
    place = int(rng.integers(len(hdu.cards)))
    what = rng.integers(4)
    if what == 0:
        del hdu.cards[place]
    elif what == 1:
        hdu.cards.insert(place, hdu.cards[int(rng.integers(len(hdu.cards)))])
    elif what == 2:
        other = int(rng.integers(len(hdu.cards)))
        hdu.cards[place], hdu.cards[other] = hdu.cards[other], hdu.cards[place]
    else:
        garbled = bytearray(hdu.cards[place].ljust(CARD))
        for _ in range(int(rng.integers(1, 6))):
            garbled[int(rng.integers(CARD))] = int(rng.integers(256))
        hdu.cards[place] = bytes(garbled)


def _order(rng: Random, hdus: list[RawHdu]) -> None:
    """Remove, repeat or move an HDU that is not the first."""
    if len(hdus) < 2:
        return
    place = int(rng.integers(1, len(hdus)))
    what = rng.integers(3)
    if what == 0:
        del hdus[place]
    elif what == 1:
        hdus.extend(copy.deepcopy(hdus[place]) for _ in range(int(choose(rng, (1, 1, 1, 40)))))
    else:
        hdus.insert(int(rng.integers(1, len(hdus))), hdus.pop(place))


def _values(rng: Random, hdus: list[RawHdu]) -> None:
    """Put impossible or extreme values into an image."""
    hdu = choose(rng, hdus)
    array = hdu.array()
    if array is None:
        return
    where = rng.random(len(array)) < choose(rng, (0.02, 0.5, 1.1))
    if array.dtype.kind == "f":
        fill = choose(rng, (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e38, 1e-38, 1e300, 1e10, 5e-324))
        with np.errstate(all="ignore"):
            array[where] = fill
    else:
        limits = np.iinfo(array.dtype)
        array[where] = choose(rng, (0, limits.min, limits.max, 1))
    hdu.data = array.tobytes()


def _reshape(rng: Random, hdus: list[RawHdu]) -> None:
    """Give an image other axes with as many values."""
    hdu = choose(rng, hdus)
    keys = hdu.keys()
    if "TFIELDS" in keys or not 0 < hdu.integer("NAXIS") < 9:
        return
    axes = [hdu.integer(f"NAXIS{axis}") for axis in range(1, hdu.integer("NAXIS") + 1)]
    new = choose(rng, (axes[::-1], [int(np.prod(axes))], [1, *axes], [*axes, 1], [*axes, 1, 1, 1], [1] * 40 + axes, []))
    start = keys.index("NAXIS")
    hdu.cards[start : start + len(axes) + 1] = [
        card("NAXIS", str(len(new))), *(card(f"NAXIS{axis}", str(size)) for axis, size in enumerate(new, start=1)),
    ]  # fmt: skip


def _table_bytes(rng: Random, hdus: list[RawHdu]) -> None:
    """Change bytes of the data, such as descriptors of variable-length arrays and compressed tiles."""
    hdu = choose(rng, [hdu for hdu in hdus if hdu.data] or hdus)
    if hdu.data:
        data = bytearray(hdu.data)
        for _ in range(int(choose(rng, (1, 4, 40)))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        hdu.data = bytes(data)


def _raw_bytes(rng: Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(int(choose(rng, (1, 3, 20)))):
        data[int(rng.integers(min(len(data), choose(rng, (2880, 20000, len(data))))))] = int(rng.integers(256))
    return bytes(data)


def _cut(rng: Random, content: bytes) -> bytes:
    return content[: int(rng.integers(1, max(2, len(content))))]


def _insert(rng: Random, content: bytes) -> bytes:
    place = int(rng.integers(len(content)))
    size = int(choose(rng, (1, CARD, BLOCK, 100_000)))
    return content[:place] + bytes(choose(rng, (b"\0", b" ", b"\xff"))) * size + content[place:]


def _blocks(rng: Random, content: bytes) -> bytes:
    blocks = [content[i : i + BLOCK] for i in range(0, len(content), BLOCK)]
    first, second = (int(rng.integers(len(blocks))) for _ in range(2))
    blocks[first], blocks[second] = blocks[second], blocks[first]
    return b"".join(blocks)


def _packed(rng: Random, content: bytes) -> bytes:
    packed = gzip.compress(content, 1)
    return choose(rng, (lambda: packed, lambda: _cut(rng, packed), lambda: _raw_bytes(rng, packed)))()


_ON_HDUS: tuple[Callable[[Random, list[RawHdu]], None], ...] = (
    _header_value, _header_value, _header_value, _header_size, _header_cards, _order, _values, _reshape, _table_bytes,
)  # fmt: skip
_ON_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (_raw_bytes, _cut, _insert, _blocks, _packed)


def fits_file(rng: Random) -> bytes:
    """A FITS file of any layout, spoilt in one to four ways."""
    content = choose(rng, list(bases.fits_files().values()))
    hdus = take_apart(content)
    for _ in range(int(choose(rng, (1, 1, 2, 4)))):
        choose(rng, _ON_HDUS)(rng, hdus)
    content = put_together(hdus)
    return choose(rng, _ON_BYTES)(rng, content) if rng.random() < 0.15 else content


# Text


def text_table(rng: Random) -> bytes:
    """A text table with other cells, lines, marks or bytes."""
    content = choose(rng, list(bases.text_tables().values()))
    lines = content.split(b"\n")
    for _ in range(int(choose(rng, (1, 1, 3)))):
        place = int(rng.integers(len(lines)))
        what = rng.integers(7)
        if what == 0:
            lines[place] = lines[place].replace(
                b"0", choose(rng, (b"", b"nan", b"x", b"1e999", b"-", b"\0", b"\xff")), 1
            )
        elif what == 1:
            del lines[place]
        elif what == 2:
            lines.insert(
                place, choose(rng, (lines[place], b"", b"#", b"a b c d e", b"," * 50, b'"', b"\xc3", b"|" * 9))
            )
        elif what == 3:
            lines[0] = choose(
                rng, (b"wave,wave,flux", b"", b"#", b"flux,err,mask", b"x" * 5000, b"\xef\xbb\xbfwave,flux,err")
            )
        elif what == 4:
            lines = [b",".join([b"1"] * int(choose(rng, (10, 1000, 200_000))))] * int(choose(rng, (1, 2)))
        elif what == 5:
            lines = lines[: max(1, place)]
        else:
            lines = [_raw_bytes(rng, b"\n".join(lines) + b" ")]
        lines = lines or [b""]
    content = b"\n".join(lines)
    return _packed(rng, content + b"\n") if rng.random() < 0.05 else content


# Models


def model_file(rng: Random) -> bytes:
    """A prior with other arrays, header or bytes."""
    arrays = dict(choose(rng, list(bases.model_files().values())))
    for _ in range(int(choose(rng, (0, 1, 1, 2)))):
        name = choose(rng, list(arrays))
        array = arrays[name]
        what = rng.integers(7)
        if what == 0:
            del arrays[name]
        elif what == 1:
            whole = np.atleast_1d(array)
            arrays[name] = choose(rng, (whole[..., :-1], array[None], array.ravel(), whole[:0], np.zeros(())))
        elif what == 2 and array.dtype.kind == "f" and array.size:
            array = array.copy()
            array.flat[int(rng.integers(array.size))] = choose(rng, (np.nan, np.inf, -1e300, 1e300, 0.0, -1.0))
            arrays[name] = array
        elif what == 3:
            arrays[name] = array.astype(choose(rng, ("c16", "i2", "f2", "U9", "?")))
        elif what == 4:
            arrays[str(rng.integers(99))] = array
        elif what == 5:
            arrays["header"] = np.frombuffer(json.dumps(_json(rng, _header_of(arrays))).encode(), dtype=np.uint8)
        else:
            arrays["header"] = np.frombuffer(choose(rng, (b"", b"{", b"[" * 5000, b"\xff", b"1")), dtype=np.uint8)
        arrays = arrays or {"x": np.zeros(1)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    return choose(rng, (_raw_bytes, _cut))(rng, content) if rng.random() < 0.3 else content


def _header_of(arrays: dict[str, np.ndarray]) -> Any:
    try:
        return json.loads(arrays["header"].tobytes())
    except (KeyError, RecursionError, ValueError):
        return {}


# JSON


_STRANGE = (None, True, -1, 0, 2**70, 1e308, "", "x", "\ud800", "../../etc", [], {}, [[]], {"a": [1]}, "a" * 3000)


def _json(rng: Random, content: Any) -> Any:
    """The same with something strange in one place."""
    content = copy.deepcopy(content)
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = choose(rng, list(content))
        if rng.random() < 0.15:
            del content[key]
        else:
            content[key] = _json(rng, content[key])
        return content
    if isinstance(content, list) and content and rng.random() < 0.8:
        place = int(rng.integers(len(content)))
        content[place] = _json(rng, content[place])
        return content
    return choose(rng, _STRANGE)


def journal(rng: Random) -> bytes:
    """Lines of a batch's journal, some of them damaged."""
    lines = [json.dumps(_json(rng, record) if rng.random() < 0.6 else record).encode() for record in bases.JOURNAL]
    if rng.random() < 0.2:
        lines.insert(0, choose(rng, (b"", b"[" * 100_000, b'{"output": ', b"\xff\xfe", b"null", b"1" * 5000)))
    content = b"\n".join(lines) + b"\n"
    return _cut(rng, content) if rng.random() < 0.2 else content


def plan(rng: Random) -> bytes:
    """The plan of a batch, damaged."""
    content = json.dumps(_json(rng, bases.PLAN)).encode()
    return choose(rng, (_cut, _raw_bytes))(rng, content) if rng.random() < 0.3 else content


def manifest(rng: Random) -> bytes:
    """A manifest with other cells, columns or bytes."""
    content = choose(rng, bases.MANIFESTS)
    for _ in range(int(choose(rng, (1, 2, 3)))):
        what = rng.integers(5)
        if what == 0:
            content = _raw_bytes(rng, content)
        elif what == 1:
            old, new = choose(rng, (b"0.1", b"a.fits", b"file", b",", b"\n", b"air")), choose(rng, _CELLS)
            content = content.replace(old, new, 1)
        elif what == 2:
            content = _cut(rng, content)
        elif what == 3:
            content += content
        else:
            content = choose(rng, (b"\xef\xbb\xbf", b"# x\n", b"\n\n", b"\0", b'"')) + content
        content = content or b"\n"
    return content


_CELLS = (
    b"",
    b"nan",
    b"-5",
    b"1e999",
    b"../x",
    b"a" * 300,
    b"~",
    b"[",
    b"\xff",
    b"\t",
    b'"',
    b"yes",
    b"\x1b[31m",
    b"/",
)

# Command line

_WORDS = (
    "-1", "0", "1", "nan", "inf", "1e400", "", "nothing", "FLUX", "STAT", "DATA", "DQ", "²", "³", "1,2", "0:3", "::",
    "-", "air", "vacuum", "sigma", "ivar", "variance", "Angstrom", "Jy", "log10(nm)", "log(log(m))", "10**(99999999)",
    "m" * 400, "wave=LAM", "flux,-,err", "[", "\x1b[31m", "é", "True", "1:2:3", "99999999999999999999", "0x10", "_",
    "1_0",
)  # fmt: skip


def command(rng: Random, options: list[str]) -> list[str]:
    """Options of a command with values that make sense or not."""
    words: list[str] = []
    for _ in range(int(rng.integers(1, 4))):
        words.append(choose(rng, options))
        if rng.random() < 0.85:
            words.append(choose(rng, _WORDS))
    return words
