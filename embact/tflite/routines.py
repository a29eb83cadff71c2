"""The C of a conversion: every file, and the functions of one signature that call it.

``embact_ops.h`` has a ``static inline void <symbol>(const void *input, void *output, int32_t
size)`` for every routine; size counts elements of the output. This module must not know
compilers or where files go.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from embact import __version__
from embact.certify import stated
from embact.emit.header import emit_header
from embact.emit.prune import prune
from embact.errors import EmbactError
from embact.grid import Grid
from embact.tflite.layers import about, call, inputs_per_output, layer_sources
from embact.tflite.model import items, tensor_grid
from embact.tflite.placement import (
    LayerPlacement,
    Placement,
    kernels_of,
    layers_of,
    rows_of,
    unit_key,
)
from embact.tflite.routine import Routine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.cores import Core
    from embact.fit.record import Fit
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.site import LayerSite, Site

KERNELS_HEADER = "embact_kernels.h"
"""The header of all element-wise kernels."""

OPS_HEADER = "embact_ops.h"
"""The header of all routines."""


def symbol_of(function: str) -> str:
    """Return the name of a function's routine.

    >>> symbol_of("embact_silu_s8")
    'embact_silu_s8_op'
    """
    return f"{function}_op"


def routines(placements: Sequence[Placed], model: Model | None = None) -> tuple[Routine, ...]:
    """Return the distinct routines of placements, in the order of their first sites.

    model: where the sites are; what operators store (alpha, beta, slopes) is read from it, and a
    function that stands for nodes which differ in that has a routine for each. Without a model
    there is one for each function. Raises EmbactError if a kernel and a layer have one name.
    """
    both = kernels_of(placements).keys() & layers_of(placements).keys()
    if both:
        raise EmbactError("function of a kernel and of a layer", got=", ".join(sorted(both)))
    grouped: dict[tuple[str, Stored], list[Placed]] = {}
    for one in placements:
        stored = NOTHING if model is None else stored_in(model, one.site)
        grouped.setdefault((one.function, stored), []).append(one)
    return tuple(_routine(*key, group) for key, group in grouped.items())


@dataclass(frozen=True)
class Stored:
    """What an operator stores besides its quantisation; fields as those of Routine."""

    builtin: str
    slopes: bytes
    slopes_grid: Grid | None
    option: float | None


NOTHING = Stored("", b"", None, None)


def stored_in(model: Model, site: Site | LayerSite) -> Stored:
    """Return what the only operator of a site stores; nothing if the site is a pattern."""
    if len(site.operators) != 1:
        return NOTHING
    graph, (op,) = model.tree.subgraphs[0], site.ops
    node = graph.operators[site.operators[0]]
    field = {"LEAKY_RELU": "alpha", "SOFTMAX": "beta"}.get(op, "")
    option = float(getattr(node.builtinOptions, field, 0.0)) if field else None
    if op != "PRELU":
        return Stored(op, b"", None, option)
    slopes = graph.tensors[items(node.inputs)[1]]
    grid, data = tensor_grid(slopes), model.tree.buffers[slopes.buffer].data
    octets = b"" if data is None else np.asarray(data, dtype=np.uint8).tobytes()
    return Stored(op, octets, grid if isinstance(grid, Grid) else None, None)


def distinguished(model: Model, placements: Sequence[Placed]) -> tuple[Placed, ...]:
    """Return placements whose functions stand for nodes that store the same each.

    For the form override, which finds its nodes by what they store: a function of others, as one of
    LEAKY_RELU with two alphas that were replaced by relu, gets a second name for the second.
    """
    taken = {one.function for one in placements}
    names: dict[tuple[str, Stored], str] = {}
    first: set[str] = set()
    found: list[Placed] = []
    for one in placements:
        key = one.function, stored_in(model, one.site)
        if key not in names:
            name, number = one.function, 1
            while one.function in first and name in taken:
                number += 1
                stem, mark, widths = one.function.rpartition("_s")
                name = f"{stem}_{number}{mark}{widths}"
            first.add(one.function)
            taken.add(name)
            names[key] = name
        found.append(replace(one, function=names[key]))
    return tuple(found)


def _routine(function: str, stored: Stored, group: list[Placed]) -> Routine:
    first = group[0]
    if isinstance(first, Placement):
        rows, inputs, said = 1, 1, _about(first.fit)
    else:
        rows, inputs = rows_of(first.site, first.unit), inputs_per_output(first.unit)
        said = about(first.unit)
    return Routine(
        function=function,
        symbol=symbol_of(function),
        specs=tuple(dict.fromkeys(one.site.spec for one in group)),
        row_size=rows,
        inputs_per_output=inputs,
        builtin=stored.builtin,
        slopes=stored.slopes,
        about=said,
        slopes_grid=stored.slopes_grid,
        option=stored.option,
    )


def _about(fit: Fit) -> str:
    proved = fit.certificate
    plural = "" if proved.max_error_codes == 1 else "s"
    return (
        f"{fit.activation.name}, family {fit.family}: at most {proved.max_error_codes} "
        f"code{plural} and {stated(proved.max_error_lsb)} lsb off, all {proved.points} inputs"
    )


def sources(placements: Sequence[Placed], target: Core | None = None) -> dict[str, str]:
    """Return every C file of placements, by file name; ``embact_ops.h`` includes the others.

    For every compiler, or, where a target is given, what compilers for this core read of it.
    Raises EmbactError if there is no placement.
    """
    if not placements:
        raise EmbactError("C of no placements", allowed="at least one")
    files: dict[str, str] = {}
    kernels = kernels_of(placements)
    if kernels:
        files[KERNELS_HEADER] = emit_header(kernels)
    owners = _owners(placements)
    for function, one in layers_of(placements).items():
        if owners[function] == function:
            files |= layer_sources(one.unit, function)
    files[OPS_HEADER] = _ops_header(placements, owners)
    return files if target is None else {name: prune(text, target) for name, text in files.items()}


def _owners(placements: Sequence[Placed]) -> dict[str, str]:
    """Return for each layer's function the one whose header it calls: the first with its unit."""
    first: dict[tuple[object, ...], str] = {}
    return {
        function: first.setdefault(unit_key(one.unit), function)
        for function, one in layers_of(placements).items()
    }


