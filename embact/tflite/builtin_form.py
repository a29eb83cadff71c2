"""The builtin form: an element-wise site as CAST to int32, ADD 2^(bits - 1), GATHER from a table.

It runs wherever these three operators do, without any code of ours: TFLite, LiteRT, and TFLM for
int8 outputs (its GATHER refuses int16 data). A table has an entry for every input code, so the
function does not matter to its cost, and by default it is the correctly rounded one. The two int32
tensors take four times the memory of an int8 tensor each. This module must not know files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embact.certify import certify, ideal
from embact.fit.problem import Candidate, Limits, Problem
from embact.fit.record import Fit
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.tflite.model import Tree, builtin_code, items, schema, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from embact.tflite.placement import Placement
    from embact.tflite.site import Site

TABLE_FAMILY = "lut"


def table_fit(site: Site) -> Fit:
    """Return the kernel of a site that is a table of its correctly rounded codes: error 0."""
    spec = site.spec
    values = tuple(int(code) for code in ideal(site.activation, spec).codes)
    index = add(x(), const(1 << (spec.input.bits - 1)))
    kernel = Kernel(lookup(Table("table", values), index), spec.input.bits, spec.output.bits)
    problem = Problem(site.activation, spec, Limits(max_error=0))
    proved = certify(site.activation, spec, kernel)
    return Fit(problem, TABLE_FAMILY, Candidate(kernel), proved)


def bytes_of_tables(placements: Iterable[Placement]) -> int:
    """Return what the tables take in the model: equal ones of equal widths count once."""
    distinct = {
        (one.fit.kernel.digest, one.site.spec.output.bits): one.site.spec for one in placements
    }
    return sum((1 << spec.input.bits) * spec.output.bits // 8 for spec in distinct.values())


def warnings_of(placements: Iterable[Placement]) -> tuple[str, ...]:
    """Return what a user of the builtin form has to know: memory, and int16 codes in TFLM."""
    placed = list(placements)
    if not placed:
        return ()
    most = 8 * max(one.site.elements for one in placed)
    wide = [one for one in placed if one.site.spec.input.bits == 16]
    words = [one for one in placed if one.site.spec.output.bits == 16]
    said = [f"the int32 tensors of the largest activation take {most:,} bytes of RAM while it runs"]
    if wide:
        said.append(
            f"int16 inputs need tables of 65,536 entries: {bytes_of_tables(wide):,} bytes of the "
            f"model for {len(wide)} of its activations"
        )
    if words:
        said.append(
            f"TFLM's GATHER refuses int16 data: {len(words)} of the activations do not run there"
        )
    return tuple(said)


@dataclass(frozen=True)
class Tables:
    """Adds the operators, tensors and buffers of sites to a model's tree, sharing what is equal."""

    tree: Tree
    constants: dict[tuple[int, int], int] = field(default_factory=dict)
    buffers: dict[tuple[str, int], int] = field(default_factory=dict)
    tables: dict[tuple[object, ...], int] = field(default_factory=dict)

    def operators(self, one: Placement) -> list[Tree]:
        """Return the three operators that compute a site, and add what they need to the tree."""
        made, bits = schema(), one.site.spec.input.bits
        kinds = made.TensorType
        source = self.tree.subgraphs[0].tensors[one.site.input]
        codes, index = (self._like(source, one, word) for word in ("code", "index"))
        cast = made.CastOptionsT(
            inDataType=kinds.INT8 if bits == 8 else kinds.INT16, outDataType=kinds.INT32
        )
        version = 2 if one.site.spec.output.bits == 8 else 4
        return [
            self._node(
                ("CAST", 3 if bits == 8 else 1), (one.site.input,), codes, ("CastOptions", cast)
            ),
            self._node(
                ("ADD", 1),
                (codes, self._constant(1 << (bits - 1), source)),
                index,
                ("AddOptions", made.AddOptionsT()),
            ),
            self._node(
                ("GATHER", version),
                (self._table(one), index),
                one.site.output,
                ("GatherOptions", made.GatherOptionsT(axis=0)),
            ),
        ]

    def _node(
        self, op: tuple[str, int], inputs: tuple[int, ...], output: int, options: tuple[str, Tree]
    ) -> Tree:
        made = schema()
        return made.OperatorT(
            opcodeIndex=self._code(*op),
            inputs=np.array(inputs, dtype=np.int32),
            outputs=np.array([output], dtype=np.int32),
            builtinOptionsType=getattr(made.BuiltinOptions, options[0]),
            builtinOptions=options[1],
        )

    def _code(self, op: str, version: int) -> int:
        """Return the number of an operator code, one of the model's own if it is the same."""
        made = schema()
        number = getattr(made.BuiltinOperator, op)
        for place, code in enumerate(items(self.tree.operatorCodes)):
            if builtin_code(code) == number and code.version == version:
                return place
        self.tree.operatorCodes.append(
            made.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127), version=version, builtinCode=number
            )
        )
        return len(self.tree.operatorCodes) - 1

    def _add(self, tensor: Tree) -> int:
        self.tree.subgraphs[0].tensors.append(tensor)
        return len(self.tree.subgraphs[0].tensors) - 1

    def _buffer(self, octets: bytes) -> int:
        self.tree.buffers.append(schema().BufferT(data=np.frombuffer(octets, dtype=np.uint8)))
        return len(self.tree.buffers) - 1

    def _like(self, source: Tree, one: Placement, word: str) -> int:
        """Return a new int32 tensor with the shape of the site's input."""
        made = schema()
        return self._add(
            made.TensorT(
                shape=source.shape,
                shapeSignature=source.shapeSignature,
                hasRank=source.hasRank,
                type=made.TensorType.INT32,
                buffer=0,
                name=f"{one.function}/{one.site.operators[-1]}/{word}".encode(),
            )
        )

    def _constant(self, value: int, beside: Tree) -> int:
        """Return the tensor of an int32 number, made at its first use.

        Beside a scalar it is one: with an axis it would give its sum an axis.
        """
        rank = min(1, len(shape_of(beside)))
        if (value, rank) not in self.constants:
            made = schema()
            self.constants[value, rank] = self._add(
                made.TensorT(
                    shape=np.ones(rank, dtype=np.int32),
                    hasRank=True,
                    type=made.TensorType.INT32,
                    buffer=self._buffer(value.to_bytes(4, "little")),
                    name=f"embact/{value}".encode(),
                )
            )
        return self.constants[value, rank]

    def _table(self, one: Placement) -> int:
        """Return the tensor of a kernel's outputs on the output's grid; its data are shared."""
        made, spec = schema(), one.site.spec
        data = one.fit.kernel.digest, spec.output.bits
        if data not in self.buffers:
            octets = one.fit.kernel.outputs.astype(f"<i{spec.output.bits // 8}").tobytes()
            self.buffers[data] = self._buffer(octets)
        key = (*data, spec.output)
        if key not in self.tables:
            grid = made.QuantizationParametersT(
                scale=np.array([spec.output.scale], dtype=np.float32),
                zeroPoint=np.array([spec.output.zero_point], dtype=np.int64),
            )
            self.tables[key] = self._add(
                made.TensorT(
                    shape=np.array([1 << spec.input.bits], dtype=np.int32),
                    hasRank=True,
                    type=made.TensorType.INT8 if spec.output.bits == 8 else made.TensorType.INT16,
                    buffer=self.buffers[data],
                    name=f"{one.function}/table".encode(),
                    quantization=grid,
                )
            )
        return self.tables[key]
