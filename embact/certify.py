"""Certificate: exhaustive evidence about (activation, quantisation, kernel).

Every input code is evaluated, so a number here is exact over the domain, not an estimate. Where the
correctly rounded code cannot be told in float64, the activation's high-precision oracle decides.

This module must not know how a kernel was found or how it is emitted.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.activations import Truth  # noqa: TC001 - msgspec reads the annotations at run time
from embact.errors import CheckFailed, EmbactError
from embact.grid import round_half_away

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.activations import Activation
    from embact.grid import Codes, QuantSpec, Reals
    from embact.kernel import Kernel

DOUBT_CODES = 1e-6
"""Distance to a rounding boundary below which the oracle decides. The float64 functions are good to
1e-12 of their value, so to 6.6e-8 codes at most; the tests hold them to that."""

FLOAT_CODES = 1e-7
"""The float64 results of a formula count if they are proved to be that close, in output codes."""

ORACLE_DIGITS = (60, 200, 800)
"""The oracle's working precisions: the next one is for what the last cannot tell from a tie."""

GUARD_DIGITS = 20
"""With d digits a result within 10**(GUARD_DIGITS - d) codes of a rounding boundary is not told
from a tie: it is one, or lies on a tail that approaches it for ever, or takes more digits. With 800
it is taken to be one. Scales are float32 and codes 16 bits: a ratio of them that is not on a
boundary is 1e-20 away or more, and a polynomial of degree n in them about 1e-20 n."""

DIGITS = 9
"""Significant digits of what a certificate states; decimals of an error in lsb above 1. Machines
share these."""

NOISE = 2.0**-45
"""A distance to the truth that is at most this part of the truth is 0: the last bits of a float64
function, which machines do not share; 1e-9 codes at the end of an int16 output."""

EQUAL_LSB = 2.5 * 10**-DIGITS
"""Errors closer than this are equal: two roundings of one number on two machines."""


@dataclass(frozen=True)
class Ideal:
    """What a perfect kernel would do, for each input code in ascending order.

    lsb: activation(x)/out.scale + out.zero_point in float64, limited to the output's code range.
    steps: lsb - out.zero_point, which keeps the digits of a result that is next to 0.
    codes: the correctly rounded codes, ties away from real 0.
    oracle_points: how many inputs the oracle decided: those near a rounding boundary, and those
    where float64 is not known to be good enough (``uncertain``), or none where there is no oracle.
    """

    lsb: Reals
    steps: Reals
    codes: Codes
    oracle_points: int


@lru_cache(maxsize=64)
def ideal(activation: Activation, spec: QuantSpec) -> Ideal:
    """Return the activation on a quantisation's whole input domain, in output codes.

    Infinities saturate. Raises EmbactError naming the first input at which a user's function has no
    real value or raises an exception.
    """
    codes = spec.input.codes()
    limit = _limit(spec)
    asked = uncertain(activation, spec)
    steps = np.zeros(codes.shape)
    if not asked.all():
        steps = np.clip(_float_steps(activation, spec), -limit, limit)
    steps[asked] = _oracle_steps(activation, spec, codes[asked], limit)
    rounded = spec.output.clamp(round_half_away(steps) + spec.output.zero_point)
    lsb = spec.output.clamp(steps + spec.output.zero_point)
    low, high = (
        end - spec.output.zero_point for end in (spec.output.code_min, spec.output.code_max)
    )
    steps = np.clip(steps, low, high)
    doubt = np.abs(np.abs(steps - np.floor(steps)) - 0.5) < DOUBT_CODES
    doubt &= (lsb > spec.output.code_min) & (lsb < spec.output.code_max)
    doubt &= activation.oracle is not None
    for position in np.flatnonzero(doubt):
        rounded[position] = _oracle_code(activation, spec, int(codes[position]))
    for array in (lsb, steps, rounded):
        array.flags.writeable = False
    return Ideal(lsb, steps, rounded, int(np.count_nonzero(doubt | asked)))


def _limit(spec: QuantSpec) -> float:
    """Return a number of steps beyond which every result saturates."""
    return float(4 << spec.output.bits)


def uncertain(activation: Activation, spec: QuantSpec) -> NDArray[np.bool_]:
    """Return for each input code whether float64 is not known to be good, and an oracle is there.

    Good is a function tested to 1e-12 of its value, or a result proved to be within FLOAT_CODES, or
    beyond what can be an output code.
    """
    codes = spec.input.codes()
    if activation.tested or activation.oracle is None:
        return np.zeros(codes.shape, dtype=bool)
    if activation.float_error is None:
        return np.ones(codes.shape, dtype=bool)
    points = spec.input.real(codes)
    with np.errstate(all="ignore"):
        steps = activation(points) / spec.output.scale
        bounds = activation.float_error(points, *activation.values) / spec.output.scale
        good = (bounds + NOISE * np.abs(steps) <= FLOAT_CODES) & np.isfinite(steps)
        good |= np.abs(steps) - bounds > _limit(spec)
    return np.asarray(~good)


