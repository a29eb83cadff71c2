"""The errors of stock kernels: against arithmetic done here, against certify, and what crashes."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest

from embact.activations import activation
from embact.certify import certify
from embact.grid import Grid, QuantSpec
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.graph import graph_of
from embact.tflite.host.runtime import find_runtime, open_interpreter
from embact.tflite.model import read
from embact.tflite.site import Findings, Site
from embact.tflite.stock import today
from embact.tflite.stock.today import NoStockError, StockError, reach_of, stock_error, todays_errors
from embact.tflite.stock.worker import Ran, attempt

ALL = (-128, 127)
RAN = Ran("a runtime", "reference")
SPEC = QuantSpec(Grid(0.05, 3, 8), Grid(1 / 256, -128, 8))
CODES = np.arange(-128, 128)


CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture
def corpus_model():
    """The function that reads a model of the corpus."""
    return lambda name: read(CORPUS / f"{name}.tflite")


def only(model):
    """The error of the one site of a model."""
    (found,) = todays_errors(model, find_sites(model))
    return found


def outputs_of(model):
    """What the reference kernels give for all codes, asked without any of the code under test."""
    interpreter = open_interpreter(find_runtime(), model.content)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], CODES.astype(np.int8).reshape(source["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(target["index"]).ravel().astype(int)


@pytest.mark.parametrize(
    ("op", "real", "scale", "zero_point"),
    [
        ("LOGISTIC", lambda v: 1 / (1 + math.exp(-v)), 1 / 256, -128),
        ("TANH", math.tanh, 1 / 128, 0),
        ("HARD_SWISH", lambda v: v * min(max(v + 3, 0), 6) / 6, float(np.float32(0.05)), 0),
    ],
)
def test_the_error_is_that_of_arithmetic_done_here(build, op, real, scale, zero_point):
    model = build.one_op(op)
    step = float(np.float32(0.05))
    ideal = [min(max(real(step * code) / scale + zero_point, -128), 127) for code in CODES.tolist()]
    off = [abs(a - b) for a, b in zip(outputs_of(model).tolist(), ideal, strict=True)]
    rounded = [math.floor(value + 0.5) for value in ideal]  # no exact ties, as the test below says
    wrong = sum(a != b for a, b in zip(outputs_of(model).tolist(), rounded, strict=True))
    found = only(model)
    assert isinstance(found, StockError)
    assert found.max_error_lsb == pytest.approx(max(off), abs=1e-9)
    assert found.mean_error_lsb == pytest.approx(sum(off) / 256, abs=1e-9)
    assert found.not_correctly_rounded == wrong
    assert off[found.worst_input + 128] == pytest.approx(max(off), abs=1e-8)
    assert (found.points, found.resolver, found.truth) == (256, "reference", "oracle")


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "gelu"])
def test_codes_are_judged_as_certify_judges_a_kernel_of_them(name):
    known, random = activation(name), np.random.default_rng(7)
    outputs = random.integers(-128, 128, 256)
    kernel = Kernel(lookup(Table("t", tuple(outputs.tolist())), add(x(), const(128))), 8, 8)
    proved = certify(known, SPEC, kernel)
    found = stock_error(known, SPEC, outputs, RAN, ALL)
    for field in dataclasses.asdict(found).keys() - {"runtime", "resolver"}:
        assert getattr(found, field) == getattr(proved, field), field


def test_where_the_oracle_would_take_minutes_both_sides_of_a_tie_are_right():
    known, spec = activation("leaky_relu", alpha=0.5), QuantSpec(Grid(1.0, 0, 16), Grid(1.0, 0, 16))
    codes = np.arange(-32768, 32768)
    halves = np.where(codes < 0, codes / 2, codes)
    for outputs in (np.floor(halves), np.ceil(halves)):
        found = stock_error(known, spec, outputs, RAN, (-32768, 32767))
        assert (found.truth, found.not_correctly_rounded) == ("float64", 0)
    outputs = np.floor(halves)
    outputs[[5, 40000]] += 2
    found = stock_error(known, spec, outputs, RAN, (-32768, 32767))
    assert (found.max_error_codes, found.not_correctly_rounded) == (2, 2)
    few = stock_error(activation("sigmoid"), spec, outputs, RAN, (-32768, 32767))
    assert few.truth == "oracle"


def test_one_wrong_code_is_seen():
    known = activation("sigmoid")
    right = np.clip(np.floor(256 / (1 + np.exp(-0.05 * (CODES - 3.0))) + 0.5) - 128, -128, 127)
    good = stock_error(known, SPEC, right, RAN, ALL)
    assert (good.max_error_codes, good.not_correctly_rounded) == (0, 0)
    right[200] += 3 if right[200] < 100 else -3
    bad = stock_error(known, SPEC, right, RAN, ALL)
    assert (bad.max_error_codes, bad.not_correctly_rounded) == (3, 1)
    assert bad.worst_input == 200 - 128


@pytest.mark.parametrize(
    ("name", "least"), [("softplus__int8", 20), ("mish__int8", 10), ("selu__int8", 50)]
)
def test_todays_chains_of_exponentials_are_far_off(corpus_model, name, least):
    found = only(corpus_model(name))
    assert isinstance(found, StockError)
    assert found.max_error_codes >= least


def test_what_the_reference_kernels_lack_runs_on_the_default_ones(corpus_model):
    found = only(corpus_model("elu__int8"))
    assert isinstance(found, StockError)
    assert (found.resolver, found.max_error_codes) == ("default", 0)


def test_int16_is_checked_on_all_its_codes():
    model = read(data_file("digits_mlp_int16x8.tflite"))
    found = todays_errors(model, find_sites(model))
    assert [one.points for one in found] == [65536, 65536]
    assert all(0 < one.max_error_lsb < 4 for one in found)


BAD = {"scale": (1 / 32768,), "zero_point": 5}
"""An output grid of int16 that the runtime refuses: its zero point is not 0."""


def refused_model(build):
    tensors = [build.Tensor("x", "INT16"), build.Tensor("out", "INT16", **BAD)]
    return build.model_of(tensors, [build.Node("LOGISTIC", (0,), (1,))], [0], [1])


def both(build):
    """A model with LOGISTIC, one that the runtime refuses, and one more."""
    tensors = [
        build.Tensor("x", "INT16", (0.0002,)),
        build.Tensor("a", "INT16", (1 / 32768,)),
        build.Tensor("b", "INT16", **BAD),
        build.Tensor("c", "INT16", (1 / 32768,)),
    ]
    reads = ((0, 1), (0, 2), (1, 3))
    nodes = [build.Node("LOGISTIC", (source,), (target,)) for source, target in reads]
    return build.model_of(tensors, nodes, [0], [2, 3])


def test_a_site_that_the_runtime_refuses_says_why(build):
    found = only(refused_model(build))
    assert isinstance(found, NoStockError)
    assert "ai-edge-litert" in found.reason


def test_a_refused_site_takes_nothing_from_the_others(build):
    model = both(build)
    kinds = [type(one) for one in todays_errors(model, find_sites(model))]
    assert kinds == [StockError, NoStockError, StockError]


CRASHING = """
import os, signal, sys
from embact.tflite.stock import worker as today_worker

