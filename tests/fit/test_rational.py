import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embact import ir
from embact.activations import activation
from embact.certify import certify
from embact.emit.header import emit_header
from embact.fit import rational as module
from embact.fit.line import Intervals
from embact.fit.problem import Limits, Options, Problem
from embact.fit.rational import rational
from embact.grid import Grid, QuantSpec
from embact.ir import INT32_MAX, Op
from embact.kernel import Kernel
from embact.run.host import check, compile_header

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)
SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9
SOFTSIGN = activation("softsign")
GRIDS = {
    "int8-int8": (Grid(1 / 16, 0, 8), Grid(1 / 128, 0, 8)),
    "int8-int8 any": (Grid(0.0483, 7, 8), Grid(0.0071, -5, 8)),
    "int8-int16": (Grid(0.0483, -100, 8), Grid(1 / 32768, 0, 16)),
    "int16-int8": (Grid(8 / 32767, 0, 16), Grid(1 / 128, 0, 8)),
    "int16-int16": (Grid(8 / 32767, 0, 16), Grid(1 / 32768, 0, 16)),
    "int16-int16 any": (Grid(0.00137, 100, 16), Grid(1 / 30000, 200, 16)),
    "int16-int16 narrow": (Grid(1 / 32768, 0, 16), Grid(0.5 / 32767, 0, 16)),
}


def found(act, grid_in, grid_out, budget=1, **options):
    problem = Problem(act, QuantSpec(grid_in, grid_out), Limits(budget), Options(**options))
    return [(one, certify(act, problem.spec, one.kernel)) for one in rational(problem)]


@pytest.mark.parametrize("name", GRIDS)
def test_softsign_is_one_division_without_tables_within_a_code(name):
    pairs = found(SOFTSIGN, *GRIDS[name])
    assert pairs
    for candidate, proved in pairs:
        assert proved.max_error_codes <= 1
        assert candidate.kernel.table_bytes == 0
        assert [node.op for node in candidate.kernel.nodes].count(Op.DIV) == 1


@pytest.mark.parametrize("name", ["int8-int8", "int8-int8 any", "int16-int8"])
def test_softsign_with_int8_outputs_is_exact(name):
    (candidate, proved), *_ = found(SOFTSIGN, *GRIDS[name], budget=0)
    assert proved.max_error_codes == proved.not_correctly_rounded == 0
    assert candidate.parameters["c"] > 0


def test_softsign_is_found_as_its_own_formula():
    (candidate, _), *_ = found(SOFTSIGN, *GRIDS["int8-int8"], budget=0)
    a, b, c, d = (candidate.parameters[name] for name in "abcd")
    assert (c, d) == (2, 32)  # 1 + u/16, and c = 2 leaves room for the half of rounding
    u = np.arange(128)
    assert np.array_equal((a * u + b) // (c * u + d), (256 * u + (u + 16)) // (2 * u + 32))


def test_exact_kernel_comes_first_and_a_cheaper_one_in_budget_follows():
    (_, first), (_, second) = found(SOFTSIGN, *GRIDS["int8-int8"])
    assert (first.max_error_codes, second.max_error_codes) == (0, 1)


def test_a_slightly_changed_numerator_leaves_the_budget():
    ((candidate, _),) = found(SOFTSIGN, *GRIDS["int16-int16"])
    a, b, c, d = (candidate.parameters[name] for name in "abcd")
    spec = QuantSpec(*GRIDS["int16-int16"])

    def error(slope):
        u = ir.named(ir.Node(Op.MAX, (ir.x(), ir.sub(ir.const(0), ir.x()))), "u")
        above = ir.add(ir.mul(u, ir.const(slope)), ir.const(b))
        q = ir.div(above, ir.add(ir.mul(u, ir.const(c)), ir.const(d)))
        y = ir.select_less(ir.x(), ir.const(0), ir.sub(ir.const(0), q), q)
        return certify(SOFTSIGN, spec, Kernel(ir.saturate(y, 16), 16, 16)).max_error_codes

    assert error(a) == 1
    assert error(a - 4) > 1


def test_tanh_is_taken_where_the_budget_allows_it_only():
    grids = Grid(1 / 16, 0, 8), Grid(1 / 128, 0, 8)
    assert found(activation("tanh"), *grids, budget=1) == []
    ((_, proved),) = found(activation("tanh"), *grids, budget=8)
    assert proved.max_error_codes <= 8


def test_sigmoid_is_taken_where_the_budget_allows_it():
    grids = Grid(1 / 16, 0, 8), Grid(1 / 256, -128, 8)
    ((_, proved),) = found(activation("sigmoid"), *grids, budget=8)
    assert proved.max_error_codes <= 8


def test_nothing_is_yielded_without_folding():
    assert found(SOFTSIGN, *GRIDS["int8-int8"], fold=False) == []
    assert found(SOFTSIGN, *GRIDS["int8-int8"], fold=True) != []


@pytest.mark.parametrize("name", ["gelu", "silu", "relu", "elu", "relu6"])
def test_nothing_is_yielded_without_a_point_symmetry(name):
    assert found(activation(name), *GRIDS["int8-int8"], budget=255) == []


def test_compiled_quotients_are_their_definition_on_every_input(fit_of):
    kernels = {
        f"f{number}_{i}": candidate.kernel
        for number, grids in enumerate(GRIDS.values())
        for i, (candidate, _) in enumerate(found(SOFTSIGN, *grids))
    }
    header = emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})
    widths = {name: (one.input_bits, one.output_bits) for name, one in kernels.items()}
    compiled = compile_header(header, widths)
    assert [check(compiled, name, kernel) for name, kernel in kernels.items()] == (
        [None] * len(kernels)
    )


