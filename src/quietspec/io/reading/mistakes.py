"""What people give by mistake, known by how it begins: one sentence each, with what to do instead."""

from __future__ import annotations

__all__ = ["mistaken_for"]

_HOW_TO_CONVERT = "Read it with the package that knows it, and give the arrays to quietspec.Spectra.from_arrays."

#: How a file begins → what it is and what to do.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself. Fetch it: git lfs pull."),
    (b"/annex/objects", "a pointer of git-annex, not the file itself. Fetch it: git annex get."),
    (b"#ASDF", f"an ASDF file, which is not read. {_HOW_TO_CONVERT}"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, which is not read. {_HOW_TO_CONVERT}"),
    (b"CDF\x01", f"a NetCDF file, which is not read. {_HOW_TO_CONVERT}"),
    (b"CDF\x02", f"a NetCDF file, which is not read. {_HOW_TO_CONVERT}"),
    (b"\x93NUMPY", "an array of NumPy. Load it with numpy.load, and give it to quietspec.Spectra.from_arrays."),
    (b"PAR1", f"a Parquet file, which is not read. {_HOW_TO_CONVERT}"),
    (b"PK\x03\x04", "a zip archive (.zip, .npz or .xlsx). Unpack it, or export it as CSV, and give the file inside."),
    (b"\xd0\xcf\x11\xe0", "an Excel or Word document. Export it as CSV."),
    (b"\x89PNG", "a picture (PNG). Give the spectra themselves."),
    (b"\xff\xd8\xff", "a picture (JPEG). Give the spectra themselves."),
    (b"GIF8", "a picture (GIF). Give the spectra themselves."),
    (b"II*\x00", "a picture (TIFF). Give the spectra themselves."),
    (b"MM\x00*", "a picture (TIFF). Give the spectra themselves."),
    (b"%PDF", "a PDF document. Give the spectra themselves."),
    (b"%!PS", "a PostScript document. Give the spectra themselves."),
    (b"\x7fELF", "a program. Give a file of spectra."),
    (b"#!", "a script. Give a file of spectra."),
    (b"7z\xbc\xaf", "a 7z archive. Unpack it, and give the file inside."),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd, which is not read. Unpack it first: unzstd FILE."),
    (b"\x80\x04\x95", f"a pickle of Python, which is not read since it can run any code. {_HOW_TO_CONVERT}"),
    (b"\x80\x05\x95", f"a pickle of Python, which is not read since it can run any code. {_HOW_TO_CONVERT}"),
)

_TAR_MAGIC, _TAR_OFFSET = b"ustar", 257


def mistaken_for(head: bytes) -> str | None:
    """Recognise a file that is no table of spectra by its first bytes.

    Parameters
    ----------
    head : bytes
        The first few hundred bytes, unpacked.

    Returns
    -------
    str or None
        What it is and what to do; None where it may be a table.

    Examples
    --------
    >>> mistaken_for(b"#ASDF 1.0.0")[:12]
    'an ASDF file'
    """
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[_TAR_OFFSET:].startswith(_TAR_MAGIC):
        return "a tar archive. Unpack it, and give the file inside."
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:2000].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, such as one to log in or of an error. Download the file again."
    if text.startswith((b"<?xml", b"<votable")):
        if b"<votable" in text:
            return (
                'a VOTable, which is not read. Convert it: astropy.table.Table.read(FILE, format="votable")'
                '.write("spectrum.ecsv").'
            )
        return "an XML document. Give the spectra themselves."
    if text.startswith((b"{", b"[{", b'["')):
        return f"a JSON document, which is not read. {_HOW_TO_CONVERT}"
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "neither FITS nor a text table (ECSV, CSV, IPAC, columns of numbers)."
    return None
