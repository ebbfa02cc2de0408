"""Pages of the Python reference: what each module says it offers."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

__all__ = ["api_pages"]

_PRODUCT = (
    "quietspec",
    "quietspec.errors",
    "quietspec.io",
    "quietspec.denoisers",
    "quietspec.populations",
    "quietspec.lines",
    "quietspec.lines.diagnostics",
    "quietspec.indices",
    "quietspec.binning",
    "quietspec.parameters",
    "quietspec.templates",
    "quietspec.files",
    "quietspec.batch",
    "quietspec.plots",
    "quietspec.view",
    "quietspec.instruments",
    "quietspec.wavelengths",
    "quietspec.extinction",
    "quietspec.resampling",
)
_LABORATORY = tuple(f"quietspec.lab.{room}" for room in ("simulate", "training", "evaluation", "bench", "plots"))


def api_pages() -> dict[str, str]:
    """Make a page for each module, and the contents of the product and of the laboratory, by file name."""
    described: set[int] = set()  # a class stands once, under the shortest of its names
    modules = (*_PRODUCT, *_LABORATORY)
    pages = {f"modules/{name}.rst": _module(import_module(name), described) for name in modules}
    return {
        "api.rst": _contents("Python: the product", _PRODUCT),
        "api_lab.rst": _contents("Python: the laboratory", _LABORATORY),
        **pages,
    }


def _contents(title: str, modules: tuple[str, ...]) -> str:
    lines = [_summary(import_module(name)) for name in modules]
    about = "\n".join(f"* :doc:`modules/{name}`: {line}" for name, line in zip(modules, lines, strict=True))
    entries = "\n".join(f"   {name} <modules/{name}>" for name in modules)
    return f"{_heading(title, '=')}\n\n{about}\n\n.. toctree::\n   :hidden:\n   :maxdepth: 1\n\n{entries}\n"


def _heading(text: str, mark: str) -> str:
    return f"{text}\n{mark * len(text)}"


def _summary(module: ModuleType) -> str:
    return " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())


def _module(module: ModuleType, described: set[int]) -> str:
    offered = {name: getattr(module, name) for name in module.__all__ if not name.startswith("_")}
    documented = [n for n, one in offered.items() if inspect.isclass(one) or inspect.isroutine(one)]
    fresh = [name for name in documented if id(offered[name]) not in described]
    described.update(id(offered[name]) for name in fresh)
    parts = [_heading(module.__name__, "="), _summary(module), f".. currentmodule:: {module.__name__}"]
    if fresh:
        names = "\n".join(f"   {name}" for name in fresh)
        parts.append(f".. autosummary::\n   :toctree: ../api\n   :nosignatures:\n\n{names}")
    values = [name for name in offered if name not in documented]
    if values:
        parts.append(f"Values: {', '.join(f'``{name}``' for name in values)}.")
    return "\n\n".join(parts) + "\n"
