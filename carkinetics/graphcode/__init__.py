"""PyTensor graphs printed as one function of plain loops.

PyTensor makes a numba function of every operation, each with its own types, checks and output
arrays; hundreds of them take numba longer than all the arithmetic of a fit. Here a graph becomes
the text of one function: numbers are names, tensors are places in flat arrays, and an operation is
a loop. What has no text here is called as PyTensor's own numba function.
"""

from carkinetics.graphcode.identity import tell_graph
from carkinetics.graphcode.program import Program, print_program

__all__ = ["Program", "print_program", "tell_graph"]
