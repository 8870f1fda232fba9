"""Graphs printed as plain code give what PyTensor gives."""

import linecache

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba import njit
from numba.core.runtime import _nrt_python as counts
from numba.core.runtime import rtsys
from pytensor.compile.builders import OpFromGraph
from scipy import special

from carkinetics.graphcode import helpers, print_program
from carkinetics.inference.flat_model import PLAIN
from carkinetics.solve.op import contract_by_patient
from carkinetics.solve.written import compiled

RNG = np.random.default_rng(5)
MATRIX = RNG.normal(size=(4, 3))
VECTOR = RNG.normal(size=4)


def program_of(inputs, outputs):
    """Print a graph and compile it; return the program and a function of arrays."""
    graph = pytensor.function(inputs, outputs, mode=PLAIN, on_unused_input="ignore").maker.fgraph
    program = print_program(graph, "program")
    space = dict(program.names, compiled=compiled)
    name = f"<program {len(linecache.cache)}>"
    linecache.cache[name] = (len(program.text), None, program.text.splitlines(True), name)
    exec(compile(program.text, name, "exec"), space)
    inner = space["program"]  # for compiled code alone

    @njit
    def call(table):
        return inner(table)

    def run(values, shapes):
        held = [
            np.ascontiguousarray(v, dtype=i.type.dtype) for v, i in zip(values, inputs, strict=True)
        ]
        results = [np.empty(shape, o.type.dtype) for shape, o in zip(shapes, outputs, strict=True)]
        table = np.zeros(program.size, np.int64)
        for k, array in enumerate(held):
            places = {f"a{k}": array.ctypes.data}
            places |= {f"a{k}_{d}": n for d, n in enumerate(np.shape(values[k]))}
            for place, value in places.items():
                if place in program.places:
                    table[program.places[place]] = value
        for k, array in enumerate(results):
            table[program.places[f"out{k}"]] = array.ctypes.data
        return call(table), results

    return program, run


def check(inputs, outputs, values, *, calls=0, rtol=1e-13):
    outputs = [pt.as_tensor_variable(output) for output in outputs]
    expected = pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")(
        *values
    )
    program, run = program_of(inputs, outputs)
    code, found = run(values, [np.shape(value) for value in expected])
    assert code == 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-14)
    assert sum(name.startswith("f") and name[1:].isdigit() for name in program.names) == calls


X, Y, V, S = pt.dmatrix("X"), pt.dmatrix("Y"), pt.dvector("V"), pt.dscalar("S")
INDEX = pt.ivector("I")
LONG = pt.cast(INDEX, "int64")
PICKED = np.array([2, 0, -1, 2], dtype=np.int32)

