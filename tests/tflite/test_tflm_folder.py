"""Folders of real conversions in the form override compile, run, or say why they cannot."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from embact.fit.problem import Limits, Problem
from embact.sources import data_file
from embact.tflite.folder import write_conversion
from embact.tflite.model import read
from embact.tflite.planning import Wanted, findings_for, make_plan
from embact.tflite.site_report import Decisions
from embact.tflite.stock.cost import stops_of_tflm
from embact.tflite.tflm.resolver import OVERRIDES

_SPEC = importlib.util.spec_from_file_location(
    "embact_tests_tflm", Path(__file__).parent / "tflm_api" / "running.py"
)
tflm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tflm)

USE = """\
#include "embact_tflm.h"
#include "model.h"
int main() {
  embact::OpResolver resolver;
  return embact::RegisterAll(resolver);
}
"""


def overridden(folder, name):
    """The folder of a packaged model with kernels of TFLM's bits, which are found at once."""
    model, wanted = read(data_file(name)), Wanted("override", "tflm")
    plan = make_plan(
        model,
        findings_for(model, wanted),
        wanted,
        lambda site: Problem(site.activation, site.spec, Limits(1)),
    )
    decisions = Decisions(form="override", skipped=plan.skipped)
    return write_conversion(folder, model, plan.placements, decisions).folder, plan.placements


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    return overridden(tmp_path_factory.mktemp("cnn") / "made", "digits_cnn_int8.tflite")[0]


@pytest.fixture(scope="module")
def mlp(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlp") / "made"
    folder, placements = overridden(folder, "digits_mlp_int16x8.tflite")
    return tflm.built(folder), placements


def test_every_operator_that_can_be_overridden_is_declared_for_these_tests():
    declared = (tflm.API / "tflm_api.h").read_text()
    assert [op for op in OVERRIDES if f"  of({op}, Add" not in declared] == []


def test_a_model_with_an_operator_that_tflm_lacks_is_refused_when_compiling(cnn):
    for name in ("embact_tflm.cc", "model.cc"):
        tflm.compiled(cnn, [cnn / name], *tflm.OBJECT)
    (cnn / "use.cc").write_text(USE)
    status, said = tflm.compiled(cnn, [cnn / "use.cc"], *tflm.OBJECT, check=False)
    assert status != 0
    assert "TFLM has no method for GELU: " in said


def test_readme_and_report_say_what_tflm_lacks(cnn):
    assert "which has no `GELU`.**" in (cnn / "README.md").read_text()
    (warning,) = json.loads((cnn / "report.json").read_text())["decisions"]["warnings"]
    assert warning.startswith("TFLM has no GELU: ")


def test_with_the_operator_added_the_others_are_registered(cnn):
    assert tflm.run(tflm.built(cnn, '-DEMBACT_TESTS_MORE="GELU"'))[0] == (
        "register 0, 8 of 8: CONV_2D FULLY_CONNECTED HARD_SWISH LEAKY_RELU LOGISTIC MUL RESHAPE "
        "GELU"
    )


def test_what_the_stock_kernels_refuse_is_in_readme_and_report(tmp_path, build):
    model = build.model_of(
        [build.Tensor("a"), build.Tensor("b", "INT8", (1 / 256,), -128), build.Tensor("c")],
        [build.Node("LOGISTIC", (0,), (1,)), build.Node("LOG", (1,), (2,))],
        [0],
        [2],
    )
    wanted = Wanted("override", "tflm")
    sites = findings_for(model, wanted)
    plan = make_plan(model, sites, wanted, lambda one: Problem(one.activation, one.spec, Limits(1)))
    made = write_conversion(
        tmp_path / "made", model, plan.placements, Decisions(form="override", skipped=plan.skipped)
    )
    said = "TFLM's LOG takes float32, not int8: the model does not run there"
    assert made.report.decisions.warnings == (said,)
    assert f"\n{said}.\n" in (made.folder / "README.md").read_text()
    assert stops_of_tflm(model, [1]) == ()  # a control: with a kernel for it, nothing stops


def ran(program, site, grid):
    """The codes of a site's operator for all input codes, in a tensor of the given grid."""
    codes = site.spec.input.codes()
    said = tflm.run(
        program,
        tflm.tensor(grid, codes),
        tflm.tensor(site.spec.output, np.zeros_like(codes)),
        tflm.node(site.ops[0], [0], [1]),
    )
    octets = np.array(tflm.result(said, 1).split(), dtype=np.int8)
    return octets.view("<i2"), [line for line in said if line.startswith("stock ")]


def test_int16_kernels_run_in_place_of_the_stock_ones(mlp):
    program, placements = mlp
    assert [one.site.ops for one in placements] == [("LOGISTIC",), ("TANH",)]
    for one in placements:
        codes, stock = ran(program, one.site, one.site.spec.input)
        assert np.array_equal(codes, one.fit.kernel.outputs)
        assert stock == []


def test_control_int16_nodes_of_another_scale_run_the_stock_kernels(mlp):
    program, placements = mlp
    for one in placements:
        codes, stock = ran(program, one.site, tflm.WIDE)
        assert not np.array_equal(codes, one.fit.kernel.outputs)
        assert f"stock {one.site.ops[0]} eval" in stock
