"""Gated units: the C against its twin, the twin against the real product, and the written files."""

import dataclasses
import itertools
import re
import subprocess

import mpmath
import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.fit.tflm_arithmetic import Scaling
from embact.grid import Grid, all_codes
from embact.nn.glu import GATE_BYTES, Grids, glu, kernel_gate, table_gates
from embact.nn.glu_header import Proved, command, glu_files, glu_header, statement
from embact.nn.glu_proof import best_of, certify_bound, certify_pairs, correct_codes
from embact.nn.library import library_files
from embact.run.build import extension
from embact.run.toolchain import STRICT

SYMMETRIC = Grids(Grid(0.03, 0, 8), Grid(0.05, 0, 8), Grid(0.1, 0, 8))
ASYMMETRIC = Grids(Grid(0.021, -77, 8), Grid(0.037, 41, 8), Grid(0.05, -100, 8))
SATURATING = Grids(Grid(0.3, 128 - 1, 8), Grid(0.5, -128, 8), Grid(0.002, 90, 8))
POWERS = Grids(Grid(2.0**-5, 3, 8), Grid(2.0**-5, -9, 8), Grid(2.0**-4, 0, 8))
QUANTISATIONS = {
    "symmetric": SYMMETRIC,
    "asymmetric": ASYMMETRIC,
    "saturating": SATURATING,
    "powers": POWERS,
}
GATES = ("sigmoid", "silu", "gelu", "relu", "tanh", "hard_swish", "mish")
WIDE = Grids(Grid(2.0**-12, 0, 16), Grid(2.0**-12, 0, 16), Grid(2.0**-12, 0, 16))
WIDE_OFFSETS = Grids(Grid(0.0004, -1234, 16), Grid(0.0003, 77, 16), Grid(0.003, 5, 16))
MULTIPLIERS = (0, 1, -1, (1 << 30) + 1, (1 << 31) - 1, 1 - (1 << 31))
SHIFTS = (-31, -17, -1, 0, 1, 7, 30)


def pairs(bits=8):
    """All pairs of int8 codes, as two flat arrays."""
    codes = all_codes(bits)
    return np.repeat(codes, codes.size), np.tile(codes, codes.size)


@pytest.fixture(scope="module")
def units():
    """(gate, quantisation) -> the best int8 unit."""
    return {
        (gate, name): best_of(table_gates(activation(gate), grids))
        for gate, (name, grids) in itertools.product(GATES, QUANTISATIONS.items())
    }


