"""Sites: what a kernel changes is counted where it happens, and nowhere else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from embact.certify import ideal
from embact.errors import CheckFailed, EmbactError
from embact.fit.problem import Limits, Problem
from embact.grid import Grid, QuantSpec
from embact.nn.softmax import Softmax
from embact.sources import data_file
from embact.tflite.builtin_form import table_fit
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import REPORT, write_conversion
from embact.tflite.host.builtin_beside import tables_beside
from embact.tflite.host.child import run_model
from embact.tflite.host.data import Data, load_data, random_data
from embact.tflite.host.evaluate import evaluate
from embact.tflite.host.evaluate_sites import gap, observed_tensors, require_same_tensors, site_gaps
from embact.tflite.model import pack, parse, read
from embact.tflite.placement import LayerPlacement, Placement, place
from embact.tflite.planning import Wanted, findings_for, make_plan
from embact.tflite.site import LayerSite
from embact.tflite.site_report import Decisions

CORPUS = Path(__file__).parent / "corpus"

ALL_CODES = np.arange(-128, 128).astype(np.int8).reshape(1, 256)


@pytest.fixture
def edited(build):
    """The function that places correct tables, but for changes {site: {input code: add}}."""

    def place_all(model, changes):
        sites, fits = find_sites(model).sites, []
        for number, site in enumerate(sites):
            values = ideal(site.activation, site.spec).codes.copy()
            for code, more in changes.get(number, {}).items():
                values[code - site.spec.input.code_min] += more
            fits.append(build.fit_of_table(site.activation, site.spec, values))
        return place(sites, fits)

    return place_all


def test_a_histogram_counts_every_code_and_lumps_the_far_ones():
    ours = np.array([0, 8, -8, 9, -9, 127, -128], np.int8)
    found = gap(ours, np.zeros(7, np.int8))
    assert found.histogram == {"<-8": 2, "-8": 1, "0": 1, "8": 1, ">8": 2}
    assert (found.codes, found.differing, found.max_codes) == (7, 6, 128)
    assert found.mean_codes == (8 + 8 + 9 + 9 + 127 + 128) / 7
    opposite = gap(np.array([32767], np.int16), np.array([-32768], np.int16))
    assert (opposite.max_codes, opposite.histogram) == (65535, {">8": 1})


@pytest.mark.parametrize(("more", "counted"), [(1, "1"), (-1, "-1"), (-8, "-8"), (20, ">8")])
def test_one_changed_table_entry_is_seen_once_and_with_its_sign(build, edited, more, counted):
    model = build.one_op("TANH")
    right = evaluate(model, edited(model, {}), Data((ALL_CODES,))).per_site[0]
    assert right.local.histogram == {"0": 256}, "reference TANH rounds correctly"
    assert (right.stock_error_codes, right.kernel_error_codes) == (0, 0)
    one = evaluate(model, edited(model, {0: {5: more}}), Data((ALL_CODES,))).per_site[0]
    assert {name: count for name, count in one.local.histogram.items() if name != "0"} == {
        counted: 1
    }
    assert (one.local.codes, one.local.differing, one.local.max_codes) == (256, 1, abs(more))
    assert one.in_model == one.local
    assert (one.stock_error_codes, one.kernel_error_codes) == (0, abs(more))


def test_a_code_that_never_reaches_the_site_is_not_counted(build, edited):
    model = build.one_op("TANH")
    codes = np.where(ALL_CODES == 5, 4, ALL_CODES)
    one = evaluate(model, edited(model, {0: {5: 3}}), Data((codes,))).per_site[0]
    assert (one.local.differing, one.kernel_error_codes) == (0, 0)
    twice = evaluate(model, edited(model, {0: {4: 3}}), Data((codes,))).per_site[0]
    assert twice.local.histogram == {"0": 254, "3": 2}


def chain(build):
    """TANH, then LOGISTIC of its output."""
    tensors = [
        build.Tensor("x"),
        build.Tensor("t", scale=(1 / 128,)),
        build.Tensor("y", scale=(1 / 256,), zero_point=-128),
    ]
    nodes = [build.Node("TANH", (0,), (1,)), build.Node("LOGISTIC", (1,), (2,))]
    return build.model_of(tensors, nodes, [0], [2])


def test_a_difference_is_local_where_it_arises_and_in_the_model_where_it_arrives(build, edited):
    model = chain(build)
    first, second = evaluate(model, edited(model, {0: {0: 40}}), Data((ALL_CODES,))).per_site
    assert first.local.histogram == {"0": 255, ">8": 1}
    assert second.local.histogram == {"0": 256}
    assert (second.in_model.differing, second.in_model.codes) == (1, 256)
    first, second = evaluate(model, edited(model, {1: {0: 2}}), Data((ALL_CODES,))).per_site
    assert first.local == first.in_model
    assert first.local.differing == 0
    assert second.local.histogram == {"0": 255, "2": 1}


def test_what_the_model_computed_is_compared_with_the_definition(build, edited):
    model = build.one_op("TANH")
    placements = edited(model, {})
    ends = observed_tensors(placements)
    assert ends == (0, 1)
    stock = run_model(model, Data((ALL_CODES,)), (), observe=ends).observed
    assert site_gaps(placements, stock, stock)[0].local.differing == 0
    wrong = {0: stock[0], 1: stock[1].copy()}
    wrong[1][0, 0, 9] += 1
    with pytest.raises(CheckFailed, match="differs from its definition: got 1 of 256 codes of out"):
        site_gaps(placements, stock, wrong)


def test_sites_of_another_model_are_not_compared(build, edited):
    model, other = build.one_op("TANH"), build.silu_pair()
    placements = edited(model, {})
    require_same_tensors(model, model, placements)
    with pytest.raises(EmbactError, match=r"tensor 0 of the stock model: got x .*allowed: in "):
        require_same_tensors(model, other, placements)
    far = dataclasses.replace(placements[0].site, output=2)
    with pytest.raises(EmbactError, match=r"tensor 2 of the stock model: got none; allowed: out "):
        require_same_tensors(
            build.silu_pair(),
            build.one_op("TANH"),
            [Placement(dataclasses.replace(far, input=2), placements[0].fit, "f")],
        )


def softmax_at(build, scale, classes=10):
    """A model of one SOFTMAX with inputs of 0.1, and a layer of rows of another scale or the same.

    The scale is that of the unit: with another one it computes another function.
    """
    tensors = [
        build.Tensor("x", scale=(0.1,), shape=(1, classes)),
        build.Tensor("p", scale=(1 / 256,), zero_point=-128, shape=(1, classes)),
    ]
    node = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
    model = build.model_of(tensors, [node], [0], [1])
    unit = Softmax(scale)
    spec = QuantSpec(Grid(0.1, 0, 8), Grid(1 / 256, -128, 8))
    site = LayerSite(0, (0,), 0, 1, ("SOFTMAX",), "p", unit, spec, classes, classes)
    return model, LayerPlacement(site, unit, "embact_softmax_10_s8")


def test_a_layer_is_compared_through_its_definition(build):
    model, placed = softmax_at(build, 0.1)
    found = evaluate(model, [placed], random_data(model, 50)).per_site[0]
    assert (found.computes, found.local.codes, found.local.differing) == ("softmax", 500, 0)
    assert found.in_model.differing == 0
    assert (found.stock_error_codes, found.kernel_error_codes) == (None, None)
    model, other = softmax_at(build, 0.11)
    wrong = evaluate(model, [other], random_data(model, 50)).per_site[0]
    assert wrong.local.differing > 100
    assert wrong.in_model == wrong.local


@pytest.fixture
def builtin(edited, tmp_path):
    """The packaged digits model, and the model that holds its kernels as tables."""
    model = read(data_file("digits_mlp_int8.tflite"))
    placements = edited(model, {1: {0: 2}})
    done = write_conversion(tmp_path / "out", model, placements, Decisions(form="builtin"))
    return model, read(done.model)


def test_the_tables_of_a_builtin_model_are_compared_at_the_stock_models_sites(builtin):
    stock, model = builtin
    data = load_data(data_file("digits_test.npz"), model)
    tables = tables_beside(model, stock)
    found = evaluate(model, [], data, stock=stock, tables=tables)
    assert (found.sites, len(found.per_site)) == (2, 2)
    assert found.per_site[0].local.differing == 0
    assert [one.kernel_error_codes for one in found.per_site] == [0, 2], "the entry for code 0"
    alone = evaluate(model, [], data)
    assert (alone.before, alone.after, alone.per_site) == (None, found.after, ())
    assert tables_beside(stock, stock) == ()


def test_the_table_of_a_gate_inside_a_gated_unit_is_compared(tmp_path):
    stock = read(CORPUS / "glu__int8.tflite")
    wanted = Wanted(form="builtin")
    findings = findings_for(stock, wanted)
    plan = make_plan(stock, findings, wanted, lambda s: Problem(s.activation, s.spec, Limits(1)))
    done = write_conversion(tmp_path / "out", stock, plan.placements, Decisions(form="builtin"))
    (table,) = tables_beside(read(done.model), stock)
    assert (table.site.ops, table.fit.certificate.max_error_codes) == (("LOGISTIC",), 0)


def test_tables_are_the_models_own_and_not_what_the_report_says(builtin, tmp_path):
    stock, model = builtin
    graph = model.tree.subgraphs[0]
    site = find_sites(stock).sites[0]
    gather = next(node for node in graph.operators if site.output in list(node.outputs))
    buffer = model.tree.buffers[graph.tensors[gather.inputs[0]].buffer]
    values = np.array(buffer.data, dtype=np.uint8)
    values[128] ^= 4
    buffer.data = values
    changed = parse(pack(model.tree), model.where)
    assert tables_beside(changed, stock) == (), "the report is of another model"
    report = json.loads((tmp_path / "out" / REPORT).read_text("utf-8"))
    report["converted_sha256"] = changed.sha256
    (tmp_path / "out" / REPORT).write_text(json.dumps(report), "utf-8")
    before, after = (
        tables[0].fit.kernel.outputs for tables in (place_of(stock), tables_beside(changed, stock))
    )
    assert np.flatnonzero(before != after).tolist() == [128]


def place_of(model):
    """A placement of the correct table at a model's first site."""
    site = find_sites(model).sites[0]
    return place([site], [table_fit(site)])


def test_tables_are_not_compared_with_another_stock_model(builtin):
    _, model = builtin
    with pytest.raises(EmbactError, match="stock model: got sha256"):
        tables_beside(model, read(data_file("digits_cnn_int8.tflite")))
