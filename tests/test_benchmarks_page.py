"""The page of benchmarks says what was measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def maker():
    found = importlib.util.spec_from_file_location("make_benchmarks", DOCS / "make_benchmarks.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_page_of_benchmarks_is_that_of_the_figures():
    """If it is not: python docs/make_benchmarks.py."""
    module, page = maker(), (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert module.filled(page) == page
    rows = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert all(f"| {row['name']} |" in page for row in rows)


def test_a_missed_target_is_shown_on_the_page():
    row = {"name": "x", "ours": 2.0, "peer": 1.0, "ratio": 2.0, "peer_name": "y", "target": 1.0}
    assert "**no** (1)" in maker().table([row | {"met": False}])
    assert "yes (1)" in maker().table([row | {"met": True}])
