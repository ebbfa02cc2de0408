"""The table of published indices, and the checks of a definition."""

from __future__ import annotations

import pytest

from quietspec.errors import IndexDefinitionError
from quietspec.indices import DEFINITIONS, LICK, IndexDefinition, find_definition, find_definitions

CLASSIC = {"kind": "angstrom", "source": "x", "blue": (4000, 4010), "band": (4010, 4020), "red": (4020, 4030)}
GENERIC = {"kind": "angstrom", "source": "x", "continuum": ((1, 2), (3, 4)), "features": ((2, 3), (4, 5))}


def test_there_are_25_lick_indices_six_of_them_in_magnitudes():
    magnitudes = {name for name in LICK if DEFINITIONS[name].kind == "magnitude"}
    assert len(LICK) == 25
    assert magnitudes == {"CN_1", "CN_2", "Mg_1", "Mg_2", "TiO_1", "TiO_2"}


@pytest.mark.parametrize("definition", DEFINITIONS.values(), ids=lambda one: one.name)
def test_side_bands_lie_on_either_side_of_the_band_and_overlap_it_little(definition):
    if definition.kind == "break":
        assert definition.blue[1] <= definition.red[0]
        return
    if definition.generic:
        pairs = [(one, other) for one, _ in definition.weighted_features for other in definition.continuum]
        assert all(one[1] <= other[0] or other[1] <= one[0] for one, other in pairs)
        return
    middles = [sum(band) / 2 for band in definition.bands]
    if definition.name == "Pa17":  # both side bands are redder: bluewards of it there is another Paschen line
        assert definition.band[1] <= definition.blue[0] < definition.red[0]
        return
    assert middles == sorted(middles)
    assert definition.blue[1] - definition.band[0] < 3.8  # Fe5335 has the largest overlap
    assert definition.band[1] - definition.red[0] < 1.3  # here Mg b


def test_names_are_found_whatever_their_case_and_underscores():
    assert find_definition("MGB") is find_definition("Mg_b") is DEFINITIONS["Mg_b"]
    assert find_definition("CaT*").name == "CaT_star"
    assert find_definition("HDeltaA").name == "Hdelta_A"
    assert len({name.casefold().replace("_", "") for name in DEFINITIONS}) == len(DEFINITIONS)


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(IndexDefinitionError, match="Did you mean Hbeta"):
        find_definition("Hbetta")
    with pytest.raises(IndexDefinitionError, match="Known are CN_1"):
        find_definition("?")


def test_several_are_found_once_each_and_groups_are_spelt_out():
    mine = IndexDefinition(name="mine", **CLASSIC)
    found = find_definitions(["Mg_b", mine, "lick", "mgb"])
    assert found[0].name == "Mg_b"
    assert found[1] is mine
    assert len(found) == 26
    assert find_definitions("all") == tuple(DEFINITIONS.values())
    assert find_definitions("Dn4000") == (DEFINITIONS["Dn4000"],)
    with pytest.raises(IndexDefinitionError, match="two different definitions"):
        find_definitions([mine, IndexDefinition(name="mine", **CLASSIC | {"source": "y"})])
    with pytest.raises(IndexDefinitionError, match="no index is named"):
        find_definitions([])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (CLASSIC | {"kind": "width"}, "kind is 'width'"),
        (CLASSIC | {"medium": "water"}, "medium is 'water'"),
        (CLASSIC | {"red": None}, "this one has band, blue"),
        (CLASSIC | {"kind": "break"}, "has the bands blue, red; this one has band, blue, red"),
        (CLASSIC | {"features": ((4010, 4020),)}, "this one has band, blue, features, red"),
        (CLASSIC | {"band": (4020, 4010)}, "two increasing.*not 4020, 4010"),
        (CLASSIC | {"band": (4020, float("nan"))}, "two increasing.*not 4020, nan"),
        (CLASSIC | {"band": 4020}, "two increasing.*not iterable"),
        (GENERIC | {"continuum": (1, 2)}, "two increasing.*not iterable"),
        (GENERIC | {"continuum": ((1, 2),)}, "at least two bands"),
        (GENERIC | {"weights": (1.0,)}, "1 weights for 2 features"),
        (GENERIC | {"kind": "magnitude"}, "generic index is of kind 'angstrom'"),
    ],
)
def test_a_malformed_definition_says_what_is_wrong(fields, message):
    with pytest.raises(IndexDefinitionError, match=f"'mine'.*{message}"):
        IndexDefinition(name="mine", **fields)


def test_bands_may_be_lists():
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in CLASSIC.items()}
    assert IndexDefinition(name="mine", **lists) == IndexDefinition(name="mine", **CLASSIC)


def test_vacuum_bands_are_shifted_to_air():
    vacuum = DEFINITIONS["NaICvD"]
    for before, after in zip(vacuum.bands, vacuum.in_air().bands, strict=True):
        assert 2.2 < before[0] - after[0] < 2.3
    assert vacuum.in_air().in_air() == vacuum.in_air()
    assert DEFINITIONS["Hbeta"].in_air() is DEFINITIONS["Hbeta"]
