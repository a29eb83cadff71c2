"""Sweeps: what the folder holds, and what in it may be trusted."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace

import pytest

from embact import jobs as fitting
from embact.certify import Histogram
from embact.fit.problem import Limits, Options
from embact.fit.record import fit_json, fit_of_json
from embact.grid import Grid, QuantSpec
from embact.jobs import Job, answer
from embact.sweep import sweep
from embact.workers import serial

SPEC = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 128, 0, 8))


def job(name="tanh", **changes):
    limits, options = Limits(1), Options()
    return replace(Job(name, {}, None, SPEC, limits, options, family="lut"), **changes)


JOBS = [
    job(),
    job("mine", expr="x*tanh(x)"),
    job("softsign", family="pwl"),
    job("leaky_relu", parameters={"alpha": 0.1}),
    job("relu", limits=Limits(4, 0), family="affine", options=Options(objective="error")),
    job("gelu", limits=Limits(0, 1)),  # no table is that small
    job(limits=Limits(0, 9, on_support=True), histogram=Histogram((0,) * 250 + (1,) * 6)),
]
KERNELS = [*JOBS[:5], JOBS[6]]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def must_not_run(_jobs):
    raise AssertionError("nothing was missing")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("sweep") / "whole"
    sweep(JOBS, folder, serial)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to spoil."""
    return shutil.copytree(whole, tmp_path / "copy")


def file_of(folder, wanted):
    (path,) = folder.glob(f"*_{wanted.key[:12]}.json")
    return path


# What the folder holds


def test_equal_jobs_are_done_once_and_stand_where_the_first_stood(tmp_path):
    asked = []

    def run(jobs):
        asked.extend(jobs)
        return serial(jobs)

    rows = sweep([JOBS[1], JOBS[0], JOBS[1], JOBS[0]], tmp_path, run)
    assert asked == [row.job for row in rows] == [JOBS[1], JOBS[0]]


def test_every_kernel_file_is_what_fit_writes_under_a_name_that_says_what_it_is(whole):
    for wanted in KERNELS:
        path = file_of(whole, wanted)
        found = fit_of_json(path.read_text("utf-8"))
        assert path.name == f"{found.function_name}_{wanted.key[:12]}.json"
        assert path.read_text("utf-8") == fit_json(found)


def test_a_job_without_a_kernel_in_its_limits_is_answered_by_the_reason(whole):
    path = file_of(whole, JOBS[5])
    assert path.name.startswith("no_kernel_")
    error = json.loads(path.read_text("utf-8"))["error"]
    assert "no lut kernel of gelu" in error
    assert "\n" not in error
    assert json.loads((whole / "index.json").read_text("utf-8"))["results"][5]["error"] == error


def test_the_index_says_of_every_job_what_its_file_proves(whole):
    rows = json.loads((whole / "index.json").read_text("utf-8"))["results"]
    assert [row["key"] for row in rows] == [one.key for one in JOBS]
    for row in (*rows[:5], rows[6]):
        found = fit_of_json((whole / row["file"]).read_text("utf-8"))
        assert row["digest"] == found.kernel.digest
        assert row["max_error_codes"] == found.certificate.max_error_codes
        on_support = found.certificate.max_error_codes_on_support
        assert row["max_error_codes_on_support"] == on_support
        assert row["max_error_lsb"] == found.certificate.max_error_lsb
        assert row["table_bytes"] == found.kernel.table_bytes
        assert row["family"] == found.family


def test_the_csv_index_says_the_same_as_the_json_index(whole):
    rows = json.loads((whole / "index.json").read_text("utf-8"))["results"]
    lines = list(csv.DictReader(io.StringIO((whole / "index.csv").read_text("utf-8"))))
    for name in ("key", "file", "family", "max_error_codes", "max_error_lsb", "digest", "error"):
        expected = ["" if row[name] is None else str(row[name]) for row in rows]
        assert [line[name] for line in lines] == expected
    assert lines[3]["parameters"] == "alpha=0.1"
    assert lines[0]["in_scale"] == "0.0625"
    assert lines[5]["max_bytes"] == "1"
    assert [line["histogram"] for line in lines] == [*[""] * 6, JOBS[6].histogram_digest]
    assert rows[6]["job"]["histogram"] == lines[6]["histogram"]


def test_the_folder_is_the_same_in_whichever_order_jobs_finish(whole, tmp_path):
    sweep(JOBS, tmp_path, lambda jobs: serial(jobs[::-1]))
    assert contents(tmp_path) == contents(whole)


def test_another_kernel_would_be_seen_as_other_bytes(whole, tmp_path):
    sweep([replace(JOBS[0], limits=Limits(2)), *JOBS[1:]], tmp_path, serial)
    assert contents(tmp_path) != contents(whole)


