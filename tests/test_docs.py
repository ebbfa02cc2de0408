"""What the pages name exists: commands and their options, links, modules, files and extras. Nothing is executed."""

from __future__ import annotations

import ast
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from quietspec.batch import ClusterOptions
from quietspec.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
DOCS = ROOT / "docs"
DESIGN = DOCS / "design.md"
GENERATED = DOCS / "_generated"  # made as the pages are built, by what docs/_extensions holds
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md")]
PAGES = [
    *FRONT,
    ROOT / "benchmarks/README.md",
    ROOT / "joss/paper.md",
    *sorted(page for page in DOCS.rglob("*.md") if not {"_generated", "_build"} & set(page.parts)),
]

if not DESIGN.exists():
    pytest.skip("needs a checkout: the pages are not part of this distribution", allow_module_level=True)

CLI: Any = typer.main.get_command(app)
FOREIGN_OPTIONS = {"--nthreads"}  # of Dask's commands, named alone
FOREIGN_FILES = re.compile("ppxf_example_")  # pPXF's own scripts

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# --- the parts of a page ---

#: A block of Python, shown or executed, without the options of a cell.
PYTHON = re.compile(r"```(?:python|\{code-cell\})\n(?::.*\n)*(.*?)```", re.DOTALL)


def code_blocks(page: Path) -> list[str]:
    """Return the indented and the fenced blocks of code, except Python's, with continued lines joined."""
    text = re.sub(PYTHON, "", page.read_text(encoding="utf-8"))
    blocks = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", text, re.MULTILINE)
    return [block.replace("\\\n", " ") for block in blocks + re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)]


def python_blocks(page: Path) -> list[str]:
    return re.findall(PYTHON, page.read_text(encoding="utf-8"))


def spans(page: Path) -> list[str]:
    """Return the backticked texts, each on one line."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def lines_of_code(page: Path) -> list[str]:
    return [line.strip() for block in code_blocks(page) for line in block.splitlines() if line.strip()]


# --- commands ---


def found_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words after ``quietspec`` name, and the words after its name."""
    command = CLI
    for position, word in enumerate(words):
        if not hasattr(command, "commands") or word.startswith("-"):
            return command, words[position:]
        assert word in command.commands, f"no command {word!r} in {command.name}: {' '.join(words)}"
        command = command.commands[word]
    return command, []


def option_names(command: Any) -> set[str]:
    names = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"-h", "--help"}


def all_option_names(command: Any = CLI) -> set[str]:
    inner = getattr(command, "commands", {}).values()
    return option_names(command).union(*map(all_option_names, inner))


def complete_commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each `quietspec` command in a shell line, also inside ``$(…)``; comments are left out."""
    if "quietspec " not in line:
        return
    for inner in re.findall(r"\$\(quietspec ([^|)]*)", line):
        yield shlex.split(inner)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "*…:[],%@"
    command: list[str] = []
    for word in [*lexer, ";"]:
        if not re.fullmatch(r"[();<>|&]+", word):
            command.append(word)
            continue
        if command[:1] == ["quietspec"]:
            yield command[1:]
        command = []


def mentioned_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of commands named in backticks or comments, which may be incomplete; each of ``a|b`` in turn."""
    comments = [line.partition(" #")[2] for line in lines_of_code(page)]
    found = [match for text in comments for match in re.findall(r"\bquietspec [a-z][\w ./=|-]*", text)]
    for text in [*found, *(span for span in spans(page) if span.startswith("quietspec "))]:
        words = text.rstrip(" .").split()[1:]
        choices = next((word.split("|") for word in words if "|" in word), [""])
        for choice in choices:
            yield [choice if "|" in word else word for word in words]


@each_page
def test_commands_in_code_can_be_typed(page):
    for line in lines_of_code(page):
        for words in complete_commands(line):
            command, rest = found_command(words)
            command.make_context(command.name, rest)  # raises for unknown options, wrong choices, missing arguments


@each_page
def test_mentioned_commands_have_their_options(page):
    for words in mentioned_commands(page):
        command, rest = found_command(words)
        unknown = {word for word in rest if re.match(r"--?[a-z]", word)} - option_names(command)
        assert not unknown, f"quietspec {' '.join(words)}: no option {unknown}"


@each_page
def test_options_named_alone_belong_to_some_command(page):
    named = {word for span in spans(page) if span.startswith("-") for word in span.split() if word.startswith("--")}
    assert named <= all_option_names() | FOREIGN_OPTIONS


@each_page
def test_cluster_options_exist(page):
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"--cluster (\w+)=", text)) <= {field.name for field in fields(ClusterOptions)}


@each_page
def test_scripts_have_their_options(page):
    frame = ROOT / "benchmarks/script.py"
    for text in [*spans(page), *lines_of_code(page)]:
        for name, rest in re.findall(r"python (benchmarks/\w+\.py)([^#&]*)", text):
            files = [ROOT / name, *([frame] if frame.exists() else [])]
            scripts = "".join(file.read_text(encoding="utf-8") for file in files)
            unknown = {word for word in re.findall(r"(?<!\w)--[a-z-]+", rest) if f'"{word}"' not in scripts}
            assert not unknown, f"{text}: no option {unknown}"


