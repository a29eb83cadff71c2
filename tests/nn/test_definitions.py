"""The twins against what they promise: TFLM's arithmetic, and real functions on every input."""

from __future__ import annotations

import numpy as np
import pytest

from embact.activations import activation
from embact.certify import certify, ideal
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.fit.tflm_arithmetic import (
    Scaling,
    hard_swish_codes,
    leaky_relu_codes,
    prelu_codes,
    relu_codes,
)
from embact.grid import Grid, QuantSpec, all_codes
from embact.ir import Op, topological
from embact.nn.arithmetic import offsets_of, scaling
from embact.nn.hard_swish import (
    hard_swish_parameters_s8,
    hard_swish_parameters_s16,
    hard_swish_s8,
    hard_swish_s16,
)
from embact.nn.lut import lut_interp_s16, lut_s8
from embact.nn.prelu import prelu, prelu_parameters
from embact.nn.rescale import leaky_relu, leaky_relu_parameters, rescale


def drawn_spec(rng, bits, *, centred=False, decades=1.0):
    half = 1 << (bits - 1)
    zeros = [0, 0] if centred else rng.integers(-half, half, 2).tolist()
    scale = 8 / half * 10 ** rng.uniform(-1.5, 1.5)
    ratio = 10 ** rng.uniform(-decades, decades)
    return QuantSpec(Grid(scale, zeros[0], bits), Grid(scale / ratio, zeros[1], bits))


def specs(bits, count, seed, **options):
    rng = np.random.default_rng(seed)
    return [drawn_spec(rng, bits, **options) for _ in range(count)]


@pytest.mark.parametrize(("bits", "count"), [(8, 300), (16, 12)])
def test_leaky_relu_is_tflms(bits, count):
    rng = np.random.default_rng(1)
    for spec in specs(bits, count, 2):
        alpha = float(np.float32(rng.choice([0.0, 1.0, 0.5, rng.uniform(0, 2)])))
        codes = leaky_relu(
            spec.input.codes(), offsets_of(spec), *leaky_relu_parameters(spec, alpha)
        )
        assert np.array_equal(codes, leaky_relu_codes(spec, alpha))


@pytest.mark.parametrize(("bits", "count"), [(8, 300), (16, 12)])
def test_rescale_is_tflms_relu(bits, count):
    for spec in specs(bits, count, 3, centred=bits == 16):
        factor = scaling(float(np.float32(spec.input.scale / spec.output.scale)), "factor")
        limits = spec.output.zero_point, spec.output.code_max
        codes = rescale(spec.input.codes(), offsets_of(spec), factor, limits)
        assert np.array_equal(codes, relu_codes(spec))


@pytest.mark.parametrize(("bits", "count"), [(8, 60), (16, 6)])
def test_prelu_is_tflms_in_every_channel(bits, count):
    rng = np.random.default_rng(4)
    for spec in specs(bits, count, 5):
        slope = Grid(10 ** rng.uniform(-3, -1.5), int(rng.integers(-128, 128)), 8)
        alphas = np.array([-128, 127, slope.zero_point, *rng.integers(-128, 128, 5)])
        offsets, factors = offsets_of(spec), prelu_parameters(spec, slope)
        values = alphas - slope.zero_point
        codes = prelu(spec.input.codes()[:, None], values, offsets, factors)
        assert codes.shape == (1 << bits, alphas.size)
        for channel, alpha in enumerate(alphas.tolist()):
            assert np.array_equal(codes[:, channel], prelu_codes(spec, slope, alpha))
        (alone,) = prelu(spec.input.codes()[None, :, None], values[:1], offsets, factors)
        assert np.array_equal(alone[:, 0], codes[:, 0])


def test_hard_swish_s8_is_tflms(refuses):
    refused = 0
    for spec in specs(8, 400, 6, decades=2.3):
        expected = hard_swish_codes(spec)
        if expected is None:
            refused += 1
            with refuses("in_scale / out_scale", "< 128"):
                hard_swish_parameters_s8(spec)
            continue
        parameters = hard_swish_parameters_s8(spec)
        codes = hard_swish_s8(spec.input.codes(), offsets_of(spec), *parameters)
        assert np.array_equal(codes, expected)
    assert 0 < refused < 100


def test_hard_swish_s8_refuses_scales_that_shift_too_far(refuses):
    spec = QuantSpec(Grid(2.0**31, 0, 8), Grid(2.0**31, 0, 8))
    assert hard_swish_codes(spec) is None
    with refuses("in_scale", "2^31 * 3 / 256"):
        hard_swish_parameters_s8(spec)


RATIOS = (2.0**-20, 2.0**-17, 2.0**-16, 0.001, 0.3, 0.9999999, 1.0, 2.0, 7.9, 100.0, 255.99999)
INPUTS = (2.0**-70, 2.0**-40, 1e-6, 3 / 32768, 0.0002, 0.01, 1.0, 5.9999995, 6.0, 7.0, 2.0**40)


