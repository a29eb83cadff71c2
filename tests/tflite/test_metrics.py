"""Metrics: each is its definition, counted by hand, and a drop is worse where it is positive."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embact.errors import EmbactError
from embact.tflite.host.child import Outputs
from embact.tflite.host.data import Data
from embact.tflite.replace.metrics import (
    METRICS,
    check_metric,
    classes,
    decisions,
    default_metric,
    drop,
    score,
)

SAMPLES, CLASSES = 90, 9


@pytest.fixture
def scores_model(build):
    return build.one_op("TANH", elements=CLASSES)


def with_batch(build, batch, shape=(CLASSES,)):
    tensors = [
        build.Tensor("in", shape=(batch, *shape)),
        build.Tensor("out", scale=(1 / 128,), shape=(batch, *shape)),
    ]
    return build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])


def random_case(seed=0, samples=SAMPLES, low=-4, high=4):
    """Few different codes, so that most samples have ties."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(low, high, (samples, 1, CLASSES), endpoint=True).astype(np.int8)
    labels = draw.integers(0, CLASSES, samples)
    targets = draw.normal(size=(samples, CLASSES)) / 16
    return Outputs("made", (codes,)), np.zeros((samples, CLASSES), np.int8), labels, targets


def best(row, count):
    """The places of the largest numbers, the lower place first where they are equal."""
    return sorted(range(len(row)), key=lambda place: (-row[place], place))[:count]


def test_top1_and_top5_are_shares_of_labels_among_the_best_counted_by_hand(scores_model):
    outputs, x, labels, _ = random_case()
    data = Data((x,), labels)
    for name, count in (("top1", 1), ("top5", 5)):
        rows = outputs.arrays[0].reshape(SAMPLES, CLASSES).tolist()
        right = sum(label in best(row, count) for row, label in zip(rows, labels, strict=True))
        assert score(name, scores_model, data, outputs, None) == right / SAMPLES
        assert 0 < right < SAMPLES


def test_one_label_that_is_wrong_costs_one_sample_of_top1(scores_model):
    outputs, x, _, _ = random_case()
    right = decisions(scores_model, Data((x,)), outputs)
    assert score("top1", scores_model, Data((x,), right), outputs, None) == 1.0
    wrong = right.copy()
    wrong[7] = (wrong[7] + 1) % CLASSES
    assert score("top1", scores_model, Data((x,), wrong), outputs, None) == 1 - 1 / SAMPLES


def test_the_lowest_code_is_the_smallest_score_where_its_negative_would_overflow(scores_model):
    codes = np.array([[[-128, *range(-8, 0)]]], np.int8)
    data = Data((np.zeros((1, CLASSES), np.int8),), np.array([0]))
    assert score("top5", scores_model, data, Outputs("made", (codes,)), None) == 0.0


def test_agreement_is_the_share_of_equal_decisions_and_needs_no_labels(scores_model):
    outputs, x, _, _ = random_case()
    data = Data((x,))
    assert score("agreement", scores_model, data, outputs, outputs) == 1.0
    other = outputs.arrays[0].copy()
    for sample in (3, 5):
        other[sample] = -100
        moved = (outputs.arrays[0][sample, 0].argmax() + 1) % CLASSES
        other[sample, 0, moved] = 100
    changed = Outputs("made", (other,))
    assert score("agreement", scores_model, data, changed, outputs) == 1 - 2 / SAMPLES


def test_mse_and_mae_are_about_the_real_values_that_codes_stand_for(build):
    model = with_batch(build, 1)
    outputs, x, _, targets = random_case(low=-128, high=127)
    real = outputs.arrays[0].reshape(SAMPLES, CLASSES).astype(float) / 128  # the output's grid
    data = Data((x,), None, targets)
    away = [a - b for a, b in zip(real.ravel(), targets.ravel(), strict=True)]
    mse, mae = (score(name, model, data, outputs, None) for name in ("mse", "mae"))
    assert mse == pytest.approx(math.fsum(e * e for e in away) / len(away), rel=1e-12)
    assert mae == pytest.approx(math.fsum(map(abs, away)) / len(away), rel=1e-12)
    exact = Data((x,), None, real)
    assert score("mse", model, exact, outputs, None) == 0.0
    moved = Data((x,), None, real + 1 / 128)  # one code everywhere
    assert score("mae", model, moved, outputs, None) == 1 / 128
    assert score("mse", model, moved, outputs, None) == 1 / 128**2


