"""Child processes: how they end is told, and when time runs out nothing of them goes on."""

import os
import sys
import time
from pathlib import Path

import pytest

from embact.errors import EmbactError
from embact.run.child import ending, run_child

PARENT = """
import subprocess, sys, time
from pathlib import Path
job = Path(sys.argv[1])
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
job.write_text(str(grandchild.pid), "utf-8")
time.sleep(float(job.with_suffix(".sleep").read_text("utf-8")))
grandchild.kill()
sys.exit(3)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The function that runs PARENT, which sleeps so many seconds, with a time limit."""
    (tmp_path / "made_for_a_test.py").write_text(PARENT, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def run_parent(sleep_s, timeout_s):
        job = tmp_path / "job.txt"
        job.with_suffix(".sleep").write_text(str(sleep_s), "utf-8")
        return run_child("made_for_a_test", job, timeout_s), int(job.read_text("utf-8"))

    return run_parent


def runs(pid: int) -> bool:
    """Whether a process is there and not dead; one that nobody waited for yet is dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # elsewhere the first process waits for orphans
    return not stat.exists() or stat.read_text("utf-8").rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform == "win32", reason="no process groups there")
def test_when_time_runs_out_the_child_and_what_it_started_are_killed(run):
    start = time.monotonic()
    done, grandchild = run(600, 2)
    assert done is None
    assert time.monotonic() - start < 60, "the grandchild holds the pipes for ten minutes"
    deadline = time.monotonic() + 10
    while runs(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(grandchild)


def test_a_child_that_ends_in_time_is_told_by_its_status(run):
    done, _ = run(0, 60)
    assert done is not None
    assert ending(done) == "exit status 3"


def test_the_process_that_is_looked_at_is_one_that_runs():
    assert runs(os.getpid())


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e6])
def test_times_that_are_none_are_refused(run, timeout_s):
    with pytest.raises(EmbactError, match="timeout in seconds"):
        run(0, timeout_s)
