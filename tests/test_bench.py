import csv
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "tools" / "bench_fit.py"
SECTIONS = {"classics", "optima", "learned", "fitters", "integers", "speed"}


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What a quick run prints, and the rows of its CSV."""
    path = tmp_path_factory.mktemp("bench") / "rows.csv"
    done = run("--quick", "--csv", path)
    assert done.returncode == 0, done.stderr
    with path.open(encoding="utf-8", newline="") as file:
        return done.stdout, list(csv.DictReader(file))


def test_every_section_has_a_table_and_rows(quick):
    text, rows = quick
    assert {row["section"] for row in rows} == SECTIONS
    assert set(text.split()) >= SECTIONS


def test_classics_have_their_published_errors(quick):
    found = {
        row["method"]: float(row["max_error"]) / float(row["known"])
        for row in quick[1]
        if row["section"] == "classics" and row["known"]
    }
    assert {"PLAN", "A-law", "i-GELU"} <= set(found)
    assert found == pytest.approx(dict.fromkeys(found, 1.0), rel=0.01)


def test_known_numbers_are_met_and_the_last_line_counts_what_is_behind(quick):
    text, rows = quick
    behind = [row for row in rows if row["behind"]]
    assert f"{len(rows)} rows, behind in {len(behind)}" in text
    exact = {"optima", "learned", "integers"}
    assert [row for row in behind if row["section"] in exact] == []


def test_only_the_named_section_runs():
    text = run("learned").stdout
    assert "GQA-LUT" in text
    assert "PLAN" not in text


def test_an_unknown_section_is_named():
    done = run("speeed")
    assert done.returncode == 2
    assert "speeed" in done.stderr
    assert "speed" in done.stderr
