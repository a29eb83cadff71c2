"""The program under test, run as a user runs it.

A new interpreter spends half a second on imports, with coverage most of one, and the tests start
hundreds. Where processes can fork, SERVER imports once what most commands import and forks for
each call. The child is a process of its own, which ends as an interpreter does.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAM = "from embact.cli import main; main()"
AT_START = ("PYTHON", "LC_", "LANG")
"""Prefixes of the variables that an interpreter reads when it starts."""

SERVER = """
import contextlib, io, json, os, sys, warnings
import embact.cli, embact.cli.fitting, embact.emit.header, embact.fit.search
import embact.tflite.conversion, embact.tflite.host.evaluate, embact.tflite.host.builtin_beside
import embact.tflite.stock.survey, rich.console, rich.table, typer

def serve():
    for line in sys.stdin:
        asked = json.loads(line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which are idle
            child = os.fork()
        if child == 0:
            return asked
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None

# what typer and the commands import when they run, too
sys.argv[1:] = ["list", "relu"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    embact.cli.main()
asked = serve()
if asked is not None:
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["words"]
    for number, path in enumerate((os.devnull, asked["out"], asked["err"])):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    embact.cli.main()
"""


@dataclass(frozen=True)
class ForkingProgram:
    """A running server; files of its calls are in folder."""

    folder: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[str]

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether it runs, and a new interpreter with these variables would start as it did."""
        return self.process.poll() is None and all(
            environment.get(name) == self.environment.get(name)
            for name in {*environment, *self.environment}
            if name.startswith(AT_START)
        )

    def run(
        self, folder: Path, words: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run embact with words in a folder; raises subprocess.TimeoutExpired."""
        paths = [self.folder / name for name in ("out", "err")]
        for path in paths:
            path.write_bytes(b"")
        asked = {
            "folder": str(folder),
            "words": list(words),
            "environment": dict(environment),
            "out": str(paths[0]),
            "err": str(paths[1]),
        }
        sent, answers = self.process.stdin, self.process.stdout
        assert sent is not None
        assert answers is not None
        sent.write(json.dumps(asked) + "\n")
        sent.flush()
        if not select.select([answers], [], [], timeout_s)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise subprocess.TimeoutExpired(["embact", *words], timeout_s)
        status = int(answers.readline())
        out, err = (path.read_text("utf-8") for path in paths)
        return subprocess.CompletedProcess(["embact", *words], status, out, err)

    def close(self) -> None:
        """End the server."""
        self.process.communicate(timeout=60)


def forking_program(folder: Path) -> ForkingProgram | None:
    """Start a server, or return None where processes cannot be forked."""
    if not hasattr(os, "fork"):
        return None
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that it ends with its child
    )
    return ForkingProgram(folder, dict(os.environ), process)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server for the whole session, or None."""
    started = forking_program(tmp_path_factory.mktemp("server"))
    yield started
    if started is not None:
        started.close()


@pytest.fixture(scope="session")
def embact_in(server):
    """Run embact in a folder; the result has stdout, stderr and returncode.

    Without COLUMNS, which would fold tables, unless it is given.
    """

    def run(folder, *words, **variables):
        plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        environment = plain | variables
        words = [str(word) for word in words]
        if server is not None and server.serves(environment):
            return server.run(folder, words, environment, 300)
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def embact(embact_in, tmp_path):
    """Run embact in an empty folder."""
    return partial(embact_in, tmp_path)


@pytest.fixture(scope="session")
def sigmoid_made(embact_in, tmp_path_factory):
    """A folder with k.json, a lookup of sigmoid, and its header."""
    folder = tmp_path_factory.mktemp("sigmoid")
    for words in (
        ("fit", "sigmoid", "--range=-8:8", "--family", "lut", "--out", "k.json"),
        ("emit", "k.json", "--out", "."),
    ):
        done = embact_in(folder, *words)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def sigmoid(sigmoid_made, tmp_path):
    """The header embact_sigmoid_s8.h in the empty folder, beside its kernel file k.json."""
    shutil.copytree(sigmoid_made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "embact_sigmoid_s8.h"
