"""The command that fits many kernels, run as a user runs it, and the spec files that it reads."""

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

from embact.cli.sweeping import read_jobs
from embact.fit.search import FAMILIES
from embact.sweep import dask, serial, sweep

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


# Spec files


def test_a_table_stands_for_every_combination_in_a_fixed_order(jobs_of):
    jobs = jobs_of("""
        [[sweep]]
        max_error = [0, 2]
        range = ["-8:8", "-4:4"]
        activation = ["sigmoid", "silu"]
        dtype = ["int8", "int16"]
        """)
    grids = {(8, "wide"): 16 / 255, (8, "slim"): 8 / 255}
    grids |= {(16, "wide"): 8 / 32767, (16, "slim"): 4 / 32767}
    assert [
        (one.activation, one.quantisation.input.bits, one.limits.max_error) for one in jobs
    ] == [
        (name, bits, e) for name in ("sigmoid", "silu") for bits in (8, 8, 16, 16) for e in (0, 2)
    ]
    scales = [one.quantisation.input.scale for one in jobs]
    wanted = [grids[bits, side] for bits in (8, 16) for side in ("wide", "slim") for _ in range(2)]
    assert scales == [float(np.float32(scale)) for scale in wanted * 2]


def test_every_option_of_fit_can_be_listed(jobs_of):
    (job,) = jobs_of("""
        [[sweep]]
        activation = {name = "leaky_relu", alpha = 0.5}
        in_dtype = "int16"
        out_dtype = "int8"
        in_scale = 0.5
        in_zero_point = 3
        out_scale = 1
        out_zero_point = -128
        family = "pwl"
        objective = "bytes"
        core = "cortex-m0plus"
        max_error = 3
        max_bytes = 64
        slope_bits = 8
        terms = 1
        segments = 5
        minimize = "mse"
        shifts = "each"
        continuous = true
        fold = false
        lookup = "index"
        """)
    assert json.loads(job.text) == {
        "activation": "leaky_relu",
        "parameters": {"alpha": 0.5},
        "expr": None,
        "quantisation": {
            "input": {"scale": 0.5, "zero_point": 3, "bits": 16},
            "output": {"scale": 1.0, "zero_point": -128, "bits": 8},
        },
        "limits": {"max_error": 3, "max_bytes": 64, "on_support": False},
        "options": json.loads(job.text)["options"]
        | {
            "slope_bits": 8,
            "terms": 1,
            "segments": 5,
            "minimize": "mse",
            "shifts": "each",
            "continuous": True,
            "fold": False,
            "lookup": "index",
            "objective": "bytes",
            "core": "cortex-m0plus",
        },
        "family": "pwl",
    }


def test_a_key_of_a_table_replaces_the_default_and_what_contradicts_it(jobs_of):
    first, second, third = jobs_of("""
        [defaults]
        activation = "tanh"
        in_dtype = "int16"
        range = "-4:4"
        max_error = [5]
        [[sweep]]
        [[sweep]]
        in_scale = 0.5
        dtype = "int8"
        [[sweep]]
        expr = "x*x"
        max_error = 6
        """)
    assert (first.quantisation.input.bits, first.limits.max_error) == (16, 5)
    assert (second.quantisation.input.bits, second.quantisation.input.scale) == (8, 0.5)
    assert (third.activation, third.expr, third.limits.max_error) == ("expr", "x*x", 6)


def test_formulas_are_jobs_and_spaces_in_them_mean_nothing(jobs_of):
    one, other, named = jobs_of("""
        [[sweep]]
        expr = ["x * tanh(x)", "x*tanh(x)", {name = "mine", formula = "x*tanh(x)"}]
        range = "-4:4"
        """)
    assert one.key == other.key != named.key
    assert (named.activation, named.expr) == ("mine", "x*tanh(x)")


def test_one_quantisation_said_in_two_ways_is_one_job(jobs_of):
    first, second = jobs_of("""
        [[sweep]]
        activation = "tanh"
        range = "-127.5:127.5"
        [[sweep]]
        activation = {name = "tanh"}
        in_scale = 1
        in_zero_point = -1
        """)
    assert first.key == second.key


GOOD = '[[sweep]]\nactivation = "tanh"\nrange = "-4:4"\n'

