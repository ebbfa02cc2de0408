"""Files made to hang, to fill the memory or the disk, or to pass with other bytes: refused at once, by name."""

from __future__ import annotations

import gzip
import hashlib
import os
import resource
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoisers import load_denoiser
from quietspec.errors import ReadError
from quietspec.files import denoise_file
from quietspec.io import open_spectra, read

from . import layouts

_SECONDS = 2.0  # of processor time; the cases took more than a minute, or gigabytes, on 0.1.0


def quickly_refused(path: Path, match: str, **options: object) -> None:
    before = time.process_time()
    with pytest.raises(ReadError, match=match) as caught:
        read(path, **options)
    assert str(path) in str(caught.value)
    assert time.process_time() - before < _SECONDS


def set_cards(path: Path, number: int, **values: str) -> None:
    """Overwrite the values of cards in the header of an HDU, as they stand in the file."""
    content = bytearray(path.read_bytes())
    with fits.open(path, disable_image_compression=True) as file:
        start, end = file.fileinfo(number)["hdrLoc"], file.fileinfo(number)["datLoc"]
    for key, value in values.items():
        for place in range(start, end, 80):
            if content[place : place + 8] in (key.ljust(8).encode(), b"END     "):
                ended = content[place : place + 8] == b"END     "
                content[place : place + 80] = f"{key:<8}= {value:>20}".ljust(80).encode()
                if ended:
                    content[place + 80 : place + 160] = b"END".ljust(80)
                break
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"NAXIS": "2147483647"}, "NAXIS = 2147483647: expected 0 to 999 axes"),
        ({"NAXIS": "-1"}, "NAXIS = -1"),
        ({"NAXIS1": "-4"}, "NAXIS1 = -4: expected 0 or more"),
        ({"NAXIS3": "-60"}, "NAXIS3 = -60"),
        ({"NAXIS1": "T"}, "NAXIS1 = T: expected a whole number"),
        ({"NAXIS1": "4.0"}, "NAXIS1 = 4.0: expected a whole number"),
        ({"NAXIS2": "2147483647"}, "truncated: HDU 1"),
        ({"GCOUNT": "0"}, "GCOUNT = 0: expected 1 or more"),
        ({"GCOUNT": "-1"}, "GCOUNT = -1"),
        ({"PCOUNT": "-5760"}, "PCOUNT = -5760"),
        ({"BITPIX": "7"}, "BITPIX = 7: expected one of 8, 16, 32, 64, -32, -64"),
        ({"XTENSION": "7"}, "XTENSION = 7"),
    ],
)
def test_impossible_sizes(save, cards, match):
    path = save(layouts.muse())
    set_cards(path, 1, **cards)
    quickly_refused(path, match)


def test_a_file_that_says_that_it_is_not_standard(save):
    path = save(layouts.muse())
    set_cards(path, 0, SIMPLE="F")
    quickly_refused(path, "does not follow the FITS standard")


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"TFIELDS": "200000000"}, "TFIELDS = 200000000: expected 0 to 999"),
        ({"TFIELDS": "-1"}, "TFIELDS = -1"),
        ({"TFIELDS": "3"}, "the 3 columns take"),
        ({"TFORM2": "'1Z'"}, "TFORM2 = '1Z': expected the format of a column"),
        ({"TFORM2": "'9999999D'"}, "NAXIS1 = .*columns take"),
        ({"TFORM2": "12"}, "TFORM2 = 12"),
        ({"NAXIS": "1"}, "NAXIS = 1"),
    ],
)
def test_impossible_tables(save, cards, match):
    path = save(layouts.legac())
    set_cards(path, 1, **cards)
    quickly_refused(path, match)


@pytest.mark.parametrize(
    ("cards", "match"),
    [
        ({"ZNAXIS3": "2000000000"}, "tiles, one per row|GB of memory"),
        ({"ZNAXIS1": "-4"}, "ZNAXIS1 = -4"),
        ({"ZBITPIX": "7"}, "ZBITPIX = 7"),
        ({"ZTILE1": "0"}, "ZTILE1 = 0: expected 1 or more"),
        ({"ZNAXIS1": "2000000000", "ZTILE1": "2000000000"}, "GB of memory at once.*max_memory="),
    ],
)
def test_impossible_compressed_images(tmp_path, cards, match):
    data = layouts.muse()["DATA"]
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data.data, data.header, tile_shape=(1, 3, 4))]).writeto(path)
    set_cards(path, 1, **cards)
    quickly_refused(path, match, noise_from_residuals=True)


