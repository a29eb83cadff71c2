"""The child process that runs excerpts of a model, because some make the stock runtimes crash.

``python -m embact.tflite.stock.worker JOBFILE`` reads a Job (JSON), runs each excerpt on its input
codes, and writes what came of it at once, so that a crash loses one excerpt and none before it.
This module must not know what the outputs are compared with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.errors import EmbactError
from embact.tflite.host.runtime import find_runtime, open_interpreter, refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.tflite.host.runtime import Runtime


TRIED = ("reference", "default")
"""Resolvers, the first that has all operators is taken."""


@dataclass(frozen=True)
class Job:
    """What to run. folder: where N.tflite are read, and N.npy or N.json written.

    excerpts: their numbers N. stage: a file that always holds the number at work.
    """

    runtime: str
    folder: str
    excerpts: tuple[int, ...]
    stage: str


@dataclass(frozen=True)
class Ran:
    """What became of an excerpt. resolver: which ran it. refused: why none did, or ""."""

    runtime: str
    resolver: str = ""
    refused: str = ""


def main(job_file: str) -> None:
    """Run the job in a file."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    runtime = find_runtime(job.runtime)
    for number in job.excerpts:
        Path(job.stage).write_text(str(number), "utf-8")
        base = Path(job.folder, str(number))
        ran, outputs = attempt(runtime, base.with_suffix(".tflite").read_bytes())
        if outputs is not None:
            np.save(base.with_suffix(".npy"), outputs)
        base.with_suffix(".json").write_bytes(msgspec.json.encode(ran))


def attempt(runtime: Runtime, content: bytes) -> tuple[Ran, NDArray[Any] | None]:
    """Return the outputs of an excerpt for all its input codes in ascending order.

    They are the reference kernels', or the default ones' where the reference resolver lacks an
    operator; the result says which. None with the reason where neither runs it.
    """
    ran = Ran(runtime.version)
    for resolver in TRIED:
        ran, outputs = _with(runtime, content, resolver)
        if outputs is not None:
            return ran, outputs
    return ran, None


def _with(runtime: Runtime, content: bytes, resolver: str) -> tuple[Ran, NDArray[Any] | None]:
    try:
        return Ran(runtime.version, resolver), _infer(runtime, content, resolver)
    except EmbactError as error:
        return Ran(runtime.version, refused=str(error)), None


def _infer(runtime: Runtime, content: bytes, resolver: str) -> NDArray[Any]:
    interpreter = open_interpreter(runtime, content, resolver=resolver, where="site")
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    limits = np.iinfo(source["dtype"])
    codes = np.arange(limits.min, limits.max + 1, dtype=np.int64).astype(source["dtype"])
    interpreter.set_tensor(source["index"], codes.reshape(source["shape"]))
    try:
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise refusal(runtime, error, resolver=resolver, where="site") from None
    outputs: NDArray[Any] = interpreter.get_tensor(target["index"]).ravel()
    return outputs


if __name__ == "__main__":
    main(sys.argv[1])
