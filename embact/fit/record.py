"""Fit: a kernel together with what it approximates, how it was found and what is proved of it.

Its JSON form is a versioned schema; from the JSON alone the same kernel, digest and header come
back. This module must not know how any family works.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from shlex import quote
from typing import Any

import msgspec
import numpy as np

from embact import __version__
from embact.activations import CATALOGUE, Activation, activation
from embact.certify import Certificate, Histogram, certify, differences
from embact.errors import EmbactError, unknown_name
from embact.expression import DEFAULT_NAME, parse
from embact.fit.line import Segment  # noqa: TC001 - likewise
from embact.fit.problem import Candidate, Limits, Options, Problem
from embact.fit.q_formats import suffix
from embact.fit.runs import line_values
from embact.grid import QuantSpec  # noqa: TC001 - likewise
from embact.ir import check_identifier
from embact.kernel import Kernel, Program, kernel_of

SCHEMA = 2
"""Version of the JSON form; it changes when a reader of the old form would misread the new one."""

SCHEMA_TEXT = f"{SCHEMA} (made by this embact; fit it again)"

GATES = "gates"
"""The family of kernels that share a table with another fit, so that one command fits both."""

HISTOGRAM = "--histogram HISTOGRAM.npz"
"""What a command has in place of the histogram's file, which a fit does not know."""


@dataclass(frozen=True)
class Fit:
    """A candidate with its certificate and the problem that it answers."""

    problem: Problem
    family: str
    candidate: Candidate
    certificate: Certificate

    @property
    def activation(self) -> Activation:
        """What the kernel approximates."""
        return self.problem.activation

    @property
    def spec(self) -> QuantSpec:
        """The grids that it maps between."""
        return self.problem.spec

    @property
    def limits(self) -> Limits:
        """What it was allowed to cost."""
        return self.problem.limits

    @property
    def kernel(self) -> Kernel:
        """The integer definition."""
        return self.candidate.kernel

    @property
    def function_name(self) -> str:
        """The emitted function's default name, CMSIS-NN style: s8, s16 or both when they differ.

        Those of a shared table have their input format before that, as ``embact gates`` says it.
        """
        widths = dict.fromkeys((self.spec.input.bits, self.spec.output.bits))
        called = self.activation.name
        if self.family == GATES:
            called += suffix(self.spec.input.scale)
        return "_".join(("embact", called, *(f"s{bits}" for bits in widths)))

    @property
    def command(self) -> str:
        """The command line that fits this kernel again; a comment where only Python could."""
        source, target = self.spec.input, self.spec.output
        if self.family == GATES:
            words = [f"embact gates --in-scale {source.scale!r}"]
            words.append(f"--max-error {self.limits.max_error}")
            if self.limits.max_bytes is not None:
                words.append(f"--max-bytes {self.limits.max_bytes}")
            return " ".join([*words, "--out include/"])
        words = _fitting(self.activation)
        words += [f"--param {name}={value!r}" for name, value in self.activation.said().items()]
        if source.dtype == target.dtype:
            words.append(f"--dtype {source.dtype}")
        else:
            words.append(f"--in-dtype {source.dtype} --out-dtype {target.dtype}")
        for side, grid in (("in", source), ("out", target)):
            words.append(f"--{side}-scale {grid.scale!r} --{side}-zero-point {grid.zero_point}")
        words.append(f"--family {self.family} --max-error {self.limits.max_error}")
        if self.limits.max_bytes is not None:
            words.append(f"--max-bytes {self.limits.max_bytes}")
        if self.problem.histogram is not None:
            words.append(HISTOGRAM)
        if self.limits.on_support:
            words.append("--max-error-on-support")
        words.append(f"--objective {self.problem.options.objective}")
        words += _flags(self.problem.options)
        return " ".join(words)


def _flags(options: Options) -> list[str]:
    """Return the command line's words for the options that are not the defaults."""
    words = []
    for option in dataclasses.fields(options):
        value, flag = getattr(options, option.name), option.name.replace("_", "-")
        if value is True:
            words.append(f"--{flag}")
        elif value is False and option.default is None:
            words.append(f"--no-{flag}")
        elif value != option.default and option.name != "objective":
            words.append(f"--{flag} {value}")
    return words


def _fitting(act: Activation) -> list[str]:
    """Return the command line's first words for an activation."""
    if act.expression:
        named = [] if act.name == DEFAULT_NAME else [f"--name {act.name}"]
        return ["embact fit", f"--expr {quote(act.expression)}", *named]
    if act.name not in CATALOGUE:
        return [f"# no command fits the Python callable {act.name}:"]
    return ["embact fit", act.name]


@dataclass(frozen=True)
class _Activation:
    """A catalogue entry by name, a user's formula by ``expression``, or a Python callable."""

    name: str
    parameters: dict[str, float]
    expression: str | None


def _stored(act: Activation) -> _Activation:
    return _Activation(act.name, act.settings(), act.expression or None)


def _restored(stored: _Activation, given: Activation | None) -> Activation:
    """Return the activation that a kernel file means: the given one, if that is the one."""
    if given is not None:
        if _stored(given) != stored:
            got, allowed = (msgspec.json.encode(act).decode() for act in (_stored(given), stored))
            raise EmbactError("activation", got=got, allowed=f"the kernel file's, {allowed}")
        return given
    if stored.expression is not None:
        if stored.parameters:
            raise EmbactError("parameters of a formula", got=stored.parameters, allowed="none")
        return parse(stored.expression, stored.name)
    if stored.name not in CATALOGUE:
        unknown = unknown_name("activation", stored.name, CATALOGUE)
        raise EmbactError(
            unknown.what,
            got=unknown.got,
            allowed=f"{unknown.allowed}; a Python callable's kernel needs it: "
            "fit_of_json(text, activation=...)",
        )
    return activation(stored.name, **stored.parameters)