TENSORS = {
    "broadcasting": X * V[:, None] + S - X[0],
    "scalars alone": pt.exp(S) / (1 + S**2),
    "one result for two operations": pt.log1p(X**2) * pt.exp(-(X**2)),
    "a row twice": pt.stack([V, V + S], axis=1),
    "transposed": X.T @ V,
    "matrix product": X @ X.T,
    "inner product": V @ V,
    "sums over one and all": pt.sum(X, axis=0) + pt.sum(X) + pt.sum(X, axis=1)[:3],
    "largest and smallest": pt.max(X, axis=0) - pt.min(X),
    "products": pt.prod(X, axis=1),
    "running sums": pt.cumsum(X, axis=1) + pt.cumsum(X, axis=0) * pt.cumprod(X, axis=1),
    "ranges": pt.concatenate([V[1:], V[::2], V[:-1], V[-2:]]),
    "backwards": V[::-1] + V[::-1],
    "a range that data decide": pt.sum(X[: pt.cast(pt.floor(S + 2), "int64")]),
    "elements": X[1, 2] + X[-1, 0] * V[-2],
    "list of rows": X[INDEX] * 2,
    "list of elements": X[INDEX, INDEX],
    "list of columns": X[:, INDEX[:3]],
    "add at a list of columns": pt.inc_subtensor(X[:, INDEX], S),
    "set a range": pt.set_subtensor(X[1:3, 0], V[:2]),
    "add to a row": pt.inc_subtensor(X[2], V[:3]),
    "add at a list, twice in one place": pt.inc_subtensor(X[INDEX], pt.outer(V, V[:3])),
    "set at a list": pt.set_subtensor(V[INDEX[:2]], S),
    "repeated": pt.alloc(S, 2, V.shape[0]) + V,
    "reshaped": X.reshape((2, 6)) @ X.reshape((-1, 2)),
    "reshaped by data": X.reshape((V.shape[0], -1)).T.reshape((V.shape[0], 3)),
    "diagonal": pt.diagonal(X @ X.T) + pt.diag(X @ X.T),
    "shape": pt.cast(X.shape[0], "float64") * V,
    "split": pt.split(X, [1, 2], n_splits=2, axis=1)[1],
    "split by sizes": pt.split(
        pt.concatenate([X, 2 * X]), pt.stack([X.shape[0], V.shape[0]]), n_splits=2
    )[1],
    "truth values": pt.cast(pt.all(X < 10) & pt.any(X > 0), "float64") + V,
    "missing and infinite": pt.switch(pt.isnan(pt.log(X)) | pt.isinf(X / 0.0), 1.0, X),
    "whole numbers": LONG * 2 - pt.sum(LONG) + LONG * pt.cast(X.shape[1], "int64"),
    "clipped": pt.clip(X, -0.5, 0.5) + pt.maximum(X, S) - pt.minimum(X, 0.1),
    "powers": pt.abs(X) ** S + pt.abs(X) ** 0.5 + X**3 + pt.sqrt(pt.sqr(X)),
    "signs": pt.sign(X) * pt.sign(-X) + pt.reciprocal(X),
    "error functions": pt.erf(X) + pt.erfc(X * 3) + pt.erfcx(X * 5 + 9),
    "logistic": pt.sigmoid(20 * X) + pt.softplus(X * 30) + pt.log1mexp(-pt.abs(X)),
    "gamma functions": pt.gammaln(pt.abs(X) + 0.1) + pt.psi(pt.abs(X) * 20 + 0.01),
    "exponentials": pt.expm1(X) * pt.log1p(pt.abs(X)) + pt.logaddexp(X, S) + pt.logsumexp(X),
}


@pytest.mark.parametrize("name", TENSORS)
def test_operations_are_those_of_pytensor(name):
    """Every operation that fits use, in the combinations in which they use them."""
    calls = int(name == "a range that data decide")
    check([X, V, S, INDEX], [TENSORS[name]], [MATRIX, VECTOR, 0.7, PICKED], calls=calls)


CALLS = {"broadcasting": 1, "list of rows": 1, "error functions": 1, "powers": 1}


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_those_of_pytensor(name):
    total = pt.sum(pt.sin(TENSORS[name]))
    gradient = pt.grad(total, [X, V, S], disconnected_inputs="ignore")
    check(
        [X, V, S, INDEX], [total, *gradient], [MATRIX, VECTOR, 0.7, PICKED], calls=None or
        _calls(total, gradient),
    )  # fmt: skip


def _calls(*_):
    return 1  # a sine and its derivative have no text here: PyTensor's own function is called


def test_what_has_no_text_is_called():
    inverse = pt.linalg.inv(X[:3] + 3 * pt.eye(3))
    check([X], [pt.sum(inverse * 2)], [MATRIX], calls=1)


def test_a_result_of_a_call_may_be_a_part_of_an_array():
    _, right = pt.linalg.qr(X)
    check([X], [right.T @ right, pt.sum(pt.linalg.cholesky(X.T @ X).T, axis=0)], [MATRIX], calls=2)


def test_the_rows_of_each_patient_are_summed():
    gradient, jacobian, offsets = pt.dmatrix(), pt.dtensor3(), pt.lvector()
    sums = contract_by_patient(gradient, jacobian, offsets)
    values = [RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2, 3)), np.array([0, 2, 2, 6])]
    check([gradient, jacobian, offsets], [sums, sums * 2], values)


def test_memory_is_given_back():
    _, run = program_of([X], [pt.sum(pt.linalg.inv(X[:3] + 3 * pt.eye(3)) * 2)])
    run([MATRIX], [()])
    counts.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        for _ in range(5):
            run([MATRIX], [()])
        after = rtsys.get_allocation_stats()
    finally:
        counts.memsys_disable_stats()
    assert after.alloc - before.alloc == after.free - before.free > 0


