"""The command that fits many kernels, run as a user runs it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import select
import signal
import subprocess
import sys
import time

import numpy as np
import psutil  # which distributed brings along
import pytest

from embact.cli.specification import read_jobs
from embact.fit.search import FAMILIES
from embact.sweep import sweep
from embact.workers import dask, serial

PROGRAM = [sys.executable, "-c", "from embact.cli import main; main()"]

SPEC = """
[defaults]
range = "-4:4"
family = "lut"

[[sweep]]
activation = ["tanh", {name = "leaky_relu", alpha = 0.1}]
max_error = [0, 1]

[[sweep]]
activation = "tanh"

[[sweep]]
activation = "gelu"
max_error = 1
max_bytes = 1
"""

MANY = f"""
[[sweep]]
activation = "tanh"
family = "pwl"
in_scale = {[0.01 + i / 2000 for i in range(200)]}
max_error = 0
"""

SLOW = """
[defaults]
activation = "tanh"
range = "-4:4"

[[sweep]]
family = "lut"

[[sweep]] # seconds for each
dtype = "int16"
family = "pwl"
max_error = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
"""

GOOD = '[[sweep]]\nactivation = "tanh"\nrange = "-4:4"\n'


@pytest.fixture
def jobs_of(tmp_path):
    """Read the jobs of a spec given as text."""

    def read(text):
        path = tmp_path / "spec.toml"
        path.write_text(text, "utf-8")
        return read_jobs(path)

    return read


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# The program


def test_a_sweep_writes_kernels_that_emit_takes_and_an_index(embact, tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC, "utf-8")
    done = embact("sweep", "spec.toml", "--out", "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "5 jobs: 4 kernels, 1 without one in its limits" in done.stdout
    assert len(done.stderr.splitlines()) == 5
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/index.csv").read_text("utf-8"))))
    assert [row["activation"] for row in rows] == [*["tanh"] * 2, *["leaky_relu"] * 2, "gelu"]
    assert [row["max_error_codes"] for row in rows] == [*["0"] * 4, ""]
    assert "no lut kernel of gelu" in rows[-1]["error"]
    assert embact("emit", f"out/{rows[0]['file']}", "--out", "include").returncode == 0
    again = embact("sweep", "spec.toml", "--out", "out", "--jobs", "1", "--json")
    assert again.stderr == ""
    assert again.stdout == (tmp_path / "out/index.json").read_text("utf-8")
    sweep(read_jobs(tmp_path / "spec.toml"), tmp_path / "serial", serial)
    assert contents(tmp_path / "serial") == contents(tmp_path / "out")


def test_a_histogram_beside_the_spec_counts_as_it_does_for_fit(embact, tmp_path):
    (tmp_path / "specs").mkdir()
    np.savez(tmp_path / "specs" / "codes.npz", codes=np.arange(-20, 20))
    text = GOOD + "family = 'pwl'\nmax_error_on_support = true\nhistogram = 'codes.npz'"
    (tmp_path / "specs" / "spec.toml").write_text(text, "utf-8")
    done = embact("sweep", "specs/spec.toml", "--out", "out", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out/index.csv").read_text("utf-8")))
    errors = row["max_error_codes_on_support"], row["max_error_codes"]
    assert int(errors[0]) <= 1 < int(errors[1])
    assert f"{errors[0]} (all inputs: {errors[1]})" in done.stdout
    words = "tanh --range=-4:4 --family pwl --max-error-on-support"
    histogram = ("--histogram", "specs/codes.npz")
    assert embact("fit", *words.split(), *histogram, "--out", "fit.json").returncode == 0
    assert (tmp_path / "fit.json").read_bytes() == (tmp_path / "out" / row["file"]).read_bytes()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("bad.toml", "--out", "out"), "bad.toml: unknown key: got 'sweeps'"),
        (("lacks.toml", "--out", "out"), "family lut lacks: got slope_bits"),
        (("spec.toml", "--out", "out", "--jobs", "0"), "--jobs: got 0"),
        (("spec.toml", "--out", "out", "--dask", "x:1", "--jobs", "1"), "--jobs with --dask"),
        (("spec.toml", "--out", "out", "--timeout", "nan"), "--timeout: got nan"),
        (("spec.toml", "--out", "spec.toml"), "folder cannot be used"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line_before_any_work(embact, tmp_path, words, part):
    (tmp_path / "spec.toml").write_text(SPEC, "utf-8")
    (tmp_path / "bad.toml").write_text(SPEC.replace("[[sweep]]", "[[sweeps]]"), "utf-8")
    (tmp_path / "lacks.toml").write_text(f"{SPEC}slope_bits = 8", "utf-8")
    done = embact("sweep", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert part in done.stderr
    assert not (tmp_path / "out").exists()


def interruptible():
    """Take SIGINT as a terminal's program does, also where this one was started to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A sweep of int8 tanh that has finished one job and is busy with others."""

    def __init__(self, folder, spec, *words):
        (folder / "spec.toml").write_text(spec, "utf-8")
        self.process = subprocess.Popen(
            [*PROGRAM, "sweep", "spec.toml", "--out", "out", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=interruptible,  # noqa: PLW1509 - no threads here
        )
        assert self.process.stderr.readline().startswith("1/")

    def interrupt(self, how):
        os.killpg(self.process.pid, how)  # as a terminal does

    def end(self):
        started = time.monotonic()
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err, time.monotonic() - started


def alive(group):
    """Return the processes of a group that have not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            ended = process.status() == psutil.STATUS_ZOMBIE
            if os.getpgid(process.pid) == group and not ended:
                found.append(process.pid)
    return found


def alone(group):
    """Return whether all processes of a group have ended, or do so in a moment."""
    deadline = time.monotonic() + 10
    while alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive(group) == []


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_quickly_with_130_and_keeps_what_was_finished(embact, tmp_path, jobs):
    running = Running(tmp_path, SLOW, "--jobs", jobs)
    running.interrupt(signal.SIGINT)
    status, out, err, seconds = running.end()
    assert (status, out) == (130, "")
    assert err.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in err
    assert seconds < 5
    assert alone(running.process.pid)
    kept = contents(tmp_path / "out")
    assert any(name.startswith("embact_tanh_s8_") for name in kept)
    assert "index.json" not in kept
    (tmp_path / "spec.toml").write_text(SLOW.partition("[[sweep]] #")[0], "utf-8")
    done = embact("sweep", "spec.toml", "--out", "out")
    assert (done.returncode, done.stderr) == (0, "")  # nothing was left to do


def test_a_killed_sweep_leaves_whole_files_and_no_workers(embact, tmp_path):
    running = Running(tmp_path, SLOW, "--jobs", "2")
    assert len(alive(running.process.pid)) >= 3
    running.process.kill()
    assert running.end()[0] == -signal.SIGKILL
    assert alone(running.process.pid)
    for name, text in contents(tmp_path / "out").items():
        assert name.startswith(".") or json.loads(text)["schema"]


def test_on_a_terminal_a_bar_counts_what_is_there_already(jobs_of, tmp_path):
    sweep(jobs_of(SPEC), tmp_path / "out", serial)
    (tmp_path / "out" / "index.csv").unlink()
    screen, terminal = os.openpty()
    command = [*PROGRAM, "sweep", "spec.toml", "--out", "out", "--jobs", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=terminal, env=environment
    )
    os.close(terminal)
    assert process.communicate(timeout=60)[0].endswith(b"index.csv\n")
    shown = b""
    with contextlib.suppress(OSError):  # what Linux says when nobody has the terminal open
        while select.select([screen], [], [], 0)[0]:
            shown += os.read(screen, 65536)
    os.close(screen)
    assert b"5/5" in shown
    assert b"100%" in shown


# Dask

CLUSTER = """
import sys
from distributed import LocalCluster
here = {"host": "127.0.0.1", "dashboard_address": None}
with (
    LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **here) as cluster,
    LocalCluster(n_workers=0, **here) as idle,
):
    print(cluster.scheduler_address, idle.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def clusters():
    """The addresses of a cluster of two worker processes on this machine and of one of none."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process.stdout.readline().split()
    process.communicate(timeout=60)


@pytest.fixture
def cluster(clusters):
    return clusters[0]


def test_a_dask_cluster_gives_the_same_bytes(embact, jobs_of, tmp_path, cluster):
    sweep(jobs_of(SPEC), tmp_path / "serial", serial)
    done = embact("sweep", "spec.toml", "--out", "out", "--dask", cluster)
    assert done.returncode == 0, done.stderr
    assert len(contents(tmp_path / "out")) == 7
    assert contents(tmp_path / "serial") == contents(tmp_path / "out")


def test_ctrl_c_leaves_a_dask_cluster_to_others(embact, tmp_path, cluster):
    running = Running(tmp_path, MANY, "--dask", cluster)
    running.interrupt(signal.SIGINT)
    status, _, err, seconds = running.end()
    assert (status, err.splitlines()[-1][:12]) == (130, "interrupted:")
    assert seconds < 5
    (tmp_path / "spec.toml").write_text(SPEC, "utf-8")
    assert embact("sweep", "spec.toml", "--out", "more", "--dask", cluster).returncode == 0


def test_a_cluster_without_workers_is_not_waited_for(jobs_of, clusters, refuses):
    with refuses("the Dask cluster has no workers", clusters[1]):
        list(dask(jobs_of(GOOD), clusters[1], 0.5))


def test_workers_of_another_embact_are_an_error(jobs_of, cluster, refuses, monkeypatch):
    monkeypatch.setitem(FAMILIES, "newer", FAMILIES["lut"])
    with refuses("the Dask cluster failed", "unknown family: got 'newer'", "of tanh int8"):
        list(dask(jobs_of(GOOD + "family = 'newer'"), cluster, 10.0))


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1: no Dask scheduler answers"),
        ("nonsense", "address of a Dask scheduler: got 'nonsense'"),
    ],
)
def test_a_cluster_that_is_not_there_is_an_error_of_one_line(embact, tmp_path, address, part):
    (tmp_path / "spec.toml").write_text(SPEC, "utf-8")
    done = embact("sweep", "spec.toml", "--out", "out", "--dask", address, "--timeout", "0.3")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert part in done.stderr
