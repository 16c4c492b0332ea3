"""Sphinx: `make docs` builds the pages into docs/_build/html, with warnings as errors."""

from typing import Any

import bagged_envs
from bagged_envs.tasks import TASKS

project = "bagged_envs"
author = "The bagged_envs authors"
project_copyright = "The bagged_envs authors"
version = release = bagged_envs.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "code"  # single backticks in docstrings

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]

html_theme = "furo"
html_title = f"bagged_envs {version}"
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"

TASK_CLASSES = {path.replace(":", ".") for task in TASKS.values() for path in (task.factory, task.batch) if path}


def leave_to_its_page(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep the first line of a task's class: its sections are a page of their own, made by generate.py."""
    if name in TASK_CLASSES:
        del lines[1:]


def setup(app: Any) -> None:
    """Look at docstrings before napoleon does."""
    app.connect("autodoc-process-docstring", leave_to_its_page, priority=100)
