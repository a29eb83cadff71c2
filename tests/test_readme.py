"""What the README shows is what the program does."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from embact.cores import CORES

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def indented(first_word):
    """Return the README's indented commands that begin with a word."""
    return re.findall(rf"^    ({first_word} .*?)(?: +#.*)?$", README, re.MULTILINE)


@pytest.fixture
def shell(tmp_path):
    # readline, which pytest imports, sets COLUMNS behind os.environ's back
    plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"}

    def run(command, **settings):
        words = [sys.executable, "-c", "from embact.cli import main; main()"]
        words += shlex.split(command)[1:]
        return subprocess.run(
            words,
            cwd=tmp_path,
            env=plain | settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


def test_the_commands_about_kernels_work_in_their_order(shell, tools_for):
    tools_for(CORES["cortex-m4"])
    commands = [c for c in indented("embact") if c.split()[1] in {"fit", "emit", "verify"}]
    assert len(commands) == 9
    for command in commands:
        done = shell(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_segments_that_it_claims(shell):
    commands = [c for c in indented("embact") if "--slope-bits 8" in c]
    found = [re.search(r"segments (\d+)", shell(c).stdout)[1] for c in commands]
    assert f"is {found[0]} and {found[1]}:" in README


def test_the_demo_prints_the_table_that_it_shows(shell):
    shown = [line[4:] for line in README.splitlines() if re.match(r"    (site|[A-Z_+]+ \d)", line)]
    assert len(shown) == 5
    printed = shell("embact demo").stdout.splitlines()
    assert [line.rstrip() for line in printed if line.rstrip() in shown] == shown


def test_the_sites_that_it_shows_are_what_is_printed(shell):
    (command,) = re.findall(r"`(embact sites tests/[^`]*)`", README)
    path = Path(__file__).parent.parent / command.split()[-1]
    wide = shell(f"embact sites {shlex.quote(str(path))}", COLUMNS="200").stdout.splitlines()
    shown = README[README.index(command) :].split("\n\n")[1].splitlines()
    assert len(shown) == 4
    assert {line[4:] for line in shown} <= set(wide)


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})  # noqa: S102 - our own README
    assert printed.getvalue().startswith("1 7\n")


def test_the_sweep_that_it_specifies_finds_a_kernel_for_every_combination(shell, tmp_path):
    (spec,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    quick = spec.replace('["int8", "int16"]', '"int8"')
    assert quick != spec  # int16 takes most of a minute
    (tmp_path / "SPEC.toml").write_text(quick, "utf-8")
    (command,) = re.findall(r"`(embact sweep SPEC\.toml [^`]*)`", README)
    done = shell(command)
    assert done.returncode == 0, done.stderr
    assert "12 jobs: 12 kernels, 0 without one" in done.stdout
    assert len(list((tmp_path / "kernels").glob("embact_*_s8_*.json"))) == 12


@pytest.fixture
def table():
    """The module tools/readme_table.py."""
    path = Path(__file__).parent.parent / "tools" / "readme_table.py"
    spec = importlib.util.spec_from_file_location("embact_readme_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_activations_is_current(table):
    assert table.main(["--check"]) == 0


def test_a_stale_table_is_noticed_and_rewritten(table, tmp_path, capsys):
    readme = tmp_path / "README.md"
    stale = f"# Before\n{table.BEGIN}\nold | table\n{table.END}\nafter\n"
    readme.write_text(stale, "utf-8")
    assert table.main(["--check"], readme) == 1
    assert "is stale: run" in capsys.readouterr().err
    assert readme.read_text("utf-8") == stale
    assert table.main([], readme) == 0
    text = readme.read_text("utf-8")
    assert "old | table" not in text
    assert text.startswith(f"# Before\n{table.BEGIN}\n\n| activation |")
    assert text.endswith(f"|\n\n{table.END}\nafter\n")
    assert table.main(["--check"], readme) == 0


@pytest.mark.parametrize("text", ["", "{begin}", "{end}", "{end}{begin}", "{begin}{end}" * 2])
def test_a_readme_without_its_place_for_the_table_is_refused(table, tmp_path, capsys, text):
    readme = tmp_path / "README.md"
    readme.write_text(text.format(begin=table.BEGIN, end=table.END), "utf-8")
    assert table.main([], readme) == 2
    assert "are needed" in capsys.readouterr().err
