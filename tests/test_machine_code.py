"""Machine code of densities: the right numbers, exchangeable data, kept between processes."""

import os
import subprocess
import sys
import time

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from carkinetics.inference.flat_model import FlatModel
from carkinetics.inference.machine_code import compile_model, kept_values, log_density
from carkinetics.solve.kept import load_module

SAMPLES = np.array([0.3, -1.2, 2.5])
PROGRAM = """
import os
import sys
import time
import numpy as np
from tests.test_machine_code import compiled, expected
from carkinetics.inference.flat_model import FlatModel
from carkinetics.inference.machine_code import log_density
made = compiled()
value, gradient = log_density(made, np.array([0.4, -0.2]))
assert np.isclose(value, expected(0.4, -0.2), rtol=1e-8)
print(made.compiled_logp_func.cache_hits, made.compiled_expand_func.cache_hits)
time.sleep(float(os.environ.get("LINGER", "0")))
"""


def compiled(samples=SAMPLES, prior_sd=2.0):
    with pm.Model() as model:
        mean = pm.Normal("mean", 0.0, prior_sd)
        sd = pm.HalfNormal("sd", 1.0)
        pm.Potential("seen", pm.logp(pm.Normal.dist(mean, sd), pm.Data("samples", samples)))
        pm.Potential("known", pm.logp(pm.Normal.dist(mean, sd), pm.Data("one", 0.7)))
    return compile_model(model, ["mean", "sd"])


def expected(mean, log_sd, samples=SAMPLES):
    sd = np.exp(log_sd)
    return (
        stats.norm.logpdf(mean, 0, 2)
        + stats.halfnorm.logpdf(sd)
        + log_sd
        + stats.norm.logpdf([*samples, 0.7], mean, sd).sum()
    )


@pytest.fixture(scope="module")
def made():
    return compiled()


def test_the_density_and_its_gradient_are_those_of_the_model(made):
    point, step = np.array([0.4, -0.2]), 1e-6
    value, gradient = log_density(made, point)
    # PyMC writes its constants with ten digits.
    np.testing.assert_allclose(value, expected(*point), rtol=1e-8)
    for i, moved in enumerate(np.eye(2) * step):
        slope = (expected(*(point + moved)) - expected(*(point - moved))) / (2 * step)
        np.testing.assert_allclose(gradient[i], slope, rtol=1e-7)


def test_values_are_kept_on_the_samplers_scale_and_on_their_own(made):
    found = kept_values(made, np.array([0.4, -0.2]))
    np.testing.assert_allclose(found, [0.4, -0.2, np.exp(-0.2)], rtol=1e-14)


def test_data_are_exchanged_without_compiling(made):
    """Other numbers, and more of them; the first model keeps its own."""
    other = np.array([1.0, 2.0, 3.0, 4.0])
    point = np.array([0.4, -0.2])
    changed = made.with_data(samples=other)
    np.testing.assert_allclose(log_density(changed, point)[0], expected(*point, other))
    np.testing.assert_allclose(log_density(made, point)[0], expected(*point))


def test_a_point_of_the_wrong_size_is_refused(made):
    with pytest.raises(ValueError, match="3 coordinates; it needs 2"):
        log_density(made, np.zeros(3))


def test_a_density_that_is_not_finite_says_so(made):
    """An SD that overflows: no exception, and nothing that looks like a number."""
    value, _ = log_density(made, np.array([0.0, 1e4]))
    assert not np.isfinite(value)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CARKINETICS_CACHE", str(tmp_path))
    load_module.cache_clear()
    return tmp_path


def test_a_model_that_was_compiled_before_is_not_differentiated_again(own_cache, monkeypatch):
    """Its record says which machine code belongs to it; its data may be others."""
    compiled()
    monkeypatch.setattr(FlatModel, "density", None)
    other, point = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.4, -0.2])
    found = compiled(other)
    np.testing.assert_allclose(log_density(found, point)[0], expected(*point, other))
    np.testing.assert_allclose(kept_values(found, point), [0.4, -0.2, np.exp(-0.2)])


def test_another_model_is_not_taken_for_one_that_was_compiled_before(own_cache):
    compiled()
    before = set(own_cache.glob("*record*"))
    found = compiled(prior_sd=3.0)
    change = stats.norm.logpdf(0.4, 0, 3) - stats.norm.logpdf(0.4, 0, 2)
    np.testing.assert_allclose(
        log_density(found, np.array([0.4, -0.2]))[0], expected(0.4, -0.2) + change
    )
    assert len(set(own_cache.glob("*record*")) - before) == 1


@pytest.mark.parametrize("lost", ["*density*.py", "**/*.nb*", "*record*"])
def test_what_is_lost_of_the_cache_is_made_again(own_cache, lost):
    compiled()
    load_module.cache_clear()
    gone = list(own_cache.glob(lost))
    assert gone
    for path in gone:
        path.unlink()
    point = np.array([0.4, -0.2])
    np.testing.assert_allclose(log_density(compiled(), point)[0], expected(*point))
    assert list(own_cache.glob(lost))


def started(cache, linger=0):
    """Start a process that compiles; it may wait at its end, which comes soon after its work."""
    own = {"CARKINETICS_CACHE": str(cache), "PYTHONPATH": os.getcwd(), "LINGER": str(linger)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hits(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out.split()


@pytest.mark.slow
def test_two_processes_may_compile_at_once_and_a_third_reads_what_they_left(tmp_path):
    for process in [started(tmp_path) for _ in range(2)]:
        assert len(hits(process)) == 2
    assert hits(started(tmp_path)) == ["1", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("left", ["source", "machine code of the density"])
def test_a_process_that_is_killed_leaves_a_usable_cache(tmp_path, left):
    """Killed as soon as the source is written, or the first of two pieces of machine code."""
    process = started(tmp_path, linger=60)
    pattern = "*.py" if left == "source" else "**/*.nbi"
    deadline = time.monotonic() + 600
    while not list(tmp_path.glob(pattern)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode != 0
    assert len(hits(started(tmp_path))) == 2
    assert hits(started(tmp_path)) == ["1", "1"]
