"""Forms: which kernels are calls of hand-written loops, and that these are their definitions."""

import shlex

import numpy as np
import pytest

from embact import ir
from embact.cores import CORES
from embact.emit import forms
from embact.emit.form import Form, TierTable, bytes_on
from embact.emit.forms import clamp_form, form_of, lut_form
from embact.emit.header import emit_header
from embact.emit.preamble import included, loop_source
from embact.grid import all_codes
from embact.kernel import Kernel
from embact.run.host import check, compile_header
from embact.run.on_core import check_on_core

POSITION = ir.add(ir.x(), ir.const(128))
ENTRIES = tuple((37 * i + 11) % 256 - 128 for i in range(256))
SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")


def looked_up(entries=ENTRIES):
    return Kernel(ir.lookup(ir.Table("lut", tuple(entries)), POSITION), 8, 8)


def clamped(low, high, bits=8):
    return Kernel(ir.clamp(ir.x(), low, high), bits, bits)


BOUNDS = {
    8: [(-128, 127), (-3, 127), (0, 127), (5, 127), (-128, 4), (-128, -1), (-7, 90), (0, 99),
        (11, 30), (-90, -20), (-1, 0), (-127, 126), (127, 127), (-128, -128), (0, 0), (-5, -5)],
    16: [(-32768, 32767), (-3, 32767), (0, 32767), (777, 32767), (-32768, 4), (-7, 9000),
         (0, 99), (11, 30000), (-900, -20), (-32767, 32766), (0, 0)],
}  # fmt: skip
CLAMPS = {
    f"clamp_{bits}_{i}": clamped(low, high, bits)
    for bits, bounds in BOUNDS.items()
    for i, (low, high) in enumerate(bounds)
}


@pytest.fixture(scope="module")
def kernels():
    return {"lut": looked_up(), **CLAMPS}


@pytest.fixture(scope="module")
def header(kernels, fit_of):
    return emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})


@pytest.fixture(scope="module")
def widths(kernels):
    return {name: (one.input_bits, one.output_bits) for name, one in kernels.items()}


def test_every_clamp_is_a_call_of_the_loop_and_every_lookup(kernels, header):
    for kernel in kernels.values():
        assert form_of(kernel) is not None
    assert header.count("embact_loop_clamp_s8(input") == len(BOUNDS[8])
    assert header.count("embact_loop_clamp_s16(input") == len(BOUNDS[16])
    assert header.count("embact_loop_lut_s8(input") == 1


def test_each_loop_is_in_a_header_once(kernels, header):
    for name in ("embact_loop_lut_s8", "embact_loop_clamp_s8", "embact_loop_clamp_s16"):
        assert header.count(f"#define {name.upper()}_H\n") == 1
    assert included(header) == []
    assert header.index("#endif /* EMBACT_TIER_PORTABLE */") < header.index("embact_loop_")


def test_a_kernel_without_a_form_brings_no_loop(fit_of):
    header = emit_header({"f": fit_of(Kernel(ir.saturate(ir.mul(ir.x(), ir.const(3)), 8), 8, 8))})
    assert "embact_loop" not in header


def test_a_clamp_is_found_in_whatever_expression_it_is():
    line = ir.shr(ir.add(ir.mul(ir.x(), ir.const(512)), ir.const(17)), 9)  # x
    kernel = Kernel(ir.Node(ir.Op.MAX, (line, ir.const(-9))), 8, 8)
    assert clamp_form(kernel).body == ("embact_loop_clamp_s8(input, output, -9, 127, size);",)


@pytest.mark.parametrize("change", [1, -1])
@pytest.mark.parametrize("at", [-128, -5, -3, 0, 90, 127])
def test_one_other_output_is_no_clamp(at, change):
    values = np.clip(all_codes(8), -3, 90)
    values[at + 128] = np.clip(values[at + 128] + change, -128, 127)
    table = ir.Table("lut", tuple(values.tolist()))
    kernel = Kernel(ir.lookup(table, POSITION), 8, 8)
    assert clamp_form(kernel) is None
    assert lut_form(kernel) is not None


def test_what_is_no_lookup_of_every_code_is_no_lut():
    half = ir.Table("lut", ENTRIES[:128])
    trimmed = ir.lookup(half, ir.Node(ir.Op.MAX, (ir.x(), ir.const(0))))
    assert lut_form(Kernel(trimmed, 8, 8)) is None
    wide = ir.Table("lut", tuple(v * 100 for v in ENTRIES))
    assert lut_form(Kernel(ir.lookup(wide, POSITION), 8, 16)) is None
    assert (
        lut_form(Kernel(ir.add(ir.lookup(ir.Table("lut", ENTRIES), POSITION), ir.x()), 8, 16))
        is None
    )


def test_a_lookup_at_another_index_is_no_form():
    """The table alone does not make the form: all outputs are compared."""
    swapped = ir.sub(ir.const(127), ir.x())
    kernel = Kernel(ir.lookup(ir.Table("lut", ENTRIES), swapped), 8, 8)
    assert form_of(kernel) is None


