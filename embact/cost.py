"""What a kernel costs on a core: instructions for each element, measured, generated or fitted.

Kernels of a structure that was measured cost what was measured; others what a fit over their
operations gives, whose residual is stated. Both come from the packaged ``costs.json``, which
``tools/calibrate.py`` writes. On a core with vectors the loop that is generated tells by itself how
many instructions it has. This module must not know families, activations or emulators.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from embact.cores import CORES, DEFAULT_CORE
from embact.errors import EmbactError, unknown_name
from embact.helium.body import helium_body
from embact.ir import Op
from embact.sources import data_file

if TYPE_CHECKING:
    from pathlib import Path

    from embact.ir import Node
    from embact.kernel import Kernel

SCHEMA = 2
FILE = "costs.json"


@dataclass(frozen=True)
class Structure:
    """Instructions for each element of the kernels of one structure.

    structure: see ``structure_of``. of: the kernel that was measured, in words. written: whether
    its loop is a hand-written one. instructions: in the order of the file's cores.
    """

    structure: str
    of: str
    written: bool
    instructions: tuple[float, ...]


@dataclass(frozen=True)
class Prices:
    """A fit of one core: instructions = sum of price * how often, over ``features_of``.

    rms, worst: relative difference to what was measured, of kernels that the fit did not see.
    kernels: how many there were.
    """

    core: str
    rms: float
    worst: float
    kernels: int
    prices: dict[str, float]


@dataclass(frozen=True)
class Costs:
    """The packaged data file."""

    schema: int
    embact: str
    compiler: str
    emulator: str
    cores: tuple[str, ...]
    fitted: tuple[Prices, ...]
    measured: tuple[Structure, ...]


@dataclass(frozen=True)
class Cost:
    """Instructions for each element.

    source: "measured", "generated" (what the generated loop of vectors has) or "fitted", then with
    a relative error (RMS).
    """

    instructions: float
    source: str
    rms: float = 0.0

    def __str__(self) -> str:
        """Return the number and where it comes from: ``3.12 (measured)``."""
        error = f", RMS error {self.rms:.0%}" if self.source == "fitted" else ""
        return f"{self.instructions:.2f} ({self.source}{error})"


def instructions(kernel: Kernel, core: str = DEFAULT_CORE) -> float:
    """Return the instructions for one element, to two decimals; see ``cost``."""
    return cost(kernel, core).instructions


def cost(kernel: Kernel, core: str = DEFAULT_CORE) -> Cost:
    """Return what a kernel costs on a core, measured if its structure was.

    It is the mean over all inputs, with the loop. Raises EmbactError for an unknown core.
    """
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    measured, fitted = _by_core(core)
    found = measured.get(structure_of(kernel))
    if CORES[core].tier == "helium" and not (found and found.written):
        vectors = in_vectors(kernel)
        if vectors is not None:
            return Cost(vectors, "generated")
    if found is not None:
        return Cost(found.instructions[packaged().cores.index(core)], "measured")
    features = features_of(kernel)
    total = sum(fitted.prices.get(name, 0.0) * count for name, count in features.items())
    return Cost(round(total, 2), "fitted", fitted.rms)


@lru_cache(maxsize=4096)
def in_vectors(kernel: Kernel) -> float | None:
    """Return the instructions for an element of the loop of vectors, or None if there is none."""
    body = helium_body(kernel, {table.name: table.name for table in kernel.tables})
    return None if body is None else round(body.instructions / body.elements, 2)


def structure_of(kernel: Kernel) -> str:
    """Return what the compiled loop depends on, hashed: operations, their operands, table widths.

    Constants and the entries of tables are left out. Kernels of one structure differ in a few
    instructions at most, where a constant takes more than one.
    """
    number = {id(node): i for i, node in enumerate(kernel.nodes)}
    steps = [
        [
            node.op.value,
            [number[id(arg)] for arg in node.args],
            node.value if node.op is Op.SAT else 0,
            _table_of(node, kernel),
        ]
        for node in kernel.nodes
    ]
    text = json.dumps([kernel.input_bits, kernel.output_bits, steps])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _table_of(node: Node, kernel: Kernel) -> list[int]:
    """Return a table's width, and whether it has an entry for every input code."""
    if node.table is None:
        return []
    return [node.table.bits, len(node.table.values) >> kernel.input_bits]


def features_of(kernel: Kernel) -> dict[str, float]:
    """Return how often each thing that has a price occurs, by name.

    ``loop``: once. ``ADD``: on the way that is taken on average, each arm of a choice by half.
    ``ADD all``: of all nodes, which is what code without branches executes.
    """
    uses = Counter(id(arg) for node in kernel.nodes for arg in node.args)
    share: dict[int, float] = {}  # of the inputs that evaluate a node that one other alone uses
    counts: dict[str, float] = {"loop": 1.0}
    for node in reversed(kernel.nodes):
        own = share.get(id(node), 1.0)
        for place, arg in enumerate(node.args):
            if uses[id(arg)] == 1:
                share[id(arg)] = own / 2 if node.op is Op.SELECT and place >= 2 else own
        if node.op not in (Op.INPUT, Op.CONST):
            for name, count in ((node.op.value, own), (f"{node.op.value} all", 1.0)):
                counts[name] = counts.get(name, 0.0) + count
    return counts


@lru_cache
def _by_core(core: str) -> tuple[dict[str, Structure], Prices]:
    """Return the measured structures, and the fit of a core."""
    costs = packaged()
    measured = {one.structure: one for one in costs.measured}
    return measured, next(one for one in costs.fitted if one.core == core)


@lru_cache
def packaged() -> Costs:
    """Return the packaged costs."""
    return read(data_file(FILE))


def read(path: Path) -> Costs:
    """Return the costs of a file. Raises EmbactError if it is not one of this schema."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Costs)
    except msgspec.DecodeError as error:
        raise EmbactError("not a file of costs", got=error, where=str(path)) from None
    if found.schema != SCHEMA:
        raise EmbactError("schema of costs", got=found.schema, allowed=str(SCHEMA), where=str(path))
    missing = sorted(set(CORES) - ({*found.cores} & {one.core for one in found.fitted}))
    if missing or any(len(one.instructions) != len(found.cores) for one in found.measured):
        raise EmbactError("costs of a core are missing", got=", ".join(missing), where=str(path))
    return found
