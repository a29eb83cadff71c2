"""Every form of conversion over the packaged and the corpus's models, in the interpreter.

A site is cut out of the converted model with its own operators and run on all its input codes; a
layer on its rows to compare. Kernels here are tables of the correctly rounded codes, which are
found at once; tests/tflite/test_conversion.py has fitted ones.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.fit.problem import Limits, Problem
from embact.sources import data_file
from embact.tflite.builtin_form import bytes_of_tables, table_fit, warnings_of
from embact.tflite.conversion import placements_in
from embact.tflite.convert import convert, converted_operators
from embact.tflite.find.sites import find_sites
from embact.tflite.host.compiled import compile_routines
from embact.tflite.host.delegate import Claim, make_delegate
from embact.tflite.host.runtime import find_runtime, open_interpreter
from embact.tflite.layers import inputs_per_output, outputs, rows_to_compare, unit_of
from embact.tflite.model import builtin_code, items, pack, parse, read
from embact.tflite.placement import LayerPlacement, Placement, place, place_layers
from embact.tflite.planning import Wanted, make_plan
from embact.tflite.routines import sources

CORPUS = Path(__file__).parent / "corpus"
INT8 = [
    *(data_file(f"digits_{name}.tflite") for name in ("cnn_int8", "mlp_int8")),
    *sorted(CORPUS.glob("*__int8.tflite")),
]
INT16 = [data_file("digits_mlp_int16x8.tflite"), *sorted(CORPUS.glob("*__int16x8.tflite"))]
FORMS = ("custom", "builtin", "override")


def planned(path, form):
    """A model, its findings and the placements of its sites by tables, in a form."""
    model = read(path)
    wanted = Wanted(form)
    findings = find_sites(model, singles=wanted.singles)
    placed = [*place(findings.sites, [table_fit(site) for site in findings.sites])]
    if form != "builtin":
        placed += place_layers(findings.layers, [unit_of(layer) for layer in findings.layers])
    return model, tuple(sorted(placed, key=lambda one: one.site.operators[-1]))


@pytest.fixture(scope="module")
def together():
    """(path, form) -> model and placements; and all int8 functions compiled as one library."""
    plans, renamed, number = {}, {}, 0
    for form in ("custom", "override"):
        for path in INT8:
            model, placed = planned(path, form)
            mine = []
            for one in placed:
                number += 1
                stem, mark, widths = one.function.rpartition("_s8")
                mine.append(dataclasses.replace(one, function=f"{stem}_n{number}{mark}{widths}"))
            plans[path, form] = model, tuple(mine)
            renamed |= {one.function: one for one in mine}
    for path in INT8:
        plans[path, "builtin"] = planned(path, "builtin")
    every = tuple(renamed.values())
    return plans, compile_routines(every, sources(every))


def cut_out(written, one):
    """The model that is one site of a converted model, with the operators that compute it."""
    tree = parse(written.content).tree
    graph = tree.subgraphs[0]
    tree.signatureDefs = None
    wanted, kept = {one.site.output}, []
    for node in reversed(items(graph.operators)):
        if set(items(node.outputs)) & wanted:
            kept.insert(0, node)
            wanted |= {i for i in items(node.inputs) if i != one.site.input}
    graph.inputs, graph.outputs, graph.operators = [one.site.input], [one.site.output], kept
    return pack(tree), len(kept)


def computed(content, one, inputs, address=None, operators=1):
    """What an interpreter gives for a site's input codes, in as many inferences as it takes."""
    per_output = inputs_per_output(one.unit) if isinstance(one, LayerPlacement) else 1
    delegate = None
    if address is not None:
        spec = one.site.spec
        claim = Claim(
            tuple(range(operators)),
            *(one.site.input, one.site.output, spec.input.bits, spec.output.bits),
            *(one.site.elements, address, per_output),
        )
        delegate = make_delegate([claim])
    runtime = find_runtime()
    interpreter = open_interpreter(runtime, content, resolver="default", delegate=delegate)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    size = one.site.elements * per_output
    codes = np.concatenate([inputs, np.repeat(inputs[-1:], -inputs.size % size)])
    seen = []
    for part in codes.reshape(-1, size):
        interpreter.set_tensor(
            source["index"], part.astype(source["dtype"]).reshape(source["shape"])
        )
        interpreter.invoke()
        seen.append(interpreter.get_tensor(target["index"]).ravel())
    return np.concatenate(seen)[: inputs.size // per_output].astype(np.int64)


def expected(one):
    """Input codes of a site, and what its definition gives for them."""
    if isinstance(one, LayerPlacement):
        rows = rows_to_compare(one)
        return rows.ravel(), outputs(one, rows).ravel()
    return one.site.spec.input.codes(), one.fit.kernel.outputs


def differing(written, one, address=None):
    content, operators = cut_out(written, one)
    codes, defined = expected(one)
    return np.flatnonzero(computed(content, one, codes, address, operators) != defined)


@pytest.mark.parametrize("form", FORMS)
def test_every_site_gives_its_kernels_code_for_every_input(together, form):
    plans, compiled = together
    sites = 0
    for path in INT8:
        model, placed = plans[path, form]
        if not placed:
            continue
        written = parse(convert(model, placed, form), str(path))
        for one in placed:
            address = None if form == "builtin" else compiled.address(one.function)
            assert differing(written, one, address).size == 0, (path.name, one.site)
            sites += 1
    assert sites > 25, "most models of the corpus have a site in every form"


@pytest.mark.parametrize("form", FORMS)
def test_the_whole_converted_model_runs(together, form):
    plans, compiled = together
    for path in INT8:
        model, placed = plans[path, form]
        if not placed:
            continue
        written = parse(convert(model, placed, form), str(path))
        claims = [
            Claim(
                one.site.operators,
                *(one.site.input, one.site.output),
                *(one.site.spec.input.bits, one.site.spec.output.bits, one.site.elements),
                compiled.address(one.function),
                inputs_per_output(one.unit) if isinstance(one, LayerPlacement) else 1,
            )
            for one in placements_in(written, placed, form)
        ]
        delegate = make_delegate(claims) if claims else None
        interpreter = open_interpreter(
            find_runtime(), written.content, resolver="default", delegate=delegate
        )
        interpreter.invoke()
        assert delegate is None or set(delegate.runs()) == {1}, path.name


def test_a_changed_table_entry_shows_at_one_code(together):
    model, placed = together[0][INT8[0], "builtin"]
    tree = parse(convert(model, placed, "builtin")).tree
    one = placed[1]
    table = tree.subgraphs[0].operators
    gather = next(node for node in table if items(node.outputs) == [one.site.output])
    buffer = tree.buffers[tree.subgraphs[0].tensors[items(gather.inputs)[0]].buffer]
    data = np.array(buffer.data)
    data[200] ^= 1
    buffer.data = data
    assert differing(parse(pack(tree)), one).tolist() == [200]


def test_the_function_of_another_site_shows(together):
    plans, compiled = together
    model, placed = plans[INT8[0], "custom"]
    written = parse(convert(model, placed))
    assert differing(written, placed[0], compiled.address(placed[1].function)).size > 100


def resolved(tree):
    """The operators of the first graph with the whole operator code in place of its number."""
    return [
        (
            (builtin_code(code), code.customCode, code.version),
            {key: value for key, value in vars(node).items() if key != "opcodeIndex"},
        )
        for node in items(tree.subgraphs[0].operators)
        for code in [tree.operatorCodes[node.opcodeIndex]]
    ]


def read_by_anything(tree):
    """Buffers that an operator, a port or the metadata of a model refers to."""
    found = {int(one.buffer) for one in items(tree.metadata)}
    for graph in tree.subgraphs:
        used = {i for node in items(graph.operators) for i in items(node.inputs) if i >= 0}
        used |= {*items(graph.inputs), *items(graph.outputs)}
        found |= {int(graph.tensors[i].buffer) for i in used}
    return found


def changes(model, placed, form, same):
    """What differs between a model and its conversion besides the sites, in words."""
    old, new = model.tree, parse(convert(model, placed, form)).tree
    found = [
        name
        for name in ("version", "description", "metadata", "signatureDefs", "metadataBuffer")
        if not same(getattr(old, name), getattr(new, name))
    ]
    (before, *_), (after, *_) = old.subgraphs, new.subgraphs
    found += [
        name
        for name in ("inputs", "outputs", "name")
        if not same(getattr(before, name), getattr(after, name))
    ]
    count = len(before.tensors)
    if not same(list(before.tensors), list(after.tensors[:count])):
        found.append("tensors")
    gone = {i for one in placed for i in one.site.operators}
    kept = [node for i, node in enumerate(resolved(old)) if i not in gone]
    ours = {one.site.output for one in placed}
    stay = [
        node
        for node in resolved(new)
        if not set(items(node[1]["outputs"])) & ours
        and all(i < count for i in items(node[1]["outputs"]))
    ]
    if [name for name, _ in kept] != [name for name, _ in stay] or not all(
        same(list(a.values()), list(b.values())) for (_, a), (_, b) in zip(kept, stay, strict=True)
    ):
        found.append("operators")
    needed = read_by_anything(new)
    for number, buffer in enumerate(old.buffers):
        emptied = new.buffers[number].data is None and number not in needed
        if not emptied and not same(buffer.data, new.buffers[number].data):
            found.append(f"buffer {number}")
    return found


@pytest.mark.parametrize("form", ["custom", "builtin"])
def test_whatever_is_no_site_stays_as_it_was(together, form, same):
    for path in INT8:
        model, placed = together[0][path, form]
        if placed:
            assert changes(model, placed, form, same) == [], path.name


def test_a_site_more_than_was_said_is_noticed(together, same):
    model, placed = together[0][INT8[0], "custom"]
    tree = parse(model.content).tree
    tree.subgraphs[0].tensors[3].name = b"renamed"
    tree.subgraphs[0].operators[0].builtinOptions = None
    other = dataclasses.replace(model, tree=tree)
    assert changes(other, placed, "custom", same) == ["tensors", "operators"]


def test_override_leaves_the_bytes(together):
    for path in INT8:
        model, placed = together[0][path, "override"]
        if placed:
            assert convert(model, placed, "override") is model.content


def test_operators_compute_what_they_read_first(together):
    for path in INT8:
        for form in ("custom", "builtin"):
            model, placed = together[0][path, form]
            if not placed:
                continue
            tree = parse(convert(model, placed, form)).tree
            graph = tree.subgraphs[0]
            written = {i for node in graph.operators for i in items(node.outputs)}
            ready = {*items(graph.inputs)}
            for node in graph.operators:
                assert all(i in ready or i not in written for i in items(node.inputs))
                ready |= {*items(node.outputs)}


def test_inner_operators_of_a_pattern_are_gone_and_their_constants_empty(together):
    path = CORPUS / "selu__int8.tflite"
    model, placed = together[0][path, "custom"]
    (one,) = [p for p in placed if isinstance(p, Placement)]
    assert len(one.site.operators) > 3
    written = parse(convert(model, placed))
    after = len(items(written.tree.subgraphs[0].operators))
    assert after == len(items(model.tree.subgraphs[0].operators)) - len(one.site.operators) + 1
    held = [sum(b.data is not None for b in tree.buffers) for tree in (model.tree, written.tree)]
    assert held[1] < held[0]


def shared_constant(build):
    """LEAKY by a constant, whose buffer another tensor and the metadata may hold too."""
    slope = bytes([25])
    tensors = [
        build.Tensor("x", shape=(1, 4)),
        build.Tensor("slope", "INT8", (0.01,), 0, (1,), slope),
        build.Tensor("out", shape=(1, 4)),
    ]
    return build.model_of(tensors, [build.Node("PRELU", (0, 1), (2,))], [0], [2])


@pytest.mark.parametrize("holder", ["none", "tensor", "metadata", "output"])
def test_a_buffer_that_something_else_holds_keeps_its_data(build, holder):
    from embact.tflite.model import schema

    tree = parse(shared_constant(build).content).tree
    number = tree.subgraphs[0].tensors[1].buffer
    if holder == "tensor":
        tree.subgraphs[0].tensors[0].buffer = 0
        extra = schema().TensorT(
            shape=[1], type=9, buffer=number, name=b"twin", quantization=None, hasRank=True
        )
        tree.subgraphs[0].tensors.append(extra)
    if holder == "metadata":
        tree.metadata = [schema().MetadataT(name=b"m", buffer=number)]
    if holder == "output":
        tree.subgraphs[0].outputs = [2, 1]
    model = parse(pack(tree))
    findings = find_sites(model, singles=True)
    placed = (
        *place(findings.sites, [table_fit(site) for site in findings.sites]),
        *place_layers(findings.layers, [unit_of(layer) for layer in findings.layers]),
    )
    assert len(placed) == 1
    data = parse(convert(model, placed)).tree.buffers[number].data
    assert (data is None) == (holder == "none")


def test_equal_kernels_share_one_buffer_and_equal_grids_one_tensor(build):
    tensors = [
        build.Tensor(name, "INT8", (scale,), zero, (1, 4))
        for name, scale, zero in (
            ("a", 0.05, 0),
            ("b", 1 / 256, -128),
            ("c", 0.05, 0),
            ("d", 1 / 256, -128),
        )
    ]
    nodes = [build.Node("LOGISTIC", (i,), (i + 1,)) for i in (0, 2)]
    model = build.model_of(tensors, nodes, [0, 2], [1, 3])
    sites = find_sites(model).sites
    placed = place(sites, [table_fit(site) for site in sites])
    tree = parse(convert(model, placed, "builtin")).tree
    gathers = [node for node in tree.subgraphs[0].operators if len(items(node.inputs)) == 2]
    tables = [items(node.inputs)[0] for node in gathers[1::2]]
    assert tables[0] == tables[1]
    assert bytes_of_tables(placed) == 256
    sizes = [len(buffer.data) for buffer in tree.buffers if buffer.data is not None]
    assert sorted(sizes) == [4, 256]
    names = [(builtin_code(code), code.version) for code in tree.operatorCodes]
    assert names == [(53, 3), (0, 1), (36, 2)], "CAST of int8, ADD of int32, GATHER of int8"


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_tables_work_for_tensors_of_any_rank(build, rank):
    shape = (1,) * (rank - 1) + (256,)
    tensors = [
        build.Tensor("in", "INT8", (0.05,), 3, shape),
        build.Tensor("out", "INT8", (1 / 128,), 0, shape),
    ]
    model = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    (site,) = find_sites(model).sites
    (one,) = place([site], [table_fit(site)])
    assert differing(parse(convert(model, [one], "builtin")), one).size == 0


def test_int16_tables_warn_of_their_bytes_and_of_tflm(build):
    model = build.one_op("TANH", "INT16", elements=256)
    (site,) = find_sites(model).sites
    (one,) = place([site], [table_fit(site)])
    memory, size, tflm = warnings_of([one])
    assert "take 2,048 bytes" in memory, "two int32 tensors of 256 elements"
    assert "131,072 bytes" in size
    assert "TFLM's GATHER refuses int16" in tflm
    assert differing(parse(convert(model, [one], "builtin")), one).size == 0
    small = build.one_op("TANH")
    (site,) = find_sites(small).sites
    assert len(warnings_of(place([site], [table_fit(site)]))) == 1
    assert warnings_of(()) == ()


def test_a_table_beyond_the_users_limit_is_refused(build):
    model = build.one_op("TANH")
    findings = find_sites(model)

    def problem_of(site):
        return Problem(site.activation, site.spec, Limits(1, 255))

    with pytest.raises(EmbactError, match=r"table of the builtin form: got '?256 bytes"):
        make_plan(model, findings, Wanted("builtin", strict=True), problem_of)


def test_an_unknown_form_is_named(build):
    with pytest.raises(EmbactError, match=r"form.*custom"):
        convert(build.one_op("TANH"), [], "customs")


def test_the_builtin_form_leaves_layers_alone(together):
    path = CORPUS / "softmax__int8.tflite"
    if not path.exists():
        path = CORPUS / "log_softmax__int8.tflite"
    model = read(path)
    layers = find_sites(model).layers
    assert layers
    placed = place_layers(layers, [unit_of(layer) for layer in layers])
    with pytest.raises(EmbactError, match="nothing to convert"):
        convert(model, placed, "builtin")
    assert converted_operators(parse(convert(model, placed)))


@pytest.mark.slow
@pytest.mark.parametrize("path", INT16, ids=lambda path: path.stem)
def test_int16_tables_give_every_code(path):
    model, placed = planned(path, "builtin")
    if not placed:
        with pytest.raises(EmbactError, match="nothing to convert"):
            convert(model, placed, "builtin")
        return
    written = parse(convert(model, placed, "builtin"), str(path))
    for one in placed:
        assert differing(written, one).size == 0
