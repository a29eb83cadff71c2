"""The delegate: our function runs for exactly the claimed operators of an interpreter."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.grid import all_codes
from embact.run.host import compile_header
from embact.run.toolchain import STRICT
from embact.sources import c_source
from embact.tflite.convert import convert
from embact.tflite.find.sites import find_sites
from embact.tflite.host import probe
from embact.tflite.host.delegate import Claim, make_delegate, probe_address
from embact.tflite.host.probe import one_logistic, self_test
from embact.tflite.host.runtime import find_runtime, open_interpreter
from embact.tflite.model import pack, parse, schema
from embact.tflite.placement import place

OPS = ["ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "RELU", "RELU6", "TANH"]
STOCK_LACKS = {
    ("litert", "ELU", 16),
    ("litert", "HARD_SWISH", 16),
    ("tflite-runtime", "ELU", 16),
    ("tflite-runtime", "GELU", 16),
    ("tflite-runtime", "HARD_SWISH", 16),
}
"""What the stock kernels refuse when they run. Ours run there all the same."""


@pytest.fixture(params=["litert", "tflite-runtime"])
def runtime(request):
    if request.param == "tflite-runtime":
        pytest.importorskip(
            "tflite_runtime", reason="its wheels end at CPython 3.11 on Linux and need numpy 1"
        )
    return find_runtime(request.param)


def invoke(interpreter, codes):
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(source["index"], codes.astype(source["dtype"]).reshape(source["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(target["index"]).ravel().astype(np.int64)


def claim_of(site, function, **changes):
    fields = {
        "operators": site.operators,
        "input": site.input,
        "output": site.output,
        "input_bits": site.spec.input.bits,
        "output_bits": site.spec.output.bits,
        "elements": site.elements,
        "address": function,
    }
    return Claim(**{**fields, **changes})


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op", OPS)
def test_a_table_of_the_stock_outputs_changes_nothing_and_one_changed_entry_shows(
    build, runtime, op, bits
):
    model = build.one_op(op, f"INT{bits}", fields={"alpha": 0.3} if op == "LEAKY_RELU" else None)
    codes = all_codes(bits)
    resolver = "default" if op == "ELU" else "reference"
    interpreter = open_interpreter(runtime, model.content, resolver=resolver)
    if (runtime.name, op, bits) in STOCK_LACKS:
        with pytest.raises(RuntimeError, match="INT16"):
            invoke(interpreter, codes)
        stock = codes
    else:
        stock = invoke(interpreter, codes)
        assert len(set(stock)) > 50
    (site,) = find_sites(model).sites
    wrong = stock.copy()
    wrong[77] += 1 if wrong[77] < 0 else -1
    fits = {
        "embact_right": build.fit_of_table(site.activation, site.spec, stock),
        "embact_wrong": build.fit_of_table(site.activation, site.spec, wrong),
    }
    compiled = compile_header(emit_header(fits), dict.fromkeys(fits, (bits, bits)))
    for name, changed in (("embact_right", []), ("embact_wrong", [77])):
        delegate = make_delegate([claim_of(site, compiled.address(name))])
        interpreter = open_interpreter(runtime, model.content, resolver=resolver, delegate=delegate)
        seen = invoke(interpreter, codes)
        assert np.flatnonzero(seen != stock).tolist() == changed
        assert (delegate.replaced(), delegate.runs()) == (1, (1,))


def test_a_pair_of_operators_is_computed_by_one_function(build, runtime):
    model = build.silu_pair()
    (site,) = find_sites(model).sites
    codes = all_codes(8)
    stock = invoke(open_interpreter(runtime, model.content), codes)
    delegate = make_delegate([claim_of(site, probe_address())])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    assert np.array_equal(invoke(interpreter, codes), (91 * (codes + 128) + 17) % 256 - 128)
    assert delegate.runs() == (1,)
    assert not np.array_equal(stock, (91 * (codes + 128) + 17) % 256 - 128)


@pytest.mark.parametrize("count", [3, 7])
def test_any_number_of_operators_is_computed_by_one_function(build, runtime, count):
    tensors = [build.Tensor(f"t{i}") for i in range(count + 1)]
    nodes = [build.Node("RELU", (i,), (i + 1,)) for i in range(count)]
    model = build.model_of(tensors, nodes, [0], [count])
    site = find_sites(model, singles=True).sites[0]
    claim = claim_of(site, probe_address(), operators=tuple(range(count)), output=count)
    delegate = make_delegate([claim])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    codes = all_codes(8)
    assert np.array_equal(invoke(interpreter, codes), (91 * (codes + 128) + 17) % 256 - 128)
    assert (delegate.replaced(), delegate.runs()) == (1, (1,))


def test_a_function_that_reads_two_codes_for_one_gets_the_whole_input(build, runtime):
    """size is of the output: the probe reads the first half, and the input must be twice as long"""
    tensors = [
        build.Tensor("axis", "INT32", (), 0, (), (1).to_bytes(4, "little")),
        build.Tensor("in", shape=(1, 512)),
        build.Tensor("a"),
        build.Tensor("b"),
        build.Tensor("out"),
    ]
    split = ("SplitOptions", schema().SplitOptionsT(numSplits=2))
    nodes = [
        build.Node("SPLIT", (0, 1), (2, 3), split),
        build.Node("MUL", (2, 3), (4,), build.options("MUL")),
    ]
    model = build.model_of(tensors, nodes, [1], [4])
    claim = Claim((0, 1), 1, 4, 8, 8, 256, probe_address(), inputs_per_output=2)
    interpreter = open_interpreter(runtime, model.content, delegate=make_delegate([claim]))
    codes = np.concatenate([all_codes(8), np.zeros(256, dtype=np.int64)])
    assert np.array_equal(invoke(interpreter, codes), (91 * (codes[:256] + 128) + 17) % 256 - 128)
    short = Claim((0, 1), 1, 4, 8, 8, 256, probe_address())
    with pytest.raises(EmbactError, match="tensor 1 has 512 bytes, the kernel was made for 256"):
        open_interpreter(runtime, model.content, delegate=make_delegate([short]))


def test_only_the_claimed_operators_are_taken(build, runtime):
    tensors = [build.Tensor(name) for name in ("a", "b", "c", "d")]
    nodes = [build.Node("RELU", (i,), (i + 1,)) for i in range(3)]
    model = build.model_of(tensors, nodes, [0], [3])
    sites = find_sites(model, singles=True).sites
    delegate = make_delegate([claim_of(sites[i], probe_address()) for i in (0, 2)])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    codes = all_codes(8)
    once = (91 * (codes + 128) + 17) % 256 - 128
    expected = (91 * (np.maximum(once, 0) + 128) + 17) % 256 - 128
    assert np.array_equal(invoke(interpreter, codes), expected)
    assert np.array_equal(invoke(interpreter, codes), expected)
    assert delegate.runs() == (2, 2)


def test_operators_that_the_runtime_cannot_run_as_one_are_refused(build, runtime):
    tensors = [build.Tensor(name) for name in ("a", "b", "c", "d")]
    nodes = [build.Node("RELU", (i,), (i + 1,)) for i in range(3)]
    model = build.model_of(tensors, nodes, [0], [3])
    site = find_sites(model, singles=True).sites[0]
    claim = claim_of(site, probe_address(), operators=(0, 2), output=3)
    with pytest.raises(EmbactError, match="split the operators"):
        open_interpreter(runtime, model.content, delegate=make_delegate([claim]))


def test_an_operator_that_no_runtime_knows_runs_when_claimed(build, runtime):
    model = build.one_op("TANH")
    (site,) = find_sites(model).sites
    fit = build.fit_of_table(site.activation, site.spec, range(-128, 128))
    converted = convert(model, place([site], [fit]))
    delegate = make_delegate([claim_of(site, probe_address())])
    interpreter = open_interpreter(runtime, converted, delegate=delegate)
    codes = all_codes(8)
    assert np.array_equal(invoke(interpreter, codes), (91 * (codes + 128) + 17) % 256 - 128)
    with pytest.raises(EmbactError, match=r"lacks operator embact_tanh.*kernels folder"):
        open_interpreter(runtime, converted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": 255}, "tensor 0 has 256 bytes, the kernel was made for 255"),
        ({"input_bits": 16}, "tensor 0 has type 9, the kernel was made for 7"),
        ({"output_bits": 16}, "tensor 1 has type 9, the kernel was made for 7"),
        ({"input": 1}, "operator 0 does not read tensor 1 and write 1"),
        ({"output": 7}, "operator 0 does not read tensor 0 and write 7"),
    ],
)
def test_a_claim_that_does_not_fit_its_operator_is_refused(build, runtime, changes, message):
    model = build.one_op("TANH")
    (site,) = find_sites(model).sites
    delegate = make_delegate([claim_of(site, probe_address(), **changes)])
    with pytest.raises(EmbactError, match=message) as error:
        open_interpreter(runtime, model.content, delegate=delegate)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("elements", [255, 257])
def test_a_tensor_that_is_resized_after_the_hand_over_is_refused(build, runtime, elements):
    model = build.one_op("TANH")
    (site,) = find_sites(model).sites
    delegate = make_delegate([claim_of(site, probe_address())])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    invoke(interpreter, all_codes(8))
    interpreter.resize_tensor_input(0, [1, elements])
    message = f"embact: tensor 0 has {elements} bytes, the kernel was made for 256"
    for attempt in (interpreter.allocate_tensors, interpreter.invoke):
        with pytest.raises(RuntimeError, match=message):
            attempt()
    assert delegate.runs() == (1,)


@pytest.mark.parametrize("elements", [128, 256])
def test_a_tensor_that_is_sized_while_the_graph_runs_is_refused(build, runtime, elements):
    tensors = [
        build.Tensor("in", shape=(1, elements)),
        build.Tensor("shape", "INT32", (), shape=(2,)),
        build.Tensor("dynamic"),
        build.Tensor("out"),
    ]
    nodes = [build.Node("RESHAPE", (0, 1), (2,)), build.Node("RELU", (2,), (3,))]
    model = build.model_of(tensors, nodes, [0, 1], [3])
    (site,) = find_sites(model).sites
    delegate = make_delegate([claim_of(site, probe_address())])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    shape = interpreter.get_input_details()[1]["index"]
    interpreter.set_tensor(shape, np.array([1, elements], dtype=np.int32))
    with pytest.raises(RuntimeError, match="embact: tensor 2 "):
        interpreter.invoke()
    assert delegate.runs() == (0,)


def test_only_the_first_graph_of_a_model_is_changed(build, runtime):
    tensors = [build.Tensor("in"), build.Tensor("out")]
    graph = (tensors, [build.Node("RELU", (0,), (1,))], [0], [1])
    tree, made = build.tree_of(graph, graph), schema()
    tree.signatureDefs = [
        made.SignatureDefT(
            signatureKey=key,
            subgraphIndex=number,
            inputs=[made.TensorMapT(name=b"x", tensorIndex=0)],
            outputs=[made.TensorMapT(name=b"y", tensorIndex=1)],
        )
        for number, key in enumerate((b"first", b"second"))
    ]
    model = parse(pack(tree))
    (site,) = find_sites(model).sites
    delegate = make_delegate([claim_of(site, probe_address())])
    interpreter = open_interpreter(runtime, model.content, delegate=delegate)
    codes = all_codes(8).astype(np.int8).reshape(1, 256)
    first, second = (interpreter.get_signature_runner(n)(x=codes)["y"] for n in ("first", "second"))
    assert np.array_equal(first, (91 * (codes.astype(np.int64) + 128) + 17) % 256 - 128)
    assert np.array_equal(second, np.maximum(codes, 0))
    assert delegate.runs() == (1,)


def test_a_claim_of_an_operator_that_does_not_exist_is_refused(build, runtime):
    model = build.one_op("TANH")
    (site,) = find_sites(model).sites
    delegate = make_delegate([claim_of(site, probe_address(), operators=(5,))])
    with pytest.raises(EmbactError):
        open_interpreter(runtime, model.content, delegate=delegate)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operators": ()}, "operators of a claim"),
        ({"inputs_per_output": 0}, "inputs for an output"),
        ({"input_bits": 32}, "bit width"),
        ({"elements": 1 << 30}, "elements"),
        ({"address": 0}, "address"),
    ],
)
def test_an_impossible_claim_is_refused_before_any_interpreter(build, changes, message):
    (site,) = find_sites(build.one_op("TANH")).sites
    with pytest.raises(EmbactError, match=message):
        make_delegate([claim_of(site, probe_address(), **changes)])


def test_the_self_test_passes_here(runtime):
    self_test(runtime.name)


def test_the_self_test_fails_if_another_function_runs(build, runtime, monkeypatch):
    (site,) = find_sites(build.one_op("TANH")).sites
    fits = {"embact_tanh_s8": build.fit_of_table(site.activation, site.spec, range(-128, 128))}
    compiled = compile_header(emit_header(fits), {"embact_tanh_s8": (8, 8)})
    monkeypatch.setattr(probe, "probe_address", lambda: compiled.address("embact_tanh_s8"))
    with pytest.raises(EmbactError, match=rf"cannot run in {runtime.version}.*of 256 outputs"):
        self_test.__wrapped__(runtime.name)


def test_the_self_test_fails_if_the_node_is_not_handed_over(runtime, monkeypatch):
    monkeypatch.setattr(probe, "POINTS", 255)
    with pytest.raises(EmbactError, match=f"cannot run in {runtime.version}"):
        self_test.__wrapped__(runtime.name)


def test_the_operator_of_the_self_test_gives_something_else(runtime):
    codes = all_codes(8)
    stock = invoke(open_interpreter(runtime, one_logistic()), codes)
    assert np.count_nonzero(stock != (91 * (codes + 128) + 17) % 256 - 128) > 200


def test_a_resolver_without_the_operator_is_named_with_the_other_one(build):
    with pytest.raises(EmbactError, match=r"resolver reference, lacks operator ELU.*default"):
        open_interpreter(find_runtime(), build.one_op("ELU").content)
    open_interpreter(find_runtime(), build.one_op("ELU").content, resolver="default")


def test_unknown_runtimes_and_resolvers_are_named():
    with pytest.raises(EmbactError, match=r"runtime.*litert"):
        find_runtime("litrt")
    with pytest.raises(EmbactError, match=r"resolver.*reference"):
        open_interpreter(find_runtime(), one_logistic(), resolver="ref")


def test_a_missing_runtime_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(EmbactError, match=r'pip install "embact\[tflite\]"'):
        find_runtime("litert")


def test_a_file_that_the_runtime_refuses_is_one_line(build):
    tensors = [build.Tensor("in"), build.Tensor("out", "INT16")]
    model = build.model_of(tensors, [build.Node("RELU", (0,), (1,))], [0], [1])
    with pytest.raises(EmbactError, match="refuses the model") as error:
        open_interpreter(find_runtime(), model.content, where="bad.tflite")
    assert "\n" not in str(error.value)
    assert "bad.tflite" in str(error.value)


def test_the_c_side_compiles_clean_with_the_second_compiler(tmp_path):
    for name in ("host_delegate.c", "host_delegate.h"):
        (tmp_path / name).write_text(c_source(name), "utf-8")
    command = [sys.executable, "-m", "ziglang", "cc", *STRICT, "-c", "host_delegate.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
