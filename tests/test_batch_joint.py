"""The joint model as an estimator of a batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import carkinetics as ck
from carkinetics.batch import joint as batch_joint
from carkinetics.batch.job import Analysis, Job
from carkinetics.batch.joint import rows_of_joint, slope_weights


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


def analysis(joint: ck.JointFit, **choices) -> tuple[Job, Analysis]:
    declared = ck.variants(
        base={"estimator": "joint"}, outcomes=["ttp"], quantities=["cmax"],
        listed=[choices] if choices else [{"prior_scale_slope": 2}],
    )  # fmt: skip
    cohort = joint.kinetics.cohort
    plan = declared.plan(joint.kinetics.kinetic_model, cohort, method="nuts", allow_failed=True)
    (job,) = plan.jobs(set())  # both variants have the same fit
    return job, job.analyses[1 if choices else 0]


def test_a_wider_prior_of_the_slope_weighs_the_draws_of_the_joint_fit(small_joint):
    # Conjugate: where the draws are those of a Normal prior and a Normal likelihood, the weighed
    # ones have the posterior of the other prior, in closed form.
    rng = np.random.default_rng(3)
    size = small_joint.kinetics.data["posterior/slope_ttp"].shape
    precision, mean = 1 / 0.4**2, -0.5  # of the likelihood; the prior is Normal(0, 1)
    center, sd = precision * mean / (1 + precision), (1 + precision) ** -0.5
    drawn = center + sd * stats.norm.ppf((rng.permutation(np.prod(size)) + 0.5) / np.prod(size))
    joint = with_slope(small_joint, drawn.reshape(size))
    weights = slope_weights(joint, 0.5)
    assert weights.usable
    found = float(np.sum(weights.values * drawn))
    assert found == pytest.approx(precision * mean / (4 + precision), abs=0.02)
    assert slope_weights(joint, 1.0).khat == -np.inf

    job, narrow = analysis(joint, prior_scale_slope=0.5)
    slope, level = rows_of_joint(job, narrow, joint)
    assert slope["how"] == level["how"] == "joint model, reweighted"
    assert slope["khat_max"] <= 0.7
    assert np.log2(slope["estimate"]) == pytest.approx(found, abs=0.05)
    assert slope["lo"] < slope["estimate"] < slope["hi"]
    job, base = analysis(joint)
    assert "how" not in rows_of_joint(job, base, joint)[0]


def test_a_prior_too_far_for_weights_is_fitted(small_joint, monkeypatch):
    job, far = analysis(small_joint, prior_scale_slope=0.01)
    assert not slope_weights(small_joint, 0.01).usable
    options = small_joint.extension.options | {"slope_scale": 0.01}
    extension = dataclasses.replace(small_joint.extension, options=options)
    asked = []

    def made(job, analysis, cohort, scale):
        asked.append(scale)
        return dataclasses.replace(small_joint, extension=extension)

    monkeypatch.setattr(batch_joint, "_made", made)
    rows = rows_of_joint(job, far, small_joint)
    assert asked == [0.01]
    assert all("how" not in row for row in rows)


def with_slope(joint: ck.JointFit, values: np.ndarray) -> ck.JointFit:
    """Put other draws of the slope of the time to progression, and none of the other slopes."""
    outcomes = tuple(o for o in joint.extension.outcomes if o.name == "ttp")
    data = joint.kinetics.data.copy()
    posterior = data["posterior"].to_dataset()
    data["posterior"] = xr.DataTree(posterior.assign(slope_ttp=(("chain", "draw"), values)))
    return dataclasses.replace(
        joint,
        kinetics=dataclasses.replace(joint.kinetics, data=data),
        extension=dataclasses.replace(joint.extension, outcomes=outcomes),
    )


def test_a_prior_of_the_slope_needs_the_joint_model(synthetic):
    model = ck.load_model("stein_2019")
    declared = ck.variants(prior_scale_slope=[2])
    plan = declared.plan(model, synthetic, method="laplace")
    assert "choose estimator 'joint'" in plan.refused["prior_scale_slope=2"]
