"""Compare compiled layers with their definitions, in a child process: the C may be anyone's.

Run as ``python -m embact.tflite.host.layer_check JOB``. This module must not know models.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.run.build import load
from embact.run.child import ending, run_child
from embact.run.host import HostKernels
from embact.tflite.layers import inputs_per_output, outputs, rows_to_compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from embact.tflite.placement import LayerPlacement

TIMEOUT_S = 120.0
GUARD = 64
"""Elements before and after the output that a layer must leave."""

FILLS = (0x5A, -0x5A)
"""What the output holds before: a layer is run with each, so that nothing is left of it."""


@dataclass(frozen=True)
class Job:
    """Which functions of which extension to run. Paths are files in the job's own folder.

    inputs: .npz with an array of rows for each function. per_output: input elements for one of the
    output. outputs: the .npz to write.
    """

    module: str
    path: str
    functions: dict[str, tuple[int, int, int]]
    per_output: dict[str, int]
    inputs: str
    outputs: str


def check_layers(
    compiled: HostKernels, layers: Mapping[str, LayerPlacement], *, timeout_s: float = TIMEOUT_S
) -> dict[str, str]:
    """Return in words where compiled layers differ from their definitions, by function name.

    Each is run on ``rows_to_compare`` at once and on the first row alone. A function that writes
    beside its output or into its input differs, and so do all if the process crashes or hangs.
    """
    if not layers:
        return {}
    rows = {name: rows_to_compare(one) for name, one in layers.items()}
    with tempfile.TemporaryDirectory(prefix="embact-") as folder:
        job = Job(
            compiled.module.__name__,
            compiled.path,
            {name: compiled.functions[name] for name in layers},
            {name: inputs_per_output(one.unit) for name, one in layers.items()},
            str(Path(folder, "inputs.npz")),
            str(Path(folder, "outputs.npz")),
        )
        given: dict[str, Any] = dict(rows)
        np.savez(job.inputs, **given)
        job_file = Path(folder, "job.json")
        job_file.write_bytes(msgspec.json.encode(job))
        done = run_child("embact.tflite.host.layer_check", job_file, timeout_s)
        if done is None:
            return dict.fromkeys(layers, f"it did not end within {timeout_s:g} s")
        if done.returncode:
            words = f"it did not return: the process ended with {ending(done)}"
            return dict.fromkeys(layers, words)
        with np.load(job.outputs, allow_pickle=False) as stored:
            seen = {name: stored[name] for name in stored.files}
    found = {
        name: _difference(one, rows[name], seen.get(name), seen.get(f"{name} fault"))
        for name, one in layers.items()
    }
    return {name: words for name, words in found.items() if words}


def _difference(
    one: LayerPlacement,
    rows: NDArray[np.int64],
    seen: NDArray[Any] | None,
    fault: NDArray[Any] | None,
) -> str:
    """Return what is wrong with the outputs of a layer, or ""."""
    if fault is not None:
        return str(fault)
    if seen is None:
        return "it gave no outputs"
    expected = outputs(one, rows)
    wrong = np.argwhere(seen != expected)
    if not wrong.size:
        return ""
    row, place = wrong[0].tolist()
    return (
        f"{len(wrong)} of {expected.size} outputs; first in row {row}, place {place}: "
        f"{seen[row, place]} instead of {expected[row, place]}"
    )


def main(job_file: str) -> None:
    """Run the functions of a job and write their outputs, or what they did beside it."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    compiled = HostKernels(load(job.module, Path(job.path)), job.functions)
    answers: dict[str, Any] = {}
    with np.load(job.inputs, allow_pickle=False) as stored:
        for name in job.functions:
            found = _run(compiled, name, stored[name], job.per_output[name])
            answers[f"{name} fault" if isinstance(found, str) else name] = found
    np.savez(job.outputs, **answers)


def _run(
    compiled: HostKernels, name: str, rows: NDArray[np.int64], per_output: int
) -> NDArray[Any] | str:
    """Return a layer's output rows, or in words what else it did."""
    _, bits_in, bits_out = compiled.functions[name]
    length = rows.shape[1] // per_output
    results = []
    for part, fill in ((rows, FILLS[0]), (rows, FILLS[1]), (rows[:1], FILLS[0])):
        source = np.ascontiguousarray(part, dtype=f"int{bits_in}")
        size = len(part) * length
        memory = np.full(size + 2 * GUARD, fill, dtype=f"int{bits_out}")
        compiled.call(name, source, memory[GUARD:], size)
        if np.any(memory[:GUARD] != fill) or np.any(memory[GUARD + size :] != fill):
            return "it writes beside its output"
        if not np.array_equal(source, part):
            return "it writes to its input"
        results.append(memory[GUARD : GUARD + size].reshape(len(part), length).copy())
    whole, again, first = results
    if not np.array_equal(whole, again) or not np.array_equal(whole[:1], first):
        return "it depends on how it is called"
    return whole


if __name__ == "__main__":
    main(sys.argv[1])