def _float_steps(activation: Activation, spec: QuantSpec) -> Reals:
    """Return activation(x)/out.scale by float64 for every input code."""
    points = spec.input.real(spec.input.codes())
    try:
        with np.errstate(over="ignore"):
            steps: Reals = activation(points) / spec.output.scale
    except EmbactError:
        raise
    except Exception as error:
        if activation.tested or activation.expression:
            raise
        raise _first_failure(activation, spec) or EmbactError(
            f"{activation.name} failed on all inputs at once",
            got=_told(error),
            allowed="a function of arrays: np.vectorize(f) makes one of a function of a number",
        ) from error
    if np.any(np.isnan(steps)):
        raise _no_value(activation, spec, int(spec.input.codes()[np.isnan(steps).argmax()]), "nan")
    return steps


def _first_failure(activation: Activation, spec: QuantSpec) -> EmbactError | None:
    """Return the error that names the first input at which a user's function raises, if any."""
    failures = (_failure(activation, spec, code) for code in spec.input.codes().tolist())
    return next((failure for failure in failures if failure is not None), None)


def _failure(activation: Activation, spec: QuantSpec, code: int) -> EmbactError | None:
    try:
        activation(spec.input.real(np.array([code])))
    except EmbactError:  # a function of one number: no input is at fault
        return None
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        return _no_value(activation, spec, code, _told(error))
    return None


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _no_value(activation: Activation, spec: QuantSpec, code: int, got: str) -> EmbactError:
    real = spec.input.scale * (code - spec.input.zero_point)
    return EmbactError(
        f"{activation.name} at input code {code}, x = {real!r}",
        got=got,
        allowed="a real number, or an infinity, which saturates",
    )


def _oracle_steps(activation: Activation, spec: QuantSpec, codes: Codes, limit: float) -> Reals:
    """Return activation(x)/out.scale within +-limit for some input codes, by the oracle."""
    import mpmath

    with mpmath.workdps(ORACLE_DIGITS[0]):
        points = (_oracle_point(activation, spec, code)[1] for code in codes.tolist())
        return np.array([float(max(min(steps, limit), -limit)) for steps in points])


def _oracle_point(activation: Activation, spec: QuantSpec, code: int) -> tuple[Any, Any]:
    """Return x and activation(x)/out.scale at mpmath's working precision."""
    import mpmath

    real = mpmath.mpf(spec.input.scale) * (code - spec.input.zero_point)
    try:
        value = mpmath.mpf(activation.exact(real))
    except Exception as error:
        if activation.tested or activation.expression:
            raise
        raise _no_value(activation, spec, code, _told(error)) from error
    if mpmath.isnan(value):
        raise _no_value(activation, spec, code, "nan")
    return real, value / mpmath.mpf(spec.output.scale)


def _oracle_code(activation: Activation, spec: QuantSpec, code: int) -> int:
    """Return the correctly rounded output code of one input, by the oracle."""
    import mpmath

    for digits in ORACLE_DIGITS:
        with mpmath.workdps(digits):
            real, steps = _oracle_point(activation, spec, code)
            near = mpmath.mpf(10) ** (GUARD_DIGITS - digits)
            nearest = mpmath.nint(abs(steps) - mpmath.mpf(0.5))  # the tie nearest to it is + 1/2
            beyond = abs(steps) - nearest - mpmath.mpf(0.5)
            if abs(beyond) > near:
                up = beyond > 0
                break
            side = _side_of_tail(activation, real, steps, spec.output.scale, near)
            up = not side or (side > 0) == (steps > 0)  # an exact tie goes away from zero
            if side is not None:
                break
    whole = int(nearest) + bool(up)
    return int(spec.output.clamp((whole if steps >= 0 else -whole) + spec.output.zero_point))


def _side_of_tail(
    activation: Activation, real: Any, steps: Any, scale: float, near: Any
) -> int | None:
    """Return on which side of its asymptote a result lies that is not told from a tie.

    0 is on it; None means that no asymptote is known there.
    """
    tail = activation.limits()[int(real > 0)]
    if tail is None:
        return None
    slope, intercept, side = tail
    return side if abs(steps - (slope * real + intercept) / scale) < near else None


@dataclass(frozen=True)
class Histogram:
    """How often each input code occurs in data, for the codes in ascending order.

    counts: 2**bits integers in 0..2**53 - 1, not all 0. Raises EmbactError for anything else.
    """

    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.counts) not in (1 << 8, 1 << 16):
            raise EmbactError("length of a histogram", got=len(self.counts), allowed="256, 65536")
        if not 0 <= min(self.counts) <= max(self.counts) < 1 << 53 or max(self.counts) == 0:
            raise EmbactError(
                "counts of a histogram", allowed="0..9007199254740991, and one of them > 0"
            )

    @cached_property
    def weights(self) -> Reals:
        """The frequencies: float64, shape (2**bits,), with the sum 1."""
        counts = np.array(self.counts, dtype=np.float64)
        frequencies: Reals = counts / counts.sum()
        return frequencies

    @cached_property
    def support(self) -> NDArray[np.bool_]:
        """Which codes occur."""
        return np.array(self.counts) > 0


