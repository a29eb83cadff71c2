"""The child process that runs a model: some models make the stock runtimes crash.

``python -m embact.tflite.host.worker JOBFILE`` reads a Job (JSON), runs every sample and writes the
outputs (.npz) and a Result (JSON). This module must not know what the outputs are compared with.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.errors import EmbactError
from embact.run.build import load
from embact.run.host import HostKernels
from embact.tflite.host.delegate import Claim, make_delegate
from embact.tflite.host.probe import self_test
from embact.tflite.host.runtime import find_runtime, open_interpreter, refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.tflite.host.runtime import Interpreter

STARTING, TESTING = "while it starts", "in the self-test of kernels"
LOADING, RUNNING = "loading the model", "running the model"


@dataclass(frozen=True)
class KernelClaim:
    """A claim whose address is not known yet, because it is that of a function by name."""

    function: str
    operators: tuple[int, ...]
    input: int
    output: int
    input_bits: int
    output_bits: int
    elements: int
    inputs_per_output: int = 1


@dataclass(frozen=True)
class Job:
    """What to run. Paths are files in the job's own folder, except the library's.

    where: the model's name in messages. batch: samples per inference. own: how many outputs are the
    model's; those after them are kept of the first ``kept`` inferences only. inputs: .npz with
    arrays 0, 1, ... in the order of the model's inputs. outputs, result, stage: files to write.
    library: compiled kernels as (module name, path). functions: those of the library, as in
    HostKernels. memory_bytes: most that the child may use.
    """

    model: str
    where: str
    runtime: str
    resolver: str
    batch: int
    inputs: str
    outputs: str
    result: str
    stage: str
    claims: tuple[KernelClaim, ...]
    library: tuple[str, str] | None
    functions: dict[str, tuple[int, int, int]]
    own: int
    kept: int
    memory_bytes: int


@dataclass(frozen=True)
class Result:
    """What happened.

    runtime: its version. runs: calls per claim. error: what, got, allowed, where of an EmbactError.
    """

    runtime: str = ""
    runs: tuple[int, ...] = ()
    error: tuple[str, str | None, str, str] | None = None


def main(job_file: str) -> None:
    """Run the job in a file and write its result; errors of ours are part of the result."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    try:
        result = run(job)
    except EmbactError as error:
        got = None if error.got is None else str(error.got)
        result = Result(error=(error.what, got, error.allowed, error.where))
    except MemoryError:
        got, allowed = f"over {job.memory_bytes} bytes", "a smaller model, or less data"
        result = Result(error=("the model needs too much memory", got, allowed, job.where))
    Path(job.result).write_bytes(msgspec.json.encode(result))


def run(job: Job) -> Result:
    """Run the job's samples in this process and write the outputs: arrays (inferences, ...)."""
    runtime = find_runtime(job.runtime)
    delegate = None
    if job.library is not None:
        Path(job.stage).write_text(TESTING, "utf-8")
        self_test(job.runtime)
        kernels = HostKernels(load(job.library[0], Path(job.library[1])), job.functions)
        delegate = make_delegate([_claim(one, kernels) for one in job.claims])
    Path(job.stage).write_text(LOADING, "utf-8")
    interpreter = open_interpreter(
        runtime,
        Path(job.model).read_bytes(),
        resolver=job.resolver,
        delegate=delegate,
        where=job.where,
    )
    with np.load(job.inputs, allow_pickle=False) as stored:
        inputs = [stored[str(i)] for i in range(len(stored.files))]
    Path(job.stage).write_text(RUNNING, "utf-8")
    try:
        outputs = _infer(interpreter, inputs, job)
    except (RuntimeError, ValueError) as error:
        raise refusal(runtime, error, resolver=job.resolver, where=job.where) from None
    arrays: dict[str, Any] = {str(i): array for i, array in enumerate(outputs)}
    np.savez(job.outputs, **arrays)
    return Result(runtime.version, delegate.runs() if delegate else ())


def _claim(one: KernelClaim, kernels: HostKernels) -> Claim:
    return Claim(
        operators=one.operators,
        input=one.input,
        output=one.output,
        input_bits=one.input_bits,
        output_bits=one.output_bits,
        elements=one.elements,
        address=kernels.address(one.function),
        inputs_per_output=one.inputs_per_output,
    )


def _infer(interpreter: Interpreter, inputs: list[NDArray[Any]], job: Job) -> list[NDArray[Any]]:
    """Return all outputs of consecutive batches; the samples fill them exactly."""
    sources, targets = interpreter.get_input_details(), interpreter.get_output_details()
    seen: list[list[NDArray[Any]]] = [[] for _ in targets]
    for start in range(0, len(inputs[0]), job.batch):
        for source, array in zip(sources, inputs, strict=True):
            part = array[start : start + job.batch]
            interpreter.set_tensor(source["index"], part.reshape(source["shape"]))
        interpreter.invoke()
        read = len(targets) if start < job.kept * job.batch else job.own
        for place, target in zip(seen[:read], targets[:read], strict=True):
            place.append(interpreter.get_tensor(target["index"]))
    return [np.stack(arrays) for arrays in seen]


def limit_memory(most_bytes: int) -> None:
    """Make requests for more memory fail in this process, where the system can do that: Linux.

    A model can ask for any amount, and a machine that swaps is as good as hung.
    """
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    limit_memory(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Job).memory_bytes)
    main(sys.argv[1])
