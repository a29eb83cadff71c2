"""Families of the named classics: published hardware approximations as fixed integer kernels.

Each brings the magnitude of the input into a fixed-point format, evaluates the classic there with
its own shifts, additions and comparisons, and rescales the result to the output grid. Nothing is
fitted and no budget is looked at. What is promised is fidelity: on every input the kernel is within
FIDELITY codes of the correctly rounded real-valued classic, ``reference``. Comparisons are made on
input codes, where they are exact. A pair of grids on which the format cannot keep that (outputs
finer than about 2**-20 of the activation's range) yields nothing.

Sources: ``plan`` Amin, Curtis & Hayes-Gill 1997; ``a_law`` Myers & Hutchinson 1989; ``alippi``
Alippi & Storti-Gajani 1991; ``cri1``, ``cri2``, ``cri3`` (centred recursive interpolation)
Basterretxea, Tarela & del Campo 2004; ``zhang`` Zhang, Vassiliadis & Delgado-Frias 1996, second
order; ``i_gelu``, ``i_exp`` Kim et al. 2021, arXiv:2101.01321. This module must not know C or
costs.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.fit.fixed_point import Format, format_of, rescaled
from embact.fit.fold import magnitude
from embact.fit.problem import Candidate
from embact.ir import Node, Op, add, const, mul, mulh, named, select_less, shl, shr, sub, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.fit.problem import Problem
    from embact.grid import Codes, QuantSpec, Reals

FIDELITY = 1
"""Largest distance in codes between a kernel and its correctly rounded classic."""

LINES: dict[str, tuple[tuple[float, int, float], ...]] = {
    "plan": ((0.0, 2, 0.5), (1.0, 3, 0.625), (2.375, 5, 0.84375), (5.0, 31, 1.0)),
    "a_law": ((0.0, 2, 0.5), (1.0, 3, 0.625), (2.0, 5, 0.8125), (4.0, 6, 0.875), (8.0, 31, 1.0)),
}
"""(from which |x|, shift, intercept): sigmoid(|x|) ~= |x| / 2**shift + intercept; 31: no slope."""

CRI_DEPTH = {1: 0.30895, 2: 0.28094, 3: 0.2659}
"""The interpolation depth by the number of recursions. The largest errors on [-8, 8] are then the
published 0.0378, 0.0245 and 0.0206; the depths for which they are least are 0.3092, 0.2811 and
0.2659 (and 0.2639 for four recursions)."""

GELU_A, GELU_B = 0.2888, 1.769
"""erf(z) ~= 1 - a (b - z)**2 for 0 <= z <= b, and 1 beyond."""

EXP_A, EXP_B, EXP_C = 0.3585, 1.353, 0.344
"""exp(p) ~= a (p + b)**2 + c for -ln 2 < p <= 0."""

GELUS = ("gelu", "gelu_tanh", "gelu_sigmoid")


# The real-valued classics


def _mirrored(half: Callable[[Reals], Reals], real: Reals) -> Reals:
    upper = half(np.abs(real))
    return np.where(real < 0, 1.0 - upper, upper)


def _lines_real(lines: tuple[tuple[float, int, float], ...], u: Reals) -> Reals:
    y = np.zeros_like(u)
    for start, shift, intercept in lines:
        y = np.where(u >= start, intercept + (0.0 if shift == 31 else u / 2.0**shift), y)
    return y


def _alippi_real(u: Reals) -> Reals:
    whole: Reals = np.floor(u)
    small: Reals = (0.5 - (u - whole) / 4.0) * np.exp2(-whole)
    return 1.0 - small


def _cri_real(recursions: int, u: Reals) -> Reals:
    depth = CRI_DEPTH[recursions]
    low, line = np.zeros_like(u), 0.5 - u / 4.0
    for _ in range(recursions + 1):
        low, line = np.maximum(low, line), (low + line + depth) / 2.0
        depth /= 4.0
    return 1.0 - low


def _zhang_real(u: Reals) -> Reals:
    below: Reals = 1.0 - np.minimum(u, 4.0) / 4.0
    return 1.0 - below**2 / 2.0


def i_gelu_real(real: Reals) -> Reals:
    """Return x/2 (1 + sign(x) L(|x|/sqrt 2)) with I-BERT's second-order L for erf."""
    z = np.minimum(np.abs(real) / math.sqrt(2.0), GELU_B)
    erf: Reals = np.sign(real) * (1.0 - GELU_A * (GELU_B - z) ** 2)
    return real / 2.0 * (1.0 + erf)


