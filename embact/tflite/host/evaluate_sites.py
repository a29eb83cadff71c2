"""What each site's kernel changes on data: against the stock operator, and in the whole model.

Locally, the kernel gets the codes that reached the site in the stock model, so that only the site
differs; in the model, its inputs differ as well where a site before it does. This module must not
know how models are run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.certify import ideal
from embact.errors import CheckFailed, EmbactError
from embact.tflite import layers
from embact.tflite.model import shape_of, tensor_grid, text
from embact.tflite.placement import LayerPlacement, Placement, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embact.grid import Codes
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed

HISTOGRAM_MAX = 8
"""Differences of more codes than this are counted together."""


@dataclass(frozen=True)
class Gap:
    """How codes differ from others, place by place.

    codes: how many were compared. differing: how many are not equal. max_codes, mean_codes: of the
    absolute differences. histogram: how often each signed difference occurs, without those that do
    not, in ascending order; "<-8" and ">8" count all beyond. The counts add up to ``codes``.
    """

    codes: int
    differing: int
    max_codes: int
    mean_codes: float
    histogram: dict[str, int]


@dataclass(frozen=True)
class SiteGap:
    """What a kernel changed at one site, over the observed samples.

    operators, ops, tensor: of the site. computes: the activation or layer. local: the kernel on the
    codes that reached the site in the stock model, less the codes the stock model computed there.
    in_model: the output tensor of the model with kernels, less that of the stock model.
    stock_error_codes, kernel_error_codes: the largest distance of both to the correctly rounded
    code of what the kernel computes, over the same codes as ``local``; None for layers.
    """

    operators: tuple[int, ...]
    ops: tuple[str, ...]
    tensor: str
    computes: str
    function: str
    local: Gap
    in_model: Gap
    stock_error_codes: int | None
    kernel_error_codes: int | None


def gap(ours: Codes | NDArray[np.int8], theirs: Codes | NDArray[np.int8]) -> Gap:
    """Return how codes differ, of two arrays of one shape and at least one element.

    >>> gap(np.array([5, 7, 30]), np.array([5, 8, 0])).histogram
    {'-1': 1, '0': 1, '>8': 1}
    """
    off = ours.astype(np.int32) - theirs.astype(np.int32)
    beyond = HISTOGRAM_MAX + 1
    counts = np.bincount((np.clip(off, -beyond, beyond) + beyond).ravel(), minlength=2 * beyond + 1)
    names = [str(i) for i in range(-beyond, beyond + 1)]
    names[0], names[-1] = f"<-{HISTOGRAM_MAX}", f">{HISTOGRAM_MAX}"
    return Gap(
        codes=off.size,
        differing=int(off.size - counts[beyond]),
        max_codes=int(np.abs(off).max()),
        mean_codes=float(np.abs(off).mean()),
        histogram={name: int(count) for name, count in zip(names, counts, strict=True) if count},
    )


def observed_tensors(placements: Sequence[Placed]) -> tuple[int, ...]:
    """Return the tensors that have to be read in both models, each once."""
    ends = [tensor for one in placements for tensor in (one.site.input, one.site.output)]
    return tuple(dict.fromkeys(ends))


def require_same_tensors(model: Model, stock: Model, placements: Sequence[Placed]) -> None:
    """Raise EmbactError unless the tensors at all sites are the stock model's, by index.

    A conversion leaves them where they were.
    """
    for index in observed_tensors(placements):
        ours, theirs = (_tensor(one, index) for one in (model, stock))
        if ours != theirs:
            raise EmbactError(
                f"tensor {index} of the stock model", got=theirs, allowed=ours, where=stock.where
            )


def _tensor(model: Model, index: int) -> str:
    """Return in words what a tensor is."""
    tensors = model.tree.subgraphs[0].tensors
    if not 0 <= index < len(tensors):
        return "none"
    one = tensors[index]
    return f"{text(one.name)} {shape_of(one)} {tensor_grid(one)}"


def site_gaps(
    placements: Sequence[Placed],
    stock: Mapping[int, NDArray[np.int8]],
    ours: Mapping[int, NDArray[np.int8]],
) -> tuple[SiteGap, ...]:
    """Return what differs at each placement.

    stock, ours: by index, what the stock model and the one with kernels had at every site's input
    and output tensor, shapes (inferences, *shape), as many of both. Raises CheckFailed if what ours
    computed at a site is not what its kernel's definition gives for what reached it there.
    """
    for one in placements:
        source, target = ours[one.site.input], ours[one.site.output]
        if found := gap(target, kernel_outputs(one, source).reshape(target.shape)).differing:
            raise CheckFailed(
                f"{one.function} in the model differs from its definition",
                got=f"{found} of {target.size} codes of {one.site.tensor}",
            )
    return tuple(_site_gap(one, stock, ours) for one in placements)


def _site_gap(
    one: Placed, stock: Mapping[int, NDArray[np.int8]], ours: Mapping[int, NDArray[np.int8]]
) -> SiteGap:
    source, target = stock[one.site.input], stock[one.site.output]
    kernel = kernel_outputs(one, source).reshape(target.shape)
    errors: tuple[int | None, int | None] = (None, None)
    match one:
        case Placement():
            computes = one.fit.activation.name
            right = _looked_up(ideal(one.fit.activation, one.site.spec).codes, one, source)
            right = right.reshape(target.shape)
            errors = (gap(target, right).max_codes, gap(kernel, right).max_codes)
        case LayerPlacement():
            computes = layers.about(one.unit).partition(":")[0]
    return SiteGap(
        operators=one.site.operators,
        ops=one.site.ops,
        tensor=one.site.tensor,
        computes=computes,
        function=one.function,
        local=gap(kernel, target),
        in_model=gap(ours[one.site.output], target),
        stock_error_codes=errors[0],
        kernel_error_codes=errors[1],
    )


def kernel_outputs(one: Placed, codes: NDArray[np.int8]) -> Codes:
    """Return what a placement's definition gives for the codes of its input tensor, in order."""
    match one:
        case Placement():
            return _looked_up(one.fit.kernel.outputs, one, codes)
        case LayerPlacement():
            length = rows_of(one.site, one.unit) * layers.inputs_per_output(one.unit)
            return layers.outputs(one, codes.reshape(-1, length).astype(np.int64))


def _looked_up(outputs: Codes, one: Placement, codes: NDArray[np.int8]) -> Codes:
    """Return the outputs, given for all input codes in ascending order, of some."""
    places = codes.astype(np.int32) - one.site.spec.input.code_min
    found: Codes = np.asarray(outputs)[places]
    return found
