"""Costs today are sums of what was counted, and what was not counted is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from embact import cost
from embact.activations import activation
from embact.cores import CORES
from embact.errors import EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.model import read
from embact.tflite.ops import OPERATORS
from embact.tflite.stock import cost as module
from embact.tflite.stock.cost import packaged, stock_cost, tflm_verdict
from embact.tflite.stock.own_cost import INTERPOLATED, LINES, OwnCost, own_cost
from embact.tflite.stock.survey import Surveyed, totals

CORPUS = Path(__file__).parent / "corpus"
CNN = read(data_file("digits_cnn_int8.tflite"))


BESIDES = {("RSQRT", "int16"), ("ADD", "int32")}
"""What TFLM runs and no activation is converted to; its check of RSQRT's types never fails."""


def counted(operator, types, operands="", core="cortex-m4", kernel="reference"):
    """A figure of the data file, found without any of the code under test."""
    (row,) = (
        row
        for row in packaged().measured
        if (row.operator, row.types, row.operands, row.kernel)
        == (operator, types, operands, kernel)
    )
    return row.instructions[packaged().cores.index(core)]


def only(model):
    found = find_sites(model)
    (site,) = (*found.sites, *found.layers)
    return site


def test_the_packaged_file_has_every_core_and_says_where_it_is_from():
    costs = packaged()
    assert set(costs.cores) == set(CORES) == set(costs.float_unit)
    assert len(costs.tflite_micro.split()[0]) == 40
    for text in (costs.compiler, costs.emulator, costs.method, costs.cmsis_nn):
        assert text
    for row in costs.measured:
        assert len(row.instructions) == len(costs.cores)
        assert all(value is None or value > 0 for value in row.instructions), row
        assert row.kernel in module.KERNELS
        assert (row.operands != "") == (row.operator in module.TWO_WAY), row


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema": 1', '"schema": 2', "schema"),
        ('"measured": [', '"measured": [3,', "not a file"),
        ('"cortex-m55"],', '"cortex-m56"],', "missing"),
        ('"cores": [', '"cores": ["cortex-m99", ', "missing"),
    ],
)
def test_another_file_of_costs_is_refused(tmp_path, old, new, said):
    text = data_file(module.FILE).read_text("utf-8")
    assert old in text
    (tmp_path / "costs.json").write_text(text.replace(old, new), "utf-8")
    with pytest.raises(EmbactError, match=said):
        module.read(tmp_path / "costs.json")


def test_what_was_counted_is_what_tflm_is_said_to_run():
    for row in packaged().measured:
        source = row.types.split(">")[0]
        if row.operator in OPERATORS and (row.operator, source) not in BESIDES:
            assert source in OPERATORS[row.operator].tflm, row
    for refused in packaged().refused:
        op, types = refused.split()
        assert op not in OPERATORS or types not in OPERATORS[op].tflm, refused


@pytest.mark.parametrize("core", CORES)
def test_a_site_costs_the_sum_of_its_operators(core):
    silu = find_sites(CNN).sites[0]
    found = stock_cost(CNN, silu, core)
    expected = counted("LOGISTIC", "int8", core=core)
    expected += counted("MUL", "int8", "equal", core=core, kernel="cmsis_nn")
    assert found.per_element == pytest.approx(expected)
    assert found.per_inference == pytest.approx(expected * silu.elements)
    assert [one.kernel for one in found.operators] == ["reference", "cmsis_nn"]
    assert found.unknown == ()


def test_a_figure_that_is_missing_makes_the_sum_unknown_and_is_named():
    gelu = find_sites(CNN).sites[-1]
    found = stock_cost(CNN, gelu, "cortex-m4")
    assert found.per_inference is None
    assert found.per_element is None
    assert found.unknown == ("GELU int8: TFLM has no GELU",)


def test_one_missing_part_is_enough(monkeypatch):
    silu = find_sites(CNN).sites[0]
    rest = tuple(row for row in packaged().measured if row.operator != "MUL")
    without = module.TflmCosts(
        **{**{name: getattr(packaged(), name) for name in packaged().__dict__}, "measured": rest}
    )
    monkeypatch.setattr(module, "packaged", lambda: without)
    found = stock_cost(CNN, silu, "cortex-m4")
    assert found.per_inference is None
    assert found.unknown == ("MUL int8, equal: not counted",)
    assert found.operators[0].instructions is not None


def test_operands_of_other_shapes_go_another_way(build):
    def add(shape, data):
        tensors = [build.Tensor("x"), build.Tensor("c", shape=shape, data=data), build.Tensor("y")]
        node = build.Node("ADD", (0, 1), (2,), build.options("ADD"))
        return build.model_of(tensors, [node], [0], [2])

    for shape, data, operands in (
        ((1, 256), bytes(256), "equal"),
        ((), b"1", "scalar"),
        ((1,), b"1", "scalar"),
        ((256,), bytes(256), "channels"),
    ):
        graph = module.graph_of(add(shape, data), 0)
        assert module.operands_of(graph, 0) == operands, shape


