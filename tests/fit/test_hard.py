import itertools

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.certify import certify
from embact.fit.composed import gate_unit
from embact.fit.hard import GATED, STANDARD, hard
from embact.fit.problem import Limits, Problem
from embact.grid import Grid, QuantSpec
from embact.ir import Op

SPANS = [(-8.0, 8.0), (-4.0, 4.0), (-3.7, 6.1), (-1.0, 9.0), (-6.0, 0.5)]
CASES = [(name, (8, bits)) for name in (*STANDARD, *GATED) for bits in (8, 16)]
CASES += [("tanh", (16, 16)), ("sigmoid", (16, 8)), ("silu", (16, 8)), ("hard_swish", (16, 16))]
"""Activations and widths; int16 inputs take longer."""


def errors(problem):
    """Return max_error_lsb of each hard form by its parameter ``standard``."""
    found = {}
    for one in hard(problem):
        proved = certify(problem.activation, problem.spec, one.kernel)
        found.setdefault(one.parameters["standard"], []).append(proved.max_error_lsb)
    return found


def hard_codes(name, number, spec):
    """Return the correctly rounded codes of the standard hard form of an activation."""
    reals = spec.input.real(spec.input.codes())
    if name in GATED:
        return spec.output.quantize(reals * np.clip(reals + 3.0, 0.0, 6.0) / 6.0)
    slope, intercept, low, high = STANDARD[name][number - 1]
    return spec.output.quantize(np.clip(slope * reals + intercept, low, high))


def resolution(name, spec):
    """Return the codes by which half a unit of the gate moves the product: 0 without a gate."""
    if name not in GATED:
        return 0
    shift, _ = gate_unit(spec)
    return np.abs(spec.input.codes() - spec.input.zero_point).max() >> (shift + 1)


@pytest.mark.parametrize(("name", "widths"), CASES, ids=str)
def test_standard_forms_are_the_hard_function_within_a_code_and_the_gates_resolution(
    name, widths, spec_of
):
    act = activation(name)
    for low, high in SPANS[:: 1 if widths[0] == 8 else 5]:
        spec = spec_of(act, low, high, *widths)
        seen = set()
        for one in hard(Problem(act, spec)):
            number = one.parameters["standard"]
            if number:
                off = np.abs(one.kernel.outputs - hard_codes(name, number, spec))
                assert off.max() <= 1 + resolution(name, spec), (low, high)
                seen.add(number)
        assert seen == set(range(1, 1 + len(STANDARD.get(name, (0,)))))


@pytest.mark.parametrize(("name", "widths"), CASES, ids=str)
def test_the_form_of_least_error_is_never_worse_than_a_standard_one(name, widths, spec_of):
    act = activation(name)
    for low, high in SPANS[:: 1 if widths[0] == 8 else 5]:
        found = errors(Problem(act, spec_of(act, low, high, *widths)))
        standard = min(min(found[number]) for number in found if number)
        assert min(found[0]) <= standard + 1e-6, (low, high)


def test_the_form_of_least_error_is_much_better_where_the_standard_one_is_another_function():
    spec = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 256, -128, 8))
    found = errors(Problem(activation("sigmoid"), spec))
    assert min(found[0]) < 0.9 * min(found[1])
    assert min(found[0]) < 0.9 * min(found[2])


@pytest.mark.parametrize("name", ["hard_sigmoid", "hard_sigmoid_02", "hard_swish", "relu", "relu6"])
def test_hard_activations_are_themselves_to_a_code(name, spec_of):
    act = activation(name)
    for low, high in SPANS:
        problem = Problem(act, spec_of(act, low, high))
        best = min(np.abs(one.kernel.outputs - problem.truth.codes).max() for one in hard(problem))
        assert best <= (1 if name == "hard_swish" else 0), (low, high)


def test_the_budget_does_not_change_the_kernels(spec_of):
    for name in ("tanh", "silu"):
        act = activation(name)
        spec = spec_of(act)
        digests = [
            [one.kernel.digest for one in hard(Problem(act, spec, Limits(budget)))]
            for budget in (0, 1, 255)
        ]
        assert digests[0] == digests[1] == digests[2] != []


def test_hard_forms_have_no_tables_and_one_line(spec_of):
    for name, act in CATALOGUE.items():
        found = list(hard(Problem(act, spec_of(act, -4.0, 4.0))))
        assert found, name
        for one in found:
            ops = [node.op for node in one.kernel.nodes]
            assert one.kernel.table_bytes == 0
            assert ops.count(Op.MUL) <= (2 if act.symmetry == "gated" else 1)


def test_the_gate_resolves_every_code_of_int8_outputs(spec_of):
    for name, span, bits in itertools.product(GATED, SPANS, (8, 16)):
        assert resolution(name, spec_of(activation(name), *span, bits, 8)) == 0


def test_a_form_with_another_slope_would_be_noticed(spec_of):
    act = activation("sigmoid")
    spec = spec_of(act)
    one = next(one for one in hard(Problem(act, spec)) if one.parameters["standard"] == 1)
    assert np.abs(one.kernel.outputs - hard_codes("sigmoid", 2, spec)).max() > 1
