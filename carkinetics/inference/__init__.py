"""Hierarchical Bayesian fits: build the PyMC model, sample it, check it, keep it."""

from carkinetics.solve.collection import without_collection

with without_collection():
    # Before all else: it looks for packages of which some are not there, and the more modules have
    # been imported by then, the longer that takes (a second behind PyMC).
    import arviz_base  # noqa: F401

    from carkinetics.inference.build import build_model
    from carkinetics.inference.covariates import Covariate
    from carkinetics.inference.fit import fit
    from carkinetics.inference.result import Fit
    from carkinetics.inference.storage import load_fit

__all__ = ["Covariate", "Fit", "build_model", "fit", "load_fit"]
