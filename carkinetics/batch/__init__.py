"""Batches of sensitivity analyses: plan, runner, store, comparison."""
