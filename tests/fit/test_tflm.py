"""Family ``tflm`` against what TFLM's arithmetic says, written down again over Python integers."""

from __future__ import annotations

import hashlib
import math
import time
from fractions import Fraction

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.certify import certify
from embact.fit.problem import Limits, Problem
from embact.fit.tflm import INT8, INT16, half_sigmoid, nearest_log2, table_scaling, tflm
from embact.fit.tflm_arithmetic import (
    Scaling,
    divide,
    exp_on_negative_values,
    high_mul,
    leaky_relu_codes,
    prelu_codes,
    reciprocal,
    relu_codes,
    scaling,
    single,
)
from embact.grid import Grid, QuantSpec

UNIT_16 = Grid(1 / 32768, 0, 16)

TABLE_SHA256 = "f88f300405ba5e0c73301c5c230dbacd28448eab3242e2ed52ca475a73c8245d"
"""Of the 256 numbers of TFLite's sigmoid_table_uint16 in decimal, joined by commas."""

SEEN_IN_TFLM = {
    "sigmoid": "80d74fef2e64a71a367f38aeb8662588896a59f2fc2a96018ab36ff03348779c",
    "tanh": "4f06943197f356d50c9b1b6f0262d88915fd1c770f139b6bcb5cbf11f007ee98",
    "hard_swish": "c64d7ae01e0bbf685f4b3e341b346dbced01645d227adf5a26428430a2b054b4",
    "elu": "fad1933781bfb2c6b606d7051f3b6081171dcfa514ad5d67176328ef5ec59268",
    "relu6": "c2d889a0658c3c355f9981e3cbd7bbfc1df79f774745688bc6b8cb3eb7a8e3d5",
}
"""SHA-256 of the int8 outputs of tflite-micro 0.dev20261023182759 (PyPI), an interpreter of TFLM
itself, for all inputs of the 200 quantisations of ``numbered``, one after the other."""


def numbered(name, n):
    source = Grid(0.002 * 1.03**n, (37 * n) % 256 - 128, 8)
    fixed = {"sigmoid": Grid(1 / 256, -128, 8), "tanh": Grid(1 / 128, 0, 8)}
    target = Grid(source.scale * (0.2 + n / 40), (91 * n) % 256 - 128, 8)
    if name == "relu6":
        target = Grid(0.03, (11 * n) % 256 - 128, 8)
    return QuantSpec(source, fixed.get(name, target))


def kernel_of(name, spec, **settings):
    (candidate,) = tflm(Problem(activation(name, **settings), spec, Limits(0)))
    return candidate.kernel


