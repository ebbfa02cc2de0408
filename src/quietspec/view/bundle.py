"""The page's modules as one script, and its styles as one sheet, for pages that need no server."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

__all__ = ["script_of", "static_text", "styles_of"]

_IMPORT = re.compile(r'^import\s+(?:(\w+)|\{([^}]*)\})\s+from\s+"\./([\w/]+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) (\w+)", re.MULTILINE)
_DEFAULT = re.compile(r"^export \{ (\w+) as default \};$", re.MULTILINE)


def static_text(name: str) -> str:
    """Return the text of a file of the page."""
    return Path(str(files("quietspec.view") / "static" / name)).read_text(encoding="utf-8")


def script_of(main: str) -> str:
    """Join a module with all that it imports.

    Parameters
    ----------
    main : str
        Name of the module, without its ending.

    Returns
    -------
    str
        One classic script; each module is a function that returns what it exports.

    Examples
    --------
    >>> text = script_of("spectrum")
    >>> "import " in [line[:7] for line in text.splitlines()], text.count("module_numbers = ")
    (False, 1)
    """
    joined: dict[str, str] = {}
    _join(main, joined)
    return '"use strict";\n' + "".join(joined.values())


def _join(name: str, joined: dict[str, str]) -> None:
    if name in joined:
        return
    text = static_text(f"{name}.js")
    for _, _, other in _IMPORT.findall(text):
        _join(other, joined)
    exported = [f"default: {found}" for found in _DEFAULT.findall(text)] or _EXPORT.findall(text)
    body = _IMPORT.sub(lambda found: _taken(*found.groups()), text)
    body = _DEFAULT.sub("", body)
    body = re.sub(r"^export (?=(?:async )?(?:function|class|const) )", "", body, flags=re.MULTILINE)
    joined[name] = f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();\n"


def _taken(default: str | None, names: str | None, other: str) -> str:
    taken = f"{{ default: {default} }}" if default else f"{{ {' '.join((names or '').split())} }}"
    return f"const {taken} = {_variable(other)};\n"


def _variable(name: str) -> str:
    return "module_" + re.sub(r"\W", "_", name)


def styles_of(*names: str) -> str:
    """Join style sheets."""
    return "\n".join(static_text(name) for name in names)
