"""Pages made from what the repository holds: model cards, results, the command line, the Python reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generated_pages.api import api_pages
from generated_pages.commands import command_pages
from generated_pages.gallery import gallery_page
from generated_pages.models import model_pages

__all__ = ["setup"]


def write_pages(app: Any, _: Any) -> None:
    """Write all pages into ``_generated``, those that changed only."""
    source = Path(app.srcdir)
    root = source.parent
    pages = {
        "gallery.md": gallery_page(root),
        **model_pages(root / "src" / "quietspec" / "models"),
        **command_pages(),
        **api_pages(),
    }
    folder = source / "_generated"
    for name, text in pages.items():
        _write(folder / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", write_pages)  # before Sphinx looks for pages
    return {"version": "1", "parallel_read_safe": True}
