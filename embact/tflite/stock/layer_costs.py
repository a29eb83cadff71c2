"""What our layers cost by the length of their rows, as it was counted.

The packaged ``layer_costs.json`` is written by ``tools/layer_costs.py``. This module must not know
models, sites or how anything is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from embact.cores import CORES
from embact.errors import EmbactError
from embact.sources import data_file

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
FILE = "layer_costs.json"


@dataclass(frozen=True)
class RowCosts:
    """Instructions for one row of a layer on a core.

    layer: its name and widths, as in "softmax s8 s8". counted: for rows of the file's sizes.
    worst: how far ``instructions`` was off for rows of other lengths that were counted, relative.
    """

    layer: str
    core: str
    counted: tuple[float, ...]
    worst: float

    def instructions(self, row_size: int, sizes: tuple[int, ...]) -> float:
        """Return what a row of a length takes: on the line through the two counted around it.

        Beyond the last, or before the first, on the line through the nearest two.
        """
        place = min(max(bisect_left(sizes, row_size), 1), len(sizes) - 1)
        (x0, x1), (y0, y1) = sizes[place - 1 : place + 1], self.counted[place - 1 : place + 1]
        return y0 + (y1 - y0) * (row_size - x0) / (x1 - x0)


@dataclass(frozen=True)
class LayerCosts:
    """The packaged data file. sizes: elements of the rows that were counted, ascending."""

    schema: int
    embact: str
    compiler: str
    emulator: str
    cores: tuple[str, ...]
    sizes: tuple[int, ...]
    rows: tuple[RowCosts, ...]


def row_instructions(layer: str, row_size: int, core: str) -> float | None:
    """Return what one row of our layer takes on a core, or None if none like it was counted.

    layer: as in RowCosts. Between the lengths that were counted it is a straight line.

    >>> row_instructions("softmax s8 s8", 10, "cortex-m4") == row_instructions(
    ...     "softmax s8 s8", 12, "cortex-m4"
    ... )
    False
    >>> row_instructions("softmax s4 s4", 10, "cortex-m4")
    """
    costs = packaged()
    found = (one for one in costs.rows if (one.layer, one.core) == (layer, core))
    return next((one.instructions(row_size, costs.sizes) for one in found), None)


@lru_cache
def packaged() -> LayerCosts:
    """Return the packaged costs."""
    return read(data_file(FILE))


def read(path: Path) -> LayerCosts:
    """Return the costs of a file. Raises EmbactError if it is not one of this schema."""
    where = str(path)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=LayerCosts)
    except msgspec.DecodeError as error:
        raise EmbactError("not a file of layers' costs", got=error, where=where) from None
    if found.schema != SCHEMA:
        raise EmbactError(
            "schema of layers' costs", got=found.schema, allowed=str(SCHEMA), where=where
        )
    ascending = 2 <= len(found.sizes) == len(set(found.sizes)) and [*found.sizes] == sorted(
        found.sizes
    )
    whole = all(len(one.counted) == len(found.sizes) for one in found.rows)
    if not (ascending and whole and set(found.cores) == set(CORES)):
        raise EmbactError("layers' costs of a core or a length are missing", where=where)
    return found
