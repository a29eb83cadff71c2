"""Certificate: exhaustive evidence about (activation, quantisation, kernel).

Every input code is evaluated, so a number here is exact over the domain, not an estimate. Where the
correctly rounded code cannot be told in float64, the activation's high-precision oracle decides.

This module must not know how a kernel was found or how it is emitted.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import CheckFailed, EmbactError
from embact.grid import round_half_away

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.grid import Codes, QuantSpec, Reals
    from embact.kernel import Kernel

DOUBT_CODES = 1e-6
"""Distance to a rounding boundary below which the oracle decides. The float64 functions are good to
1e-12 of their value, so to 6.6e-8 codes at most; the tests hold them to that."""

ORACLE_DIGITS = 60

TIE_CODES = 1e-40
"""What is closer to a rounding boundary is on it, or on a tail that approaches it for ever. Scales
are float32 and codes 16 bits: a ratio of them that is not on a boundary is 1e-20 away or more."""

LSB_DIGITS = 9
"""Decimals of an error in lsb: float64 knows no more of an int16 output."""

EQUAL_LSB = 2.5 * 10**-LSB_DIGITS
"""Errors closer than this are equal: two roundings of one number on two machines."""


@dataclass(frozen=True)
class Ideal:
    """What a perfect kernel would do, for each input code in ascending order.

    lsb: activation(x)/out.scale + out.zero_point in float64, limited to the output's code range.
    codes: the correctly rounded codes, ties away from real 0.
    oracle_points: how many inputs the oracle decided.
    """

    lsb: Reals
    codes: Codes
    oracle_points: int


@lru_cache(maxsize=64)
def ideal(activation: Activation, spec: QuantSpec) -> Ideal:
    """Return the activation on a quantisation's whole input domain, in output codes."""
    codes = spec.input.codes()
    steps = activation(spec.input.real(codes)) / spec.output.scale
    limit = float(4 << spec.output.bits)
    steps = np.clip(steps, -limit, limit)
    rounded = spec.output.clamp(round_half_away(steps) + spec.output.zero_point)
    lsb = spec.output.clamp(steps + spec.output.zero_point)
    doubt = np.abs(np.abs(steps - np.floor(steps)) - 0.5) < DOUBT_CODES
    doubt &= (lsb > spec.output.code_min) & (lsb < spec.output.code_max)
    for position in np.flatnonzero(doubt):
        rounded[position] = _oracle_code(activation, spec, int(codes[position]))
    for array in (lsb, rounded):
        array.flags.writeable = False
    return Ideal(lsb, rounded, int(np.count_nonzero(doubt)))


def _oracle_code(activation: Activation, spec: QuantSpec, code: int) -> int:
    """Return the correctly rounded output code of one input, by the oracle."""
    import mpmath

    with mpmath.workdps(ORACLE_DIGITS):
        real = mpmath.mpf(spec.input.scale) * (code - spec.input.zero_point)
        steps = activation.exact(real) / mpmath.mpf(spec.output.scale)
        nearest = mpmath.nint(abs(steps) - mpmath.mpf(0.5))  # the tie nearest to it is + 1/2
        beyond = abs(steps) - nearest - mpmath.mpf(0.5)
        if abs(beyond) > TIE_CODES:
            up = beyond > 0
        else:
            side = _side_of_tail(activation, real, steps, spec.output.scale)
            up = side == 0 or (side > 0) == (steps > 0)  # an exact tie goes away from zero
        whole = int(nearest) + up
    return int(spec.output.clamp((whole if steps >= 0 else -whole) + spec.output.zero_point))


def _side_of_tail(activation: Activation, real: Any, steps: Any, scale: float) -> int:
    """Return on which side of its asymptote a result lies that 60 digits cannot tell from a tie.

    A result that close to a tie is one, or lies on a tail whose asymptote is one: 0 means a tie.
    """
    slope, intercept, side = activation.limits()[int(real > 0)]
    line = (slope * real + intercept) / scale
    return side if abs(steps - line) < TIE_CODES else 0


@dataclass(frozen=True)
class Certificate:
    """Exhaustive error of one kernel against one activation on one quantisation.

    kernel_digest: which kernel. points: how many inputs were evaluated: all of them.
    checked_on: where its outputs were seen, "definition" first, then e.g. "host-c".
    max_error_codes: largest distance to the correctly rounded code.
    max_error_lsb: largest |kernel(q) - ideal(q)| in output codes; 0.5 is a perfect kernel's limit.
    mean_error_lsb: the mean of the same over all inputs.
    not_correctly_rounded: inputs whose code is not the correctly rounded one.
    worst_input: the first input code with the largest error in lsb, to EQUAL_LSB.
    monotone: whether the outputs never fall, or never rise, with the input.
    mse: mean squared error in real units squared.
    output_min, output_max: range of the kernel's output codes.
    oracle_points: inputs whose rounding the high-precision oracle decided.
    """

    kernel_digest: str
    points: int
    checked_on: tuple[str, ...]
    max_error_codes: int
    max_error_lsb: float
    mean_error_lsb: float
    not_correctly_rounded: int
    worst_input: int
    monotone: bool
    mse: float
    output_min: int
    output_max: int
    oracle_points: int


