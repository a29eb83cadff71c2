"""tools/fuzz_models.py in short: mutants are handled, and each kind of failure would be seen."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def fuzz(*words):
    return subprocess.run(
        [sys.executable, str(TOOLS / "fuzz_models.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def tool(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("fuzz_models")


def test_mutants_are_refused_or_converted_and_nothing_else():
    done = fuzz("--mutants", "100", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 mutants, 0 failures" in done.stdout
    assert "refused: damaged" in done.stdout
    assert "converted" in done.stdout


@pytest.mark.parametrize(
    ("bug", "sign"),
    [
        ("raise", "KeyError in fuzz_models.py"),
        ("crash", "the process ended: -6"),
        ("hang", "no end after 1 s"),
        ("memory", "MemoryError"),
    ],
)
def test_a_planted_bug_is_found_and_the_others_are_still_examined(bug, sign):
    done = fuzz("--mutants", "5", "--plant", bug, "--seconds", "1" if bug == "hang" else "5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert sign in done.stdout
    assert "5 mutants, 1 failures" in done.stdout


def test_a_mutant_depends_on_the_seed_and_its_number_alone(tool):
    models = tool.corpus()
    first = [tool.mutant(models, 1, number) for number in range(40)]
    assert [tool.mutant(models, 1, number) for number in reversed(range(40))] == first[::-1]
    assert first != [tool.mutant(models, 2, number) for number in range(40)]
    assert len({content for _, _, content in first}) == 40


@pytest.mark.parametrize("leak", ["*/", '"', "\n#", "\\", "${X}", "??/", "/"])
def test_a_character_of_a_name_in_c_would_be_seen(tool, monkeypatch, leak):
    content = (tool.SOURCES[0] / "tanh__int8.tflite").read_bytes()
    assert tool.examine(content, "m.tflite") == "converted"
    files = {"embact_ops.h": f"/* {tool.MARK}{leak} */".encode(), "m.tflite": b"Zq7*/"}
    monkeypatch.setattr(tool, "conversion_files", lambda *_: files)
    with pytest.raises(tool.Wrong, match=r"embact_ops.h holds"):
        tool.examine(content, "m.tflite")


def test_an_error_of_many_characters_or_lines_would_be_seen(tool):
    for got in ("x" * 2000, "\x1b[31m"):
        with pytest.raises(tool.Wrong, match="an error of"):
            tool._said("refused", tool.EmbactError("what", got=got))
