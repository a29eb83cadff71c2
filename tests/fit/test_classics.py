import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.fit import classics
from embact.fit.classics import CLASSICS, FIDELITY, GELUS, SIGMOIDS, classic_codes, reference
from embact.fit.problem import Limits, Problem
from embact.grid import Grid, QuantSpec
from embact.ir import Op
from embact.run.host import check, compile_header

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)
SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9
WIDTHS = [(8, 8), (8, 16), (16, 8), (16, 16)]
PAIRS = [(name, act) for name in SIGMOIDS for act in ("sigmoid", "tanh")]
PAIRS += [("i_gelu", act) for act in GELUS] + [("i_exp", "exp")]


def problem_of(act, grid_in, grid_out, budget=1):
    return Problem(activation(act), QuantSpec(grid_in, grid_out), Limits(budget))


def grids(act, bits, out_bits, kind):
    """Return grids as models have them: scales that are powers of two, or any."""
    half, out_half = 1 << (bits - 1), 1 << (out_bits - 1)
    zero = half - 1 if act == "exp" else kind * 11
    step = (8.0 if kind == 0 else 5.3 if act == "exp" else 6.7) / half
    low, high = {"tanh": (-1, 1), "sigmoid": (0, 1), "exp": (0, 1)}.get(act, (-8, 8))
    out_zero = -out_half if low == 0 and out_bits == 8 else 0
    unit = high if low < 0 or out_zero == 0 else high / 2
    return Grid(step, zero, bits), Grid(unit / out_half * (1.0 + kind / 50), out_zero, out_bits)


def distances(name, problem, kernel):
    """Return how many codes each output is from the rounded real-valued classic."""
    source, target = problem.spec.input, problem.spec.output
    real = reference(name, problem.activation.name)(source.real(source.codes()))
    return np.abs(kernel.outputs - target.quantize(real))


# The real-valued definitions


@pytest.mark.parametrize(
    ("name", "largest", "mean"),
    [
        ("plan", ".01894", ".00587"),
        ("a_law", ".0490", ".0247"),
        ("alippi", ".01894", ".0087"),
        ("cri1", ".0378", None),
        ("cri2", ".0245", None),
        ("cri3", ".0206", None),
        ("zhang", ".0216", ".0077"),
    ],
)
def test_classic_of_sigmoid_has_the_published_error(name, largest, mean):
    points = np.linspace(-8.0, 8.0, 400_001)
    error = np.abs(reference(name, "sigmoid")(points) - activation("sigmoid")(points))
    assert f"{error.max():.{len(largest) - 1}f}" == f"0{largest}"
    if mean is not None:
        assert f"{error.mean():.{len(mean) - 1}f}" == f"0{mean}"


def test_i_gelu_has_the_published_error():
    points = np.linspace(-4.0, 4.0, 100_001)
    error = np.abs(reference("i_gelu", "gelu")(points) - activation("gelu")(points))
    assert f"{error.max():.4f}" == "0.0182"


def test_i_exp_is_the_published_polynomial_in_each_octave():
    points = np.linspace(-math.log(2.0) + 1e-12, 0.0, 1001)
    polynomial = 0.3585 * (points + 1.353) ** 2 + 0.344
    real = reference("i_exp", "exp")
    for octave in (0, 1, 7):
        shifted = real(points - octave * math.log(2.0))
        assert np.allclose(shifted, polynomial / 2**octave, rtol=1e-9, atol=0)
    assert np.abs(polynomial - np.exp(points)).max() < 2.2e-3


def test_a_wrong_constant_would_miss_the_published_error(monkeypatch):
    monkeypatch.setitem(classics.CRI_DEPTH, 3, 0.2638)
    with pytest.raises(AssertionError):
        test_classic_of_sigmoid_has_the_published_error("cri3", ".0206", None)


