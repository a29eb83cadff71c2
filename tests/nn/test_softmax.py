"""Softmax and log_softmax: the C against its twin, and the twin against mathematics."""

from __future__ import annotations

import subprocess
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from embact.errors import EmbactError
from embact.nn.library import library_files
from embact.nn.softmax import ROW_MAX, Softmax
from embact.nn.softmax_header import softmax_files
from embact.nn.softmax_rows import softmax_s16
from embact.nn.softmax_tables import exponentials, inverse_table, tflm_exponentials

FORMS = {
    "s8": (8, 8, "tflm", False),
    "s8_s16": (8, 16, "tflm", False),
    "s16": (16, 16, "tflm", False),
    "s16_tflite": (16, 16, "tflite", False),
    "exact_s8": (8, 8, "exact", False),
    "exact_s8_s16": (8, 16, "exact", False),
    "exact_s16": (16, 16, "exact", False),
    "log_s8": (8, 8, "tflm", True),
    "log_exact_s8": (8, 8, "exact", True),
}
EXACT = [form for form in FORMS if "exact" in form]
SCALES = {8: (2e-8, 0.003, 0.06, 0.37, 5.0, 40.0), 16: (1e-9, 3e-5, 0.0007, 0.02, 1.7)}


def made(form, scale, beta=1.0):
    in_bits, out_bits, mode, log = FORMS[form]
    return Softmax(scale, beta, in_bits, out_bits, mode, log)


def random_rows(rng, bits, count, size):
    """Rows of codes whose spread is anything from 1 code to the whole range."""
    half = 1 << (bits - 1)
    spread = half * 2.0 ** -rng.uniform(0, bits, (count, 1))
    middle = rng.integers(-half, half, (count, 1))
    codes = np.round(middle + spread * rng.standard_normal((count, size)))
    return np.clip(codes, -half, half - 1).astype(f"int{bits}")