# The exact test of one denominator


@fixed
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=2, max_size=6),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(5, 60),
)
def test_numerator_is_found_iff_one_exists(ends, c, d, limit):
    low = np.array([one for one, _ in ends], dtype=np.int64)
    high = low + np.array([more for _, more in ends], dtype=np.int64)
    u = np.arange(len(ends), dtype=np.int64)
    best = module._line(Intervals(u, low, high), c, d, limit)

    def serves(a, b):
        values = [(a * int(i) + b) for i in u]
        return all(0 <= v <= limit for v in values) and all(
            lo <= v // (c * int(i) + d) <= hi
            for i, v, lo, hi in zip(u, values, low, high, strict=True)
        )

    possible = any(serves(a, b) for a in range(limit + 1) for b in range(limit + 1))
    assert (best.slack >= 0) == possible
    if possible:
        assert serves(best.a, best.b)


@fixed
@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 300), st.integers(1, 3))
def test_a_quotient_that_exists_is_found_again_with_some_room(a, d, b, room):
    u = np.arange(129, dtype=np.int64)
    values = (a * u + b) // (u + d)
    assume(values[-1] >= values[0])  # slopes below 0 are not searched
    half = Intervals(u, np.maximum(values - room, 0), values + room)
    best = module._search(half)
    assert best is not None
    again = (best.a * u + best.b) // (best.c * u + best.d)
    assert np.abs(again - values).max() <= room


@pytest.mark.parametrize("name", GRIDS)
def test_every_value_of_the_quotient_fits_int32(name):
    for candidate, _ in found(SOFTSIGN, *GRIDS[name]):
        a, b, c, d = (candidate.parameters[name] for name in "abcd")
        reach = max(abs(code - GRIDS[name][0].zero_point) for code in (-32768, 32767))
        reach = min(reach, 255) if GRIDS[name][0].bits == 8 else reach
        assert min(a, b) >= 0
        assert min(c, d) >= 1
        assert max(a * reach + b, c * reach + d) <= INT32_MAX


# Every question has an answer


@pytest.mark.parametrize("budget", [0, 1, 255])
@pytest.mark.parametrize(
    ("name", "grid_in", "grid_out"),
    [
        ("sigmoid", Grid(SMALL, 0, 8), Grid(1 / 256, -128, 8)),
        ("identity", Grid(1.0, 0, 8), Grid(COARSE, 5, 8)),
        ("tanh", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),
        ("softsign", Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
        ("softsign", Grid(SMALL, 0, 8), Grid(3e38, -128, 16)),
        ("softsign", Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
        ("softsign", Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
        ("softsign", Grid(0.001, -32768, 16), Grid(0.1, -128, 8)),
        ("softsign", Grid(0.05, 0, 16), Grid(FINE, 0, 8)),
        ("sigmoid", Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
    ],
)
def test_degenerate_quantisations_are_fitted_in_budget_or_not_at_all(
    name, grid_in, grid_out, budget
):
    for _, proved in found(activation(name), grid_in, grid_out, budget):
        assert proved.max_error_codes <= budget


@fixed
@given(
    st.sampled_from(["softsign", "tanh", "sigmoid", "isru", "identity"]),
    st.floats(-126.0, 127.0) | st.floats(-10.0, 3.0),
    st.floats(-126.0, 127.0) | st.floats(-16.0, 0.0),
    st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    st.sampled_from([0, 1, 20]),
)
def test_any_quantisation_is_fitted_in_budget_or_not_at_all(name, scale, out_scale, zeros, budget):
    grids = Grid(2.0**scale, zeros[0], 8), Grid(2.0**out_scale, zeros[1], 8)
    for _, proved in found(activation(name), *grids, budget=budget):
        assert proved.max_error_codes <= budget


def test_exact_budget_is_tried_once():
    one = Problem(SOFTSIGN, QuantSpec(*GRIDS["int8-int8"]), Limits(0))
    assert len(list(rational(one))) == 1
    assert len(list(rational(dataclasses.replace(one, limits=Limits(1))))) == 2
