"""Documents, CSV and tables of measurements."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest

from embact.bench.record import Measured, Skipped
from embact.bench.table import (
    COLUMNS,
    HEADINGS,
    LEGEND,
    Report,
    as_csv,
    document,
    markdown,
    met,
    number,
    of_core,
    told,
)

ROW = Measured(
    row="lut_s8",
    core="cortex-m4",
    instructions=3.125,
    cycles=None,
    modelled_cycles=3.5,
    code_bytes=100,
    table_bytes=256,
    stack_bytes=24,
    ram_bytes=0,
    compiler="gcc 12 -O2",
    where="qemu 7.2",
    call_instructions=20.0,
)
REPORT = Report(
    measured=(ROW, dataclasses.replace(ROW, core="cortex-m3", instructions=9.0)),
    skipped=(Skipped("cortex-m55", "no emulator"),),
    bars={"lut_s8": {"cortex-m4": 3.15, "cortex-m3": 3.3}},
    today={"lut_s8": "TFLM 42"},
    outputs_checked={("cortex-m4", "lut_s8"): 2304},
)


def test_the_document_has_every_number_and_survives_json():
    found = json.loads(json.dumps(document(REPORT)))
    assert (found["schema"], found["wrong"]) == (1, [])
    assert found["skipped"] == [{"core": "cortex-m55", "reason": "no emulator"}]
    assert [set(row) for row in found["rows"]] == [set(COLUMNS)] * 2
    first = found["rows"][0]
    assert first | dataclasses.asdict(ROW) == first
    assert (first["bar"], first["met"], first["outputs_checked"]) == (3.15, True, 2304)
    assert found["rows"][1]["met"] is False


def test_the_csv_has_a_line_for_each_row():
    rows = list(csv.DictReader(io.StringIO(as_csv(REPORT))))
    assert [row["core"] for row in rows] == ["cortex-m4", "cortex-m3"]
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[0]["cycles"], rows[0]["instructions"], rows[0]["met"]) == ("", "3.125", "True")


def test_a_bar_is_met_by_as_many_and_not_by_more():
    assert [met(count, 3.15) for count in (3.15, 3.1501, None)] == [True, False, None]
    assert met(3.0, None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (3.15, "3.15"), (3.1501, "3.16"), (None, "-"), (12.0, "12.00")],
)
def test_numbers_are_rounded_up(value, text):
    assert number(value) == text


def test_the_table_of_a_core_says_what_is_missed_and_what_is_wrong():
    assert of_core(REPORT, "cortex-m3")[0][:4] == ("lut_s8", "9.00", "3.30", "no")
    assert of_core(REPORT, "cortex-m4")[0][3] == "yes"
    wrong = dataclasses.replace(REPORT, wrong={("cortex-m4", "lut_s8"): "input 1"})
    assert of_core(wrong, "cortex-m4")[0][3] == "WRONG"


def test_the_markdown_table_marks_missed_bars():
    found = document(REPORT)
    lines = markdown(found["rows"], found["today"]).splitlines()
    heads = "| row | M3 | M4 | each call (M4) | code, tables, stack (M4) | others today |"
    assert lines[0] == heads
    assert lines[2] == "| lut_s8 | 9.00 (> 3.3) | 3.13 (3.15) | 20 | 100, 256, 24 | TFLM 42 |"
    assert "\n".join(lines[3:]) == f"\n{LEGEND}"


def test_columns_in_which_nothing_is_said_are_left_out():
    headings, rows = told(HEADINGS, of_core(REPORT, "cortex-m4"))
    assert headings[:4] == ["row", "instructions", "bar", "met"]
    assert "cycles" not in headings
    own = dataclasses.replace(REPORT, bars={})
    headings, rows = told(HEADINGS, of_core(own, "cortex-m4"))
    assert headings[:3] == ["row", "instructions", "each call"]
    assert rows[0][:3] == ["lut_s8", "3.13", "20"]
    wrong = dataclasses.replace(own, wrong={("cortex-m4", "lut_s8"): "input 1"})
    assert told(HEADINGS, of_core(wrong, "cortex-m4"))[1][0][2] == "WRONG"


def test_the_status_of_a_row_is_in_every_form():
    board = Measured(
        "lut_s8", "cortex-m4", *(None,) * 7, compiler="gcc 12", where="board", status="unsteady"
    )
    report = Report((board,), bars=REPORT.bars, imported=True)
    assert told(HEADINGS, of_core(report, "cortex-m4")) == (
        ["row", "cycles"],
        [["lut_s8", "unsteady"]],
    )
    found = document(report)
    assert (found["rows"][0]["status"], found["outputs_compared_by"]) == ("unsteady", "the board")
    (line,) = csv.DictReader(io.StringIO(as_csv(report)))
    assert (line["status"], line["cycles"]) == ("unsteady", "")
    assert document(REPORT)["outputs_compared_by"] == "embact"
    wrong = dataclasses.replace(REPORT, wrong={("cortex-m4", "lut_s8"): "input 1"})
    assert [row["status"] for row in document(wrong)["rows"]] == ["wrong", "ok"]


@pytest.mark.parametrize(
    "change",
    [{"row": ""}, {"where": ""}, {"instructions": -1.0}, {"code_bytes": -1}, {"status": "fine"}],
)
def test_impossible_measurements_are_refused(refuses, change):
    with refuses("of a measurement"):
        dataclasses.replace(ROW, **change)
