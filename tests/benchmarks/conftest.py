"""Keeps the benchmarks themselves out of the tests; their small mode is tested."""

from pathlib import Path

collect_ignore = [
    path.name for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")
]
