"""`lab reproduce` in a small checkout of its own."""

import pytest

SCRIPT = """
import json, sys
from pathlib import Path
from quietspec.lab.reproduce import made
path = Path("benchmarks/results") / (Path(sys.argv[0]).stem + ".json")
command = f"python benchmarks/{Path(sys.argv[0]).name}"
content = made(command, Path(sys.argv[0]), path)
path.write_text(json.dumps(content | {"tables": [{"title": "", "head": ["", "n"], "rows": [["all", "7"]]}]}))
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    parts = [("one", "", '["page.md"]'), ("two", " --data {data}", "[]"), ("bad", "", "[]")]
    manifest = "".join(
        f'[[part]]\nname = "{name}"\ncommand = "python benchmarks/{name}.py{rest}"\nminutes = 3\npages = {pages}\n'
        for name, rest, pages in parts
    )
    (tmp_path / "benchmarks/manifest.toml").write_text(manifest)
    (tmp_path / "benchmarks/stale.txt").write_text("bad\none\ntwo\n")
    (tmp_path / "benchmarks/one.py").write_text(SCRIPT)
    (tmp_path / "benchmarks/two.py").write_text(SCRIPT)
    (tmp_path / "benchmarks/bad.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "page.md").write_text("<!-- table: one 0 -->\n\n<!-- end -->\n\n<!-- made -->\n\n<!-- end -->\n")
    return tmp_path


def test_all_that_can_be_made_is_made_and_the_rest_is_named(run, root):
    result = run("lab", "reproduce", "--checkout", root)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "two left out: give --set data=PATH" in said
    assert "bad: not made. The same command goes on with these." in said
    assert (root / "benchmarks/results/one.json").exists()
    assert not (root / "benchmarks/results/two.json").exists()


def test_one_part_fills_the_page_and_shortens_the_list(run, root):
    assert run("lab", "reproduce", "--checkout", root, "--only", "one").exit_code == 0
    page = (root / "page.md").read_text()
    assert "| all | 7 |" in page
    assert "Results of the present code (and their commits): `one.json`" in page
    assert (root / "benchmarks/stale.txt").read_text() == "bad\ntwo\n"
    listed = run("lab", "reproduce", "--checkout", root, "--list").stdout
    assert [line.split()[:3] for line in listed.splitlines()[1:4]] == [
        ["one", "3", "done"], ["two", "3", "missing"], ["bad", "3", "missing"],
    ]  # fmt: skip
    assert "6 minutes for what is not up to date" in listed
    assert run("lab", "reproduce", "--checkout", root, "--pages").exit_code == 0  # nothing left to fill


def test_faults_are_named(run, root, tmp_path_factory):
    assert "no such part" in run("lab", "reproduce", "--checkout", root, "--only", "nothing").stderr
    assert "give name=path" in run("lab", "reproduce", "--checkout", root, "--set", "data").stderr
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert "clone the repository" in " ".join(run("lab", "reproduce", "--checkout", elsewhere).stderr.split())