def certify(activation: Activation, spec: QuantSpec, kernel: Kernel) -> Certificate:
    """Return the exhaustive error of a kernel's definition.

    Raises EmbactError if the kernel's widths are not those of the quantisation.
    """
    if (kernel.input_bits, kernel.output_bits) != (spec.input.bits, spec.output.bits):
        raise EmbactError(
            "kernel and quantisation differ in width",
            got=f"int{kernel.input_bits} -> int{kernel.output_bits}",
            allowed=f"{spec.input.dtype} -> {spec.output.dtype}",
        )
    truth = ideal(activation, spec)
    outputs = kernel.outputs
    codes_off = np.abs(outputs - truth.codes)
    # rounded, so that another machine's last bit of exp() does not make another certificate
    lsb_off = np.round(np.abs(outputs - truth.lsb), LSB_DIGITS)
    steps = np.diff(outputs)
    return Certificate(
        kernel_digest=kernel.digest,
        points=outputs.size,
        checked_on=("definition",),
        max_error_codes=int(codes_off.max()),
        max_error_lsb=float(lsb_off.max()),
        mean_error_lsb=float(lsb_off.mean()),
        not_correctly_rounded=int(np.count_nonzero(codes_off)),
        worst_input=int(spec.input.codes()[np.argmax(lsb_off >= lsb_off.max() - EQUAL_LSB)]),
        monotone=bool(np.all(steps >= 0) or np.all(steps <= 0)),
        mse=float(np.mean((lsb_off * spec.output.scale) ** 2)),
        output_min=int(outputs.min()),
        output_max=int(outputs.max()),
        oracle_points=truth.oracle_points,
    )


def differences(one: Certificate, other: Certificate) -> str:
    """Return in words where two certificates state different evidence; empty if they agree.

    Integers are compared exactly. The three real-valued fields may differ in the last digit, since
    two machines' float64 functions may.
    """
    first, second = dataclasses.asdict(one), dataclasses.asdict(other)

    def same(name: str) -> bool:
        a, b = first[name], second[name]
        if isinstance(a, float):
            return math.isclose(a, b, rel_tol=1e-6, abs_tol=EQUAL_LSB * (name != "mse"))
        return bool(a == b)

    return ", ".join(
        f"{name} {first[name]}, not {second[name]}" for name in first if not same(name)
    )


def stated(error_lsb: float) -> str:
    """Return an error to four decimals, rounded up, so that "at most" stays true.

    >>> stated(1.46641), stated(0.5)
    ('1.4665', '0.5000')
    """
    return f"{math.ceil(round(error_lsb * 1e4, 5)) / 1e4:.4f}"


def also_checked(certificate: Certificate, kernel: Kernel, outputs: Any, place: str) -> Certificate:
    """Return the certificate with a further place, after comparing every output seen there.

    outputs: the codes that the place computed for all inputs in ascending order.
    Raises CheckFailed naming the first input that differs; evidence is never assumed.
    """
    difference = first_difference(kernel, outputs)
    if difference is not None:
        raise CheckFailed(f"the kernel on {place} differs from its definition", got=difference)
    if kernel.digest != certificate.kernel_digest:
        raise EmbactError(
            "certificate of another kernel", got=certificate.kernel_digest, allowed=kernel.digest
        )
    places = tuple(dict.fromkeys((*certificate.checked_on, place)))
    return dataclasses.replace(certificate, checked_on=places)


def first_difference(kernel: Kernel, outputs: Any) -> str | None:
    """Return where outputs for all inputs first differ from the definition, in words, or None."""
    seen = np.asarray(outputs, dtype=np.int64)
    if seen.shape != kernel.outputs.shape:
        return f"{seen.size} outputs for {kernel.outputs.size} inputs"
    wrong = np.flatnonzero(seen != kernel.outputs)
    if not wrong.size:
        return None
    first = int(wrong[0])
    code = first - (1 << (kernel.input_bits - 1))
    return (
        f"input {code} gives {seen[first]}, not {kernel.outputs[first]} "
        f"({wrong.size} of {seen.size} inputs differ)"
    )
