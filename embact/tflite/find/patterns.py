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
from embact.grid import QuantSpec
from embact.tflite.find.meaning import fused_name
from embact.tflite.find.regions import arithmetic, meaning_of, regions
from embact.tflite.find.single import SINGLE
from embact.tflite.model import elements_of, text
from embact.tflite.site import Site
from embact.tflite.tflm.safe_text import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from embact.activations import Activation
    from embact.tflite.find.recognise import Recogniser
    from embact.tflite.find.regions import Flow, Leak, Region

ALONE = ("ADD", "MAXIMUM", "PRELU", "SUB")
"""Operators that may be an activation by themselves, besides those that always are."""

PARTS = ("EXP", "exp")
"""The operator and the entry that are parts of other functions more often than activations."""

MOST_ACTIVATIONS = 3
"""In a row, up to which longer regions are tried: RELU MINIMUM RELU is one function."""


MOST_PIECES = 8
"""In a row, tensors of int8 or int16 between them: NEG EXP ADD LOG NEG is one function."""

SIXES = np.array([-6.0, 0.0, 2.0, 6.0])


@dataclass(frozen=True)
class Found:
    """A region that may be an activation.

    term: what it computes. likely: the entry of the catalogue that it seems to be, or None for a
    function of its own. size: its operators without those that only round.
    """

    region: Region
    term: int
    likely: Activation | None
    spec: QuantSpec
    size: int

    @property
    def rank(self) -> tuple[int, bool, int]:
        """What decides between overlapping ones: the larger one stays."""
        return self.size, self.likely is not None, len(self.region.operators)


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
            if one.region.leak is not None:
                if one.likely and one.size > 1:
                    broken.setdefault(last, one)
            elif not set(taken) & set(one.region.operators):
                found.append(one)
    sites = _largest(flow, recogniser, found)
    used = {operator for one in sites for operator in one.operators}
    free = flow.nodes.keys() - used - set(taken)
    sites += [site for operator in sorted(free) if (site := _sixth(flow, recogniser, operator))]
    reasons = {
        last: f"it completes no {one.likely.name}: {_said(flow, one.region.leak)}"
        for last, one in broken.items()
        if last in free and one.region.leak and one.likely
    }
    return Patterns(tuple(sites), reasons)


def _largest(flow: Flow, recogniser: Recogniser, found: list[Found]) -> list[Site]:
    """Return the sites that are left when of overlapping ones the largest stay, the first first."""
    used: set[int] = set()
    chosen = []
    for one in sorted(found, key=lambda one: one.rank, reverse=True):
        if used.intersection(one.region.operators):
            continue
        if known := _activation(recogniser, one):
            used.update(one.region.operators)
            chosen.append(site_of(flow, one.region, known, one.spec))
    return chosen


def _activation(recogniser: Recogniser, one: Found) -> Activation | None:
    """Return the activation that a region is on every input code, or None."""
    if one.likely and recogniser.agrees(one.likely, one.term, one.spec):
        return one.likely
    if one.size < 2:
        return None
    made = recogniser.formula(one.term, one.spec)
    return None if isinstance(made, str) else made


def _endings(
    flow: Flow, recogniser: Recogniser, last: int, named: dict[int, bool]
) -> Iterator[Found]:
    """Yield what ends at an operator, the smaller ones first.

    named: by operator, whether the smallest region that ends there is an activation; added to.
    """
    if flow.results[last] not in flow.grids:
        return
    row, pieces, after, bent = 0, 0, last, False
    for region in regions(flow, last):
        bent = bent or any(operator in flow.bent for operator in region.operators)
        spec = spec_of(flow, region)
        if spec is None:
            continue
        single = len(region.operators) == 1 and flow.graph.ops[last] in SINGLE
        term = meaning_of(flow, region, recogniser.terms) if bent and not single else None
        known = None if term is None else recogniser.likely(term)
        size = arithmetic(flow, region)
        if size == 1 and not _may_be_alone(flow, region):
            known = None
        if last not in named:
            alone = single and flow.graph.ops[last] not in PARTS
            named[last] = alone or (known is not None and known.name not in PARTS)
        row, pieces = row + named.get(after, False), pieces + 1
        after = flow.producer.get(region.entry, -1)
        own = size > 1 and row < 2 and term is not None and recogniser.terms.kinds[term] == "other"
        if term is not None and (known or own):
            yield Found(region, term, known, spec, size)
        if row >= MOST_ACTIVATIONS or pieces >= MOST_PIECES:
            return


def _may_be_alone(flow: Flow, region: Region) -> bool:
    """Return whether a region of one operator that computes may be an activation: ABS is none."""
    ops = {flow.graph.ops[operator] for operator in region.operators}
    return bool(ops.intersection((*ALONE, *SINGLE)))


def spec_of(flow: Flow, region: Region) -> QuantSpec | None:
    """Return the grids of a region's ends, or None if one of them has none.

    None too where their widths differ: int8 after a QUANTIZE of int16 has the smaller tables.
    """
    source, target = (flow.grids.get(tensor) for tensor in (region.entry, region.exit))
    if source is None or target is None or source.bits != target.bits:
        return None
    return QuantSpec(source, target)


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
    for region in regions(flow, last):
        if region.leak or flow.bent.intersection(region.operators):
            return None
        before, spec = flow.producer.get(region.entry, -1), spec_of(flow, region)
        if before < 0 or spec is None:
            continue
        options = flow.graph.tree.operators[before].builtinOptions
        if fused_name(options) == "RELU6" and _is_sixth(flow, recogniser, region):
            what = f"operator {before} ({flow.graph.ops[before]})"
            about = f"hard_sigmoid whose clamp is already in {what}"
            known = parse("clip(x, 0, 6)/6", "relu6_over_6")
            return site_of(flow, region, known, spec, about)
    return None


def _is_sixth(flow: Flow, recogniser: Recogniser, region: Region) -> bool:
    term = meaning_of(flow, region, recogniser.terms)
    if term is None:
        return False
    values = recogniser.terms.evaluate(term, SIXES)
    return bool(np.allclose(values, SIXES / 6, atol=0, rtol=1e-6))
