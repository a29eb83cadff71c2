"""TFLite models of one operator, written here, for runtimes that kernels are compared with.

This module must not know kernels or how anything is timed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.tflite.model import pack, parse, schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.grid import Codes, Grid, QuantSpec


@dataclass(frozen=True)
class Operator:
    """An operator of TFLite.

    version: of its kernel that takes these types. options: the type of its options in the schema
    and their fields. slopes: the grid and the codes of PRELU's second input, one for each channel.
    """

    name: str
    version: int
    options: tuple[str, Mapping[str, Any]] | None = None
    slopes: tuple[Grid, Codes] | None = field(default=None, compare=False)


def one_operator(operator: Operator, spec: QuantSpec, shape: tuple[int, ...]) -> bytes:
    """Return a model file that applies an operator to codes of one shape.

    Raises EmbactError if the package with the schema is missing.
    """
    made = schema()
    buffers = [made.BufferT()]
    tensors = [_tensor("input", spec.input, shape), _tensor("output", spec.output, shape)]
    inputs = [0]
    if operator.slopes is not None:
        grid, codes = operator.slopes
        octets = codes.astype(grid.dtype).tobytes()
        buffers.append(made.BufferT(data=np.frombuffer(octets, dtype=np.uint8)))
        tensors.append(_tensor("slopes", grid, (codes.size,), buffer=1))
        inputs.append(2)
    kind, fields = operator.options or ("", {})
    node = made.OperatorT(
        opcodeIndex=0,
        inputs=inputs,
        outputs=[1],
        builtinOptionsType=getattr(made.BuiltinOptions, kind) if kind else 0,
        builtinOptions=getattr(made, f"{kind}T")(**fields) if kind else None,
    )
    graph = made.SubGraphT(
        tensors=tensors, inputs=[0], outputs=[1], operators=[node], name=b"one operator"
    )
    number = getattr(made.BuiltinOperator, operator.name)
    code = made.OperatorCodeT(
        deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=operator.version
    )
    tree = made.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=buffers)
    content = pack(tree)
    parse(content, operator.name)  # what we write, we can read
    return content


def _tensor(name: str, grid: Grid, shape: tuple[int, ...], buffer: int = 0) -> Any:
    made = schema()
    quantisation = made.QuantizationParametersT(scale=[grid.scale], zeroPoint=[grid.zero_point])
    return made.TensorT(
        shape=list(shape),
        type=getattr(made.TensorType, grid.dtype.upper()),
        buffer=buffer,
        name=name.encode(),
        quantization=quantisation,
        hasRank=True,
    )
