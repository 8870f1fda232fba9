"""What of the Stan peer can be checked without Stan and without a C++ compiler."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import numpy as np
import pytest
import sympy

from carkinetics.equations import hill, logistic, softplus
from tests.benchmarks import ode_against_stan, stan_program, stan_run


def equations(**changed):
    y, p, t = sympy.symbols("ln_0 rate t")
    parts = {"time": t, "states": (y,), "parameters": (p,), "start": (sympy.log(p),)}
    parts |= {"rates": (-p * y**2,), "levels": (sympy.exp(y),)}
    return SimpleNamespace(**(parts | changed))


def test_equations_are_written_by_the_places_of_states_and_parameters():
    text = stan_program.functions_block(equations())
    assert "vector start(vector p) {\n  return [log(p[1])]';\n}" in text
    assert "return [-p[1]*pow(y[1], 2)]';" in text


def test_safe_functions_become_those_of_stan():
    t, p = sympy.symbols("t rate")
    rate = logistic(t) + softplus(t) + hill(t, p, 2 * p)
    text = stan_program.functions_block(equations(rates=(rate,)))
    for call in ("inv_logit(t)", "log1p_exp(t)", "hill(t, p[1], 2*p[1])"):
        assert call in text


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(stan_program.importlib.util, "find_spec", lambda name: None)
    assert stan_program.missing() == "httpstan is not installed (the extra bench)"
    monkeypatch.setattr(stan_program.importlib.util, "find_spec", lambda name: "there")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert stan_program.missing() == "there is no C++ compiler (no-such-compiler)"


@pytest.mark.parametrize(
    ("level", "slope", "right"), [(0, 0, True), (1, 0, False), (0, 0.1, False)]
)
def test_a_figure_counts_only_where_levels_and_gradient_agree(level, slope, right):
    exact = np.array([[[1.0], [2.0]]])
    task = SimpleNamespace(
        exact=exact, params=np.array([[1.0, 1e6]]), loss=lambda x: float(x.sum())
    )
    ours = np.array([[2.0, 3e-6]])
    found = ode_against_stan.agrees(task, exact + level, ours * (1 + slope), ours)
    assert found is right


def test_the_draws_of_a_chain_are_read_from_four_writers():
    draws = [{"log_rate": 0.5, "divergent__": 0.0}, {"log_rate": 0.75, "divergent__": 1.0}]
    lines = [{"topic": "sample", "values": ["Adaptation terminated"]}]
    lines += [{"topic": "sample", "values": draw} for draw in draws]
    sent = [("initialization", [1.0]), ("logger", ["info:"]), ("diagnostic", {"lp__": 1.0})]
    texts = [[{"topic": topic, "values": values}] for topic, values in sent]
    server, folder = socket.socket(socket.AF_INET), [*texts, lines]
    with server:
        server.bind(("127.0.0.1", 0))
        server.listen(4)
        for text in folder:
            with socket.create_connection(server.getsockname()) as writer:
                writer.sendall("".join(json.dumps(line) + "\n" for line in text).encode())
        assert stan_run.read(stan_run._received(server)) == draws
