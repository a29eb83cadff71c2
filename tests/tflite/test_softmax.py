"""Softmax and log_softmax against TFLite's reference resolver, and against what TFLM gave.

tflite-runtime 2.14's reference resolver has gemmlowp's fixed point for int8, as TFLM; its int16
tables are those of mode ``tflite``. Rows of int8 outputs whose exponentials sum to 512 or more have
no bits to be equal to: TFLM and LiteRT stop at a failed check, and tflite-runtime shifts too far.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from embact.nn.softmax import Softmax
from embact.tflite.host.child import Runner, run_model
from embact.tflite.host.data import Data

WITH_RUNTIME = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tflite-runtime's wheels end at CPython 3.11"
)
TIMEOUT_S = 120.0
FORMS = {
    "s8": (8, 8, False),
    "s8_s16": (8, 16, False),
    "s16": (16, 16, False),
    "log_s8": (8, 8, True),
}
SIZES = (1, 2, 3, 10, 64, 257, 1001, 4096)

SEEN_IN_TFLM = {
    "s8": "df609da9967e33924836a6548590ee890cc2f465678f0ea050eb219e53431f8b",
    "s8_s16": "47d013c76e2f563e3e942b7e0b52d0fedad0d55c285365478c53bcf6a41c40d9",
    "s16": "8b70efbb3bbc5f618c428d24c2ee5a9aa5311b1dd5986ec6b641e127caa481d3",
    "log_s8": "6c08cb8c7635dbddcbd28be1fe8ff2ee6f7a8b3a75f6f8f642986a50b5cd39b2",
}
"""SHA-256 of the outputs of tflite-micro 0.dev20261023182759 (PyPI, x86-64), an interpreter of TFLM
itself, for the rows of ``numbered``, one case after the other, as little-endian int16."""


def mixed(count, seed):
    """Numbers 0..2**16 - 1 that look random, by a formula that no library version changes."""
    value = np.arange(count, dtype=np.uint64) + np.uint64(seed * 1_000_003)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        value = (value ^ (value >> np.uint64(29))) * np.uint64(factor)
    return (value >> np.uint64(40)).astype(np.int64) & 0xFFFF


def rows_of(bits, count, size, seed):
    """Rows whose spread is halved from row to row, about any middle."""
    half = 1 << (bits - 1)
    numbers = mixed(count * size, seed).reshape(count, size) - (1 << 15)
    spread = (np.arange(count) % bits)[:, None] + 16 - bits
    middle = (mixed(count, seed + 1)[:, None] - (1 << 15)) >> (16 - bits)
    return np.clip((numbers >> spread) + middle, -half, half - 1).astype(f"int{bits}")


def summing_below(asked, rows):
    """The rows whose exponentials sum to less than 511, where that matters."""
    if (asked.out_bits, asked.log) != (8, False):
        return rows
    below = (rows.astype(np.float64) - rows.max(axis=1, keepdims=True)) * asked.product
    return rows[np.exp(below).sum(axis=1) < 511]


def adversarial(bits, size):
    """Rows: all equal, one-hot, saturated, all but one the largest, a ramp, neighbours."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    place = np.arange(size)
    rows = [
        np.full(size, low),
        np.full(size, high - 3),
        np.where(place == size // 2, high, low),
        np.where(place % 2 == 0, high, low),
        np.where(place == size // 3, low, high),
        np.linspace(low, high, size).round(),
        high - place % 3,
        low + place % 2,
    ]
    return np.stack(rows).astype(f"int{bits}")


def numbered(form):
    """40 cases of (softmax, rows) for what TFLM gave."""
    in_bits, out_bits, log = FORMS[form]
    for number in range(40):
        scale = (0.003 if in_bits == 8 else 2e-5) * 1.17**number
        beta = 1.0 if log else (1.0, 0.5, 1.3)[number % 3]
        asked = Softmax(scale, beta, in_bits, out_bits, "tflm", log)
        size = SIZES[number % len(SIZES)]
        rows = [rows_of(in_bits, 4000 // size + 3, size, number), adversarial(in_bits, size)]
        if log and size == 4096:  # their sum overflows there
            rows[1] = rows[1][2:]
        yield asked, summing_below(asked, np.concatenate(rows))


def sha256_of(form, change=0):
    digest = hashlib.sha256()
    for number, (asked, rows) in enumerate(numbered(form)):
        outputs = asked(rows).astype("<i2")
        if number == 1:
            outputs[0, 0] ^= change
        digest.update(outputs.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("form", FORMS)
def test_every_code_is_what_tflm_gave(form):
    assert sha256_of(form) == SEEN_IN_TFLM[form]


def test_one_changed_code_would_be_noticed():
    assert sha256_of("s8", change=1) != SEEN_IN_TFLM["s8"]


def test_tflms_int16_table_is_not_tflites():
    rows = rows_of(16, 2000, 10, 3)
    tflm, tflite = (Softmax(1e-4, 1.0, 16, 16, mode) for mode in ("tflm", "tflite"))
    assert np.abs(tflm(rows) - tflite(rows)).max() == 1


def interpreted(build, cases):
    """What the interpreter gives for each (softmax, rows): one operator of one model each."""
    tensors, nodes = [], []
    for asked, rows in cases:
        first, shape = len(tensors), (1, *rows.shape)
        grid = asked.output
        tensors += [
            build.Tensor(f"t{first}", f"INT{asked.in_bits}", (asked.scale,), 0, shape),
            build.Tensor(
                f"t{first + 1}", grid.dtype.upper(), (grid.scale,), grid.zero_point, shape
            ),
        ]
        op = "LOG_SOFTMAX" if asked.log else "SOFTMAX"
        options = None if asked.log else build.options(op, beta=asked.beta)
        nodes.append(build.Node(op, (first,), (first + 1,), options))
    places = range(0, len(tensors), 2)
    model = build.model_of(tensors, nodes, list(places), [place + 1 for place in places])
    inputs = tuple(rows[None] for _, rows in cases)
    runner = Runner("tflite-runtime", "reference", TIMEOUT_S)
    outputs = run_model(model, Data(inputs, None), (), runner=runner)
    assert outputs.runtime == "tflite-runtime 2.14.0"
    return [
        array.reshape(rows.shape) for array, (_, rows) in zip(outputs.arrays, cases, strict=True)
    ]


def drawn(form, seed, outputs):
    """Random and adversarial cases of at least so many outputs."""
    in_bits, out_bits, log = FORMS[form]
    rng = np.random.default_rng(seed)
    cases, number = [], 0
    while sum(rows.size for _, rows in cases) < outputs:
        scale = 10 ** (rng.uniform(-2.7, 0.7) if in_bits == 8 else rng.uniform(-5.5, -1.0))
        beta = 1.0 if log or number % 2 else 10 ** rng.uniform(-0.7, 0.7)
        asked = Softmax(scale, beta, in_bits, out_bits, "tflite", log)
        size = SIZES[number % len(SIZES)]
        rows = [rows_of(in_bits, 16000 // size, size, seed + number), adversarial(in_bits, size)]
        if log and size == 4096:
            rows[1] = rows[1][2:]
        kept = summing_below(asked, np.concatenate(rows))
        number += 1
        if len(kept):
            cases.append((asked, kept))
    return cases


def differing(build, cases):
    seen = interpreted(build, cases)
    return [
        int(np.count_nonzero(asked(rows) != codes))
        for (asked, rows), codes in zip(cases, seen, strict=True)
    ]


@WITH_RUNTIME
@pytest.mark.parametrize("form", FORMS)
def test_a_million_codes_are_the_reference_resolvers(build, form):
    cases = drawn(form, 1000, 1_000_000)
    assert sum(rows.size for _, rows in cases) >= 1_000_000
    assert {rows.shape[1] for _, rows in cases} == set(SIZES)
    assert not any(differing(build, cases))


@WITH_RUNTIME
def test_log_softmax_is_cut_off_where_the_reference_resolver_does(build):
    """At and above powers of two its input radius is less than the 16 that codes reach."""
    rows = np.stack([np.full(256, 127), np.arange(127, -129, -1)], axis=1).astype(np.int8)
    scales = [2.0**-power * more for power in range(9) for more in (0.999, 1.0, 1.007, 1.015)]
    cases = [(Softmax(scale, mode="tflite", log=True), rows) for scale in scales]
    assert not any(differing(build, cases))
    exact = Softmax(1 / 16, mode="exact", log=True)(rows)
    assert np.abs(exact - cases[17][0](rows)).max() == 6  # more than rounding


@WITH_RUNTIME
def test_another_beta_would_be_noticed(build):
    asked, rows = drawn("s8", 2, 30_000)[1]
    (codes,) = interpreted(build, [(asked, rows)])
    assert np.array_equal(asked(rows), codes)
    assert not np.array_equal(Softmax(asked.scale, asked.beta * 1.01)(rows), codes)


@WITH_RUNTIME
def test_the_reference_resolvers_sum_of_512_is_no_softmax(build):
    cases = [(Softmax(0.1), np.zeros((1, size), dtype=np.int8)) for size in (511, 512)]
    seen = [set(codes.ravel().tolist()) for codes in interpreted(build, cases)]
    assert seen == [{-127}, {127}]  # 256/512 is half a code
    ours = [set(asked(rows).ravel().tolist()) for asked, rows in cases]
    assert ours == [{-127}, {-128}]


@WITH_RUNTIME
@pytest.mark.parametrize(("form", "apart"), [("s8", 1), ("log_s8", 1)])
def test_exact_codes_are_within_a_code_of_the_reference_resolvers(build, form, apart):
    cases = drawn(form, 3, 130_000)
    for (asked, rows), codes in zip(cases, interpreted(build, cases), strict=True):
        exact = Softmax(asked.scale, asked.beta, mode="exact", log=asked.log)(rows)
        assert np.abs(exact - codes).max() <= apart
