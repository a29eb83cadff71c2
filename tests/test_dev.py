import ast
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "tools" / "dev.py"
posix_only = pytest.mark.skipif(os.name == "nt", reason="dummy programs are shell scripts")


@pytest.fixture(scope="module")
def dev():
    spec = importlib.util.spec_from_file_location("embact_tools_dev", SOURCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up there
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def project(dev, tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / dev.CONSTRAINTS).write_text("numpy==1.26.4\n")
    (tmp_path / ".venv").mkdir()
    return dev.Project(tmp_path)


class Recorder:
    """Stands for dev.run: keeps the commands, runs none, and fails those that contain `failing`."""

    def __init__(self, failing=None, status=1):
        self.failing, self.status, self.commands = failing, status, []

    def __call__(self, command, directory=None, environ=None):
        self.commands.append(list(command))
        return self.status if self.failing in command else 0


def program(path, script="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def search_path(*directories):
    return {"PATH": os.pathsep.join(map(str, directories))}


# Old Python versions


def test_source_parses_on_python_3_8():
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 9)])
def test_older_python_is_refused_with_status_2(dev, version):
    with pytest.raises(dev.DevError, match=r"needs Python 3\.10 or newer") as error:
        dev.require_python(version)
    assert error.value.status == 2


@pytest.mark.parametrize("version", [(3, 10), (3, 13), (4, 0)])
def test_newer_python_is_accepted(dev, version):
    dev.require_python(version)


# The C compiler


@posix_only
def test_compilers_are_preferred_in_the_order_cc_gcc_clang(dev, tmp_path):
    expected = [program(tmp_path / name) for name in ("cc", "gcc", "clang")]
    for compiler in expected:
        assert dev.find_compiler(search_path(tmp_path)) == compiler
        Path(compiler).unlink()
    assert dev.find_compiler(search_path(tmp_path)) is None


@posix_only
def test_order_of_names_beats_order_of_directories(dev, tmp_path):
    program(tmp_path / "first" / "clang")
    gcc = program(tmp_path / "second" / "gcc")
    assert dev.find_compiler(search_path(tmp_path / "first", tmp_path / "second")) == gcc


@posix_only
@pytest.mark.parametrize("value", ["tiny-cc", "tiny-cc -m32"])
def test_cc_variable_beats_the_path_and_may_carry_options(dev, tmp_path, value):
    program(tmp_path / "cc")
    program(tmp_path / "tiny-cc")
    assert dev.find_compiler({**search_path(tmp_path), "CC": value}) == f"{value} (from CC)"


@posix_only
@pytest.mark.parametrize("value", ["", " "])
def test_empty_cc_variable_counts_as_unset(dev, tmp_path, value):
    gcc = program(tmp_path / "gcc")
    assert dev.find_compiler({**search_path(tmp_path), "CC": value}) == gcc


@posix_only
def test_cc_variable_with_an_open_quote_is_refused(dev):
    with pytest.raises(dev.DevError, match=r"CC is .* no command"):
        dev.find_compiler({"CC": "gcc '-O2"})


@posix_only
def test_missing_cc_stops_with_status_2_before_anything_is_installed(tmp_path):
    root = copy_of_project(tmp_path)
    program(tmp_path / "bin" / "gcc")
    environ = {**os.environ, **search_path(tmp_path / "bin"), "CC": "no-such-cc -O2"}
    finished = run_dev(root, "demo", env=environ)
    assert finished.returncode == 2
    assert (
        finished.stderr == "error: CC is 'no-such-cc -O2', but there is no program 'no-such-cc'\n"
    )
    assert not (root / ".venv").exists()


# Installing


def install(dev, project, *requirements, run, version="3.11.7"):
    dev.ensure_installed(project, list(requirements), version, run)
    return len(run.commands)


def test_second_installation_does_not_run_pip(dev, project):
    run = Recorder()
    assert install(dev, project, "-e", ".[tflite]", run=run) == 1
    assert install(dev, project, "-e", ".[tflite]", run=run) == 1
    assert run.commands[0][-4:] == ["-c", dev.CONSTRAINTS, "-e", ".[tflite]"]


def test_demo_and_test_installations_do_not_undo_each_other(dev, project):
    run = Recorder()
    assert install(dev, project, "-e", ".[tflite]", run=run) == 1
    assert install(dev, project, "-e", ".[test]", run=run) == 2
    assert install(dev, project, "-e", ".[tflite]", run=run) == 2
    assert install(dev, project, "-e", ".[test]", run=run) == 2


