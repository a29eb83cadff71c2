import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.fit.composed import GATE_BITS, composed, gate_unit, gate_views
from embact.fit.line import FREE
from embact.fit.problem import Limits, Options, Problem
from embact.fit.pwl import pwl
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.ir import Op, Table, const, lookup, sub
from embact.kernel import Kernel

GATED = ("hard_swish", "silu", "swish", "gelu", "gelu_tanh", "gelu_sigmoid")
ODD = ("tanh", "softsign", "sqnl", "isru")


def quantisation(act, low, high, bits=8, out_bits=8):
    grid_in = grid_of_range(low, high, bits)
    values = act(grid_in.real(grid_in.codes()))
    return QuantSpec(grid_in, grid_of_range(float(values.min()), float(values.max()), out_bits))


def problem_of(name, low=-6.0, high=6.0, budget=1, **options):
    act = activation(name)
    return Problem(act, quantisation(act, low, high), Limits(budget), Options(**options))


def kernel_of(problem, view, gate):
    """Return the kernel whose gate is a table over the view's variable."""
    spec, first = problem.spec, int(view.bounds.x[0])
    index = sub(view.magnitude, const(first))
    node = lookup(Table("gate", tuple(gate.tolist())), index)
    return Kernel(view.result(node), spec.input.bits, spec.output.bits)


@pytest.mark.parametrize("name", [*GATED, *ODD])
@pytest.mark.parametrize("low", [-6.0, -2.0, -0.1])
def test_any_gate_inside_the_bounds_keeps_the_product_within_the_budget(name, low):
    rng = np.random.default_rng(7)
    for budget in (0, 1, 5):
        problem = problem_of(name, low, 6.0, budget)
        for view in gate_views(problem):
            ends = [
                np.clip(end, -(1 << 20), 1 << 20) for end in (view.bounds.low, view.bounds.high)
            ]
            mixed = np.where(rng.integers(0, 2, ends[0].size), *ends)
            for gate in (*ends, mixed, rng.integers(*ends, endpoint=True)):
                outputs = kernel_of(problem, view, gate).outputs
                assert np.abs(outputs - problem.truth.codes).max() <= budget


@pytest.mark.parametrize("name", ["silu", "tanh"])
def test_a_gate_outside_the_bounds_leaves_the_budget(name):
    problem = problem_of(name)
    seen = 0
    for view in gate_views(problem):
        middle = np.clip((view.bounds.low + view.bounds.high) // 2, -(1 << 20), 1 << 20)
        for place in range(0, middle.size, 5):
            for end, step in ((view.bounds.low, -1), (view.bounds.high, 1)):
                if abs(int(end[place])) < 1 << 20:
                    gate, seen = middle.copy(), seen + 1
                    gate[place] = end[place] + step
                    off = np.abs(kernel_of(problem, view, gate).outputs - problem.truth.codes)
                    assert off.max() > 1
    assert seen > 20


@pytest.mark.parametrize("name", [*GATED, *ODD])
@pytest.mark.parametrize("budget", [0, 1, 4])
def test_the_product_is_within_the_budget_and_is_a_product(name, budget):
    problem = problem_of(name, budget=budget)
    found = list(composed(problem))
    assert found or budget == 0
    for one in found:
        assert np.abs(one.kernel.outputs - problem.truth.codes).max() <= budget
        assert one.segments == ()  # they are the gate's
        assert Op.MUL in {node.op for node in one.kernel.nodes}


def test_only_odd_and_gated_activations_are_composed():
    for name, act in CATALOGUE.items():
        found = list(composed(problem_of(name)))
        assert bool(found) <= (act.symmetry in ("odd", "gated")), name
    assert list(composed(problem_of("softplus"))) == []  # symmetric as a gated one, but f(0) > 0


def test_a_gate_takes_fewer_segments_than_the_activation():
    for name, end in (("gelu", 4.0), ("silu", 8.0)):
        problem = problem_of(name, -end, end)
        gates = min(one.parameters["segments"] for one in composed(problem))
        lines = min(one.parameters["segments"] for one in pwl(problem))
        assert gates <= lines, name
    # without folding either
    problem = problem_of("gelu", -4.0, 4.0, 0, fold=False, slope_bits=16)
    gates = [one.parameters["segments"] for one in composed(problem)]
    lines = [one.parameters["segments"] for one in pwl(problem)]
    assert min(gates) < min(lines)


def test_the_gates_unit_fits_int32_and_its_bits():
    for scale_in in (2.0**-126, 1e-6, 0.05, 3.0, 2.0**127):
        for scale_out in (2.0**-126, 1e-5, 0.05, 2.0, 2.0**127):
            for bits in (8, 16):
                source, target = Grid(scale_in, 0, bits), Grid(scale_out, 0, bits)
                shift, one = gate_unit(QuantSpec(source, target))
                if shift >= 0:
                    assert one <= 1 << GATE_BITS
                    assert one << (bits - 1) < 1 << 31
                    assert abs(one - scale_in / scale_out * 2.0**shift) <= 0.5


def test_free_ends_are_where_the_clamp_serves(spec_of):
    problem = problem_of("silu", -8.0, 8.0)
    (view,) = [one for one in gate_views(problem) if not one.folded]
    _, unit = gate_unit(problem.spec)
    assert np.all((view.bounds.low == -FREE) | (view.bounds.low > 0))
    assert np.all((view.bounds.high == FREE) | (view.bounds.high < unit))


@pytest.mark.parametrize(
    "options",
    [
        {"terms": 1},
        {"slope_bits": 8},
        {"lookup": "index"},
        {"shifts": "each"},
        {"segments": 3},
        {"fold": True},
    ],
)
def test_options_are_the_gates(options):
    found = list(composed(problem_of("silu", **options)))
    assert found
    for one in found:
        seen = one.parameters
        assert seen.get("terms") == options.get("terms", seen.get("terms"))
        assert seen["slope_bits"] == options.get("slope_bits", seen["slope_bits"])
        assert seen["segments"] <= options.get("segments", 256)
        assert seen.get("folded", 0) >= options.get("fold", 0)
        assert ("spacing_log2" in seen) >= (options.get("lookup") == "index")
