"""A small checkout: parts are made once, again when their code changes, and fill the pages."""

import json
import subprocess
from pathlib import Path

import pytest

from quietspec.errors import QuietspecError
from quietspec.lab.evaluation.tables.markdown import ResultsFolder
from quietspec.lab.reproduce import (
    Manifest,
    Part,
    checkout,
    chosen_parts,
    essence,
    known_stale,
    made,
    run_part,
    stale_parts,
    state_of,
)  # fmt: skip
from quietspec.lab.reproduce.pages import mended_page, unmarked_tables
from quietspec.lab.reproduce.quotes import quoted, value_at
from quietspec.lab.reproduce.state import shortened_list

MANIFEST = """
[[part]]
name = "sums"
command = "python benchmarks/sums.py --json benchmarks/results/sums.json"
minutes = 1
pages = ["docs/page.md"]

[[part]]
name = "words"
command = "python benchmarks/words.py {data}"
minutes = 2
prints = true
"""
SUMS = """
import json, sys
from pathlib import Path
from quietspec.lab.reproduce import made
command = "python benchmarks/sums.py --json elsewhere.json"
content = made(command, Path(sys.argv[0]), Path(sys.argv[2]))
content["tables"] = [{"title": "", "head": ["", "S/N 5"], "rows": [["ours", str(1 + 1)]]}]
content["rows"] = [{"line": "a", "snr": 5, "value": 0.123}, {"line": "b", "snr": 5, "value": 0.5}]
Path(sys.argv[2]).write_text(json.dumps(content))
"""
PAGE = """# Page

<!-- table: sums 0 -->

| old | 9 |

<!-- end -->

A tenth, 12.3 %, of
the sum.

## Another

| what | S/N 5 |
|---|---|
| theirs | 0.7 |

<!-- made -->

<!-- end -->
"""


