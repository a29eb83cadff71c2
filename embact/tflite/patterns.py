"""Which regions of a graph are replaced as one activation: the largest ones that do not overlap.

A region counts if it is an activation of the catalogue, or a function of its own of at least two
operators that is not linear. Two activations in a row stay two sites. This module must not know
layers, or why single operators are no sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.expression import parse
from embact.grid import Grid, QuantSpec
from embact.tflite.meaning import fused_name
from embact.tflite.model import elements_of, tensor_grid, text
from embact.tflite.regions import arithmetic, meaning_of, regions
from embact.tflite.safe_text import plain
from embact.tflite.single import SINGLE
from embact.tflite.site import Site

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from embact.activations import Activation
    from embact.tflite.recognise import Recogniser
    from embact.tflite.regions import Flow, Leak, Region

ALONE = ("ADD", "MAXIMUM", "PRELU", "SUB")
"""Operators that may be an activation by themselves, besides those that always are."""

PARTS = ("exp",)
"""Entries of the catalogue that are parts of other functions more often than activations."""

MOST_ACTIVATIONS = 3
"""In a row, up to which longer regions are tried: RELU MINIMUM RELU is one function."""


SIXES = np.array([-6.0, 0.0, 2.0, 6.0])


@dataclass(frozen=True)
class Found:
    """A region that is an activation.

    named: whether of the catalogue. size: its operators without those that only round.
    """

    region: Region
    activation: Activation
    spec: QuantSpec
    size: int
    named: bool

    @property
    def rank(self) -> tuple[int, bool, int]:
        """What decides between overlapping ones: the larger one stays."""
        return self.size, self.named, len(self.region.operators)


@dataclass(frozen=True)
class Patterns:
    """The sites of more than one plain operator, and by last operator why others are none."""

    sites: tuple[Site, ...]
    reasons: dict[int, str]


def patterns(flow: Flow, recogniser: Recogniser, taken: Collection[int]) -> Patterns:
    """Return the patterns of a graph, in which no operator that is taken has a part.

    Operators that are sites by themselves are left to the caller, unless others join them.
    """
    found: list[Found] = []
    broken: dict[int, Found] = {}
    named: dict[int, bool] = {}
    for last in sorted(flow.nodes.keys() - set(taken)):
        for one in _endings(flow, recogniser, last, named):
            if set(taken) & set(one.region.operators):
                continue
            if one.region.leak is None:
                found.append(one)
            elif one.named and one.size > 1:
                broken.setdefault(last, one)
    chosen = _largest(found)
    used = {operator for one in chosen for operator in one.region.operators}
    sites = [site_of(flow, one.region, one.activation, one.spec) for one in chosen]
    free = set(flow.nodes) - used - set(taken)
    sites += [site for operator in sorted(free) if (site := _sixth(flow, recogniser, operator))]
    reasons = {
        last: f"it completes no {one.activation.name}: {_said(flow, one.region.leak)}"
        for last, one in broken.items()
        if last not in used and one.region.leak
    }
    return Patterns(tuple(sites), reasons)


def _largest(found: list[Found]) -> list[Found]:
    """Return the ones that are left when of overlapping ones the largest stay, the first first."""
    used: set[int] = set()
    chosen = []
    for one in sorted(found, key=lambda one: one.rank, reverse=True):
        if not used.intersection(one.region.operators):
            used.update(one.region.operators)
            chosen.append(one)
    return chosen


def _endings(
    flow: Flow, recogniser: Recogniser, last: int, named: dict[int, bool]
) -> Iterator[Found]:
    """Yield what ends at an operator, the smaller ones first.

    named: by operator, whether the smallest region that ends there is an activation; added to.
    """
    row, after = 0, last
    for region in regions(flow, last):
        spec = spec_of(flow, region)
        term = None if spec is None else meaning_of(flow, region, recogniser.terms)
        known = None if term is None or spec is None else recogniser.catalogue(term, spec)
        size = arithmetic(flow, region)
        if size == 1 and known and not _may_be_alone(flow, region):
            known = None
        if last not in named:
            named[last] = known is not None and known.name not in PARTS
        row += named.get(after, False)
        after = flow.producer.get(region.entry, -1)
        plain_operator = len(region.operators) == 1 and flow.graph.ops[last] in SINGLE
        if term is None or spec is None or plain_operator:
            continue
        if known is not None:
            yield Found(region, known, spec, size, named=True)
        elif size > 1 and row < 2 and recogniser.terms.kinds[term] == "other":
            made = recogniser.formula(term, spec)
            if not isinstance(made, str):
                yield Found(region, made, spec, size, named=False)
        if row >= MOST_ACTIVATIONS:
            return


def _may_be_alone(flow: Flow, region: Region) -> bool:
    """Return whether a region of one operator that computes may be an activation: ABS is none."""
    ops = {flow.graph.ops[operator] for operator in region.operators}
    return bool(ops.intersection((*ALONE, *SINGLE)))


def spec_of(flow: Flow, region: Region) -> QuantSpec | None:
    """Return the grids of a region's ends, or None if one of them has none."""
    tensors = flow.graph.tree.tensors
    match tensor_grid(tensors[region.entry]), tensor_grid(tensors[region.exit]):
        case Grid() as source, Grid() as target:
            return QuantSpec(source, target)
    return None


def site_of(
    flow: Flow, region: Region, known: Activation, spec: QuantSpec, about: str = ""
) -> Site:
    """Return a region as a site."""
    target = flow.graph.tree.tensors[region.exit]
    return Site(
        subgraph=flow.graph.number,
        operators=region.operators,
        input=region.entry,
        output=region.exit,
        ops=tuple(flow.graph.ops[operator] for operator in region.operators),
        tensor=text(target.name),
        activation=known,
        spec=spec,
        elements=elements_of(target),
        about=about or (known.formula if known.expression else ""),
    )


def _said(flow: Flow, leak: Leak | None) -> str:
    """Return which tensor between the operators is used by what else."""
    if leak is None:
        return ""
    name = plain(text(flow.graph.tree.tensors[leak.tensor].name))
    what = f"tensor {leak.tensor} ({name}), between its operators,"
    if leak.reader is None:
        return f"{what} is an output of the model"
    return f"{what} is also read by operator {leak.reader} ({flow.graph.ops[leak.reader]})"


def _sixth(flow: Flow, recogniser: Recogniser, last: int) -> Site | None:
    """Return x/6 of a tensor that a fused RELU6 limits as a site: the rest of a hard-sigmoid.

    The converter puts the + 3 into the bias of the operator before it, so that its clamp is there.
    """
    largest = None
    for region in regions(flow, last):
        before = flow.producer.get(region.entry, -1)
        spec, term = spec_of(flow, region), meaning_of(flow, region, recogniser.terms)
        if before < 0 or region.leak or spec is None or term is None:
            continue
        options = flow.graph.tree.operators[before].builtinOptions
        sixth = recogniser.terms.evaluate(term, SIXES)
        if fused_name(options) != "RELU6" or not np.allclose(sixth, SIXES / 6, atol=0, rtol=1e-6):
            continue
        about = (
            f"hard_sigmoid whose clamp is already in operator {before} ({flow.graph.ops[before]})"
        )
        largest = site_of(flow, region, parse("clip(x, 0, 6)/6", "relu6_over_6"), spec, about)
    return largest
