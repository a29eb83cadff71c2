"""Many fits at once: jobs as plain data, what runs them, and a folder of results to resume from.

A job is named by what was asked, so equal jobs are done once and a finished one is found again.
Workers return texts and only the caller writes, so that whatever runs the jobs, and in whichever
order they finish, the folder holds the same bytes. This module must not know how a spec file is
written, or how any family works.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from embact import __version__
from embact.activations import activation
from embact.cost import instructions
from embact.errors import EmbactError, unknown_name
from embact.files import read_text, write_text
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import SCHEMA, fit_json, fit_of_json
from embact.fit.search import AUTO, FAMILIES, fit
from embact.grid import QuantSpec  # noqa: TC001 - msgspec reads the annotations at run time

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from embact.activations import Activation

KEY_DIGITS = 12
"""Of a key in a file's name: two of a million jobs share them with a chance of 1 in 500."""

IN_FLIGHT = 1000
"""Jobs that a cluster holds at a time: enough for any, and no memory for more."""


@dataclass(frozen=True)
class Job:
    """One fit that is wanted, as plain data that any process can read.

    activation: a name of the catalogue, whose parameters are all given, or the name that goes with
    expr, a formula. Raises EmbactError for an unknown family.
    """

    activation: str
    parameters: dict[str, float]
    expr: str | None
    quantisation: QuantSpec
    limits: Limits
    options: Options
    family: str = AUTO

    def __post_init__(self) -> None:
        if self.family not in FAMILIES and self.family != AUTO:
            raise unknown_name("family", self.family, (*FAMILIES, AUTO))

    @property
    def text(self) -> str:
        """The canonical JSON: equal for equal jobs."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"))

    @property
    def key(self) -> str:
        """A hash of what is asked, of this embact, and of the form of its kernel files."""
        return hashlib.sha256(f"{__version__}\n{SCHEMA}\n{self.text}".encode()).hexdigest()

    @property
    def title(self) -> str:
        """The job in a few words."""
        source, target = self.quantisation.input, self.quantisation.output
        settings = "".join(f" {name}={value:g}" for name, value in self.parameters.items())
        formula = "" if self.expr is None else f" {self.expr}"
        return (
            f"{self.activation}{formula}{settings} {source.dtype} {source.scale:.4g} -> "
            f"{target.dtype} {target.scale:.4g} {self.family} <= {self.limits.max_error}, "
            f"{self.options.objective}"
        )

    @property
    def problem(self) -> Problem:
        """What the families are asked."""
        wanted = function_of(self.activation, self.parameters, self.expr)
        return Problem(wanted, self.quantisation, self.limits, self.options)


def function_of(name: str, parameters: dict[str, float], expr: str | None) -> Activation:
    """Return the activation of the catalogue, or the one that a formula means under that name."""
    if expr is not None:
        from embact.expression import parse

        return parse(expr, name)
    return activation(name, **parameters)


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs without those that equal an earlier one."""
    return list({job.key: job for job in jobs}.values())


@dataclass(frozen=True)
class Row:
    """What became of a job: the kernel in ``file``, or the error that says why there is none."""

    key: str
    job: Job
    file: str
    family: str | None = None
    max_error_codes: int | None = None
    max_error_lsb: float | None = None
    table_bytes: int | None = None
    estimated_instructions: int | None = None
    digest: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class _NoKernel:
    """The JSON document of a job that no kernel answers within its limits."""

    embact: str
    job: Job
    error: str


Answer = tuple[str, str]
"""The name and the text of the file that answers a job."""

Answers = Generator[tuple[Job, Answer], None, None]

Runner = Callable[[Sequence[Job]], Answers]
"""Answers jobs in any order; closing the generator stops the rest."""


def answer(text: str) -> Answer:
    """Return the answer to the job that a JSON text holds; the same in every process."""
    job = msgspec.json.decode(text, type=Job)
    suffix = f"_{job.key[:KEY_DIGITS]}.json"
    try:
        found = fit(job.problem, job.family)
    except EmbactError as error:
        refusal = msgspec.json.encode(_NoKernel(__version__, job, str(error)))
        return "no_kernel" + suffix, msgspec.json.format(refusal, indent=2).decode() + "\n"
    return found.function_name + suffix, fit_json(found)