@pytest.fixture
def root(tmp_path) -> Path:
    for name in ("results", "benchmarks/results", "docs"):
        (tmp_path / name).mkdir(parents=True)
    files = {
        "benchmarks/manifest.toml": MANIFEST,
        "benchmarks/sums.py": SUMS,
        "benchmarks/words.py": "import sys\nprint('data', sys.argv[1])\n",
        "benchmarks/stale.txt": "# known\nsums\nwords\n",
        "benchmarks/quotes.toml": '[[quote]]\npage = "docs/page.md"\ntext = "{:.1f} %, of the sum"\n'
        'values = ["sums: rows / line=a, snr=5 / value * 100"]\n',
        "docs/page.md": PAGE,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    essence.cache_clear()
    return tmp_path


@pytest.fixture
def manifest(root) -> Manifest:
    return Manifest.load(root)


def test_a_part_is_made_once_and_again_when_its_code_changes(root, manifest):
    sums = manifest["sums"]
    assert state_of(manifest, sums).kind == "missing"
    assert [part.name for part in chosen_parts(manifest, ())] == ["sums", "words"]
    run_part(manifest, sums, {})
    assert state_of(manifest, sums).done
    assert [part.name for part in chosen_parts(manifest, ())] == ["words"]
    assert [part.name for part in chosen_parts(manifest, ("sums",))] == ["sums"]  # if asked for by name
    (root / "benchmarks/sums.py").write_text(SUMS.replace("1 + 1", "1 + 2"))
    essence.cache_clear()
    assert state_of(manifest, sums).changed == ("sums.py",)
    assert stale_parts(manifest) == ["sums", "words"]


def test_a_result_by_another_command_is_not_the_part(root, manifest):
    run_part(manifest, manifest["sums"], {})
    other = Part(name="sums", command="python benchmarks/sums.py --json benchmarks/results/sums.json -n 3", minutes=1)
    assert state_of(manifest, other).kind == "other command"


def test_a_result_without_record_is_told_from_one_that_changed(root, manifest):
    (manifest.results / "sums.json").write_text('{"commit": "abc"}')
    state = state_of(manifest, manifest["sums"])
    assert (state.kind, state.commit) == ("unrecorded", "abc")


def test_what_a_command_prints_is_kept(manifest):
    run_part(manifest, manifest["words"], {"data": "/somewhere/folder"})
    content = json.loads((manifest.results / "words.json").read_text())
    assert content["printed"] == ["data /somewhere/folder"]
    assert content["command"] == "python benchmarks/words.py {data}"
    assert state_of(manifest, manifest["words"]).done


def test_a_command_that_fails_is_named(root, manifest):
    (root / "benchmarks/sums.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(QuietspecError, match=r"sums: .* status 3"):
        run_part(manifest, manifest["sums"], {})
    (root / "benchmarks/sums.py").write_text("pass\n")
    with pytest.raises(QuietspecError, match=r"wrote no sums\.json"):
        run_part(manifest, manifest["sums"], {})


def test_pages_take_tables_and_what_made_them(root, manifest):
    page = Path("docs/page.md")
    run_part(manifest, manifest["sums"], {})
    text = mended_page(manifest, page)
    assert "| ours | 2 |" in text
    assert "| old | 9 |" not in text
    assert "Results of the present code (and their commits): `sums.json`" in text
    (root / page).write_text(text)
    assert mended_page(manifest, page) == text
    (root / "benchmarks/sums.py").write_text(f"{SUMS}\nanother = 1\n")
    essence.cache_clear()
    assert "Made by an earlier state of the code, and to be made again: `sums.json`" in mended_page(manifest, page)
    assert list(unmarked_tables(root, page)) == ["Another: | what | S/N 5 |"]


def test_an_unknown_table_is_named(root, manifest):
    (root / "docs/page.md").write_text("<!-- table: nothing -->\n\n<!-- end -->\n")
    with pytest.raises(QuietspecError, match="no table 'nothing'"):
        mended_page(manifest, Path("docs/page.md"))


def test_the_list_of_earlier_results_only_shrinks(root, manifest):
    run_part(manifest, manifest["sums"], {})
    ((path, text),) = shortened_list(manifest).items()
    assert text == "# known\nwords\n"
    (root / path).write_text("# known\n")
    assert shortened_list(manifest)[path] == "# known\n"
    assert known_stale(root) == []


def test_numbers_in_sentences_are_those_of_the_results(root, manifest):
    run_part(manifest, manifest["sums"], {})
    (quote,) = quoted(root)
    results = ResultsFolder(manifest.results)
    assert quote.stands(root, results)
    page = root / "docs/page.md"
    page.write_text(page.read_text().replace("12.3", "12.4"))
    assert not quote.stands(root, results)


@pytest.mark.parametrize(
    "place", ["sums: rows / line=c / value", "sums: rows / snr=5 / value", "sums: rows / 7", "sums: no"]
)
def test_a_value_that_is_not_there_is_named(manifest, place):
    run_part(manifest, manifest["sums"], {})
    with pytest.raises(QuietspecError, match="sums: "):
        value_at(ResultsFolder(manifest.results), place)


def test_a_checkout_is_found_from_within_and_missed_outside(root, tmp_path_factory):
    assert checkout(root / "docs") == root
    with pytest.raises(QuietspecError, match="clone the repository"):
        checkout(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize(
    ("text", "fault"), [("[[part]]\nname = 'a'\n", "command"), (MANIFEST + MANIFEST, "sums, words"), ("[[", "manifest")]
)
def test_faults_of_a_manifest_are_named(root, text, fault):
    (root / "benchmarks/manifest.toml").write_text(text)
    with pytest.raises(QuietspecError, match=fault):
        Manifest.load(root)


def test_what_made_a_result_is_said_without_a_checkout_too(monkeypatch, tmp_path):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    found = made("quietspec lab bench", "quietspec.statistics", tmp_path / "x.json")
    assert found["commit"].startswith("version ")
    assert set(found["dependencies"]) == {"statistics.py"}
