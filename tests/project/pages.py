"""The pages of the project, cut into what the tests look at."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def pages() -> list[Path]:
    """Return README, changelog and documentation."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(page for page in found if "_build" not in page.parts),
    ]


def blocks(page: Path, language: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start("text")) + 1, language, match["text"])
        for match in _FENCE.finditer(text)
        if match["language"].strip() == language
    ]


def prose(page: Path) -> str:
    """Return the text of a page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get, here and on a repository's web page."""
    headings = (re.sub(r"[`*]", "", heading).lower() for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def python_of(page: Path) -> list[tuple[Block, ast.Module]]:
    """Parse the Python blocks of a page; line numbers are those of the page."""
    parsed = []
    for block in blocks(page, "python"):
        try:
            tree = ast.parse(block.text)
        except SyntaxError as error:
            raise AssertionError(f"{block.place}: not Python: {error}") from error
        parsed.append((block, ast.increment_lineno(tree, block.line - 1)))
    return parsed
