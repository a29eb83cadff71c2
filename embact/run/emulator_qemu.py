"""Run a program under qemu-system-arm, and count by its log of executed instructions.

Counting: one instruction per translation block, each execution of one logged, and none chained to
the next. This module must not know what a program computes.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.run.machine import machine_of
from embact.run.outcome import FOR_EVER, MOST_WRITTEN_BYTES, TOO_MUCH, Counter, Ran

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.run.cross import Image

_EXECUTED = re.compile(rb"\[[0-9a-f]+/([0-9a-f]+)/[^\n]*\n")
"""A line of the log: ``Trace 0: HOST [CS_BASE/PC/FLAGS/CFLAGS] SYMBOL``."""

_CHUNK = 1 << 20

WRITTEN, SAID = "written", "said"
"""Files that get what the program wrote and what QEMU says."""


def run(
    image: Image, program: str, version: tuple[int, ...], *, traced: bool, timeout_s: float
) -> Ran:
    """Run an image. version: QEMU's, which decides how it is told to count."""
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        folder = Path(name)
        (folder / "embact.elf").write_bytes(image.elf)
        command = [
            *(program, "-M", machine_of(image.core).qemu, "-display", "none", "-monitor", "none"),
            *("-serial", "none", "-parallel", "none", "-nodefaults", "-no-reboot"),
            # the console is stdout, for one version by itself and for others by this device
            *("-chardev", "stdio,id=console,signal=off"),
            *("-semihosting-config", "enable=on,target=native,chardev=console"),
            *("-kernel", "embact.elf"),
        ]
        counter = Counter(image) if traced else None
        if traced:
            command += counting_options(version)
        why: list[str] = []
        with _process(command, folder, timeout_s, why) as (process, log):
            if counter:
                _count(log, counter)
            process.wait()
        content = (folder / WRITTEN).read_bytes()
        if not why and process.returncode < 0:
            said = (folder / SAID).read_text("utf-8", "replace").strip().split("\n")[-1]
            why.append(f"it broke the emulator: {signal.Signals(-process.returncode).name}: {said}")
        traces = counter.traces() if counter else ()
        return Ran(process.returncode, content, traces, "".join(why))


def counting_options(version: tuple[int, ...]) -> list[str]:
    """Return the options that log each executed instruction; version 8.1 renamed one."""
    one = ["-singlestep"] if version < (8, 1) else ["-accel", "tcg,one-insn-per-tb=on"]
    return [*one, "-d", "exec,nochain"]


def _count(log: int, counter: Counter) -> None:
    rest = b""
    while chunk := os.read(log, _CHUNK):
        whole, _, rest = (rest + chunk).rpartition(b"\n")
        counter.executed([int(pc, 16) for pc in _EXECUTED.findall(whole + b"\n")])


@contextlib.contextmanager
def _process(
    command: list[str], folder: Path, timeout_s: float, why: list[str]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start QEMU; it is ended, and why says so, when time is over or it has written too much.

    Its log, if it is asked for one, comes through a pipe, the second result: it may be gigabytes.
    """
    ended = threading.Event()
    log, to_log = os.pipe()
    try:
        with (folder / WRITTEN).open("wb") as written, (folder / SAID).open("wb") as said:
            process = subprocess.Popen(
                [*command, "-D", f"/dev/fd/{to_log}"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=said,
                pass_fds=(to_log,),
            )
    except OSError as error:
        os.close(log)
        raise EmbactError("qemu did not start", got=error, where=command[0]) from None
    finally:
        os.close(to_log)

    def watch() -> None:
        end = time.monotonic() + timeout_s
        while not ended.wait(max(0.0, min(end - time.monotonic(), 0.25))):
            size = max((folder / name).stat().st_size for name in (WRITTEN, SAID))
            if time.monotonic() >= end:
                why.append(FOR_EVER.format(timeout_s))
            elif size > MOST_WRITTEN_BYTES:
                why.append(TOO_MUCH)
            if why:
                process.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield process, log
    finally:
        ended.set()
        watcher.join()
        os.close(log)
        if process.poll() is None:
            process.kill()
            process.wait()
