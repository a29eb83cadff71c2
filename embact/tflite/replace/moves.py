"""Moves: kernels of other activations that would be a gain at a site, and what kernels cost.

A gain is fewer instructions in an inference, or as many and fewer table bytes; the other way round
where the fewest bytes are asked for. This module must not know models or data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embact.cost import Cost, cost
from embact.errors import EmbactError
from embact.fit.search import AUTO, fit
from embact.tflite.replace.named import Replacement, replaced_site, said
from embact.tflite.replace.stand_ins import stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.fit.problem import Problem
    from embact.fit.record import Fit
    from embact.tflite.site import Site


@dataclass(frozen=True)
class Fits:
    """Fits of sites, each problem solved once.

    problem_of: site -> what is asked of its kernel; its activation is the site's. core: whose
    instructions count. Raises EmbactError if a problem names another core.
    """

    problem_of: Callable[[Site], Problem]
    core: str
    family: str = AUTO
    known: dict[Problem, Fit | EmbactError] = field(default_factory=dict)

    def of(self, site: Site) -> Fit:
        """Return the best kernel of a site. Raises EmbactError if none meets its limits."""
        problem = self.problem_of(site)
        if problem.options.core != self.core:
            raise EmbactError("core of a problem", got=problem.options.core, allowed=self.core)
        if problem not in self.known:
            try:
                self.known[problem] = fit(problem, self.family)
            except EmbactError as error:
                self.known[problem] = error
        found = self.known[problem]
        if isinstance(found, EmbactError):
            raise found
        return found

    def by_bytes(self, site: Site) -> bool:
        """Return whether the fewest table bytes are asked for before the fewest instructions."""
        return self.problem_of(site).options.objective == "bytes"


@dataclass(frozen=True)
class Move:
    """A kernel of another activation at a site, which is a gain by itself."""

    replacement: Replacement
    fit: Fit


@dataclass(frozen=True)
class NoMove:
    """A replacement that is none, with the reason.

    instructions, table_bytes: what it would save, < 0 if it costs more; None without a kernel.
    """

    replacement: Replacement
    why: str
    instructions: float | None = None
    table_bytes: int | None = None


@dataclass(frozen=True)
class Weighed:
    """What a kernel costs at its site: instructions for an element with their source, and tables.

    key: kernels of one key share their tables.
    """

    cost: Cost
    elements: int
    table_bytes: int
    key: tuple[str, str]


def weigh(site: Site, one: Fit, core: str) -> Weighed:
    """Return what a kernel costs at a site on a core."""
    kernel = one.kernel
    key = one.activation.name, kernel.digest
    return Weighed(cost(kernel, core), site.elements, kernel.table_bytes, key)


def total(weighed: Sequence[Weighed]) -> tuple[float, int]:
    """Return the instructions of all kernels in an inference, and the bytes of distinct tables.

    Rounded to a hundredth, so that the order of a sum makes no difference.
    """
    spent = sum(one.cost.instructions * one.elements for one in weighed)
    return round(spent, 2), sum({one.key: one.table_bytes for one in weighed}.values())


def moves_at(
    place_: int, site: Site, fits: Fits, say: Callable[[str], None]
) -> tuple[tuple[Move, ...], tuple[NoMove, ...]]:
    """Return the stand-ins that are a gain at a site, in their order, and those that are none."""
    before = fits.of(site)
    moves: list[Move] = []
    others: list[NoMove] = []
    for chosen, why in stand_ins(site.activation):
        one = Replacement(place_, site.activation, chosen, why)
        say(f"fitting {said(site, one)}")
        found = _tried(site, one, before, fits)
        if isinstance(found, Move):
            moves.append(found)
        else:
            others.append(found)
    return tuple(moves), tuple(others)


def _tried(site: Site, one: Replacement, before: Fit, fits: Fits) -> Move | NoMove:
    try:
        after = fits.of(replaced_site(site, one))
    except EmbactError:
        return NoMove(one, "no kernel of it meets the limits")
    old, new = (weigh(site, each, fits.core) for each in (before, after))
    spent = round((old.cost.instructions - new.cost.instructions) * site.elements, 2)
    size = old.table_bytes - new.table_bytes
    first, second = (size, spent) if fits.by_bytes(site) else (spent, size)
    per = f"{old.cost} -> {new.cost} instructions for an element, "
    per += f"{old.table_bytes} -> {new.table_bytes} table bytes"
    if first < 0 or (first == 0 and second <= 0):
        return NoMove(one, f"no gain: {per}", spent, size)
    doubt = sum(each.rms * each.instructions for each in (old.cost, new.cost)) * site.elements
    if 0 < spent <= doubt and size <= 0:
        return NoMove(one, f"no gain beyond the error of a fitted cost: {per}", spent, size)
    return Move(one, after)
