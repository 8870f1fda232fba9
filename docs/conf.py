"""Settings of the documentation; it builds without a network."""

import carkinetics

project = "carkinetics"
author = "the carkinetics authors"
version = release = carkinetics.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings name types in words
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"carkinetics {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