def histogram_of(codes: Codes, bits: int) -> Histogram:
    """Return how often each code occurs in an array of any shape.

    Raises EmbactError for a code that the width does not have, and for an empty array.
    """
    half = 1 << (bits - 1)
    if codes.size and not -half <= int(codes.min()) <= int(codes.max()) < half:
        raise EmbactError(
            "codes of a histogram",
            got=f"{codes.min()}..{codes.max()}",
            allowed=f"{-half}..{half - 1} (int{bits})",
        )
    shifted = codes.astype(np.int64).ravel() + half
    return Histogram(tuple(np.bincount(shifted, minlength=2 * half).tolist()))


@dataclass(frozen=True)
class Certificate:
    """Exhaustive error of one kernel against one activation on one quantisation.

    kernel_digest: which kernel. points: how many inputs were evaluated: all of them.
    checked_on: where its outputs were seen, "definition" first, then e.g. "host-c".
    max_error_codes: largest distance to the correctly rounded code.
    max_error_lsb: largest |kernel(q) - ideal(q)| in output codes; 0.5 is a perfect kernel's limit.
    mean_error_lsb: the mean of the same over all inputs, or its expectation over a histogram.
    not_correctly_rounded: inputs whose code is not the correctly rounded one.
    worst_input: the first input code with the largest error in lsb, to EQUAL_LSB.
    monotone: whether the outputs never fall, or never rise, with the input.
    mse: mean squared error in real units squared, or its expectation over a histogram.
    Errors in lsb and mse are rounded to DIGITS, so that most machines state the same.
    support_points: how many input codes occur in the histogram; all, without one.
    max_error_codes_on_support: max_error_codes of these inputs alone.
    output_min, output_max: range of the kernel's output codes.
    oracle_points: inputs whose rounding the high-precision oracle decided.
    truth: "oracle" if a high-precision oracle decides wherever float64 could be wrong; "float64" if
    the truth is a user's float64 function, not oracle-checked.
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
    support_points: int
    max_error_codes_on_support: int
    output_min: int
    output_max: int
    oracle_points: int
    truth: Truth


def certify(
    activation: Activation, spec: QuantSpec, kernel: Kernel, histogram: Histogram | None = None
) -> Certificate:
    """Return the exhaustive error of a kernel's definition.

    Raises EmbactError if the kernel's or the histogram's width is not that of the quantisation.
    """
    if (kernel.input_bits, kernel.output_bits) != (spec.input.bits, spec.output.bits):
        raise EmbactError(
            "kernel and quantisation differ in width",
            got=f"int{kernel.input_bits} -> int{kernel.output_bits}",
            allowed=f"{spec.input.dtype} -> {spec.output.dtype}",
        )
    check_width(histogram, spec)
    truth = ideal(activation, spec)
    outputs = kernel.outputs
    support = np.ones(outputs.shape, dtype=bool) if histogram is None else histogram.support
    weights = None if histogram is None else histogram.weights
    codes_off = np.abs(outputs - truth.codes)
    lsb_off = np.abs(outputs - spec.output.zero_point - truth.steps)
    lsb_off[lsb_off <= NOISE * np.abs(truth.steps)] = 0.0
    steps = np.diff(outputs)
    return Certificate(
        kernel_digest=kernel.digest,
        points=outputs.size,
        checked_on=("definition",),
        max_error_codes=int(codes_off.max()),
        max_error_lsb=_digits(float(lsb_off.max())),
        mean_error_lsb=_digits(float(np.average(lsb_off, weights=weights))),
        not_correctly_rounded=int(np.count_nonzero(codes_off)),
        worst_input=int(spec.input.codes()[np.argmax(lsb_off >= lsb_off.max() - EQUAL_LSB)]),
        monotone=bool(np.all(steps >= 0) or np.all(steps <= 0)),
        mse=float(f"{np.average((lsb_off * spec.output.scale) ** 2, weights=weights):.{DIGITS}g}"),
        support_points=int(np.count_nonzero(support)),
        max_error_codes_on_support=int(codes_off[support].max()),
        output_min=int(outputs.min()),
        output_max=int(outputs.max()),
        oracle_points=truth.oracle_points,
        truth=activation.truth,
    )


def _digits(error: float) -> float:
    """Return an error to DIGITS significant digits below 1, and as many decimals above."""
    return float(f"{error:.{DIGITS}g}") if error < 1 else round(error, DIGITS)


def check_width(histogram: Histogram | None, spec: QuantSpec) -> None:
    """Raise EmbactError unless a histogram, if there is one, is over the input's codes."""
    if histogram is not None and len(histogram.counts) != 1 << spec.input.bits:
        raise EmbactError(
            "length of a histogram",
            got=len(histogram.counts),
            allowed=f"{1 << spec.input.bits} ({spec.input.dtype})",
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
