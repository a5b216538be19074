"""The site of docs/ and of the clusters' pages: `make docs` builds it, and whatever Sphinx warns of is an error."""

from typing import Any

project = "stcnas"
author = "The stcnas authors"
project_copyright = "2026, the stcnas authors"
extensions = ["myst_parser"]
# The sources are the repository itself, so that links between its folders are links in the site.
include_patterns = ["docs/**", "sweeps/clusters/*.md"]
exclude_patterns = ["docs/results/**"]  # tables of reports, no pages
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
nitpicky = True

# Anchors as GitHub makes them.
myst_heading_anchors = 3

html_theme = "furo"
html_title = "stcnas"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["root"]
html_copy_source = False
html_show_sphinx = False

NAVIGATION = {
    "Tutorial": ["tutorial"],
    "How to": ["more-seeds", "retrain", "read-results", "imagenet", "recipes", "watching", "extending"],
    "Clusters": ["clusters", *(f"/sweeps/clusters/{page}" for page in ("plain", "slurm", "kuberay", "launcher"))],
    "Reference": ["troubleshooting", "sweep-file", "cli", "schema", "ledger"],
    "Explanation": ["method", "statistics", "reliability", "decisions", "performance", "scale"],
    "Results": ["claims", "experiments", "experiments-plan"],
    "Project": ["CONTRIBUTING", "citing"],
}
"""Every page by its part of the site; one that is in none is an error."""


def setup(app: Any) -> None:
    """Sphinx's hook."""
    app.connect("source-read", _with_navigation)


def _with_navigation(app: Any, page: str, source: list[str]) -> None:
    """The first page has the table of contents, which its readers elsewhere need not see."""
    if page != root_doc:
        return
    for part, pages in NAVIGATION.items():
        options = f":hidden:\n:caption: {part}\n:maxdepth: 1\n"
        source[0] += f"\n```{{toctree}}\n{options}\n" + "\n".join(pages) + "\n```\n"
