"""The command that writes the C of an operator that is no site: a softmax, or a PReLU.

Everything that the command needs is read from the model. This module must not know which operators
are sites.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.find.layer_sites import prelu_of, softmax_of
from embact.tflite.model import tensor_grid

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
        return _softmax(options, spec, log=op == "LOG_SOFTMAX"), ""
    except EmbactError as error:
        return "", str(error)


def _softmax(options: Tree, spec: QuantSpec, *, log: bool) -> str:
    asked = softmax_of(options, spec, log=log)
    words = [f"embact softmax --in-scale {_short(asked.scale)}"]
    words.append("--log" if log else f"--beta {_short(asked.beta)}")
    words.append(f"--dtype {spec.input.dtype}")
    if spec.input.dtype != spec.output.dtype:
        words.append(f"--out-dtype {spec.output.dtype}")
    return " ".join([*words, "--out DIR"])


def _prelu(model: Model, graph: Graph, ins: list[int], spec: QuantSpec) -> tuple[str, str]:
    layer = prelu_of(model, graph, ins, spec)
    words = ["embact prelu"]
    for side, one in (("in", spec.input), ("out", spec.output), ("alpha", layer.slope)):
        words.append(f"--{side}-scale {_short(one.scale)} --{side}-zero-point {one.zero_point}")
    inline = len(layer.codes) <= INLINE
    words.append(f"--alpha {','.join(map(str, layer.codes)) if inline else 'SLOPES.npy'}")
    words.append(f"--dtype {spec.input.dtype}")
    note = (
        f"its {len(layer.codes)} slopes are the codes of tensor {ins[1]}, to be saved as SLOPES.npy"
    )
    return " ".join([*words, "--out DIR"]), "" if inline else note


def _short(value: float) -> str:
    """Return the shortest decimal that is that float32."""
    return str(np.float32(value))