def _ops_header(placements: Sequence[Placed], owners: dict[str, str]) -> str:
    included = [KERNELS_HEADER] if kernels_of(placements) else []
    included += [f"{name}.h" for name in dict.fromkeys(owners.values())]
    distinct = {one.function: one for one in placements}
    parts = []
    for made in routines(placements):
        one = distinct[made.function]
        rows = "" if made.row_size == 1 else f", a multiple of {made.row_size}"
        if isinstance(one, LayerPlacement):
            body = call(one, owners[one.function])
        else:
            source, result = (
                f"int{grid.bits}_t" for grid in (one.site.spec.input, one.site.spec.output)
            )
            body = [f"{one.function}((const {source} *)input, ({result} *)output, size);"]
        lines = "\n".join(f"    {line}" for line in body)
        parts.append(
            f"/*\n * {_harmless(made.about)}.\n * size: elements of the output{rows}.\n */\n"
            f"static inline void {made.symbol}(const void *input, void *output, int32_t size)\n"
            f"{{\n{lines}\n}}\n"
        )
    text = "\n".join([*(f'#include "{name}"' for name in included), "", *parts])
    macro = f"EMBACT_OPS_{hashlib.sha256(text.encode()).hexdigest()[:8].upper()}_H"
    return (
        f"/* Generated by embact {__version__}. Do not edit: regenerate. */\n\n"
        f"#ifndef {macro}\n#define {macro}\n\n{text}\n#endif /* {macro} */\n"
    )


def _harmless(text: str) -> str:
    """Return a text that cannot end a C comment: nothing of it comes from a model's names."""
    return text.replace("*/", "* /").replace("/*", "/ *")
