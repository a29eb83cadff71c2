"""What a conversion would silently break: tensors that only a signature names, numbered metadata.

And what runs: random graphs, of which the converted model computes what the kernels define.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.tflite.builtin_form import table_fit
from embact.tflite.convert import NUMBERED, convert
from embact.tflite.find.sites import find_sites
from embact.tflite.model import pack, parse, schema
from embact.tflite.placement import place

SILU = "gate = LOGISTIC x; y = MUL x gate"
ONE = "y = TANH x"


def with_signature(model, outputs):
    """The model with a signature of these outputs, whose names are their numbers."""
    made, tree = schema(), parse(model.content).tree
    tree.signatureDefs = [
        made.SignatureDefT(
            inputs=[made.TensorMapT(name=b"x", tensorIndex=0)],
            outputs=[made.TensorMapT(name=str(i).encode(), tensorIndex=i) for i in outputs],
            signatureKey=b"serving_default",
            subgraphIndex=0,
        )
    ]
    return parse(pack(tree))


def with_metadata(model, name):
    made, tree = schema(), parse(model.content).tree
    tree.buffers.append(made.BufferT(data=np.zeros(16, np.uint8)))
    tree.metadata = [made.MetadataT(name=name.encode(), buffer=len(tree.buffers) - 1)]
    return parse(pack(tree))


def placed(model):
    sites = find_sites(model).sites
    return place(sites, [table_fit(site) for site in sites])


def test_a_tensor_that_a_signature_names_is_no_inner_one(build):
    model = build.pattern(SILU)
    names = [tensor.name for tensor in model.tree.subgraphs[0].tensors]
    ends = names.index(b"y"), names.index(b"gate")
    (whole,) = find_sites(with_signature(model, ends[:1])).sites
    assert whole.activation.name == "silu"
    found = find_sites(with_signature(model, ends))
    assert [site.ops for site in found.sites] == [("LOGISTIC",)]


@pytest.mark.parametrize("name", NUMBERED)
@pytest.mark.parametrize(
    ("lines", "form", "is_refused"),
    [
        (SILU, "custom", True),
        (SILU, "builtin", True),
        (SILU, "override", False),
        (ONE, "custom", False),
        (ONE, "builtin", True),
    ],
)
def test_metadata_that_numbers_operators_is_refused_where_they_change(
    build, name, lines, form, is_refused
):
    model = with_metadata(build.pattern(lines), name)
    if is_refused:
        with pytest.raises(EmbactError, match=f"metadata {name}: got .*--form override"):
            convert(model, placed(model), form)
    else:
        assert parse(convert(model, placed(model), form)).tree.metadata[0].name == name.encode()


def test_other_metadata_is_kept(build):
    model = with_metadata(build.pattern(SILU), "min_runtime_version")
    assert parse(convert(model, placed(model))).tree.metadata[0].name == b"min_runtime_version"


UNARY = ("ABS", "LOGISTIC", "TANH", "RELU", "RELU6", "HARD_SWISH", "LEAKY_RELU", "EXP")
BINARY = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM")
NUMBERS = ("0", "1", "-1", "0.5", "3", "6", "0.2", "1.702")


def random_lines(rng, length):
    """Operators on x and earlier results, half of them on the last one, and the results read."""
    names, lines = ["x"], []
    for place_ in range(length):
        operand = names[-1] if rng.random() < 0.7 else rng.choice(names)
        if rng.random() < 0.4:
            call = f"{rng.choice(UNARY)} {operand}"
        else:
            op = rng.choice(BINARY)
            clamp = "+RELU" if op not in ("MAXIMUM", "MINIMUM") and rng.random() < 0.2 else ""
            other = rng.choice((*NUMBERS, *names))
            call = f"{op}{clamp} {operand} {other}"
        names.append(f"t{place_}")
        lines.append(f"t{place_} = {call}")
    outputs = {names[-1], rng.choice(names[1:])} if rng.random() < 0.3 else {names[-1]}
    return "; ".join(lines), sorted(outputs)


def run(content, codes):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    reference = OpResolverType.BUILTIN_REF
    runtime = Interpreter(model_content=content, experimental_op_resolver_type=reference)
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], codes)
    runtime.invoke()
    ends = runtime.get_output_details()
    return {one["index"]: runtime.get_tensor(one["index"]).ravel() for one in ends}


def computed(model, placements, codes):
    """The outputs by tensor from the tables alone, if the sites are the whole model; or None."""
    sites = {i for one in placements for i in one.site.operators}
    if len(sites) != len(model.tree.subgraphs[0].operators):
        return None
    known = {0: codes.ravel()}
    for one in sorted(placements, key=lambda one: one.site.operators[-1]):
        table = one.fit.kernel.outputs
        known[one.site.output] = table[known[one.site.input].astype(int) + 128]
    return {int(i): known[int(i)] for i in model.tree.subgraphs[0].outputs}


def test_a_random_graph_computes_what_its_kernels_define(build):
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, -1)
    whole = 0
    for seed in range(80):
        rng = random.Random(seed)  # noqa: S311 - nothing is secret here
        lines, outputs = random_lines(rng, rng.randrange(1, 7))
        model = build.pattern(lines, outputs=outputs)
        placements = placed(model)
        if not placements:
            continue
        wanted = computed(model, placements, codes)
        if wanted is None:
            continue
        whole += 1
        written = convert(model, placements, "builtin")
        assert written == convert(model, placements, "builtin")
        got = run(written, codes)
        assert got.keys() == wanted.keys(), lines
        for tensor, right in wanted.items():
            assert np.array_equal(got[tensor], right), lines
    assert whole > 20


def in_float(lines):
    """The same operators in float32, on what the codes of x stand for."""
    words = ["f_" + w if w[0] in "xt" else w for w in lines.replace(";", " ;").split()]
    last = lines.split(";")[-1].split()[0]
    return f"f_x = DEQUANTIZE x; {' '.join(words)}", [f"f_{last}"]


def test_a_random_region_means_what_the_runtime_computes_in_float(build):
    """The runtime's float32 kernels are the independent evaluator; the last bit may turn a tie."""
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, -1)
    whole = 0
    for seed in range(300, 420):
        rng = random.Random(seed)  # noqa: S311 - nothing is secret here
        lines, _ = random_lines(rng, rng.randrange(2, 6))
        model = build.pattern(lines, outputs=[lines.split(";")[-1].split()[0]])
        placements = placed(model)
        if len(placements) != 1 or computed(model, placements, codes) is None:
            continue
        whole += 1
        text, ends = in_float(lines)
        (real,) = run(build.pattern(text, outputs=ends).content, codes).values()
        right = np.clip(np.round(real.astype(np.float64) / np.float32(0.05)), -128, 127)
        off = np.abs(placements[0].fit.kernel.outputs - right)
        assert off.max() <= 1, lines
        assert np.count_nonzero(off) <= 26, lines
    assert whole > 20


