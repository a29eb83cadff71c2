"""Measure rows on several cores at once, a process for each; a core that cannot be is named.

This module must not know which rows there are or how results are shown.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from embact.bench.measure import BUILD, measure
from embact.bench.record import Skipped
from embact.bench.table import Report, bars_of, today_of
from embact.cores import core as core_of
from embact.errors import EmbactError
from embact.run.cross import cross_compiler
from embact.run.emulator import emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.bench.measure import Build, Run
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
    build: Build = BUILD,
    *,
    skip: bool = True,
    told: Callable[[str], None] = lambda _: None,
) -> Report:
    """Return what the rows cost on the named cores, as many at a time as there are processors.

    skip: whether a core that cannot be measured is skipped, or an error. told: called with a core's
    name when it is done. Bars and what others take are of the default optimisation, and left out
    with another. Raises EmbactError for an unknown core, or if a row does not compile; CheckFailed
    if a program faults or does not end.
    """
    cores = [core_of(name) for name in dict.fromkeys(names)]
    skipped = [found for core in cores if (found := obstacle(core, build.kind))]
    if skipped and not skip:
        raise EmbactError(f"{skipped[0].core} cannot be measured", got=skipped[0].reason)
    missing = {one.core for one in skipped}
    job = partial(measure, subjects, build=build)
    runs = _run([core for core in cores if core.name not in missing], job, told)
    rated = subjects if build.optimise == BUILD.optimise else ()
    return Report(
        measured=tuple(one for run in runs for one in run.measured),
        skipped=tuple(skipped),
        bars=bars_of(rated),
        today=today_of(rated),
        outputs_checked={
            (run.core, row): count for run in runs for row, count in run.outputs_checked.items()
        },
        wrong={(run.core, row): text for run in runs for row, text in run.wrong.items()},
    )


def _run(
    cores: Sequence[Core], job: Callable[[Core], Run], told: Callable[[str], None]
) -> list[Run]:
    if not cores:
        return []
    if len(cores) == 1:
        runs = [job(cores[0])]
        told(cores[0].name)
        return runs
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    workers = min(len(cores), os.cpu_count() or 1)
    runs = []
    # spawned, not forked: this process may have threads
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        answers = pool.map(job, cores)
        for core, run in zip(cores, answers, strict=True):
            told(core.name)
            runs.append(run)
    return runs