def hard_swish_errors(spec, rounding):
    """The largest distances to the real function, in codes, and to the rounded code."""
    truth = ideal(activation("hard_swish"), spec)
    codes = hard_swish_s16(
        spec.input.codes(),
        offsets_of(spec),
        *hard_swish_parameters_s16(spec),
        rounding=rounding,
    )
    return np.abs(codes - truth.lsb).max(), np.abs(codes - truth.codes).max()


@pytest.mark.slow
def test_hard_swish_s16_is_within_its_bound_on_every_input_for_many_quantisations(rounding):
    rng = np.random.default_rng(7)
    worst, worst_code = 0.0, 0
    made = [(ratio, scale, zero) for ratio in RATIOS for scale in INPUTS for zero in (0, 1, 2)]
    made += [(10 ** rng.uniform(-1, 2.4), 10 ** rng.uniform(-5, 1), 3) for _ in range(60)]
    for ratio, scale, kind in made:
        zeros = [(0, 0), (-32768, 32767), (32767, -32768), rng.integers(-32768, 32768, 2).tolist()]
        zero_in, zero_out = zeros[kind]
        spec = QuantSpec(Grid(scale, zero_in, 16), Grid(scale / ratio, zero_out, 16))
        if spec.input.scale / spec.output.scale >= 256:
            continue
        error, code = hard_swish_errors(spec, rounding)
        worst, worst_code = max(worst, error), max(worst_code, code)
    print(f"hard_swish_s16, {rounding}: {worst:.4f} codes, {len(made)} quantisations")
    assert worst < 0.53
    assert worst_code <= 1


def test_hard_swish_s16_is_within_its_bound(rounding):
    for spec in specs(16, 4, 8):
        error, code = hard_swish_errors(spec, rounding)
        assert error < 0.53
        assert code <= 1


def test_a_wrong_gate_of_hard_swish_s16_would_be_noticed():
    spec = QuantSpec(Grid(0.0003, 0, 16), Grid(0.0003, 0, 16))
    output, gate = hard_swish_parameters_s16(spec)
    wrong = Scaling(gate.multiplier + (1 << 16), gate.shift)
    codes = hard_swish_s16(spec.input.codes(), offsets_of(spec), output, wrong)
    assert np.abs(codes - ideal(activation("hard_swish"), spec).lsb).max() > 0.53


def test_hard_swish_s16_refuses_a_ratio_that_its_bound_does_not_hold_for(refuses):
    with refuses("in_scale / out_scale", "256"):
        hard_swish_parameters_s16(QuantSpec(Grid(256.0, 0, 16), Grid(1.0, 0, 16)))


def lut_lookup(value, table):
    """TFLM's LUTLookup for int16, as its source has it."""
    index = 256 + (value >> 7)
    slope = table[index + 1] - table[index]
    assert -32768 <= slope <= 32767
    return table[index] + ((slope * (value & 0x7F) + 64) >> 7)


def test_lut_interp_is_tflms_lookup_of_513_entries():
    rng = np.random.default_rng(9)
    rising = np.clip(np.cumsum(rng.integers(-300, 400, 513)) - 20000, -32768, 32767)
    for table in (rising, -rising[::-1] - 1, rng.integers(-16384, 16384, 513)):
        codes = all_codes(16)
        expected = [lut_lookup(value, table.tolist()) for value in codes.tolist()]
        assert lut_interp_s16(codes, table, 7, 0, 64).tolist() == expected
        assert lut_interp_s16(codes, table, 7, 0, 63).tolist() != expected


@pytest.mark.parametrize(("name", "low", "high"), [("tanh", -4, 4), ("gelu", -6, 6)])
def test_lut_interp_serves_the_fitted_tables_of_the_family_interp(spec_of, name, low, high):
    act = activation(name)
    options = Options(fold=False, objective="bytes")  # knots, not lines
    problem = Problem(act, spec_of(act, low, high, 16, 16), Limits(1), options)
    found = fit(problem, "interp")
    (table,) = found.kernel.tables
    assert table.bits == 16
    parameters = found.candidate.parameters
    offset = offset_of(found.candidate.kernel)
    codes = lut_interp_s16(
        all_codes(16),
        np.array(table.values),
        parameters["spacing_log2"],
        parameters["fraction_bits"],
        offset,
    )
    assert np.array_equal(codes, found.kernel.outputs)


def offset_of(kernel):
    """The offset of an interp kernel: the constant that is added before its last shift, or 0."""
    (line,) = [node for node in topological(kernel.expression) if node.name == "line"]
    total = line.args[0]
    constants = [one.value for one in total.args if one.op is Op.CONST]
    return constants[0] if total.op is Op.ADD and constants else 0


def test_lut_s8_reads_a_fitted_table(spec_of):
    act = activation("sigmoid")
    spec = spec_of(act)
    results = ideal(act, spec).codes
    assert np.array_equal(lut_s8(all_codes(8), np.roll(results, 128)), results)
    assert not np.array_equal(lut_s8(all_codes(8), results), results)
    assert certify(act, spec, fit(Problem(act, spec), "lut").kernel).max_error_codes == 0
