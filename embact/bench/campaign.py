"""Measure rows on several cores at once, a process for each; a core that cannot be is named.

This module must not know which rows there are or how results are shown.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from embact.bench.measure import measure
from embact.bench.record import Skipped
from embact.bench.table import Report, bars_of, today_of
from embact.cores import core as core_of
from embact.errors import EmbactError, unknown_name
from embact.run.cross import KINDS, cross_compiler
from embact.run.emulator import emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.bench.measure import Run
    from embact.bench.subject import Subject
    from embact.cores import Core


def obstacle(core: Core, kind: str | None = None) -> Skipped | None:
    """Return why nothing can be measured on a core here: no compiler or emulator; else None."""
    try:
        cross_compiler(core, kind)
        emulator(core)
    except EmbactError as error:
        return Skipped(core.name, str(error))
    return None


def run_cores(
    subjects: Sequence[Subject],
    names: Sequence[str],
    kind: str | None = None,
    *,
    told: Callable[[str], None] = lambda _: None,
) -> Report:
    """Return what the rows cost on the named cores, as many at a time as there are processors.

    told: called with a core's name when it is done. Raises EmbactError for an unknown core or kind
    of compiler, or if a row does not compile; CheckFailed if a program faults or does not end.
    """
    if kind is not None and kind not in KINDS:
        raise unknown_name("kind of compiler", kind, KINDS)
    cores = [core_of(name) for name in dict.fromkeys(names)]
    skipped = [found for core in cores if (found := obstacle(core, kind))]
    missing = {one.core for one in skipped}
    runs = _run([core for core in cores if core.name not in missing], subjects, kind, told)
    return Report(
        measured=tuple(one for run in runs for one in run.measured),
        skipped=tuple(skipped),
        bars=bars_of(subjects),
        today=today_of(subjects),
        outputs_checked={
            (run.core, row): count for run in runs for row, count in run.outputs_checked.items()
        },
        wrong={(run.core, row): text for run in runs for row, text in run.wrong.items()},
    )


def _run(
    cores: Sequence[Core],
    subjects: Sequence[Subject],
    kind: str | None,
    told: Callable[[str], None],
) -> list[Run]:
    if not cores:
        return []
    if len(cores) == 1:
        runs = [measure(subjects, cores[0], kind)]
        told(cores[0].name)
        return runs
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    workers = min(len(cores), os.cpu_count() or 1)
    runs = []
    # spawned, not forked: this process may have threads
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        answers = pool.map(partial(measure, subjects, kind=kind), cores)
        for core, run in zip(cores, answers, strict=True):
            told(core.name)
            runs.append(run)
    return runs
