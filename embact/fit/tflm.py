"""Family ``tflm``: kernels with the same bits as TensorFlow Lite Micro's reference kernels.

One fixed kernel for each activation that TFLM has an integer kernel of, whatever the error budget:
a table for int8, the kernel's own arithmetic in int32 for int16. Multipliers are rounded twice, as
TFLM is built by default. This module must not know C or costs.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.problem import Candidate
from embact.fit.tflm_arithmetic import (
    elu_codes,
    hard_swish_codes,
    leaky_relu_codes,
    leaky_relu_factors,
    relu_codes,
    scaling,
    sigmoid_codes,
    single,
    tanh_codes,
)
from embact.grid import Grid
from embact.ir import (
    INT32_MAX,
    Node,
    Op,
    Table,
    add,
    clamp,
    const,
    lookup,
    mul,
    mulh,
    named,
    saturate,
    select_less,
    shl,
    shr,
    sub,
    x,
)
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.activations import Activation
    from embact.fit.problem import Problem
    from embact.fit.tflm_arithmetic import Scaling
    from embact.grid import Codes, QuantSpec

Built = tuple[Node, dict[str, int]] | None
"""An expression and what parameters it has, or None where TFLM has no such kernel."""


def tflm(problem: Problem) -> Iterator[Candidate]:
    """Yield the kernel that gives the same code as TFLM's for every input, if TFLM has one.

    Nothing is yielded where input and output differ in width, where TFLM's prepare would refuse the
    grids, where its C is undefined, and for int8 LOGISTIC and TANH on another output grid than the
    one of TFLite's quantisation specification, of which TFLM looks at no more than a zero point.
    The factors of RELU and LEAKY_RELU are quotients in float32 and have alpha's sign, as in TFLM
    from 2023 to early 2026 and in tflite-runtime 2.14. Later ones (seen: tflite-micro
    0.dev20261023182759) divide in float64 and negate afterwards: a tie may fall one code beside.
    """
    spec = problem.spec
    if spec.input.bits != spec.output.bits:
        return
    name = problem.activation.name
    operators = INT8 if spec.input.bits == 8 else INT16
    built = operators[name](problem.activation, spec) if name in operators else None
    if built is not None:
        yield Candidate(Kernel(built[0], spec.input.bits, spec.output.bits), built[1])


def _table(codes: Codes | None) -> Built:
    if codes is None:
        return None
    table = Table("tflm", tuple(codes.tolist()))
    return lookup(table, add(x(), const(1 << 7))), {"entries": len(table.values)}


def _on(grid: Grid, codes: Callable[[Grid], Codes | None]) -> Callable[..., Built]:
    """Return the operator whose output grid is fixed."""
    return lambda _, spec: _table(codes(spec.input)) if spec.output == grid else None


def _elu(activation: Activation, spec: QuantSpec) -> Built:
    return _table(elu_codes(spec)) if activation.settings()["alpha"] == 1 else None


def _relu6(_: Activation, spec: QuantSpec) -> Built:
    """Return RELU6, which limits input codes and does not look at the output's grid.

    Source: Relu6Prepare, FloatToQuantizedType and Relu6Quantized.
    """
    steps = single(6.0, over=spec.input.scale)
    if steps > INT32_MAX >> 1:  # also inf, for which C leaves the conversion undefined
        return None
    zero = spec.input.zero_point
    six = int(spec.input.clamp(math.floor(steps + 0.5) + zero))
    return clamp(x(), zero, six), {"six": six}


def _relu_int16(_: Activation, spec: QuantSpec) -> Built:
    if relu_codes(spec) is None:
        return None
    factor = scaling(single(spec.input.scale, over=spec.output.scale))
    if factor is None:
        return None
    rectified = Node(Op.MAX, (x(), const(0)))
    return saturate(_scaled(rectified, factor, 1, "product"), 16), _parameters(factor)


def _leaky_relu_int16(activation: Activation, spec: QuantSpec) -> Built:
    """Return LEAKY_RELU as two lines, each rounded as MultiplyByQuantizedMultiplier rounds."""
    alpha = activation.settings()["alpha"]
    factors = leaky_relu_factors(spec, alpha)
    if factors is None or leaky_relu_codes(spec, alpha) is None:
        return None
    below, above = factors
    zero = const(spec.input.zero_point)
    distance = named(sub(x(), zero), "distance")
    negative = _scaled(distance, below, -1 if below.multiplier > 0 else 1, "below")
    positive = _scaled(distance, above, 1, "above")
    result = select_less(x(), zero, negative, positive)
    return saturate(add(result, const(spec.output.zero_point)), 16), _parameters(above)


def _scaled(value: Node, factor: Scaling, sign: int, name: str) -> Node:
    """Return the product with a factor wherever its sign is ``sign``, or it is 0.

    name: of the high half of the product, so that emitted C shows it.

    |value| is below 2**16. With H = floor(a m / 2**30), which MULH gives of 4a and m, the first
    rounding, ties upwards, is (H + 1) >> 1; the second, ties away from zero, adds to the same
    shift. A result beyond 2**18 is saturated whatever it is, so a value whose shift would leave
    int32 is limited first. Source: MultiplyByQuantizedMultiplier in TFLite's internal/common.cc.
    """
    left, right = min(max(factor.shift, 0), 19), max(-factor.shift, 0)
    if right >= 17:
        return const(0)
    if left > 12:
        value = clamp(value, -(1 << (19 - left)), 1 << (19 - left))
    high = named(mulh(shl(value, left + 2), const(factor.multiplier)), name)
    second = 0 if right == 0 else 1 << right if sign > 0 else (1 << right) - 2
    return shr(add(high, const(1 + second)), right + 1)


def _parameters(factor: Scaling) -> dict[str, int]:
    return {"multiplier": factor.multiplier, "shift": factor.shift}


@lru_cache(maxsize=1)
def half_sigmoid() -> Table:
    """Return 2**16 (sigmoid(i/24) - 1/2) for i = 0..255, as TFLM's int16 kernels interpolate it.

    Each knot is lifted by half the largest error of the chord that starts there, by its second
    derivative: -sigmoid''(x) h**2/16 with h = 1/24. The last is 1. Without the half it fits int16.
    Source: sigmoid_table_uint16 in TFLite's internal/common.h; the formula is ours.
    """
    knots = []
    for i in range(255):
        gate = 1 / (1 + math.exp(-i / 24))
        lift = gate * (1 - gate) * (2 * gate - 1) / (16 * 24**2)
        knots.append(math.floor((gate + lift - 0.5) * 2**16 + 0.5))
    return Table("half_sigmoid", (*knots, (1 << 15) - 1))


def nearest_log2(value: float) -> tuple[int, bool]:
    """Return log2 rounded, and whether it is within 0.001, in float32. Source: CheckedLog2."""
    one = np.float32(1)
    exact = np.float32(math.log(value)) * (one / np.float32(math.log(2)))
    rounded = np.float32(math.copysign(math.floor(abs(exact) + 0.5), exact))
    return int(rounded), bool(abs(exact - rounded) < np.float32(1e-3))


def table_scaling(spec: QuantSpec, exact_shifts: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (multiplier, shift) from int16 codes to 1/(3 * 4096), or None if TFLM refuses.

    exact_shifts: for which scales 2**(shift - 12), or nearly so, nothing is rounded.
    Source: CalculateArithmeticOpDataLogistic and, in tanh.cc, CalculateArithmeticOpData.
    """
    if spec.input.zero_point or spec.output.zero_point:
        return None
    if nearest_log2(spec.output.scale) != (-15, True):
        return None
    power, near = nearest_log2(spec.input.scale)
    if near and power + 12 in exact_shifts:
        return 3 << (power + 12), 0
    factor, shift = spec.input.scale * 4096.0 * 3.0, 0
    while factor <= 32767 / 2 and shift <= 30:
        factor, shift = factor * 2, shift + 1
    # a multiplier of 0 would select 3 << 31; above 32767 the product could leave int32
    return (int(factor), shift) if 1 <= factor < 32768 else None