def test_tanh_is_two_sigmoids_of_twice_the_input_less_one():
    points = np.linspace(-3.0, 3.0, 601)
    doubled = 2.0 * reference("zhang", "sigmoid")(2.0 * points) - 1.0
    assert np.array_equal(reference("zhang", "tanh")(points), doubled)


# Fidelity


@pytest.mark.parametrize(("bits", "out_bits"), WIDTHS)
@pytest.mark.parametrize(("name", "act"), PAIRS)
def test_kernel_is_within_a_code_of_the_rounded_classic_on_every_input(name, act, bits, out_bits):
    for kind in (0, 1):
        problem = problem_of(act, *grids(act, bits, out_bits, kind))
        (candidate,) = CLASSICS[name](problem)
        assert distances(name, problem, candidate.kernel).max() <= FIDELITY == 1
        assert candidate.kernel.table_bytes == 0
        assert candidate.parameters["fraction_bits"] in (14, 22)


def test_most_inputs_get_the_rounded_classic_itself():
    for name in SIGMOIDS:
        problem = problem_of("sigmoid", *grids("sigmoid", 16, 16, 1))
        (candidate,) = CLASSICS[name](problem)
        assert np.count_nonzero(distances(name, problem, candidate.kernel)) < 1000


def test_a_breakpoint_that_is_one_code_off_is_noticed(monkeypatch):
    problem = problem_of("sigmoid", *grids("sigmoid", 16, 16, 0))
    (_,) = CLASSICS["plan"](problem)
    step = problem.spec.input.scale
    moved = tuple((at + step * (at == 2.375), *line) for at, *line in classics.LINES["plan"])
    monkeypatch.setitem(classics.HALVES, "plan", partial(classics._lines_half, moved))
    assert list(CLASSICS["plan"](problem)) == []


@pytest.mark.parametrize(("bits", "out_bits"), WIDTHS)
@pytest.mark.parametrize("name", [name for name in SIGMOIDS if name != "zhang"])
def test_what_was_published_with_shifts_has_no_product_on_power_of_two_grids(name, bits, out_bits):
    for act in ("sigmoid", "tanh"):
        (candidate,) = CLASSICS[name](problem_of(act, *grids(act, bits, out_bits, 0)))
        assert {Op.MUL, Op.MULH, Op.LOOKUP, Op.DIV}.isdisjoint(
            {node.op for node in candidate.kernel.nodes}
        )


@pytest.mark.parametrize(("bits", "out_bits"), WIDTHS)
def test_second_order_takes_one_product_on_power_of_two_grids(bits, out_bits):
    (candidate,) = CLASSICS["zhang"](problem_of("sigmoid", *grids("sigmoid", bits, out_bits, 0)))
    assert sum(node.op in (Op.MUL, Op.MULH) for node in candidate.kernel.nodes) == 1


def test_compiled_classics_are_their_definition_on_every_input(fit_of):
    kernels = {}
    for name, act in PAIRS:
        for bits, out_bits in ((8, 8), (16, 16)):
            (candidate,) = CLASSICS[name](problem_of(act, *grids(act, bits, out_bits, 1)))
            kernels[f"{name}_{act}_{bits}_{out_bits}"] = candidate.kernel
    header = emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})
    widths = {name: (one.input_bits, one.output_bits) for name, one in kernels.items()}
    compiled = compile_header(header, widths)
    assert {name: check(compiled, name, kernel) for name, kernel in kernels.items()} == (
        dict.fromkeys(kernels)
    )


# Where they apply


