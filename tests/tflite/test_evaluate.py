"""Evaluation: what kernels change is measured, and whatever a model does, we report it."""

from __future__ import annotations

import dataclasses
import signal
import sys

import numpy as np
import pytest

from embact.certify import ideal
from embact.errors import EmbactError
from embact.run.host import compile_header
from embact.sources import data_file
from embact.tflite import worker
from embact.tflite.child import Runner, _claim, _run_child, run_model
from embact.tflite.data import Data, data_of, load_data, random_data
from embact.tflite.evaluate import evaluate
from embact.tflite.folder import kernels_beside, write_conversion
from embact.tflite.model import read
from embact.tflite.placement import place
from embact.tflite.sites import find_sites
from embact.tflite.worker import Job

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
    assert exact.accuracy_after == exact.accuracy_before
    assert exact.accuracy_before > 0.97
    assert exact.changed_decisions == 0
    assert exact.max_difference <= 2
    assert (exact.resolver, exact.difference_unit) == ("reference", "codes")
    assert exact.runtime.startswith("ai-edge-litert ")
    coarse = evaluate(digits, constant(build, digits), data)
    assert coarse.accuracy_before == exact.accuracy_before
    assert coarse.accuracy_after < 0.5
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


@pytest.mark.parametrize("resolver", ["reference", "default"])
@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
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
    assert (alone.max_difference, alone.changed_decisions) == (None, None)
    beside = evaluate(converted, kernels_beside(converted), data, runner=runner, stock=model)
    direct = evaluate(model, placements, data, runner=runner)
    assert dataclasses.replace(beside, model=model.where) == direct
    assert (direct.resolver, direct.accuracy_after) == (resolver, None)
    assert runtime in direct.runtime or "litert" in direct.runtime


def test_a_stock_model_with_other_outputs_cannot_be_compared(build, placed):
    model, other = (build.one_op("TANH", elements=n) for n in (4, 8))
    data = random_data(model, 3)
    with pytest.raises(EmbactError, match="inputs of the stock model"):
        evaluate(model, placed(model), data, stock=other)


def test_nothing_to_evaluate_is_an_error(build):
    model = build.one_op("TANH", elements=4)
    with pytest.raises(EmbactError, match="nothing to evaluate"):
        evaluate(model, [], random_data(model, 1))


def test_batches_are_filled_and_the_filling_is_not_counted(build, placed):
    tensors = [build.Tensor("in", shape=(3, 5)), build.Tensor("out", shape=(3, 5))]
    model = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    data = random_data(model, 7)
    labelled = Data(data.inputs, np.asarray(data.inputs[0]).argmax(axis=1).astype(np.int64))
    found = evaluate(model, placed(model, 0), labelled)
    assert (found.samples, found.changed_decisions) == (7, 0)
    assert found.accuracy_after == found.accuracy_before > 0.5


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


def test_a_model_that_takes_too_long_is_an_error(build, placed):
    model = build.one_op("TANH", elements=4)
    with pytest.raises(EmbactError, match=r"too long.*over 0.01 s"):
        run_model(model, random_data(model, 1), placed(model), runner=Runner(timeout_s=0.01))


def test_what_the_runtime_refuses_names_the_other_resolver(build, placed):
    model = build.one_op("ELU", elements=4)
    data = random_data(model, 2)
    with pytest.raises(EmbactError, match=r"lacks operator ELU.*resolver default"):
        evaluate(model, placed(model), data)
    found = evaluate(model, placed(model), data, runner=Runner(resolver="default"))
    assert found.resolver == "default"


def test_an_operator_that_fails_when_it_runs_is_an_error(build, placed):
    model = build.one_op("HARD_SWISH", "INT16", elements=4)
    with pytest.raises(EmbactError, match=r"refuses the model.*INT16") as error:
        evaluate(model, placed(model), random_data(model, 2))
    assert "\n" not in str(error.value)


def test_a_module_in_the_users_folder_does_not_get_into_the_child(
    build, placed, tmp_path, monkeypatch
):
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    model = build.one_op("TANH", elements=4)
    assert len(run_model(model, random_data(model, 2), placed(model)).arrays) == 1


def test_unknown_names_are_refused_before_anything_runs(build, placed):
    model = build.one_op("TANH", elements=4)
    for runner in (Runner(resolver="fast"), Runner(runtime="tvm")):
        with pytest.raises(EmbactError, match="unknown"):
            run_model(model, random_data(model, 1), placed(model), runner=runner)


def job_with(tmp_path, model, placements, compiled):
    paths = {name: str(tmp_path / name) for name in ("model", "inputs.npz", "outputs.npz")}
    (tmp_path / "model").write_bytes(model.content)
    np.savez(tmp_path / "inputs.npz", **{"0": random_data(model, 1).inputs[0]})
    return Job(
        model=paths["model"],
        where="made.tflite",
        runtime="litert",
        resolver="reference",
        batch=1,
        inputs=paths["inputs.npz"],
        outputs=paths["outputs.npz"],
        result=str(tmp_path / "result.json"),
        stage=str(tmp_path / "stage"),
        claims=tuple(map(_claim, placements)),
        library=(compiled.module.__name__, compiled.path),
        functions=dict(compiled.functions),
    )


def compiled_body(body):
    header = (
        "#include <signal.h>\n#include <stdint.h>\n#include <stdlib.h>\n"
        "static void embact_tanh_s8(const int8_t *input, int8_t *output, int32_t size)\n"
        f"{{\n    (void)input; (void)output; (void)size;\n    {body}\n}}\n"
    )
    return compile_header(header, {"embact_tanh_s8": (8, 8)})


@pytest.mark.skipif(sys.platform == "win32", reason="processes die otherwise there")
@pytest.mark.parametrize(
    ("body", "name"), [("abort();", "SIGABRT"), ("raise(SIGSEGV);", "SIGSEGV")]
)
def test_a_crash_in_the_child_is_an_error_that_names_the_signal(
    build, placed, tmp_path, body, name
):
    model = build.one_op("TANH", elements=4)
    job = job_with(tmp_path, model, placed(model), compiled_body(body))
    with pytest.raises(EmbactError, match=rf"made\.tflite.*1\.2 crashed in the model.*{name}"):
        _run_child(job, tmp_path / "job.json", 60, "litert 1.2")
    assert getattr(signal, name)


def test_a_child_that_leaves_early_is_an_error(build, placed, tmp_path):
    model = build.one_op("TANH", elements=4)
    job = job_with(tmp_path, model, placed(model), compiled_body("_Exit(7);"))
    with pytest.raises(EmbactError, match="failed in the model: got exit status 7"):
        _run_child(job, tmp_path / "job.json", 60, "litert 1.2")


def test_the_worker_gives_the_same_in_this_process(build, placed, tmp_path):
    import msgspec

    model = build.one_op("TANH", elements=4)
    job = job_with(tmp_path, model, placed(model), compiled_body("output[0] = 7;"))
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(job))
    worker.main(str(tmp_path / "job.json"))
    result = msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=worker.Result)
    assert (result.runs, result.error) == ((1,), None)
    with np.load(tmp_path / "outputs.npz") as stored:
        assert stored["0"][0, 0, 0] == 7
    refused = dataclasses.replace(job, resolver="none")
    (tmp_path / "job.json").write_bytes(msgspec.json.encode(refused))
    worker.main(str(tmp_path / "job.json"))
    result = msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=worker.Result)
    assert result.error[0] == "unknown resolver"
