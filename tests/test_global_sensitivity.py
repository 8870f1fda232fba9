"""Which parameters matter, for whole models."""

from __future__ import annotations

import numpy as np
import pytest

import carkinetics as ck
from carkinetics.errors import DataError
from carkinetics.priors import Prior
from carkinetics.sensitivity.indices import sobol
from carkinetics.sensitivity.inputs import Inputs
from carkinetics.sensitivity.runs_of_model import model_runs

# First-order and total shares for ln AUC0-28 and ln C(28): an independent computation for this
# project with 2^14 base points of the closed form, inputs independent and normal on the log scale.
PUBLISHED = {
    "cmax": (0.61, 0.61, 0.15, 0.15),
    "alpha": (0.37, 0.38, 0.72, 0.77),
    "tmax": (0.01, 0.02, 0.06, 0.08),
    "memory_fraction": (0.00, 0.00, 0.02, 0.05),
    "foldx": (0.00, 0.00, 0.00, 0.00),
    "beta": (0.00, 0.00, 0.00, 0.00),
}
STEIN = {
    "cmax": "lognormal(median=24000, gsd=exp(0.65))",
    "alpha": "lognormal(median=0.16, gsd=exp(0.91))",
    "tmax": "lognormal(median=9.3, gsd=exp(0.38))",
    "memory_fraction": "lognormal(median=0.0079, gsd=exp(0.80))",
    "foldx": "lognormal(median=3900, gsd=exp(1.2))",
    "beta": "lognormal(median=0.0032, gsd=exp(0.86))",
}


def test_g_02_sobol_of_the_stein_model():
    model = ck.load_model("stein_2019")
    runs = model_runs(model, ["auc_0_28", "level_28"])
    inputs = Inputs(tuple(STEIN), tuple(Prior.parse(text) for text in STEIN.values()))

    def function(unit: np.ndarray) -> np.ndarray:
        v = dict(zip(STEIN, inputs.natural(unit).T, strict=True))
        fold = np.maximum(v.pop("foldx"), 1.0 + 1e-6)
        v["doubling_time"] = v["tmax"] * np.log(2) / np.log(fold)
        v["memory_fraction"] = np.minimum(v["memory_fraction"], 1.0)
        return runs(np.column_stack([v[name] for name in runs.parameters]))

    found = sobol(function, len(STEIN), runs.quantities, n=2**12, seed=1)
    assert (found["failed"] == 0).all()
    shares = found.pivot(index="input", columns="output", values=["first", "total"])
    for j, (name, expected) in enumerate(PUBLISHED.items()):
        row = shares.loc[j]
        got = [row["first", "auc_0_28"], row["total", "auc_0_28"],
               row["first", "level_28"], row["total", "level_28"]]  # fmt: skip
        np.testing.assert_allclose(got, expected, atol=0.02, err_msg=name)


def test_methods_agree_on_what_matters_for_the_area():
    model = ck.load_model("stein_2019")
    asked = {"source": model, "quantities": ["auc_0_28"], "over": "population"}
    first = ck.global_sensitivity(**asked, n=512).set_index("parameter")["first"]
    fair = ck.global_sensitivity(**asked, method="shapley", n=2000).set_index("parameter")
    screen = ck.global_sensitivity(**asked, method="morris", n=30).set_index("parameter")["mu_star"]
    assert first.idxmax() == fair["shapley"].idxmax() == "cmax"
    assert fair["shapley"].sum() == pytest.approx(fair["explained"].iloc[0], abs=1e-9)
    assert set(screen.nlargest(2).index) == {"cmax", "alpha"}


def test_what_cannot_be_asked_is_told():
    model = ck.load_model("stein_2019")
    with pytest.raises(DataError, match=r"need\(s\) a limit"):
        ck.global_sensitivity(model, ["persistence"])
    with pytest.raises(DataError, match="no such parameter"):
        ck.global_sensitivity(model, over={"cmx": "normal(mean=1, sd=1)"})
    with pytest.raises(DataError, match="Choose from sobol"):
        ck.global_sensitivity(model, method="fast")
