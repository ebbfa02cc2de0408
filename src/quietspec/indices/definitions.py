"""`IndexDefinition`: the bands of a spectral index, and one table of the published indices with their sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from quietspec.errors import IndexDefinitionError
from quietspec.kinds import Medium
from quietspec.wavelengths import vacuum_to_air

__all__ = [
    "DEFINITIONS", "LICK", "Band", "IndexDefinition", "IndexKind", "find_definition", "find_definitions",
]  # fmt: skip

Band = tuple[float, float]  #: first and last wavelength, rest-frame Å
IndexKind = Literal["angstrom", "magnitude", "break"]

_UNITS: dict[str, str] = {"angstrom": "Angstrom", "magnitude": "mag", "break": ""}
_CHOICES: dict[str, tuple[str, ...]] = {
    "kind": tuple(_UNITS), "medium": ("air", "vacuum"), "per": ("frequency", "wavelength"),
    "ratio": ("red/blue", "blue/red"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class IndexDefinition:
    """The bands of a spectral index, and how they are combined.

    With f the flux density per Å and C the pseudo-continuum, a straight line, the index is

    - ``'angstrom'``: ∫ (1 − f/C) dλ over the band;
    - ``'magnitude'``: −2.5 log10 of the mean of f/C over the band;
    - ``'break'``: the ratio of the mean fluxes in the red and the blue band.

    C runs through the mean fluxes of the two side bands (`blue`, `red`). A generic index (Cenarro et al. 2001) has
    several `features`, and C is fitted to all pixels of several `continuum` bands.

    Parameters
    ----------
    name : str
        Name; case, spaces and underscores do not count when a published index is looked up.
    kind : {'angstrom', 'magnitude', 'break'}
        What is computed.
    source : str
        Where the definition was published.
    blue, red : (float, float), optional
        Side bands, or the two bands of a break.
    band : (float, float), optional
        Central band.
    continuum : tuple of (float, float)
        Continuum bands of a generic index.
    features : tuple of (float, float)
        Features of a generic index.
    weights : tuple of float
        Factors by which the features of a generic index are added; 1 each if not given.
    medium : {'air', 'vacuum'}
        What the wavelengths of the bands are measured in.
    per : {'frequency', 'wavelength'}
        Whether a break compares flux densities per unit frequency or wavelength.
    ratio : {'red/blue', 'blue/red'}
        Which band of a break is divided by which.

    Raises
    ------
    IndexDefinitionError
        If bands are missing, too many, or not two increasing wavelengths.

    Examples
    --------
    >>> mine = IndexDefinition(
    ...     name="mine", kind="angstrom", source="this work", blue=(4000, 4010), band=(4010, 4030), red=(4030, 4045)
    ... )
    >>> mine.unit, mine.bands
    ('Angstrom', ((4000.0, 4010.0), (4010.0, 4030.0), (4030.0, 4045.0)))
    """

    name: str
    kind: IndexKind
    source: str
    blue: Band | None = None
    band: Band | None = None
    red: Band | None = None
    continuum: tuple[Band, ...] = ()
    features: tuple[Band, ...] = ()
    weights: tuple[float, ...] = ()
    medium: Medium = "air"
    per: Literal["frequency", "wavelength"] = "frequency"
    ratio: Literal["red/blue", "blue/red"] = "red/blue"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise IndexDefinitionError(
                    f"index {self.name!r}: {name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}."
                )
        self._settle_bands()
        self._require_bands()

    def _settle_bands(self) -> None:
        """Bring what bands are given as to tuples of floats."""
        settle = object.__setattr__
        try:
            for name in ("blue", "band", "red"):
                settle(self, name, None if getattr(self, name) is None else _band(getattr(self, name)))
            for name in ("continuum", "features"):
                settle(self, name, tuple(map(_band, getattr(self, name))))
            settle(self, "weights", tuple(map(float, self.weights)))
        except (TypeError, ValueError) as error:
            raise IndexDefinitionError(
                f"index {self.name!r}: a band is two increasing wavelengths [low, high] in Å, several are written as "
                f"[[low, high], …] ({error})."
            ) from error

    def _require_bands(self) -> None:
        """Raise unless exactly the bands of one form of index are there."""
        given = {name for name in ("blue", "band", "red") if getattr(self, name) is not None}
        given |= {name for name in ("continuum", "features") if getattr(self, name)}
        forms = [{"blue", "red"}] if self.kind == "break" else [{"blue", "band", "red"}, {"continuum", "features"}]
        if given not in forms:
            wanted = " or ".join(", ".join(sorted(form)) for form in forms)
            raise IndexDefinitionError(
                f"index {self.name!r}: an index of kind {self.kind!r} has the bands {wanted}; this one has "
                f"{', '.join(sorted(given)) or 'none'}."
            )
        if self.generic and len(self.continuum) < 2:
            raise IndexDefinitionError(f"index {self.name!r}: a continuum is fitted to at least two bands.")
        if self.generic and self.kind != "angstrom":
            raise IndexDefinitionError(f"index {self.name!r}: a generic index is of kind 'angstrom'.")
        if self.weights and len(self.weights) != len(self.features):
            raise IndexDefinitionError(
                f"index {self.name!r}: {len(self.weights)} weights for {len(self.features)} features."
            )

    @property
    def generic(self) -> bool:
        """Whether the continuum is fitted to several bands."""
        return bool(self.features)

    @property
    def bands(self) -> tuple[Band, ...]:
        """All bands, continuum included."""
        single = tuple(band for band in (self.blue, self.band, self.red) if band is not None)
        return single + self.continuum + self.features

    @property
    def weighted_features(self) -> tuple[tuple[Band, float], ...]:
        """The bands integrated over, each with its factor; none for a break."""
        if self.band is not None:
            return ((self.band, 1.0),)
        return tuple(zip(self.features, self.weights or (1.0,) * len(self.features), strict=True))

    @property
    def unit(self) -> str:
        """Unit of the index as astropy spells it; empty for a ratio."""
        return _UNITS[self.kind]

    def in_air(self) -> IndexDefinition:
        """Convert the bands to air wavelengths.

        Returns
        -------
        IndexDefinition
            The same index.
        """
        if self.medium == "air":
            return self
        blue, band, red = (None if one is None else _air(one) for one in (self.blue, self.band, self.red))
        continuum, features = (tuple(map(_air, bands)) for bands in (self.continuum, self.features))
        return replace(self, blue=blue, band=band, red=red, continuum=continuum, features=features, medium="air")


def _band(value: Iterable[float]) -> Band:
    low, high = map(float, value)
    if not 0 < low < high < np.inf:
        raise ValueError(f"not {low:g}, {high:g}")
    return low, high


def _air(band: Band) -> Band:
    low, high = vacuum_to_air(np.array(band, dtype=np.float64))
    return float(low), float(high)


_T98 = "Trager et al. 1998, ApJS 116, 1"
_W97 = "Worthey & Ottaviani 1997, ApJS 111, 377"
_C01 = "Cenarro et al. 2001, MNRAS 326, 959"
_C01_BANDS = f"bands of {_C01}, paired by Westfall et al. 2019, AJ 158, 231"
_CVD = "Conroy & van Dokkum 2012, ApJ 747, 69"
_S14 = "Spiniello et al. 2014, MNRAS 438, 1483"
_LB13 = "La Barbera et al. 2013, MNRAS 433, 3017"

# Name, kind, blue side band, central band, red side band, source; air Å.
_CLASSIC: tuple[tuple[str, IndexKind, Band, Band, Band, str], ...] = (
    ("CN_1", "magnitude", (4080.125, 4117.625), (4142.125, 4177.125), (4244.125, 4284.125), _T98),
    ("CN_2", "magnitude", (4083.875, 4096.375), (4142.125, 4177.125), (4244.125, 4284.125), _T98),
    ("Ca4227", "angstrom", (4211.000, 4219.750), (4222.250, 4234.750), (4241.000, 4251.000), _T98),
    ("G4300", "angstrom", (4266.375, 4282.625), (4281.375, 4316.375), (4318.875, 4335.125), _T98),
    ("Fe4383", "angstrom", (4359.125, 4370.375), (4369.125, 4420.375), (4442.875, 4455.375), _T98),
    ("Ca4455", "angstrom", (4445.875, 4454.625), (4452.125, 4474.625), (4477.125, 4492.125), _T98),
    ("Fe4531", "angstrom", (4504.250, 4514.250), (4514.250, 4559.250), (4560.500, 4579.250), _T98),
    ("C2_4668", "angstrom", (4611.500, 4630.250), (4634.000, 4720.250), (4742.750, 4756.500), _T98),
    ("Hbeta", "angstrom", (4827.875, 4847.875), (4847.875, 4876.625), (4876.625, 4891.625), _T98),
    ("Fe5015", "angstrom", (4946.500, 4977.750), (4977.750, 5054.000), (5054.000, 5065.250), _T98),
    ("Mg_1", "magnitude", (4895.125, 4957.625), (5069.125, 5134.125), (5301.125, 5366.125), _T98),
    ("Mg_2", "magnitude", (4895.125, 4957.625), (5154.125, 5196.625), (5301.125, 5366.125), _T98),
    ("Mg_b", "angstrom", (5142.625, 5161.375), (5160.125, 5192.625), (5191.375, 5206.375), _T98),
    ("Fe5270", "angstrom", (5233.150, 5248.150), (5245.650, 5285.650), (5285.650, 5318.150), _T98),
    ("Fe5335", "angstrom", (5304.625, 5315.875), (5312.125, 5352.125), (5353.375, 5363.375), _T98),
    ("Fe5406", "angstrom", (5376.250, 5387.500), (5387.500, 5415.000), (5415.000, 5425.000), _T98),
    ("Fe5709", "angstrom", (5672.875, 5696.625), (5696.625, 5720.375), (5722.875, 5736.625), _T98),
    ("Fe5782", "angstrom", (5765.375, 5775.375), (5776.625, 5796.625), (5797.875, 5811.625), _T98),
    ("Na_D", "angstrom", (5860.625, 5875.625), (5876.875, 5909.375), (5922.125, 5948.125), _T98),
    ("TiO_1", "magnitude", (5816.625, 5849.125), (5936.625, 5994.125), (6038.625, 6103.625), _T98),
    ("TiO_2", "magnitude", (6066.625, 6141.625), (6189.625, 6272.125), (6372.625, 6415.125), _T98),
    ("Hdelta_A", "angstrom", (4041.600, 4079.750), (4083.500, 4122.250), (4128.500, 4161.000), _W97),
    ("Hgamma_A", "angstrom", (4283.500, 4319.750), (4319.750, 4363.500), (4367.250, 4419.750), _W97),
    ("Hdelta_F", "angstrom", (4057.250, 4088.500), (4091.000, 4112.250), (4114.750, 4137.250), _W97),
    ("Hgamma_F", "angstrom", (4283.500, 4319.750), (4331.250, 4352.250), (4354.750, 4384.750), _W97),
    ("CaHK", "angstrom", (3806.5, 3833.8), (3899.5, 4003.5), (4020.7, 4052.4), "Serven et al. 2005, ApJ 627, 754"),
    ("bTiO", "magnitude", (4742.750, 4756.500), (4758.500, 4800.000), (4827.875, 4847.875), _S14),
    ("aTiO", "magnitude", (5420.0, 5442.0), (5445.0, 5600.0), (5630.0, 5655.0), _S14),
    ("CaH1", "magnitude", (6342.125, 6356.500), (6357.500, 6401.750), (6408.500, 6429.750), _S14),
    ("CaH2", "magnitude", (6510.00, 6539.25), (6775.00, 6900.00), (7017.00, 7064.00), _S14),
    ("TiO2SDSS", "magnitude", (6066.625, 6141.625), (6189.625, 6272.125), (6422.0, 6455.0), _LB13),
    ("NaI", "angstrom", (8150.0, 8168.4), (8168.500, 8234.125), (8235.25, 8250.00),
     "Spiniello et al. 2012, ApJ 753, L32"),
    ("NaISDSS", "angstrom", (8143.0, 8153.0), (8180.0, 8200.0), (8233.0, 8244.0), _LB13),
    ("CaII1", "angstrom", (8474.0, 8484.0), (8484.0, 8513.0), (8563.0, 8577.0), _C01_BANDS),
    ("CaII2", "angstrom", (8474.0, 8484.0), (8522.0, 8562.0), (8563.0, 8577.0), _C01_BANDS),
    ("CaII3", "angstrom", (8619.0, 8642.0), (8642.0, 8682.0), (8700.0, 8725.0), _C01_BANDS),
    ("Pa17", "angstrom", (8474.0, 8484.0), (8461.0, 8474.0), (8563.0, 8577.0), _C01_BANDS),
    ("Pa14", "angstrom", (8563.0, 8577.0), (8577.0, 8619.0), (8619.0, 8642.0), _C01_BANDS),
    ("Pa12", "angstrom", (8700.0, 8725.0), (8730.0, 8772.0), (8776.0, 8792.0), _C01_BANDS),
)  # fmt: skip

_VACUUM: tuple[tuple[str, IndexKind, Band, Band, Band, str], ...] = (
    ("MgICvD", "angstrom", (5125.0, 5165.0), (5165.0, 5220.0), (5220.0, 5260.0), _CVD),
    ("NaICvD", "angstrom", (8170.0, 8177.0), (8177.0, 8205.0), (8205.0, 8215.0), _CVD),
    ("MgIIR", "angstrom", (8777.4, 8789.4), (8801.9, 8816.9), (8847.4, 8857.4), "Diaz et al. 1989, MNRAS 239, 325"),
    ("FeHCvD", "angstrom", (9855.0, 9880.0), (9905.0, 9935.0), (9940.0, 9970.0), _CVD),
)

_BREAKS = (
    IndexDefinition(name="D4000", kind="break", blue=(3750.0, 3950.0), red=(4050.0, 4250.0),
                    source="Bruzual 1983, ApJ 273, 105"),
    IndexDefinition(name="Dn4000", kind="break", blue=(3850.0, 3950.0), red=(4000.0, 4100.0),
                    source="Balogh et al. 1999, ApJ 527, 54"),
    IndexDefinition(name="TiOCvD", kind="break", blue=(8835.0, 8855.0), red=(8870.0, 8890.0), medium="vacuum",
                    per="wavelength", ratio="blue/red", source=_CVD),
)  # fmt: skip

_TRIPLET_CONTINUUM = ((8474.0, 8484.0), (8563.0, 8577.0), (8619.0, 8642.0), (8700.0, 8725.0), (8776.0, 8792.0))
_CALCIUM = ((8484.0, 8513.0), (8522.0, 8562.0), (8642.0, 8682.0))
_PASCHEN = ((8461.0, 8474.0), (8577.0, 8619.0), (8730.0, 8772.0))
_PASCHEN_SHARE = 0.93  # CaT* = CaT − 0.93 PaT


def _generic(name: str, features: tuple[Band, ...], weights: tuple[float, ...]) -> IndexDefinition:
    return IndexDefinition(
        name=name, kind="angstrom", continuum=_TRIPLET_CONTINUUM, features=features, weights=weights, source=_C01
    )


_TRIPLET = (
    _generic("CaT", _CALCIUM, (1.0,) * 3),
    _generic("PaT", _PASCHEN, (1.0,) * 3),
    _generic("CaT_star", _CALCIUM + _PASCHEN, (1.0,) * 3 + (-_PASCHEN_SHARE,) * 3),
)

#: All published indices, by name.
DEFINITIONS: dict[str, IndexDefinition] = {
    definition.name: definition
    for definition in (
        *(IndexDefinition(name=name, kind=kind, blue=blue, band=band, red=red, source=source)
          for name, kind, blue, band, red, source in _CLASSIC),
        *(IndexDefinition(name=name, kind=kind, blue=blue, band=band, red=red, source=source, medium="vacuum")
          for name, kind, blue, band, red, source in _VACUUM),
        *_BREAKS,
        *_TRIPLET,
    )
}  # fmt: skip

#: Names of the 25 Lick/IDS indices.
LICK: tuple[str, ...] = tuple(name for name, one in DEFINITIONS.items() if one.source in (_T98, _W97))


def find_definition(name: str | IndexDefinition) -> IndexDefinition:
    """Look up a published index.

    Parameters
    ----------
    name : str or IndexDefinition
        Name, in which case, spaces and underscores do not count; a definition is returned as it is.

    Returns
    -------
    IndexDefinition
        Its definition.

    Raises
    ------
    IndexDefinitionError
        If no index has this name; the message lists similar ones.

    Examples
    --------
    >>> find_definition("mgb").source
    'Trager et al. 1998, ApJS 116, 1'
    """
    if isinstance(name, IndexDefinition):
        return name
    known = {_plain(each): each for each in DEFINITIONS}
    if _plain(name) in known:
        return DEFINITIONS[known[_plain(name)]]
    from difflib import get_close_matches

    close = [known[each] for each in get_close_matches(_plain(name), known, n=3)]
    listed = f"Did you mean {' or '.join(close)}?" if close else f"Known are {', '.join(DEFINITIONS)}."
    raise IndexDefinitionError(f"index {name!r} is unknown. {listed}")


def find_definitions(names: str | IndexDefinition | Iterable[str | IndexDefinition]) -> tuple[IndexDefinition, ...]:
    """Look up several indices, each once.

    Parameters
    ----------
    names : str, IndexDefinition or iterable of these
        One name or definition, or several. ``'lick'`` stands for the 25 Lick/IDS indices, ``'all'`` for all published
        ones.

    Returns
    -------
    tuple of IndexDefinition
        In the order given.

    Raises
    ------
    IndexDefinitionError
        If a name is unknown, there is none at all, or two different definitions share a name.
    """
    chosen: dict[str, IndexDefinition] = {}
    groups: dict[str | IndexDefinition, Iterable[str]] = {"lick": LICK, "all": DEFINITIONS}
    for name in (names,) if isinstance(names, str | IndexDefinition) else names:
        for one in map(find_definition, groups.get(name, (name,))):
            if chosen.setdefault(one.name, one) != one:
                raise IndexDefinitionError(f"index {one.name!r}: two different definitions have this name.")
    if not chosen:
        raise IndexDefinitionError(f"no index is named. Known are {', '.join(DEFINITIONS)}.")
    return tuple(chosen.values())


def _plain(name: str) -> str:
    return name.casefold().replace("*", "star").replace("_", "").replace(" ", "")
