"""Measure rows on a core: build both programs, run them, compare every output, count.

Instructions are those executed on an emulator, exactly: the difference of two sizes over the
difference of their elements, so that what is done once cancels. They are not cycles. This module
must not know how results are shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.bench.program import (
    FILLS,
    MAIN,
    PAINTED,
    checked,
    counted,
    entry,
    outputs,
    row_file,
    row_sources,
)
from embact.bench.record import Measured
from embact.bench.sizes import named_of, sizes_of
from embact.errors import CheckFailed, EmbactError, unknown_name
from embact.run.cross import KINDS, cross_compiler, link
from embact.run.cycles import modelled_cycles
from embact.run.emulator import emulator, run_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from embact.bench.subject import Case, Subject
    from embact.cores import Core
    from embact.grid import Codes
    from embact.run.cross import Image
    from embact.run.emulator import Outcome, Trace

TIMEOUT_S = 600.0

OPTIMISE = "-O2"

OPTIMISES = (OPTIMISE, "-O3", "-Os")
"""What the compiler may be told, the default first."""


@dataclass(frozen=True)
class Build:
    """How programs are compiled. kind: of compiler, see ``cross_compiler``; None: the first found.

    optimise: one of ``OPTIMISES``. Raises EmbactError for others.
    """

    kind: str | None = None
    optimise: str = OPTIMISE

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise unknown_name("kind of compiler", self.kind, KINDS)
        if self.optimise not in OPTIMISES:
            raise EmbactError("--optimise", got=repr(self.optimise), allowed=", ".join(OPTIMISES))


BUILD = Build()


@dataclass(frozen=True)
class Run:
    """What a core gave.

    outputs_checked: how many outputs were compared with the definition, by row. wrong: the first
    that differs, in words, by row.
    """

    core: str
    measured: tuple[Measured, ...]
    outputs_checked: Mapping[str, int]
    wrong: Mapping[str, str]


def measure(subjects: Sequence[Subject], core: Core, build: Build = BUILD) -> Run:
    """Return what the rows cost on a core, every output compared with its definition.

    Raises EmbactError if there is no compiler or emulator for the core, and CheckFailed if a
    program ends otherwise than it should.
    """
    image, counts, wrong = _count(subjects, core, build)
    sizes = [size for one in subjects for size in (_size(one, one.every), (1, 32)) * len(FILLS)]
    _, ran = _ran(subjects, checked, core, build, traced=False)
    found = outputs(ran.written, sizes)
    for number, every in enumerate(found[::2]):
        subject = subjects[number // len(FILLS)]
        if subject.name not in wrong and (told := difference(subject.every, every)):
            wrong[subject.name] = told
    stacks = [int(words[0]) for words in found[1 :: 2 * len(FILLS)]]
    if (deepest := max(stacks, default=0)) >= PAINTED:
        raise EmbactError("bytes of stack", got=f"{deepest} or more", allowed=f"below {PAINTED}")
    where = emulator(core)
    named = named_of(image.elf)
    measured = []
    for number, (subject, traces) in enumerate(zip(subjects, counts, strict=True)):
        own = [row_file(number), *(name for name in subject.files if name.endswith(".c"))]
        sized = sizes_of(named, own, entry(number), traces[1].executed)
        measured.append(
            Measured(
                row=subject.name,
                core=core.name,
                instructions=per_element(subject, traces),
                cycles=None,
                modelled_cycles=_modelled(subject, image, traces),
                code_bytes=sized.code,
                table_bytes=sized.tables,
                stack_bytes=stacks[number],
                ram_bytes=sized.ram,
                compiler=f"{version_of(image.compiler.version)} {build.optimise}",
                where=f"{where.kind} {where.version}",
                call_instructions=_besides(subject, traces),
            )
        )
    checks = {one.name: one.counted.expected.size + one.every.expected.size for one in subjects}
    return Run(core.name, tuple(measured), checks, wrong)


def count(subjects: Sequence[Subject], core: Core, kind: str | None = None) -> dict[str, float]:
    """Return the instructions for each element, by row.

    Raises CheckFailed if an output of what was counted is wrong.
    """
    _, counts, wrong = _count(subjects, core, Build(kind))
    for row, told in wrong.items():
        raise CheckFailed(f"{row} on {core.name}", got=told)
    pairs = zip(subjects, counts, strict=True)
    return {subject.name: per_element(subject, traces) for subject, traces in pairs}


def _count(
    subjects: Sequence[Subject], core: Core, build: Build
) -> tuple[Image, list[tuple[Trace, Trace]], dict[str, str]]:
    """Return the program, the two runs of each row, and what was wrong, by row."""
    image, ran = _ran(subjects, counted, core, build, traced=True)
    seen = outputs(ran.written, [_size(one, one.counted) for one in subjects])
    wrong = {
        subject.name: told
        for subject, some in zip(subjects, seen, strict=True)
        if (told := difference(subject.counted, some))
    }
    return image, list(zip(ran.traces[::2], ran.traces[1::2], strict=True)), wrong


def _ran(
    subjects: Sequence[Subject],
    program: Callable[[Sequence[Subject]], str],
    core: Core,
    build: Build,
    *,
    traced: bool,
) -> tuple[Image, Outcome]:
    """Build and run one of the programs to its end."""
    files = {**row_sources(subjects), MAIN: program(subjects)}
    image = link(core, files, optimise=build.optimise, compiler=cross_compiler(core, build.kind))
    ran = run_image(image, traced=traced, timeout_s=TIMEOUT_S)
    if ran.status:
        raise CheckFailed(f"the benchmark ended on {core.name}", got=f"status {ran.status}")
    return image, ran


def per_element(subject: Subject, traces: tuple[Trace, Trace]) -> float:
    """Return the instructions for one element: the difference of both runs."""
    small, large = traces
    return (large.instructions - small.instructions) / subject.elements


def _besides(subject: Subject, traces: tuple[Trace, Trace]) -> float | None:
    """Return the instructions of a call that do not depend on its size.

    None where the first half's codes cost less than the second's, so that they cannot be told.
    """
    elements = subject.sizes[0] * subject.step
    rest = round(traces[0].instructions - elements * per_element(subject, traces), 1)
    return rest if rest >= 0 else None


def _modelled(subject: Subject, image: Image, traces: tuple[Trace, Trace]) -> float | None:
    small, large = (modelled_cycles(image, trace) for trace in traces)
    return None if small is None or large is None else (large - small) / subject.elements


def _size(subject: Subject, case: Case) -> tuple[int, int]:
    return case.expected.size, subject.out_bits


def difference(case: Case, seen: Codes) -> str:
    """Return where outputs first differ from the definition, in words, or ""."""
    places = np.flatnonzero(seen != case.expected)
    if not places.size:
        return ""
    at = int(places[0])
    given = f"input {case.codes[at]}" if case.codes.size == seen.size else f"output {at}"
    return (
        f"{given}: {seen[at]} instead of {case.expected[at]}; "
        f"{places.size} of {seen.size} outputs differ"
    )


def version_of(said: str) -> str:
    r"""Return a compiler's name and version from the first line that it prints of itself.

    >>> version_of("arm-none-eabi-gcc (15:12.2.rel1-1) 12.2.1 20221205\nCopyright")
    'arm-none-eabi-gcc 12.2.1'
    """
    line = (said.splitlines() or [""])[0]
    name = "clang" if "clang" in line else (line.split() or ["compiler"])[0]
    found = re.findall(r"(?<![\w:.])\d+\.\d+(?:\.\d+)?\b", re.sub(r"\([^)]*\)", "", line))
    return f"{name} {found[0] if found else ''}".rstrip()