@pytest.fixture(scope="module")
def wide():
    """int16 units."""
    return {
        "sigmoid": kernel_gate(activation("sigmoid"), WIDE, 1, "interp"),
        "silu": kernel_gate(activation("silu"), WIDE_OFFSETS, 1, "interp"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("gate", ["sigmoid", "silu", "gelu"])
def test_the_default_gate_has_a_smaller_bound_than_one_of_1_code_and_keeps_its_bytes(gate):
    default = kernel_gate(activation(gate), WIDE)
    cheap = kernel_gate(activation(gate), WIDE, 1, "interp")
    assert default.table_bytes <= GATE_BYTES
    assert certify_bound(default).bound_lsb < certify_bound(cheap).bound_lsb
    again = kernel_gate(activation(gate), WIDE, None, default.kernel.family)
    assert again.kernel.kernel.digest == default.kernel.kernel.digest


# The C against its twin


def call_s8(nn, a, b, unit, *, target=None, flags=()):
    gate = np.array(unit.gate, dtype=np.int16)
    target = np.full(a.size, 85, dtype=np.int8) if target is None else target
    status = nn("embact_glu_s8", flags=flags).embact_glu_s8(
        *(a, -unit.grids.a.zero_point, a.size, b, b.size, gate),
        *(target, unit.grids.output.zero_point, unit.factor.multiplier, unit.factor.shift),
        *(1, a.size),
    )
    return status, target


@pytest.mark.parametrize("flags", [(), ("-DCMSIS_NN_USE_SINGLE_ROUNDING",)])
def test_int8_equals_its_twin_on_all_pairs(nn, units, flags):
    a, b = pairs()
    for key, (unit, _) in units.items():
        status, outputs = call_s8(nn, *(x.astype(np.int8) for x in (a, b)), unit, flags=flags)
        assert status == 0
        assert np.array_equal(outputs, unit(a, b)), key


def test_int8_equals_its_twin_for_every_factor_and_the_largest_gates(nn, units):
    a, b = pairs()
    unit, _ = units["silu", "asymmetric"]
    rng = np.random.default_rng(1)
    seen = set()
    for zero, out in ((-128, 127), (127, -128), (0, 0)):
        grids = Grids(Grid(1.0, zero, 8), Grid(1.0, 0, 8), Grid(1.0, out, 8))
        gate = rng.choice([-32768, 32767, 1, -1, 0, 12345], 256)
        for factor in itertools.starmap(Scaling, itertools.product(MULTIPLIERS, SHIFTS)):
            drawn = dataclasses.replace(unit, grids=grids, gate=tuple(gate.tolist()), factor=factor)
            status, outputs = call_s8(nn, a.astype(np.int8), b.astype(np.int8), drawn)
            assert (status, np.array_equal(outputs, drawn(a, b))) == (0, True), factor
            seen.add(outputs.tobytes())
    assert len(seen) > 30


def call_s16(nn, a, gate, grids, factor, *, target=None):
    target = np.full(a.size, 85, dtype=np.int16) if target is None else target
    status = nn("embact_glu_s16").embact_glu_s16(
        *(a, -grids.a.zero_point, a.size, gate, gate.size),
        *(target, grids.output.zero_point, factor.multiplier, factor.shift, 1, a.size),
    )
    return status, target


def test_int16_equals_its_twin_on_every_input_and_every_factor(nn):
    rng = np.random.default_rng(2)
    codes = all_codes(16)
    for zero, out in ((-32768, 32767), (32767, -32768), (0, 0)):
        grids = Grids(Grid(1.0, zero, 16), Grid(1.0, 0, 16), Grid(1.0, out, 16))
        for factor in itertools.starmap(Scaling, itertools.product(MULTIPLIERS, SHIFTS)):
            gate = rng.permutation(codes)
            gate[:: rng.integers(2, 99)] = rng.choice([-32768, 32767])
            status, outputs = call_s16(
                nn, codes.astype(np.int16), gate.astype(np.int16), grids, factor
            )
            wanted = glu(codes, gate, grids, factor)
            assert (status, np.array_equal(outputs, wanted)) == (0, True), factor


def test_the_twin_rounds_once_with_ties_away_from_zero():
    grids = Grids(Grid(1.0, 0, 8), Grid(1.0, 0, 8), Grid(1.0, 0, 8))
    a, gate = np.arange(-9, 10), np.array([3])
    half = Scaling(1 << 30, 0)
    exact = [(abs(v) * 3 + 1) // 2 * (1 if v > 0 else -1) for v in range(-9, 10)]
    assert glu(a, gate, grids, half).tolist() == exact


def test_another_factor_offset_or_gate_would_be_noticed(nn, units):
    a, b = pairs()
    unit, _ = units["gelu", "asymmetric"]
    _, outputs = call_s8(nn, a.astype(np.int8), b.astype(np.int8), unit)
    grids = unit.grids
    moved = dataclasses.replace(grids, a=Grid(grids.a.scale, grids.a.zero_point + 1, 8))
    changed = [*unit.gate]
    changed[200] += 300
    for other in (
        dataclasses.replace(unit, grids=moved),
        dataclasses.replace(unit, gate=tuple(changed)),
        dataclasses.replace(unit, factor=Scaling(unit.factor.multiplier, unit.factor.shift + 1)),
    ):
        assert not np.array_equal(outputs, other(a, b))


@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (3, 5), (7, 16), (2, 65)])
def test_rows_with_strides_and_packed_halves(nn, units, rows, channels):
    rng = np.random.default_rng(rows)
    unit, _ = units["silu", "asymmetric"]
    packed = rng.integers(-128, 128, (rows, 2 * channels)).astype(np.int8)
    gap = rng.integers(-128, 128, (rows, channels + 3)).astype(np.int8)
    gate = np.array(unit.gate, dtype=np.int16)
    library = nn("embact_glu_s8")
    rest = (
        *(unit.factor.multiplier, unit.factor.shift),
        *(rows, channels),
    )
    flat = packed.reshape(-1)
    offsets = -unit.grids.a.zero_point, unit.grids.output.zero_point
    for a, b, strides in (
        (flat, flat[channels:], (2 * channels, 2 * channels)),
        (gap.reshape(-1), flat[channels:], (channels + 3, 2 * channels)),
        (flat, gap.reshape(-1), (2 * channels, channels + 3)),
    ):
        target = np.full(rows * channels + 8, 85, dtype=np.int8)
        taken = [
            np.stack([x[r * s : r * s + channels] for r in range(rows)]).astype(np.int64)
            for x, s in zip((a, b), strides, strict=True)
        ]
        before = a.copy(), b.copy()
        status = library.embact_glu_s8(
            *(a, offsets[0], strides[0], b, strides[1], gate, target[4:-4], offsets[1], *rest)
        )
        assert status == 0
        assert np.array_equal(target[4:-4].reshape(rows, channels), unit(*taken))
        assert set(target[:4]) | set(target[-4:]) == {85}
        assert all(np.array_equal(*both) for both in zip(before, (a, b), strict=True))


def test_output_may_be_either_operand_or_the_packed_rows(nn, units, wide):
    rng = np.random.default_rng(3)
    unit, _ = units["sigmoid", "symmetric"]
    a, b = pairs()
    for place in (0, 1):
        operands = [a.astype(np.int8), b.astype(np.int8)]
        status, outputs = call_s8(nn, *operands, unit, target=operands[place])
        assert (status, np.array_equal(outputs, unit(a, b))) == (0, True)
    rows, channels = 9, 31
    packed = rng.integers(-128, 128, 2 * rows * channels).astype(np.int8)
    halves = packed.astype(np.int64).reshape(rows, 2, channels)
    status = nn("embact_glu_s8").embact_glu_s8(
        *(packed, 0, 2 * channels, packed[channels:], 2 * channels),
        *(np.array(unit.gate, dtype=np.int16), packed, 0),
        *(unit.factor.multiplier, unit.factor.shift, rows, channels),
    )
    assert status == 0
    got = packed[: rows * channels].reshape(rows, channels)
    assert np.array_equal(got, unit(halves[:, 0], halves[:, 1]))
    factor = wide["sigmoid"].factor
    for place in (0, 1):
        codes = [rng.integers(-32768, 32768, 4096).astype(np.int16) for _ in range(2)]
        wanted = glu(*(x.astype(np.int64) for x in codes), WIDE, factor)
        status, outputs = call_s16(nn, *codes, WIDE, factor, target=codes[place])
        assert (status, np.array_equal(outputs, wanted)) == (0, True)


RANGES = {
    8: {1: (-127, 128), 2: (4, None), 4: (4, None), 7: (-128, 127), 10: (1, None), 11: (1, None)},
    16: {1: (-32767, 32768), 2: (4, None), 4: (4, None), 6: (-32768, 32767), 9: (1, None)},
}


@pytest.mark.parametrize("bits", [8, 16])
def test_arguments_out_of_range_are_refused_before_anything_is_written(nn, bits):
    name = f"embact_glu_s{bits}"
    function = getattr(nn(name), name)
    dtype = np.dtype(f"int{bits}")
    one, other, target = (np.full(16, 85, dtype=dtype) for _ in range(3))
    table = [np.zeros(256, dtype=np.int16)] if bits == 8 else []
    good = [one, 0, 4, other, 4, *table, target, 0, 1 << 30, 0, 2, 4]
    factor = len(good) - 4
    ranges = RANGES[bits] | {factor: (1 - (1 << 31), (1 << 31) - 1), factor + 1: (-31, 30)}
    ranges |= {len(good) - 1: (1, 4)}  # more channels than a stride

    def status(arguments):
        target[:] = 85
        found = function(*arguments)
        return found, bool(np.all(target == 85))

    assert status(good) == (0, False)
    for place, value in enumerate(good):
        if isinstance(value, np.ndarray):
            assert status([*good[:place], None, *good[place + 1 :]]) == (-1, True), place
    for place, (low, high) in ranges.items():
        for bad in (low - 1, -(1 << 31), None if high is None else high + 1):
            if bad is not None and -(1 << 31) <= bad < 1 << 31 and not low <= bad:
                assert status([*good[:place], bad, *good[place + 1 :]]) == (-1, True), place
        if high is not None and high + 1 < 1 << 31:
            assert status([*good[:place], high + 1, *good[place + 1 :]]) == (-1, True), place
        for end in (low, high):
            if end is not None:
                assert status([*good[:place], end, *good[place + 1 :]])[0] == 0, (place, end)


# The twin against the real product


def exact_steps(unit, a, b):
    """The real product in output codes, by 60 digits."""
    grids = unit.grids
    with mpmath.workdps(60):
        real = mpmath.mpf(grids.b.scale) * (int(b) - grids.b.zero_point)
        value = unit.activation.exact(real) * mpmath.mpf(grids.a.scale)
        return value * (int(a) - grids.a.zero_point) / mpmath.mpf(grids.output.scale)


def rounded(unit, steps):
    with mpmath.workdps(60):
        whole = int(mpmath.floor(abs(steps) + mpmath.mpf(0.5)))
    grid = unit.grids.output
    return int(grid.clamp((whole if steps >= 0 else -whole) + grid.zero_point))


def test_correct_codes_are_those_of_sixty_digits(units):
    rng = np.random.default_rng(4)
    for unit, _ in units.values():
        codes, steps, _ = correct_codes(unit.activation, unit.grids)
        ties = np.abs(np.abs(steps % 1) - 0.5)
        ties[(codes == -128) | (codes == 127)] = 1
        near = np.argsort(ties, axis=None)[:12]
        for place in (*near, *rng.integers(0, 1 << 16, 12)):
            i, j = divmod(int(place), 256)
            assert codes[i, j] == rounded(unit, exact_steps(unit, i - 128, j - 128))


def test_int8_is_never_more_than_a_code_off(units):
    for key, (unit, proved) in units.items():
        codes, _, _ = correct_codes(unit.activation, unit.grids)
        a, b = all_codes(8)[:, None], all_codes(8)[None, :]
        off = np.abs(unit(a, b) - codes)
        assert off.max() == proved.max_error_codes <= 1, key
        assert np.count_nonzero(off) == proved.not_correctly_rounded <= 656, key  # 1 in 100
        assert proved == certify_pairs(unit)
        assert (proved.pairs, proved.max_error_lsb < 1.5) == (65536, True)


@pytest.mark.parametrize("ratio", [0.001, 0.1, 1, 30, 1000, 1e5])
def test_int8_is_within_a_code_however_much_of_the_product_saturates(ratio):
    for gate in ("silu", "sigmoid", "relu"):
        grids = Grids(Grid(0.3 * ratio, 127, 8), Grid(0.7, 10, 8), Grid(0.05, -128, 8))
        assert best_of(table_gates(activation(gate), grids))[1].max_error_codes <= 1


@pytest.mark.parametrize("seed", range(30))
def test_int8_is_within_a_code_on_random_grids(seed):
    rng = np.random.default_rng(seed)
    scales = 10 ** rng.uniform(-3, 1, 3)
    zeros = rng.integers(-128, 127, 3)  # 127 would leave relu nothing
    grids = Grids(*(Grid(*one, 8) for one in zip(scales.tolist(), zeros.tolist(), strict=True)))
    unit, proved = best_of(table_gates(activation(rng.choice(GATES)), grids))
    assert proved.max_error_codes <= 1
    assert proved.max_error_lsb <= certify_bound(unit).bound_lsb


def test_powers_of_two_make_relu_exact_with_all_its_ties(units):
    _, proved = units["relu", "powers"]
    assert proved.max_error_codes == proved.not_correctly_rounded == 0
    assert proved.oracle_pairs > 500


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_activation_gates(name):
    act = activation(name)
    proved = [
        best_of(table_gates(act, grids))[1].max_error_codes
        for grids in (SYMMETRIC, ASYMMETRIC, SATURATING)
        if np.any(act(grids.b.real(all_codes(8))))
    ]
    assert proved
    assert max(proved) <= 1


def test_a_wrong_gate_entry_shows_in_the_certificate(units):
    unit, proved = units["silu", "asymmetric"]
    changed = list(unit.gate)
    changed[220] += 400
    wrong = certify_pairs(dataclasses.replace(unit, gate=tuple(changed)))
    assert wrong.max_error_codes > proved.max_error_codes
    assert wrong.worst[1] == 220 - 128


@pytest.mark.parametrize("name", ["sigmoid", "silu"])
def test_no_pair_of_int16_codes_exceeds_the_bound(wide, name):
    unit = wide[name]
    proved = certify_bound(unit)
    grids = unit.grids
    codes = all_codes(16)
    gates = activation(name)(grids.b.real(codes))
    error = np.abs(np.array(unit.gate) * unit.gate_scale - gates)
    worst = 0.0
    for j in (*np.argsort(error)[-24:], *np.random.default_rng(5).integers(0, 65536, 24), 0, 65535):
        real = grids.a.real(codes) * gates[j] / grids.output.scale
        ends = grids.output.code_min, grids.output.code_max
        ends = [end - grids.output.zero_point for end in ends]
        outputs = unit(codes, codes[j : j + 1]) - grids.output.zero_point
        worst = max(worst, float(np.abs(outputs - np.clip(real, *ends)).max()))
        nearest = np.clip(np.sign(real) * np.floor(np.abs(real) + 0.5), *ends)
        assert np.abs(outputs - nearest).max() <= proved.bound_codes
    assert worst <= proved.bound_lsb
    assert proved.attained_lsb <= proved.bound_lsb <= proved.attained_lsb + 0.5
    assert worst > proved.attained_lsb - 0.5


def test_a_wrong_gate_code_raises_the_bound(wide):
    unit = wide["sigmoid"]
    changed = list(unit.gate)
    changed[40000] += 7
    wrong = certify_bound(dataclasses.replace(unit, gate=tuple(changed)))
    proved = certify_bound(unit)
    assert wrong.bound_lsb > proved.bound_lsb + 3
    assert wrong.attained_lsb > proved.attained_lsb + 3


def test_the_bound_of_int8_units_is_no_less_than_what_enumeration_finds(units):
    for unit, proved in units.values():
        bound = certify_bound(unit)
        assert proved.max_error_lsb <= bound.bound_lsb
        assert proved.max_error_codes <= bound.bound_codes


def test_grids_that_cannot_be_are_refused(refuses):
    with refuses("widths of a, b and output", "int8, int16, int8"):
        Grids(Grid(1.0, 0, 8), Grid(1.0, 0, 16), Grid(1.0, 0, 8))
    dark = Grids(Grid(1.0, 0, 8), Grid(1.0, 127, 8), Grid(1.0, 0, 8))
    with refuses("relu on the codes of b", "finite values, not all 0"):
        table_gates(activation("relu"), dark)
    tiny = Grids(Grid(1e-9, 0, 16), Grid(2.0**-12, 0, 16), Grid(1.0, 0, 16))
    with refuses("a's scale times the gate's over the output's", "2^-32"):
        kernel_gate(activation("sigmoid"), tiny, 1, "interp")


# The written files


def flattened(files, name):
    """The files as a build has them, and one that gives the static functions external names."""
    bits = 8 if "_s8" in "".join(files) and f"{name}_gate.h" not in files else 16
    t = f"int{bits}_t"
    wrapper = (
        f'#include "{name}.h"\n'
        f"int32_t flat(const {t} *a, const {t} *b, {t} *output, int32_t size);\n"
        f"int32_t packed(const {t} *input, {t} *output, int32_t rows, int32_t channels);\n"
        f"int32_t flat(const {t} *a, const {t} *b, {t} *output, int32_t size)\n"
        f"{{\n    return {name}(a, b, output, size);\n}}\n"
        f"int32_t packed(const {t} *input, {t} *output, int32_t rows, int32_t channels)\n"
        f"{{\n    return {name}_packed(input, output, rows, channels);\n}}\n"
    )
    cdef = "\n".join(re.findall(r"^int32_t (?:flat|packed)\([^{]*?\);", wrapper, re.MULTILINE))
    return cdef, {**files, "wrapper.c": wrapper}, bits


def compiled(proved, name):
    cdef, sources, bits = flattened(glu_files(proved, name), name)
    built = extension(
        "glu_tests", cdef, {k: v for k, v in sources.items() if not k.endswith(".json")}
    )

    def call(function, *arguments):
        return getattr(built.lib, function)(
            *(
                built.ffi.cast(f"int{bits}_t *", x.ctypes.data) if isinstance(x, np.ndarray) else x
                for x in arguments
            )
        )

    return call


def test_the_written_int8_unit_is_its_twin_on_all_pairs(units):
    unit, proved = units["silu", "asymmetric"]
    call = compiled(Proved(unit, proved), "embact_swiglu_s8")
    a, b = pairs()
    target = np.zeros(65536, dtype=np.int8)
    assert call("flat", a.astype(np.int8), b.astype(np.int8), target, 65536) == 0
    assert np.array_equal(target, unit(a, b))
    packed = np.stack([a.reshape(256, 256), b.reshape(256, 256)], axis=1).astype(np.int8)
    target[:] = 0
    assert call("packed", packed, target, 256, 256) == 0
    assert np.array_equal(target, unit(a, b))
    assert call("packed", packed, packed, 256, 256) == 0
    assert np.array_equal(packed.reshape(-1)[:65536], unit(a, b))
    assert call("packed", packed, target, 256, 0) == -1
    assert call("packed", packed, target, 256, 1 << 30) == -1


@pytest.mark.parametrize("name", ["sigmoid", "silu"])
def test_the_written_int16_unit_is_its_twin(wide, name):
    unit = wide[name]
    call = compiled(Proved(unit, certify_bound(unit)), f"embact_wide_{name}")
    rng = np.random.default_rng(6)
    b = all_codes(16)
    a = rng.integers(-32768, 32768, b.size)
    for size in (1, 63, 64, 65, 200, b.size):
        target = np.full(size + 2, 85, dtype=np.int16)
        assert call("flat", a.astype(np.int16), b.astype(np.int16), target, size) == 0
        assert np.array_equal(target[:size], unit(a[:size], b[:size]))
        assert set(target[size:]) == {85}
    for place in (0, 1):
        operands = [a.astype(np.int16), b.astype(np.int16)]
        assert call("flat", *operands, operands[place], b.size) == 0
        assert np.array_equal(operands[place], unit(a, b))
    for rows, channels in ((1, 130), (5, 64), (9, 7), (3, 65)):
        packed = rng.integers(-32768, 32768, (rows, 2, channels))
        wanted = unit(packed[:, 0], packed[:, 1]).reshape(-1)
        source = packed.astype(np.int16).reshape(-1)
        assert call("packed", source, source, rows, channels) == 0
        assert np.array_equal(source[: wanted.size], wanted)
    target[:] = 85
    for size in (0, -1):
        assert call("flat", source, source, target, size) == -1
    assert set(target) == {85}


def test_a_changed_entry_of_a_written_table_would_be_noticed(units):
    unit, proved = units["silu", "asymmetric"]
    other = dataclasses.replace(unit, gate=(*unit.gate[:-1], unit.gate[-1] - 500))
    call = compiled(Proved(other, proved), "embact_swiglu_s8")
    a, b = pairs()
    target = np.zeros(65536, dtype=np.int8)
    assert call("flat", a.astype(np.int8), b.astype(np.int8), target, 65536) == 0
    assert not np.array_equal(target, unit(a, b))


@pytest.mark.parametrize("cpp", [False, True])
def test_written_files_compile_without_a_warning(units, wide, compilers, tmp_path, cpp):
    narrow, proved = units["gelu", "symmetric"]
    files = glu_files(Proved(narrow, proved), "embact_geglu_s8")
    files |= glu_files(Proved(wide["silu"], certify_bound(wide["silu"])), "embact_swiglu_s16")
    source = '#include "embact_geglu_s8.h"\n#include "embact_swiglu_s16.h"\nint unused;\n'
    for file, text in (files | {"use.c": source}).items():
        (tmp_path / file).write_text(text)
    flags = ("-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    for compiler in compilers.values():
        for file in ("use.c",) if cpp else ("use.c", "embact_glu_s8.c", "embact_glu_s16.c"):
            line = [*compiler, *(flags if cpp else STRICT), "-O2", "-c", file, "-o", "x.o"]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")


DRIVER = """
#include "embact_geglu_s8.h"
#include "embact_swiglu_s16.h"
int main(void)
{
    static int8_t a[65536], b[65536], c[65536];
    static int16_t x[65536], y[65536], z[65536];
    int32_t status = 0;
    for (int32_t i = 0; i < 65536; ++i) {
        a[i] = (int8_t)((i >> 8) - 128);
        b[i] = (int8_t)((i & 255) - 128);
        x[i] = (int16_t)(i - 32768);
        y[i] = (int16_t)((i * 31) %% 65536 - 32768);
    }
    status |= embact_geglu_s8(a, b, c, 65536);
    status |= embact_geglu_s8_packed(a, a, 16, 2048);
    status |= embact_swiglu_s16(x, y, z, 65536);
    status |= embact_swiglu_s16_packed(x, x, 16, 2048);
    const int32_t factors[] = {2147483647, -2147483647, 0};
    for (int32_t shift = -31; shift <= 30; ++shift) {
        for (int32_t i = 0; i < 3; ++i) {
            status |= embact_glu_s16(x, -32767, 65536, y, 65536, z, 32767, factors[i], shift, 1,
                                     65536);
            status |= embact_glu_s16(x, 32768, 65536, y, 65536, z, -32768, factors[i], shift, 1,
                                     65536);
            status |= embact_glu_s8(a, 128, 65536, b, 65536, y + %s, c, -128, factors[i], shift, 1,
                                    65536);
        }
    }
    return (int)status;
}
"""


def sanitized(units, wide, folder, place):
    narrow, proved = units["gelu", "asymmetric"]
    files = glu_files(Proved(narrow, proved), "embact_geglu_s8")
    files |= glu_files(Proved(wide["silu"], certify_bound(wide["silu"])), "embact_swiglu_s16")
    for file, text in (files | {"driver.c": DRIVER % place}).items():
        (folder / file).write_text(text)
    checks = ("-O1", "-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    line = ["gcc", "-std=c99", *checks, "driver.c", "embact_glu_s8.c", "embact_glu_s16.c"]
    subprocess.run([*line, "-o", "driver"], cwd=folder, check=True, capture_output=True)
    return subprocess.run(["./driver"], cwd=folder, capture_output=True, text=True, check=False)


def test_no_undefined_behaviour_and_nothing_beside_is_read(units, wide, tmp_path):
    done = sanitized(units, wide, tmp_path, "0")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_sanitizers_would_notice_a_table_that_is_too_short(units, wide, tmp_path):
    done = sanitized(units, wide, tmp_path, "65400")
    assert done.returncode != 0
    assert "global-buffer-overflow" in done.stderr


def test_the_comment_states_what_is_proved_and_the_command(units, wide):
    narrow, proved = units["silu", "asymmetric"]
    text = " ".join(glu_header(Proved(narrow, proved), "f").replace("\n *", " ").split())
    assert " ".join(f"error {statement(Proved(narrow, proved))}".split()) in text
    assert " ".join(command(narrow, "f")) in text.replace(" \\ ", " ")
    bound = Proved(wide["silu"], certify_bound(wide["silu"]))
    assert "proved bound" in statement(bound)
    assert f"all {1 << 32} pairs" in statement(bound)
    for one in (Proved(narrow, proved), bound):
        lines = glu_header(one, "embact_" + "x" * 40).splitlines()
        assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", ["embact_glu_s8", "embact_nn", "Bad", "arm_glu", "x" * 60])
def test_names_that_are_taken_are_refused(refuses, units, name):
    with refuses("name of a function"):
        glu_files(Proved(*units["silu", "symmetric"]), name)


def test_library_files_are_as_they_lie(units):
    files = glu_files(Proved(*units["silu", "symmetric"]), "f")
    assert {k: v for k, v in files.items() if k != "f.h"} == library_files(["embact_glu_s8"])
