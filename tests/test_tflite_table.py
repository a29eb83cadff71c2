"""The table of docs/tflite.md is what `embact sites` and `embact convert` find."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tool():
    """The module tools/tflite_table.py."""
    spec = importlib.util.spec_from_file_location(
        "embact_tflite_table", ROOT / "tools/tflite_table.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_table_is_current(tool):
    assert tool.main(["--check"]) == 0


def test_a_row_has_what_is_found(tool, tmp_path):
    shutil.copy(tool.CORPUS / "softplus__int8.tflite", tmp_path)
    (row,) = tool.rows(tmp_path)
    assert row[:6] == ("softplus", "EXP ADD LOG", "softplus (beta=1)", "no", "23", "0")
    assert f"| {' | '.join(row)} |" in tool.PAGE.read_text("utf-8").splitlines()


def test_a_stale_page_is_noticed_and_rewritten(tool, tmp_path, monkeypatch, capsys):
    shutil.copy(tool.CORPUS / "softplus__int8.tflite", tmp_path)
    made = tool.table(tmp_path)
    monkeypatch.setattr(tool, "table", lambda: made)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tool.BEGIN}\nold\n{tool.END}\nafter\n", "utf-8")
    assert tool.main(["--check"], page) == 1
    assert "is stale: run" in capsys.readouterr().err
    assert tool.main([], page) == 0
    assert page.read_text("utf-8") == f"before\n{tool.BEGIN}\n\n{made}\n\n{tool.END}\nafter\n"
    assert tool.main(["--check"], page) == 0


def test_a_page_without_its_place_is_refused(tool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, "table", lambda: "")
    page = tmp_path / "page.md"
    page.write_text("nothing here\n", "utf-8")
    assert tool.main([], page) == 2
    assert "are needed" in capsys.readouterr().err
