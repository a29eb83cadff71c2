"""Running a model on data in a child process, because some models crash the runtimes.

The kernels that it runs with are compiled here and compared with their definitions first. This
module must not know what the outputs are compared with.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.errors import EmbactError
from embact.run.child import ending, run_child
from embact.tflite.host.compiled import compile_placed
from embact.tflite.host.data import input_ports
from embact.tflite.host.observe import observed_copy
from embact.tflite.host.runtime import resolved_runtime
from embact.tflite.host.worker import LOADING, RUNNING, STARTING, Job, KernelClaim, Result
from embact.tflite.layers import inputs_per_output
from embact.tflite.model import elements_of, items, names_of
from embact.tflite.placement import Placement
from embact.tflite.routines import sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embact.tflite.host.data import Data
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed

TIMEOUT_S = 300.0
MEMORY_BYTES = 8 << 30

OBSERVED_BYTES = 1 << 26
"""What is kept of observed tensors in one run."""

WIDTHS = {"INT8": 1, "UINT8": 1, "INT16": 2}
"""Bytes of the elements of most tensors; no others have more than 8."""


@dataclass(frozen=True)
class Runner:
    """How models are run.

    runtime: a name of runtime.PACKAGES; None: the usual one of the resolver. resolver: a name of
    runtime.RESOLVERS. timeout_s: of each run. memory_bytes: of the child, besides its data.
    """

    runtime: str | None = None
    resolver: str = "reference"
    timeout_s: float = TIMEOUT_S
    memory_bytes: int = MEMORY_BYTES


@dataclass(frozen=True)
class Outputs:
    """What one run gave.

    arrays: for each model output an array (inferences, *shape). observed: likewise for each tensor
    that was asked for, by its index, but of the first inferences only: as many as OBSERVED_BYTES
    hold, at least one.
    """

    runtime: str
    arrays: tuple[NDArray[Any], ...]
    observed: dict[int, NDArray[Any]] = field(default_factory=dict)


def run_model(  # noqa: PLR0913 - the last three are options
    model: Model,
    data: Data,
    placements: Sequence[Placed],
    *,
    runner: Runner | None = None,
    header: Mapping[str, str] | None = None,
    observe: Sequence[int] = (),
) -> Outputs:
    """Return the outputs of a model on data, in a child process, with kernels at the placements.

    header: the C of the kernels by file name (``routines.sources``); emitted now if it is not
    given. Every kernel's C is first compared with its definition (``compile_placed``). observe:
    indices of tensors whose values are returned too; in the child's copy of the model they are
    outputs (``observed_copy``, which says what cannot be).
    """
    runner = runner or Runner()
    # or how to install it, before anything is compiled
    runtime = resolved_runtime(runner.resolver, runner.runtime)
    batch = input_ports(model)[0].batch
    content, places = observed_copy(model, observe, [one.site.operators for one in placements])
    compiled = None
    if placements:
        compiled, _ = compile_placed(placements, sources(placements) if header is None else header)
    filled = [_filled(array, batch) for array in data.inputs]
    inferences = len(filled[0]) // batch
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        folder = Path(name)
        job = Job(
            model=str(folder / "model.tflite"),
            where=model.where,
            runtime=runtime.name,
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
            own=len(items(model.tree.subgraphs[0].outputs)),
            kept=_kept(model, observe, inferences),
            memory_bytes=runner.memory_bytes + 8 * sum(array.nbytes for array in filled),
        )
        Path(job.model).write_bytes(content)
        samples: dict[str, Any] = {str(i): array for i, array in enumerate(filled)}
        np.savez(job.inputs, **samples)
        result = _run_child(job, folder / "job.json", runner.timeout_s, runtime.version)
        if set(result.runs) - {inferences}:
            raise EmbactError(
                "a kernel did not run in every inference",
                got=result.runs,
                allowed=str(inferences),
                where=model.where,
            )
        with np.load(job.outputs, allow_pickle=False) as stored:
            arrays = tuple(stored[str(i)] for i in range(len(stored.files)))
    observed = {tensor: arrays[i][: job.kept] for tensor, i in zip(observe, places, strict=True)}
    return Outputs(result.runtime, arrays[: job.own], observed)


def _kept(model: Model, observe: Sequence[int], inferences: int) -> int:
    """Return of how many inferences the observed tensors are kept."""
    tensors = model.tree.subgraphs[0].tensors
    types = names_of("TensorType")
    each = sum(
        WIDTHS.get(types.get(tensors[i].type, ""), 8) * elements_of(tensors[i]) for i in observe
    )
    return max(1, min(inferences, OBSERVED_BYTES // max(1, each)))


def _claim(one: Placed) -> KernelClaim:
    per_output = 1 if isinstance(one, Placement) else inputs_per_output(one.unit)
    return KernelClaim(
        function=one.function,
        operators=one.site.operators,
        input=one.site.input,
        output=one.site.output,
        input_bits=one.site.spec.input.bits,
        output_bits=one.site.spec.output.bits,
        elements=one.site.elements,
        inputs_per_output=per_output,
    )


def _filled(array: NDArray[Any], batch: int) -> NDArray[Any]:
    """Return the samples, the last one repeated until they fill the last batch."""
    missing = -len(array) % batch
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _run_child(job: Job, job_file: Path, timeout_s: float, version: str) -> Result:
    """Run a job in a new process and return its result.

    Whatever happens to the process is an EmbactError of the model that names runtime and resolver.
    """
    job_file.write_bytes(msgspec.json.encode(job))
    done = run_child("embact.tflite.host.worker", job_file, timeout_s)
    stage = Path(job.stage).read_text("utf-8") if Path(job.stage).exists() else STARTING
    kernels = " with kernels" if job.claims and stage in {LOADING, RUNNING} else ""
    who, doing = f"{version}, resolver {job.resolver},", f"{stage}{kernels}"
    if done is None:
        raise EmbactError(
            f"{who} took too long {doing}",
            got=f"over {timeout_s:g} s",
            allowed="a longer timeout or less data",
            where=job.where,
        )
    if done.returncode or not Path(job.result).exists():
        raise EmbactError(
            f"{who} {'crashed' if done.returncode < 0 else 'failed'} {doing}",
            got=ending(done),
            allowed="a model that this runtime can run",
            where=job.where,
        )
    result = msgspec.json.decode(Path(job.result).read_bytes(), type=Result)
    if result.error:
        what, got, allowed, where = result.error
        raise EmbactError(what, got=got, allowed=allowed, where=where)
    return result
