"""Who runs jobs: all give the same bytes, and a failure leaves no process and loses no answer."""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import replace
from functools import partial

import pytest

from embact.certify import Histogram
from embact.fit.problem import Limits, Options
from embact.grid import Grid, QuantSpec
from embact.jobs import Job
from embact.sweep import sweep
from embact.workers import dask, pool, serial

SPEC = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 128, 0, 8))


def job(name="tanh", **changes):
    limits, options = Limits(1), Options()
    return replace(Job(name, {}, None, SPEC, limits, options, family="lut"), **changes)


FEW = Histogram((0,) * 250 + (1,) * 6)
JOBS = [
    job(),
    job("mine", expr="x*tanh(x)"),
    job(limits=Limits(0, 9, on_support=True), histogram=FEW),
    job("gelu", limits=Limits(0, 1)),  # no table is that small
]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_worker_processes_give_the_same_bytes(tmp_path):
    sweep(JOBS, tmp_path / "serial", serial)
    sweep(JOBS, tmp_path / "pool", partial(pool, workers=2))
    assert len(contents(tmp_path / "pool")) == 6
    assert contents(tmp_path / "serial") == contents(tmp_path / "pool")


def test_a_worker_that_dies_is_named_and_what_was_finished_stays(tmp_path, refuses):
    def kill(row, _resumed):
        for child in multiprocessing.active_children():
            child.kill()

    many = [job(limits=Limits(budget)) for budget in range(12)]
    with refuses("a worker process died", "SIGKILL", "tanh int8", "finished results stay"):
        sweep(many, tmp_path, partial(pool, workers=2), kill)
    assert multiprocessing.active_children() == []
    kept = contents(tmp_path)
    assert kept
    assert "index.json" not in kept
    fresh = []
    sweep(many, tmp_path, serial, lambda row, resumed: resumed or fresh.append(row.file))
    assert len(fresh) == len(many) - len(kept)


def test_no_worker_outlives_a_failure_of_the_caller(tmp_path):
    def fail(_row, _resumed):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        sweep(JOBS, tmp_path, partial(pool, workers=2), fail)
    assert multiprocessing.active_children() == []


def test_without_dask_its_extra_is_named(monkeypatch, refuses):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refuses("Dask is not installed", "embact[distributed]"):
        list(dask(JOBS, "tcp://127.0.0.1:1", 1.0))
