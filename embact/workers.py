"""What runs jobs: this process, processes of this machine, or the workers of a Dask cluster.

Each runner yields answers as they come, in any order; closing it stops the rest. This module must
not know what an answer holds, or where it goes.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError
from embact.jobs import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from embact.jobs import Answer, Answers, Job

IN_FLIGHT = 1000
"""Jobs that a cluster holds at a time: enough for any, and no memory for more."""


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
