import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.certify import certify, ideal
from embact.fit.classics import CLASSICS
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import FAMILIES, fit
from embact.grid import Grid, QuantSpec
from embact.ir import Op

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=30)
slow = pytest.mark.slow
SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9


def build(family, act, spec, budget=1):
    """Return a family's certified candidates as (candidate, certificate) pairs."""
    found = FAMILIES[family](Problem(act, spec, Limits(max_error=budget)))
    return [(one, certify(act, spec, one.kernel)) for one in found]


def scales():
    return st.floats(1e-4, 10.0)


# lut


@pytest.mark.parametrize("out_bits", [8, 16])
@pytest.mark.parametrize("name", CATALOGUE)
def test_lut_of_int8_is_correctly_rounded_everywhere(name, out_bits, spec_of):
    act = activation(name)
    spec = spec_of(act, -3.7, 6.1, 8, out_bits)
    (candidate, proved), *_ = build("lut", act, spec, budget=0)
    assert np.array_equal(candidate.kernel.outputs, ideal(act, spec).codes)
    assert (proved.max_error_codes, proved.not_correctly_rounded) == (0, 0)
    assert candidate.parameters == {"entries": 256}


def test_lut_takes_one_entry_per_input():
    act = activation("sigmoid")
    for out_bits, scale, table_bytes in ((8, 1 / 256, 256), (16, 1 / 32768, 512)):
        spec = QuantSpec(Grid(0.05, 0, 8), Grid(scale, 0, out_bits))
        (candidate, _), *_ = build("lut", act, spec)
        assert candidate.kernel.table_bytes == table_bytes


# affine


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("name", "parameters", "lines"),
    [
        ("identity", {}, 1),
        ("relu", {}, 1),
        ("relu6", {}, 1),
        ("clipped_relu", {"max": 2.5}, 1),
        ("leaky_relu", {"alpha": 0.2}, 2),
        ("leaky_relu", {"alpha": -0.5}, 2),
        ("leaky_relu", {"alpha": 0.0}, 1),
    ],
)
def test_affine_is_exact_without_tables_on_one_grid(name, parameters, lines, bits):
    grid = Grid(0.0625, 3, bits)
    act = activation(name, **parameters)
    candidate, proved = build("affine", act, QuantSpec(grid, grid), budget=0)[0]
    assert proved.max_error_codes == 0
    assert candidate.kernel.table_bytes == 0
    assert len(candidate.segments) == candidate.parameters["lines"] == lines


@fixed
@given(scales(), scales(), st.integers(-128, 127), st.integers(-128, 127))
def test_affine_follows_relu_between_any_int8_grids(scale_in, scale_out, zero_in, zero_out):
    spec = QuantSpec(Grid(scale_in, zero_in, 8), Grid(scale_out, zero_out, 8))
    for name in ("relu", "identity", "leaky_relu"):
        found = build("affine", activation(name), spec)
        assert min(proved.max_error_codes for _, proved in found) <= 1
        assert all(candidate.kernel.table_bytes == 0 for candidate, _ in found)


@pytest.mark.parametrize("out_bits", [8, 16])
@pytest.mark.parametrize("name", ["relu6", "leaky_relu", "hard_sigmoid", "hard_sigmoid_02"])
def test_affine_follows_an_int16_input_within_a_code(name, out_bits, spec_of):
    act = activation(name)
    found = build("affine", act, spec_of(act, bits=16, out_bits=out_bits))
    assert min(proved.max_error_codes for _, proved in found) <= 1


def test_affine_takes_mulh_where_16_bit_slopes_are_too_coarse():
    spec = QuantSpec(Grid(0.001, 0, 16), Grid(0.00123, 0, 16))
    candidate, proved = build("affine", activation("identity"), spec, budget=0)[0]
    assert proved.max_error_codes == 0
    assert Op.MULH in {node.op for node in candidate.kernel.nodes}


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu", "silu", "softsign", "sqnl", "elu"])
def test_affine_yields_nothing_for_curves(name, spec_of):
    assert build("affine", activation(name), spec_of(activation(name))) == []


# Every family


