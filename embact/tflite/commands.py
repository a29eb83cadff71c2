"""The command that writes the C of an operator that is no site: a softmax, or a PReLU.

Everything that the command needs is read from the model. This module must not know which operators
are sites.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.nn.prelu_layer import layer_of_codes
from embact.nn.softmax import Softmax
from embact.tflite.model import shape_of, tensor_grid

if TYPE_CHECKING:
    from embact.tflite.graph import Graph
    from embact.tflite.model import Model, Tree

INLINE = 16
"""Up to so many slopes are in the command itself."""


def command_for(model: Model, graph: Graph, operator: int) -> tuple[str, str]:
    """Return the command line that writes the C of an operator, and what to know about it.

    DIR stands for the folder, and SLOPES.npy for a file of slopes that the user has to make. The
    command is "" where there is none: for other operators, and for quantisations and shapes that
    the command does not take; then the second is the reason, if there is any.
    """
    op = graph.ops[operator]
    if op not in ("SOFTMAX", "LOG_SOFTMAX", "PRELU"):
        return "", ""
    ins, outs = graph.tensors(operator)
    if len(ins) != 1 + (op == "PRELU") or len(outs) != 1:
        return "", f"it has {len(ins)} inputs and {len(outs)} outputs"
    tensors = graph.tree.tensors
    grids = {"input": tensor_grid(tensors[ins[0]]), "output": tensor_grid(tensors[outs[0]])}
    for side, grid in grids.items():
        if isinstance(grid, str):
            return "", f"its {side} is {grid}"
    spec = QuantSpec(*(grid for grid in grids.values() if isinstance(grid, Grid)))
    try:
        if op == "PRELU":
            return _prelu(model, graph, ins, spec)
        options = graph.tree.operators[operator].builtinOptions
        return _softmax(options, spec, log=op == "LOG_SOFTMAX")
    except EmbactError as error:
        return "", str(error)


def _softmax(options: Tree, spec: QuantSpec, *, log: bool) -> tuple[str, str]:
    source, target = spec.input, spec.output
    beta = 1.0 if log else float(getattr(options, "beta", 0.0))  # none is 0, as TFLite reads it
    asked = Softmax(source.scale, beta, source.bits, target.bits, log=log)
    if target != asked.output:
        return "", f"its output is {_said(target)}, not {_said(asked.output)}"
    words = [f"embact softmax --in-scale {_short(asked.scale)}"]
    words.append("--log" if log else f"--beta {_short(asked.beta)}")
    words.append(f"--dtype {source.dtype}")
    if source.dtype != target.dtype:
        words.append(f"--out-dtype {target.dtype}")
    return " ".join([*words, "--out DIR"]), ""


def _prelu(model: Model, graph: Graph, ins: list[int], spec: QuantSpec) -> tuple[str, str]:
    values, slopes = (graph.tree.tensors[i] for i in ins)
    grid = tensor_grid(slopes)
    if isinstance(grid, str):
        return "", f"its slopes are {grid}"
    if ins[1] not in graph.constant:
        return "", "its slopes are no constant"
    shape, channels = shape_of(slopes), (1, *shape_of(values))[-1]
    if prod(shape) not in {1, channels} or prod(shape) != (1, *shape)[-1]:
        return "", f"its slopes have shape {shape}, neither one nor one for each of {channels}"
    if grid.bits != 8:
        return "", f"its slopes are {grid.dtype}"
    codes = np.asarray(model.tree.buffers[slopes.buffer].data, dtype=np.uint8).view(np.int8)
    if len(codes) != prod(shape):
        return "", f"its slopes have {len(codes)} bytes for shape {shape}"
    layer_of_codes(spec, grid, codes.tolist())  # refuses what the command refuses
    words = ["embact prelu"]
    for side, one in (("in", spec.input), ("out", spec.output), ("alpha", grid)):
        words.append(f"--{side}-scale {_short(one.scale)} --{side}-zero-point {one.zero_point}")
    inline = len(codes) <= INLINE
    words.append(f"--alpha {','.join(map(str, codes.tolist())) if inline else 'SLOPES.npy'}")
    words.append(f"--dtype {spec.input.dtype}")
    note = f"its {len(codes)} slopes are the codes of tensor {ins[1]}, to be saved as SLOPES.npy"
    return " ".join([*words, "--out DIR"]), "" if inline else note


def _short(value: float) -> str:
    """Return the shortest decimal that is that float32."""
    return str(np.float32(value))


def _said(grid: Grid) -> str:
    return f"{grid.dtype} ({_short(grid.scale)}, {grid.zero_point})"
