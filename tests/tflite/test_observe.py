"""Observing: tensors are read as they were computed, and the model's own outputs do not change."""

from __future__ import annotations

import numpy as np
import pytest

from embact.certify import ideal
from embact.errors import EmbactError
from embact.sources import data_file
from embact.tflite.beside import kernels_beside
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.host import child
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import Data, load_data, random_data
from embact.tflite.host.observe import observed_copy
from embact.tflite.model import items, parse, read
from embact.tflite.placement import place

CNN = data_file("digits_cnn_int8.tflite")
TEST_SPLIT = data_file("digits_test.npz")


def activations(model):
    """All tensors that operators compute."""
    graph = model.tree.subgraphs[0]
    return sorted({one for node in items(graph.operators) for one in items(node.outputs)})


@pytest.fixture
def exact(build):
    """The function that places correctly rounded tables at every site of a model."""

    def place_all(model):
        sites = find_sites(model).sites
        codes = [ideal(site.activation, site.spec).codes for site in sites]
        fits = [
            build.fit_of_table(site.activation, site.spec, values)
            for site, values in zip(sites, codes, strict=True)
        ]
        return place(sites, fits)

    return place_all


def few(model, samples=4):
    """The first of the packaged test images."""
    return Data((load_data(TEST_SPLIT, model).inputs[0][:samples],))


@pytest.mark.parametrize("resolver", ["reference", "default"])
def test_observing_every_tensor_changes_no_output_of_the_stock_model(resolver):
    model = read(CNN)
    data, runner = few(model), Runner(resolver=resolver)
    plain = run_model(model, data, (), runner=runner)
    seen = run_model(model, data, (), runner=runner, observe=activations(model))
    assert len(seen.arrays) == len(plain.arrays) == 1
    assert np.array_equal(seen.arrays[0], plain.arrays[0])
    assert not np.array_equal(seen.arrays[0][1:], plain.arrays[0][:-1]), "images differ"
    assert len(seen.observed) == len(activations(model)) > 8


def test_observing_changes_no_output_with_kernels_or_in_a_converted_model(exact, tmp_path):
    model = read(CNN)
    data, placements = few(model), exact(model)
    ends = [tensor for one in placements for tensor in (one.site.input, one.site.output)]
    converted = read(write_conversion(tmp_path / "out", model, placements).model)
    for one, placed in ((model, placements), (converted, kernels_beside(converted))):
        plain = run_model(one, data, placed)
        seen = run_model(one, data, placed, observe=ends)
        assert np.array_equal(seen.arrays[0], plain.arrays[0])
        for site in placed:
            table = site.fit.kernel.outputs
            source, target = (seen.observed[i] for i in (site.site.input, site.site.output))
            assert np.array_equal(table[source.astype(int) + 128], target)


def test_a_tensor_is_what_it_was_when_it_was_computed(build, exact):
    model = build.silu_pair()
    codes = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
    seen = run_model(model, Data((codes,)), (), observe=[1, 0, 2])
    assert list(seen.observed) == [1, 0, 2]
    gates = 256 / (1 + np.exp(-0.05 * np.arange(-128, 128))) - 128
    assert np.array_equal(seen.observed[1].ravel(), np.minimum(np.rint(gates), 127))
    assert np.array_equal(seen.observed[0].ravel(), codes.ravel())
    assert np.array_equal(seen.observed[2], seen.arrays[0])
    with pytest.raises(EmbactError, match=r"cannot be observed: got 1 \(gate\).*pattern"):
        run_model(model, Data((codes,)), exact(model), observe=[1])


@pytest.mark.parametrize("tensor", [3, -1, 1 << 20])
def test_tensors_that_nothing_computes_cannot_be_observed(build, tensor):
    tensors = [*(build.Tensor(name, shape=(1, 4)) for name in "abc")]
    tensors.append(build.Tensor("constant", shape=(1, 4), data=bytes(4)))
    model = build.model_of(tensors, [build.Node("TANH", (0,), (1,))], [0], [1])
    with pytest.raises(EmbactError, match=rf"made.*cannot be observed: got {tensor}"):
        observed_copy(model, [1, tensor])


def test_a_model_that_nothing_of_is_observed_is_its_own_copy(build):
    model = build.silu_pair()
    assert observed_copy(model, []) == (model.content, ())
    assert observed_copy(model, [2, 2]) == (model.content, (0, 0))
    content, places = observed_copy(model, [1, 2, 1, 0])
    assert places == (1, 0, 1, 2)
    assert items(parse(content).tree.subgraphs[0].outputs) == [2, 1, 0]


def test_no_more_is_kept_of_observed_tensors_than_memory_allows(build, monkeypatch):
    model = build.silu_pair()
    data = random_data(model, 7)
    everything = run_model(model, data, (), observe=[0, 1])
    assert len(everything.observed[1]) == 7
    monkeypatch.setattr(child, "OBSERVED_BYTES", 3 * 2 * 256)
    some = run_model(model, data, (), observe=[0, 1])
    assert np.array_equal(some.observed[1], everything.observed[1][:3])
    assert np.array_equal(some.arrays[0], everything.arrays[0])
    monkeypatch.setattr(child, "OBSERVED_BYTES", 1)
    assert len(run_model(model, data, (), observe=[1]).observed[1]) == 1
