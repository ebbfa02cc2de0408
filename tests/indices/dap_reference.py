"""Writes `dap.json`: what the MaNGA DAP's own code measures on the spectra of `made.py`.

Run in an environment with numpy, quietspec and the source archive of sdss-mangadap 4.5.0, unpacked in FOLDER and on the
path: ``python dap_reference.py FOLDER > dap.json``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import made
import numpy as np
from mangadap.proc.spectralindices import AbsorptionLineIndices, BandheadIndices

from quietspec.indices import find_definition
from quietspec.wavelengths import vacuum_to_air

NAMES = {"Hb": "Hbeta"}  # that differ by more than case and underscores


def bands(path: Path):
    """Yield the name, bands and last words of each row of a DAP file."""
    for line in path.read_text().splitlines():
        if line.startswith(("DAPABI ", "DAPBHI ")):
            name = line.split()[2]
            pairs = [np.array([list(map(float, pair.split()))]) for pair in re.findall(r"\{([^}]*)\}", line)]
            medium, *rest = line.rpartition("}")[2].split()
            yield name, [pair if medium == "air" else vacuum_to_air(pair) for pair in pairs], rest


def measured(wavelength: np.ndarray, log: bool, folder: Path):
    """Yield the name of each index and its values."""
    data, flux = folder / "mangadap/data", made.spectra(wavelength)
    for name, (main, blue, red), (unit, _) in bands(data / "absorption_indices/extindx.par"):
        found = [
            AbsorptionLineIndices(wavelength, one, blue, red, main, log=log, units=np.array([unit])) for one in flux
        ]
        yield name, [float(one.index[0]) for one in found]
    for name, (blue, red), (integrand, order) in bands(data / "bandhead_indices/bhbasic.par"):
        per = wavelength**2 if integrand == "fnu" else 1.0
        found = [BandheadIndices(wavelength, one * per, blue, red, log=log, order=np.array([order])) for one in flux]
        yield name, [float(one.index[0]) for one in found]


if __name__ == "__main__":
    result: dict[str, dict[str, list[float]]] = {}
    for grid, log in (("LINEAR", False), ("LOG", True)):
        for name, values in measured(getattr(made, grid), log, Path(sys.argv[1])):
            ours = find_definition(NAMES.get(name, name)).name
            result.setdefault(ours, {})[grid] = [round(value, 6) for value in values]
    rows = (f'  "{name}": {json.dumps(values)}' for name, values in result.items())
    print("{\n" + ",\n".join(rows) + "\n}")