@pytest.mark.parametrize("budget", [0, 255])
@pytest.mark.parametrize(
    ("name", "grid_in", "grid_out"),
    [
        pytest.param("relu", Grid(0.1, 32767, 16), Grid(0.1, 0, 8), marks=slow),  # constant
        pytest.param("silu", Grid(0.05, 0, 16), Grid(FINE, 0, 8), marks=slow),  # saturated but at 0
        ("hard_swish", Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
        ("gelu", Grid(0.03, -128, 8), Grid(0.03, -128, 8)),  # zero points at the ends
        ("gelu", Grid(0.03, 127, 8), Grid(0.001, 127, 8)),
        ("elu", Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
        pytest.param("leaky_relu", Grid(0.001, -32768, 16), Grid(0.1, -128, 8), marks=slow),
        ("softsign", Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
        ("swish", Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
    ],
)
def test_degenerate_quantisations_are_fitted_within_budget(name, grid_in, grid_out, budget):
    act, spec = activation(name), QuantSpec(grid_in, grid_out)
    found = [one for family in FAMILIES for one in build(family, act, spec, budget)]
    assert found
    assert min(proved.max_error_codes for _, proved in found) <= budget
    for _, proved in build("pwl", act, spec, budget):
        assert proved.max_error_codes <= budget


def test_budget_of_all_codes_needs_no_more_than_a_constant():
    spec = QuantSpec(Grid(0.05, 0, 8), Grid(1 / 128, 0, 8))
    for candidate, proved in build("pwl", activation("tanh"), spec, budget=255):
        assert [node.op for node in candidate.kernel.nodes] == [Op.CONST]
        assert proved.max_error_codes <= 255


TAKEN = dict.fromkeys(CLASSICS, "sigmoid") | {
    "composed": "hard_swish", "rational": "softsign", "i_gelu": "gelu", "i_exp": "exp"
}  # fmt: skip
"""An activation for the families that do not take leaky_relu."""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_question_has_the_same_answer(family, spec_of):
    act = activation(TAKEN.get(family, "leaky_relu"))
    spec = spec_of(act, -8.0, 0.0 if family == "i_exp" else 8.0)
    digests = [[one.kernel.digest for one, _ in build(family, act, spec)] for _ in range(2)]
    assert digests[0] == digests[1] != []


# Degenerate quantisations, for each family and for the search over all

CONSTANT = [
    ("relu", Grid(0.1, 127, 8), Grid(0.1, 0, 8)),  # no input above 0
    ("sigmoid", Grid(SMALL, 0, 8), Grid(1 / 256, -128, 8)),  # 1/2 everywhere
    ("gelu", Grid(0.05, 0, 8), Grid(COARSE, 5, 8)),  # all less than half a code
    ("elu", Grid(0.1, -128, 8), Grid(FINE, 127, 8)),  # all saturated
]
ONE_CODE = [
    ("relu", Grid(0.1, 126, 8), Grid(0.1, 0, 8)),  # one input above 0
    ("tanh", Grid(COARSE, 0, 8), Grid(1 / 128, 0, 8)),  # -1, 0, 1
    ("silu", Grid(COARSE, 0, 8), Grid(1 / 128, 0, 8)),
    ("tanh", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),  # saturated but at 0
    ("silu", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),
]
DEGENERATE = CONSTANT + ONE_CODE
BUDGETS = (0, 1, 255, 65536)
FIXED = {"hard", "tflm", *CLASSICS}
"""Families whose kernels are what they are, whatever the budget."""
EVERYWHERE = {"affine", "hard", "interp", "lut", "pwl", "quadratic", "shift_pwl"}
"""Families that have a kernel of every degenerate case."""


def is_constant(kernel):
    return [node.op for node in kernel.nodes] == [Op.CONST]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "grid_in", "grid_out"), DEGENERATE)
def test_a_family_has_kernels_within_any_budget_or_none(family, name, grid_in, grid_out):
    for budget in BUDGETS:
        found = build(family, activation(name), QuantSpec(grid_in, grid_out), budget)
        assert found or family not in EVERYWHERE
        if family not in FIXED:
            assert all(proved.max_error_codes <= budget for _, proved in found)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("name", "grid_in", "grid_out"), CONSTANT)
def test_a_constant_output_is_a_constant_whoever_is_asked(family, name, grid_in, grid_out):
    for candidate, proved in build(family, activation(name), QuantSpec(grid_in, grid_out), 0):
        if family not in FIXED or proved.max_error_codes == 0:
            assert is_constant(candidate.kernel)


@pytest.mark.parametrize(
    "objective",
    ["instructions", "bytes", *(pytest.param(one, marks=slow) for one in ("error", "segments"))],
)
@pytest.mark.parametrize(("name", "grid_in", "grid_out"), DEGENERATE)
def test_the_search_has_an_answer_for_any_budget(objective, name, grid_in, grid_out):
    spec, options = QuantSpec(grid_in, grid_out), Options(objective=objective)
    for budget in BUDGETS:
        found = fit(Problem(activation(name), spec, Limits(budget), options))
        assert found.certificate.max_error_codes <= budget
        if objective == "bytes":
            assert found.kernel.table_bytes == 0
        if objective == "error":
            assert found.certificate.max_error_codes == 0
        if objective == "instructions" and (budget >= 255 or spec_is_constant(name, spec)):
            assert is_constant(found.kernel)


def spec_is_constant(name, spec):
    return np.ptp(ideal(activation(name), spec).codes) == 0


def test_the_cases_are_what_they_are_called():
    for name, grid_in, grid_out in DEGENERATE:
        codes = ideal(activation(name), QuantSpec(grid_in, grid_out)).codes
        assert len(np.unique(codes)) <= 3
        assert (np.ptp(codes) == 0) == ((name, grid_in, grid_out) in CONSTANT)


def test_a_degenerate_case_is_no_excuse_for_an_ordinary_one(spec_of):
    act = activation("tanh")
    found = fit(Problem(act, spec_of(act), Limits(0)))
    assert not is_constant(found.kernel)
