"""The page of quantities says what the registries say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def test_page_of_quantities_is_that_of_the_registries():
    """If it is not: python docs/make_quantities.py."""
    found = importlib.util.spec_from_file_location("make_quantities", DOCS / "make_quantities.py")
    maker = importlib.util.module_from_spec(found)
    found.loader.exec_module(maker)
    page = (DOCS / "quantities.md").read_text(encoding="utf-8")
    assert maker.filled(page) == page
    for name, text in maker.tables().items():
        assert text in page, name
