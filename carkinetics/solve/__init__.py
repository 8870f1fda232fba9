"""Solve the kinetic models: generated code, steppers, closed forms, and the PyTensor operation."""