@pytest.mark.parametrize("name", ["top1", "top5", "agreement", "mse", "mae"])
def test_what_fills_the_last_batch_never_counts(build, name):
    model = with_batch(build, 4)
    outputs, x, _, targets = random_case(samples=8)
    first = Outputs("made", (outputs.arrays[0].reshape(2, 4, CLASSES),))
    labels = decisions(model, Data((x[:6],)), first)
    data = Data((x[:6],), labels, targets[:6])

    def changed(sample):
        other = first.arrays[0].copy()
        other[sample // 4, sample % 4] = -np.arange(CLASSES)
        other[sample // 4, sample % 4, labels[min(sample, 5)]] = -128
        return score(name, model, data, Outputs("made", (other,)), first)

    own = score(name, model, data, first, first)
    assert changed(6) == changed(7) == own
    assert changed(0) != own  # what counts, does
    assert changed(5) != own


def test_an_output_of_two_long_axes_holds_no_scores(build):
    model = with_batch(build, 1, (4, 5))
    assert classes(model) == 0
    data = Data((np.zeros((2, 4, 5), np.int8),), None)
    outputs = Outputs("made", (np.zeros((2, 1, 4, 5), np.int8),))
    assert decisions(model, data, outputs) is None
    with pytest.raises(EmbactError, match="one axis of scores"):
        score("agreement", model, data, outputs, outputs)
    assert classes(with_batch(build, 1, (1, 5, 1))) == 5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("top1", "data without labels"),
        ("top5", "data without labels"),
        ("agreement", "no stock model"),
        ("mse", "data without targets"),
        ("mae", "data without targets"),
        ("top2", "unknown metric"),
    ],
)
def test_what_the_data_lacks_is_said_before_anything_runs(scores_model, name, words):
    outputs, x, _, _ = random_case()
    with pytest.raises(EmbactError, match=words):
        check_metric(name, scores_model, Data((x,)), has_stock=False)
    with pytest.raises(EmbactError, match=words):
        score(name, scores_model, Data((x,)), outputs, None)


def test_what_the_model_lacks_is_said(build):
    _, x, labels, _ = random_case()
    few = build.one_op("TANH", elements=5)
    with pytest.raises(EmbactError, match="5 classes"):
        check_metric("top5", few, Data((x[:, :5],), labels % 5), has_stock=False)
    check_metric("top5", build.one_op("TANH", elements=6), Data((x,), labels), has_stock=False)
    tensors = [build.Tensor("in", shape=(1, 9)), build.Tensor("out", scale=(), shape=(1, 9))]
    bare = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    with pytest.raises(EmbactError, match="without a scale"):
        check_metric("mse", bare, Data((x,), None, np.zeros((SAMPLES, 9))), has_stock=False)


def test_a_label_that_no_score_stands_for_is_refused(scores_model):
    outputs, x, labels, _ = random_case()
    labels[0] = CLASSES
    with pytest.raises(EmbactError, match=r"labels y.*allowed: 0\.\.8"):
        score("top1", scores_model, Data((x,), labels), outputs, None)


def test_outputs_that_are_no_numbers_have_no_error(build):
    tensors = [build.Tensor("in"), build.Tensor("out", "FLOAT32", ())]
    model = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    data = Data((np.zeros((1, 256), np.int8),), None, np.zeros((1, 256)))
    outputs = Outputs("made", (np.full((1, 1, 256), np.nan, np.float32),))
    with pytest.raises(EmbactError, match="got nan; allowed: finite"):
        score("mae", model, data, outputs, None)


def test_the_default_metric_is_one_that_the_data_can_tell(scores_model):
    _, x, labels, targets = random_case()
    for data, name in (
        (Data((x,), labels), "top1"),
        (Data((x,), None, targets), "mse"),
        (Data((x,)), "agreement"),
    ):
        assert default_metric(data) == name
        check_metric(name, scores_model, data, has_stock=True)


@given(st.integers(1, 2000), st.data())
def test_a_drop_of_n_decisions_is_n_decisions_whatever_the_floats_do(samples, data):
    """A budget of exactly that many is met, and one decision more is over it."""
    before = data.draw(st.integers(1, samples))
    lost = data.draw(st.integers(0, before - 1))
    found = drop("top1", before / samples, (before - lost) / samples)
    assert found <= 100 * lost / samples + 1e-9
    assert found == round(100 * lost / samples, 9)
    assert drop("top1", before / samples, (before - lost - 1) / samples) > 100 * lost / samples


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_a_drop_is_positive_where_the_score_is_worse(a, b):
    for name, metric in METRICS.items():
        lost = drop(name, a, b)
        if metric.higher_is_better:
            assert lost <= 0 if b >= a else lost >= 0
        else:
            assert lost <= 0 if b <= a else lost >= 0
        assert drop(name, a, a) == 0


def test_an_error_that_comes_where_there_was_none_is_an_infinite_drop():
    assert drop("mse", 0.0, 1e-9) == math.inf
    assert drop("mse", 0.0, 0.0) == 0.0
    assert drop("mae", 0.5, 0.6) == 20.0
    with pytest.raises(EmbactError, match="unknown metric"):
        drop("top2", 1.0, 1.0)


def test_every_metric_says_what_it_is_and_what_it_needs():
    assert set(METRICS) == {"top1", "top5", "agreement", "mse", "mae"}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.about
        assert metric.unit
        assert metric.needs in {"labels", "targets", "stock"}
