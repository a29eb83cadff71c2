"""A conversion before it is written: plans, limits, TFLM's bits, data, replacements, speed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from embact.errors import CheckFailed, EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.sources import data_file
from embact.tflite import conversion
from embact.tflite.conversion import Request, Trial, errors_today, placements_in, prepare
from embact.tflite.convert import convert
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import load_data, random_data
from embact.tflite.model import builtin_code, pack, parse, read, schema
from embact.tflite.planning import Wanted, findings_for, make_plan
from embact.tflite.routines import routines

CORPUS = Path(__file__).parent / "corpus"
CNN, MLP, WIDE = (
    data_file(f"digits_{name}.tflite") for name in ("cnn_int8", "mlp_int8", "mlp_int16x8")
)
ORACLE = Runner(None, "tflm-oracle")
LIKE_TFLM = [CNN, MLP, WIDE, *sorted(CORPUS.glob("*.tflite"))]
needs_oracle = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tflite-runtime's wheels end at CPython 3.11"
)


def problem_of(site):
    limits = Limits(1, 2048) if site.spec.input.bits == 16 else Limits(1)
    return Problem(site.activation, site.spec, limits, Options(core="cortex-m4"))


def ask(**changes):
    fields = {"wanted": Wanted(), "core": "cortex-m4", "problem_of": problem_of}
    return Request(**{**fields, **changes})


def silent(_):
    """Say nothing."""


def ran_like_tflm(model, samples, form="custom"):
    """How many outputs differ between stock and converted with TFLM's bits, or why not."""
    wanted = Wanted(form, "tflm")
    prepared = prepare(model, ask(wanted=wanted), None, silent)
    if not prepared.placements:
        return prepared.reason
    data = (
        load_data(data_file("digits_test.npz"), model)
        if "digits" in model.where
        else random_data(model, samples, seed=7)
    )
    try:
        stock = run_model(model, data, (), runner=ORACLE)
    except EmbactError as error:
        return str(error)
    written = parse(convert(model, prepared.placements, form), model.where)
    placed = placements_in(written, prepared.placements, form)
    ours = run_model(written, data, placed, runner=ORACLE)
    assert any(np.unique(array).size > 3 for array in stock.arrays)
    return sum(
        int(np.count_nonzero(a != b)) for a, b in zip(stock.arrays, ours.arrays, strict=True)
    )


@needs_oracle
@pytest.mark.parametrize("form", ["custom", "override"])
@pytest.mark.parametrize("path", [CNN, MLP, WIDE], ids=lambda path: path.stem)
def test_like_tflm_changes_no_output_of_the_packaged_models(path, form):
    assert ran_like_tflm(read(path), 0, form) == 0


@pytest.mark.slow
@needs_oracle
@pytest.mark.parametrize("path", LIKE_TFLM, ids=lambda path: path.stem)
def test_like_tflm_changes_no_output_of_the_corpus(path):
    found = ran_like_tflm(read(path), 50)
    assert found == 0 or (isinstance(found, str) and found)


@needs_oracle
def test_other_bits_than_tflms_would_be_noticed(build):
    model = build.one_op("LEAKY_RELU", fields={"alpha": 0.3})
    wrong = prepare(model, ask(), None, silent).placements
    right = prepare(model, ask(wanted=Wanted(like="tflm")), None, silent).placements
    data = random_data(model, 20)
    stock, ours, best = (
        run_model(model, data, placed, runner=ORACLE).arrays[0] for placed in ((), right, wrong)
    )
    assert np.array_equal(stock, ours)
    assert np.any(stock != best), "TFLM does not round all of these codes correctly"


def test_the_report_has_todays_error_and_cost_of_every_site(tmp_path):
    model = read(CORPUS / "mish__int8.tflite")
    found = prepare(model, ask(), None, silent)
    errors = errors_today(model, Wanted())
    done = write_conversion(tmp_path / "out", model, found.placements, found.decisions, errors)
    (site,) = done.report.sites
    assert site.stock_error.max_error_codes > 5
    assert site.certificate.max_error_codes <= 1
    assert [one.operator for one in site.today.operators] == list(site.ops)
    assert site.instructions > 0


def test_like_tflm_leaves_alone_what_tflm_lacks_and_says_so(build):
    found = prepare(read(CNN), ask(wanted=Wanted(like="tflm")), None, silent)
    assert [one.fit.family for one in found.placements] == ["tflm"] * 3
    said = {one.op: one.reason for one in found.decisions.skipped}
    assert said["GELU"] == "TFLM has no integer kernel of gelu on these grids"
    tensors = [build.Tensor("in", "INT8", (0.05,)), build.Tensor("out", "INT8", (0.03,))]
    model = build.model_of(tensors, [build.Node("RELU6", (0,), (1,))], [0], [1])
    found = prepare(model, ask(wanted=Wanted(like="tflm")), None, silent)
    assert not found.placements
    assert "does not rescale" in found.reason


