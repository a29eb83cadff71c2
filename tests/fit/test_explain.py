"""Witnesses, checked again by fractions alone: neither numpy nor the fitter decides here."""

import dataclasses
from bisect import bisect_left, bisect_right
from fractions import Fraction
from math import ceil, floor

import pytest

from embact.activations import activation
from embact.certify import ideal
from embact.fit.explain import explain
from embact.fit.line import FREE
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import candidates
from embact.grid import Grid, QuantSpec

PLAIN = {"lookup": "compare", "shifts": "common", "clamp": "codes"}
DOMAIN = {-128, 127, -32768, 32767, 128, 32768}
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
SIGMOID = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
SIGMOID16 = QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 0, 16))
UNIT = QuantSpec(Grid(0.03125, 0, 8), Grid(1 / 128, 0, 8))


def allowed_slopes(width, terms):
    """Return every slope of a form, in plain Python."""
    half = 2 ** (width - 1)
    if not terms:
        return range(-half, half)
    sums = {0}
    for _ in range(terms):
        sums |= {one + sign * 2**k for one in sums for k in range(width) for sign in (1, -1)}
    return sorted(one for one in sums if -half <= one < half)


def strip(outputs, value, shift, stretch):
    """Return the least and the greatest slope * value + offset that serve a value."""
    if not stretch[0] <= value <= stretch[1]:
        assert value == 0 or value in DOMAIN  # stands for int32
        return INT32_MIN, INT32_MAX
    low, high = outputs[value]
    bottom = INT32_MIN if low is None else max(INT32_MIN, low * 2**shift)
    top = INT32_MAX if high is None else min(INT32_MAX, (high + 1) * 2**shift - 1)
    return bottom, top


def demanded(need, outputs, shift, stretch):
    """Return the least and the greatest slope that serve the two inputs of a need."""
    one, other = need.inputs
    assert one < other
    (one_low, one_high), (other_low, other_high) = (
        strip(outputs, value, shift, stretch) for value in (one, other)
    )
    run = other - one  # over which the line rises by slope * run
    return Fraction(other_low - one_high, run), Fraction(other_high - one_low, run)


def holds(witness, outputs, shift, slopes):
    """Decide whether a witness shows that no allowed slope serves its stretch."""
    stretch = witness.first, witness.last
    least, most = slopes[0], slopes[-1]
    if witness.at_least and witness.at_least.inputs[0] == witness.at_least.inputs[1]:
        low, high = strip(outputs, witness.at_least.inputs[0], shift, stretch)
        return low > high
    if witness.at_least:
        least = max(least, ceil(demanded(witness.at_least, outputs, shift, stretch)[0]))
    if witness.at_most:
        most = min(most, floor(demanded(witness.at_most, outputs, shift, stretch)[1]))
    return bisect_left(slopes, least) >= bisect_right(slopes, most)


def stated_slopes_are_right(witness, outputs, shift):
    """Decide whether the slopes that a witness states follow from its inputs."""
    stretch = witness.first, witness.last
    return all(
        need is None
        or need.inputs[0] == need.inputs[1]
        or need.slope == rounded(demanded(need, outputs, shift, stretch)[end])
        for need, rounded, end in ((witness.at_least, ceil, 0), (witness.at_most, floor, 1))
    )


def outputs_of(explained, problem):
    """Return value -> (low, high), None for no bound, and check them against the truth."""
    ends = {
        int(x): (None if low == -FREE else int(low), None if high == FREE else int(high))
        for x, low, high in zip(*dataclasses.astuple(explained.bounds), strict=True)
    }
    if explained.variable == "x" and explained.max_error_lsb is None:
        budget = problem.limits.max_error
        for x, code in zip(*(a.tolist() for a in (explained.bounds.x, ideal(
                problem.activation, problem.spec).codes)), strict=True):  # fmt: skip
            low, high = ends[x]
            assert low is None or low == code - budget
            assert high is None or high == code + budget
    return ends


def proved(one):
    """Return the least number of segments that the witnesses prove, over all shifts."""
    explained = explain(one)
    outputs = outputs_of(explained, one.problem)
    slopes = allowed_slopes(explained.slope_bits, explained.terms)
    least = []
    for proof in explained.proofs:
        ends = [explained.bounds.x[0]]
        for witness in proof.witnesses:
            assert holds(witness, outputs, proof.shift, slopes)
            assert stated_slopes_are_right(witness, outputs, proof.shift)
            assert witness.first >= ends[-1]  # stretches share their ends only
            first_of_next = witness.last - explained.align + 1
            ends.append(first_of_next if witness.last != explained.bounds.x[-1] else witness.last)
        if proof.at_least is None:
            continue
        assert len(proof.witnesses) == proof.at_least - 1
        least.append(proof.at_least)
    return min(least)


