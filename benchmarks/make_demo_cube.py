"""Simulate the example cube that ships with the package.

Run it as ``python benchmarks/make_demo_cube.py [--library PATH] [--seed 20] [-o FILE]``; the MILES models of
``quietspec fetch miles`` are used unless a library is given. Fluxes are rounded to a fraction of the noise, with
dither, and compressed by Rice's method, which FITS readers undo unasked.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits

from quietspec import __version__
from quietspec.io import hdus
from quietspec.io.fetching import fetch
from quietspec.lab.simulate import Simulated, simulate_galaxy
from quietspec.templates import load_library

TARGET = Path(__file__).parents[1] / "src" / "quietspec" / "models" / "demo.fits"
SHAPE = (20, 20)
LIMITS = (3700.0, 7000.0)  # observed Å: from the Balmer break to Hα and [SII]
FLUX_STEP, TRUTH_STEP = 0.1, 0.02  # of the lowest noise; rounding adds 0.03 and 0.006 of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", type=Path, help="folder or npz of SSP spectra")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("-o", "--out", type=Path, default=TARGET)
    options = parser.parse_args()
    library = load_library(options.library or fetch("miles"))
    simulated = simulate_galaxy(library, np.random.default_rng(options.seed), shape=SHAPE)
    to_hdus(simulated, options.seed).writeto(options.out, overwrite=True, checksum=True)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.2f} MiB")


def to_hdus(simulated: Simulated, seed: int) -> fits.HDUList:
    """Arrange as a cube that any reader of generic FITS cubes understands, and the truth beside it."""
    observed = simulated.observed.between(*LIMITS)
    kept = np.isin(simulated.observed.wavelength, observed.wavelength)
    noise = float(observed.sigma.min())
    with np.errstate(divide="ignore"):
        variance = np.where(observed.good, 1 / observed.ivar, np.nan)
    cubes = {
        "FLUX": (observed.flux, FLUX_STEP * noise),
        "VAR": (variance, 0.01 * noise**2),
        "TRUTH": (simulated.truth[:, kept], TRUTH_STEP * noise),
    }
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "simulated galaxy"
    primary.header["REDSHIFT"] = float(observed.redshift[0])
    primary.header["LIBRARY"] = simulated.observed.meta["library"]
    primary.header["HISTORY"] = f"Simulated by quietspec {__version__}: benchmarks/make_demo_cube.py --seed {seed}"
    result = fits.HDUList([primary])
    for name, (spectra, step) in cubes.items():
        header = hdus.bulk_header("VAR" if name == "VAR" else "FLUX", np.float32, observed)
        result.append(compressed(cube(spectra, np.float32), header, name, step))
    result.append(compressed(cube(~observed.good, np.uint8), hdus.bulk_header("MASK", np.uint8, observed), "MASK"))
    fwhm = fits.ImageHDU(observed.fwhm.astype(np.float32), name="FWHM")
    fwhm.header["BUNIT"] = "Angstrom"
    parameters = hdus.spectra_table(simulated.parameters)
    parameters.header.remove("COMMENT", ignore_missing=True, remove_all=True)  # of flags, which there are none
    result.extend([fwhm, hdus.wave_table(observed), parameters])
    return result


def cube(spectra: np.ndarray, dtype: type) -> np.ndarray:
    """(n_spectra, n_pixels) as (n_pixels, ny, nx)."""
    return np.ascontiguousarray(spectra.astype(dtype).T).reshape(-1, *SHAPE)


def compressed(data: np.ndarray, header: fits.Header, name: str, step: float = 0.0) -> fits.CompImageHDU:
    """Compress along the wavelength, spaxel by spaxel; floats are rounded to multiples of `step`."""
    del header["DATASUM"]
    lossy = {"quantize_level": -step, "quantize_method": 1, "dither_seed": 1} if step else {}
    return fits.CompImageHDU(data, header, name=name, compression_type="RICE_1", tile_shape=(len(data), 1, 1), **lossy)


if __name__ == "__main__":
    main()