@dataclass(frozen=True)
class _Record:
    """The JSON document, field for field."""

    schema: int
    embact: str
    activation: _Activation
    quantisation: QuantSpec
    limits: Limits
    options: Options
    histogram: Histogram | None
    family: str
    parameters: dict[str, int]
    segments: tuple[Segment, ...]
    table_bytes: int
    digest: str
    certificate: Certificate
    program: Program


def fit_record(fit: Fit) -> dict[str, Any]:
    """Return a fit's JSON document as plain dicts, lists, numbers and strings."""
    record = _Record(
        SCHEMA,
        __version__,
        _stored(fit.activation),
        fit.spec,
        fit.limits,
        fit.problem.options,
        fit.problem.histogram,
        fit.family,
        dict(fit.candidate.parameters),
        fit.candidate.segments,
        fit.kernel.table_bytes,
        fit.kernel.digest,
        fit.certificate,
        fit.kernel.program,
    )
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return plain


def fit_json(fit: Fit) -> str:
    """Return a fit as JSON text, equal for equal fits: fixed order, indented, final newline."""
    return msgspec.json.format(msgspec.json.encode(fit_record(fit)), indent=2).decode() + "\n"


def fit_of_json(text: str | bytes, *, where: str = "", activation: Activation | None = None) -> Fit:
    """Return the fit that a JSON text holds.

    activation: the one that the kernel was fitted to; needed where that is a Python callable.
    No evidence in it is taken on trust: raises EmbactError if the text is not such a document, if
    its kernel is not the one its digest names, or if the certificate, limits, segments or table
    bytes do not follow from that kernel. Family, options and parameters say how the kernel was
    found; beyond their form, and what segments say of them, they are not checked.
    """
    try:
        head = msgspec.json.decode(text, type=dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise EmbactError(
            "not a kernel file", got=error, allowed="JSON of `embact fit`", where=where
        ) from None
    if head.get("schema") != SCHEMA:
        raise EmbactError(
            "version of the kernel file's schema",
            got=head.get("schema"),
            allowed=SCHEMA_TEXT,
            where=where,
        )
    try:
        record = msgspec.convert(head, type=_Record)
        act = _restored(record.activation, activation)
        kernel = kernel_of(record.program)
    except (msgspec.ValidationError, EmbactError) as error:
        raise EmbactError("not a kernel file", got=error, where=where) from None
    if kernel.digest != record.digest:
        raise EmbactError(
            "kernel does not match its digest",
            got=record.digest,
            allowed=kernel.digest,
            where=where,
        )
    candidate = Candidate(kernel, record.parameters, record.segments)
    # what was seen elsewhere is that machine's evidence, not this file's
    certificate = dataclasses.replace(record.certificate, checked_on=("definition",))
    try:
        problem = Problem(act, record.quantisation, record.limits, record.options, record.histogram)
        fit = Fit(problem, record.family, candidate, certificate)
        _check(fit, record)
    except EmbactError as error:
        raise EmbactError("not a kernel file", got=error, where=where) from None
    return fit


def _check(fit: Fit, record: _Record) -> None:
    """Raise EmbactError if anything that a kernel file states does not follow from its kernel."""
    check_identifier(fit.family, "family")
    _check_parameters(record)
    if fit.kernel.table_bytes != record.table_bytes:
        raise EmbactError(
            "table bytes", got=record.table_bytes, allowed=str(fit.kernel.table_bytes)
        )
    earned = certify(fit.activation, fit.spec, fit.kernel, fit.problem.histogram)
    if wrong := differences(fit.certificate, earned):
        raise EmbactError("certificate", got=wrong, allowed="what the kernel earns")
    if not meets(fit):
        raise EmbactError("limits", got=fit.limits, allowed="limits that the kernel meets")
    if fit.candidate.segments:
        codes = fit.spec.input.codes()
        line = line_values(fit.candidate.segments, codes)
        clamped = np.clip(line, earned.output_min, earned.output_max)
        ends = [(s.first, s.last) for s in fit.candidate.segments]
        starts, follows = [codes[0], *(last + 1 for _, last in ends)], [*(f for f, _ in ends)]
        covered = starts == [*follows, codes[-1] + 1]
        if not covered or not np.array_equal(clamped, fit.kernel.outputs):
            raise EmbactError("segments", allowed="the ones that give the kernel's outputs")


def _check_parameters(record: _Record) -> None:
    """Raise EmbactError unless parameters are safe to print, and say of the segments what is so."""
    segments, shifts = record.segments, {segment.shift for segment in record.segments}
    for name, value in record.parameters.items():
        check_identifier(name, "parameter")
        if abs(value) >= 1 << 31:
            raise EmbactError(f"parameter {name}", got=value, allowed="below 2**31 either way")
        if segments and name == "segments" and value != len(segments):
            raise EmbactError("parameter segments", got=value, allowed=str(len(segments)))
        if segments and name == "shift" and {value} != shifts:
            raise EmbactError("parameter shift", got=value, allowed="the segments' own")


def meets(fit: Fit) -> bool:
    """Return whether a fit's error and tables are within its limits."""
    limits, proved = fit.limits, fit.certificate
    small = limits.max_bytes is None or fit.kernel.table_bytes <= limits.max_bytes
    error = proved.max_error_codes_on_support if limits.on_support else proved.max_error_codes
    return small and error <= limits.max_error