@pytest.mark.parametrize("name", CLASSICS)
def test_classic_takes_its_own_activations_only(name):
    served = {act for one, act in PAIRS if one == name}
    for act in ("sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "softsign", "relu", "softplus"):
        found = list(CLASSICS[name](problem_of(act, *grids(act, 8, 8, 1))))
        assert bool(found) == (act in served)


def test_codes_of_a_classic_that_an_activation_lacks_are_refused():
    problem = problem_of("relu", Grid(0.1, 0, 8), Grid(0.1, 0, 8))
    with pytest.raises(EmbactError, match="classic"):
        classic_codes("plan", problem)


@pytest.mark.parametrize(
    ("grid_in", "grid_out", "served"),
    [
        (Grid(0.05, 127, 8), Grid(1 / 256, -128, 8), True),  # no input above 0
        (Grid(0.05, 20, 8), Grid(1 / 256, -128, 8), True),  # all above 0 are saturated
        (Grid(0.05, 20, 8), Grid(1 / 64, -128, 8), False),
        (Grid(0.05, -128, 8), Grid(1 / 64, -128, 8), False),
        (Grid(0.05, -128, 8), Grid(1 / 256, -128, 8), True),  # constant
    ],
)
def test_i_exp_takes_inputs_above_0_only_where_they_are_all_one_code(grid_in, grid_out, served):
    problem = problem_of("exp", grid_in, grid_out)
    found = list(CLASSICS["i_exp"](problem))
    assert bool(found) == served
    for one in found:
        assert np.abs(one.kernel.outputs - problem.truth.codes).max() <= 1


@pytest.mark.parametrize("budget", [0, 255])
@pytest.mark.parametrize(("name", "act"), PAIRS)
def test_budget_changes_nothing_about_a_fixed_kernel(name, act, budget):
    made = grids(act, 8, 8, 1)
    digests = {
        one.kernel.digest
        for limit in (1, budget)
        for one in CLASSICS[name](problem_of(act, *made, limit))
    }
    assert len(digests) == 1


DEGENERATE = [
    (Grid(SMALL, 0, 8), Grid(1 / 256, -128, 8)),  # constant
    (Grid(0.05, 0, 8), Grid(FINE, 0, 8)),  # saturated but at 0
    (Grid(0.05, 0, 16), Grid(FINE, 0, 8)),
    (Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
    (Grid(SMALL, 0, 16), Grid(3e38, 0, 16)),
    (Grid(1.0, 0, 8), Grid(COARSE, 5, 8)),
    (Grid(3e38, 32767, 16), Grid(1 / 32768, -32768, 16)),
    (Grid(0.03, -128, 8), Grid(0.03, -128, 8)),  # zero points at the ends
    (Grid(0.03, 127, 8), Grid(0.001, 127, 8)),
    (Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
    (Grid(0.001, -32768, 16), Grid(0.1, -128, 8)),
    (Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
    (Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
]


@pytest.mark.parametrize(("name", "act"), PAIRS)
def test_degenerate_quantisations_are_served_faithfully_or_not_at_all(name, act):
    for made in DEGENERATE:
        problem = problem_of(act, *made)
        for one in CLASSICS[name](problem):
            assert distances(name, problem, one.kernel).max() <= FIDELITY


@pytest.mark.parametrize(("name", "act"), PAIRS)
def test_outputs_too_fine_for_the_format_get_no_kernel(name, act):
    zero = 127 if act == "exp" else 0
    found = CLASSICS[name](problem_of(act, Grid(0.05, zero, 8), Grid(2.0**-40, 0, 16)))
    assert list(found) == []


@fixed
@given(
    st.sampled_from(PAIRS),
    st.floats(-12.0, 5.0),
    st.floats(-18.0, 2.0),
    st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    st.sampled_from([8, 16]),
)
def test_ordinary_quantisations_are_served_faithfully(pair, scale, out_scale, zeros, bits):
    (name, act), (zero, out_zero) = pair, zeros
    grid_in = Grid(2.0**scale, 127 if act == "exp" else zero, 8)
    problem = problem_of(act, grid_in, Grid(2.0**out_scale, out_zero, bits))
    found = list(CLASSICS[name](problem))
    assert len(found) == 1 or (name == "i_gelu" and scale - out_scale > 12)
    for one in found:
        assert distances(name, problem, one.kernel).max() <= FIDELITY
