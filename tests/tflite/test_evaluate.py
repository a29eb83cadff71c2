"""Evaluation: what kernels change is measured, in the model and at each site."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from embact.certify import ideal
from embact.errors import CheckFailed, EmbactError
from embact.sources import data_file
from embact.tflite.beside import kernels_beside
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import Data, data_of, load_data, random_data
from embact.tflite.host.evaluate import check_drop, check_limit, evaluate
from embact.tflite.model import read
from embact.tflite.placement import place

TEST_SPLIT = data_file("digits_test.npz")


def constant(build, model):
    """Placements of kernels that give one code whatever the input: as coarse as can be."""
    sites = find_sites(model).sites
    fits = [
        build.fit_of_table(s.activation, s.spec, [s.spec.output.zero_point] * 2**s.spec.input.bits)
        for s in sites
    ]
    return place(sites, fits)


def exact_tables(build, model):
    """Placements of the correctly rounded codes, also at int16, where exact lines take a minute."""
    sites = find_sites(model).sites
    fits = [
        build.fit_of_table(s.activation, s.spec, ideal(s.activation, s.spec).codes) for s in sites
    ]
    assert {one.certificate.max_error_codes for one in fits} == {0}
    return place(sites, fits)


def test_exact_kernels_keep_the_accuracy_and_coarse_ones_do_not(build, digits):
    data = load_data(TEST_SPLIT, digits)
    exact = evaluate(digits, exact_tables(build, digits), data)
    assert (exact.samples, exact.sites) == (450, len(find_sites(digits).sites))
    assert (exact.metric, exact.drop) == ("top1", 0)
    assert exact.after == exact.before > 0.97
    assert exact.changed_decisions == 0
    assert exact.max_difference <= 2
    assert (exact.resolver, exact.difference_unit) == ("reference", "codes")
    assert exact.runtime.startswith("ai-edge-litert ")
    coarse = evaluate(digits, constant(build, digits), data)
    assert coarse.before == exact.before
    assert coarse.after < 0.5
    assert coarse.drop == pytest.approx(100 * (coarse.before - coarse.after))
    assert coarse.changed_decisions > 200
    assert coarse.max_difference > coarse.mean_difference > exact.mean_difference


def test_exact_kernels_change_no_output_where_stock_rounds_correctly(placed):
    model = read(data_file("digits_mlp_int8.tflite"))
    found = evaluate(model, placed(model, 0), load_data(TEST_SPLIT, model))
    assert (found.max_difference, found.mean_difference) == (0.0, 0.0)


def test_one_changed_table_entry_changes_outputs(build, placed):
    model = read(data_file("digits_mlp_int8.tflite"))
    data = load_data(TEST_SPLIT, model)
    right = placed(model, 0)
    values = right[0].fit.kernel.outputs.copy()
    values[127] = -128  # the code of about 0, which many images reach
    site = right[0].site
    fits = [build.fit_of_table(site.activation, site.spec, values), right[1].fit]
    found = evaluate(model, place([one.site for one in right], fits), data)
    assert found.max_difference > 0


def facts(found):
    """What does not depend on whether operators have the stock model's numbers."""
    sites = [(one.local, one.in_model, one.function) for one in found.per_site]
    return dataclasses.replace(found, model="", per_site=()), sites


@pytest.mark.parametrize(
    ("runtime", "resolver"),
    [
        ("litert", "reference"),
        pytest.param("litert", "default", marks=pytest.mark.slow),
        pytest.param("tflite-runtime", "reference", marks=pytest.mark.slow),
        pytest.param("tflite-runtime", "default", marks=pytest.mark.slow),
    ],
)
def test_a_converted_model_computes_what_the_original_does_with_the_same_kernels(
    tmp_path, placed, runtime, resolver
):
    if runtime == "tflite-runtime":
        pytest.importorskip(
            "tflite_runtime", reason="its wheels end at CPython 3.11 on Linux and need numpy 1"
        )
    model = read(data_file("digits_cnn_int8.tflite"))
    placements = placed(model)
    converted = read(write_conversion(tmp_path / "out", model, placements).model)
    data = random_data(model, 25, seed=3)
    runner = Runner(runtime, resolver)
    original = run_model(model, data, placements, runner=runner)
    again = run_model(converted, data, kernels_beside(converted), runner=runner)
    assert all(map(np.array_equal, original.arrays, again.arrays))
    alone = evaluate(converted, kernels_beside(converted), data, runner=runner)
    assert (alone.max_difference, alone.changed_decisions, alone.metric) == (None, None, None)
    assert (alone.per_site, alone.observed_samples) == ((), 0)
    beside = evaluate(converted, kernels_beside(converted), data, runner=runner, stock=model)
    direct = evaluate(model, placements, data, runner=runner)
    assert (beside.sites, beside.metric, beside.before) == (direct.sites, "agreement", 1.0)
    assert facts(beside) == facts(direct)
    assert direct.resolver == resolver
    assert runtime in direct.runtime or "litert" in direct.runtime


def test_a_stock_model_with_other_outputs_cannot_be_compared(build, placed):
    model, other = (build.one_op("TANH", elements=n) for n in (4, 8))
    data = random_data(model, 3)
    with pytest.raises(EmbactError, match="inputs of the stock model"):
        evaluate(model, placed(model), data, stock=other)


