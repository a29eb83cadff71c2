"""Running a model on data in a child process, because some models crash the runtimes.

The kernels that it runs with are compiled here and compared with their definitions first. This
module must not know what the outputs are compared with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.certify import first_difference
from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.run.build import cache_folder
from embact.run.host import HostKernels, compile_header
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
    model: Model, data: Data, placements: Sequence[Placement], *, runner: Runner | None = None
) -> Outputs:
    """Return the outputs of a model on data, in a child process, with kernels at the placements.

    Every kernel's C is first compared with its definition on all inputs.
    """
    runner = runner or Runner()
    check_resolver(runner.resolver)
    version = find_runtime(
        runner.runtime
    ).version  # or how to install it, before compiling anything
    batch = input_ports(model)[0].batch
    compiled = _compiled(placements) if placements else None
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
        np.savez(job.inputs, **{str(i): array for i, array in enumerate(filled)})
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


def _compiled(placements: Sequence[Placement]) -> HostKernels:
    """Return the kernels compiled, after comparing them with their definitions."""
    kernels = kernels_of(placements)
    widths = {name: (fit.spec.input.bits, fit.spec.output.bits) for name, fit in kernels.items()}
    compiled = compile_header(emit_header(kernels), widths)
    for name, fit in kernels.items():
        outputs = compiled.run(name, fit.spec.input.codes())
        if difference := first_difference(fit.kernel, outputs):
            raise EmbactError(f"compiled {name} differs from its definition", got=difference)
    return compiled


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
    # the same modules as here, in the same order, whatever the user's folder holds
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - a string
    cache = str(cache_folder().absolute())
    environment = {**os.environ, "PYTHONPATH": path, "EMBACT_CACHE_DIR": cache}
    command = [sys.executable, "-m", "embact.tflite.worker", str(job_file)]
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=job_file.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EmbactError(
            "the model took too long",
            got=f"over {timeout_s:g} s",
            allowed="a longer timeout or less data",
            where=job.where,
        ) from None
    if done.returncode:
        raise _death(job, version, done.returncode, done.stderr)
    result = msgspec.json.decode(Path(job.result).read_bytes(), type=Result)
    if result.error:
        what, got, allowed, where = result.error
        raise EmbactError(what, got=got, allowed=allowed, where=where)
    return result


def _death(job: Job, version: str, status: int, printed: str) -> EmbactError:
    """Return the error for a child that did not come back."""
    stage = Path(job.stage).read_text("utf-8") if Path(job.stage).exists() else "starting"
    if status < 0:
        return EmbactError(
            f"{version} crashed in {stage}",
            got=signal.Signals(-status).name,
            allowed="a model that the stock runtime can run",
            where=job.where,
        )
    last = next((line for line in reversed(printed.splitlines()) if line.strip()), "")
    return EmbactError(
        f"running {stage} failed", got=f"exit status {status}: {last}", where=job.where
    )