def row_of(job: Job, name: str, text: str) -> Row:
    """Return the row of a job whose answer is in a file.

    Raises EmbactError if the file is damaged or answers another job.
    """
    suffix = f"_{job.key[:KEY_DIGITS]}.json"
    if name == "no_kernel" + suffix:
        try:
            refusal = msgspec.json.decode(text, type=_NoKernel)
        except (msgspec.DecodeError, RecursionError, EmbactError) as error:
            raise EmbactError("not a result of a sweep", got=error, where=name) from None
        if (refusal.embact, refusal.job) != (__version__, job):
            raise EmbactError("result of another job", got=refusal.job.title, where=name)
        return Row(job.key, job, name, error=refusal.error)
    found = fit_of_json(text, where=name)
    asked = job.problem
    limits = found.limits
    if job.options.objective == "error" and limits.max_error <= asked.limits.max_error:
        limits = replace(limits, max_error=asked.limits.max_error)  # the rung that was enough
    theirs = (_identity(found.activation), found.spec, limits, found.problem.options)
    ours = (_identity(asked.activation), asked.spec, asked.limits, asked.options)
    if theirs != ours or job.family not in {AUTO, found.family}:
        raise EmbactError("result of another job", got=found.command, where=name)
    if name != found.function_name + suffix:
        raise EmbactError("name of a result", got=name, allowed=found.function_name + suffix)
    return Row(
        job.key,
        job,
        name,
        found.family,
        found.certificate.max_error_codes,
        found.certificate.max_error_lsb,
        found.kernel.table_bytes,
        instructions(found.kernel, job.options.core),
        found.kernel.digest,
    )


def _identity(wanted: Activation) -> tuple[object, ...]:
    return wanted.name, wanted.formula, wanted.values


def sweep(
    jobs: Sequence[Job],
    folder: Path,
    run: Runner,
    done: Callable[[Row, bool], None] = lambda _row, _resumed: None,
) -> list[Row]:
    """Answer every job, each in a file of the folder, and return their rows in the jobs' order.

    Jobs that the folder answers already are not run again; a damaged answer is. Each answer is
    written as soon as it is there, in one step, after it was read back; index.json and index.csv
    are written when all are. done: told each row, and whether it was there already.
    """
    wanted = {job.key: job for job in distinct(jobs)}
    rows = finished(wanted, folder)
    for row in rows.values():
        done(row, True)  # noqa: FBT003 - the meaning is in the docstring
    missing = [job for key, job in wanted.items() if key not in rows]
    if missing:
        with closing(run(missing)) as answers:
            for job, (name, text) in answers:
                rows[job.key] = row = row_of(job, name, text)
                write_text(folder / name, text)
                done(row, False)  # noqa: FBT003
    ordered = [rows[key] for key in wanted]
    write_text(folder / "index.json", index_json(ordered))
    write_text(folder / "index.csv", index_csv(ordered))
    return ordered


def finished(wanted: dict[str, Job], folder: Path) -> dict[str, Row]:
    """Return the rows by key of the jobs that a folder answers, in the jobs' order.

    Makes the folder if it is missing. Raises EmbactError if that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise EmbactError("folder cannot be used", got=error.strerror, where=str(folder)) from None
    there: dict[str, list[str]] = {}
    for name in names:
        there.setdefault(name.removesuffix(".json").rpartition("_")[2], []).append(name)
    rows: dict[str, Row] = {}
    for key, job in wanted.items():
        for name in there.get(key[:KEY_DIGITS], ()):
            if row := _trusted(job, folder / name):
                rows[key] = row
    return rows


def _trusted(job: Job, path: Path) -> Row | None:
    """Return the row of a job from a file, or None: what cannot be trusted is done again."""
    try:
        return row_of(job, path.name, read_text(path))
    except EmbactError:
        return None


def serial(jobs: Sequence[Job]) -> Answers:
    """Answer the jobs in this process, in their order."""
    for job in jobs:
        yield job, answer(job.text)


def pool(jobs: Sequence[Job], workers: int) -> Answers:
    """Answer the jobs in processes of this machine, which end with this one whatever ends it.

    The processes are spawned, not forked: this one may have threads. Raises EmbactError if one
    dies, after the answers that were there were yielded.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    )
    running: dict[Future[Answer], Job] = {}
    children: set[Any] = set()
    complete = False

    def submit(text: str) -> Future[Answer]:
        future = executor.submit(answer, text)
        children.update(set(multiprocessing.active_children()) - others)
        return future

    try:
        yield from _collect(submit, jobs, 2 * workers, running)
        complete = True
    except BrokenProcessPool:
        executor.shutdown()  # waits for the workers, so that their exit statuses are known
        raise EmbactError(
            "a worker process died",
            got=f"{_death(children)}, of one of: {_titles(running.values())}",
            allowed="the same command again: finished results stay",
        ) from None
    finally:
        if not complete:
            for child in children | set(multiprocessing.active_children()) - others:
                child.terminate()
        executor.shutdown(cancel_futures=True)