def sparse(path: Path, header: fits.Header, beside: fits.HDUList) -> Path:
    """Write HDUs, and one more whose data are a hole in the file."""
    beside.writeto(path)
    with path.open("ab") as file:
        file.write(header.tostring().encode())
        size = abs(header["BITPIX"]) // 8 * int(np.prod([header[f"NAXIS{i + 1}"] for i in range(header["NAXIS"])]))
        file.truncate(file.tell() + -(-size // 2880) * 2880)
    return path


def test_wavelengths_that_fill_the_memory(tmp_path):
    """12 GB of disk that nobody pays for."""
    header = fits.ImageHDU(np.zeros(2), name="WAVE").header
    header["NAXIS1"] = 1_500_000_000
    path = sparse(tmp_path / "a.fits", header, layouts.generic(CTYPE=None, CRVAL=None, CDELT=None))
    quickly_refused(path, r"12\.0 GB of memory at once, more than the 2 GB allowed.*max_memory=13")


def test_an_axis_that_fills_the_memory(tmp_path):
    header = fits.ImageHDU(np.zeros(2, dtype=np.uint8), name="FLUX").header
    header["NAXIS1"] = 3_000_000_000
    header["CTYPE1"], header["CRVAL1"], header["CDELT1"], header["CUNIT1"] = "AWAV", 4000.0, 1e-6, "Angstrom"
    path = sparse(tmp_path / "a.fits", header, fits.HDUList([fits.PrimaryHDU()]))
    quickly_refused(path, "GB of memory at once", noise_from_residuals=True)


def test_more_memory_can_be_allowed(save):
    path = save(layouts.generic())
    quickly_refused(path, "allow more: max_memory=", max_memory=1e-6)
    assert read(path, max_memory=0.1).n_spectra == 3


def test_the_cost_of_a_file_grows_with_its_hdus(tmp_path):
    """400 HDUs took 3 s of processor time; 1,500 did not end in 60 s."""
    hdus = [*layouts.muse(), *(fits.ImageHDU(np.zeros(2), name=f"X{number}") for number in range(1500))]
    fits.HDUList(hdus).writeto(tmp_path / "many.fits")
    before = time.process_time()
    assert read(tmp_path / "many.fits").n_spectra == 12
    assert time.process_time() - before < 5 * _SECONDS


def test_a_header_of_nothing_but_wildcards(save):
    path = save(layouts.muse())
    content = path.read_bytes()
    end = content.index(b"END     ")
    path.write_bytes(content[:end] + b"?*      = 1".ljust(80) * 36 * 40 + content[end:])
    before = time.process_time()
    spectra = read(path)
    assert any("unreadable header cards are left out" in note for note in spectra.meta["warnings"])
    assert time.process_time() - before < 5 * _SECONDS


def test_a_unit_that_costs_the_age_of_the_universe(save):
    path = save(layouts.generic(CUNIT="10**(99999999)"))
    quickly_refused(path, "not a unit of wavelength|no unit")


# Integrity


def with_checksums(path: Path, hdus: fits.HDUList) -> Path:
    hdus.writeto(path, checksum=True)
    return path


@pytest.mark.parametrize("where", ["data", "header"])
def test_changed_bytes_are_noticed(tmp_path, where):
    path = with_checksums(tmp_path / "a.fits", layouts.muse())
    assert read(path).n_spectra == 12
    with fits.open(path) as file:
        info = file.fileinfo("STAT")
    content = bytearray(path.read_bytes())
    place = info["datLoc"] + 100 if where == "data" else content.index(b"BUNIT", info["hdrLoc"]) + 12
    content[place : place + 4] = bytes(each ^ 1 for each in content[place : place + 4])
    path.write_bytes(content)
    quickly_refused(path, f"HDU 2 STAT: the {where} .* checksum .*ignore_checksum=True")
    assert read(path, ignore_checksum=True).n_spectra == 12


def test_checksums_of_another_file_are_passed_over(tmp_path):
    """As in cubes cut out by software that keeps the headers of the whole."""
    whole = layouts.muse()
    whole.writeto(tmp_path / "whole.fits", checksum=True)
    with fits.open(tmp_path / "whole.fits") as file:
        for hdu in file[1:]:
            hdu.data = hdu.data[:, :2]
        file.writeto(tmp_path / "part.fits", output_verify="ignore", checksum=False)
    assert "DATASUM" in fits.getheader(tmp_path / "part.fits", 1)
    spectra = read(tmp_path / "part.fits")
    assert any("the checksums belong to another file" in note for note in spectra.meta["warnings"])


def test_the_hash_is_that_of_the_bytes_that_were_read(tmp_path):
    path = tmp_path / "a.fits"
    layouts.muse().writeto(path)
    first = hashlib.sha256(path.read_bytes()).hexdigest()
    with open_spectra(path) as source:
        other = layouts.muse()
        other[1].data += 1
        other.writeto(tmp_path / "b.fits")
        (tmp_path / "b.fits").rename(path)  # another file takes the name; what is open stays
        assert source.read().meta["sha256"] == (first,)
    assert read(path).meta["sha256"] != (first,)


class Rewriting:
    """A denoiser during whose work the input is written anew, in place."""

    name = "rewriting"

    def __init__(self, path: Path) -> None:
        self.path, self.tool = path, load_denoiser("gaussian")

    @property
    def model(self):
        return self.tool.model

    def denoise(self, spectra):
        content = self.path.read_bytes()
        time.sleep(0.02)  # clocks of file systems tick some hundred times a second
        self.path.write_bytes(content[:-1] + b"\1")
        return self.tool.denoise(spectra)


def test_an_input_that_is_rewritten_while_it_is_read(tmp_path):
    """On 0.1.0 the output of the old data carried the hash of the new file, and the next run kept it."""
    path = tmp_path / "a.fits"
    layouts.muse().writeto(path)
    with pytest.raises(ReadError, match=r"a\.fits: changed while it was read"):
        denoise_file([path], tmp_path / "out.fits", Rewriting(path), redshift=0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["a.fits"]


# gzip


def bomb(path: Path, content: bytes, zeros: int) -> Path:
    """A gzip file of some content and many zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(packer.compress(content))
        for _ in range(zeros // 2**24):
            file.write(packer.compress(bytes(2**24)))
        file.write(packer.flush())
    return path


@pytest.mark.parametrize("kind", ["no END", "an image", "behind"])
def test_gzip_bombs_fill_no_disk(tmp_path, kind):
    """1.3 MB unpacked to 1.3 GB before the missing END was seen."""
    header = fits.PrimaryHDU(np.zeros(2, dtype=np.uint8)).header
    header["NAXIS1"] = 30_000_000_000
    contents = {
        "no END": b"SIMPLE  =                    T".ljust(2880),
        "an image": header.tostring().encode(),
        "behind": fits.PrimaryHDU().header.tostring().encode(),
    }
    path = bomb(tmp_path / "a.fits.gz", contents[kind], 2**27)
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**26, hard))  # a larger file would end in another error
    try:
        quickly_refused(path, "has no END|times its size|goes on after its last HDU")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


def test_a_sound_gzip_file_of_zeros_is_read(tmp_path):
    hdus = layouts.muse()
    for hdu in hdus[1:]:
        hdu.data = np.tile(hdu.data, (1, 30, 30))
    hdus["DQ"].data[:] = 0
    hdus.writeto(tmp_path / "a.fits")
    (tmp_path / "a.fits.gz").write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))
    assert read(tmp_path / "a.fits.gz").n_spectra == 12 * 900


# Names


def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.fits")
    quickly_refused(tmp_path / "a.fits", "not a regular file")


def test_loops_of_links(tmp_path):
    (tmp_path / "a.fits").symlink_to("b.fits")
    (tmp_path / "b.fits").symlink_to("a.fits")
    quickly_refused(tmp_path / "a.fits", "cannot be opened .*symbolic links")
    layouts.muse().writeto(tmp_path / "in.fits")
    from quietspec.errors import WriteError

    with pytest.raises(WriteError, match=r"a\.fits: .*loop"):
        denoise_file([tmp_path / "in.fits"], tmp_path / "a.fits", load_denoiser("gaussian"), redshift=0.1)


@pytest.mark.parametrize("length", [245, 255, 300, 5000])
def test_long_names(tmp_path, length):
    from quietspec.errors import WriteError

    name = "x" * (length - 5) + ".fits"
    layouts.muse().writeto(tmp_path / "in.fits")
    if length > 255:
        quickly_refused(tmp_path / name, "cannot be opened .*too long")
        with pytest.raises(WriteError, match="too long"):
            denoise_file([tmp_path / "in.fits"], tmp_path / name, load_denoiser("gaussian"), redshift=0.1)
        return
    denoise_file([tmp_path / "in.fits"], tmp_path / name, load_denoiser("gaussian"), redshift=0.1)
    assert read(tmp_path / name).n_spectra == 12


@pytest.mark.parametrize("key", ["³", "²", "①", "1e3", "-1"])
def test_digits_that_are_no_numbers(save, key):
    quickly_refused(save(layouts.generic()), "has no HDU", noise_hdu=key)
    quickly_refused(save(layouts.generic(), "b.fits"), "holds the flux|has no|no HDU", flux_hdu=key)


@pytest.mark.parametrize("place", [0, 5])
def test_wavelengths_that_are_not_numbers_are_named_right(save, place):
    """NaN among wavelengths were blamed on pixel 0."""
    wave = 4000 + 2.0 * np.arange(layouts.N_PIXELS)
    wave[place] = np.nan
    hdus = layouts.generic(CTYPE=None, CRVAL=None, CDELT=None)
    hdus[0].header["AIRORVAC"] = "air"
    image = fits.ImageHDU(wave, name="WAVE")
    image.header["BUNIT"] = "Angstrom"
    spectra = read(save(fits.HDUList([*hdus, image])))
    assert len(spectra.wavelength) == layouts.N_PIXELS - 1
    assert any("without a wavelength" in note for note in spectra.meta["warnings"])


def test_a_line_that_is_a_table(tmp_path):
    """30 MB in one line took gigabytes."""
    path = tmp_path / "line.csv"
    path.write_bytes(b"wave,flux,err\n" + b",".join([b"1.0"] * 2_000_000) + b"\n")
    quickly_refused(path, "one line per wavelength", medium="air")


@pytest.mark.parametrize("text", ["root:x:0:0:root:/root:/bin/sh\n" * 22, "\x00\x01\x02", "{}", "<html></html>"])
def test_what_is_no_table_costs_one_line(tmp_path, text):
    """/etc/passwd gave 22 lines of a library's guesses."""
    path = tmp_path / "passwd"
    path.write_text(text)
    with pytest.raises(ReadError) as caught:
        read(path)
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_text_bombs(tmp_path, kind):
    """A few kB that unpack to more text than any spectrum has."""
    import bz2
    import lzma

    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind]
    path = tmp_path / f"a.csv.{kind}"
    path.write_bytes(pack(b"wave,flux,err\n" + b"4000,1,1\n" * 9_000_000))
    quickly_refused(path, "more than 64 MB of text")


@pytest.mark.parametrize("kind", ["HCOMPRESS_1", "PLIO_1"])
def test_packings_whose_library_can_be_made_to_write_anywhere(tmp_path, kind):
    """Changed bytes in a tile corrupted the memory of the process, which ended later and elsewhere."""
    data = np.full((40, 8, 8), 9, dtype=np.int16)
    header = layouts.muse()["DATA"].header
    image = fits.CompImageHDU(data, header, compression_type=kind, tile_shape=(1, 8, 8))
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / "a.fits")
    quickly_refused(tmp_path / "a.fits", f"packed by {kind}.*funpack", noise_from_residuals=True)


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS"])
def test_other_packings_are_read(tmp_path, kind):
    plain = layouts.muse()
    packed = [fits.CompImageHDU(hdu.data, hdu.header, compression_type=kind, quantize_level=0) for hdu in plain[1:]]
    if kind == "RICE_1":  # of integers only
        whole = [np.ceil(hdu.data).astype(np.int32) for hdu in plain[1:]]
        packed = [fits.CompImageHDU(data, hdu.header) for data, hdu in zip(whole, plain[1:], strict=True)]
    fits.HDUList([plain[0], *packed]).writeto(tmp_path / "a.fits")
    assert read(tmp_path / "a.fits", noise_kind="variance").n_spectra == 12


def test_pixels_finer_than_any_spectrograph(save):
    """Smoothing by 4 Å would take a kernel of terabytes."""
    quickly_refused(save(layouts.generic(CDELT=1e-12)), "finer than any spectrograph.*wavelength_unit=")
