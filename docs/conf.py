"""How the pages are built (``make docs``). Warnings are errors; nothing is downloaded but what tutorials fetch."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "quietspec"
author = "the quietspec developers"
copyright = f"2026, {author}"  # noqa: A001  (Sphinx's name)
version = release = version_of("quietspec")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "generated_pages",
]
exclude_patterns = ["_build", "_extensions", "_templates"]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the tutorials: small matrices, which threads only slow down
os.environ["QUIETSPEC_TUTORIALS"] = str(Path(__file__).parent / "tutorials")  # where the data of tutorials lie
templates_path = ["_templates"]

# --- Markdown, and the tutorials, which run as the pages are built ---

myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 4  # links to headings as GitHub makes them
nb_execution_mode = os.environ.get("QUIETSPEC_DOCS_EXECUTE", "force")  # "off" to look at the text alone
nb_execution_in_temp = True
suppress_warnings = ["myst-nb.lexer"] if nb_execution_mode == "off" else []  # without a kernel the language is unknown
nb_execution_timeout = 900  # seconds per cell, on a busy machine
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"

# --- the reference, from docstrings ---

default_role = "py:obj"
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings give types, shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# --- appearance ---

html_theme = "pydata_sphinx_theme"
html_title = f"quietspec {release}"
html_static_path = ["_static"]
html_css_files = ["quietspec.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "quietspec"},
    "navbar_align": "left",
    "header_links_before_dropdown": 9,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"start": [], "is_this_for_my_data": [], "search": []}
