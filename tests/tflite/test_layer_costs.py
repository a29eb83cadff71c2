"""Costs of layers are those that were counted of rows of such a length, or on a line between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embact.cores import CORES
from embact.errors import EmbactError
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.model import read as read_model
from embact.tflite.stock.layer_costs import FILE, packaged, read, row_instructions
from embact.tflite.stock.own_cost import own_cost

CORPUS = Path(__file__).parent / "corpus"
LAYERS = (
    *("softmax s8 s8", "softmax s8 s16", "softmax s16 s16", "log_softmax s8 s8"),
    *("prelu s8 s8", "prelu s16 s16", "glu s8 s8"),
)


def only_layer(name):
    (layer,) = find_sites(read_model(CORPUS / f"{name}.tflite")).layers
    return layer


def softmax_of(build, row):
    tensors = [
        build.Tensor("x", shape=(1, row)),
        build.Tensor("y", scale=(1 / 256,), zero_point=-128, shape=(1, row)),
    ]
    node = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
    (layer,) = find_sites(build.model_of(tensors, [node], [0], [1])).layers
    return layer


def test_every_layer_was_counted_on_every_core_and_short_rows_too():
    costs = packaged()
    assert {(one.layer, one.core) for one in costs.rows} == {
        (layer, core) for layer in LAYERS for core in CORES
    }
    assert set(costs.cores) == set(CORES)
    assert {2, 4, 10, 12, 100, 1000} <= set(costs.sizes)
    for one in costs.rows:
        assert min(one.counted) > 0
        assert 0 <= one.worst < 0.3
    assert costs.compiler.startswith("arm-none-eabi-gcc ")
    assert costs.emulator


@pytest.mark.parametrize("core", CORES)
def test_a_length_that_was_counted_costs_that_and_others_lie_on_lines(core):
    costs = packaged()
    for one in costs.rows:
        if one.core != core:
            continue
        for size, counted in zip(costs.sizes, one.counted, strict=True):
            assert row_instructions(one.layer, size, core) == pytest.approx(counted)
        (x0, x1), (y0, y1) = costs.sizes[-2:], one.counted[-2:]
        half = row_instructions(one.layer, (x0 + x1) // 2, core)
        assert half == pytest.approx((y0 + y1) / 2)
        beyond = row_instructions(one.layer, 2 * x1 - x0, core)
        assert beyond == pytest.approx(2 * y1 - y0)


@pytest.mark.parametrize("core", CORES)
def test_the_cost_of_a_site_is_that_of_rows_of_its_own_length(build, core):
    each = {}
    for row in (2, 4, 10, 100, 1000):
        found = own_cost(softmax_of(build, row), core)
        assert found.instructions * row == pytest.approx(
            row_instructions("softmax s8 s8", row, core)
        )
        assert found.form == f"in rows of {row} elements"
        assert not found.at_most
        each[row] = found.instructions
    assert each[2] > each[4] > each[10] > each[100] > each[1000]
    assert each[2] > 3 * each[1000], "short rows cost more, and are not said to cost the same"


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("row", "layer", "size"),
    [("softmax_s8", "softmax s8 s8", 1000), ("prelu_s8", "prelu s8 s8", 64)],
)
def test_they_are_what_the_benchmark_counts(row, layer, size, core):
    """Its slopes are others, and a branch of the largest code is taken at other places."""
    rows = json.loads(data_file("bench.json").read_bytes())["rows"]
    (counted,) = (one["instructions"] for one in rows if (one["row"], one["core"]) == (row, core))
    assert row_instructions(layer, size, core) / size == pytest.approx(counted, rel=0.05)


def test_rows_of_one_are_not_more_than_one():
    layer = packaged().rows[0].layer
    assert 0 < row_instructions(layer, 1, "cortex-m4") < row_instructions(layer, 2, "cortex-m4")


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("softmax__int16x8", "in rows of 4 elements"),
        ("log_softmax__int8", "in rows of 4 elements"),
        ("prelu_channel__int8", "in rows of 4 channels"),
        ("swiglu__int8", "in rows of 2 channels"),
    ],
)
def test_layers_of_the_corpus_have_a_cost(name, form):
    found = own_cost(only_layer(name))
    assert found.instructions > 0
    assert form in found.form


def test_what_was_not_counted_has_no_cost_and_says_so():
    """The gate of an int16 unit is a fitted kernel: it is not known before a search."""
    found = own_cost(only_layer("swiglu__int16x8"))
    assert found.instructions is None
    assert "not counted" in found.form
    assert row_instructions("softmax s8 s8", 10, "cortex-m99") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema": 1', '"schema": 2', "schema"),
        ('"rows": [', '"rows": [3,', "not a file"),
        ('"cortex-m55"],', '"cortex-m56"],', "missing"),
        ('"sizes": [2, 3,', '"sizes": [3, 2,', "missing"),
        ('"sizes": [2, 3,', '"sizes": [3,', "missing"),
    ],
)
def test_another_file_of_costs_is_refused(tmp_path, old, new, said):
    text = data_file(FILE).read_text("utf-8")
    assert old in text
    (tmp_path / "costs.json").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(EmbactError, match=said):
        read(tmp_path / "costs.json")