def test_rows_of_softmax_have_a_cost_of_their_own(build):
    def softmax(shape):
        tensors = [
            build.Tensor("x", shape=shape),
            build.Tensor("y", scale=(1 / 256,), zero_point=-128, shape=shape),
        ]
        node = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
        return build.model_of(tensors, [node], [0], [1])

    short, long = (
        stock_cost(model, only(model)) for model in (softmax((100, 4)), softmax((1, 400)))
    )
    assert short.elements == long.elements == 400
    row = next(
        row
        for row in packaged().measured
        if (row.operator, row.types, row.kernel) == ("SOFTMAX", "int8", "cmsis_nn")
    )
    place = packaged().cores.index("cortex-m4")
    assert short.per_inference - long.per_inference == pytest.approx(99 * row.per_row[place])


@pytest.mark.parametrize("name", ["sigmoid", "mish", "hard_swish"])
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
def test_the_search_takes_no_more_than_the_bound_says(name, core):
    model = read(CORPUS / f"{'hard_silu' if name == 'hard_swish' else name}__int8.tflite")
    site = only(model)
    assert site.activation.name == name
    bound = own_cost(site, core)
    assert bound.at_most
    options = Options(core=core)
    found = fit(Problem(site.activation, site.spec, Limits(max_error=0), options), "lut")
    assert cost.instructions(found.kernel, core) <= bound.instructions


@pytest.mark.parametrize("core", CORES)
def test_int16_is_no_bound_and_says_so(core):
    (first, _) = find_sites(read(data_file("digits_mlp_int16x8.tflite"))).sites
    found = own_cost(first, core)
    assert not found.at_most
    assert found.instructions > 0


def test_the_kernels_that_stand_for_others_were_measured():
    measured = [one.of for one in cost.packaged().measured]
    for words in {*INTERPOLATED.values(), *LINES.values()}:
        assert measured.count(words) == 1, words
    for name in set(LINES) - {"relu6_over_6"}:
        assert activation(name).name == name


def surveyed(now, ours):
    """A site with a cost today and one of ours, each None or for its 10 elements."""
    today = (module.OperatorCost("OP", "int8", now, "reference"),)
    site = dataclasses.replace(find_sites(CNN).sites[0], elements=10)
    own = OwnCost(None if ours is None else ours / 10, at_most=False, form="")
    verdict = module.TflmVerdict("yes")
    return Surveyed(site, module.StockCost("cortex-m4", 10, today), own, verdict, None)


@pytest.mark.parametrize(
    ("costs", "both", "now", "own"),
    [
        ([(100.0, 20.0), (50.0, 30.0)], (2, 150.0, 50.0), (2, 150.0), (2, 50.0)),
        ([(100.0, 20.0), (50.0, None)], (1, 100.0, 20.0), (2, 150.0), (1, 20.0)),
        ([(100.0, 20.0), (None, 30.0)], (1, 100.0, 20.0), (1, 100.0), (2, 50.0)),
        ([(None, 30.0)], (0, 0, 0), (0, None), (1, 30.0)),
        ([(100.0, None)], (0, 0, 0), (1, 100.0), (0, None)),
        ([], (0, 0, 0), (0, None), (0, None)),
    ],
)
def test_a_site_whose_cost_is_not_known_is_in_no_sum(costs, both, now, own):
    """In particular not as 0."""
    found = totals([surveyed(*one) for one in costs])
    assert found.sites == len(costs)
    assert (found.counted, found.today, found.embact) == both
    assert (found.now_counted, found.now) == now
    assert (found.own_counted, found.own) == own


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("sigmoid__int8", "yes", ""),
        ("silu__int16x8", "yes", ""),
        ("softmax__int8", "yes", ""),
        ("gelu__int8", "no", "GELU"),
        ("softplus__int8", "no", "EXP"),
        ("mish__int16x8", "no", "EXP"),
        ("selu__int8", "no", "TFLM has no SELECT"),
        ("thresholded_times__int8", "in float", "CAST"),
        ("elu__int8", "in float", "ELU"),
    ],
)
def test_whether_tflm_runs_a_site_and_why_not(name, answer, why):
    model = read(CORPUS / f"{name}.tflite")
    found = tflm_verdict(model, only(model))
    assert found.answer == answer
    assert why in found.why
    assert bool(found.why) == (answer != "yes")


@pytest.mark.parametrize(("scale", "answer"), [(0.05, "yes"), (0.0235, "wrong")])
def test_relu6_is_wrong_where_its_scales_differ(build, scale, answer):
    tensors = [build.Tensor("x"), build.Tensor("y", scale=(scale,))]
    model = build.model_of(tensors, [build.Node("RELU6", (0,), (1,))], [0], [1])
    assert tflm_verdict(model, only(model)).answer == answer


def test_relu_rescales(build):
    tensors = [build.Tensor("x"), build.Tensor("y", scale=(0.0235,))]
    model = build.model_of(tensors, [build.Node("RELU", (0,), (1,))], [0], [1])
    assert tflm_verdict(model, only(model)).answer == "yes"


def test_an_unknown_core_is_refused():
    site = find_sites(CNN).sites[0]
    for call in (lambda: stock_cost(CNN, site, "cortex-m99"), lambda: own_cost(site, "m4")):
        with pytest.raises(EmbactError, match="core"):
            call()