def sha256_of(name, change=0):
    digest = hashlib.sha256()
    for n in range(200):
        outputs = kernel_of(name, numbered(name, n)).outputs.astype(np.int8)
        outputs[0] ^= change * (n == 7)
        digest.update(outputs.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", SEEN_IN_TFLM)
def test_every_code_is_what_tflm_gave(name):
    assert sha256_of(name) == SEEN_IN_TFLM[name]


def test_one_changed_code_would_be_noticed():
    assert sha256_of("tanh", change=1) != SEEN_IN_TFLM["tanh"]


def test_the_table_is_tflites():
    numbers = ",".join(str(value + 32768) for value in half_sigmoid().values)
    assert hashlib.sha256(numbers.encode()).hexdigest() == TABLE_SHA256
    assert half_sigmoid().bytes == 512


def test_no_entry_of_the_table_hangs_on_the_last_bits_of_exp():
    for i in range(255):
        gate = 1 / (1 + math.exp(-i / 24))
        exact = 2**16 * (gate + gate * (1 - gate) * (2 * gate - 1) / 9216)
        assert i == 0 or abs(exact - math.floor(exact) - 0.5) > 1e-6


def nearest(value, *, up):
    """The nearest integer of a fraction; ties upwards, or away from zero."""
    if up or value >= 0:
        return math.floor(value + Fraction(1, 2))
    return -math.floor(-value + Fraction(1, 2))


def test_products_and_quotients_round_as_gemmlowps_do():
    rng = np.random.default_rng(3)
    ends = [-(2**31), -1, 0, 1, 2**30, 2**31 - 1]
    left = np.array([*ends, *rng.integers(-(2**31), 2**31, 300)])
    right = np.array([2**30, 2**31 - 1, -(2**30), 2**30, 1, 7, *left[6:]])
    expected = [nearest(Fraction(a * b, 2**31), up=True)
                for a, b in zip(left.tolist(), right.tolist(), strict=True)]  # fmt: skip
    assert high_mul(left, right).tolist() == expected
    for exponent in (0, 1, 5, 31):
        expected = [nearest(Fraction(a, 2**exponent), up=False) for a in left.tolist()]
        assert divide(left, exponent).tolist() == expected


@pytest.mark.parametrize("integer_bits", [4, 5])
def test_the_exponential_and_the_reciprocal_are_good_to_a_millionth(integer_bits):
    values = -np.arange(0, 2**31, 2**31 // 5003, dtype=np.int64)
    real = np.exp(values / 2.0 ** (31 - integer_bits))
    assert np.abs(exp_on_negative_values(values, integer_bits) / 2**31 - real).max() < 1e-6
    inputs = np.arange(0, 2**31, 2**31 // 5003, dtype=np.int64)
    assert np.abs(reciprocal(inputs) / 2**29 - 2 / (1 + inputs / 2**31)).max() < 1e-6


def multiplied(value, factor):
    """MultiplyByQuantizedMultiplier, as two roundings of fractions."""
    first = nearest(Fraction(value * 2 ** max(factor.shift, 0) * factor.multiplier, 2**31), up=True)
    return nearest(Fraction(first, 2 ** max(-factor.shift, 0)), up=False)


LEAKY = [
    (0.5, Grid(0.001, 0, 16), Grid(0.001, 0, 16)),
    (-0.25, Grid(0.001, 77, 16), Grid(0.003, -5, 16)),
    (0.2, Grid(0.01, -32768, 16), Grid(1e-5, 32767, 16)),
    (-1.7, Grid(1.0, 32767, 16), Grid(2.0**-14, -32768, 16)),
    (0.1, Grid(2.0**-15, 3, 16), Grid(0.9, 4, 16)),
    (1e-3, Grid(1.0, 0, 16), Grid(2.0**-15, 9, 16)),
]


@pytest.mark.parametrize(("alpha", "source", "target"), LEAKY)
def test_int16_leaky_relu_is_the_64_bit_arithmetic(alpha, source, target):
    spec = QuantSpec(source, target)
    below = scaling(single(source.scale, alpha, over=target.scale))
    above = scaling(single(source.scale, over=target.scale))
    kernel = kernel_of("leaky_relu", spec, alpha=alpha)
    assert kernel.table_bytes == 0
    assert np.array_equal(kernel.outputs, leaky_relu_codes(spec, alpha))
    for code in range(-32768, 32768, 13):  # fractions are slow
        value = code - source.zero_point
        exact = multiplied(value, above if value >= 0 else below) + target.zero_point
        assert kernel.outputs[code + 32768] == min(max(exact, -32768), 32767), code


def test_int16_leaky_relu_is_the_64_bit_arithmetic_at_every_ratio():
    rng = np.random.default_rng(4)
    for power in range(-34, 16):
        source = Grid(2.0 ** (power - 7) * rng.uniform(1, 2), 0, 16)
        spec, alpha = QuantSpec(source, Grid(2.0**-7, 0, 16)), float(rng.uniform(-1, 1))
        expected = leaky_relu_codes(spec, alpha)
        assert np.array_equal(kernel_of("leaky_relu", spec, alpha=alpha).outputs, expected)
        assert np.array_equal(kernel_of("relu", spec).outputs, relu_codes(spec))


def test_two_roundings_are_not_one():
    spec = QuantSpec(Grid(1.0, 0, 16), Grid(4.0, 0, 16))
    quarters = kernel_of("leaky_relu", spec, alpha=1.0).outputs
    assert quarters[32768:32775].tolist() == [0, 1, 1, 1, 1, 2, 2]  # 1/4 is 1/2 is 1
    assert quarters[32768:32761:-1].tolist() == [0, 0, -1, -1, -1, -1, -2]


def interpolated(codes, multiplier, shift, *, tanh):
    """LOGISTIC or TANH of int16 codes, step by step as the C has it."""
    table = np.array([*half_sigmoid().values, 0]) + 32768
    position = (codes * multiplier + (1 << shift >> 1)) >> shift
    size, bits = np.abs(position), 8 if tanh else 9
    index = np.minimum(size >> bits, 255)
    value = (table[index] << bits) + (size & ((1 << bits) - 1)) * (table[index + 1] - table[index])
    value = np.where(index == 255, 0xFFFF << 8 if tanh else 0x7FFF << 10, value)
    if tanh:
        middle = 1 << 23
        return np.where(position >= 0, value - middle + 128, middle - value + 127) >> 8
    return np.where(position >= 0, value + 512, (1 << 25) - value + 511) >> 10


@pytest.mark.parametrize("scale", [2.0**-12, 2.0**-11, 2.0**-10, 3e-4, 1e-7, 2.5])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_int16_sigmoid_and_tanh_are_the_interpolation_of_the_table(name, scale):
    spec = QuantSpec(Grid(scale, 0, 16), UNIT_16)
    tanh = name == "tanh"
    found = table_scaling(spec, (0, 1) if tanh else (0,))
    kernel = kernel_of(name, spec)
    assert kernel.table_bytes <= 512
    expected = interpolated(spec.input.codes(), *found, tanh=tanh)
    assert np.array_equal(kernel.outputs, expected)


def test_scales_near_a_power_of_two_count_as_one():
    assert nearest_log2(2.0**-12) == (-12, True)
    assert nearest_log2(2.0**-12 * 1.0006) == (-12, True)
    assert nearest_log2(2.0**-12 * 1.0008) == (-12, False)
    assert nearest_log2(2.0**-12.6)[0] == -13
    near = QuantSpec(Grid(2.0**-12 * 1.0006, 0, 16), UNIT_16)
    assert table_scaling(near, (0,)) == (3, 0)
    assert table_scaling(near, ())[0] > 3


def test_relu6_limits_codes_whatever_the_output_grid_is():
    for target in (Grid(1.0, 5, 8), Grid(0.001, -128, 8)):
        outputs = kernel_of("relu6", QuantSpec(Grid(0.1, -20, 8), target)).outputs
        assert outputs.tolist() == [min(max(code, -20), 40) for code in range(-128, 128)]
    wide = kernel_of("relu6", QuantSpec(Grid(0.001, 7, 16), UNIT_16)).outputs
    assert wide.tolist() == [min(max(code, 7), 6007) for code in range(-32768, 32768)]


def test_prelu_with_one_slope_is_leaky_relu_where_the_factors_are_equal():
    spec = QuantSpec(Grid(0.0625, 3, 8), Grid(0.125, -4, 8))
    expected = leaky_relu_codes(spec, 0.75)
    assert np.array_equal(prelu_codes(spec, Grid(0.75, -2, 8), -1), expected)
    assert not np.array_equal(prelu_codes(spec, Grid(0.75, -2, 8), 0), expected)


def test_coarse_inputs_have_no_middle_as_in_tflm():
    for name, target in (("sigmoid", Grid(1 / 256, -128, 8)), ("tanh", Grid(1 / 128, 0, 8))):
        outputs = kernel_of(name, QuantSpec(Grid(16.0, 3, 8), target)).outputs
        assert outputs.tolist() == [-128] * 132 + [127] * 124  # so tflite-micro gave for code 3


def test_fine_hard_swish_inputs_shift_by_more_than_16_bits_as_in_tflm():
    spec = QuantSpec(Grid(2.0**-26, 0, 8), Grid(2.0**-26 / 127, 0, 8))
    middle = kernel_of("hard_swish", spec).outputs[124:133]
    assert middle.tolist() == [-128, -128, -126, -63, 0, 63, 127, 127, 127]  # seen in tflite-micro


NOTHING = {
    "widths differ": ("relu", QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 16)), {}),
    "no such operator": ("gelu", QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 8)), {}),
    "no int16 HARD_SWISH": ("hard_swish", QuantSpec(UNIT_16, UNIT_16), {}),
    "no int16 ELU": ("elu", QuantSpec(UNIT_16, UNIT_16), {}),
    "ELU has no alpha": ("elu", QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 8)), {"alpha": 2.0}),
    "LOGISTIC output": ("sigmoid", QuantSpec(Grid(0.1, 0, 8), Grid(1 / 256, 0, 8)), {}),
    "TANH output": ("tanh", QuantSpec(Grid(0.1, 0, 8), Grid(1 / 256, 0, 8)), {}),
    "int16 LOGISTIC output": ("sigmoid", QuantSpec(UNIT_16, Grid(1 / 16384, 0, 16)), {}),
    "int16 TANH zero point": ("tanh", QuantSpec(Grid(0.01, 1, 16), UNIT_16), {}),
    "int16 multiplier": ("tanh", QuantSpec(Grid(2.7, 0, 16), UNIT_16), {}),
    "int16 multiplier 0": ("sigmoid", QuantSpec(Grid(1e-15, 0, 16), UNIT_16), {}),
    "int16 RELU zero point": ("relu", QuantSpec(UNIT_16, Grid(0.1, 1, 16)), {}),
    "fine HARD_SWISH": ("hard_swish", QuantSpec(Grid(0.1, 0, 8), Grid(1e-4, 0, 8)), {}),
    "left shift of RELU": ("relu", QuantSpec(Grid(2.0**30, 0, 8), Grid(0.5, 0, 8)), {}),
    "6 beyond int32": ("relu6", QuantSpec(Grid(1e-30, 0, 8), Grid(0.5, 0, 8)), {}),
    "ELU beyond int32": ("elu", QuantSpec(Grid(1e20, 0, 8), Grid(1e-20, 0, 8)), {}),
}


