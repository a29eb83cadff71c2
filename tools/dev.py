#!/usr/bin/env python3
"""Make .venv, install embact into it, and run the demo or the tests there.

usage: python3 tools/dev.py COMMAND [ARGUMENTS]

  demo [ARGUMENTS]        run `embact demo ARGUMENTS`
  test                    run ruff, mypy, and pytest with coverage, without tests marked slow
  test --slow             the same with them
  test --require-emulators
                          either, and a missing compiler for Arm or emulator is a failure
  test ARGUMENTS          run only pytest with coverage, and with these arguments
  lint                    run ruff and mypy
  install [--extras A,B]  only install, with these extras of pyproject.toml

Installs only when something changed, and prints every command it runs. The C compiler is $CC if
set, else cc, gcc or clang on PATH, else the ziglang wheel, which is then installed into .venv.
"""

# This runs before anything is installed, so it knows the standard library only and nothing of
# embact. It must parse and start on Python 3.8, to say there that it needs a newer one.

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Run = Callable[..., int]

OLDEST_PYTHON = (3, 10)
CONSTRAINTS = "tools/constraints.txt"
COMPILERS = ("cc", "gcc", "clang")
SLOW = "--slow"
REQUIRE = "--require-emulators"
# -c does not reach pip's isolated build of embact itself. These do, the second from pip 25.3 on.
# The path stays relative because pip splits the variables at spaces.
PIP_ENVIRONMENT = {"PIP_CONSTRAINT": CONSTRAINTS, "PIP_BUILD_CONSTRAINT": CONSTRAINTS}
PROBE = f"import pip, sys; print(sys.version); sys.exit(sys.version_info < {OLDEST_PYTHON})"


class DevError(Exception):
    """What stops a command: one line for the user and the status to exit with."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Project:
    """Where the repository and its virtual environment are."""

    root: Path

    @property
    def venv(self) -> Path:
        """The virtual environment, inside the repository."""
        return self.root / ".venv"

    @property
    def stamp(self) -> Path:
        """What is installed: a line with the fingerprint, then one per set of requirements."""
        return self.venv / "embact-installed.txt"

    def program(self, name: str) -> str:
        """The path of a program of the virtual environment."""
        if os.name == "nt":
            return str(self.venv / "Scripts" / f"{name}.exe")
        return str(self.venv / "bin" / name)

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command that runs a module with the virtual environment's Python."""
        return [self.program("python"), "-m", name, *arguments]


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    try:
        require_python(sys.version_info[:2])
        return dispatch(Project(Path(__file__).resolve().parent.parent), arguments)
    except DevError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130


def dispatch(project: Project, arguments: Sequence[str]) -> int:
    """Hand the arguments after the command's name on to that command."""
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        raise DevError(f"unknown command {name!r}; the commands are {', '.join(COMMANDS)}")
    return COMMANDS[name](project, rest)


def demo(project: Project, arguments: Sequence[str]) -> int:
    """Run `embact demo`, in the caller's directory."""
    prepare(project, ["tflite"])
    return run([project.program("embact"), "demo", *arguments])


def test(project: Project, arguments: Sequence[str]) -> int:
    """Run every check, or only pytest when there are arguments for it."""
    prepare(project, ["test"])
    if not set(arguments) <= {SLOW, REQUIRE}:
        return run_steps({"pytest": pytest_command(project, arguments)}, project.root)
    chosen = [] if SLOW in arguments else ["-m", "not slow"]
    chosen += [REQUIRE] if REQUIRE in arguments else []
    checks = {**lint_commands(project), "pytest": pytest_command(project, chosen)}
    return run_steps(checks, project.root)


def lint(project: Project, arguments: Sequence[str]) -> int:
    """Run the checks that do not run embact."""
    argparse.ArgumentParser(prog="dev.py lint").parse_args(arguments)
    prepare(project, ["test"])
    return run_steps(lint_commands(project), project.root)


def install(project: Project, arguments: Sequence[str]) -> int:
    """Install embact with chosen extras."""
    parser = argparse.ArgumentParser(prog="dev.py install")
    parser.add_argument("--extras", default="", help="comma-separated, as in pyproject.toml")
    extras = parser.parse_args(arguments).extras.split(",")
    prepare(project, [extra.strip() for extra in extras if extra.strip()])
    return 0


COMMANDS: dict[str, Callable[[Project, Sequence[str]], int]] = {
    "demo": demo,
    "test": test,
    "lint": lint,
    "install": install,
}


def pytest_command(project: Project, arguments: Sequence[str]) -> list[str]:
    """Pytest on all cores with branch coverage, then the caller's arguments."""
    coverage = ["--cov=embact", "--cov-branch", "--cov-report=term"]
    # a module's tests stay together, since they share what it compiled; long ones come early
    spread = ["--numprocesses=auto", "--dist=loadscope", "--no-loadscope-reorder"]
    return project.module("pytest", *spread, *coverage, *arguments)


def lint_commands(project: Project) -> dict[str, list[str]]:
    """The static checks; pyproject.toml configures them."""
    return {
        "ruff check": project.module("ruff", "check", "."),
        "ruff format": project.module("ruff", "format", "--check", "."),
        "mypy": project.module("mypy"),
    }


