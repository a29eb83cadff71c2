"""The README's table of measured kernels is that of the data, and the data is what is measured."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from embact.bench.measure import OPTIMISE, version_of
from embact.bench.rows import standard
from embact.cores import CORES
from embact.run.cross import cross_compiler


@pytest.fixture
def tool():
    """The module tools/bench_table.py."""
    path = Path(__file__).parents[2] / "tools" / "bench_table.py"
    spec = importlib.util.spec_from_file_location("embact_bench_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tool):
    """The packaged measurements."""
    return json.loads(tool.DATA.read_text("utf-8"))


def test_the_table_of_measured_kernels_is_current(tool):
    assert tool.main(["--check"]) == 0


def test_the_data_has_every_row_on_every_core_and_its_bar(data):
    found = {(row["row"], row["core"]): row["bar"] for row in data["rows"]}
    assert found == {(one.name, core): one.bars.get(core) for one in standard() for core in CORES}
    assert (data["wrong"], data["skipped"]) == ([], [])


def test_a_stale_table_is_noticed_and_rewritten(tool, tmp_path, capsys):
    readme = tmp_path / "README.md"
    stale = f"# Before\n{tool.BEGIN}\nold | table\n{tool.END}\nafter\n"
    readme.write_text(stale, "utf-8")
    assert tool.main(["--check"], readme) == 1
    assert "is stale: run" in capsys.readouterr().err
    assert readme.read_text("utf-8") == stale
    assert tool.main([], readme) == 0
    assert "old | table" not in readme.read_text("utf-8")
    assert tool.main(["--check"], readme) == 0


def test_a_changed_count_makes_the_table_stale(tool, data, tmp_path):
    readme, other = tmp_path / "README.md", tmp_path / "bench.json"
    readme.write_text(f"{tool.BEGIN}\n{tool.END}", "utf-8")
    assert tool.main([], readme) == 0
    data["rows"][0]["instructions"] += 1
    other.write_text(tool.text_of(data), "utf-8")
    assert tool.main(["--check"], readme, other) == 1


@pytest.mark.parametrize("text", ["", "{begin}", "{end}{begin}", "{begin}{end}" * 2])
def test_a_readme_without_its_place_for_the_table_is_refused(tool, tmp_path, capsys, text):
    readme = tmp_path / "README.md"
    readme.write_text(text.format(begin=tool.BEGIN, end=tool.END), "utf-8")
    assert tool.main([], readme) == 2
    assert "are needed" in capsys.readouterr().err


@pytest.mark.slow
def test_the_data_is_what_is_measured_now(tool, data, tools_for):
    for core in CORES.values():
        tools_for(core)
    own = f"{version_of(cross_compiler(CORES['cortex-m4']).version)} {OPTIMISE}"
    theirs = data["rows"][0]["compiler"]
    if own != theirs:
        pytest.skip(f"the data are of {theirs}, here is {own}")

    def counts(document):
        keys = ("instructions", "call_instructions", "code_bytes", "table_bytes", "stack_bytes")
        return {(row["row"], row["core"]): [row[key] for key in keys] for row in document["rows"]}

    assert counts(tool.measured()) == counts(data)
