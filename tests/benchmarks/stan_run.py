"""The run of a whole fit by Stan's NUTS, for the row of `whole_fit`."""

from __future__ import annotations

import json
import math
import os
import selectors
import socket
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import stan_fit, stan_program
from tests.benchmarks.result import Result

FASTER = 10.0
NAME = "whole fit, NUTS, against Stan [ms of processor per effective draw]"
# Stan's defaults, but for the target of acceptance, which is that of the other peer.
SETTINGS: dict[str, Any] = {
    "init_radius": 0.0, "num_thin": 1, "save_warmup": False, "refresh": 0, "stepsize": 1.0,
    "stepsize_jitter": 0.0, "max_depth": 10, "delta": 0.9, "gamma": 0.05, "kappa": 0.75,
    "t0": 10.0, "init_buffer": 75, "term_buffer": 50, "window": 25,
}  # fmt: skip
# Samples, messages of the sampler, starting points, and diagnostics come over one socket each.
_WRITERS = 4


def row(prepared: Any, ours: Any) -> Result:
    """Measure Stan's run of a fit, and set it beside ours."""
    peer_name = f"Stan NUTS with {stan_fit.SOLVER}"
    if reason := stan_program.missing():
        return Result(
            NAME, ours.cost, None, peer_name, 1 / FASTER, "ratio", f"not measured: {reason}"
        )
    # Stan takes some seventy times as long for a gradient: it gets fewer draws.
    draws = int(os.environ.get("CARKINETICS_BENCH_STAN_DRAWS", "250"))
    peer = _run(prepared, draws)
    faults = {"ours": ours.faults, "the peer is not healthy": peer.faults}
    notes = "; ".join(f"{who}: {what}" for who, what in faults.items() if what)
    return Result(
        NAME, ours.cost, None if notes else peer.cost,
        f"{peer_name}, 4 x ({2 * draws} + {draws})", 1 / FASTER, "ratio", notes,
    )  # fmt: skip


def _run(prepared: Any, draws: int) -> Any:
    from carkinetics.inference.machine_code import log_density
    from carkinetics.inference.sampling import _scattered
    from tests.benchmarks.whole_fit import CHAINS, Run, _judged, _population

    plan, pymc_model = prepared.plan, prepared.pymc_model
    text = stan_fit.program(plan, pymc_model)
    module = stan_program.compiled(text)
    data = stan_fit.data(plan, pymc_model, plan.tolerance)
    start = _scattered(prepared)
    starts = [start(seed) for seed in range(CHAINS)]
    density = partial(log_density, prepared.compiled)
    if fault := compared(module, data, density, starts):
        return Run(math.inf, fault)
    # A process for every chain, as many at a time as there are cores.
    with ProcessPoolExecutor(min(CHAINS, os.cpu_count() or 1), get_context("spawn")) as processes:
        runs = [
            processes.submit(chain, text, data, natural(pymc_model, point), number, draws)
            for number, point in enumerate(starts, 1)
        ]
        chains, seconds = zip(*(run.result() for run in runs), strict=True)
    found = [read(messages) for messages in chains]
    every = np.array([[[d[name] for name in _population(plan)] for d in one] for one in found])
    diverging = sum(int(d["divergent__"]) for one in found for d in one)
    steps = np.mean([d["n_leapfrog__"] for one in found for d in one])
    judged = _judged(every, diverging, sum(seconds))
    print(
        f"Stan: {sum(seconds):.0f} s of processor, {steps:.1f} steps per draw, {judged}",
        file=sys.stderr,
    )
    return judged


def chain(
    text: str, data: dict[str, Any], init: dict[str, Any], number: int, draws: int
) -> tuple[list[bytes], float]:
    """Run one chain in a process of its own; return what came, and its seconds of processor."""
    module = stan_program.compiled(text)
    started = time.process_time()
    received = sample(module, data, init, number, draws, 2 * draws)
    return received, time.process_time() - started


def compared(module: Any, data: dict[str, Any], ours: Any, points: list[np.ndarray]) -> str:
    """Say where Stan's density, up to a constant, or its gradient is not ours; empty if nowhere."""
    constants = []
    for point in points:
        mine, slope = ours(point)
        constants.append(module.log_prob(data, point.tolist(), True) - mine)
        theirs = np.array(module.log_prob_grad(data, point.tolist(), True))
        if not np.allclose(theirs, slope, rtol=1e-2, atol=0.1):
            return f"at a starting point its gradient is off by {np.abs(theirs - slope).max():.3g}"
    if np.ptp(constants) > 0.05:
        return f"at starting points its density is off by {np.ptp(constants):.3g}"
    return ""


def natural(pymc_model: Any, point: np.ndarray) -> dict[str, Any]:
    """Give the parameters of a point of the sampler by name, on the scale that Stan reads."""
    from carkinetics.inference.sampling import coordinate_slots

    first = pymc_model.initial_point()
    back = {"LogTransform": np.exp, "LogOddsTransform": lambda v: 1 / (1 + np.exp(-v))}
    found = {}
    for variable in pymc_model.free_RVs:
        values = point[coordinate_slots(pymc_model, first)[variable.name]]
        transform = type(pymc_model.rvs_to_transforms[variable]).__name__
        shape = np.shape(first[pymc_model.rvs_to_values[variable].name])
        found[variable.name] = back.get(transform, np.asarray)(values).reshape(shape)
    return found


def sample(
    module: Any, data: dict[str, Any], init: dict[str, Any], number: int, draws: int, tune: int
) -> list[bytes]:
    """Run one chain of NUTS with a diagonal mass matrix; return what every writer sent."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "stan.sock"
        server.bind(str(path))
        server.listen(_WRITERS)
        server.settimeout(60.0)  # a run that never began sends nothing
        received: list[bytes] = []
        reader = threading.Thread(target=lambda: received.extend(_received(server)))
        reader.start()
        module.hmc_nuts_diag_e_adapt_wrapper(
            str(path), data, init, 1, number, num_warmup=tune, num_samples=draws, **SETTINGS
        )
        reader.join()
    return received


def _received(server: socket.socket) -> list[bytes]:
    """Read all connections until every one is closed."""
    pieces: list[list[bytes]] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(_WRITERS):
            connection, _address = server.accept()
            pieces.append([])
            selector.register(connection, selectors.EVENT_READ, pieces[-1])
        while selector.get_map():
            for key, _events in selector.select():
                part = key.fileobj.recv(65536)
                key.data.append(part)
                if not part:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
    return [b"".join(parts) for parts in pieces]


def read(received: list[bytes]) -> list[dict[str, float]]:
    """Return the draws among what the writers sent, each by the names of Stan's columns."""
    messages = [json.loads(line) for text in received for line in text.splitlines() if line]
    return [
        message["values"]
        for message in messages
        if message["topic"] == "sample" and isinstance(message["values"], dict)
    ]
