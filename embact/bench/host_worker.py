"""The child process that times loops of ours against a TFLite runtime, taking turns.

``python -m embact.bench.host_worker JOBFILE`` reads a Job (JSON) and writes an Answer. Every
contender runs in each round, one after the other, so that what disturbs one disturbs its
neighbours, too. This module must not know what the times are compared with.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.errors import EmbactError
from embact.run.build import load
from embact.tflite.host.runtime import find_runtime, open_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TIME_NS = 300_000
"""About how long a contender's calls take, each of TRIES times in a round."""

TRIES = 3
"""The least time of these counts: what disturbs a round seldom disturbs all of them."""


@dataclass(frozen=True)
class Round:
    """What is timed together. Paths are of files.

    row: our loop's number in each build. model: of the operator. codes: .npy, flat. expected: our
    outputs, .npy. taken: .npy of a table for numpy's take, or "". elements: codes.
    """

    name: str
    row: int
    model: str
    codes: str
    expected: str
    taken: str
    elements: int


@dataclass(frozen=True)
class Job:
    """builds: name -> (module, path) of the extensions with our loops. rounds: how many."""

    runtime: str
    resolver: str
    builds: dict[str, tuple[str, str]]
    contests: tuple[Round, ...]
    rounds: int
    answer: str


@dataclass(frozen=True)
class Times:
    """What was seen of one contest, by contender.

    seconds: for an element, the least of each round. differing, most: how many outputs are not what
    ours must be, and by how many codes at most.
    """

    name: str
    elements: int
    seconds: dict[str, list[float]]
    differing: dict[str, int]
    most: dict[str, int]


@dataclass(frozen=True)
class Answer:
    """error: what, got, allowed, where of an EmbactError."""

    runtime: str = ""
    times: tuple[Times, ...] = ()
    error: tuple[str, str | None, str, str] | None = None


@dataclass(frozen=True)
class _Contender:
    """run: does it once. outputs: what it gave."""

    name: str
    run: Callable[[], object]
    outputs: Callable[[], NDArray[Any]]


def main(job_file: str) -> None:
    """Do the job in a file; errors of ours are part of the answer."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    try:
        version = find_runtime(job.runtime).version
        answer = Answer(version, tuple(_times(job, one) for one in job.contests))
    except EmbactError as error:
        got = None if error.got is None else str(error.got)
        answer = Answer(error=(error.what, got, error.allowed, error.where))
    Path(job.answer).write_bytes(msgspec.json.encode(answer))


def _times(job: Job, contest: Round) -> Times:
    """Check what every contender gives, then time them all in every round."""
    expected = np.load(contest.expected, allow_pickle=False)
    contenders = _contenders(job, contest, expected.dtype)
    differing, most = {}, {}
    for one in contenders:
        one.run()
        distance = np.abs(one.outputs().ravel().astype(np.int64) - expected)
        differing[one.name], most[one.name] = int(np.count_nonzero(distance)), int(distance.max())
    calls = {one.name: _calls(one) for one in contenders}
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    for _ in range(job.rounds):
        for one in contenders:
            spent = min(_clock(one, calls[one.name]) for _ in range(TRIES))
            seconds[one.name].append(spent / calls[one.name] / contest.elements / 1e9)
    return Times(contest.name, contest.elements, seconds, differing, most)


def _clock(one: _Contender, calls: int) -> int:
    """Return the nanoseconds of some calls."""
    run = one.run
    started = time.perf_counter_ns()
    for _ in range(calls):
        run()
    return time.perf_counter_ns() - started


def _calls(one: _Contender) -> int:
    """Return how many calls take about TIME_NS; they have been made, so all is warm."""
    calls = 1
    while (spent := _clock(one, calls)) < TIME_NS // 2 and calls < 1 << 16:
        calls *= 2
    return max(1, min(1 << 16, calls * TIME_NS // max(spent, 1)))


def _contenders(job: Job, contest: Round, dtype: Any) -> list[_Contender]:
    """Return our builds, then numpy's take if there is a table, then the runtime."""
    codes = np.load(contest.codes, allow_pickle=False)
    found = []
    for name, (module, path) in job.builds.items():
        built = load(module, Path(path))
        target = np.zeros(codes.size, dtype=dtype)
        function = built.lib.embact_host_row(contest.row)
        ends = built.ffi.from_buffer(codes), built.ffi.from_buffer(target)
        found.append(
            _Contender(name, partial(function, *ends, codes.size), partial(np.copy, target))
        )
    if contest.taken:
        table = np.load(contest.taken, allow_pickle=False)
        target = np.zeros(codes.size, dtype=dtype)
        index = codes.view(np.uint8)
        take = partial(np.take, table, index, out=target, mode="clip")
        found.append(_Contender("numpy take", take, partial(np.copy, target)))
    interpreter = open_interpreter(
        find_runtime(job.runtime),
        Path(contest.model).read_bytes(),
        resolver=job.resolver,
        where=contest.name,
    )
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.set_tensor(source["index"], codes.reshape(source["shape"]))
    result = partial(interpreter.get_tensor, sink["index"])
    return [*found, _Contender(job.runtime, interpreter.invoke, result)]


if __name__ == "__main__":
    main(sys.argv[1])
