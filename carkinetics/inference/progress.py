"""Tell how far a fit is: a bar in a terminal, a bar in a notebook, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from carkinetics.errors import FitError

KINDS = ("auto", "bar", "notebook", "log", "none")
_LOG_SECONDS = 10.0


class Reporter:
    """Says what a fit is doing, and how far the sampler is.

    Parameters
    ----------
    kind : str
        ``"bar"`` redraws one line of a terminal, ``"notebook"`` one line of a cell's output,
        ``"log"`` prints a line every ten seconds, ``"none"`` is silent, and ``"auto"`` chooses.
    stream : file, optional
        Where to write; standard error, so that standard output stays the result.
    """

    def __init__(self, kind: str = "auto", stream: TextIO | None = None) -> None:
        if kind not in KINDS:
            raise FitError(f"progress={kind!r}: choose from {', '.join(map(repr, KINDS))}.")
        self._stream = stream if stream is not None else sys.stderr
        self.kind = _choose(self._stream) if kind == "auto" else kind
        self._lock = threading.Lock()
        self._width = 0

    def say(self, text: str) -> None:
        """Write a line that stays."""
        if self.kind != "none":
            self._write(text, stays=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what is being done, and afterwards how long it took."""
        started = time.monotonic()
        if self.kind in ("bar", "notebook"):
            self._write(f"{text} ...", stays=False)
        elif self.kind == "log":
            self._write(f"{text} ...", stays=True)
        with self._line_ends():
            yield
        if self.kind in ("bar", "notebook"):
            self._write(f"{text}: {time.monotonic() - started:.0f} s", stays=True)

    @contextmanager
    def sampling(self, settings: Any) -> Iterator[Callable[[Any], None] | None]:
        """Give the sampler a callback that reports; write a closing line at the end."""
        if self.kind == "none":
            yield None
            return
        started, last = time.monotonic(), [0.0]
        total = settings.chains * (settings.tune + settings.draws)
        state = {"finished": 0, "divergences": 0}

        def callback(chains: Any) -> None:
            now = time.monotonic()
            state["finished"] = sum(chain.finished_draws for chain in chains)
            state["divergences"] = sum(chain.divergences for chain in chains)
            if self.kind == "log" and now - last[0] < _LOG_SECONDS:
                return
            last[0] = now
            self._write(_line(state, total, now - started), stays=self.kind == "log")

        with self._line_ends():
            yield callback
        state["finished"] = total
        self._write(_line(state, total, time.monotonic() - started), stays=True)

    @contextmanager
    def _line_ends(self) -> Iterator[None]:
        """Keep what an error says off the line of the bar."""
        try:
            yield
        except BaseException:
            if self._width:
                self._width = 0
                print(file=self._stream, flush=True)
            raise

    def _write(self, text: str, stays: bool) -> None:
        with self._lock:
            if self.kind == "log":
                print(text, file=self._stream, flush=True)
                return
            padded = text.ljust(self._width)
            self._width = 0 if stays else len(text)
            print(f"\r{padded}", end="\n" if stays else "", file=self._stream, flush=True)


def _line(state: dict[str, int], total: int, seconds: float) -> str:
    share = state["finished"] / total
    filled = round(24 * share)
    text = f"Sampling [{'#' * filled}{'.' * (24 - filled)}] {share:4.0%}, {seconds:.0f} s"
    if 0.02 < share < 1:
        text += f", about {seconds * (1 - share) / share:.0f} s left"
    return text + f", {state['divergences']} divergences"


def _choose(stream: TextIO) -> str:
    if _in_notebook():
        return "notebook"
    return "bar" if stream.isatty() else "log"


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and running.__class__.__name__ == "ZMQInteractiveShell"