def test_a_model_without_kernels_runs_as_it_is(build):
    model = build.one_op("TANH", elements=4)
    data = random_data(model, 9)
    found = evaluate(model, [], data)
    assert (found.sites, found.per_site, found.samples) == (0, (), 9)
    assert (found.max_difference, found.changed_decisions, found.drop) == (None, None, None)
    labelled = evaluate(model, [], Data(data.inputs, data.inputs[0].argmax(axis=1)))
    assert (labelled.metric, labelled.before) == ("top1", None)
    assert labelled.after > 0.5, "TANH keeps the place of the largest value, but for ties"
    twice = evaluate(model, [], data, stock=model)
    assert (twice.max_difference, twice.changed_decisions, twice.drop) == (0.0, 0, 0.0)


def test_batches_are_filled_and_the_filling_is_not_counted(build, placed):
    tensors = [build.Tensor("in", shape=(3, 5)), build.Tensor("out", shape=(3, 5))]
    model = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    data = random_data(model, 7)
    labelled = Data(data.inputs, np.asarray(data.inputs[0]).argmax(axis=1).astype(np.int64))
    found = evaluate(model, placed(model, 0), labelled)
    assert (found.samples, found.changed_decisions) == (7, 0)
    assert found.after == found.before > 0.5


def test_a_model_with_several_inputs_and_outputs(build, placed):
    tensors = [build.Tensor(name, shape=(1, 4)) for name in "abcd"]
    nodes = [build.Node("TANH", (0,), (1,)), build.Node("RELU", (2,), (3,))]
    model = build.model_of(tensors, nodes, [0, 2], [1, 3])
    with pytest.raises(EmbactError, match="without the array x0"):
        data_of({"x": np.zeros((2, 4))}, model)
    with pytest.raises(EmbactError, match="number of samples"):
        data_of({"x0": np.zeros((2, 4)), "x1": np.zeros((3, 4))}, model)
    data = data_of({"x0": np.ones((2, 4)), "x1": -np.ones((2, 4))}, model)
    outputs = run_model(model, data, placed(model))
    assert [array.shape for array in outputs.arrays] == [(2, 1, 4), (2, 1, 4)]
    assert set(outputs.arrays[0].ravel()) == {round(np.tanh(1) / 0.05)}
    assert set(outputs.arrays[1].ravel()) == {0}


def test_labels_that_no_score_stands_for_are_refused(build, placed):
    model = build.one_op("TANH", elements=3)
    data = data_of({"x": np.zeros((2, 3)), "y": np.array([0, 3])}, model)
    with pytest.raises(EmbactError, match=r"labels y: got 0\.\.3; allowed: 0\.\.2"):
        evaluate(model, placed(model), data)


@pytest.mark.parametrize(("max_drop", "fails"), [(0.5, False), (0.49, True), (0, True)])
def test_a_metric_that_fell_too_far_is_a_check_that_failed(build, max_drop, fails):
    model = build.one_op("TANH", elements=4)
    found = evaluate(model, [], random_data(model, 3))
    scores = {"metric": "top1", "before": 0.98, "after": 0.975}
    worse = dataclasses.replace(found, drop=0.5, drop_unit="percentage points", **scores)
    if not fails:
        check_drop(worse, max_drop)
        return
    with pytest.raises(CheckFailed, match=r"top1 fell too far: got 0\.5 percentage points"):
        check_drop(worse, max_drop)


def test_a_drop_is_not_compared_with_what_is_no_limit(build):
    model = build.one_op("TANH", elements=4)
    found = evaluate(model, [], random_data(model, 3))
    for limit in (-0.1, float("nan")):
        with pytest.raises(EmbactError, match="largest drop"):
            check_limit(limit)
        with pytest.raises(EmbactError, match="largest drop"):
            check_drop(found, limit)
    with pytest.raises(EmbactError, match="no drop to compare"):
        check_drop(dataclasses.replace(found, drop=None), 1)


def test_targets_are_judged_by_their_mean_squared_error(build, placed):
    model = build.one_op("TANH", elements=4)
    data = data_of({"x": np.ones((5, 4)), "y": np.full((5, 4), np.tanh(1.0))}, model)
    found = evaluate(model, placed(model, 0), data)
    assert (found.metric, found.drop_unit) == ("mse", "percent of the error before")
    assert 0 < found.before < (0.5 / 128) ** 2
    absolute = evaluate(model, placed(model, 0), data, metric="mae")
    assert absolute.after == pytest.approx(found.after**0.5)


def test_a_metric_without_what_it_needs_is_refused_before_anything_runs(build, monkeypatch):
    model = build.one_op("TANH", elements=4)
    monkeypatch.setattr("embact.tflite.host.evaluate.run_model", None)
    for metric, said in (("top1", "without labels"), ("mse", "without targets"), ("f1", "unknown")):
        with pytest.raises(EmbactError, match=said):
            evaluate(model, [], random_data(model, 1), metric=metric)


def test_the_distinct_results_are_counted(build):
    model = build.one_op("TANH", elements=2)
    rows = np.array([[1, 2], [1, 2], [2, 1], [1, 2], [-128, -127]], np.int8)
    assert evaluate(model, [], Data((rows,))).distinct_outputs == 2 + 1
