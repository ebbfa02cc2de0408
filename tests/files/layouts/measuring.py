"""A method whose measurements are known: each quantity of spectrum k is a number that only k and its name set."""

from __future__ import annotations

import numpy as np

from quietspec.denoised import ModelId
from quietspec.populations import PopulationFlag, Populations

QUANTITIES = {  # value and error of spectrum 0; those of spectrum k are (1 + k/10) times as large
    "flux_Halpha": (250.0, 10.0), "ew_Halpha": (12.0, 0.5), "flux_OIII5007": (298.0, 20.0), "ew_OIII5007": (6.0, 0.4),
    "flux_OII3726": (np.nan, np.nan), "ew_OII3726": (np.nan, np.nan), "gas_velocity": (90.0, 8.0),
    "gas_sigma": (60.0, 7.0), "forbidden_velocity": (-70.0, 6.0), "forbidden_sigma": (130.0, 5.0),
    "index_Mg_b": (3.5, 0.2), "index_Dn4000": (1.4, 0.02), "index_mine": (1.0, 0.1),
}  # fmt: skip
STARS = {"velocity": (120.0, 9.0), "sigma": (80.0, 11.0), "log_age_lw": (9.0, 0.1), "mh_lw": (-0.2, 0.05)}
FLAGS = (
    PopulationFlag.OK, PopulationFlag.NO_DATA, PopulationFlag.FAILED, PopulationFlag.DOUBTFUL, PopulationFlag.AT_LIMIT,
)  # fmt: skip


def grown(value: float, n: int) -> np.ndarray:
    return value * (1 + np.arange(n) / 10)


class Known:
    """Finds `QUANTITIES` and `STARS`; the spectra carry `FLAGS` in turn."""

    model = ModelId("known")

    def __init__(self, *, lines: bool = True) -> None:
        self.further = QUANTITIES if lines else {}

    def __call__(self, spectra, progress=None):
        n = len(spectra)
        flags = np.resize([int(flag) for flag in FLAGS], n)
        failed = (flags & int(PopulationFlag.NO_DATA | PopulationFlag.FAILED)) != 0
        pair = {
            name: tuple(np.where(failed, np.nan, grown(part, n)) for part in parts)
            for name, parts in (STARS | self.further).items()
        }
        value = {name: pair[name][0] for name in STARS}
        return Populations(
            method="known",
            values=value,
            low={name: pair[name][0] - pair[name][1] for name in STARS},
            high={name: pair[name][0] + pair[name][1] for name in STARS},
            flags=flags,
            reasons=np.full(n, ""),
            chi2=np.where(failed, np.nan, grown(1.0, n)),
            seconds=np.full(n, np.nan),
            further={name: pair[name] for name in self.further},
        )
