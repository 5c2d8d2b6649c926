"""Sphinx's settings for the documentation site; `make docs` builds it."""

from __future__ import annotations

project = "ntupleml"
author = "The ntupleml developers"
project_copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
#: Blocks of output and of JSON with an ellipsis are not of the language that they are coloured as.
suppress_warnings = ["misc.highlighting_failure"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False

html_theme = "furo"
html_title = "ntupleml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
