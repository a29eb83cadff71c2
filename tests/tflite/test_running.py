"""Models in a child process: whatever a model or a runtime does, we report it in one line."""

from __future__ import annotations

import dataclasses
import signal
import sys

import msgspec
import numpy as np
import pytest

from embact.errors import EmbactError
from embact.run.host import compile_header
from embact.tflite.host import child, worker
from embact.tflite.host.child import Runner, _claim, _run_child, run_model
from embact.tflite.host.data import random_data
from embact.tflite.host.evaluate import evaluate
from embact.tflite.host.runtime import find_runtime, open_interpreter, resolved_runtime, runtime_of
from embact.tflite.host.worker import Job
from embact.tflite.model import pack, parse, schema


def test_a_model_that_takes_too_long_is_an_error(build, placed):
    model = build.one_op("TANH", elements=4)
    with pytest.raises(EmbactError, match=r"too long while it starts: got over 0.01 s"):
        run_model(model, random_data(model, 1), placed(model), runner=Runner(timeout_s=0.01))


def test_what_the_runtime_refuses_names_the_other_resolver(build, placed):
    model = build.one_op("ELU", elements=4)
    data = random_data(model, 2)
    with pytest.raises(EmbactError, match=r"lacks operator ELU.*resolver default"):
        evaluate(model, placed(model), data)
    found = evaluate(model, placed(model), data, runner=Runner(resolver="default"))
    assert found.resolver == "default"


def test_an_operator_that_fails_when_it_runs_is_an_error(build):
    model = build.one_op("HARD_SWISH", "INT16", elements=4)
    with pytest.raises(EmbactError, match=r"refuses the model.*INT16") as error:
        evaluate(model, [], random_data(model, 2))
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
        own=1,
        kept=1,
        memory_bytes=child.MEMORY_BYTES,
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
    said = rf"^made\.tflite: litert 1\.2, .* crashed running the model with kernels: got {name};"
    with pytest.raises(EmbactError, match=said):
        _run_child(job, tmp_path / "job.json", 60, "litert 1.2")
    assert getattr(signal, name)


@pytest.mark.parametrize("status", [0, 7])
def test_a_child_that_leaves_early_is_an_error(build, placed, tmp_path, status):
    model = build.one_op("TANH", elements=4)
    job = job_with(tmp_path, model, placed(model), compiled_body(f"_Exit({status});"))
    said = f"failed running the model with kernels: got exit status {status}"
    with pytest.raises(EmbactError, match=said):
        _run_child(job, tmp_path / "job.json", 60, "litert 1.2")


def test_the_worker_gives_the_same_in_this_process(build, placed, tmp_path):
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


def test_a_kernel_that_does_not_end_is_stopped_and_named(build, placed, tmp_path):
    model = build.one_op("TANH", elements=4)
    job = job_with(tmp_path, model, placed(model), compiled_body("for (;;) {}"))
    with pytest.raises(EmbactError, match="too long running the model with kernels: got over 3 s"):
        _run_child(job, tmp_path / "job.json", 3, "litert 1.2")


def crashing(build):
    """A model that makes the stock runtimes write beyond their memory.

    Its SVDF has a state of int8, as microcontrollers have it. TFLite takes such a state for int16
    and writes twice its 256 kB.
    """
    inputs, units, memory = 96, 64, 4096
    tensors = [
        build.Tensor("in", shape=(1, inputs)),
        build.Tensor("feature", shape=(units, inputs), data=bytes([3]) * (units * inputs)),
        build.Tensor("time", shape=(units, memory), data=bytes([3]) * (units * memory)),
        build.Tensor("bias", "INT32", shape=(units,), data=bytes(4 * units)),
        build.Tensor("state", shape=(1, units * memory)),
        build.Tensor("out", shape=(1, units)),
    ]
    options = ("SVDFOptions", schema().SVDFOptionsT(rank=1, fusedActivationFunction=1))
    node = build.Node("SVDF", (0, 1, 2, 3, 4), (5,), options)
    tree = build.tree_of((tensors, [node], [0], [5]))
    tree.subgraphs[0].tensors[4].isVariable = True
    return parse(pack(tree), "crashing.tflite")


@pytest.mark.skipif(sys.platform == "win32", reason="processes die otherwise there")
@pytest.mark.parametrize("resolver", ["reference", "default"])
def test_a_model_that_crashes_the_stock_runtime_is_an_error_of_that_model(build, resolver):
    model = crashing(build)
    with pytest.raises(EmbactError) as error:
        evaluate(model, [], random_data(model, 4), runner=Runner(resolver=resolver))
    said = rf"crashing.tflite: ai-edge-litert [0-9.]+, resolver {resolver}, crashed running the"
    assert error.match(
        rf"^{said} model: got SIG[A-Z]+; allowed: a model that this runtime can run$"
    )


