"""The joint model as an estimator of a batch."""

from __future__ import annotations

import numpy as np
import pytest

import carkinetics as ck


@pytest.mark.slow
def test_a_joint_estimate_stands_beside_the_classical_one(synthetic, tmp_path):
    model = ck.load_model("stein_2019")
    declared = ck.variants(listed=[{"estimator": "joint"}])
    runs = ck.run_variants(
        model, synthetic, declared, folder=tmp_path, draws=300, tune=500, rerun=False,
        allow_failed=True, progress="none",
    )  # fmt: skip
    table = runs.table.set_index("analysis_id")
    joint = table.loc["estimator=joint"]
    assert joint["how"] == "refit, joint model, NUTS"
    assert joint["estimand"] == table.loc["base", "estimand"]
    assert 0.5 <= joint["p_dir"] <= 1
    assert np.isnan(table.loc["base", "p_dir"])
    assert joint["lo"] < joint["estimate"] < joint["hi"]