def test_override_leaves_alone_what_tflms_resolver_does_not_take():
    found = prepare(read(CNN), ask(wanted=Wanted("override", "tflm")), None, silent)
    assert [one.site.ops for one in found.placements] == [
        ("LOGISTIC",),
        ("HARD_SWISH",),
        ("LEAKY_RELU",),
    ]
    assert "GELU" in {one.op for one in found.decisions.skipped}


def alphas(build):
    """LEAKY_RELU with two alphas whose kernels are equal: the inputs are too small to differ."""
    tensors = [
        build.Tensor(name, "INT8", (scale,), zero, (1, 4))
        for name, scale, zero in (
            ("a", 0.05, -128),
            ("b", 0.05, -128),
            ("c", 0.05, -128),
            ("d", 0.05, -128),
        )
    ]
    nodes = [
        build.Node("LEAKY_RELU", (i,), (i + 1,), build.options("LEAKY_RELU", alpha=alpha))
        for i, alpha in ((0, 0.1), (2, 0.3))
    ]
    return build.model_of(tensors, nodes, [0, 2], [1, 3])


def test_overriding_functions_stand_for_nodes_that_store_the_same(build):
    model = alphas(build)
    placed = prepare(model, ask(wanted=Wanted("override")), None, silent).placements
    made = routines(placed, model)
    assert placed[0].fit.kernel.digest == placed[1].fit.kernel.digest
    assert [one.option for one in made] == [float(np.float32(0.1)), float(np.float32(0.3))]
    assert len({one.function for one in made}) == 2
    shared = prepare(model, ask(), None, silent).placements
    assert len({one.function for one in shared}) == 1, "one custom operator serves both"


def test_prelu_says_its_slopes_as_the_model_stores_them():
    model = read(CORPUS / "prelu_channel__int8.tflite")
    placed = prepare(model, ask(wanted=Wanted("override")), None, silent).placements
    (one,) = routines(placed, model)
    graph = model.tree.subgraphs[0]
    node = graph.operators[placed[0].site.operators[0]]
    slopes = graph.tensors[node.inputs[1]]
    assert one.builtin == "PRELU"
    assert one.slopes == bytes(model.tree.buffers[slopes.buffer].data)
    assert one.slopes_grid.scale == float(np.float32(slopes.quantization.scale[0]))


def test_a_site_without_a_kernel_is_left_alone_unless_the_limits_are_the_users(build):
    model = build.one_op("TANH")
    findings = find_sites(model)

    def impossible(site):
        return Problem(site.activation, site.spec, Limits(0, 0))

    plan = make_plan(model, findings, Wanted(family="lut"), impossible)
    assert plan.placements == ()
    assert "meets the budget" in plan.skipped[0].reason
    with pytest.raises(EmbactError, match="meets the budget"):
        make_plan(model, findings, Wanted(family="lut", strict=True), impossible)


def test_the_gate_inside_a_gated_unit_becomes_a_table_in_the_builtin_form():
    """GELU is no operator of TFLM: GEGLU runs there after this."""
    model = read(CORPUS / "geglu__int8.tflite")
    found = prepare(model, ask(wanted=Wanted("builtin")), None, silent)
    (one,) = found.placements
    assert (one.site.ops, one.fit.activation.name) == (("GELU",), "gelu")
    tree = parse(convert(model, found.placements, "builtin")).tree
    written = {builtin_code(code) for code in tree.operatorCodes}
    assert {49, 18, 36} <= written, "SPLIT and MUL stay, GATHER is new"
    assert 150 not in written, "GELU is gone"


def test_placements_are_in_the_order_that_the_model_runs_them():
    for path in (CNN, CORPUS / "softmax_dense__int8.tflite"):
        model = read(path)
        wanted = Wanted("builtin")
        plan = make_plan(model, findings_for(model, wanted), wanted, problem_of)
        order = [one.site.operators[-1] for one in plan.placements]
        assert order == sorted(order)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "customs"}, r"form.*custom"),
        ({"like": "tflite"}, r"bits are wanted.*tflm"),
    ],
)
def test_unknown_forms_and_runtimes_are_named(changes, message):
    with pytest.raises(EmbactError, match=message):
        Wanted(**changes)


@pytest.fixture(scope="module")
def digits():
    model = read(MLP)
    return model, load_data(data_file("digits_test.npz"), model)


@pytest.mark.parametrize("form", ["custom", "builtin", "override"])
def test_the_drop_on_data_is_measured_on_the_model_that_would_be_written(digits, form):
    model, data = digits
    trial = Trial(data, None, 0.0, Runner())
    found = prepare(model, ask(wanted=Wanted(form)), trial, silent)
    report = found.decisions.metric
    assert (report.metric, report.samples, report.drop) == ("top1", 450, 0.0)
    assert report.before == report.after > 0.9


def test_a_metric_that_falls_further_than_allowed_is_a_check_that_failed(digits):
    model, data = digits
    trial = Trial(data, "top1", 0.5, Runner())
    with pytest.raises(CheckFailed, match=r"top1 fell too far: got .*at most 0\.5"):
        prepare(model, ask(replace="sigmoid=relu,tanh=relu"), trial, silent)


