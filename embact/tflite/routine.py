"""Routines: the C functions of a conversion, all with one signature, and where each is right.

    void symbol(const void *input, void *output, int32_t size)

Types only. This module must not know models, graphs or who calls a routine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embact.grid import Grid, QuantSpec


@dataclass(frozen=True)
class Routine:
    """A C function that computes the output tensor of one or more sites.

    function: its name in the headers, and of the custom operator. symbol: the function with the
    signature above, in ``embact_ops.h``, where size counts the elements of the output. specs: the
    quantisations at which the model uses it, for all of which it was proved or tested. row_size:
    size is a multiple of it; 1 for element-wise functions. inputs_per_output: elements of the input
    tensor for one of the output: 2 for gated units, which read both halves.
    builtin: the builtin operator that it replaces one for one, "" if it replaces a pattern.
    slopes: the bytes of the slopes tensor for PRELU, as the model stores them, else empty.
    about: one line for people: what it computes, how exactly.
    slopes_grid: the grid of the slopes for PRELU, else None.
    option: alpha of LEAKY_RELU, beta of SOFTMAX, as the model stores it (a float32); else None.
    The override form finds its nodes by all of these.
    """

    function: str
    symbol: str
    specs: tuple[QuantSpec, ...]
    row_size: int
    inputs_per_output: int
    builtin: str
    slopes: bytes
    about: str
    slopes_grid: Grid | None = None
    option: float | None = None
