"""Deliberate replacement: another activation at a site than the model has, which changes the model.

    silu=hard_swish,sigmoid=hard_sigmoid,gelu@9=leaky_relu(alpha=0.1),@12=relu

names activations, the one of operator 9 alone, and whatever operator 12 computes. A replaced site
keeps its grids. Every replacement gives a row that says how far the new kernel is from the original
activation. This module must not know models, data or interpreters.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from embact.activations import CATALOGUE, Activation, activation
from embact.catalogue.variants import meanings
from embact.certify import certify
from embact.cost import cost
from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.fit.record import Fit
    from embact.grid import QuantSpec
    from embact.tflite.site import Findings, Site

AUTO: Literal["auto"] = "auto"
FORM = (
    "auto, or OLD=NEW,... where OLD is NAME, NAME@OPERATOR or @OPERATOR, and NEW is NAME or "
    "NAME(PARAMETER=VALUE,...)"
)
OLD = re.compile(r"(?P<name>\w*)(?:@(?P<operator>[0-9]{1,9}))?")
NEW = re.compile(r"(?P<name>\w+)\s*(?:\((?P<settings>[^()]*)\))?")


@dataclass(frozen=True)
class Replacement:
    """A site, by its place in the findings, and what is computed there instead.

    why: one line.
    """

    place: int
    original: Activation
    chosen: Activation
    why: str


@dataclass(frozen=True)
class Replaced:
    """What a replacement changes at its site; all of it is exact, over all input codes.

    operators, tensor, elements: of the site. original, chosen: activations with their parameters.
    max_error_codes, mean_error_lsb: of the new kernel against the ORIGINAL activation: the largest
    distance to its correctly rounded code, and the mean distance to its real value in output codes.
    own_error_codes: of the new kernel against the new activation.
    clipped, original_clipped: input codes whose real result lies beyond the output's codes, by half
    a code or more: the grids are the original's. instructions, original_instructions: for an
    element on the core. table_bytes, original_table_bytes: of the kernels. note: what a user should
    know of all this, in one line.
    """

    operators: tuple[int, ...]
    tensor: str
    elements: int
    original: str
    chosen: str
    why: str
    core: str
    max_error_codes: int
    mean_error_lsb: float
    own_error_codes: int
    clipped: int
    original_clipped: int
    instructions: float
    original_instructions: float
    table_bytes: int
    original_table_bytes: int
    note: str


def parse_replacements(text: str) -> dict[str, Activation] | Literal["auto"]:
    """Return what to replace by what, as the module's first lines show it, or "auto".

    Keys are as they were written, without spaces. Raises EmbactError for any other text, a name
    that the catalogue lacks, a parameter that is out of its range, and a key given twice.
    """
    if text.strip() == AUTO:
        return AUTO
    mapping: dict[str, Activation] = {}
    for part in re.split(r",(?![^()]*\))", text):
        old, equals, new = (word.strip() for word in part.partition("="))
        parts = OLD.fullmatch(old)
        if not (equals and parts and old):
            raise EmbactError("--replace", got=repr(part.strip()), allowed=FORM)
        name = parts["name"]
        if name and not _meant_by(name):
            activation(name)  # says what it does not know
        if old in mapping:
            raise EmbactError("--replace", got=f"{old} twice", allowed="each once")
        mapping[old] = _read_activation(new)
    return mapping


def _read_activation(text: str) -> Activation:
    """Return the activation that ``name`` or ``name(parameter=value, ...)`` means."""
    parts = NEW.fullmatch(text)
    if parts is None:
        raise EmbactError("--replace", got=repr(text), allowed=FORM)
    settings: dict[str, float] = {}
    for one in (parts["settings"] or "").split(",") if (parts["settings"] or "").strip() else ():
        key, _, value = (word.strip() for word in one.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = None
        if number is None or not key or key in settings:
            allowed = "PARAMETER=VALUE, each once"
            raise EmbactError(f"--replace, {parts['name']}", got=repr(one.strip()), allowed=allowed)
        settings[key] = number
    return activation(parts["name"], **settings)


def _meant_by(name: str) -> set[str]:
    """Return the entries of the catalogue that go by a name, somewhere."""
    return {one.entry for one in meanings(name)} | ({name} & CATALOGUE.keys())


def replaced(
    findings: Findings, mapping: Mapping[str, Activation]
) -> tuple[Findings, tuple[Replacement, ...]]:
    """Return the findings with other activations at sites, and each of these replacements.

    The most particular key counts: @OPERATOR and NAME@OPERATOR, then NAME. A name is that of a
    site's activation; if no site has that, of one that goes by this name elsewhere, as ``gelu`` for
    gelu_tanh. Raises EmbactError if a key is about no site, with the activations that there are, if
    two keys as particular as each other are about one site, and for a replacement by itself.
    """
    found: dict[int, Replacement] = {}
    for particular in (False, True):
        at_once: dict[int, Replacement] = {}
        for key, chosen in mapping.items():
            if ("@" in key) is not particular:
                continue
            places = _places(key, findings)
            if not places:
                raise _about_nothing(key, findings)
            for place in places:
                original = findings.sites[place].activation
                if place in at_once:
                    where = findings.sites[place].tensor
                    raise EmbactError("two replacements of one site", got=key, where=where)
                if (chosen.name, chosen.values) == (original.name, original.values):
                    got = f"{described(original)} by itself"
                    raise EmbactError("replacement", got=got, allowed="another activation")
                why = f"asked for: {key}={described(chosen)}"
                at_once[place] = Replacement(place, original, chosen, why)
        found.update(at_once)
    made = tuple(found[place] for place in sorted(found))
    return with_replacements(findings, made), made


def _places(key: str, findings: Findings) -> list[int]:
    """Return the places of the sites that a key is about, in the findings."""
    name, _, operator = key.partition("@")
    there = {site.activation.name for site in findings.sites}
    names = {name} if name in there else _meant_by(name)
    return [
        place
        for place, site in enumerate(findings.sites)
        if (not name or site.activation.name in names)
        and (not operator or int(operator) in site.operators)
    ]


def _about_nothing(key: str, findings: Findings) -> EmbactError:
    sites = ", ".join(
        f"{described(site.activation)} (operator {', '.join(map(str, site.operators))})"
        for site in findings.sites
    )
    return EmbactError(
        "replacement of an activation that no site has", got=key, allowed=sites or "none: no site"
    )


def with_replacements(findings: Findings, replacements: Sequence[Replacement]) -> Findings:
    """Return the findings with the chosen activations at their sites, which say so."""
    sites = list(findings.sites)
    for one in replacements:
        sites[one.place] = replaced_site(sites[one.place], one)
    return dataclasses.replace(findings, sites=tuple(sites))


def replaced_site(site: Site, replacement: Replacement) -> Site:
    """Return a site that computes the chosen activation, and says in place of what."""
    said = f"{described(replacement.chosen)} in place of {described(replacement.original)}"
    about = f"{site.about}; {said}" if site.about else said
    return dataclasses.replace(site, activation=replacement.chosen, about=about)


def described(one: Activation) -> str:
    """Return an activation's name with its parameters, or with the formula that it was read from.

    >>> described(activation("leaky_relu", alpha=0.1))
    'leaky_relu(alpha=0.1)'
    """
    if one.expression:
        return f"{one.name}: {one.expression}"
    settings = ", ".join(f"{name}={value:g}" for name, value in one.said().items())
    return f"{one.name}({settings})" if settings else one.name


def said(site: Site, one: Replacement) -> str:
    """Return a replacement in words, as "silu -> hard_swish at 1, 2", the operators' indices."""
    where = ", ".join(map(str, site.operators))
    return f"{described(one.original)} -> {described(one.chosen)} at {where}"


