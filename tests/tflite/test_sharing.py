"""Converted models whose functions share a table: the folder, the check of its C, evaluation."""

import dataclasses
import json
import re

import pytest

from embact import ir
from embact.certify import certify, ideal
from embact.errors import CheckFailed
from embact.fit.problem import Candidate
from embact.kernel import Kernel
from embact.tflite.beside import kernels_beside, sources_beside
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.host.compiled import compile_placed
from embact.tflite.host.data import random_data
from embact.tflite.host.evaluate import evaluate
from embact.tflite.model import read
from embact.tflite.placement import place

FUNCTIONS = ["embact_relu_s8", "embact_relu6_s8", "embact_relu_s8"]


@pytest.fixture
def model(build):
    """RELU, RELU6 and RELU again."""
    tensors = [build.Tensor(name, "INT8", (2.0**-5,), 0, (1, 256)) for name in "abcd"]
    nodes = [
        build.Node(op, (place,), (place + 1,), build.options(op))
        for place, op in enumerate(("RELU", "RELU6", "RELU"))
    ]
    return build.model_of(tensors, nodes, [0], [3])


@pytest.fixture
def placements(build, model):
    """Both relus by one kernel, and another kernel in the middle that reads an equal table.

    An entry too many, and 1 for the code -128, keep loops from computing them without this table.
    """
    sites = find_sites(model, singles=True).sites
    codes = ideal(sites[0].activation, sites[0].spec).codes.copy()
    codes[0] = 1

    def entry(name):
        table = ir.Table(name, (*codes.tolist(), 0))
        return ir.lookup(table, ir.add(ir.x(), ir.const(128)))

    relu = Kernel(entry("table"), 8, 8)
    other = Kernel(ir.saturate(ir.add(entry("other"), ir.const(1)), 8), 8, 8)
    fits = [
        dataclasses.replace(
            build.fit_of_table(site.activation, site.spec, codes),
            candidate=Candidate(kernel),
            certificate=certify(site.activation, site.spec, kernel),
        )
        for site, kernel in zip(sites, (relu, other, relu), strict=True)
    ]
    return place(sites, fits)


@pytest.fixture
def written(model, placements, tmp_path):
    return write_conversion(tmp_path / "out", model, placements)


def test_the_header_has_one_array_and_the_report_counts_it_once(written, placements):
    header = (written.folder / "embact_kernels.h").read_text("utf-8")
    assert re.findall(r"static const int\d+_t (\w+)\[", header) == ["embact_relu_s8_table"]
    report = json.loads((written.folder / "report.json").read_bytes())
    assert report["table_bytes"] == written.report.table_bytes == 257
    assert [site["table_bytes"] for site in report["sites"]] == [257] * 3
    assert [site["function"] for site in report["sites"]] == FUNCTIONS
    assert [one.function for one in placements] == FUNCTIONS


def test_the_c_beside_a_converted_model_is_checked_function_by_function(written):
    converted = read(written.model)
    placed, files = kernels_beside(converted), sources_beside(converted)
    assert [one.function for one in placed] == FUNCTIONS
    compile_placed(placed, files)
    header = files["embact_kernels.h"]
    changed = {**files, "embact_kernels.h": header.replace(" 60,", " 61,", 1)}
    assert changed != files
    with pytest.raises(CheckFailed, match="compiled embact_relu_s8 differs"):
        compile_placed(placed, changed)
    with pytest.raises(CheckFailed, match="compiled embact_relu6_s8 differs"):
        compile_placed(placed[1:2], changed)


def test_evaluation_runs_each_function_of_the_shared_array(written, model):
    """The first and the last add 1 to -128, the one between adds 1 to all codes but 127."""
    converted, data = read(written.model), random_data(model, 25, seed=3)
    found = evaluate(
        converted,
        kernels_beside(converted),
        data,
        stock=model,
        header=sources_beside(converted),
    )
    assert (found.sites, found.max_difference) == (3, 2.0)
    assert 0.98 < found.mean_difference < 1.01