def test_another_function_would_be_seen(build):
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, -1)
    text, ends = in_float("t0 = LOGISTIC x; t1 = MUL x t0")
    (real,) = run(build.pattern(text, outputs=ends).content, codes).values()
    (one,) = placed(build.pattern("gate = TANH x; y = MUL x gate"))
    right = np.clip(np.round(real.astype(np.float64) / np.float32(0.05)), -128, 127)
    assert np.abs(one.fit.kernel.outputs - right).max() > 1


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 3), (0, 4)])
def test_the_builtin_form_keeps_the_shape(build, shape):
    from ai_edge_litert.interpreter import Interpreter

    model = build.pattern(ONE, shape=shape)
    runtime = Interpreter(model_content=convert(model, placed(model), "builtin"))
    runtime.allocate_tensors()
    codes = np.full(shape, 20, np.int8)
    runtime.set_tensor(runtime.get_input_details()[0]["index"], codes)
    runtime.invoke()
    found = runtime.get_tensor(runtime.get_output_details()[0]["index"])
    assert found.shape == shape
    assert (found == round(np.tanh(1.0) / 0.05)).all()


def test_a_table_with_another_entry_would_be_seen(build):
    codes = np.arange(-128, 128, dtype=np.int8).reshape(1, -1)
    model = build.pattern(SILU)
    (one,) = placed(model)
    values = one.fit.kernel.outputs.copy()
    values[7] += 1
    wrong = place([one.site], [build.fit_of_table(one.site.activation, one.site.spec, values)])
    got, right = run(convert(model, wrong, "builtin"), codes), computed(model, (one,), codes)
    (tensor,) = right
    assert np.flatnonzero(got[tensor] != right[tensor]).tolist() == [7]
