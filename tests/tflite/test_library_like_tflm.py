"""The C library against the interpreters themselves, as compiled C, on every input.

tflite-runtime 2.14 has TFLM's kernels. LiteRT 2.3 has what came to TFLM in 2026: LEAKY_RELU of a
negative alpha is negated after rounding. PRELU of int16 is in neither as TFLM has it: LiteRT rounds
it otherwise, 1 code in 10,000. What TFLM gives for it is in tests/nn/test_definitions.py.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from embact.fit.tflm_arithmetic import leaky_relu_codes
from embact.grid import Grid, QuantSpec
from embact.nn.arithmetic import offsets_of
from embact.nn.hard_swish import hard_swish_parameters_s8
from embact.nn.library import declarations, library_files
from embact.nn.prelu import prelu_parameters
from embact.nn.rescale import leaky_relu_parameters
from embact.run.build import extension
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import Data

needs_oracle = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tflite-runtime's wheels end at CPython 3.11"
)
FUNCTIONS = (
    "embact_hard_swish_s8",
    "embact_leaky_relu_s8",
    "embact_leaky_relu_s16",
    "embact_prelu_s8",
)


@pytest.fixture(scope="module")
def library():
    built = extension("nn_tflm", declarations(FUNCTIONS), library_files(FUNCTIONS))

    def call(name, source, *arguments):
        """The outputs of a function whose arguments are the input, and these but for "output"."""
        target = np.zeros_like(source)

        def pointer(array):
            return built.ffi.from_buffer(f"{array.dtype.name}_t[]", array)

        given = [target if isinstance(one, str) else one for one in arguments]
        given = [pointer(one) if isinstance(one, np.ndarray) else one for one in given]
        assert getattr(built.lib, name)(pointer(source), *given) == 0
        return target

    return call


def quantisation(rng, bits, *, centred=False):
    half = 1 << (bits - 1)
    zeros = [0, 0] if centred else rng.integers(-half, half, 2).tolist()
    scale = 8 / half * 10 ** rng.uniform(-1.5, 1.5)
    target = scale * 10 ** rng.uniform(-1.0, 1.0)
    return QuantSpec(Grid(scale, zeros[0], bits), Grid(target, zeros[1], bits))


def interpreted(build, runtime, op, cases):
    """What an interpreter gives for (spec, input codes, operator's fields, slopes or None)."""
    tensors, nodes, sources, targets, inputs = [], [], [], [], []
    for spec, codes, fields, slopes in cases:
        first = len(tensors)
        for grid in (spec.input, spec.output):
            kind = grid.dtype.upper()
            tensors.append(
                build.Tensor(f"t{len(tensors)}", kind, (grid.scale,), grid.zero_point, codes.shape)
            )
        operands = (first,)
        if slopes is not None:
            grid, alphas = slopes
            shape, octets = alphas.shape, alphas.astype(np.int8).tobytes()
            tensors.append(
                build.Tensor(f"s{first}", "INT8", (grid.scale,), grid.zero_point, shape, octets)
            )
            operands = (first, first + 2)
        nodes.append(build.Node(op, operands, (first + 1,), build.options(op, **fields)))
        sources.append(first)
        targets.append(first + 1)
        inputs.append(codes)
    model = build.model_of(tensors, nodes, sources, targets)
    runner = Runner(runtime, "reference", 120.0)
    arrays = run_model(model, Data(tuple(inputs), None), (), runner=runner).arrays
    return [array.reshape(given.shape) for array, given in zip(arrays, inputs, strict=True)]


def flat(spec):
    return spec.input.codes().astype(spec.input.dtype)[None]


def images(spec, channels):
    """NHWC codes in which every channel sees every input."""
    codes = spec.input.codes().astype(spec.input.dtype)
    rolled = np.stack([np.roll(codes, 7 * channel) for channel in range(channels)], axis=-1)
    return np.ascontiguousarray(rolled.reshape(1, 16, 16, channels))


def prelu_cases(rng, count):
    made = []
    for _ in range(count):
        spec, channels = quantisation(rng, 8), int(rng.choice([1, 2, 5, 16]))
        slope = Grid(10 ** rng.uniform(-3.0, -1.5), int(rng.integers(-128, 128)), 8)
        number = int(rng.choice([1, channels]))
        made.append((spec, images(spec, channels), {}, (slope, rng.integers(-128, 128, number))))
    return made


def prelu_in_c(library, spec, codes, slope, alphas):
    offsets, (one, other) = offsets_of(spec), prelu_parameters(spec, slope)
    channels = codes.shape[-1]
    return library(
        "embact_prelu_s8",
        codes,
        offsets.input,
        alphas.astype(np.int8),
        -slope.zero_point,
        int(alphas.size > 1),
        "output",
        offsets.output,
        *(one.multiplier, one.shift, other.multiplier, other.shift),
        codes.size // channels,
        channels,
    )


@pytest.mark.parametrize("runtime", [pytest.param("tflite-runtime", marks=needs_oracle), "litert"])
def test_prelu_per_tensor_and_per_channel_is_the_interpreters(build, library, runtime):
    cases = prelu_cases(np.random.default_rng(1), 40)
    for (spec, codes, _, slopes), seen in zip(
        cases, interpreted(build, runtime, "PRELU", cases), strict=True
    ):
        assert np.array_equal(prelu_in_c(library, spec, codes, *slopes), seen)


@needs_oracle
def test_prelu_with_the_slopes_of_other_channels_would_be_noticed(build, library):
    rng = np.random.default_rng(2)
    spec = quantisation(rng, 8)
    slope, alphas = Grid(0.01, 0, 8), np.array([-100, 3, 50, 90])
    codes = images(spec, 4)
    (seen,) = interpreted(build, "tflite-runtime", "PRELU", [(spec, codes, {}, (slope, alphas))])
    assert np.array_equal(prelu_in_c(library, spec, codes, slope, alphas), seen)
    turned = prelu_in_c(library, spec, codes, slope, np.roll(alphas, 1))
    assert not np.array_equal(turned, seen)


def leaky_cases(rng, bits, count, low, high):
    made = []
    for _ in range(count):
        spec = quantisation(rng, bits, centred=bits == 16)
        made.append((spec, flat(spec), {"alpha": float(np.float32(rng.uniform(low, high)))}, None))
    grid = Grid(2.0**-bits, 0, bits)
    ties = [sign * alpha for alpha in (0.5, 0.25, 0.75, 1.0) for sign in (-1.0, 1.0)]
    spec = QuantSpec(grid, grid)
    made += [(spec, flat(spec), {"alpha": a}, None) for a in ties if low <= a <= high]
    return made


def leaky_in_c(library, spec, codes, alpha):
    offsets, (one, other) = offsets_of(spec), leaky_relu_parameters(spec, alpha)
    return library(
        f"embact_leaky_relu_s{offsets.bits}",
        codes,
        offsets.input,
        "output",
        offsets.output,
        *(one.multiplier, one.shift, other.multiplier, other.shift),
        codes.size,
    )


@pytest.mark.parametrize(
    ("runtime", "low"),
    [pytest.param("tflite-runtime", 0.0, marks=needs_oracle), ("litert", -1.5)],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_leaky_relu_is_the_interpreters(build, library, runtime, low, bits):
    count = {8: 60, 16: 4}[bits]
    cases = leaky_cases(np.random.default_rng(3), bits, count, low, 1.5)
    for (spec, codes, fields, _), seen in zip(
        cases, interpreted(build, runtime, "LEAKY_RELU", cases), strict=True
    ):
        assert np.array_equal(leaky_in_c(library, spec, codes, fields["alpha"]), seen), fields


def test_negative_alphas_tell_the_versions_of_tflm_apart(library):
    """Negative control of the ties above: the older rule gives other codes there alone."""
    grid = Grid(2.0**-8, 0, 8)
    spec = QuantSpec(grid, grid)
    for alpha, differing in ((-0.5, 64), (-0.25, 32), (-1.0, 0), (0.5, 0)):
        codes = leaky_in_c(library, spec, flat(spec), alpha).ravel()
        assert np.count_nonzero(codes != leaky_relu_codes(spec, alpha)) == differing


@needs_oracle
def test_hard_swish_is_the_interpreters(build, library):
    rng = np.random.default_rng(4)
    cases = [(spec, flat(spec), {}, None) for spec in (quantisation(rng, 8) for _ in range(60))]
    for (spec, codes, _, _), seen in zip(
        cases, interpreted(build, "tflite-runtime", "HARD_SWISH", cases), strict=True
    ):
        offsets, (output, gate) = offsets_of(spec), hard_swish_parameters_s8(spec)
        found = library(
            "embact_hard_swish_s8",
            codes,
            offsets.input,
            "output",
            offsets.output,
            *(output.multiplier, output.shift, gate.multiplier, gate.shift, codes.size),
        )
        assert np.array_equal(found, seen)