def replaced_row(site: Site, why: str, before: Fit, after: Fit, core: str) -> Replaced:
    """Return what the kernel ``after`` changes where the kernel ``before`` would have been.

    site: where. Raises EmbactError for an unknown core, and for a fit of other grids.
    """
    for one in (before, after):
        if one.spec != site.spec:
            raise EmbactError("a fit for another quantisation", got=one.spec, where=site.tensor)
    against = certify(before.activation, site.spec, after.kernel)
    spent = tuple(cost(one.kernel, core).instructions for one in (before, after))
    size = tuple(one.kernel.table_bytes for one in (before, after))
    lost = tuple(clipped(one.activation, site.spec) for one in (before, after))
    return Replaced(
        operators=site.operators,
        tensor=site.tensor,
        elements=site.elements,
        original=described(before.activation),
        chosen=described(after.activation),
        why=why,
        core=core,
        max_error_codes=against.max_error_codes,
        mean_error_lsb=against.mean_error_lsb,
        own_error_codes=after.certificate.max_error_codes,
        clipped=lost[1],
        original_clipped=lost[0],
        instructions=spent[1],
        original_instructions=spent[0],
        table_bytes=size[1],
        original_table_bytes=size[0],
        note=_note((spent, size, lost), core),
    )


def _note(pairs: tuple[tuple[float, ...], ...], core: str) -> str:
    """Return in one line what is saved and what saturates; pairs: numbers before and after."""
    spent, size, lost = pairs
    per = f"{spent[0]:g} -> {spent[1]:g} instructions for an element on {core}, "
    per += f"{size[0]} -> {size[1]} table bytes"
    no_gain = spent[1] >= spent[0] and size[1] >= size[0]
    words = f"no gain: {per}" if no_gain else per
    if lost[1] > lost[0]:
        words += f"; {lost[1]} input codes saturate, {lost[0]} did"
    return words


def clipped(one: Activation, spec: QuantSpec) -> int:
    """Return how many input codes have a real result half an output code or more out of range."""
    grid = spec.output
    with np.errstate(over="ignore"):
        codes = one(spec.input.real(spec.input.codes())) / grid.scale + grid.zero_point
    return int(np.count_nonzero((codes <= grid.code_min - 0.5) | (codes >= grid.code_max + 0.5)))