def i_exp_real(real: Reals) -> Reals:
    """Return L(p) / 2**z with x = p - z ln 2, for x <= 0; an x above 0 is taken as 0."""
    octaves = -np.minimum(real, 0.0) / math.log(2.0)
    whole: Reals = np.floor(octaves)
    power: Reals = np.exp2(-whole)
    base: Reals = EXP_A * (EXP_B - (octaves - whole) * math.log(2.0)) ** 2 + EXP_C
    return base * power


SIGMOIDS: dict[str, Callable[[Reals], Reals]] = {
    **{name: partial(_mirrored, partial(_lines_real, lines)) for name, lines in LINES.items()},
    "alippi": partial(_mirrored, _alippi_real),
    **{f"cri{q}": partial(_mirrored, partial(_cri_real, q)) for q in CRI_DEPTH},
    "zhang": partial(_mirrored, _zhang_real),
}
"""float64 classics of sigmoid by name."""


def reference(name: str, activation: str) -> Callable[[Reals], Reals] | None:
    """Return the float64 form of a classic for an activation, or None if it has none.

    tanh is 2 sigmoid(2x) - 1.
    """
    if name == "i_gelu":
        return i_gelu_real if activation in GELUS else None
    if name == "i_exp":
        return i_exp_real if activation == "exp" else None
    sigmoid = SIGMOIDS[name]
    if activation == "tanh":
        return lambda real: 2.0 * sigmoid(2.0 * real) - 1.0
    return sigmoid if activation == "sigmoid" else None


# The kernels


def _reach(spec: QuantSpec) -> int:
    zero = spec.input.zero_point
    return max(zero - spec.input.code_min, spec.input.code_max - zero)


def _lines_half(lines: tuple[tuple[float, int, float], ...], f: Format) -> Node:
    t = f.value(1.0, f.fixed(lines[-1][0]))
    (_, shift, intercept), *others = lines
    y = add(shr(t, shift), const(f.fixed(intercept)))
    for start, shift, intercept in others:
        line = add(shr(t, shift), const(f.fixed(intercept)))
        y = select_less(f.u, f.first(start), y, line)
    return y


def _alippi_half(f: Format) -> Node:
    t = f.value(1.0, (f.steps << f.bits) - 1)
    fraction = Node(Op.AND, (t, const(f.fixed(1.0) - 1)))
    small = f.halved(sub(const(f.fixed(0.5)), shr(fraction, 2)), shr(t, f.bits))
    return sub(const(f.fixed(1.0)), small)


def _cri_half(recursions: int, f: Format) -> Node:
    depth = CRI_DEPTH[recursions]
    low, line = const(0), sub(const(f.fixed(0.5)), shr(f.value(1.0, f.fixed(8.0)), 2))
    for _ in range(recursions + 1):
        middle = shr(add(add(low, line), const(f.fixed(depth))), 1)
        low, line = Node(Op.MAX, (low, line)), middle
        depth /= 4.0
    return sub(const(f.fixed(1.0)), low)


def _zhang_half(f: Format) -> Node:
    w = sub(const(f.fixed(1.0)), shr(f.value(1.0, f.fixed(4.0)), 2))
    return sub(const(f.fixed(1.0)), shr(f.square(w, 1.0), 1))


HALVES: dict[str, Callable[[Format], Node]] = {
    **{name: partial(_lines_half, lines) for name, lines in LINES.items()},
    "alippi": _alippi_half,
    **{f"cri{q}": partial(_cri_half, q) for q in CRI_DEPTH},
    "zhang": _zhang_half,
}
"""sigmoid(|x|) in the format."""


def _sigmoid(name: str, problem: Problem) -> tuple[Node | None, int]:
    """Return the node of the output code and the format's fraction bits."""
    spec, zero = problem.spec, const(problem.spec.input.zero_point)
    f = format_of(spec, magnitude(spec.input.zero_point), _reach(spec), 1.0 / spec.output.scale)
    if problem.activation.name == "tanh":
        f = dataclasses.replace(f, scale=2.0 * f.scale)
    one, half = const(f.fixed(1.0)), HALVES[name](f)
    if problem.activation.name == "tanh":
        positive = sub(shl(half, 1), one)
        y = select_less(x(), zero, sub(const(0), positive), positive)
    else:
        y = select_less(x(), zero, sub(one, half), half)
    return rescaled(y, f.fixed(1.0), math.ldexp(1.0 / spec.output.scale, -f.bits), spec), f.bits