@pytest.mark.parametrize("name", ["pyproject.toml", "tools/constraints.txt"])
def test_changed_metadata_or_pins_install_again(dev, project, name):
    run = Recorder()
    install(dev, project, ".", run=run)
    (project.root / name).write_text("changed")
    assert install(dev, project, ".", run=run) == 2


def test_another_python_installs_again(dev, project):
    run = Recorder()
    install(dev, project, ".", run=run)
    assert install(dev, project, ".", run=run, version="3.12.1") == 2


def test_moved_checkout_installs_again(dev, project, tmp_path):
    run = Recorder()
    install(dev, project, ".", run=run)
    moved = dev.Project(project.root.rename(tmp_path.with_name("moved")))
    assert install(dev, moved, ".", run=run) == 2


def test_pins_that_come_back_are_not_taken_for_installed(dev, project):
    run = Recorder()
    pins = project.root / dev.CONSTRAINTS
    install(dev, project, "-e", ".[test]", run=run)
    before = pins.read_text()
    pins.write_text("numpy==2.0.0\n")
    install(dev, project, "-e", ".[tflite]", run=run)
    pins.write_text(before)
    assert install(dev, project, "-e", ".[test]", run=run) == 3


def test_failed_pip_stops_with_its_status_and_leaves_no_stamp(dev, project):
    install(dev, project, ".", run=Recorder())
    assert project.stamp.exists()
    with pytest.raises(dev.DevError, match=r"exit status 7 from: .* pip install") as error:
        install(dev, project, ".[broken]", run=Recorder(failing="pip", status=7))
    assert error.value.status == 7
    assert not project.stamp.exists()


@posix_only
def test_usable_venv_is_kept(dev, project):
    program(Path(project.program("python")), "echo 3.11.7")
    run = Recorder()
    assert dev.ensure_venv(project, run) == "3.11.7\n"
    assert run.commands == []


@posix_only
@pytest.mark.parametrize("script", [None, "exit 1", "echo 3.9.1; exit 1"])
def test_missing_or_broken_venv_is_made_anew(dev, project, script):
    python = Path(project.program("python"))
    if script:
        program(python, script)

    def make_venv(command, directory=None, environ=None):
        assert command[1:] == ["-m", "venv", "--clear", str(project.venv)]
        program(python, "echo 3.13.0")
        return 0

    assert dev.ensure_venv(project, make_venv) == "3.13.0\n"