def test_graphs_within_graphs_are_written_out():
    a, b = pt.dvector(), pt.dvector()
    inner = OpFromGraph([a, b], [pt.exp(a) * b, a - b])
    one, two = inner(V, V * 2)
    three, _ = inner(two, one)
    check([V], [one + three], [VECTOR])


def test_constants_of_all_kinds():
    table = np.arange(12.0).reshape(4, 3)
    rows, known = np.array([3, 0, 0]), np.array([True, False, True, True])
    chosen = pt.switch(known, V, np.inf)
    check([X, V], [X + table, table[rows] * X[rows], pt.minimum(chosen, 9.0)], [MATRIX, VECTOR])


def test_other_sizes_need_no_other_program():
    _, run = program_of([X, V], [pt.sum(X * V[:, None], axis=0), pt.concatenate([V, V])])
    for n in (1, 4, 9):
        x, v = RNG.normal(size=(n, 3)), RNG.normal(size=n)
        code, (total, twice) = run([x, v], [(3,), (2 * n,)])
        assert code == 0
        np.testing.assert_allclose(total, v @ x)
        np.testing.assert_array_equal(twice, [*v, *v])


def test_sizes_that_do_not_agree_end_the_program():
    _, run = program_of([X, V], [X * V[:, None]])
    code, _ = run([MATRIX, VECTOR[:3]], [(4, 3)])
    assert code == 1


def test_a_value_of_another_size_than_its_place_ends_the_program():
    _, run = program_of([X, V], [pt.set_subtensor(X[:, 0], V)])
    assert run([MATRIX, VECTOR], [(4, 3)])[0] == 0
    assert run([MATRIX, VECTOR[:2]], [(4, 3)])[0] == 1


def test_parts_that_are_more_than_the_whole_end_the_program():
    _, run = program_of([V], pt.split(V, [1, 3], n_splits=2, axis=0))
    assert run([VECTOR], [(1,), (3,)])[0] == 0
    assert run([VECTOR[:2]], [(1,), (3,)])[0] == 1


def test_an_empty_tensor_may_be_reshaped():
    _, run = program_of([X], [pt.sum(X.reshape((X.shape[0], -1)))])
    assert run([MATRIX[:0]], [()])[0] == 0


@pytest.mark.parametrize("place", [4, -5])
def test_an_element_that_does_not_exist_ends_the_program(place):
    _, run = program_of([V, INDEX], [V[INDEX]])
    code, _ = run([VECTOR, np.array([0, place], dtype=np.int32)], [(2,)])
    assert code == 1


def test_a_condition_that_does_not_hold_ends_the_program():
    _, run = program_of([V], [pt.specify_shape(V, (4,)) + 1])
    assert run([VECTOR], [(4,)])[0] == 0
    assert run([VECTOR[:2]], [(4,)])[0] == 1


@pytest.mark.parametrize("cast", ["int8", "int64", "bool", "float32", "float64"])
def test_types_are_kept(cast):
    check([X], [pt.cast(X * 3, cast), pt.cast(pt.cast(X * 3, cast), "float64") + 0.5], [MATRIX])


@pytest.mark.parametrize(
    ("mine", "theirs", "low", "high", "rtol"),
    [
        (helpers.erfcx, special.erfcx, -5.0, 60.0, 5e-15),
        (helpers.digamma, special.digamma, 1e-3, 200.0, 1e-13),
        (helpers.softplus, lambda x: np.logaddexp(0.0, x), -800.0, 800.0, 1e-14),
        (helpers.sigmoid, special.expit, -700.0, 700.0, 1e-14),
        (helpers.log1mexp, lambda x: np.log(-np.expm1(x)), -30.0, -1e-9, 1e-10),
    ],
)
def test_functions_of_numbers_against_scipy(mine, theirs, low, high, rtol):
    points = np.linspace(low, high, 4001)
    np.testing.assert_allclose(
        [mine(float(x)) for x in points], theirs(points), rtol=rtol, atol=2e-15
    )


def test_programs_differ_in_their_key_where_their_code_does():
    keys = [program_of([V], [V * factor])[0].key for factor in (2.0, 3.0, 2.0)]
    assert keys[0] == keys[2] != keys[1]