def test_a_model_with_a_state_that_the_runtime_knows_does_not_crash(build):
    model = crashing(build)
    made = schema().TensorType
    for tensor in model.tree.subgraphs[0].tensors:
        if tensor.name in {b"state", b"time"}:
            tensor.type = made.INT16
            octets = bytes(2 * np.prod(tensor.shape))
            if tensor.name == b"time":
                model.tree.buffers[tensor.buffer].data = np.frombuffer(octets, dtype=np.uint8)
    model = parse(pack(model.tree), "sound.tflite")
    assert evaluate(model, [], random_data(model, 4)).samples == 4


def outer_sum(build, size):
    """A model whose one output has size * size elements: those of its input, each with each."""
    shapes = [(1, size), (1, size, 1), (1, 1, size), (1, size, size)]
    tensors = [build.Tensor(str(i), shape=shape) for i, shape in enumerate(shapes)]
    reshape = [
        ("ReshapeOptions", schema().ReshapeOptionsT(newShape=list(shape))) for shape in shapes[1:3]
    ]
    nodes = [build.Node("RESHAPE", (0,), (i + 1,), one) for i, one in enumerate(reshape)]
    nodes.append(build.Node("ADD", (1, 2), (3,), build.options("ADD")))
    return build.model_of(tensors, nodes, [0], [3])


@pytest.mark.skipif(sys.platform != "linux", reason="only there is memory limited")
def test_a_model_that_wants_more_memory_than_allowed_is_an_error(build):
    runner = Runner(memory_bytes=1 << 30)
    small, large = (outer_sum(build, size) for size in (64, 1 << 15))
    assert run_model(small, random_data(small, 1), (), runner=runner).arrays[0].size == 64 * 64
    said = r"^made\.tflite: .*(crashed.*got SIG|refuses.*got no reason|memory)"
    with pytest.raises(EmbactError, match=said):
        run_model(large, random_data(large, 1), (), runner=runner)


def test_resolvers_have_their_runtimes():
    assert [runtime_of(name) for name in ("reference", "default", "tflm-oracle")] == [
        "litert",
        "litert",
        "tflite-runtime",
    ]
    assert runtime_of("reference", "tflite-runtime") == "tflite-runtime"
    with pytest.raises(EmbactError, match=r"tflm-oracle: got litert; allowed: tflite-runtime"):
        runtime_of("tflm-oracle", "litert")


def test_the_oracle_is_the_version_that_was_compared_with_tflm(monkeypatch):
    pytest.importorskip("tflite_runtime", reason="its wheels end at CPython 3.11 on Linux")
    assert resolved_runtime("tflm-oracle").version.startswith("tflite-runtime 2.14.")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.15.0")
    assert find_runtime("tflite-runtime").version == "tflite-runtime 2.15.0"
    with pytest.raises(EmbactError, match=r"got tflite-runtime 2\.15\.0; allowed: 2\.14"):
        resolved_runtime("tflm-oracle")


def test_a_runtime_that_is_missing_is_an_error_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.14.0")
    with pytest.raises(EmbactError, match=r'missing.*pip install "embact\[tflm-oracle\]"'):
        resolved_runtime("tflm-oracle")


def test_a_numpy_that_the_oracle_cannot_use_is_refused_before_it_crashes(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.14.0")
    monkeypatch.setattr("numpy.__version__", "2.4.6")
    with pytest.raises(EmbactError, match=r"got numpy 2\.4\.6; allowed: .*numpy < 2"):
        find_runtime("tflite-runtime")


def test_an_interpreter_of_another_runtime_is_not_opened_as_the_oracle(build):
    with pytest.raises(EmbactError, match="tflm-oracle"):
        open_interpreter(
            find_runtime(), build.one_op("TANH", elements=4).content, resolver="tflm-oracle"
        )


def test_the_oracle_has_other_bits_than_the_usual_reference(build):
    pytest.importorskip("tflite_runtime", reason="its wheels end at CPython 3.11 on Linux")
    weights = np.random.default_rng(1).integers(-127, 128, (8, 64), np.int8)
    tensors = [
        build.Tensor("in", shape=(1, 64)),
        build.Tensor("weights", scale=(0.01,), shape=(8, 64), data=weights.tobytes()),
        build.Tensor("bias", "INT32", (0.0005,), shape=(8,), data=bytes(32)),
        build.Tensor("out", scale=(0.003,), shape=(1, 8)),
    ]
    dense = ("FullyConnectedOptions", schema().FullyConnectedOptionsT())
    model = build.model_of(
        tensors, [build.Node("FULLY_CONNECTED", (0, 1, 2), (3,), dense)], [0], [3]
    )
    data = random_data(model, 400)
    seen = {
        name: run_model(model, data, (), runner=Runner(resolver=name))
        for name in ("reference", "tflm-oracle")
    }
    assert seen["tflm-oracle"].runtime.startswith("tflite-runtime 2.14")
    off = seen["reference"].arrays[0].astype(int) - seen["tflm-oracle"].arrays[0]
    assert 0 < np.abs(off).max() <= 2