def test_python_without_ensurepip_is_told_what_to_install(dev, project, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run = Recorder()
    with pytest.raises(dev.DevError, match="install python3-venv") as error:
        dev.ensure_venv(project, run)
    assert error.value.status == 2
    assert run.commands == []


def test_real_python_passes_the_probe_of_a_venv(dev, project, monkeypatch):
    monkeypatch.setattr(dev.Project, "program", lambda self, name: sys.executable)
    assert dev.venv_version(project).strip() == sys.version.strip()


# Running


def copy_of_project(tmp_path):
    root = tmp_path / "with space"
    shutil.copytree(SOURCE.parent, root / "tools")
    (root / "pyproject.toml").write_text("[project]\n")
    return root


def run_dev(root, *arguments, **options):
    command = [sys.executable, str(root / "tools" / "dev.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


@pytest.fixture
def fake_root(tmp_path):
    """A copy of the project whose .venv holds dummies that print their arguments as JSON.

    The dummy Python fails the module that FAILING names.
    """
    root = copy_of_project(tmp_path)
    code = "import json, sys; print(json.dumps(sys.argv[1:]))"
    say = f'exec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"'
    program(root / ".venv" / "bin" / "embact", say)
    script = f'[ "$1" = -c ] && echo 3.11.7 && exit\n[ "$2" = "$FAILING" ] && exit 3\n{say}'
    program(root / ".venv" / "bin" / "python", script)
    return root


def printed_commands(finished):
    return [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("[")]


@posix_only
def test_demo_passes_further_arguments_on(fake_root):
    arguments = ["--core", "cortex-m4", "a b", "--help"]
    finished = run_dev(fake_root, "demo", *arguments)
    assert finished.returncode == 0, finished.stderr
    pip, demo = printed_commands(finished)
    assert pip[:3] == ["-m", "pip", "install"]
    assert demo == ["demo", *arguments]
    assert printed_commands(run_dev(fake_root, "demo")) == [["demo"]]


@posix_only
def test_demo_runs_in_the_directory_of_the_caller(fake_root, tmp_path):
    program(fake_root / ".venv" / "bin" / "embact", "pwd")
    finished = run_dev(fake_root, "demo", cwd=tmp_path)
    assert Path(finished.stdout.splitlines()[-1]).samefile(tmp_path)


@posix_only
def test_demo_exits_with_the_status_of_embact(fake_root):
    program(fake_root / ".venv" / "bin" / "embact", "exit 4")
    assert run_dev(fake_root, "demo").returncode == 4


@posix_only
def test_every_step_runs_and_the_summary_names_the_one_that_failed(fake_root):
    finished = run_dev(fake_root, "test", env={**os.environ, "FAILING": "mypy"})
    ran = [command[1] for command in printed_commands(finished)]
    assert ran == ["pip", "ruff", "ruff", "pytest"]  # the failing mypy prints nothing
    assert finished.returncode == 3
    summary = finished.stdout.partition("\nSummary\n")[2].splitlines()
    assert [line.split(maxsplit=2)[-1] for line in summary[:2]] == ["passed", "passed"]
    assert summary[2].split() == ["mypy", "FAILED", "(exit", "status", "3)"]
    assert summary[3].split() == ["pytest", "passed"]


@posix_only
def test_test_with_arguments_runs_only_pytest_with_coverage(fake_root):
    run_dev(fake_root, "install", "--extras", "test")
    (pytest_arguments,) = printed_commands(run_dev(fake_root, "test", "-k", "kernel"))
    coverage = ["--cov=embact", "--cov-branch", "--cov-report=term"]
    spread = ["--numprocesses=auto", "--dist=loadscope", "--no-loadscope-reorder"]
    assert pytest_arguments == ["-m", "pytest", *spread, *coverage, "-k", "kernel"]


@posix_only
@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ([], ["-m", "not slow"]),
        (["--slow"], []),
        (["--require-emulators"], ["-m", "not slow", "--require-emulators"]),
        (["--slow", "--require-emulators"], ["--require-emulators"]),
    ],
)
def test_slow_tests_run_only_where_they_are_asked_for(fake_root, arguments, chosen):
    run_dev(fake_root, "install", "--extras", "test")
    *_, pytest_arguments = printed_commands(run_dev(fake_root, "test", *arguments))
    assert pytest_arguments[:2] == ["-m", "pytest"]
    own = ("--num", "--dis", "--no-l", "--cov")
    assert [word for word in pytest_arguments[2:] if not word.startswith(own)] == chosen


@posix_only
def test_ziglang_is_installed_only_when_there_is_no_compiler(fake_root, tmp_path):
    environ = {key: value for key, value in os.environ.items() if key != "CC"}
    bare = {**environ, **search_path(tmp_path / "nothing")}
    finished = run_dev(fake_root, "install", env=bare)
    assert "C compiler: the ziglang wheel" in finished.stdout
    assert printed_commands(finished)[0][-3:] == ["-e", ".", "ziglang"]
    gcc = program(tmp_path / "bin" / "gcc")
    finished = run_dev(fake_root, "install", env={**environ, **search_path(tmp_path / "bin")})
    assert f"C compiler: {gcc}" in finished.stdout
    assert printed_commands(finished)[0][-2:] == ["-e", "."]


def test_unknown_command_names_the_known_ones(tmp_path):
    finished = run_dev(copy_of_project(tmp_path), "tset")
    assert finished.returncode == 2
    assert finished.stderr == (
        "error: unknown command 'tset'; the commands are demo, test, lint, install\n"
    )


# The pins


def test_constraints_pin_exactly_and_name_no_index():
    lines = (SOURCE.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0].strip() for line in lines]
    assert all("==" in pin for pin in pins if pin)
    assert not any(line.lstrip().startswith("-") or "://" in line for line in lines)


def test_a_python_without_c_headers_is_refused_before_anything_is_installed(dev, tmp_path):
    with pytest.raises(dev.DevError, match=r"Python\.h.*python3-dev"):
        dev.require_headers(tmp_path)
    (tmp_path / "Python.h").write_text("")
    dev.require_headers(tmp_path)