def _sigmoid_int16(_: Activation, spec: QuantSpec) -> Built:
    """Return LOGISTIC. Source: reference_integer_ops::Logistic for int16."""
    found = table_scaling(spec, (0,))
    if found is None:
        return None
    rise = named(_interpolated(*found, knot_bits=9, shift=10), "rise")
    middle = const(1 << 14)
    expression = select_less(x(), const(0), sub(middle, rise), add(middle, rise))
    return expression, {"multiplier": found[0], "shift": found[1]}


def _tanh_int16(_: Activation, spec: QuantSpec) -> Built:
    """Return TANH as 2 sigmoid(2x) - 1. Source: reference_integer_ops::Tanh for int16."""
    found = table_scaling(spec, (0, 1))
    if found is None:
        return None
    rise = named(_interpolated(*found, knot_bits=8, shift=8), "rise")
    expression = select_less(x(), const(0), sub(const(0), rise), rise)
    return expression, {"multiplier": found[0], "shift": found[1]}


def _interpolated(multiplier: int, left: int, *, knot_bits: int, shift: int) -> Node:
    """Return the interpolated table at |x multiplier / 2**left|, rounded to 2**-shift.

    Where the kernels saturate, from knot 255 on, the last position before it rounds to the same.
    What they add for negative inputs makes the result that of the positive one, mirrored.
    """
    product = mul(x(), const(multiplier))
    if left:
        product = shr(add(product, const(1 << (left - 1))), left)
    product = named(product, "scaled")
    magnitude = named(Node(Op.MAX, (product, sub(const(0), product))), "magnitude")
    position = named(Node(Op.MIN, (magnitude, const((255 << knot_bits) - 1))), "position")
    index = named(shr(position, knot_bits), "index")
    part = Node(Op.AND, (position, const((1 << knot_bits) - 1)))
    low = named(lookup(half_sigmoid(), index), "low")
    step = named(sub(lookup(half_sigmoid(), add(index, const(1))), low), "step")
    height = add(shl(low, knot_bits), mul(part, step))
    return shr(add(height, const(1 << (shift - 1))), shift)


INT8: dict[str, Callable[[Activation, QuantSpec], Built]] = {
    "sigmoid": _on(Grid(1 / 256, -128, 8), sigmoid_codes),
    "tanh": _on(Grid(1 / 128, 0, 8), tanh_codes),
    "hard_swish": lambda _, spec: _table(hard_swish_codes(spec)),
    "leaky_relu": lambda act, spec: _table(leaky_relu_codes(spec, act.settings()["alpha"])),
    "elu": _elu,
    "relu": lambda _, spec: _table(relu_codes(spec)),
    "relu6": _relu6,
}
"""TFLM's int8 kernels by the activation's name."""

INT16: dict[str, Callable[[Activation, QuantSpec], Built]] = {
    "sigmoid": _sigmoid_int16,
    "tanh": _tanh_int16,
    "leaky_relu": _leaky_relu_int16,
    "relu": _relu_int16,
    "relu6": _relu6,
}
"""TFLM's int16 kernels by the activation's name."""
