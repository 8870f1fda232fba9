"""The documentation builds without a warning and without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.project.pages import ROOT

# Python runs a module of this name at its start.
NO_NETWORK = """
import socket

def refuse(*arguments, **keywords):
    raise AssertionError("the documentation asked for the network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    (folder / "sitecustomize.py").write_text(NO_NETWORK, encoding="utf-8")
    html = folder / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html"]
    command += ["-d", str(folder / "doctrees"), "docs", str(html)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, f"the documentation does not build:\n{done.stdout}"
    return html


def test_the_documentation_builds_without_warnings_or_network(built):
    assert (built / "index.html").is_file()


def test_the_built_pages_load_nothing_from_the_network(built):
    loads = re.compile(r"<(?:script|img|iframe)[^>]+src=\"https?:|<link[^>]+stylesheet[^>]+https?:")
    pages = list(built.rglob("*.html"))
    found = [p.name for p in pages if loads.search(p.read_text(encoding="utf-8"))]
    assert not found