@each_page
def test_extras_exist(page):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"(?:'\.|quietspec)\[([\w,]+)\]", page.read_text(encoding="utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


# --- links and files ---


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        place = (page.parent / target).resolve() if target else page
        if GENERATED.resolve() in place.parents:
            continue  # Sphinx checks these
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


@each_page
def test_named_files_exist(page):
    for text in [*spans(page), *lines_of_code(page)]:
        for name in re.findall(r"(?<![\w/.-])(?:benchmarks|docs|src|tests)/[\w./*-]*", text):
            assert any(ROOT.glob(name.rstrip("/."))), name


@each_page
def test_named_source_files_exist(page):
    for span in spans(page):
        if re.fullmatch(r"[\w/]+\.py", span) and not FOREIGN_FILES.match(span):
            assert (ROOT / span).exists() or any(SOURCE.glob(f"**/{span}")), span


@pytest.mark.parametrize("name", ["README.md", "benchmarks/README.md"])
def test_named_results_exist(name):
    for span in spans(ROOT / name):
        if re.fullmatch(r"[a-z][\w*-]*\.(json|csv|txt|png)", span):
            assert any((ROOT / "benchmarks/results").glob(span)), span


def toctree_entries(page: Path) -> Iterator[Path]:
    """Yield the pages that the tables of contents of a page name, as ``target`` or ``Title <target>``."""
    for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for entry in block.split("\n"):
            if entry and not entry.startswith(":"):
                target = re.sub(r".*<(.*)>", r"\1", entry)
                yield Path(os.path.normpath(page.parent / f"{target}.md"))


def test_every_page_stands_in_a_table_of_contents():
    pages = [page for page in PAGES if DOCS in page.parents]
    named = {entry for page in pages for entry in toctree_entries(page)}
    assert set(pages) - named == {DOCS / "index.md"}
    assert [entry for entry in named if not entry.exists() and GENERATED not in entry.parents] == []


def test_every_shown_result_exists():
    results = ROOT / "benchmarks/results"
    for exhibit in yaml.safe_load((DOCS / "gallery.yaml").read_text(encoding="utf-8")):
        assert (results / f"{exhibit['results']}.json").exists()
        assert all((results / name).exists() for name in exhibit.get("figures", ()))


# --- modules ---


@cache
def names_in(file: Path) -> set[str]:
    """Return what a module defines or imports, found without importing it: some need torch."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@cache
def members() -> dict[str, set[str]]:
    """Return what the classes of the package define."""
    found: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                functions = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                assigned = {ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)}
                found.setdefault(node.name, set()).update(functions, assigned)
    return found


def require_name(path: str) -> None:
    """Fail unless a dotted path leads to a module of the package, or to a name in one."""
    folder, parts = SOURCE, path.split(".")
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    file = folder / "__init__.py"
    if parts and (folder / f"{parts[0]}.py").exists():
        file = folder / f"{parts.pop(0)}.py"
    assert not parts or parts[0] in names_in(file) or parts[0].startswith("__"), path


@each_page
def test_dotted_names_exist(page):
    for span in spans(page):
        for path in re.findall(r"(?<![\w./-])quietspec(?:\.\w+)+", span):
            require_name(path)


@each_page
def test_members_of_classes_exist(page):
    for span in spans(page):
        for owner, member in re.findall(r"(?<![\w.])([A-Z]\w+)\.(\w+)", span):
            assert owner not in members() or member in members()[owner], span


@each_page
def test_python_examples_import_what_exists(page):
    for block in python_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("quietspec"):
                for alias in node.names:
                    require_name(f"{node.module}.{alias.name}")
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "quietspec":
                require_name(f"quietspec.{node.attr}")


def rooms() -> list[str]:
    """Return the modules and folders in the map of docs/design.md."""
    section = DESIGN.read_text(encoding="utf-8").partition("## The rooms")[2].partition("\n## ")[0]
    lines = re.findall(r"^ {4}(\S.*)$", section, re.MULTILINE)
    return [name for line in lines for name in re.split(r" {3,}", line)[0].split()]


@pytest.mark.parametrize("room", rooms())
def test_rooms_exist(room):
    place = SOURCE / "quietspec" / (room if room.endswith(("/", ".py")) else f"{room}.py")
    assert place.is_dir() if room.endswith("/") else place.is_file()


def test_the_map_of_rooms_is_complete():
    tops = [path for path in (SOURCE / "quietspec").iterdir() if not path.name.startswith("__")]
    packages = {path.name for path in tops if path.is_dir()}
    modules = {path.stem for path in tops if path.suffix == ".py"}
    laboratory = {f"lab/{file.parent.name}/" for file in SOURCE.glob("quietspec/lab/*/__init__.py")}
    named = rooms()
    assert packages <= {room.split("/")[0] for room in named}
    assert modules <= set(named)
    assert laboratory <= set(named)