# What is there is not done again


def test_a_finished_sweep_runs_nothing_again(folder, whole):
    told = []
    sweep(JOBS, folder, must_not_run, lambda row, resumed: told.append((row.job, resumed)))
    assert told == [(one, True) for one in JOBS]
    assert contents(folder) == contents(whole)


def test_what_another_build_made_is_done_again_and_left_alone(folder, whole, monkeypatch):
    monkeypatch.setattr(fitting, "code_digest", lambda: "0")
    newer, fresh = [replace(one) for one in JOBS], []
    sweep(newer, folder, serial, lambda row, resumed: resumed or fresh.append(row.job))
    assert fresh == JOBS
    results = contents(whole).keys() - {"index.json", "index.csv"}
    assert {name: contents(folder)[name] for name in results}.items() <= contents(whole).items()
    rows = json.loads((folder / "index.json").read_text("utf-8"))["results"]
    assert results.isdisjoint(row["file"] for row in rows)
    sweep(newer, folder, must_not_run)


def test_a_sweep_that_was_interrupted_has_kept_what_was_finished_and_does_the_rest(whole, tmp_path):
    def two(jobs):
        yield from serial(jobs[:2])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(JOBS, tmp_path, two)
    assert contents(tmp_path).keys() == {file_of(whole, one).name for one in JOBS[:2]}
    asked = []
    sweep(
        JOBS, tmp_path, lambda jobs: (asked.append(one) or (one, answer(one.text)) for one in jobs)
    )
    assert asked == JOBS[2:]
    assert contents(tmp_path) == contents(whole)


def other_limits(text):
    return text.replace('"max_error": 1', '"max_error": 2')


DAMAGE = {
    "empty": lambda _: "",
    "truncated": lambda text: text[: len(text) // 2],
    "without its last brace": lambda text: text[:-3],
    "another value": lambda text: text.replace("127", "126", 1),
    "another digest": lambda text: text.replace('"digest": "', '"digest": "0'),
    "another schema": lambda text: text.replace('"schema": ', '"schema": 9'),
    "another job's": other_limits,
    "another activation's": lambda _: answer(job("softsign").text)[1],
    "not JSON": lambda _: "\x00",
    "nested for ever": lambda _: "[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_kernel_file_is_done_again(folder, whole, damage):
    path = file_of(folder, JOBS[0])
    text = path.read_text("utf-8")
    path.write_text(DAMAGE[damage](text), "utf-8")
    assert path.read_text("utf-8") != text
    fresh = []
    sweep(JOBS, folder, serial, lambda row, resumed: resumed or fresh.append(row.job))
    assert fresh == [JOBS[0]]
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("damage", ["empty", "truncated", "nested for ever", "another job's"])
def test_a_damaged_reason_is_found_again(folder, whole, damage):
    path = file_of(folder, JOBS[5])
    text = path.read_text("utf-8")
    spoilt = text.replace('"gelu"', '"silu"') if "job" in damage else DAMAGE[damage](text)
    path.write_text(spoilt, "utf-8")
    assert spoilt != text
    fresh = []
    sweep(JOBS, folder, serial, lambda row, resumed: resumed or fresh.append(row.job))
    assert fresh == [JOBS[5]]
    assert contents(folder) == contents(whole)


def test_bytes_that_are_no_text_and_folders_in_the_way_are_told_apart(folder, whole, refuses):
    path = file_of(folder, JOBS[0])
    path.write_bytes(b"\xff\xfe")
    sweep(JOBS, folder, serial)
    assert contents(folder) == contents(whole)
    path.unlink()
    path.mkdir()
    with refuses("cannot be written", path.name):
        sweep(JOBS, folder, serial)


def test_files_of_others_stay(folder, whole):
    (folder / "notes.json").write_text("mine", "utf-8")
    sweep(JOBS[:2], folder, must_not_run)
    assert contents(folder).keys() == {*contents(whole), "notes.json"}


def test_what_a_worker_sends_is_checked_before_it_is_written(tmp_path, refuses):
    def confused(jobs):
        for one in jobs:
            yield one, answer(job("softsign").text)

    with refuses("result of another job"):
        sweep([JOBS[0]], tmp_path, confused)
    assert contents(tmp_path) == {}


def test_a_folder_that_cannot_be_is_refused_before_any_work(tmp_path, refuses):
    (tmp_path / "file").write_text("", "utf-8")
    with refuses("folder cannot be used", "file"):
        sweep(JOBS, tmp_path / "file", must_not_run)


def test_an_unexpected_error_in_a_job_is_not_an_answer(monkeypatch, tmp_path):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(fitting, "fit", broken)
    with pytest.raises(ZeroDivisionError):
        sweep(JOBS[:1], tmp_path, serial)
    assert contents(tmp_path) == {}
