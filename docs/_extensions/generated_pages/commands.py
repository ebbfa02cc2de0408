"""The command line, from its own help."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from generated_pages.tables import table
from quietspec.cli import app

__all__ = ["command_pages"]

_KINDS = {"str": "text", "int": "integer", "float": "number"}


def command_pages() -> dict[str, str]:
    """Make the pages of the product's commands and of the laboratory's, by file name."""
    root: Any = typer.main.get_command(app)
    commands = dict(_commands(root, "quietspec"))
    laboratory = {name: command for name, command in commands.items() if name.startswith("quietspec lab")}
    product = {name: command for name, command in commands.items() if name not in laboratory}
    return {
        "commands.md": _page("The command line", product),
        "commands_lab.md": _page("The command line of the laboratory", laboratory),
    }


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{name} {word}")


def _page(title: str, commands: dict[str, Any]) -> str:
    return "\n\n".join([f"# {title}", *(_section(name, command) for name, command in commands.items())]) + "\n"


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    words = [f"{one.name.upper()}{'…' if one.nargs == -1 else ''}" for one in arguments]
    words = [word if one.required else f"[{word}]" for word, one in zip(words, arguments, strict=True)]
    words += ["[OPTIONS]"] * bool(options) + ["COMMAND"] * hasattr(command, "commands")
    usage = " ".join([name, *words])
    parts = [f"## {name}", _plain(command.help or ""), f"```text\n{usage}\n```"]
    rows = [[_names(one), _meaning(one), _values(command, one), _default(one)] for one in [*arguments, *options]]
    return "\n\n".join([*parts, *([table(["option", "meaning", "value", "default"], rows)] if rows else [])])


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{one.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))


def _meaning(one: Any) -> str:
    text = _plain(getattr(one, "help", "") or "")
    return f"{text} Required." if one.required else text


def _values(command: Any, one: Any) -> str:
    """What may be given, as the help says it: choices, or the kind of value; nothing for switches."""
    shown = one.get_help_record(command.context_class(command))
    found = re.search(r"[<\[{(](.+)[>\]})]", shown[0]) if shown else None
    if found is None:
        return ""
    words = re.sub(r"^list\[(.+)\]$|(?: range)$", r"\1", found[1]).lower().split("|")
    return ", ".join(f"`{word}`" for word in words) if len(words) > 1 else _KINDS.get(words[0], words[0])


def _default(one: Any) -> str:
    """The default, where it says something."""
    value = one.default
    if value is None or value is False or callable(value) or value in ((), [], ""):
        return ""
    return f"`{one.opts[0]}`" if value is True else f"`{value}`"


def _plain(text: str) -> str:
    """Help without the marks of Rich, on one line, and safe in Markdown."""
    text = re.sub(r"\[/?(?:bold|italic|dim|cyan)\]", "", " ".join(text.split("\f")[0].split()))
    outside = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in outside)
