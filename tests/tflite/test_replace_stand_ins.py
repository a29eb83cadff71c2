"""Stand-ins are where they say: as near to the original as stated, for any parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.expression import parse
from embact.tflite.replace.stand_ins import STAND_INS, stand_ins

PAIRS = [(name, number) for name, some in STAND_INS.items() for number in range(len(some))]
STEEPEST = 3.5
"""No difference of two of these functions is steeper, at the default parameters."""
STEP = 1e-4
NEAR = np.linspace(-10.0, 10.0, round(20 / STEP) + 1)
FAR = np.linspace(-60.0, 60.0, 12001)


@pytest.mark.parametrize(("name", "number"), PAIRS, ids=str)
def test_the_distance_that_is_stated_is_the_largest_one_rounded_up(name, number):
    """Between two points of a grid it is at most half a step times the slope larger; finer there.

    Farther out it grows, or nears a limit: the end is the largest.
    """
    one = STAND_INS[name][number]
    original = activation(name)
    chosen = one.make(original)
    distance, farther = (np.abs(original(x) - chosen(x)) for x in (NEAR, FAR))
    assert np.abs(np.diff(distance)).max() <= STEEPEST * STEP
    high = NEAR[distance >= distance.max() - STEEPEST * STEP][:5000]
    finer = high[:, None] + np.linspace(-STEP, STEP, 201)
    seen = float(np.abs(original(finer) - chosen(finer)).max())
    slack = STEEPEST * STEP / 200
    assert len(high) < 5000 or farther.max() > seen
    if farther.max() > seen:
        seen, slack = float(farther.max()), 0.0
        assert seen in {farther[0], farther[-1]}
    assert one.far - 0.01 < seen + slack <= one.far or seen == one.far
    assert one.far == round(one.far, 2)


def test_the_check_would_see_a_distance_that_is_too_small():
    farther = np.abs(activation("silu")(FAR) - activation("relu")(FAR)).max()
    assert farther > STAND_INS["silu"][0].far


@pytest.mark.parametrize("name", STAND_INS)
def test_each_is_another_activation_with_a_reason_the_nearest_first(name):
    assert name in CATALOGUE
    found = stand_ins(CATALOGUE[name])
    assert found
    assert all(one.name != name and why for one, why in found)
    assert len({one.name for one, _ in found}) == len(found)
    distances = [one.far for one in STAND_INS[name]]
    assert distances == sorted(distances)


@pytest.mark.parametrize("alpha", [0.25, 1.0, 1.5])
def test_hard_elu_and_hard_celu_follow_the_parameter(alpha):
    """alpha (e^-1) at -1, or at -alpha, is where the lines are farthest away."""
    x = NEAR
    for name in ("elu", "celu"):
        original = activation(name, alpha=alpha)
        lines = stand_ins(original)[0][0]
        gap = np.abs(original(x) - lines(x)).max()
        assert gap == pytest.approx(alpha / math.e, rel=1e-4)
        assert np.array_equal(lines(x[x > 0]), x[x > 0])


@pytest.mark.parametrize("beta", [0.25, 0.5, 2.0])
def test_gates_and_softplus_follow_beta(beta):
    x = np.linspace(-20.0, 20.0, 40_001)
    lines = stand_ins(activation("swish", beta=beta))[0][0]
    expected = x * np.clip(beta * x + 3, 0, 6) / 6
    assert np.allclose(lines(x), expected, rtol=1e-12, atol=1e-12)
    plus = stand_ins(activation("softplus", beta=beta))[0][0]
    gap = np.abs(activation("softplus", beta=beta)(x) - plus(x)).max()
    assert 0.05 / beta < gap <= 0.06 / beta


def test_equal_activations_have_the_same_stand_ins_so_that_each_is_fitted_once():
    first, second = (stand_ins(activation("gelu"))[0][0] for _ in range(2))
    assert first is second
    hash(first)


def test_there_is_none_for_a_formula_or_for_what_is_lines_already():
    assert stand_ins(parse("x*clip(x, 0, 1)", "ramp")) == ()
    assert stand_ins(activation("relu")) == ()
    assert stand_ins(activation("exp")) == ()
