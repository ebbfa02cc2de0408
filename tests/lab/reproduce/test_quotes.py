"""Numbers of sentences are found in results files of any form."""

import json

import pytest

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.reproduce.quotes import Quote, value_at

CONTENT = {
    "scores": [{"snr": 5.0, "line": "Hbeta", "rms": 0.5}, {"snr": 10.0, "line": "Hbeta", "rms": 0.25}],
    "errors": [{"by": "pPXF, formal", "line": "Hbeta", "ratio": 2}, {"by": "pPXF", "line": "Hbeta", "ratio": 3}],
    "shape / spaxels": {"S/N 5": 0.5},
    "by galaxy": {"smooth": {"bias": -0.1}, "step": {"bias": 0.3}, "core": {"bias": None}},
    "printed": ["S/N  before  after", "all  400  (92.5 %), 2.6 to 39.1"],
    "tables": [{"title": "a table", "head": ["line", "68 %"], "rows": [["Hbeta", "0.61 ± 0.02"], ["Halpha", "0.7"]]}],
}


@pytest.fixture
def results(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(CONTENT))
    return ResultsFolder(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("one: scores / snr=5 / rms * 100", 50),
        ("one: scores / snr=10, line=Hbeta / rms", 0.25),
        ("one: scores / -1 / rms", 0.25),
        ("one: errors / by=pPXF, formal, line=Hbeta / ratio", 2),
        ("one: `shape / spaxels` / S/N 5", 0.5),
        ("one: by galaxy / step / bias", 0.3),
        ("smallest of one: by galaxy / each / bias * 10", -1),
        ("largest of one: by galaxy / each / bias", 0.3),
        ("median of one: scores / line=Hbeta / rms", 0.375),
        ("sum of one: scores / each / rms", 0.75),
        ("one: printed / 1 / 1", 400),
        ("one: printed / -1 / 2", 92.5),
        ("one: printed / 0 / 1", "before"),
        ("one: tables / 0 / line=Hbeta / 68 % / 0", 0.61),
        ("one: tables / 0 / line=Halpha / 68 %", 0.7),
        ("smallest of one: tables / each / each / 68 % / 0", 0.61),
        ("one: scores / 0 / rms ÷ one: scores / 1 / rms", 2),
    ],
)
def test_a_value_is_found(results, place, value):
    assert value_at(results, place) == value


@pytest.mark.parametrize(
    "place",
    [
        "one: scores / line=Hbeta / rms",
        "one: scores / 2 / rms",
        "one: scores / -3 / rms",
        "one: scores / snr=7 / rms",
        "one: by galaxy / ring / bias",
        "one: by galaxy / core / bias",
        "largest of one: by galaxy / ring / bias",
        "one: printed / 1 / 9",
        "one: printed / 1 / word",
        "one: scores / 0 / rms / each",
        "one: printed / 0 / each",
        "one: scores / 0 / rms / line=Hbeta",
        "one: printed / line=Hbeta",
        "one: scores / line=a=b / rms",
        "one",
    ],
)
def test_what_is_not_there_or_not_one_value_is_an_error(results, place):
    with pytest.raises(QuietspecError, match="one"):
        value_at(results, place)


def test_a_sentence_stands_across_lines_and_with_any_minus(results, tmp_path):
    quote = Quote(
        page="page.md",
        text="moved by {:.1f} to {:+.1f}",
        values=tuple(f"one: by galaxy / {name} / bias" for name in ("smooth", "step")),
    )
    (tmp_path / "page.md").write_text("It is moved by −0.1\n  to +0.3 of its error.", encoding="utf-8")
    assert quote.stands(tmp_path, results)
    (tmp_path / "page.md").write_text("It is moved by −0.1 to +0.4 of its error.", encoding="utf-8")
    assert not quote.stands(tmp_path, results)
