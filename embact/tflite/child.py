"""Running a model on data in a child process, because some models crash the runtimes.

The kernels that it runs with are compiled here and compared with their definitions first. This
module must not know what the outputs are compared with.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.run.child import ending, run_child
from embact.tflite.compiled import compile_placed
from embact.tflite.data import input_ports
from embact.tflite.placement import kernels_of
from embact.tflite.runtime import check_resolver, find_runtime
from embact.tflite.worker import Job, KernelClaim, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embact.tflite.data import Data
    from embact.tflite.model import Model
    from embact.tflite.placement import Placement

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Runner:
    """How models are run: a name of runtime.PACKAGES, one of runtime.RESOLVERS, seconds."""

    runtime: str = "litert"
    resolver: str = "reference"
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Outputs:
    """What one run gave: for each model output an array (inferences, *shape)."""

    runtime: str
    arrays: tuple[NDArray[Any], ...]


def run_model(
    model: Model,
    data: Data,
    placements: Sequence[Placement],
    *,
    runner: Runner | None = None,
    header: str | None = None,
) -> Outputs:
    """Return the outputs of a model on data, in a child process, with kernels at the placements.

    header: the C of the kernels; emitted now if it is not given. Every kernel's C is first compared
    with its definition on all inputs.
    """
    runner = runner or Runner()
    check_resolver(runner.resolver)
    # or how to install it, before anything is compiled
    version = find_runtime(runner.runtime).version
    batch = input_ports(model)[0].batch
    compiled = None
    if placements:
        text = emit_header(kernels_of(placements)) if header is None else header
        compiled, _ = compile_placed(placements, text)
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        folder = Path(name)
        job = Job(
            model=str(folder / "model.tflite"),
            where=model.where,
            runtime=runner.runtime,
            resolver=runner.resolver,
            batch=batch,
            inputs=str(folder / "inputs.npz"),
            outputs=str(folder / "outputs.npz"),
            result=str(folder / "result.json"),
            stage=str(folder / "stage"),
            claims=tuple(map(_claim, placements)),
            library=(compiled.module.__name__, str(Path(compiled.path).absolute()))
            if compiled
            else None,
            functions=dict(compiled.functions) if compiled else {},
        )
        Path(job.model).write_bytes(model.content)
        filled = [_filled(array, batch) for array in data.inputs]
        samples: dict[str, Any] = {str(i): array for i, array in enumerate(filled)}
        np.savez(job.inputs, **samples)
        result = _run_child(job, folder / "job.json", runner.timeout_s, version)
        inferences = len(filled[0]) // batch
        if set(result.runs) - {inferences}:
            raise EmbactError(
                "a kernel did not run in every inference",
                got=result.runs,
                allowed=str(inferences),
                where=model.where,
            )
        with np.load(job.outputs, allow_pickle=False) as stored:
            arrays = tuple(stored[str(i)] for i in range(len(stored.files)))
    return Outputs(result.runtime, arrays)


def _claim(one: Placement) -> KernelClaim:
    return KernelClaim(
        function=one.function,
        operators=one.site.operators,
        input=one.site.input,
        output=one.site.output,
        input_bits=one.site.spec.input.bits,
        output_bits=one.site.spec.output.bits,
        elements=one.site.elements,
    )


def _filled(array: NDArray[Any], batch: int) -> NDArray[Any]:
    """Return the samples, the last one repeated until they fill the last batch."""
    missing = -len(array) % batch
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _run_child(job: Job, job_file: Path, timeout_s: float, version: str) -> Result:
    """Run a job in a new process and return its result."""
    job_file.write_bytes(msgspec.json.encode(job))
    done = run_child("embact.tflite.worker", job_file, timeout_s)
    if done is None:
        raise EmbactError(
            "the model took too long",
            got=f"over {timeout_s:g} s",
            allowed="a longer timeout or less data",
            where=job.where,
        )
    if done.returncode:
        stage = Path(job.stage).read_text("utf-8") if Path(job.stage).exists() else "starting"
        raise EmbactError(
            f"{version} {'crashed' if done.returncode < 0 else 'failed'} in {stage}",
            got=ending(done),
            allowed="a model that the stock runtime can run",
            where=job.where,
        )
    result = msgspec.json.decode(Path(job.result).read_bytes(), type=Result)
    if result.error:
        what, got, allowed, where = result.error
        raise EmbactError(what, got=got, allowed=allowed, where=where)
    return result
