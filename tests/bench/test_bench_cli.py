"""``embact bench`` as a user runs it."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

from embact.bench import subject
from embact.cli import _run
from embact.cores import CORES


def test_a_kernel_is_measured_checked_and_written(core, mirror, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert _run(["bench", str(mirror), "--core", core.name, "--json", "--csv", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert (row["row"], row["core"]) == ("mirror", core.name)
    assert 3.0 < row["instructions"] < 6.0
    assert row["table_bytes"] == 256
    assert row["outputs_checked"] == 2048 + 256
    assert (row["cycles"], row["ram_bytes"], row["bar"]) == (None, 0, None)
    with out.open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert float(line["instructions"]) == row["instructions"]


def test_a_compiler_is_told_how_to_optimise(core, mirror, capsys):
    assert _run(["bench", str(mirror), "--core", core.name, "--json", "--optimise", "-Os"]) == 0
    (small,) = json.loads(capsys.readouterr().out)["rows"]
    assert small["compiler"].endswith(" -Os")
    assert _run(["bench", str(mirror), "--core", core.name, "--json"]) == 0
    (fast,) = json.loads(capsys.readouterr().out)["rows"]
    assert fast["compiler"].endswith(" -O2")
    assert small["code_bytes"] < fast["code_bytes"]


def test_a_wrong_kernel_is_named_and_the_status_is_1(core, mirror, monkeypatch, capsys):
    emit = subject.emit_header
    monkeypatch.setattr(subject, "emit_header", lambda fits: emit(fits).replace(" 100,", " 99,", 1))
    assert _run(["bench", str(mirror), "--core", core.name]) == 1
    said = capsys.readouterr()
    assert "WRONG" in said.out
    assert f"failed: mirror on {core.name}: input 27: 99 instead of" in said.err or (
        f"failed: mirror on {core.name}: input " in said.err
    )
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--core", "cortex-m5"], ["unknown core", "cortex-m55"]),
        (["missing.json", "--core", "cortex-m4"], ["missing.json"]),
        (["--compiler", "tcc"], ["unknown kind of compiler", "gcc"]),
        (["--import", "missing.csv"], ["missing.csv"]),
        (["--import", "a.csv", "--compiler", "gcc"], ["--import"]),
        (["--json", "--csv", "-"], ["--json and --csv"]),
        (["--csv", "."], ["--csv .: file cannot be written", "it is a folder"]),
        (["--csv", "", "--core", "host"], ["file cannot be written"]),
        (["--csv", "/proc/embact.csv"], ["--csv /proc/embact.csv: file cannot be written"]),
        (["--optimise", "-O9"], ["--optimise", "'-O9'", "-O2, -O3, -Os"]),
        (["--optimise", "-Os", "--core", "host"], ["--core host", "--optimise"]),
        (["--import", "a.csv", "--core", "cortex-m5"], ["unknown core", "cortex-m55"]),
    ],
)
def test_mistakes_are_one_line_and_status_2(words, parts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run(["bench", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert [part for part in parts if part not in said] == []


def test_two_kernels_of_one_name_are_refused(mirror, tmp_path, capsys):
    other = tmp_path / "other" / "mirror.json"
    other.parent.mkdir()
    shutil.copy(mirror, other)
    assert _run(["bench", str(mirror), str(other), "--core", "cortex-m4"]) == 2
    assert "two kernels are called mirror" in capsys.readouterr().err
    assert _run(["bench", str(mirror), str(mirror), "--core", "cortex-m4"]) == 2
    assert "a kernel is there twice" in capsys.readouterr().err


def test_a_place_for_the_csv_is_tried_before_anything_is_measured(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr("embact.bench.campaign.run_cores", None)
    for place in (mirror / "x.csv", tmp_path):
        assert _run(["bench", str(mirror), "--core", "cortex-m4", "--csv", str(place)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mirror.json"]


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine without compilers and emulators for Arm."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("EMBACT_ARM_CC", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def test_what_is_missing_is_reported_as_skipped_by_name(nothing, mirror, capsys):
    assert _run(["bench", str(mirror), "--core", "all"]) == 0
    said = capsys.readouterr().out
    assert [name for name in CORES if f"skipped {name}: no C compiler" not in said] == []


def test_a_named_core_that_cannot_be_measured_is_an_error(nothing, mirror, capsys):
    assert _run(["bench", str(mirror), "--core", "cortex-m4"]) == 2
    assert "cortex-m4 cannot be measured: got no C compiler" in capsys.readouterr().err


def test_what_is_missing_is_an_error_where_it_is_required(nothing, mirror, capsys):
    assert _run(["bench", str(mirror), "--core", "all", "--require-emulators"]) == 2
    assert "cortex-m0plus cannot be measured" in capsys.readouterr().err


def test_the_cores_are_listed_with_what_is_here(capsys):
    assert _run(["list", "cores"]) == 0
    said = capsys.readouterr().out
    assert [name for name in CORES if name not in said] == []
    assert "ARMv8.1-M Mainline, tier helium" in said
    assert _run(["list", "cores", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["cores"]
    assert [one["name"] for one in found] == list(CORES)
    assert {"compilers", "emulators", "costs", "has", "tier"} <= set(found[0])


def test_machines_without_tools_list_none(nothing, capsys):
    assert _run(["list", "cores"]) == 0
    assert "emulators here  none" in capsys.readouterr().out