CASES = [
    (
        "sigmoid",
        SIGMOID,
        1,
        Options(slope_bits=8, fold=False, **PLAIN),
        "pwl",
    ),
    (
        "sigmoid",
        SIGMOID,
        0,
        Options(slope_bits=16, fold=False, **PLAIN),
        "pwl",
    ),
    (
        "sigmoid",
        SIGMOID,
        1,
        Options(fold=True, **PLAIN),
        "pwl",
    ),
    ("gelu", UNIT, 1, Options(lookup="index", shifts="common"), "pwl"),
    ("elu", UNIT, 1, Options(shifts="common"), "pwl"),
    ("tanh", UNIT, 1, Options(terms=1), "shift_pwl"),
    ("sigmoid", SIGMOID, 1, Options(terms=2), "shift_pwl"),
    ("silu", UNIT, 0, Options(terms=3), "shift_pwl"),
    ("sigmoid", SIGMOID, 1, Options(segments=5, slope_bits=8), "pwl"),
    ("tanh", UNIT, 1, Options(segments=4, terms=2), "shift_pwl"),
]


@pytest.mark.parametrize(("name", "spec", "budget", "options", "family"), CASES)
def test_witnesses_prove_the_number_of_segments(name, spec, budget, options, family):
    problem = Problem(activation(name), spec, Limits(budget), options)
    found = [one for one in candidates(problem, family) if "least_code" not in
             one.candidate.parameters]  # fmt: skip
    assert found
    for one in found:
        more = options.segments is not None
        needed = options.segments + 1 if more else one.candidate.parameters["segments"]
        assert proved(one) == needed


def test_witnesses_of_int16_prove_the_number_of_segments():
    options = Options(slope_bits=16, fold=True, **PLAIN)
    (one,) = candidates(Problem(activation("sigmoid"), SIGMOID16, Limits(4), options), "pwl")
    assert proved(one) == one.candidate.parameters["segments"] == 27


@pytest.fixture
def one():
    options = Options(slope_bits=8, fold=False, **PLAIN)
    (found,) = candidates(Problem(activation("sigmoid"), SIGMOID, Limits(1), options), "pwl")
    return found


def witnesses_of(one):
    explained = explain(one)
    outputs = outputs_of(explained, one.problem)
    return [(w, outputs, p.shift) for p in explained.proofs for w in p.witnesses]


def test_a_witness_without_its_inputs_does_not_hold(one):
    slopes = allowed_slopes(8, 0)
    for witness, outputs, shift in witnesses_of(one):
        nothing = dataclasses.replace(witness, at_least=None, at_most=None)
        assert not holds(nothing, outputs, shift, slopes)


def test_witnesses_do_not_hold_for_a_wider_budget(one):
    slopes, shift = allowed_slopes(8, 0), one.candidate.parameters["shift"]
    for witness, outputs, at in witnesses_of(one):
        wider = {x: (low and low - 300, high and high + 300) for x, (low, high) in outputs.items()}
        if at == shift:
            assert not holds(witness, wider, at, slopes)


def test_a_wrong_slope_in_a_witness_is_noticed(one):
    for witness, outputs, shift in witnesses_of(one):
        need = witness.at_least or witness.at_most
        name = "at_least" if witness.at_least else "at_most"
        if need.inputs[0] != need.inputs[1]:
            wrong = dataclasses.replace(need, slope=need.slope + 1)
            changed = dataclasses.replace(witness, **{name: wrong})
            assert not stated_slopes_are_right(changed, outputs, shift)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("lut", Options()),
        ("pwl", Options(shifts="each")),
        ("pwl", Options(continuous=True, slope_bits=8)),
        ("pwl", Options(segments=6, minimize="mse")),
    ],
)
def test_kernels_with_another_aim_have_no_witnesses(family, options, refuses):
    one = next(candidates(Problem(activation("tanh"), UNIT, Limits(2), options), family))
    with refuses("no witnesses to print", family):
        explain(one)