def test_a_replacement_is_in_the_report_with_its_distance(digits, tmp_path):
    model, data = digits
    trial = Trial(data, "top1", None, Runner())
    found = prepare(model, ask(replace="sigmoid=hard_sigmoid"), trial, silent)
    (row,) = found.decisions.replaced
    assert (row["original"], row["chosen"]) == ("sigmoid", "hard_sigmoid")
    assert row["max_error_codes"] > 5
    assert "hard_sigmoid in place of sigmoid" in found.placements[0].site.about
    assert found.placements[0].fit.activation.name == "hard_sigmoid"
    done = write_conversion(tmp_path / "out", model, found.placements, found.decisions)
    assert done.report.decisions.replaced == (row,)
    assert done.report.sites[0].activation == "hard_sigmoid"
    assert done.report.decisions.metric.metric == "top1"


def test_a_search_is_given_the_kernels_that_are_there_already(digits, monkeypatch):
    class Asked(Exception):  # noqa: N818 - what was asked for is all that is wanted
        pass

    given = {}

    def search(model, findings, data, **options):
        given.update(options, sites=findings.sites)
        raise Asked

    monkeypatch.setattr(conversion, "search_replacements", search)
    model, data = digits
    with pytest.raises(Asked):
        prepare(model, ask(replace="auto"), Trial(data, None, 5.0, Runner()), silent)
    fits = [given["known"][given["problem_of"](site)] for site in given["sites"]]
    assert [one.spec for one in fits] == [site.spec for site in given["sites"]]
    assert len(fits) == 2


@pytest.mark.slow
def test_a_search_gives_its_trace(digits):
    model, data = digits
    said = []
    trial = Trial(data, "agreement", 5.0, Runner())
    found = prepare(model, ask(replace="auto"), trial, said.append)
    assert found.decisions.trace
    assert said
    assert found.decisions.metric.drop <= 5.0
    assert len(found.placements) == 2


@pytest.mark.parametrize(
    ("changes", "trial", "message"),
    [
        ({"replace": "auto"}, False, "no budget"),
        ({"replace": "auto", "wanted": Wanted("builtin")}, True, "costs the same"),
        ({"replace": "tanh=relu", "wanted": Wanted(like="tflm")}, False, "--like tflm"),
        ({"replace": "gelu=silu"}, False, "no site has"),
        ({"replace": "gelu"}, False, "--replace"),
    ],
)
def test_replacements_that_cannot_be_are_refused(digits, changes, trial, message):
    model, data = digits
    given = Trial(data, "top1", 1.0, Runner()) if trial else None
    with pytest.raises(EmbactError, match=message):
        prepare(model, ask(**changes), given, silent)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.tflite")), ids=lambda path: path.stem)
def test_every_site_of_the_corpus_has_a_kernel_within_one_code(path):
    found = prepare(read(path), ask(), None, silent)
    for one in found.placements:
        if hasattr(one, "fit"):
            assert one.fit.certificate.max_error_codes <= 1
    findings = find_sites(read(path))
    assert len(found.placements) == len(findings.sites) + len(findings.layers)


def test_a_pattern_that_single_operators_do_not_make_is_named_with_the_form_that_helps():
    asked = ask(wanted=Wanted(form="override"))
    found = prepare(read(CORPUS / "hard_shrink__int8.tflite"), asked, None, silent)
    assert found.placements == ()
    assert "hard_shrink of several operators: --form custom, without --like" in found.reason
    fused = prepare(read(CORPUS / "relu__int8.tflite"), asked, None, silent)
    assert "--form custom" not in fused.reason


def large(build, wide=2048):
    """A model of 4 MB: FULLY_CONNECTED with wide * wide weights, and LOGISTIC."""
    weights = np.random.default_rng(3).integers(-127, 128, wide * wide, np.int8)
    tensors = [
        build.Tensor("in", "INT8", (0.05,), 0, (1, wide)),
        build.Tensor("weights", "INT8", (0.001,), 0, (wide, wide), weights.tobytes()),
        build.Tensor("sum", "INT8", (0.1,), 0, (1, wide)),
        build.Tensor("out", "INT8", (1 / 256,), -128, (1, wide)),
    ]
    made = schema()
    fields = ("FullyConnectedOptions", made.FullyConnectedOptionsT())
    nodes = [
        build.Node("FULLY_CONNECTED", (0, 1, -1), (2,), fields),
        build.Node("LOGISTIC", (2,), (3,)),
    ]
    model = build.model_of(tensors, nodes, [0], [3])
    return parse(pack(model.tree), "large.tflite")


def test_four_megabytes_are_listed_in_a_second_and_converted_in_five(build, tmp_path):
    content = large(build).content
    assert len(content) > 4 << 20
    (tmp_path / "large.tflite").write_bytes(content)
    start = time.process_time()
    model = read(tmp_path / "large.tflite")
    find_sites(model)
    listed = time.process_time()
    found = prepare(model, ask(), None, silent)
    done = write_conversion(tmp_path / "out", model, found.placements, found.decisions)
    converted = time.process_time()
    assert len(found.placements) == 1
    assert done.model.stat().st_size > 4 << 20
    assert listed - start < 1
    assert converted - start < 5
