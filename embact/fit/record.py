"""Fit: a kernel together with what it approximates, how it was found and what is proved of it.

Its JSON form is a versioned schema; from the JSON alone the same kernel, digest and header come
back. This module must not know how any family works.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact import __version__
from embact.activations import Activation, activation
from embact.certify import Certificate, certify, differences
from embact.errors import EmbactError
from embact.fit.line import Segment, line_values
from embact.grid import QuantSpec  # noqa: TC001 - likewise
from embact.ir import check_identifier
from embact.kernel import Kernel, Program, kernel_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
"""Version of the JSON form; it changes when a reader of the old form would misread the new one."""

SCHEMA_TEXT = f"{SCHEMA} (made by this embact; fit it again)"


@dataclass(frozen=True)
class Limits:
    """What a kernel may cost.

    max_error: largest allowed ``max_error_codes``.
    max_bytes: largest allowed table bytes, or None.
    slope_bits: width of the slopes of piecewise linear kernels: 8 or 16.
    Raises EmbactError for values outside these.
    """

    max_error: int = 1
    max_bytes: int | None = None
    slope_bits: int = 16

    def __post_init__(self) -> None:
        if not 0 <= self.max_error <= 1 << 16:
            raise EmbactError("error budget in codes", got=self.max_error, allowed="0..65536")
        if self.max_bytes is not None and self.max_bytes < 0:
            raise EmbactError("table budget in bytes", got=self.max_bytes, allowed=">= 0")
        if self.slope_bits not in (8, 16):
            raise EmbactError("slope bits", got=self.slope_bits, allowed="8, 16")


@dataclass(frozen=True)
class Candidate:
    """A kernel that a family built.

    parameters: what the family chose, integers by name. segments: the lines, where it has any.
    """

    kernel: Kernel
    parameters: Mapping[str, int] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Fit:
    """A candidate with its certificate and the limits that it was chosen under."""

    activation: Activation
    spec: QuantSpec
    limits: Limits
    family: str
    candidate: Candidate
    certificate: Certificate

    @property
    def kernel(self) -> Kernel:
        """The integer definition."""
        return self.candidate.kernel

    @property
    def function_name(self) -> str:
        """The emitted function's default name, CMSIS-NN style: s8, s16 or both when they differ."""
        widths = dict.fromkeys((self.spec.input.bits, self.spec.output.bits))
        return "_".join(("embact", self.activation.name, *(f"s{bits}" for bits in widths)))

    @property
    def command(self) -> str:
        """The command line that fits this kernel again."""
        source, target = self.spec.input, self.spec.output
        words = ["embact fit", self.activation.name]
        words += [f"--param {name}={value!r}" for name, value in self.activation.settings().items()]
        if source.dtype == target.dtype:
            words.append(f"--dtype {source.dtype}")
        else:
            words.append(f"--in-dtype {source.dtype} --out-dtype {target.dtype}")
        for side, grid in (("in", source), ("out", target)):
            words.append(f"--{side}-scale {grid.scale!r} --{side}-zero-point {grid.zero_point}")
        words.append(f"--family {self.family} --max-error {self.limits.max_error}")
        if "slope_bits" in self.candidate.parameters:
            words.append(f"--slope-bits {self.limits.slope_bits}")
        return " ".join(words)


@dataclass(frozen=True)
class _Activation:
    name: str
    parameters: dict[str, float]


@dataclass(frozen=True)
class _Record:
    """The JSON document, field for field."""

    schema: int
    embact: str
    activation: _Activation
    quantisation: QuantSpec
    limits: Limits
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
        _Activation(fit.activation.name, fit.activation.settings()),
        fit.spec,
        fit.limits,
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


def fit_of_json(text: str | bytes, *, where: str = "") -> Fit:
    """Return the fit that a JSON text holds.

    Nothing in it is taken on trust. Raises EmbactError if the text is not such a document, if its
    kernel is not the one its digest names, or if the certificate, limits, segments or table bytes
    do not follow from that kernel.
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
        act = activation(record.activation.name, **record.activation.parameters)
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
    spec = record.quantisation
    candidate = Candidate(kernel, record.parameters, record.segments)
    # what was seen elsewhere is that machine's evidence, not this file's
    certificate = dataclasses.replace(record.certificate, checked_on=("definition",))
    fit = Fit(act, spec, record.limits, record.family, candidate, certificate)
    try:
        _check(fit, record)
    except EmbactError as error:
        raise EmbactError("not a kernel file", got=error, where=where) from None
    return fit


def _check(fit: Fit, record: _Record) -> None:
    """Raise EmbactError if anything that a kernel file states does not follow from its kernel."""
    check_identifier(fit.family, "family")
    if fit.kernel.table_bytes != record.table_bytes:
        raise EmbactError(
            "table bytes", got=record.table_bytes, allowed=str(fit.kernel.table_bytes)
        )
    earned = certify(fit.activation, fit.spec, fit.kernel)
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


def meets(fit: Fit) -> bool:
    """Return whether a fit's error and tables are within its limits."""
    most = fit.limits.max_bytes
    small = most is None or fit.kernel.table_bytes <= most
    return small and fit.certificate.max_error_codes <= fit.limits.max_error