def hard_rows(bits):
    """Adversarial rows by name."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    one_hot = np.full((1, 1000), low)
    one_hot[0, 500] = high
    rows = {
        "saturated at both ends": np.array([[low, high] * 40]),
        "all but one the largest": np.where(np.arange(300) == 7, low, high)[None],
        "one-hot": one_hot,
        "a ramp": np.linspace(low, high, 256).round()[None],
        "the steepest ends": np.array([[high, high - 1, low, low + 1]]),
    }
    for size in (1, 2, 255, 511, 512, 513, 1023, 1024, 4095, ROW_MAX):
        rows[f"{size} equal"] = np.full((2, size), high - size % 7)
    rng = np.random.default_rng(bits)
    rows[f"{ROW_MAX} of anything"] = rng.integers(low, high + 1, (2, ROW_MAX))
    rows[f"{ROW_MAX} near each other"] = rng.integers(high - 3, high + 1, (2, ROW_MAX))
    return {name: codes.astype(f"int{bits}") for name, codes in rows.items()}


def all_rows(form):
    """Random rows of many lengths and all adversarial ones."""
    bits = FORMS[form][0]
    rng = np.random.default_rng(len(form))
    sizes = (1, 2, 3, 10, 33, 257, 1001)
    return [random_rows(rng, bits, 2000 // size + 2, size) for size in sizes] + [
        *hard_rows(bits).values()
    ]


def middle(asked):
    """The arguments of the C function between row_size and output."""
    found = list(asked.factor) if asked.has_factor else []
    for table in asked.tables:
        found.append(np.array(table.values, dtype=table.ctype.removesuffix("_t")))
        if table.ctype != "int16_t" and table.name != "fine":
            found.append(len(table.values))
    return found


def run(nn, asked, rows, *, arguments=None, flags=()):
    """The status and the output codes of the C function."""
    rows = np.ascontiguousarray(rows)
    outputs = np.full(rows.shape, 77, dtype=f"int{asked.out_bits}")
    call = getattr(nn(asked.function, flags=flags), asked.function)
    arguments = middle(asked) if arguments is None else arguments
    return call(rows, rows.shape[0], rows.shape[1], *arguments, outputs), outputs


@pytest.mark.parametrize("form", FORMS)
def test_the_c_is_the_twin(nn, form):
    for scale in SCALES[FORMS[form][0]]:
        asked = made(form, scale)
        for rows in all_rows(form):
            status, outputs = run(nn, asked, rows)
            assert status == 0
            assert np.array_equal(outputs, asked(rows)), (scale, rows.shape)


@pytest.mark.parametrize("form", [form for form in FORMS if "log" not in form])
def test_beta_is_a_factor_of_the_scale(nn, form):
    rows = random_rows(np.random.default_rng(1), FORMS[form][0], 50, 10)
    scale = 2.0**-4 if FORMS[form][0] == 8 else 2.0**-10
    asked, whole = made(form, scale, 0.75), made(form, scale * 0.75)
    assert asked.tables == whole.tables
    assert np.array_equal(run(nn, asked, rows)[1], whole(rows))


@pytest.mark.parametrize("form", FORMS)
def test_another_table_entry_would_be_noticed(nn, form):
    asked = made(form, SCALES[FORMS[form][0]][2])
    rows = random_rows(np.random.default_rng(2), FORMS[form][0], 400, 12)
    arguments = middle(asked)
    table = next(one for one in arguments if isinstance(one, np.ndarray))
    if table.dtype == np.int16:
        table[500] -= 100
    else:
        table[1] -= table[0] // 8
    assert not np.array_equal(run(nn, asked, rows, arguments=arguments)[1], asked(rows))


@pytest.mark.parametrize("flag", ["-DCMSIS_NN_USE_SINGLE_ROUNDING", "-DTFLITE_SINGLE_ROUNDING=1"])
def test_one_rounding_is_a_choice_for_int16(nn, flag):
    asked = made("s16", 3e-5)  # a right shift, where the roundings differ
    rows = random_rows(np.random.default_rng(3), 16, 3000, 10)
    tables = [np.array(table.values, dtype=np.uint64) for table in asked.tables]
    expected = softmax_s16(rows.astype(np.int64), *asked.factor, *tables, rounding="single")
    assert np.array_equal(run(nn, asked, rows, flags=(flag,))[1], expected)
    assert not np.array_equal(asked(rows), expected)


@pytest.mark.parametrize("form", [form for form in FORMS if "s8_s16" not in form])
def test_rows_may_be_overwritten_where_widths_are_equal(nn, form):
    asked = made(form, SCALES[FORMS[form][0]][2])
    rows = random_rows(np.random.default_rng(4), asked.in_bits, 30, 40)
    expected, call = asked(rows), getattr(nn(asked.function), asked.function)
    assert call(rows, 30, 40, *middle(asked), rows) == 0
    assert np.array_equal(rows, expected)


def test_the_table_made_on_the_device_is_the_generated_one(nn):
    call = nn("embact_softmax_table_s8").embact_softmax_table_s8
    rng = np.random.default_rng(5)
    for scale in [*SCALES[8], 2.0**-26 * 1.01, 15.9, 31.9, *10 ** rng.uniform(-7, 2, 300)]:
        asked, table = Softmax(float(scale)), np.full(256, 77, dtype=np.uint32)
        assert call(*asked.factor, asked.diff_min, table) == 0
        (generated,) = asked.tables
        kept = len(generated.values)
        assert table[:kept].tolist() == list(generated.values)
        assert (table[kept:] < 1 << 11).all()
        assert (table[max(kept, 1 - asked.diff_min) :] == 0).all()


@pytest.mark.parametrize("form", ["s8", "s8_s16", "log_s8"])
def test_what_the_generated_table_leaves_out_changes_nothing(nn, form):
    whole = np.zeros(256, dtype=np.uint32)
    for scale in SCALES[8]:
        asked = made(form, scale)
        call = nn("embact_softmax_table_s8").embact_softmax_table_s8
        assert call(*asked.factor, asked.diff_min, whole) == 0
        arguments = [*(asked.factor if asked.has_factor else ()), whole, 256]
        for rows in all_rows(form):
            assert np.array_equal(run(nn, asked, rows, arguments=arguments)[1], asked(rows))


def test_tables_depend_on_scale_times_beta_alone_and_are_as_short_as_can_be():
    assert Softmax(0.5, 0.25).tables == Softmax(0.125).tables
    assert [len(Softmax(scale).tables[0].values) for scale in (0.01, 0.1, 1.0, 40.0)] == [
        *(256, 139, 14, 1)
    ]
    assert Softmax(0.1).tables[0].bytes == 556
    assert [table.bytes for table in made("s16", 0.001).tables] == [1026, 1026]


@pytest.mark.parametrize("step", [1e-6, 0.01, 0.37, 30.0])
@pytest.mark.parametrize("bits", [31, 51])
def test_exponentials_are_correctly_rounded(step, bits):
    with mpmath.workdps(80):
        for i, value in enumerate(exponentials(step, bits, trim=False)):
            real = mpmath.exp(-i * mpmath.mpf(step)) * 2**bits
            assert abs(value - real) <= 0.5, i


def test_gemmlowps_exponentials_are_good_to_a_millionth():
    asked = Softmax(0.02)
    values = np.array(tflm_exponentials(*asked.factor, asked.diff_min))
    assert np.abs(values / 2**31 - np.exp(-asked.scale * np.arange(256))).max() < 1e-6


def test_no_knot_hangs_on_the_last_bits_of_a_division():
    floats, doubles = inverse_table(np.float32), inverse_table(np.float64)
    assert [i for i in range(513) if floats[i] != doubles[i]] == [160, 294]
    assert [floats[i] - doubles[i] for i in (160, 294)] == [-1, 1]


def real_result(asked, row, column):
    """The real result at a place of a row, in codes from the zero point, to 40 digits."""
    with mpmath.workdps(60):
        step = mpmath.mpf(asked.scale) * mpmath.mpf(asked.beta)
        top = int(row.max())
        counts = np.bincount(top - row.astype(np.int64))
        total = sum(int(n) * mpmath.exp(-int(d) * step) for d, n in enumerate(counts.tolist()) if n)
        below = -(top - int(row[column])) * step
        real = below - mpmath.log(total) if asked.log else mpmath.exp(below) / total
        return +(real / mpmath.mpf(asked.output.scale))


def rounded(asked, real):
    """A real result as a code: ties away from zero, then the limits."""
    with mpmath.workdps(60):
        steps = int(mpmath.sign(real)) * int(mpmath.floor(abs(real) + mpmath.mpf(0.5)))
    grid = asked.output
    return min(max(steps + grid.zero_point, grid.code_min), grid.code_max)


def doubles(asked, rows):
    """The real results in double, good enough to look for boundaries nearby."""
    below = (rows.astype(np.float64) - rows.max(axis=1, keepdims=True)) * asked.product
    total = np.exp(below).sum(axis=1, keepdims=True)
    real = below - np.log(total) if asked.log else np.exp(below) / total
    return real / asked.output.scale


def wrong_beyond_the_bound(asked, rows, outputs, count):
    """How many of the outputs that are nearest to a boundary are wrong and farther than allowed."""
    real = doubles(asked, rows)
    distance = np.abs(np.abs(real - np.floor(real)) - 0.5)
    inside = np.abs(outputs - asked.output.zero_point) > 0  # clamped codes say nothing
    order = np.argsort(np.where(inside, distance, 1), axis=None)[:count]
    wrong = 0
    for place in order.tolist():
        row, column = divmod(place, rows.shape[1])
        exact = real_result(asked, rows[row], column)
        if int(outputs[row, column]) == rounded(asked, exact):
            continue
        gap = abs(abs(exact - mpmath.floor(exact)) - mpmath.mpf(0.5))
        wrong += gap > asked.bound_codes(rows.shape[1])
    return wrong


@pytest.mark.parametrize("form", EXACT)
def test_exact_codes_are_rounded_but_within_the_proved_distance_of_a_boundary(form):
    rng = np.random.default_rng(6)
    for scale in SCALES[FORMS[form][0]][1:5]:
        asked = made(form, scale)
        for size, count in ((2, 2000), (10, 1000), (300, 40), (ROW_MAX, 3)):
            rows = random_rows(rng, asked.in_bits, count, size)
            assert wrong_beyond_the_bound(asked, rows, asked(rows), 12) == 0


@pytest.mark.parametrize("form", EXACT)
def test_exact_codes_of_hard_rows_are_rounded(form):
    asked = made(form, SCALES[FORMS[form][0]][2])
    for name, rows in hard_rows(asked.in_bits).items():
        outputs = asked(rows)
        picked = {0, rows.shape[1] // 2, rows.shape[1] - 1, int(rows[0].argmax())}
        for column in picked:
            expected = rounded(asked, real_result(asked, rows[0], column))
            assert int(outputs[0, column]) == expected, (name, column)


@pytest.mark.parametrize(("form", "exact"), [("s8_s16", "exact_s8_s16"), ("s16", "exact_s16")])
def test_tflms_codes_are_not_within_that_distance(form, exact):
    rows = random_rows(np.random.default_rng(7), FORMS[form][0], 300, 40)
    scale = SCALES[FORMS[form][0]][2]
    asked = made(exact, scale)
    assert wrong_beyond_the_bound(asked, rows, asked(rows), 60) == 0
    assert wrong_beyond_the_bound(asked, rows, made(form, scale)(rows), 60) > 0


@pytest.mark.parametrize("form", ["exact_s8", "log_exact_s8"])
def test_a_wrong_exponential_breaks_the_bound(form, monkeypatch):
    asked = made(form, 0.06)
    rows = random_rows(np.random.default_rng(8), 8, 3000, 10)
    (table,) = asked.tables
    worse = [table.values[0], *(value + value // 2**14 for value in table.values[1:])]
    steps = np.array(worse, dtype=np.uint64)
    from embact.nn import softmax_rows

    function = getattr(softmax_rows, asked.function.removeprefix("embact_"))
    factor = asked.factor if asked.has_factor else ()
    outputs = function(rows.astype(np.int64), *factor, steps)
    assert wrong_beyond_the_bound(asked, rows, outputs, 40) > 0


def test_a_tie_goes_away_from_zero():
    rows = np.zeros((1, 512), dtype=np.int8)
    assert set(made("exact_s8", 0.1)(rows).ravel().tolist()) == {-127}  # 256 / 512 codes
    assert set(made("s8", 0.1)(rows).ravel().tolist()) == {-128}  # where TFLM stops


@pytest.mark.parametrize(("scale", "radius"), [(1 / 16, 248), (1 / 8, 124), (1 / 4, 62)])
def test_log_softmax_is_cut_off_at_tflms_radius(nn, scale, radius):
    """What is farther below the largest is the least code, though it falls on another."""
    asked, exact = made("log_s8", scale), made("log_exact_s8", scale)
    rows = np.stack([np.full(256, 127), np.arange(127, -129, -1)], axis=1).astype(np.int8)
    assert asked.diff_min == -radius
    codes, real = asked(rows)[:, 1], exact(rows)[:, 1]
    assert np.abs(codes - real)[: radius + 1].max() <= 1
    assert (codes[radius + 1 :] == -128).all()
    assert (real[radius + 1], codes[radius + 1]) == (127 - round((radius + 1) * scale * 16), -128)
    assert real[radius + 1] >= -125
    assert np.array_equal(run(nn, asked, rows)[1], asked(rows))


def test_int16_tflm_codes_are_far_from_the_real_softmax_in_long_rows():
    rows = np.full((1, ROW_MAX), -32768, dtype=np.int16)
    rows[0, 0] = 32767
    tflm, exact = made("s16", 0.001)(rows), made("exact_s16", 0.001)(rows)
    assert exact[0, 0] == 32767
    assert tflm[0, 0] == 26214  # 4095 times exp(-10) are counted
    assert real_result(made("exact_s16", 0.001), rows[0], 0) > 32767.99


BOUNDS = {
    "exact_s8": Fraction(4096 + 5, 2**24),
    "exact_s8_s16": Fraction(3, 2**15),
    "log_exact_s8": Fraction(4096, 2**28) + Fraction(1, 2**20),
}


@pytest.mark.parametrize("form", BOUNDS)
def test_the_bound_is_as_the_header_says(form):
    assert made(form, 0.1).bound_codes(4096) == BOUNDS[form]


def test_the_bound_for_int16_grows_with_the_scale_up_to_the_length():
    near, far = made("exact_s16", 0.0001), made("exact_s16", 10.0)
    assert 8 * 2.0**-17 < near.bound_codes(1000) < 8.06 * 2.0**-17
    assert far.bound_codes(1000) == 1007 * 2.0**-17
    with pytest.raises(EmbactError, match="exact"):
        made("s8", 0.1).bound_codes(10)


def good_arguments(asked, row_size):
    rows = np.zeros(64, dtype=f"int{asked.in_bits}")
    outputs = np.zeros(64, dtype=f"int{asked.out_bits}")
    return [rows, 2, row_size, *middle(asked), outputs]


def replacements(asked, good):
    """Pairs of a place and something that does not belong there."""
    yield from ((0, None), (len(good) - 1, None), (2, ROW_MAX + 1))
    yield from ((place, size) for place in (1, 2) for size in (0, -1, -(2**31)))
    for place in range(3, len(good) - 1):
        if isinstance(good[place], np.ndarray):
            yield place, None
            if good[place].dtype != np.int16:
                yield place, np.concatenate([good[place][:1] - 1, good[place][1:]])
        elif isinstance(good[place - 1], np.ndarray) and place > 3:
            yield from ((place, size) for size in (0, -1, 257))
    if asked.has_factor:
        yield from ((4, -32), (4, 41))
    if asked.has_factor and asked.mode != "exact":
        yield 3, -5
    if asked.in_bits == 16 and asked.mode != "exact":
        yield 5, good[5] // 4  # no exponential near 1


@pytest.mark.parametrize("form", FORMS)
def test_arguments_outside_their_ranges_are_an_error_and_nothing_is_written(nn, form):
    asked = made(form, SCALES[FORMS[form][0]][2])
    call = getattr(nn(asked.function), asked.function)
    good = good_arguments(asked, 32)
    cases = list(replacements(asked, good))
    assert len(cases) >= 12
    for place, value in cases:
        assert call(*good[:place], value, *good[place + 1 :]) == -1, place
        assert not good[-1].any()
    assert call(*good) == 0
    assert good[-1].any()


def test_a_table_is_made_of_arguments_in_their_ranges_only(nn):
    call = nn("embact_softmax_table_s8").embact_softmax_table_s8
    table = np.full(256, 77, dtype=np.uint32)
    for arguments in [
        (1 << 30, 23, -248, None),
        (-1, 23, -248, table),
        (1 << 30, -1, -248, table),
        (1 << 30, 32, 0, table),
        (1 << 30, 23, 1, table),
        (1 << 30, 24, -128, table),
    ]:
        assert call(*arguments) == -1
        assert (table == 77).all()
    assert call(1 << 30, 24, -127, table) == 0
    assert table[0] == 2**31 - 1


REFUSED = {
    "beta": (0.1, 0.0, 8, 8, "tflm", False),
    "a float32 > 0": (0.1, float("inf"), 8, 8, "tflm", False),
    "got 1e-50": (0.1, 1e-50, 8, 8, "tflm", False),
    "scale": (0.0, 1.0, 8, 8, "tflm", False),
    "unknown mode": (0.1, 1.0, 8, 8, "tfml", False),
    "widths of softmax": (0.1, 1.0, 16, 8, "tflm", False),
    "widths of log_softmax": (0.1, 1.0, 8, 16, "exact", True),
    "LOG_SOFTMAX has none": (0.1, 2.0, 8, 8, "tflm", True),
    "> 2\\^-26": (2.0**-26, 1.0, 8, 8, "tflm", False),
    "< 5": (5.1, 1.0, 16, 16, "tflm", False),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_softmax_that_is_none_is_refused(why):
    with pytest.raises(EmbactError, match=why):
        Softmax(*REFUSED[why])


@pytest.mark.parametrize("shape", [(), (3, 0), (1, ROW_MAX + 1)])
def test_rows_that_are_too_long_or_empty_are_refused(shape):
    with pytest.raises(EmbactError, match="row size"):
        Softmax(0.1)(np.zeros(shape, dtype=np.int8))


def test_rows_are_the_last_axis_of_any_shape():
    codes = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    asked = Softmax(0.5)
    assert asked(codes).shape == (2, 3, 4)
    assert np.array_equal(asked(codes)[1, 2], asked(codes[1, 2]))


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_input_has_the_largest_output(form):
    asked = made(form, SCALES[FORMS[form][0]][2])
    for rows in all_rows(form):
        outputs = asked(rows)
        at_largest = np.take_along_axis(outputs, rows.argmax(axis=1)[:, None], axis=1)
        assert (outputs <= at_largest).all()


DRIVER = """#include <stdio.h>
#include <stdlib.h>
%(includes)s
static uint32_t seed = 1;
static int32_t next(int32_t range) {
    seed = (uint32_t)((uint64_t)seed * 48271u %% 2147483647u);
    return (int32_t)(seed %% (uint32_t)range);
}
int main(void) {
    static const int32_t sizes[] = {1, 2, 10, 700, 4096};
    for (int32_t turn = 0; turn < 40; ++turn) {
        const int32_t size = sizes[turn %% 5];
        int8_t *narrow = malloc((size_t)size * 2); /* exactly: a byte beyond is seen */
        int16_t *wide = malloc((size_t)size * 4);
        int8_t *out8 = malloc((size_t)size * 2);
        int16_t *out16 = malloc((size_t)size * 4);
        for (int32_t i = 0; i < 2 * size; ++i) {
            const int32_t kind = turn / 5;
            narrow[i] = (int8_t)(kind == 0 ? 127 : kind == 1 ? -128 + 255 * (i %% size == 0)
                                 : next(1 << kind) - (1 << kind) / 2);
            wide[i] = (int16_t)(kind == 0 ? -32768 : kind == 1 ? -32768 + 65535 * (i %% size == 0)
                                : next(1 << (2 * kind)) - (1 << (2 * kind)) / 2);
        }
        int32_t status = 0;
%(calls)s
        if (status != 0) { return 1; }
        uint32_t hash = 0;
        for (int32_t i = 0; i < 2 * size; ++i) {
            hash = hash * 16777619u + (uint16_t)out8[i] * 31u + (uint16_t)out16[i];
        }
        printf("%%lu\\n", (unsigned long)hash);
        free(narrow); free(wide); free(out8); free(out16);
    }
    return 0;
}
"""


def driver(folder):
    """Write every form at every scale, and a program that calls them all; its C files."""
    includes, calls, sources = [], [], {"driver.c"}
    for form in FORMS:
        for number, scale in enumerate(SCALES[FORMS[form][0]]):
            asked, name = made(form, scale), f"{form}_{number}"
            for file, text in softmax_files(asked, name).items():
                (folder / file).write_text(text, "utf-8")
                sources |= {file} if file.endswith(".c") else set()
            ins, outs = {8: "narrow", 16: "wide"}, {8: "out8", 16: "out16"}
            includes.append(f'#include "{name}.h"')
            calls.append(
                f"status |= {name}({ins[asked.in_bits]}, 2, size, {outs[asked.out_bits]});"
            )
    words = {"includes": "\n".join(includes), "calls": "\n".join(calls)}
    (folder / "driver.c").write_text(DRIVER % words, "utf-8")
    return sorted(sources)


def sanitized(folder, sources):
    checks = ("-O1", "-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    line = ["gcc", "-std=c99", *checks, *sources, "-o", "driver"]
    subprocess.run(line, cwd=folder, check=True)
    return subprocess.run(["./driver"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_nothing_undefined_happens_in_headers_and_library(tmp_path):
    done = sanitized(tmp_path, driver(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(set(done.stdout.split())) > 30


def test_the_sanitizers_would_notice_a_shift_too_far(tmp_path):
    files = softmax_files(Softmax(0.1), "rows")
    text = files["embact_softmax_s8.c"]
    files["embact_softmax_s8.c"] = text.replace("inverse.bits > 9 ? 32 : ", "")
    assert files["embact_softmax_s8.c"] != text
    call = "status |= rows(narrow, 2, size, out8); (void)out16; (void)wide;"
    files["driver.c"] = DRIVER % {"includes": '#include "rows.h"', "calls": call}
    for name, words in files.items():
        (tmp_path / name).write_text(words, "utf-8")
    done = sanitized(tmp_path, ["embact_softmax_s8.c", "driver.c"])
    assert done.returncode != 0
    assert "runtime error" in done.stderr


def test_the_library_has_what_a_softmax_needs():
    headers = {name for name in library_files(["embact_softmax_s8"]) if name.endswith(".h")}
    assert headers == {
        *("embact_nn.h", "embact_nn_arithmetic.h", "embact_tiers.h"),
        *("embact_softmax_arithmetic.h", "embact_softmax_codes.h"),
        *("embact_loop_count_s8.h", "embact_loop_lut_s8.h", "embact_loop_max_s8.h"),
    }
