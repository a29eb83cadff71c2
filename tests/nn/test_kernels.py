"""The functions against their twins: all inputs, any arguments, and nothing else touched."""

from __future__ import annotations

import dataclasses
import subprocess

import numpy as np
import pytest

from embact.grid import all_codes
from embact.nn.library import library_files
from embact.run.toolchain import STRICT

COUNTS = {8: 60, 16: 6}
"""Random and as many extreme sets of arguments."""


def samples(sampler, seed, counts=COUNTS):
    rng = np.random.default_rng(seed)
    first = sampler(rng, extreme=False)
    for number in range(2 * counts[first.bits]):
        yield sampler(rng, extreme=bool(number % 2))


def run(library, sample, codes):
    """The status and the outputs of one call on codes."""
    source = codes.astype(f"int{sample.bits}")
    target = np.full_like(source, 85)
    status = getattr(library, sample.function)(*sample.arguments(source, target, source.size))
    assert np.array_equal(source, codes)
    return status, target


def test_equals_its_twin_on_every_input(nn, sampler, rounding, flags):
    for sample in samples(sampler, 1):
        codes = all_codes(sample.bits)
        status, outputs = run(nn(sample.function, flags=flags), sample, codes)
        assert status == 0, sample.parameters
        assert np.array_equal(outputs, sample.twin(codes, rounding)), sample.parameters


def test_another_parameter_would_be_noticed(nn, sampler, rounding, flags):
    """Negative control: the twin of other arguments gives other codes."""
    seen = []
    one, *others = samples(sampler, 2)
    codes = all_codes(one.bits)
    _, outputs = run(nn(one.function, flags=flags), one, codes)
    seen = [not np.array_equal(outputs, other.twin(codes, rounding)) for other in others]
    assert any(seen)


def test_sizes_and_addresses_do_not_matter_and_nothing_beside_is_written(nn, sampler):
    rng = np.random.default_rng(3)
    sample = sampler(rng, extreme=False)
    function = getattr(nn(sample.function), sample.function)
    half = 1 << (sample.bits - 1)
    for size in range(1, 71):
        for shift in (0, 1, 3):
            codes = rng.integers(-half, half, size)
            source = np.zeros(size + 16, dtype=f"int{sample.bits}")
            target = np.full_like(source, 85)
            source[shift : shift + size] = codes
            inner = slice(shift, shift + size)
            assert function(*sample.arguments(source[inner], target[inner], size)) == 0
            assert np.array_equal(target[inner], sample.twin(codes, "double"))
            target[inner] = 85
            assert np.all(target == 85)


def test_output_may_be_input(nn, sampler):
    for sample in samples(sampler, 4, {8: 4, 16: 2}):
        codes = all_codes(sample.bits)
        place = codes.astype(f"int{sample.bits}")
        function = getattr(nn(sample.function), sample.function)
        assert function(*sample.arguments(place, place, place.size)) == 0
        assert np.array_equal(place, sample.twin(codes, "double"))


def refused(function, arguments, target):
    """Whether a call returns the error and writes nothing."""
    target[:] = 85
    return function(*arguments) == -1 and bool(np.all(target == 85))


def test_null_pointers_and_empty_sizes_are_refused_before_anything_is_written(nn, sampler):
    sample = sampler(np.random.default_rng(5), extreme=False)
    function = getattr(nn(sample.function), sample.function)
    source = np.zeros(8, dtype=f"int{sample.bits}")
    target = np.zeros_like(source)
    good = sample.arguments(source, target, 8)
    assert function(*good) == 0
    pointers = [place for place, one in enumerate(good) if isinstance(one, np.ndarray)]
    assert len(pointers) >= 2
    for place in pointers:
        assert refused(function, [*good[:place], None, *good[place + 1 :]], target)
    for size in (0, -1, -(1 << 31)):
        assert refused(function, sample.arguments(source, target, size), target)


def test_parameters_are_accepted_up_to_the_ends_of_their_ranges_and_refused_beyond(nn, sampler):
    sample = sampler(np.random.default_rng(6), extreme=False)
    function = getattr(nn(sample.function), sample.function)
    source = np.zeros(8, dtype=f"int{sample.bits}")
    target = np.zeros_like(source)
    good = sample.arguments(source, target, 8)
    tried = 0
    for place, ends in sample.ranges.items():
        for beyond, end in zip((-1, 1), ends, strict=True):
            if end is None:
                continue
            assert function(*good[:place], end, *good[place + 1 :]) == 0, (place, end)
            if -(1 << 31) <= end + beyond < 1 << 31:
                bad = [*good[:place], end + beyond, *good[place + 1 :]]
                assert refused(function, bad, target), (place, end)
                tried += 1
    assert tried or not sample.ranges


def test_other_spacings_of_a_table_are_refused(nn, samplers):
    sample = samplers["embact_lut_interp_s16"](np.random.default_rng(6), extreme=False)
    function = getattr(nn(sample.function), sample.function)
    source = np.zeros(8, dtype=np.int16)
    target = np.zeros_like(source)
    for spacing in (-1, 17, 32, -(1 << 31)):
        parameters = sample.arguments(source, target, 8)
        parameters[2] = spacing
        assert refused(function, parameters, target)


