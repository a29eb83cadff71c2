"""Family ``tflm`` against tflite-runtime 2.14, whose kernels are TFLM's but for three things.

Its int8 LOGISTIC and TANH are tables made in float when a model is prepared, by the reference
resolver too (``float_table``), not TFLM's fixed-point arithmetic: DIFFERENT lists each code at
which these differ; what TFLM itself gives is in tests/fit/test_tflm.py. Its RELU6 rescales, as
TFLM's does not, so equal grids are compared. Its reference resolver has no ELU; the default one
has.
One model holds an operator for each random quantisation, so that one child process runs them all.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from embact.activations import activation
from embact.errors import EmbactError
from embact.fit.problem import Problem
from embact.fit.tflm import tflm
from embact.fit.tflm_arithmetic import prelu_codes
from embact.grid import Grid, QuantSpec
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import Data

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tflite-runtime's wheels end at CPython 3.11"
)
TIMEOUT_S = 60.0
OPS = {
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "hard_swish": "HARD_SWISH",
    "leaky_relu": "LEAKY_RELU",
    "relu": "RELU",
    "relu6": "RELU6",
    "elu": "ELU",
}
CASES = [
    *((name, 8) for name in OPS),
    *((name, 16) for name in ("sigmoid", "tanh", "leaky_relu", "relu")),
]
TABLES = ("sigmoid", "tanh")
"""What is a float table there for int8."""
DIFFERENT = {"sigmoid": [(0.03849222511053085, -125, -5, 126, 125)], "tanh": []}
"""(input scale, zero point, input code, code there, TFLM's code) of MANY quantisations of seed 2:
all that there are. It is 253.49998 codes above the least, a tie in float32."""
FEW, MANY = {8: 12, 16: 2}, {8: 200, 16: 10}


def drawn(rng, name, bits):
    """An activation and grids that its operator accepts: scales over three decades."""
    half = 1 << (bits - 1)
    zero = (lambda: int(rng.integers(-half, half))) if bits == 8 else (lambda: 0)
    source = Grid(8 / half * 10 ** rng.uniform(-1.5, 1.5), zero(), bits)
    settings = {}
    if name in ("sigmoid", "tanh"):
        if bits == 16 and rng.random() < 0.2:
            source = Grid(2.0 ** -int(rng.integers(10, 14)), 0, 16)
        low, scale = (-half, 1 / 256) if name == "sigmoid" else (0, 1 / 128)
        target = Grid(scale, low, 8) if bits == 8 else Grid(1 / 32768, 0, 16)
    else:
        target = Grid(source.scale * 10 ** rng.uniform(-1.0, 1.0), zero(), bits)
    if name == "relu6":
        target = source
    if name == "leaky_relu":
        settings = {"alpha": float(np.float32(rng.uniform(-1.5, 1.5)))}
    return activation(name, **settings), QuantSpec(source, target)


def interpreted(build, op, cases, *, slopes=None):
    """What the interpreter gives for all inputs of each (options, spec)."""
    tensors, nodes, sources, targets = [], [], [], []
    for number, (fields, spec) in enumerate(cases):
        first, shape = len(tensors), (1, 1 << spec.input.bits)
        for grid in (spec.input, spec.output):
            kind = grid.dtype.upper()
            label = f"t{len(tensors)}"
            tensors.append(build.Tensor(label, kind, (grid.scale,), grid.zero_point, shape))
        operands = (first,)
        if slopes:
            grid, code = slopes[number]
            octets = np.int8(code).tobytes()
            tensors.append(
                build.Tensor(f"s{first}", "INT8", (grid.scale,), grid.zero_point, (1,), octets)
            )
            operands = (first, first + 2)
        nodes.append(build.Node(op, operands, (first + 1,), build.options(op, **fields)))
        sources.append(first)
        targets.append(first + 1)
    model = build.model_of(tensors, nodes, sources, targets)
    inputs = tuple(spec.input.codes().astype(spec.input.dtype)[None] for _, spec in cases)
    resolver = "default" if op == "ELU" else "reference"
    runner = Runner("tflite-runtime", resolver, TIMEOUT_S)
    outputs = run_model(model, Data(inputs, None), (), runner=runner)
    assert outputs.runtime == "tflite-runtime 2.14.0"
    return [array.ravel() for array in outputs.arrays]


def options_of(act):
    return act.settings() if act.name == "leaky_relu" else {}


def compared(build, name, bits, count, seed):
    """The quantisations, and the interpreter's and our codes: arrays (count, inputs)."""
    rng = np.random.default_rng(seed)
    cases = [drawn(rng, name, bits) for _ in range(count)]
    seen = interpreted(build, OPS[name], [(options_of(act), spec) for act, spec in cases])
    kernels = [next(tflm(Problem(act, spec))).kernel for act, spec in cases]
    return [spec for _, spec in cases], np.stack(seen), np.stack([k.outputs for k in kernels])


def float_table(name, spec):
    """The table that TFLite makes in float32 for int8, with exp and tanh rounded once.

    Source: PopulateLookupTable of tensorflow/lite/kernels/activations.cc, and LUTPopulate of
    internal/common.h, which came after it and is the same arithmetic.
    """
    codes = spec.input.codes()
    real = np.float32(spec.input.scale * (codes - spec.input.zero_point))
    with np.errstate(over="ignore"):  # an infinity gives 0
        if name == "tanh":
            value = np.float32(np.tanh(np.float64(real)))
        else:
            value = np.float32(1) / (np.float32(1) + np.float32(np.exp(-np.float64(real))))
    steps = np.float64(value * (np.float32(1) / np.float32(spec.output.scale)))
    rounded = np.copysign(np.floor(np.abs(steps) + 0.5), steps).astype(int)
    return np.clip(rounded + spec.output.zero_point, -128, 127)


def differing(specs, seen, ours):
    """Where the codes differ, as DIFFERENT lists it."""
    return [
        (specs[i].input.scale, specs[i].input.zero_point, int(j) - 128, seen[i, j], ours[i, j])
        for i, j in np.argwhere(seen != ours)
    ]


def drawn_prelu(count, seed):
    rng = np.random.default_rng(seed)
    specs = [drawn(rng, "leaky_relu", 8)[1] for _ in range(count)]
    zeros, codes = rng.integers(-128, 128, (2, count)).tolist()
    slopes = [Grid(10 ** rng.uniform(-3.0, -1.5), zero, 8) for zero in zeros]
    return specs, list(zip(slopes, codes, strict=True))


def prelu_distances(build, count, seed):
    specs, slopes = drawn_prelu(count, seed)
    seen = interpreted(build, "PRELU", [({}, spec) for spec in specs], slopes=slopes)
    ours = [prelu_codes(spec, *slope) for spec, slope in zip(specs, slopes, strict=True)]
    return np.stack([np.abs(a - b) for a, b in zip(ours, seen, strict=True)])


@pytest.mark.parametrize(("name", "bits"), CASES)
def test_every_code_is_the_interpreters(build, name, bits):
    _, seen, ours = compared(build, name, bits, FEW[bits], 1)
    assert seen.shape == (FEW[bits], 1 << bits)
    assert np.array_equal(seen, ours)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bits"), CASES)
def test_every_code_is_the_interpreters_for_many_quantisations(build, name, bits):
    specs, seen, ours = compared(build, name, bits, MANY[bits], 2)
    if bits == 8 and name in TABLES:
        assert differing(specs, seen, ours) == DIFFERENT[name]
    else:
        assert np.array_equal(seen, ours)


def is_float_table(build, name, count, seed):
    specs, seen, _ = compared(build, name, 8, count, seed)
    return np.array_equal(seen, [float_table(name, spec) for spec in specs])


@pytest.mark.parametrize("name", TABLES)
def test_int8_codes_of_the_interpreter_are_those_of_a_float_table(build, name):
    assert is_float_table(build, name, FEW[8], 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_int8_codes_are_those_of_a_float_table_for_many_quantisations(build, name):
    assert is_float_table(build, name, MANY[8], 2)


def test_a_float_table_of_another_scale_would_be_noticed(build):
    (spec, *_), (seen, *_), _ = compared(build, "tanh", 8, 1, 1)
    other = QuantSpec(Grid(spec.input.scale * 1.1, spec.input.zero_point, 8), spec.output)
    assert not np.array_equal(seen, float_table("tanh", other))


def test_every_prelu_code_is_the_interpreters(build):
    assert not prelu_distances(build, 12, 1).any()


@pytest.mark.slow
def test_every_prelu_code_is_the_interpreters_for_many_quantisations(build):
    assert not prelu_distances(build, 200, 2).any()


@pytest.mark.parametrize("bits", [8, 16])
def test_alphas_that_are_powers_of_two_round_ties_alike(build, bits):
    grid = Grid(2.0**-bits, 0, bits)
    alphas = [0.5, -0.5, 0.25, -0.125, 0.0, 1.0]
    seen = interpreted(
        build, "LEAKY_RELU", [({"alpha": alpha}, QuantSpec(grid, grid)) for alpha in alphas]
    )
    for alpha, codes in zip(alphas, seen, strict=True):
        (candidate,) = tflm(Problem(activation("leaky_relu", alpha=alpha), QuantSpec(grid, grid)))
        assert np.array_equal(candidate.kernel.outputs, codes), alpha


def test_another_alpha_would_be_noticed(build):
    grid = Grid(2.0**-8, 0, 16)
    (seen,) = interpreted(build, "LEAKY_RELU", [({"alpha": 0.3}, QuantSpec(grid, grid))])
    (candidate,) = tflm(Problem(activation("leaky_relu", alpha=0.3001), QuantSpec(grid, grid)))
    assert np.abs(candidate.kernel.outputs - seen).max() > 0


REFUSED = {
    "hard_swish": QuantSpec(Grid(0.05, 0, 8), Grid(0.05 / 300, 0, 8)),
    "sigmoid": QuantSpec(Grid(0.001, 1, 16), Grid(1 / 32768, 0, 16)),
    "tanh": QuantSpec(Grid(0.001, 0, 16), Grid(1 / 16384, 0, 16)),
    "relu": QuantSpec(Grid(0.001, 0, 16), Grid(0.001, 5, 16)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_interpreter_refuses_has_no_kernel(build, name):
    spec = REFUSED[name]
    assert list(tflm(Problem(activation(name), spec))) == []
    with pytest.raises(EmbactError, match=r"tflite-runtime 2\.14\.0"):
        interpreted(build, OPS[name], [({}, spec)])
