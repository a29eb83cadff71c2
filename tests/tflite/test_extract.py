"""Excerpts compute what the model computes, on every input code, whatever the model's shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embact.activations import activation
from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.host.runtime import find_runtime, open_interpreter
from embact.tflite.model import items, parse, read, shape_of
from embact.tflite.site import Site
from embact.tflite.stock.extract import excerpt, excerpts

CORPUS = Path(__file__).parent / "corpus"
CODES = np.arange(-128, 128, dtype=np.int8)


def run(content, array):
    interpreter = open_interpreter(find_runtime(), content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], array.reshape(source["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(target["index"]).ravel()


def site_of(operators, source, target):
    grid = Grid(0.05, 0, 8)
    ops = tuple("ADD" for _ in operators)
    known = activation("identity")
    return Site(0, operators, source, target, ops, "out", known, QuantSpec(grid, grid), 64)


def added(build, constants, *, shape=(1, 16, 4), constant_shape=(1, 1, 4)):
    """A model x + constants, on tensors of any shape."""
    tensors = [
        build.Tensor("x", shape=shape),
        build.Tensor("c", shape=constant_shape, data=np.array(constants, np.int8).tobytes()),
        build.Tensor("out", shape=shape),
    ]
    return build.model_of(
        tensors, [build.Node("ADD", (0, 1), (2,), build.options("ADD"))], [0], [2]
    )


def test_an_excerpt_gives_the_models_codes_for_all_inputs(build):
    model = build.silu_pair(shape=(1, 64))
    (site,) = find_sites(model).sites
    whole = np.concatenate([run(model.content, part) for part in CODES.reshape(4, 64)])
    assert np.array_equal(run(excerpt(model, site), CODES), whole)
    assert len(set(whole.tolist())) > 100, "not a constant"


def test_the_input_of_an_excerpt_has_every_code_of_its_grid(build):
    for dtype, count in (("INT8", 256), ("INT16", 65536)):
        model = build.one_op("TANH", dtype, elements=8)
        (site,) = find_sites(model).sites
        (graph,) = parse(excerpt(model, site)).tree.subgraphs
        assert [shape_of(tensor) for tensor in graph.tensors] == [(1, count), (1, count)]


def test_options_go_with_the_operator(build):
    outputs = []
    for alpha in (0.1, 0.4):
        model = build.one_op("LEAKY_RELU", elements=8, fields={"alpha": alpha})
        (site,) = find_sites(model).sites
        outputs.append(run(excerpt(model, site), CODES))
    assert not np.array_equal(*outputs)


def test_a_constant_that_is_the_same_everywhere_becomes_one_number(build):
    model = added(build, [20] * 4)
    found = run(excerpt(model, site_of((0,), 0, 2)), CODES)
    assert np.array_equal(found, np.minimum(CODES.astype(int) + 20, 127))


def test_a_constant_of_one_element_keeps_its_place(build):
    model = added(build, [7], constant_shape=())
    found = run(excerpt(model, site_of((0,), 0, 2)), CODES)
    assert np.array_equal(found, np.minimum(CODES.astype(int) + 7, 127))


@pytest.mark.parametrize("name", ["prelu_one__int8", "hard_shrink__int8", "isru__int8"])
def test_constants_of_higher_rank_do_not_change_the_shape_of_the_result(name):
    model = read(CORPUS / f"{name}.tflite")
    (site,) = find_sites(model).sites
    cut = excerpt(model, site)
    assert len(set(run(cut, CODES).tolist())) > 10
    (target,) = open_interpreter(find_runtime(), cut).get_output_details()
    assert target["shape"].tolist() == [1, 256]


def test_a_constant_that_differs_from_place_to_place_is_refused(build):
    model = added(build, [20, 20, 21, 20])
    with pytest.raises(EmbactError, match="differs from place to place"):
        excerpt(model, site_of((0,), 0, 2))


def test_an_operator_that_reads_from_elsewhere_is_refused(build):
    tensors = [build.Tensor("x"), build.Tensor("other"), build.Tensor("out")]
    node = build.Node("ADD", (0, 1), (2,), build.options("ADD"))
    model = build.model_of(tensors, [node], [0, 1], [2])
    with pytest.raises(EmbactError, match="from elsewhere"):
        excerpt(model, site_of((0,), 0, 2))


def test_one_site_without_an_excerpt_does_not_take_the_others(build):
    model = added(build, [1, 2, 3, 4])
    bad = site_of((0,), 0, 2)
    cut = excerpts(model, [bad, bad])
    assert [type(one) for one in cut] == [EmbactError, EmbactError]
    good = added(build, [5, 5, 5, 5])
    assert isinstance(excerpts(good, [bad])[0], bytes)


def test_names_do_not_tell_equal_sites_apart(build):
    def named(name):
        tensors = [
            build.Tensor(name, shape=(1, 8)),
            build.Tensor(f"{name} out", scale=(1 / 256,), zero_point=-128, shape=(1, 8)),
        ]
        return build.model_of(tensors, [build.Node("LOGISTIC", (0,), (1,))], [0], [1])

    one, other = named("one"), named("a longer name")
    cut = [excerpt(model, find_sites(model).sites[0]) for model in (one, other)]
    assert cut[0] == cut[1]
    tanh = build.one_op("TANH", elements=8)
    assert excerpt(tanh, find_sites(tanh).sites[0]) != cut[0]


def test_a_layer_keeps_its_shapes(build):
    tensors = [
        build.Tensor("x", shape=(3, 10)),
        build.Tensor("out", scale=(1 / 256,), zero_point=-128, shape=(3, 10)),
    ]
    node = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
    model = build.model_of(tensors, [node], [0], [1])
    (layer,) = find_sites(model).layers
    cut = excerpt(model, layer)
    (graph,) = parse(cut).tree.subgraphs
    assert [shape_of(tensor) for tensor in graph.tensors] == [(3, 10), (3, 10)]
    rows = np.arange(30, dtype=np.int8)
    assert np.array_equal(run(cut, rows), run(model.content, rows))


def test_an_excerpt_holds_only_what_the_site_uses():
    model = read(data_file("digits_cnn_int8.tflite"))
    for site in find_sites(model).sites:
        cut = excerpt(model, site)
        (graph,) = parse(cut).tree.subgraphs
        assert len(cut) < 2048 < len(model.content)
        assert len(items(graph.operators)) == len(site.operators)
