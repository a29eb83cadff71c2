"""Placements: which kernel computes which site, under which function name.

This module must not know how kernels are run, written or stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.fit.problem import Options, Problem
from embact.fit.search import AUTO, fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.fit.problem import Limits
    from embact.fit.record import Fit
    from embact.tflite.site import Site


@dataclass(frozen=True)
class Placement:
    """A site with its fit and the name of the emitted function that computes it.

    The fit is certified for this site's grids. Placements with one function name have one kernel.
    """

    site: Site
    fit: Fit
    function: str


def place(sites: Sequence[Site], fits: Sequence[Fit]) -> tuple[Placement, ...]:
    """Return the placements of fits at sites, one fit for each site, in their order.

    Equal kernels of one activation share a function. Different kernels get different names, in the
    order of the sites: ``embact_silu_s8``, ``embact_silu_2_s8``. A fit may be of another activation
    than its site, as a deliberate replacement. Raises EmbactError if the numbers differ, or if a
    fit is for another quantisation than its site.
    """
    if len(sites) != len(fits):
        raise EmbactError(
            "fits for sites", got=len(fits), allowed=f"{len(sites)}, one for each site"
        )
    names: dict[tuple[str, str], str] = {}
    taken: dict[str, int] = {}
    placements = []
    for site, one in zip(sites, fits, strict=True):
        if one.spec != site.spec:
            raise EmbactError(
                "a fit for another quantisation",
                got=one.spec,
                allowed=str(site.spec),
                where=site.tensor,
            )
        key = one.activation.name, one.kernel.digest
        if key not in names:
            base = one.function_name
            taken[base] = taken.get(base, 0) + 1
            names[key] = _numbered(one, taken[base])
        placements.append(Placement(site, one, names[key]))
    return tuple(placements)


def _numbered(fit: Fit, number: int) -> str:
    """Return the fit's function name with a number after the activation, from the second on."""
    stem = f"embact_{fit.activation.name}"
    widths = fit.function_name.removeprefix(stem)
    return fit.function_name if number == 1 else f"{stem}_{number}{widths}"


def kernels_of(placements: Sequence[Placement]) -> dict[str, Fit]:
    """Return the distinct kernels by function name, each with the fit of its first site."""
    kernels: dict[str, Fit] = {}
    for one in placements:
        kernels.setdefault(one.function, one.fit)
    return kernels


def fit_sites(
    sites: Sequence[Site], limits: Limits, family: str = AUTO, options: Options | None = None
) -> tuple[Placement, ...]:
    """Return the placements of the cheapest kernel within the limits at each site.

    Raises EmbactError if a site has no such kernel.
    """
    asked = [Problem(one.activation, one.spec, limits, options or Options()) for one in sites]
    return fit_problems(sites, asked, family)


def fit_problems(
    sites: Sequence[Site], problems: Sequence[Problem], family: str = AUTO
) -> tuple[Placement, ...]:
    """Return the placements of the best kernel at each site: of the problem of its number.

    Equal problems are solved once. Raises EmbactError if a site has no such kernel.
    """
    found: dict[Problem, Fit] = {}
    for problem in problems:
        if problem not in found:
            found[problem] = fit(problem, family)
    return place(sites, [found[problem] for problem in problems])
