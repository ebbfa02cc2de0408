"""What a program depends on: the modules that it imports, directly or not, and digests of their code.

Names are followed to the module that defines them, so that ``from quietspec.denoisers import load_prior`` is a
dependency on that one module and not on all denoisers. Nothing is imported to find out. Comments, docstrings and blank
lines are no part of a digest, and imports for type checkers no dependencies.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from quietspec.errors import QuietspecError
from quietspec.hashing import file_sha256

__all__ = ["Program", "differences", "essence"]

_PACKAGE = "quietspec"
_SOURCE = Path(__file__).parents[3]  # the folder that holds the package
_NO_PART = "quietspec.lab.reproduce"  # what records results has no say in them
_ON_REQUEST = "quietspec.denoisers.spatial"  # acts only where it is asked for: who does imports or names it
_FRAME = "script"  # what the scripts share: what its functions need counts, its own text does not
_DIGITS = 12
#: What says how a model's numbers came about, and does not change what it does.
_PROSE = ("summary", "command", "commit", "date", "seconds", "training_flops", "scores", "then", "labels", "templates")


@dataclass(frozen=True)
class Program:
    """A script or a module of the package whose results are kept.

    Parameters
    ----------
    entry : Path
        The script.
    modules : tuple of str
        Modules that it needs without importing them: those behind a command that it runs, for instance.
    models : tuple of str
        Shipped models that it uses.
    files : tuple of Path
        Other files that it reads.
    """

    entry: Path
    modules: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=())

    @classmethod
    def of_module(cls, name: str) -> Program:
        """Return the program that a module of the package is.

        Parameters
        ----------
        name : str
            Dotted name.

        Returns
        -------
        Program
            Without models.

        Raises
        ------
        QuietspecError
            If there is no such module.

        Examples
        --------
        >>> Program.of_module("quietspec.statistics").imported()
        ('quietspec.arrays',)
        """
        return cls(_file_of(name))

    def imported(self) -> tuple[str, ...]:
        """Return the modules of the package that the program needs, sorted; without itself.

        Returns
        -------
        tuple of str
            Dotted names.

        Examples
        --------
        >>> "quietspec.errors" in Program.of_module("quietspec.hashing").imported()
        False
        """
        found: set[str] = set()
        waiting = [*_imports(self.entry), *((name, "") for name in self.modules)]
        while waiting:
            module = _home(*waiting.pop())
            if module not in found and not module.startswith(_NO_PART):
                found.add(module)
                waiting += [pair for pair in _imports(_file_of(module)) if not _is_on_request(module, pair)]
        return tuple(sorted(found))

    def digests(self) -> dict[str, str]:
        """Return a digest of the code in each room of the package, of the script, and of each model and file.

        Returns
        -------
        dict of str to str
            By the name of the room (``denoisers``, ``lab.simulate``), ``model survey``, or the file's name.

        Examples
        --------
        >>> sorted(Program.of_module("quietspec.statistics").digests())
        ['arrays', 'statistics.py']
        """
        texts: dict[str, list[str]] = {self.entry.name: [essence(self.entry)]}
        for module in self.imported():
            texts.setdefault(_room(module), []).append(f"{module}\n{essence(_file_of(module))}")
        found = {name: _short("\n".join(parts)) for name, parts in texts.items()}
        found |= {f"model {name}": _model_digest(name) for name in self.models}
        return found | {path.name: file_sha256(path)[:_DIGITS] for path in self.files}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what differs between two sets of digests.

    Parameters
    ----------
    before, now : mapping of str to str
        As `Program.digests` returns them.

    Returns
    -------
    list of str
        Names, sorted; those that only one of them has as well.

    Examples
    --------
    >>> differences({"denoisers": "a", "io": "b"}, {"denoisers": "c", "io": "b", "lab.simulate": "d"})
    ['denoisers', 'lab.simulate']
    """
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


@cache
def essence(path: Path) -> str:
    """Return the code of a file without comments, docstrings and blank lines.

    Parameters
    ----------
    path : Path
        Python file.

    Returns
    -------
    str
        Lines, joined.

    Examples
    --------
    >>> from quietspec import errors
    >>> essence(Path(errors.__file__)).splitlines()[0]
    '__all__ = ['
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for first, last in _docstrings(ast.parse(text)):
        lines[first - 1 : last] = [""] * (last - first + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(filter(None, map(str.rstrip, lines)))


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Yield the first and last line of every string that stands alone as the first statement of a body."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                yield first.lineno, first.end_lineno or first.lineno


def _is_on_request(module: str, pair: tuple[str, str]) -> bool:
    """Whether a module only offers what it imports, for those who ask for it."""
    return _home(*pair).startswith(_ON_REQUEST) and not module.startswith((_ON_REQUEST, f"{_PACKAGE}.lab"))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _room(module: str) -> str:
    """Name of the part of the package that a module belongs to."""
    if module.startswith(_ON_REQUEST):
        return _ON_REQUEST.partition(".")[2]
    parts = module.split(".")[1:]
    return ".".join(parts[: 2 if parts[:1] == ["lab"] else 1]) or _PACKAGE


def _model_digest(name: str) -> str:
    """Digest of what a shipped model is, and of what its card makes it do."""
    folder = _SOURCE / _PACKAGE / "models"
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    acting = {key: value for key, value in card.items() if key not in _PROSE}
    return _short(json.dumps(acting, sort_keys=True))


def _file_of(module: str) -> Path:
    place = _SOURCE.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.exists():
            return path
    raise QuietspecError(f"{module}: the package has no such module. Mend the manifest, or the import.")


def _is_module(name: str) -> bool:
    place = _SOURCE.joinpath(*name.split("."))
    return (place / "__init__.py").exists() or place.with_suffix(".py").exists()


@cache
def _home(module: str, name: str) -> str:
    """Name of the module in which a name that another one offers is defined."""
    if name and _is_module(f"{module}.{name}"):
        return f"{module}.{name}"
    path = _file_of(module)
    if name and path.name == "__init__.py":
        for origin, imported in _names(ast.parse(path.read_text(encoding="utf-8")), path, for_types=True):
            if imported == name:
                return _home(origin, name)
    return module


@cache
def _imports(path: Path) -> tuple[tuple[str, str], ...]:
    """Names that a file imports from the package, as (module, name); those of the frame of scripts as well."""
    return tuple(_names(ast.parse(path.read_text(encoding="utf-8")), path, for_types=False))


def _names(node: ast.AST, path: Path, *, for_types: bool) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and not for_types and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.ImportFrom) and child.module == _FRAME:
            yield from _needed(path.with_name(f"{_FRAME}.py"), [alias.name for alias in child.names])
        elif isinstance(child, ast.ImportFrom):
            yield from _inside((child.module or "", alias.name) for alias in child.names)
        elif isinstance(child, ast.Import):
            yield from _inside((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == _PACKAGE:
            yield _PACKAGE, child.attr
        yield from _names(child, path, for_types=for_types)


def _needed(path: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """What some functions of a file need from the package, those that they call included."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    origins = {alias.asname or alias.name: (node.module or "", alias.name) for node in imports for alias in node.names}
    waiting, seen = list(names), set(names)
    while waiting:
        used = {node.id for node in ast.walk(functions.get(waiting.pop(), ast.Pass())) if isinstance(node, ast.Name)}
        waiting += (used & functions.keys()) - seen
        seen |= used
    yield from _inside(origins[name] for name in seen if name in origins)


def _inside(names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return (pair for pair in names if pair[0].split(".")[0] == _PACKAGE)
