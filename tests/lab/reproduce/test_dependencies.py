"""Dependencies follow names to where they are defined, and digests change with code alone."""

import ast
from pathlib import Path

import pytest

import quietspec
from quietspec.errors import QuietspecError
from quietspec.lab.reproduce import Program, differences, essence

PACKAGE = Path(quietspec.__file__).parent


@pytest.fixture
def script(tmp_path):
    """Write a script, and return it."""

    def script(text: str) -> Path:
        path = tmp_path / "study.py"
        path.write_text(text, encoding="utf-8")
        essence.cache_clear()
        return path

    return script


def test_names_lead_to_the_module_that_defines_them(script):
    """A package that offers a name is no dependency: the module that has it is."""
    from_package = Program(script("from quietspec.denoisers import Wavelet\n")).imported()
    assert from_package == Program(script("from quietspec.denoisers.wavelet import Wavelet\n")).imported()
    assert "quietspec.denoisers.wavelet" in from_package
    assert "quietspec.denoisers.posterior.gas" not in from_package


def test_imports_within_functions_count_and_those_for_types_do_not(tmp_path):
    for number, (text, counts) in enumerate((
        ("def work():\n    from quietspec.errors import ReadError\n", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from quietspec.errors import ReadError\n", False),
        ("import quietspec\nquietspec.QuietspecError\n", True),
    )):  # fmt: skip
        path = tmp_path / f"study{number}.py"
        path.write_text(text)
        assert ("quietspec.errors" in Program(path).imported()) == counts, text


def test_the_lazy_names_of_the_package_lead_home(script):
    found = Program(script("import quietspec\nspectra = quietspec.read('a.fits')\n")).imported()
    assert {"quietspec.spectra", "quietspec.io.reading.source"} <= set(found)


def test_what_records_results_is_no_dependency_of_theirs(script):
    found = Program(script("from quietspec.lab.reproduce import made\n")).imported()
    assert [name for name in found if name.startswith("quietspec.lab.reproduce")] == []


def test_what_acts_only_where_asked_for_is_a_dependency_of_those_who_ask(script):
    """`load_denoiser` offers the denoiser of cubes as a whole; most programs do not use it."""
    spatial = "quietspec.denoisers.spatial.denoiser"
    usual = Program(script("from quietspec.denoisers import load_denoiser\n"))
    assert spatial not in usual.imported()
    assert "denoisers.spatial" not in usual.digests()
    named = Program(usual.entry, modules=("quietspec.denoisers.spatial",))
    assert spatial in named.imported()
    assert "denoisers.spatial" in named.digests()


def test_who_imports_what_acts_only_where_asked_for_depends_on_it(script):
    found = Program(script("from quietspec.denoisers import SpatialPosterior\n")).imported()
    assert "quietspec.denoisers.spatial.denoiser" in found


def test_functions_of_the_frame_pass_on_what_they_need(tmp_path):
    (tmp_path / "script.py").write_text(
        "from quietspec.hashing import file_sha256\nfrom quietspec.errors import ReadError\n"
        "def inner(path):\n    return file_sha256(path)\n"
        "def used(path):\n    return inner(path)\n"
        "def other():\n    raise ReadError\n"
    )
    study = tmp_path / "study.py"
    study.write_text("from script import used\n")
    assert Program(study).imported() == ("quietspec.hashing",)
    assert "script.py" not in Program(study).digests()


def test_a_digest_changes_with_code_and_not_with_words(tmp_path):
    texts = {
        "plain": "def f(x):\n    return x + 1\n",
        "documented": '"""About."""\n\n\ndef f(x):\n    """Add one."""\n\n    return x + 1  # one\n',
        "changed": "def f(x):\n    return x - 1\n",
        "with a hash": "def f(x):\n    return x + 1, '# no comment'\n",
    }
    found = {}
    for name, text in texts.items():
        path = tmp_path / name / "study.py"
        path.parent.mkdir()
        path.write_text(text)
        found[name] = Program(path).digests()["study.py"]
    assert found["plain"] == found["documented"]
    assert len(set(found.values())) == 3


def test_the_essence_of_every_module_means_the_same():
    """What is left of each module is Python, with the same statements."""
    for path in sorted(PACKAGE.rglob("*.py"))[::9]:
        left = essence(path)
        whole = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(whole) if isinstance(node, ast.FunctionDef)}
        assert all(f"def {name}(" in left for name in names), path
        assert "# " not in left or "#" in path.read_text(encoding="utf-8")


def test_models_and_files_count(tmp_path):
    study, data = tmp_path / "study.py", tmp_path / "data.toml"
    study.write_text("pass\n")
    data.write_text("a = 1\n")
    before = Program(study, models=("survey",), files=(data,)).digests()
    data.write_text("a = 2\n")
    after = Program(study, models=("paper",), files=(data,)).digests()
    assert differences(before, after) == ["data.toml", "model paper", "model survey"]


def test_a_module_that_is_missing_is_named():
    with pytest.raises(QuietspecError, match=r"quietspec\.nothing"):
        Program.of_module("quietspec.nothing")
