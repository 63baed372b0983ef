"""Configuration of the documentation site (Sphinx with MyST Markdown)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]

from mlproject import __version__  # noqa: E402 (found by the line above)

project = "mlproject"
author = "the mlproject authors"
project_copyright = author
release = version = __version__

ROOT_PAGES = {
    "project/architecture": "ARCHITECTURE.md",
    "project/experiments": "EXPERIMENTS.md",
    "project/changelog": "CHANGELOG.md",
    "project/contributing": "CONTRIBUTING.md",
    "glossary": "src/mlproject/report/glossary.md",
}
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "mathml"]
exclude_patterns = ["_build", "_ext"]
source_suffix = {".md": "markdown"}
root_doc = "index"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3
myst_update_mathjax = False
suppress_warnings = ["myst.header"]

autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("ArrayLike", "Array", "Floats", "Tensor")}
autodoc_member_order = "bysource"
autosummary_generate = False
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = f"mlproject {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_sidebars = {page: [] for page in ("index", "getting-started", "method", "glossary")}
html_theme_options = {
    "show_toc_level": 2,
    "show_prev_next": True,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 6,
    "pygments_light_style": "tango",
}


def adapt_links(app: Any, page: str, content: list[str]) -> None:
    """Take a page of ``ROOT_PAGES`` from the file of the repository that it names, and adapt its links."""
    if page in ROOT_PAGES:
        path = HERE.parent / ROOT_PAGES[page]
        app.env.note_dependency(str(path))
        text = path.read_text("utf-8").replace("](docs/", "](../")
        for target, name in ROOT_PAGES.items():
            text = text.replace(f"]({name})", f"](/{target}.md)")
        content[0] = text


def setup(app: Any) -> None:
    """Connect the handler above."""
    app.connect("source-read", adapt_links)