real = today_worker.attempt

def attempt(runtime, content):
    ran, outputs = real(runtime, content)
    if outputs is None:
        {deed}
    return ran, outputs

today_worker.attempt = attempt
today_worker.main(sys.argv[1])
"""


def with_worker(monkeypatch, tmp_path, deed):
    (tmp_path / "crashing_worker.py").write_text(CRASHING.format(deed=deed), "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(today, "WORKER", "crashing_worker")


def test_a_site_that_crashes_the_runtime_takes_nothing_from_the_others(
    build, monkeypatch, tmp_path
):
    with_worker(monkeypatch, tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    model = both(build)
    found = todays_errors(model, find_sites(model))
    assert [type(one) for one in found] == [StockError, NoStockError, StockError]
    assert "crashed" in found[1].reason
    assert "SIGSEGV" in found[1].reason


def test_a_site_that_takes_for_ever_is_ended(build, monkeypatch, tmp_path):
    with_worker(monkeypatch, tmp_path, "import time; time.sleep(600)")
    model, start = both(build), time.monotonic()
    found = todays_errors(model, find_sites(model), timeout_s=4)
    assert time.monotonic() - start < 60
    assert "took over 4 s" in found[1].reason
    assert "took over 4 s" in found[2].reason


def test_equal_sites_are_run_once(build, monkeypatch):
    tensors = [build.Tensor("x"), *(build.Tensor(f"o{i}", scale=(1 / 128,)) for i in range(3))]
    model = build.model_of(
        tensors, [build.Node("TANH", (0,), (i,)) for i in (1, 2, 3)], [0], [1, 2, 3]
    )
    counted, real = [], today._run
    monkeypatch.setattr(
        today, "_run", lambda one, *rest: counted.append(len(one)) or real(one, *rest)
    )
    found = todays_errors(model, find_sites(model))
    assert counted == [1]
    assert len(set(found)) == 1
    assert len(found) == 3


def test_codes_that_a_fused_clamp_takes_away_do_not_count(build):
    grid = Grid(0.05, 0, 8)
    tensors = [build.Tensor("x"), build.Tensor("mid"), build.Tensor("out", scale=(1 / 128,))]
    spec, known = QuantSpec(grid, Grid(1 / 128, 0, 8)), activation("tanh")
    site = Site(0, (1,), 1, 2, ("TANH",), "out", known, spec, 256)
    for kind, reach in ((0, ALL), (1, (0, 127)), (2, (-20, 20)), (3, (0, 120))):
        fused = build.options("ADD", fusedActivationFunction=kind)
        nodes = [build.Node("ADD", (0, 0), (1,), fused), build.Node("TANH", (1,), (2,))]
        model = build.model_of(tensors, nodes, [0], [2])
        assert reach_of(graph_of(model, 0), site) == reach, kind
        (found,) = todays_errors(model, Findings((site,), ()))
        assert found.points == reach[1] - reach[0] + 1
    outputs = np.zeros(256)
    half = stock_error(activation("relu"), QuantSpec(grid, grid), outputs, RAN, (-128, 0))
    assert half.max_error_codes == 0, "relu is 0 there"


def test_without_sites_nothing_is_run(monkeypatch):
    monkeypatch.setattr(today, "_run", None)
    model = read(data_file("digits_mlp_int8.tflite"))
    assert todays_errors(model, Findings((), ())) == ()


def test_the_worker_says_which_kernels_ran(build):
    ran, outputs = attempt(find_runtime(), build.one_op("TANH").content)
    assert (ran.resolver, ran.refused, outputs.size) == ("reference", "", 256)
    ran, outputs = attempt(find_runtime(), refused_model(build).content)
    assert outputs is None
    assert ran.refused
