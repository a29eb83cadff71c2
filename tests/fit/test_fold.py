import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.fit.fold import FARTHEST, fold, nearest, plain, reflection, views
from embact.fit.line import FREE
from embact.fit.problem import Limits, Options, Problem
from embact.grid import Grid, QuantSpec
from embact.ir import Table, lookup
from embact.kernel import Kernel

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=200)
SYMMETRIC = [name for name, act in CATALOGUE.items() if act.symmetry != "none"]


@st.composite
def problems(draw, names=tuple(SYMMETRIC)):
    name = draw(st.sampled_from(names))
    act = activation(name)
    half = 1 << 7
    zeros = st.one_of(st.sampled_from((0, -half, half - 1)), st.integers(-half, half - 1))
    source = Grid(0.05 * 10.0 ** draw(st.floats(-3, 3)), draw(zeros), 8)
    size = float(np.ptp(act(source.real(source.codes())))) or 1.0
    bits = draw(st.sampled_from((8, 16)))
    zero = draw(zeros) << (bits - 8)
    scale = size / (1 << bits) * 10.0 ** draw(st.floats(-3, 3))
    target = Grid(max(scale, 2.0**-126), zero, bits)
    budget = draw(st.sampled_from((0, 1, 2, 5, 255, 65536)))
    return Problem(act, QuantSpec(source, target), Limits(budget))


def kernel_of(problem, view, h):
    """Return the kernel whose h is a table, over the magnitude of a folded view."""
    spec = problem.spec
    node = lookup(Table("h", tuple(h)), view.magnitude)
    return Kernel(view.result(node), spec.input.bits, spec.output.bits)


def within(problem, outputs):
    """Return which outputs are within the budget of the correctly rounded codes."""
    return np.abs(outputs - problem.truth.codes) <= problem.limits.max_error


@fixed
@given(problems(), st.integers(0, 2**32 - 1))
def test_any_h_inside_the_bounds_unfolds_into_the_budget(problem, seed):
    for clamp in (problem.code_range, problem.own_range):
        view = fold(problem, clamp)
        if view is None:
            continue
        rng = np.random.default_rng(seed)
        low, high = view.bounds.low, view.bounds.high
        ends = np.where(rng.integers(0, 2, low.size), low, high)
        for h in (low, high, ends, rng.integers(low, high, endpoint=True)):
            assert np.all(within(problem, kernel_of(problem, view, h.tolist()).outputs))


@fixed
@given(problems(), st.data())
def test_any_h_outside_the_bounds_leaves_the_budget(problem, data):
    view = fold(problem)
    if view is None:
        return
    place = data.draw(st.integers(0, view.bounds.x.size - 1))
    middle = np.clip((view.bounds.low + view.bounds.high) // 2, -FARTHEST, FARTHEST)
    for end, step in ((view.bounds.low, -1), (view.bounds.high, 1)):
        if abs(int(end[place])) < FARTHEST:
            h = middle.copy()
            h[place] = end[place] + step
            assert not np.all(within(problem, kernel_of(problem, view, h.tolist()).outputs))


@fixed
@given(problems())
def test_no_view_means_that_no_h_serves_both_signs_of_some_magnitude(problem):
    if fold(problem) is not None or problem.activation.symmetry == "gated":
        return
    target, zero = problem.spec.output, problem.spec.input.zero_point
    total = 2 * target.zero_point
    if problem.activation.symmetry == "point":
        total += nearest(1.0 / target.scale)
    if reflection(total) is None:
        return
    bounds, served = problem.bounds(), []
    by_code = dict(zip(bounds.x.tolist(), zip(bounds.low, bounds.high, strict=True), strict=True))
    for u in range(max(zero + 128, 127 - zero) + 1):
        low, high = by_code.get(zero + u, (-FREE, FREE))
        if u and zero - u in by_code:
            least, most = by_code[zero - u]
            low = max(low, -FREE if most == FREE else total - most)
            high = min(high, FREE if least == -FREE else total - least)
        served.append(max(low, -FARTHEST) <= min(high, FARTHEST))
    assert not all(served)


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_activations_are_folded_on_ordinary_grids(name, spec_of):
    act = activation(name)
    for bits, out_bits in ((8, 8), (16, 16), (8, 16), (16, 8)):
        spec = spec_of(act, -4.0, 4.0, bits, out_bits)
        view = fold(Problem(act, spec))
        assert view is not None
        assert view.folded
        largest = np.abs(spec.input.codes() - spec.input.zero_point).max()
        assert np.array_equal(view.bounds.x, np.arange(largest + 1))


def test_activations_without_a_symmetry_are_not_folded(spec_of):
    for name in set(CATALOGUE) - set(SYMMETRIC):
        assert fold(Problem(activation(name), spec_of(activation(name)))) is None


def test_the_plain_view_is_the_problem_itself(spec_of):
    act = activation("gelu")
    problem = Problem(act, spec_of(act), Limits(2))
    view, bounds = plain(problem), problem.bounds()
    assert not view.folded
    for got, wanted in ((view.bounds.low, bounds.low), (view.bounds.high, bounds.high)):
        assert np.array_equal(got, wanted)
    outputs = Kernel(view.result(view.magnitude), 8, 8).outputs
    assert np.array_equal(outputs, bounds.x)


def test_views_are_remade_for_another_budget(spec_of):
    act = activation("tanh")
    problem = Problem(act, spec_of(act), Limits(3))
    tighter = dataclasses.replace(problem, limits=Limits(1))
    for view, wanted in zip(views(problem), views(tighter), strict=True):
        again = view.remade(tighter)
        assert (again.folded, again.clamp) == (wanted.folded, wanted.clamp)
        assert np.array_equal(again.bounds.low, wanted.bounds.low)
        assert np.array_equal(again.bounds.high, wanted.bounds.high)


@pytest.mark.parametrize(("option", "folded"), [(None, {0, 1}), (True, {1}), (False, {0})])
def test_the_option_fold_chooses_the_views(option, folded, spec_of):
    act = activation("tanh")
    problem = Problem(act, spec_of(act), options=Options(fold=option))
    assert {view.folded for view in views(problem)} == folded


def test_the_clamp_is_tight_only_where_that_leaves_it_more_inputs():
    grid_in = Grid(0.05, 0, 8)
    half_flat = Problem(activation("relu"), QuantSpec(grid_in, Grid(0.05, 0, 8)))
    assert {view.clamp for view in views(half_flat)} == {(-128, 127), (1, 126)}
    never_flat = Problem(activation("identity"), QuantSpec(grid_in, Grid(0.1, 0, 8)))
    assert {view.clamp for view in views(never_flat)} == {(-128, 127)}