def prepare(project: Project, extras: Sequence[str]) -> None:
    """Afterwards .venv holds embact with these extras, and there is a C compiler."""
    compiler = find_compiler(os.environ)
    print(f"C compiler: {compiler or 'the ziglang wheel, as PATH has none'}", flush=True)
    require_headers(Path(sysconfig.get_path("include")))
    requirements = ["-e", f".[{','.join(extras)}]" if extras else "."]
    if compiler is None:
        requirements.append("ziglang")
    version = ensure_venv(project, run)
    ensure_installed(project, requirements, version, run)


def find_compiler(environ: Mapping[str, str]) -> str | None:
    """Return the C compiler that embact will find outside .venv, or None if there is none.

    embact/run/toolchain.py looks in the same order. Raises DevError if $CC names no program: the
    user asked for that one, so no other will do.
    """
    path = environ.get("PATH", "")
    chosen = environ.get("CC", "").strip()
    if chosen:
        try:
            program = chosen if os.name == "nt" else shlex.split(chosen)[0]  # may carry options
        except ValueError as error:
            raise DevError(f"CC is {chosen!r}, which is no command: {error}") from error
        if shutil.which(program, path=path) is None:
            raise DevError(f"CC is {chosen!r}, but there is no program {program!r}")
        return f"{chosen} (from CC)"
    found = (shutil.which(name, path=path) for name in COMPILERS)
    return next((compiler for compiler in found if compiler), None)


def ensure_venv(project: Project, run: Run) -> str:
    """Make .venv unless a usable one is there; returns the version of its Python."""
    version = venv_version(project)
    if version is not None:
        return version
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        raise DevError(
            f"{sys.executable} lacks venv or ensurepip; install python3-venv (Debian, Ubuntu) or "
            "a Python that has them"
        )
    command = [sys.executable, "-m", "venv", "--clear", str(project.venv)]
    require_success(run(command), command)
    version = venv_version(project)
    if version is None:
        raise DevError(f"the Python in {project.venv} does not work, though it was just made")
    return version


def venv_version(project: Project) -> str | None:
    """Return the version of .venv's Python, or None if missing, broken, without pip or too old."""
    try:
        probe = subprocess.run(
            [project.program("python"), "-c", PROBE], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return None if probe.returncode else probe.stdout


def ensure_installed(project: Project, requirements: Sequence[str], version: str, run: Run) -> None:
    """Install the requirements into .venv unless its stamp says that they are there."""
    fingerprint = installation_fingerprint(project, version)
    wanted = shlex.join(requirements)
    done = stamped(project, fingerprint)
    if wanted in done:
        return
    project.stamp.unlink(missing_ok=True)  # a failed installation may leave anything behind
    command = project.module(
        "pip", "install", "--disable-pip-version-check", "-c", CONSTRAINTS, *requirements
    )
    require_success(run(command, project.root, PIP_ENVIRONMENT), command)
    project.stamp.write_text("\n".join([fingerprint, *done, wanted, ""]), encoding="utf-8")


def installation_fingerprint(project: Project, version: str) -> str:
    """Hash what an installation depends on, except for the chosen requirements."""
    parts = [version.encode(), str(project.root).encode()]
    parts += [(project.root / name).read_bytes() for name in ("pyproject.toml", CONSTRAINTS)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamped(project: Project, fingerprint: str) -> list[str]:
    """Return the sets of requirements that were installed under this fingerprint."""
    if not project.stamp.exists():
        return []
    first, *done = project.stamp.read_text(encoding="utf-8").splitlines() or [""]
    return done if first == fingerprint else []


def run_steps(steps: Mapping[str, Sequence[str]], root: Path) -> int:
    """Run all steps even when one fails, print which passed; returns the first bad status."""
    statuses = {name: run(command, root) for name, command in steps.items()}
    print("\nSummary")
    for name, status in statuses.items():
        print(f"  {name:12} {f'FAILED (exit status {status})' if status else 'passed'}")
    return next((status for status in statuses.values() if status), 0)


def require_python(version: Sequence[int]) -> None:
    """Raise DevError if this Python is too old for embact."""
    if tuple(version) < OLDEST_PYTHON:
        raise DevError(
            f"embact needs Python 3.10 or newer, and {sys.executable} is {version[0]}.{version[1]}"
        )


def require_headers(include: Path) -> None:
    """Raise DevError if this Python came without the C headers that compiled kernels include."""
    if not (include / "Python.h").exists():
        raise DevError(
            f"{sys.executable} lacks its C headers ({include / 'Python.h'}); install python3-dev "
            "(Debian, Ubuntu) or a Python that has them"
        )


def require_success(status: int, command: Sequence[str]) -> None:
    """Raise DevError, which exits with the command's own status, if that is not 0."""
    if status:
        raise DevError(f"exit status {status} from: {shlex.join(command)}", status)


def run(
    command: Sequence[str], directory: Path | None = None, environ: Mapping[str, str] | None = None
) -> int:
    """Print a command and run it, with additions to the environment; returns its exit status."""
    additions = dict(environ or {})
    variables = (f"{name}={text}" for name, text in additions.items())
    print("+", *variables, shlex.join(command), flush=True)
    try:
        finished = subprocess.run(
            command, cwd=directory, env={**os.environ, **additions}, check=False
        )
    except OSError as error:
        raise DevError(f"{command[0]}: {error.strerror}; delete .venv to start afresh") from error
    return finished.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
