"""Headers of softmax and log_softmax: their functions, their text, and that they compile."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.nn.library import FUNCTIONS
from embact.nn.softmax import Softmax
from embact.nn.softmax_header import default_name, softmax_files, softmax_header, table_bytes
from embact.run.build import extension
from embact.run.toolchain import STRICT

ASKED = [
    Softmax(0.12),
    Softmax(0.3, 0.7, 8, 16),
    Softmax(0.0007, 1.0, 16, 16),
    Softmax(0.0007, 1.5, 16, 16, "tflite"),
    Softmax(0.12, 2.0, 8, 8, "exact"),
    Softmax(0.12, 1.0, 8, 16, "exact"),
    Softmax(0.0007, 1.0, 16, 16, "exact"),
    Softmax(0.12, 1.0, log=True),
    Softmax(0.12, 0.25, mode="exact", log=True),
]
each = pytest.mark.parametrize("asked", ASKED, ids=lambda one: f"{one.function}-{one.mode}")


def rows_for(asked):
    rng = np.random.default_rng(1)
    half = 1 << (asked.in_bits - 1)
    return rng.integers(-half, half, (40, 25)).astype(f"int{asked.in_bits}") // 4


def outputs_of(asked, files, name):
    """What the function of a header gives, compiled with the files that came with it."""
    parameters = (
        f"const int{asked.in_bits}_t *input, int32_t num_rows, int32_t row_size, "
        f"int{asked.out_bits}_t *output"
    )
    prototype = f"int32_t call({parameters});"
    body = f"int32_t call({parameters}) {{ return {name}(input, num_rows, row_size, output); }}"
    glue = f'#include "{name}.h"\n{prototype}\n{body}\n'
    built = extension("softmax_header", prototype, {**files, "call.c": glue})
    rows = rows_for(asked)
    outputs = np.zeros(rows.shape, dtype=f"int{asked.out_bits}")
    arrays = [
        built.ffi.cast(f"int{bits}_t *", array.ctypes.data)
        for array, bits in ((rows, asked.in_bits), (outputs, asked.out_bits))
    ]
    assert built.lib.call(arrays[0], *rows.shape, arrays[1]) == 0
    return outputs


@each
def test_the_function_of_the_header_is_the_twin(asked):
    files = softmax_files(asked, "rows")
    assert np.array_equal(outputs_of(asked, files, "rows"), asked(rows_for(asked)))


def test_an_edited_table_would_be_noticed():
    asked = Softmax(0.12)
    files = softmax_files(asked, "rows")
    entry = f" {asked.tables[0].values[1]}u,"
    assert files["rows.h"].count(entry) == 1
    files["rows.h"] = files["rows.h"].replace(entry, f" {asked.tables[0].values[1] // 2}u,")
    assert not np.array_equal(outputs_of(asked, files, "rows"), asked(rows_for(asked)))


@pytest.mark.slow
def test_all_headers_compile_together_without_a_warning(tmp_path, compilers):
    glue = "".join(f'#include "rows_{number}.h"\n' for number in range(len(ASKED)))
    for number, asked in enumerate(ASKED):
        name = f"rows_{number}"
        for file, text in softmax_files(asked, name).items():
            (tmp_path / file).write_text(text, "utf-8")
        types = f"const int{asked.in_bits}_t *, int32_t, int32_t, int{asked.out_bits}_t *"
        glue += f"extern int32_t (*const {name}_used)({types});\n"
        glue += f"int32_t (*const {name}_used)({types}) = {name};\n"
    (tmp_path / "glue.c").write_text(glue, "utf-8")
    for words in compilers.values():
        line = [*words, *STRICT, "-O2", "-c", "glue.c"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@each
def test_the_header_states_its_command_its_bytes_and_the_argmax_note(asked):
    text = softmax_header(asked, "rows")
    said = " ".join(text.replace("\n *", " ").split())
    assert f"--in-scale {asked.scale!r}" in said
    assert f"tables {table_bytes(asked)} bytes" in said
    assert "the largest input code has the largest output" in said
    assert ("Proved: every code is the correctly rounded" in said) == (asked.mode == "exact")
    assert max(map(len, text.splitlines())) <= 100
    stated = [int(found) for found in re.findall(r"^/\* .*: (\d+) bytes \*/$", text, re.MULTILINE)]
    sizes = {"int16_t": 2, "uint32_t": 4, "uint64_t": 8}
    counted = [
        sizes[kind] * int(number)
        for kind, number in re.findall(r"static const (\w+) \w+\[(\d+)\]", text)
    ]
    assert stated == counted
    assert sum(stated) == table_bytes(asked)


def test_the_text_depends_on_what_was_asked_alone():
    again = Softmax(np.float32(0.12))
    assert softmax_header(again, "rows") == softmax_header(Softmax(0.12), "rows")
    assert softmax_header(again, "rows") != softmax_header(Softmax(0.13), "rows")


@each
def test_the_longest_name_leaves_the_header_whole(asked):
    name = "n" * 63
    text = softmax_header(asked, name)
    assert re.sub(r"\s", "", text).count(f"int32_t{name}(constint{asked.in_bits}_t*input,") == 1
    files = softmax_files(asked, name)
    assert np.array_equal(outputs_of(asked, files, name), asked(rows_for(asked)))


def test_names_that_c_or_the_library_has_are_refused():
    for name in ("embact_softmax_s8", "int", "2x", "arm_softmax_s8", "embact_nn"):
        with pytest.raises(EmbactError, match="function"):
            softmax_files(Softmax(0.1), name)
    names = [default_name(asked) for asked in (*ASKED, Softmax(0.1))]
    assert names[0] == "embact_softmax_layer_s8"
    assert names[1] == "embact_softmax_layer_s8_s16"
    assert names[-2] == "embact_log_softmax_exact_layer_s8"
    assert not set(names) & set(FUNCTIONS)
