"""The handbook: `make docs` builds it into docs/_build/html, without network."""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ase-mlsample"
author = "The ase-mlsample developers"
copyright = author  # noqa: A001 (Sphinx's name)
release = version = installed_version("ase-mlsample")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "mathml"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

# names are found where a package says that they are, and shown as its own
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_default_options = {"show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "none"  # docstrings tell types, shapes and units
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "ase-mlsample"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "ase-mlsample"},
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "back_to_top_button": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"start": [], "comparison": [], "errors": [], "index": []}


def _without_comments(_app, _docname, source):
    """Comments that tell the tests how to run a block are not for readers."""
    source[0] = re.sub(r"<!-- test: .*?-->\n?", "", source[0], flags=re.DOTALL)


def _with_bars(_app, _kind, _name, _object, _options, lines):
    """|F| in a docstring is an absolute value, not a substitution of reStructuredText."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[number] = "".join(parts)


def _described(_app, _kind, _name, _object, _options, lines):
    """Where "name : description." stands in one line, as in settings, the description is no type."""
    found = []
    for line in lines:
        match = re.fullmatch(r"([*\w]+(?:, [*\w]+)*) : (.+)", line)
        if match and (line.endswith(".") or len(line) > 84):  # a long one goes on in the next line
            found += [match[1], f"    {match[2]}"]
        else:
            found.append(line)
    lines[:] = found


def _plain_factories():
    """Show the functions behind the factories of references, with their signatures."""
    from ase_mlsample import references
    from ase_mlsample.references.factory import ReferenceFactory

    for name in references.__all__:
        if isinstance(factory := getattr(references, name), ReferenceFactory):
            setattr(references, name, factory.__wrapped__)


def setup(app):
    """Connect the above."""
    _plain_factories()
    app.connect("source-read", _without_comments)
    app.connect("autodoc-process-docstring", _described, priority=100)  # numpydoc's is 500
    app.connect("autodoc-process-docstring", _with_bars, priority=900)
