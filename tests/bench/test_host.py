"""Loops of ours against TFLite runtimes on this machine: right, and all take turns."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from embact.bench import host, host_worker
from embact.bench.host_contests import Contest, contests, in_table_order
from embact.bench.host_models import Operator, one_operator
from embact.cli import _run
from embact.errors import CheckFailed
from embact.grid import Grid, QuantSpec, all_codes
from embact.nn.lut import lut_s8
from embact.tflite.host.runtime import find_runtime, open_interpreter

pytest.importorskip("ai_edge_litert")

GRID = Grid(0.0625, -3, 8)
RELU = """\
#include <stdint.h>
static inline void relu(const int8_t *input, int8_t *output, int32_t size) {
    for (int32_t i = 0; i < size; ++i) {
        output[i] = input[i] < -3 ? -3 : input[i];
    }
}
"""


def relu(text=RELU, definition=lambda codes: np.maximum(codes, -3)):
    return Contest(
        "relu",
        {"relu.h": text},
        "relu.h",
        "relu(input, output, size)",
        QuantSpec(GRID, GRID),
        Operator("RELU", 2),
        definition,
    )


def test_every_loop_is_right_and_compared_at_every_size():
    compared = host.compare_host(sizes=(1000, 2100), rounds=3, resolver="reference")
    rows = [one.name for one in contests()]
    assert len(rows) == len(set(rows)) >= 9
    for row, build in ((row, build) for row in rows for build in host.BUILDS):
        of_row = [one for one in compared.ratios if (one.row, one.build) == (row, build)]
        runtimes = [one for one in of_row if one.operator != "take"]
        sizes = [one.elements for one in runtimes]
        assert len(sizes) == 2
        assert 900 < sizes[0] <= 1000
        assert 1900 < sizes[1] <= 2100
        assert all(one.against.startswith("ai-edge-litert ") for one in runtimes)
        takes = [one for one in of_row if one.operator == "take"]
        assert len(takes) == (2 if row == "lut_s8" else 0)
        assert all(one.differing == 0 and one.against.startswith("numpy") for one in takes)
        assert all(0 < one.low <= one.ratio <= one.high for one in of_row)
        assert all(0 < one.nanoseconds < 1e6 for one in of_row)


SAME_BITS = {"lut_s8", "clamp_s8", "rescale_s8", "leaky_relu_s8", "hard_swish_s8", "softmax_s8"}


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tflite-runtime's wheels end at CPython 3.11"
)
def test_operators_that_have_the_same_bits_give_them():
    chosen = [one for one in contests() if one.name in {*SAME_BITS, "sigmoid_pwl_s8"}]
    compared = host.compare_host(
        ["tflite-runtime"], sizes=(4000,), rounds=3, resolver="reference", chosen=chosen
    )
    most = {one.row: one.most for one in compared.ratios if one.operator != "take"}
    assert most == {**dict.fromkeys(SAME_BITS, 0), "sigmoid_pwl_s8": 1}
    differing = {one.row: one.differing for one in compared.ratios}
    assert differing["sigmoid_pwl_s8"] > 100  # an error of one code is seen


@pytest.mark.parametrize(
    "contest",
    [
        relu(RELU.replace("? -3", "? -2")),
        relu(definition=lambda codes: np.where(codes == 77, 76, np.maximum(codes, -3))),
    ],
    ids=["the loop", "the definition"],
)
def test_a_loop_that_is_not_its_definition_is_a_failed_check(contest):
    with pytest.raises(CheckFailed, match="relu differs from its definition on this machine"):
        host.compare_host(sizes=(1000,), rounds=3, chosen=[contest])


def test_the_model_of_one_operator_does_what_it_says():
    content = one_operator(Operator("RELU", 2), QuantSpec(GRID, GRID), (1, 256))
    interpreter = open_interpreter(find_runtime("litert"), content)
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    codes = all_codes(8).astype(np.int8)
    interpreter.set_tensor(source["index"], codes[None])
    interpreter.invoke()
    assert np.array_equal(interpreter.get_tensor(sink["index"])[0], np.maximum(codes, -3))


def test_contenders_take_turns(monkeypatch, tmp_path):
    """Each runs in each round, after all have been checked and their calls counted."""
    order = []

    def contender(name):
        outputs = lambda: np.zeros(4, dtype=np.int8)  # noqa: E731
        return host_worker._Contender(name, lambda: order.append(name), outputs)

    np.save(tmp_path / "expected.npy", np.zeros(4, dtype=np.int8))
    monkeypatch.setattr(host_worker, "_contenders", lambda *_: [contender("a"), contender("b")])
    monkeypatch.setattr(host_worker, "_calls", lambda _: 1)
    job = SimpleNamespace(rounds=5)
    expected = str(tmp_path / "expected.npy")
    times = host_worker._times(job, SimpleNamespace(name="x", elements=4, expected=expected))
    a_round = ["a"] * host_worker.TRIES + ["b"] * host_worker.TRIES
    assert order == ["a", "b", *a_round * 5]  # checks before the rounds
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == {"a": 5, "b": 5}


def test_a_ratio_is_the_median_of_the_rounds_not_of_the_times():
    ours, other = [1.0, 10.0, 100.0], [2.0, 30.0, 200.0]
    seconds = dict.fromkeys(host.BUILDS, ours) | {"litert": other}
    zeros = dict.fromkeys(seconds, 0)
    times = host_worker.Times("x", 7, seconds, zeros, zeros)
    (found, _) = host._ratios(times, "litert", "litert 1", "RELU")
    assert found.ratio == 2.0
    assert (found.low, found.high) == (2.0, 2.8)
    assert found.nanoseconds == 10e9


def test_the_table_is_in_the_order_of_the_library():
    outputs = np.random.default_rng(3).integers(-128, 128, 256)
    assert np.array_equal(lut_s8(all_codes(8), in_table_order(outputs)), outputs)


def test_what_is_refused(refuses):
    with refuses("unknown runtime", "litert"):
        host.compare_host(["onnx"])
    with refuses("resolver"):
        host.compare_host(resolver="fast")
    with refuses("rounds", "3..1000"):
        host.compare_host(rounds=2)
    with refuses("two files of one name", "relu.h"):
        host.loop_sources([relu(), relu(RELU + "\n")])


def test_an_operator_that_the_runtime_lacks_is_named(refuses):
    unknown = dataclasses.replace(relu(), operator=Operator("RELU", 99))
    with refuses("lacks operator RELU", "ai-edge-litert"):
        host.compare_host(sizes=(100,), rounds=3, chosen=[unknown])


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(host, "SIZES", (500,))
    monkeypatch.setattr(host, "ROUNDS", 3)
    monkeypatch.setattr(host, "contests", lambda: (relu(),))
    monkeypatch.setenv("COLUMNS", "200")  # readline, which pytest imports, makes it 80


def test_the_command_prints_a_table_json_or_csv(quick, capsys, tmp_path):
    assert _run(["bench", "--core", "host"]) == 0
    said = capsys.readouterr().out
    assert "times as long" in said
    assert "ai-edge-litert" in said
    assert "RELU" in said
    assert _run(["bench", "--core", "host", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["build"] for one in found["ratios"]} == set(host.BUILDS)
    path = tmp_path / "host.csv"
    assert _run(["bench", "--core", "host", "--csv", str(path)]) == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    assert len(rows) == len(found["ratios"])
    assert {row["row"] for row in rows} == {"relu"}


def test_the_command_takes_no_kernels_and_no_cross_compiler(quick, capsys):
    assert _run(["bench", "--core", "host", "--compiler", "gcc"]) == 2
    assert "--core host" in capsys.readouterr().err
