"""Compare compiled kernels with their definitions in a child process.

A header as it lies on disk may be edited, and what it does is not known: it may write anywhere,
never end, or leave the process. Then that is the difference. Run as ``python -m
embact.run.observer JOB``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from embact.errors import EmbactError
from embact.files import write_text
from embact.kernel import Program, kernel_of
from embact.run.build import load
from embact.run.child import ending, run_child
from embact.run.host import HostKernels, check

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.kernel import Kernel

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Job:
    """Which functions of which extension to compare with which programs, and where to answer."""

    module: str
    path: str
    functions: dict[str, tuple[int, int, int]]
    programs: dict[str, Program]
    answer: str


def check_isolated(
    compiled: HostKernels, kernels: Mapping[str, Kernel], *, timeout_s: float = TIMEOUT_S
) -> dict[str, str]:
    """Return in words where compiled functions differ from their definitions, by function name.

    Empty if each equals its kernel on every input, however it is called. If the process crashes,
    hangs or is left, no function counts as equal: what one did may be felt only later.
    """
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        answer, job_file = Path(name, "answer.json"), Path(name, "job.json")
        programs = {function: kernel.program for function, kernel in kernels.items()}
        functions = dict(compiled.functions)
        job = Job(compiled.module.__name__, compiled.path, functions, programs, str(answer))
        job_file.write_bytes(msgspec.json.encode(job))
        done = run_child("embact.run.observer", job_file, timeout_s)
        seen: dict[str, str] = {}
        if answer.exists():
            seen = msgspec.json.decode(answer.read_bytes(), type=dict[str, str])
    lost = ""
    if done is None:
        lost = f"it did not end within {timeout_s:g} s"
    elif done.returncode or kernels.keys() - seen.keys():
        lost = f"it did not return: the process ended with {ending(done)}"
    return {f: words for f in kernels if (words := seen.get(f) or lost)}


def main(job_file: str) -> None:
    """Compare the functions of a job, writing the answer after each: words, or "" if equal."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    compiled = HostKernels(load(job.module, Path(job.path)), job.functions)
    seen: dict[str, str] = {}
    for function, program in job.programs.items():
        try:
            seen[function] = check(compiled, function, kernel_of(program)) or ""
        except EmbactError as error:
            seen[function] = str(error)
        write_text(Path(job.answer), msgspec.json.encode(seen).decode())


if __name__ == "__main__":
    main(sys.argv[1])