DRIVER = """
#include <stdio.h>
#include "embact_nn.h"
int main(void)
{
    static int16_t wide[65536];
    static int8_t narrow[256];
    int32_t status = 0;
    for (int32_t i = 0; i < 65536; ++i) {
        wide[i] = (int16_t)(i - 32768);
    }
    for (int32_t i = 0; i < 256; ++i) {
        narrow[i] = (int8_t)(i - 128);
    }
%s
    return (int)status;
}
"""


def call_in_c(sample, number):
    """The C that calls a function on all inputs and prints a hash of the outputs."""
    lines, words = [], []
    for place, one in enumerate(sample.parameters):
        if isinstance(one, np.ndarray):
            values = ", ".join(map(str, one.tolist()))
            lines.append(f"static const {one.dtype}_t table{number}_{place}[] = {{{values}}};")
            words.append(f"table{number}_{place}")
        elif isinstance(one, str):
            array = "narrow" if sample.bits == 8 else "wide"
            words.append({"input": array, "output": "out", "size": str(1 << sample.bits)}[one])
        else:
            words.append(f"({one}LL)")
    return "\n".join(
        [
            "    {",
            *lines,
            f"static int{sample.bits}_t out[{1 << sample.bits}];",
            "uint32_t hash = 0;",
            f"status |= {sample.function}({', '.join(words)});",
            f"for (int32_t i = 0; i < {1 << sample.bits}; ++i) {{",
            "hash = hash * 16777619u + (uint16_t)out[i]; }",
            'printf("%lu\\n", (unsigned long)hash);',
            "    }",
        ]
    )


def hashed(codes):
    value = 0
    for code in codes.tolist():
        value = (value * 16777619 + (code & 0xFFFF)) & 0xFFFFFFFF
    return value


@pytest.mark.slow
def test_nothing_undefined_happens_and_no_memory_but_theirs_is_touched(
    tmp_path, samplers, rounding, flags
):
    made = [
        sample
        for seed, sampler in enumerate(samplers.values())
        for sample in samples(sampler, 100 + seed, {8: 40, 16: 4})
    ]
    files = library_files({sample.function for sample in made})
    calls = "\n".join(call_in_c(sample, number) for number, sample in enumerate(made))
    for name, text in {**files, "driver.c": DRIVER % calls}.items():
        (tmp_path / name).write_text(text, "utf-8")
    sources = [name for name in files if name.endswith(".c")]
    checks = ("-O1", "-g", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
    line = ["gcc", "-std=c99", *checks, *flags, *sources, "driver.c", "-o", "driver"]
    subprocess.run(line, cwd=tmp_path, check=True)
    done = subprocess.run(["./driver"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    expected = [hashed(sample.twin(all_codes(sample.bits), rounding)) for sample in made]
    assert list(map(int, done.stdout.split())) == expected


def test_the_sanitizers_would_notice(tmp_path):
    """Negative control: the check of the multiplier taken out, the greatest magnitude overflows."""
    sources = library_files(["embact_leaky_relu_s8"])
    text = sources["embact_leaky_relu_s8.c"]
    sources["embact_leaky_relu_s8.c"] = text.replace(
        "!embact_nn_is_factor(multiplier_alpha, shift_alpha)", "0"
    )
    assert sources["embact_leaky_relu_s8.c"] != text
    body = (
        "int8_t out[256];\n"
        "status = embact_leaky_relu_s8(narrow, 0, out, 0, 1, 0, INT32_MIN, 0, 256); (void)wide;"
    )
    for name, words in {**sources, "driver.c": DRIVER % body}.items():
        (tmp_path / name).write_text(words, "utf-8")
    checks = ["-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
    line = ["gcc", "-std=c99", *checks, "embact_leaky_relu_s8.c", "driver.c", "-o", "driver"]
    subprocess.run(line, cwd=tmp_path, check=True)
    done = subprocess.run(["./driver"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "runtime error" in done.stderr


@pytest.mark.parametrize("switch", ["", "-DCMSIS_NN_USE_SINGLE_ROUNDING"])
def test_every_file_compiles_without_a_warning(tmp_path, compilers, switch):
    files = library_files()
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    sources = [name for name in files if name.endswith(".c")]
    for words in compilers.values():
        line = [*words, *STRICT, "-O2", *([switch] if switch else []), "-c", *sources]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("define", "mode"),
    [
        ("-DTFLITE_SINGLE_ROUNDING=1", "single"),
        ("-DTFLITE_SINGLE_ROUNDING", "single"),
        ("-DTFLITE_SINGLE_ROUNDING=0", "double"),
    ],
)
def test_tflms_switch_chooses_the_rounding_too(nn, samplers, define, mode):
    told = 0
    for sample in samples(samplers["embact_rescale_s8"], 7):
        codes = all_codes(8)
        _, outputs = run(nn(sample.function, flags=(define,)), sample, codes)
        assert np.array_equal(outputs, sample.twin(codes, mode))
        other = sample.twin(codes, {"single": "double", "double": "single"}[mode])
        told += not np.array_equal(outputs, other)
    assert told  # the modes differ somewhere


def test_a_sample_knows_its_arguments(sampler):
    """A wrong parameter list would call C with shifted arguments."""
    sample = sampler(np.random.default_rng(0), extreme=False)
    assert [one for one in sample.parameters if isinstance(one, str)] == ["input", "output", "size"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.bits = 3
