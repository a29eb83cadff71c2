"""A module of ours in a process of its own, because what it runs may crash, hang or exit.

This module must not know what the child does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.run.build import cache_folder

if TYPE_CHECKING:
    from pathlib import Path


def run_child(module: str, job: Path, timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    """Run ``python -m module job`` and return how it ended, or None if time ran out.

    When time runs out or the user interrupts, the child and all that it started are killed. Raises
    EmbactError unless the time is above 0 and at most a day.
    """
    if not 0 < timeout_s <= 86400:
        raise EmbactError("timeout in seconds", got=timeout_s, allowed="above 0, at most 86400")
    # the same modules and cache as here, whatever the user's folder holds
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - a string
    environment = {**os.environ, "PYTHONPATH": path, "EMBACT_CACHE_DIR": str(cache_folder())}
    command = [sys.executable, "-m", module, str(job)]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=job.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # its own group, which can be ended as a whole
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end_group(child)
            return None
        except BaseException:
            _end_group(child)
            raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _end_group(child: subprocess.Popen[str]) -> None:
    """Kill a child that was not waited for and all in its group, who may hold its pipes open."""
    os.killpg(child.pid, signal.SIGKILL)


def ending(done: subprocess.CompletedProcess[str]) -> str:
    """Return in words how a child ended: the signal, or the status and what it printed last."""
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    return f"exit status {done.returncode}{': ' if last else ''}{last}"