def _collect(
    submit: Callable[[str], Future[Answer]],
    jobs: Sequence[Job],
    most: int,
    running: dict[Future[Answer], Job],
) -> Answers:
    """Yield answers as they come; the jobs that have none yet are in ``running``, at most so many.

    Not by ``concurrent.futures.wait``: interrupted, it may leave a lock taken that the thread which
    delivers the answers then waits for.
    """
    waiting = iter(jobs)
    ended: SimpleQueue[Future[Answer]] = SimpleQueue()
    while True:
        with _without_interrupts():
            for job in islice(waiting, max(0, most - len(running))):
                future = submit(job.text)
                running[future] = job
                future.add_done_callback(ended.put)
        if not running:
            return
        future = ended.get()
        with _without_interrupts():
            result = future.result()
            job = running.pop(future)
            del future
        yield job, result


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let Ctrl-C wait; processes started meanwhile never see it, since it is not for them."""
    seen: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    main = threading.current_thread() is threading.main_thread()
    # another thread may take the signal, and Python would still raise in this one
    handler = signal.signal(signal.SIGINT, lambda *_: seen.append(1)) if main else None
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if seen:
        raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Make this worker exit when its parent is gone, even if that was killed."""
    import multiprocessing

    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _death(children: set[Any]) -> str:
    """Return in words how the first of these processes died; the others were then terminated."""
    codes = [child.exitcode for child in children if child.exitcode]
    codes.sort(key=lambda code: bool(code == -signal.SIGTERM))
    if not codes:
        return "no exit status"
    return signal.Signals(-codes[0]).name if codes[0] < 0 else f"exit status {codes[0]}"


def _titles(jobs: Any) -> str:
    shown = [job.title for job in islice(jobs, 4)]
    return ", ".join(shown) + (", .." if len(jobs) > len(shown) else "")


def dask(jobs: Sequence[Job], address: str, timeout_s: float) -> Answers:
    """Answer the jobs on the workers of a Dask cluster, which need this embact and no shared disk.

    timeout_s: how long the scheduler may take to answer and to have a worker. Raises EmbactError
    if there is none, or if a worker cannot answer.
    """
    try:
        distributed: Any = import_module("distributed")  # it has few types
    except ImportError:
        raise EmbactError(
            "Dask is not installed", allowed="pip install 'embact[distributed]'"
        ) from None
    _await_workers(distributed, address, timeout_s)
    running: dict[Future[Answer], Job] = {}
    try:
        with distributed.Client(address, timeout=timeout_s, set_as_default=False) as client:
            executor = client.get_executor(pure=False)
            try:
                yield from _collect(partial(executor.submit, answer), jobs, IN_FLIGHT, running)
            finally:
                executor.shutdown(wait=False)  # what still waits is cancelled
    except Exception as error:  # noqa: BLE001 - whatever a worker raised comes out here
        bad = [one for one in running if one.done() and (one.cancelled() or one.exception())]
        raise EmbactError(
            "the Dask cluster failed",
            got=f"{error!r}, of {_titles([running[one] for one in bad])}",
            allowed="workers that have this embact; finished results stay",
            where=address,
        ) from None


def _await_workers(distributed: Any, address: str, timeout_s: float) -> None:
    """Return when a scheduler at the address has a worker.

    A client alone would wait for ever for a server that is not Dask's, and complain at length about
    an address that is none.
    """
    import asyncio

    try:
        distributed.comm.get_address_host_port(address)
    except ValueError as error:
        raise EmbactError(
            "address of a Dask scheduler", got=f"{address!r}: {error}", allowed="tcp://HOST:PORT"
        ) from None
    trouble = "no Dask scheduler answers"

    async def ask() -> None:
        nonlocal trouble
        arguments = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, connection_args=arguments) as scheduler:
            while not (await scheduler.identity())["workers"]:
                trouble = "the Dask cluster has no workers"
                await asyncio.sleep(0.1)

    try:
        asyncio.run(asyncio.wait_for(ask(), timeout_s))
    except (OSError, TypeError, asyncio.TimeoutError) as error:  # TypeError: TLS not configured
        reason = str(error) or f"nothing for {timeout_s:g} s"
        raise EmbactError(trouble, got=reason, where=address) from None


def index_json(rows: Sequence[Row]) -> str:
    """Return the rows as JSON, equal for equal rows."""
    document = {"embact": __version__, "results": rows}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def index_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with a heading; what a row does not have is empty."""
    table = [_flat(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["key"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _flat(row: Row) -> dict[str, object]:
    job, spec = row.job, row.job.quantisation
    result = {name: value for name, value in vars(row).items() if name not in {"key", "job"}}
    return {
        "key": row.key,
        "activation": job.activation,
        "parameters": " ".join(f"{name}={value!r}" for name, value in job.parameters.items()),
        "expr": job.expr,
        "in_dtype": spec.input.dtype,
        "in_scale": spec.input.scale,
        "in_zero_point": spec.input.zero_point,
        "out_dtype": spec.output.dtype,
        "out_scale": spec.output.scale,
        "out_zero_point": spec.output.zero_point,
        **asdict(job.limits),
        **asdict(job.options),
        "family_asked": job.family,
        **result,
    }