MISTAKES = {
    "": ("no [[sweep]]",),
    "sweep = []": ("no [[sweep]]",),
    "[sweep]\nactivation = 'tanh'": ("[[sweep]] tables", "Expected `array`"),
    "[[sweep]": ("not a spec file", "TOML"),
    "[" * 9999: ("not a spec file",),
    "[[sweeps]]": ("unknown key", "'sweeps'", "nearest: sweep"),
    "[default]\n" + GOOD: ("unknown key", "'default'", "nearest: defaults"),
    "[defaults]\nmax_eror = 1\n" + GOOD: ("[defaults]: unknown key", "nearest: max_error"),
    "[defaults]\nmax_error = 'a'\n" + GOOD: ("[defaults]: max_error: got 'a'", "an integer"),
    "[[sweep]]\nrange = '-4:4'": ("[[sweep]] 1: no activation", "activation or expr"),
    GOOD + GOOD + "dtpye = 'int8'": ("[[sweep]] 2: unknown key", "'dtpye'", "nearest: dtype"),
    GOOD + "on_support = true": ("unknown key", "'on_support'"),
    GOOD + "max_error = [0, 1.5]": ("[[sweep]] 1: max_error: got 1.5", "an integer"),
    GOOD + "max_error = [0, true]": ("max_error: got True", "an integer"),
    GOOD + "max_error = [[0]]": ("max_error: got [0]", "an integer"),
    GOOD + "max_error = []": ("max_error: got []", "a value"),
    GOOD + "max_error = -1": ("[[sweep]] 1: error budget", "got -1", "0..65536"),
    GOOD + "max_error = 2024-01-01": ("max_error: got datetime", "an integer"),
    GOOD + "dtype = ['int8', 'int9']": ("dtype: got 'int9'", "int8, int16"),
    GOOD + "objective = 'size'": ("objective: got 'size'", "instructions, bytes, error"),
    GOOD + "family = 'lux'": ("[[sweep]] 1: unknown family", "'lux'", "nearest: lut"),
    GOOD + "core = 'm4'": ("unknown core", "'m4'"),
    GOOD + "terms = 4": ("[[sweep]] 1: terms: got 4", "1, 2, 3"),
    GOOD + "lookup = 'x'": ("lookup: got 'x'", "compare, index"),
    GOOD + "fold = 1": ("fold: got 1", "true, false"),
    GOOD + "in_scale = 1": ("quantisation given twice", "range, or in_scale and in_zero_point"),
    GOOD + "out_scale = inf": ("[[sweep]] 1: output: scale", "got inf"),
    GOOD + f"out_scale = 1{'0' * 400}": ("out_scale", "a number"),
    GOOD + "out_scale = 1\nout_zero_point = 128": ("output: zero point outside int8", "got 128"),
    GOOD + "out_zero_point = 1": ("out_zero_point without out_scale",),
    "[[sweep]]\nactivation = 'tanh'": ("no input quantisation", "range LOW:HIGH, or in_scale"),
    "[[sweep]]\nactivation = 'tanh'\nrange = '4'": ("range: got '4'", "LOW:HIGH"),
    "[[sweep]]\nactivation = 'tanh'\nrange = '4:a'": ("range: got 'a'", "a number"),
    "[[sweep]]\nactivation = 'tanh'\nrange = 4": ("range: got 4", "a string"),
    "[[sweep]]\nactivation = ['tan']": ("unknown activation", "nearest: tanh"),
    "[[sweep]]\nactivation = 1": ("activation: got 1", "a string, or a table"),
    "[[sweep]]\nactivation = {alpha = 1}": ("activation", '{name = "NAME", PARAMETER = number}'),
    "[[sweep]]\nactivation = {name = 'elu', alpha = 'a'}": ("activation", "'alpha': 'a'"),
    "[[sweep]]\nactivation = {name = 'elu', beta = 1}": ("1: elu: unknown parameter", "'beta'"),
    "[[sweep]]\nactivation = {name = 'elu', alpha = nan}": ("parameter alpha", "got nan"),
    "[[sweep]]\nexpr = 'x*'": ("[[sweep]] 1: formula, character 3", "got the end"),
    "[[sweep]]\nexpr = {formula = 'x'}": ("expr", '{name = "NAME", formula = "FORMULA"}'),
    "[[sweep]]\nactivation = 'relu'\nrange = '-4:-1e-30'": ("relu is 0", "explicit out_scale"),
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_in_a_spec_is_named_with_its_place(jobs_of, refuses, text):
    with refuses("spec.toml: ", *MISTAKES[text]):
        jobs_of(text)


def test_what_the_mistakes_were_made_in_is_a_spec_without_them(jobs_of):
    assert len(jobs_of(GOOD)) == 1


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


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("bad.toml", "--out", "out"), "bad.toml: unknown key: got 'sweeps'"),
        (("spec.toml", "--out", "out", "--jobs", "0"), "--jobs: got 0"),
        (("spec.toml", "--out", "out", "--dask", "x:1", "--jobs", "1"), "--jobs with --dask"),
        (("spec.toml", "--out", "out", "--timeout", "nan"), "--timeout: got nan"),
        (("spec.toml", "--out", "spec.toml"), "folder cannot be used"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line_before_any_work(embact, tmp_path, words, part):
    (tmp_path / "spec.toml").write_text(SPEC, "utf-8")
    (tmp_path / "bad.toml").write_text(SPEC.replace("[[sweep]]", "[[sweeps]]"), "utf-8")
    done = embact("sweep", *words)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert part in done.stderr
    assert not (tmp_path / "out").exists()


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