def _i_gelu(problem: Problem) -> tuple[Node | None, int]:
    """Return x times (1 + L)/2 or (1 - L)/2; the roots of a and 2 are in the format's scale."""
    spec, zero = problem.spec, const(problem.spec.input.zero_point)
    reach, ratio = _reach(spec), spec.input.scale / spec.output.scale
    f = format_of(spec, magnitude(spec.input.zero_point), reach, reach * ratio)
    root = math.sqrt(GELU_A)
    end = f.fixed(root * GELU_B)
    square = f.square(sub(const(end), f.value(root / math.sqrt(2.0), end)), root * GELU_B)
    gate = select_less(x(), zero, square, sub(const(f.fixed(2.0)), square))
    distance, bits = sub(x(), zero), f.bits
    if reach << (bits + 1) < 1 << 31:
        product = mul(distance, gate)
    else:
        up, more = 30 - reach.bit_length(), 29 - bits
        product, bits = mulh(shl(distance, up), shl(gate, more)), bits + up + more - 32
    return rescaled(product, reach << (bits + 1), math.ldexp(ratio / 2.0, -bits), spec), f.bits


def _i_exp(problem: Problem) -> tuple[Node | None, int]:
    """Return ((w**2 + c/a') >> z) a' with a' = a ln(2)**2 and w = b/ln(2) - fraction."""
    spec, zero = problem.spec, problem.spec.input.zero_point
    below = named(Node(Op.MAX, (sub(const(zero), x()), const(0))), "magnitude")
    f = format_of(spec, below, zero - spec.input.code_min, 1.0 / spec.output.scale)
    t = f.value(1.0 / math.log(2.0), (f.steps << f.bits) - 1)
    fraction = Node(Op.AND, (t, const(f.fixed(1.0) - 1)))
    unit, start = EXP_A * math.log(2.0) ** 2, EXP_B / math.log(2.0)
    square = f.square(sub(const(f.fixed(start)), fraction), start)
    power = f.halved(add(square, const(f.fixed(EXP_C / unit))), shr(t, f.bits))
    step = math.ldexp(unit / spec.output.scale, -f.bits)
    return rescaled(power, f.fixed(6.0), step, spec), f.bits


def classic(name: str, problem: Problem) -> Iterator[Candidate]:
    """Yield the kernel of a classic, or nothing if it is none of the activation or not faithful.

    ``i_exp`` also yields nothing if the activation has several codes on inputs above 0.
    """
    real, spec = reference(name, problem.activation.name), problem.spec
    if real is None or (name == "i_exp" and not _flat_above_zero(problem)):
        return
    match name:
        case "i_gelu":
            code, bits = _i_gelu(problem)
        case "i_exp":
            code, bits = _i_exp(problem)
        case _:
            code, bits = _sigmoid(name, problem)
    if code is None:
        return
    kernel = Kernel(code, spec.input.bits, spec.output.bits)
    if np.abs(kernel.outputs - classic_codes(name, problem)).max() <= FIDELITY:
        yield Candidate(kernel, {"fraction_bits": bits})


def classic_codes(name: str, problem: Problem) -> Codes:
    """Return the correctly rounded codes of a real-valued classic on a problem's grids."""
    real = reference(name, problem.activation.name)
    if real is None:
        raise EmbactError("classic", got=name, allowed=f"one of {problem.activation.name}")
    grid = problem.spec.input
    return problem.spec.output.quantize(real(grid.real(grid.codes())))


def _flat_above_zero(problem: Problem) -> bool:
    above = problem.truth.codes[problem.spec.input.codes() >= problem.spec.input.zero_point]
    return bool(np.all(above == above[0]))


CLASSICS: dict[str, Callable[[Problem], Iterator[Candidate]]] = {
    name: partial(classic, name) for name in (*SIGMOIDS, "i_gelu", "i_exp")
}
"""The family of each classic."""