@pytest.mark.parametrize("why", NOTHING)
def test_nothing_is_yielded_where_tflm_has_no_bits(why):
    name, spec, settings = NOTHING[why]
    assert list(tflm(Problem(activation(name, **settings), spec))) == []


def test_a_shift_that_only_zeros_would_take_is_no_obstacle():
    spec = QuantSpec(Grid(2.0**90, -128, 8), Grid(2.0**90, 0, 8))
    assert leaky_relu_codes(spec, 1000.0).tolist() == [*range(128), *[127] * 128]
    assert Scaling(1 << 30, 40)(np.zeros(3, dtype=np.int64)).tolist() == [0, 0, 0]
    assert scaling(math.inf) is None


EXTREMES = [2.0**-126, 2.0**-60, 2.0**-28, 2.0**-27, 0.01, 1.0, 2.0**34, 2.0**35, 2.0**127]


@pytest.mark.parametrize("bits", [8, 16])
def test_no_quantisation_raises(bits):
    half, built = 1 << (bits - 1), 0
    for name in (*(INT8 if bits == 8 else INT16), "silu", "softplus"):
        scales = EXTREMES if bits == 8 else EXTREMES[::3]
        for number, low in enumerate(scales):
            for high in {*scales, 1 / 256, 1 / 128, 1 / 32768}:
                zero = (0, -half, half - 1)[number % 3]
                spec = QuantSpec(Grid(low, zero, bits), Grid(high, -half if bits == 8 else 0, bits))
                built += len(list(tflm(Problem(activation(name), spec))))
    assert built > (100 if bits == 8 else 20)


def test_it_takes_no_time_and_no_wide_table():
    grid = Grid(6 / 32768, 0, 16)
    for name in CATALOGUE:
        for spec in (numbered(name, 90), QuantSpec(grid, UNIT_16)):
            start = time.process_time()
            found = list(tflm(Problem(activation(name), spec)))
            assert time.process_time() - start < 1.0
            assert all(one.kernel.table_bytes <= 512 for one in found)
            operators = INT8 if spec.input.bits == 8 else INT16
            assert len(found) == (name in operators), name


def test_tflm_is_not_correctly_rounded_and_a_certificate_says_how_much():
    def error(name, spec):
        proved = certify(activation(name), spec, kernel_of(name, spec))
        return proved.max_error_codes, proved.not_correctly_rounded

    assert error("hard_swish", numbered("hard_swish", 0)) == (1, 2)
    assert error("elu", numbered("elu", 72)) == (1, 13)
    assert error("sigmoid", numbered("sigmoid", 90)) == (0, 0)
    assert error("tanh", QuantSpec(Grid(2.0**-12, 0, 16), UNIT_16)) == (1, 18172)
