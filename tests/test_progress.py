"""What a fit says while it runs, and to whom."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from carkinetics.errors import FitError
from carkinetics.inference.progress import Reporter

SETTINGS = SimpleNamespace(chains=2, tune=50, draws=50)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(kind, stream):
    """A whole fit, as far as the reporter sees it."""
    reporter = Reporter(kind, stream)
    reporter.say("priors pass")
    with reporter.step("Compiling"):
        pass
    with reporter.sampling(SETTINGS) as callback:
        if callback is not None:
            for done in (0, 25, 100):
                chain = SimpleNamespace(finished_draws=done, divergences=3 if done else 0)
                callback([chain, chain])
    return reporter


def shown(text):
    """What a terminal shows in the end: a return starts the line over."""
    lines = []
    for line in text.split("\n"):
        cells = ""
        for part in line.split("\r"):
            cells = part + cells[len(part) :]
        lines.append(cells.rstrip())
    return lines


def test_log_writes_whole_lines():
    stream = io.StringIO()
    run("log", stream)
    text = stream.getvalue()
    assert "\r" not in text
    assert text.endswith("\n")
    lines = text.splitlines()
    assert lines[:2] == ["priors pass", "Compiling ..."]
    assert lines[-1].startswith("Sampling [########################] 100%")
    assert lines[-1].endswith("6 divergences")


def test_log_is_not_flooded():
    """Between the first line and the last there is one every ten seconds."""
    stream = io.StringIO()
    reporter = Reporter("log", stream)
    with reporter.sampling(SETTINGS) as callback:
        for _ in range(200):
            callback([SimpleNamespace(finished_draws=1, divergences=0)] * 2)
    assert len(stream.getvalue().splitlines()) <= 2


@pytest.mark.parametrize("kind", ["bar", "notebook"])
def test_a_bar_redraws_one_line_and_leaves_nothing_of_longer_ones(kind):
    stream = Terminal()
    run(kind, stream)
    lines = shown(stream.getvalue())
    assert lines[0] == "priors pass"
    assert lines[1] == "Compiling: 0 s"
    assert lines[2].startswith("Sampling [########################] 100%")
    assert lines[2].endswith("6 divergences")
    assert lines[3:] == [""]
    assert "\r" in stream.getvalue()


def test_a_bar_says_how_long_it_will_take():
    stream = Terminal()
    reporter = Reporter("bar", stream)
    with reporter.sampling(SETTINGS) as callback:
        callback([SimpleNamespace(finished_draws=50, divergences=0)] * 2)
    assert "50%" in stream.getvalue()
    assert "s left" in stream.getvalue()


def test_none_is_silent(capsys):
    stream = io.StringIO()
    run("none", stream)
    assert stream.getvalue() == ""
    assert capsys.readouterr() == ("", "")


def test_auto_draws_a_bar_in_a_terminal_and_lines_elsewhere():
    assert Reporter("auto", Terminal()).kind == "bar"
    assert Reporter("auto", io.StringIO()).kind == "log"


def test_auto_knows_a_notebook(monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert Reporter("auto", io.StringIO()).kind == "notebook"


def test_standard_output_stays_clean(capsys):
    run("log", None)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err


@pytest.mark.parametrize("kind", ["bar", "log"])
def test_an_error_while_sampling_is_not_reported_as_done(kind):
    stream = Terminal()
    reporter = Reporter(kind, stream)

    def interrupted():
        with reporter.sampling(SETTINGS) as callback:
            callback([SimpleNamespace(finished_draws=10, divergences=0)] * 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "100%" not in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_an_unknown_kind_is_refused():
    with pytest.raises(FitError, match="progress='loud': choose from 'auto', 'bar'"):
        Reporter("loud")
