"""The host's C compiler: ``$CC``, else cc, gcc or clang, else the ziglang wheel.

This module must not know what is compiled.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STRICT = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Wpedantic",
    "-Werror",
)
"""What every C file of ours compiles with, without a warning."""


_ERROR_DIRECTIVE = re.compile(r': (?:fatal )?error: (?:#error )?"(.+)"$')
"""What compilers print of ``#error "text"``, after the place; clang does not repeat the word."""


class ToolMissing(EmbactError):  # noqa: N818 - nobody's mistake
    """A compiler or an emulator that is not installed, without which something may be skipped."""


@dataclass(frozen=True)
class Compiler:
    """command: the words to run. version: what it prints of itself, part of every cache key."""

    command: tuple[str, ...]
    version: str


def find_compiler(environment: Mapping[str, str] | None = None) -> Compiler:
    """Return the C compiler to use. Raises EmbactError if there is none or ``$CC`` is not one."""
    environment = os.environ if environment is None else environment
    path = environment.get("PATH", "")
    if chosen := environment.get("CC", "").strip():
        try:
            words = shlex.split(chosen)
        except ValueError:  # an open quote
            words = []
        found = shutil.which(words[0], path=path) if words else None
        if found is None:
            raise EmbactError("the compiler in $CC is not on PATH", got=repr(chosen))
        return _compiler((found, *words[1:]))
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name, path=path):
            return _compiler((found,))
    if importlib.util.find_spec("ziglang"):
        return _compiler((sys.executable, "-m", "ziglang", "cc"))
    raise EmbactError(
        "no C compiler", allowed="$CC, cc, gcc or clang on PATH, or `pip install ziglang`"
    )


@lru_cache
def _compiler(command: tuple[str, ...]) -> Compiler:
    return Compiler(command, run_tool([*command, "--version"], what="C compiler"))


def run_tool(command: Sequence[str], *, what: str, cwd: Path | None = None) -> str:
    """Run a program and return its output.

    Raises EmbactError with the first error line that it printed and the command, if it fails; the
    text of an ``#error`` comes before all else.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise EmbactError(f"{what} did not start", got=error, where=shlex.join(command)) from None
    if done.returncode:
        printed = (done.stderr or done.stdout).splitlines() or [f"exit status {done.returncode}"]
        first = next((line for line in printed if "error" in line.lower()), printed[0])
        by = f"from {shlex.join(command)}"
        if asked := _ERROR_DIRECTIVE.search(first):
            place = first[: asked.start()]
            raise EmbactError(f"{what} failed", got=f"#error in {place}, {by}", where=asked[1])
        raise EmbactError(f"{what} failed", got=f"{first}, {by}")
    return done.stdout