def test_the_table_is_stored_by_byte(fit_of):
    form = lut_form(looked_up())
    assert form.tables[0].values == ENTRIES[128:] + ENTRIES[:128]
    header = emit_header({"f": fit_of(looked_up())})
    assert "/* lut of f, for inputs 0..127, -128..-1: 256 bytes */" in header
    first = ", ".join(str(value) for value in ENTRIES[128:140])
    assert f"f_lut[256] = {{\n    {first}" in header


@pytest.mark.parametrize("flags", [(), ("-O0",), ("-O3",), ("-Os",), SANITIZED], ids=str)
def test_compiled_loops_are_the_definition_on_every_input(flags, header, widths, kernels):
    compiled = compile_header(header, widths, flags=flags)
    for name, kernel in kernels.items():
        assert check(compiled, name, kernel) is None, name


def test_compilers_at_hand_agree(compilers, header, widths, kernels, monkeypatch):
    for compiler in compilers.values():
        monkeypatch.setenv("CC", shlex.join(compiler))
        compiled = compile_header(header, widths)
        for name, kernel in kernels.items():
            assert check(compiled, name, kernel) is None, (compiler, name)


def test_a_table_in_another_order_and_another_bound_would_be_seen(
    header, widths, kernels, monkeypatch, fit_of
):
    bad = header.replace("input, output, -7, 90, size", "input, output, -7, 91, size")
    assert check(compile_header(bad, widths), "clamp_8_6", kernels["clamp_8_6"]) is not None
    monkeypatch.setattr(forms, "byte_order", lambda entries: entries)
    monkeypatch.setattr(forms.np, "array_equal", lambda one, other: True)
    bad = emit_header({"f": fit_of(looked_up())})
    assert check(compile_header(bad, {"f": (8, 8)}), "f", looked_up()) is not None


# Tables that depend on the tier

LAYOUT = """\
#if EMBACT_TIER == EMBACT_TIER_HELIUM
/* 4 bytes */
EMBACT_TABLE_SECTION static const int16_t $name[2] = {1, 2};
#else
/* 2 bytes */
EMBACT_TABLE_SECTION static const int8_t $name[2] = {1, 2};
#endif
"""


def test_bytes_of_each_tier_are_stated(fit_of, monkeypatch):
    table = TierTable("t", LAYOUT, {"portable": 2, "helium": 4})
    assert [bytes_on(table, tier) for tier in ("portable", "dsp", "helium")] == [2, 2, 4]
    body = ("embact_loop_clamp_s8(input, output, $t[0], $t[1], size);",)
    form = Form("embact_loop_clamp_s8.h", body, (table,))
    monkeypatch.setattr("embact.emit.written.form_of", lambda _: form)
    fits = {"f": fit_of(clamped(1, 2)), "g": fit_of(clamped(1, 3))}
    header = emit_header(fits)
    assert " * tables  2 bytes, 4 on tier helium, shared with g\n" in header
    assert "2 bytes, 4 on tier helium; 4, 8 on tier helium with a copy for each" in header
    assert header.count("f_t[2] = {1, 2};") == 2
    assert "f_t[0], f_t[1], size" in header
    assert check(compile_header(header, {"f": (8, 8)}), "f", clamped(1, 2)) is None


@pytest.mark.parametrize("tiers", [{}, {"helium": 4}, {"portable": 2, "neon": 4}])
def test_a_table_without_portable_bytes_is_refused(tiers, refuses):
    with refuses("tiers of table t", "portable"):
        TierTable("t", LAYOUT, tiers)


# On cores


@pytest.fixture
def on_core(tools_for):
    """Return in words where functions differ on a core, by function name."""

    def run(header, kernels, core, **settings):
        compiler, emulator = tools_for(core)
        return check_on_core(
            header, kernels, core, compiler=compiler, emulator=emulator, **settings
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-DEMBACT_NO_ASSEMBLY",), ("-DEMBACT_COMPACT",)], ids=str)
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_loops_are_the_definition_on_every_core(core, flags, header, kernels, on_core):
    assert on_core(header, kernels, core, flags=flags) == {}


@pytest.mark.slow
@pytest.mark.parametrize("optimise", ["-O0", "-O3", "-Os"])
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_loops_are_the_definition_however_they_are_compiled(
    core, optimise, header, kernels, on_core
):
    assert on_core(header, kernels, core, optimise=optimise) == {}


BROKEN = {
    "cortex-m4": ("ssub8", "usub8"),
    "cortex-m33": ("ldrb %[x3], [%[table], %[x3]]", "ldrb %[x3], [%[table], %[x2]]"),
    "cortex-m55": ("vmax.s8 q0, q0, q1", "vmax.u8 q0, q0, q1"),
}


@pytest.mark.parametrize("core", BROKEN)
def test_a_wrong_instruction_would_be_seen(core, header, kernels, on_core):
    right, wrong = BROKEN[core]
    assert right in header
    assert on_core(header.replace(right, wrong), kernels, CORES[core]) != {}


def test_the_source_of_a_loop_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        loop_source("embact_loop_none.h")
