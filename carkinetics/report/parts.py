"""What a page is made of: sections that hold texts, tables, figures and lists."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from carkinetics.errors import DataError

if TYPE_CHECKING:
    from carkinetics.plotting import Picture


@dataclass(frozen=True)
class Heading:
    """A heading inside a section.

    Parameters
    ----------
    text : str
        Its words.
    """

    text: str
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Parameters
    ----------
    text : str
        Its words.
    warning : bool
        Whether to set it apart.
    """

    text: str
    warning: bool = False
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Items:
    """A list of sentences.

    Parameters
    ----------
    items : tuple of str
        The sentences.
    title : str
        What they are about; may be empty.
    """

    items: tuple[str, ...]
    title: str = ""
    kind: str = field(default="items", init=False)


@dataclass(frozen=True)
class Terms:
    """Words and what they mean.

    Parameters
    ----------
    items : tuple of pair of str
        Word and meaning.
    """

    items: tuple[tuple[str, str], ...]
    kind: str = field(default="terms", init=False)


@dataclass(frozen=True)
class Table:
    """A table whose cells are already text.

    Parameters
    ----------
    caption : str
        What it shows, in one sentence.
    columns : tuple of str
        Heads of the columns.
    rows : sequence of sequence of str
        Cells.
    align : str
        One letter per column: ``l`` for words that may wrap, ``w`` for long ones, ``n`` for words
        that may not, ``r`` for numbers.
    notes : tuple of str
        What stands under the table.
    """

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    align: str
    notes: tuple[str, ...] = ()
    kind: str = field(default="table", init=False)

    def without_empty(self) -> Table:
        """Leave out columns in which there is nothing."""
        keep = [i for i in range(len(self.columns)) if any(row[i] for row in self.rows)]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in keep),
            rows=[[row[i] for i in keep] for row in self.rows],
            align="".join(self.align[i] for i in keep),
        )

    def text(self) -> str:
        """Print the table for a terminal."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if side == "r" else cell.ljust(width)
                for cell, width, side in zip(line, widths, self.align, strict=True)
            ).rstrip()
            for line in lines
        )


@dataclass(frozen=True)
class Figure:
    """A picture inside the page.

    Parameters
    ----------
    source : str
        Data URI.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        What to know about it.
    width : float
        Width at which it was drawn [inch].
    """

    source: str
    alt: str
    caption: str
    width: float
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Folded:
    """A long text that opens on demand, and on paper.

    Parameters
    ----------
    title, text : str
        What shows, and what opens.
    """

    title: str
    text: str
    kind: str = field(default="folded", init=False)


Block = Heading | Text | Items | Terms | Table | Figure | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading.

    Parameters
    ----------
    name : str
        Anchor.
    title : str
        Heading.
    blocks : tuple of Block
        What it holds.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]


def embed(picture: Picture, alt: str, caption: str) -> Figure:
    """Put a picture into the page, in whichever format is smaller."""
    forms = {"png": "image/png", "svg": "image/svg+xml"}
    found = {kind: base64.b64encode(picture.image(kind)).decode() for kind in forms}
    kind = min(found, key=lambda name: len(found[name]))
    width = float(picture.figure.get_size_inches()[0])
    return Figure(f"data:{forms[kind]};base64,{found[kind]}", alt, caption, width)


def reason_of(error: DataError) -> str:
    """Say on one line why something could not be made."""
    return " ".join(str(error).split())
