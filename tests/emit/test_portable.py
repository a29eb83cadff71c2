import re
import shlex
import subprocess
from collections import Counter

import numpy as np
import pytest

from embact import ir
from embact.emit import portable
from embact.emit.header import emit_header
from embact.emit.portable import SPELLING, WIDTH, function, literal
from embact.grid import all_codes
from embact.ir import INT32_MAX, INT32_MIN, Op, Table, const, x
from embact.kernel import Kernel
from embact.run.host import check, compile_header, observe
from embact.run.toolchain import STRICT

POSITION = ir.add(x(), const(128))
SHUFFLED = Table("shuffled", tuple((37 * i + 11) % 256 - 128 for i in range(256)))
WIDTHS = {(8, 8): 40, (8, 16): 20, (16, 8): 10, (16, 16): 10}


def wide_sum():
    """Return a shifted sum that fits a line, but not with what stands around it."""
    total = x()
    for step in range(5):
        total = ir.add(ir.mul(total, const(-3)), const(12345 + step))
    return ir.named(ir.shl(total, 9), "wide")


def wide_choice():
    """Return a choice between unnamed products of 64 bits that fit no line."""
    spread = ir.named(ir.mul(x(), const(1 << 20)), "spread_over_all_of_int32")
    arms = [
        ir.mulh(
            ir.sub(ir.add(spread, const(123456789 + k)), x()), ir.add(spread, const(7654321 + k))
        )
        for k in range(4)
    ]
    below, above = (ir.select_less(x(), const(c), *arms[c > 0 :: 2]) for c in (-50, 50))
    return ir.select_less(x(), const(0), below, above)


def corners():
    """Return kernels at the edges of what C can say."""
    entry = ir.lookup(SHUFFLED, POSITION)
    wide = ir.mul(x(), const(1 << 24))  # all of int32
    positive = ir.Node(Op.MAX, (entry, const(1)))
    least, most = const(INT32_MIN), const(INT32_MAX)
    long = x()
    for step in range(12):
        long = ir.select_less(entry, const(step), ir.sub(long, const(step)), ir.add(long, entry))
    return {
        "constant": const(-128),
        "identity": x(),
        "negative_constants": ir.add(ir.shr(ir.mul(x(), const(-7)), 4), const(-3)),
        "subtract_negative": ir.shr(ir.sub(ir.sub(x(), const(-128)), const(255)), 1),
        "twice_negated": ir.shr(ir.sub(const(-1), ir.sub(const(-2), x())), 1),
        "least_literal": ir.shr(ir.add(ir.Node(Op.MAX, (wide, const(0))), least), 24),
        "least_compared": ir.select_less(wide, ir.add(least, const(1)), const(1), const(2)),
        "select_from_ends": ir.shr(ir.select_less(x(), const(0), least, most), 24),
        "half_of_least": ir.shr(ir.mulh(ir.select_less(x(), const(3), least, wide), most), 24),
        "mulh_of_ends": ir.shr(ir.mulh(ir.select_less(x(), const(0), least, most), wide), 24),
        "shift_by_31": ir.shr(wide, 31),
        "shift_left_all": ir.shr(ir.shl(x(), 24), 24),
        "shift_left_shared": ir.saturate(ir.sub(ir.shl(entry, 9), ir.shl(ir.shl(x(), 3), 9)), 8),
        "shift_left_30": ir.shr(ir.shl(ir.shr(x(), 7), 30), 24),
        "divide_least": ir.shr(ir.div(ir.mul(x(), const(1 << 24)), const(1)), 24),
        "divide_both_signs": ir.saturate(ir.div(ir.mul(x(), entry), positive), 8),
        "divide_by_clamped": ir.shr(ir.div(wide, ir.clamp(entry, 1, 7)), 24),
        "divide_shared": ir.clamp(ir.div(wide, ir.add(ir.shl(x(), 7), const(1 << 20))), -99, 90),
        "least_of_two": ir.Node(Op.MIN, (entry, x())),
        "saturate_shared": ir.saturate(ir.mul(entry, ir.saturate(entry, 6)), 8),
        "and_of_negatives": ir.Node(Op.AND, (x(), ir.sub(const(0), entry))),
        "nested_choice": ir.saturate(long, 8),
        "wide_shift": ir.sub(ir.shr(wide_sum(), 20), const(367)),
        "wide_choice": ir.shr(wide_choice(), 24),
        "keyword_names": ir.named(ir.saturate(ir.named(ir.mul(x(), entry), "int"), 8), "for"),
        "clashing_names": ir.add(
            ir.named(ir.shr(x(), 1), "output"), ir.named(ir.shr(entry, 1), "output")
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def kernels(expressions):
    """Function name -> Kernel: random ones of all widths, and corners."""
    found = {
        f"random_{bits}_{out_bits}_{seed}": Kernel(
            expressions.dag(seed, bits, out_bits), bits, out_bits
        )
        for (bits, out_bits), count in WIDTHS.items()
        for seed in range(1000 * bits + out_bits, 1000 * bits + out_bits + count)
    }
    return found | {name: Kernel(node, 8, 8) for name, node in corners().items()}


@pytest.fixture(scope="module")
def header(kernels, fit_of):
    return emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})


@pytest.fixture(scope="module")
def widths(kernels):
    return {name: (one.input_bits, one.output_bits) for name, one in kernels.items()}


def test_the_kernels_here_use_every_operation_often(kernels):
    used = Counter(node.op for kernel in kernels.values() for node in kernel.nodes)
    assert set(used) == set(Op) == {*SPELLING, Op.LOOKUP}
    assert min(used.values()) >= 8
    assert len({kernel.outputs.tobytes() for kernel in kernels.values()}) > 70


@pytest.mark.parametrize(
    "flags",
    [(), ("-O0",), ("-O1", "-ftrapv"), ("-Os",), ("-O3",), ("-DEMBACT_NO_MULTIPLY",)],
)
def test_compiled_c_is_the_definition_on_every_input(flags, header, widths, kernels):
    compiled = compile_header(header, widths, flags=flags)
    for name, kernel in kernels.items():
        assert np.array_equal(observe(compiled, name, kernel), kernel.outputs), name


def test_every_compiler_at_hand_gives_the_definition(
    compilers, header, widths, kernels, monkeypatch
):
    for compiler in compilers.values():
        monkeypatch.setenv("CC", shlex.join(compiler))
        compiled = compile_header(header, widths)
        for name, kernel in kernels.items():
            assert check(compiled, name, kernel) is None, (compiler, name)


def test_one_changed_constant_is_seen_and_its_input_named(fit_of):
    kernel = Kernel(ir.lookup(SHUFFLED, POSITION), 8, 8)
    text = emit_header({"f": fit_of(kernel)})
    entry = f"{SHUFFLED.values[0]}, {SHUFFLED.values[1]}, {SHUFFLED.values[2]},"
    assert text.count(entry) == 1
    changed = text.replace(entry, f"{SHUFFLED.values[0]}, {SHUFFLED.values[1]}, 0,")
    right, wrong = (compile_header(one, {"f": (8, 8)}) for one in (text, changed))
    assert check(right, "f", kernel) is None
    said = check(wrong, "f", kernel)
    assert said == f"input -126 gives 0, not {SHUFFLED.values[2]} (1 of 256 inputs differ)"


# No undefined behaviour

MAIN = """
#include <stdio.h>
#include "kernels.h"

int main(void)
{{
    static int8_t in8[256];
    static int16_t in16[65536];
    static int8_t out8[65536];
    static int16_t out16[65536];
    for (int32_t i = 0; i < 256; ++i) {{
        in8[i] = (int8_t)(i - 128);
    }}
    for (int32_t i = 0; i < 65536; ++i) {{
        in16[i] = (int16_t)(i - 32768);
    }}
{calls}
    return 0;
}}
"""
UBSAN = ("-std=c99", "-O1", "-g", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")


def run_program(compiler, folder, calls, **headers):
    """Compile and run a C program under UBSan; return its exit status, output and messages."""
    for name, text in headers.items():
        (folder / f"{name}.h").write_text(text)
    (folder / "main.c").write_text(MAIN.format(calls=calls))
    program = folder / "program"
    line = [*compiler, *UBSAN, "main.c", "-o", program]
    subprocess.run(line, cwd=folder, capture_output=True, check=True)
    done = subprocess.run([program], capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def calls_of(kernels):
    lines = []
    for name, one in kernels.items():
        size = 1 << one.input_bits
        lines.append(f"    {name}(in{one.input_bits}, out{one.output_bits}, {size});")
        lines.append(f"    fwrite(out{one.output_bits}, {one.output_bits // 8}, {size}, stdout);")
    return "\n".join(lines)


def test_no_input_of_any_kernel_is_undefined_behaviour(compilers, header, kernels, tmp_path):
    expected = b"".join(
        kernel.outputs.astype(f"int{kernel.output_bits}").tobytes() for kernel in kernels.values()
    )
    for name, compiler in compilers.items():
        status, printed, said = run_program(compiler, tmp_path, calls_of(kernels), kernels=header)
        assert (status, said) == (0, ""), name
        assert printed == expected, name


BAD = {
    "overflow": "y = (x + 128) * 16777216",
    "left shift of a negative": "y = (x << 20) << 11",
    "index outside the table": "y = table[x & 3]",
    "shift by the width": "y = x >> (x & 32)",
}


@pytest.mark.parametrize("statement", BAD.values(), ids=BAD)
def test_undefined_behaviour_would_stop_the_program(statement, compilers, tmp_path):
    bad = (
        "#include <stdint.h>\nstatic void bad(const int8_t *in, int8_t *out, int32_t n)\n{\n"
        "    static const int32_t table[3] = {1, 2, 3};\n    (void)table;\n"
        "    for (int32_t i = 0; i < n; ++i) {\n        const int32_t x = in[i];\n"
        f"        int32_t {statement};\n        out[i] = (int8_t)(y & 1);\n    }}\n}}\n"
    )
    calls = "    bad(in8, out8, 256); fwrite(out8, 1, 256, stdout); (void)out16; (void)in16;"
    for name, compiler in compilers.items():
        status, _, said = run_program(compiler, tmp_path, calls, kernels=bad)
        assert status != 0, name
        assert said, name


# Spelling


def spaceless(text):
    """Return C without comments and white space."""
    return re.sub(r"\s|/\*.*?\*/", "", text)


def test_long_expressions_are_written_once_on_lines_of_the_width(kernels, monkeypatch):
    lines = {
        name: function(kernel, name, names_of(kernel)).split("\n")
        for name, kernel in kernels.items()
    }
    assert max(len(line) for text in lines.values() for line in text) <= 100
    monkeypatch.setattr(portable, "WIDTH", 10**6)
    for name, kernel in kernels.items():
        unbroken = function(kernel, name, names_of(kernel))
        assert spaceless(unbroken) == spaceless("".join(lines[name])), name


def names_of(kernel):
    return {table.name: f"f_{table.name}" for table in kernel.tables}


def test_the_kernels_here_have_lines_that_are_broken(kernels):
    for name in ("wide_shift", "wide_choice"):
        lines = function(kernels[name], name, names_of(kernels[name])).split("\n")
        assert [line for line in lines if line.startswith(" " * 12)], name


@pytest.mark.parametrize("indent", [0, 4, 40])
@pytest.mark.parametrize(
    "text",
    [
        f"(int32_t)(((int64_t)({'a' * 30} + {'b' * 30}) * {'c' * 30}) >> 32)",
        f"EMBACT_SHL({'a' * 30} - {'b' * 30} - {'c' * 20}, 12)",
        f"EMBACT_SHL({'a' * 42} < 0 ? 1 : {'b' * 42}, 12)",
        f"(int32_t)table[({'a' * 30} & {'b' * 30}) >> 3]",
        f"{'a' * 40} < -128 ? -128 : {'a' * 40} > 127 ? 127 : {'a' * 40}",
        f"({'a' * 40} / {'b' * 40})",
    ],
)
def test_an_expression_is_broken_between_operands_and_nowhere_else(text, indent):
    lines = portable._wrapped(text, " " * indent, 1)
    assert spaceless("".join(lines)) == spaceless(text)
    assert max(map(len, lines)) < WIDTH
    assert len(lines) == 1 or len(text) + indent >= WIDTH
    assert all(line.startswith(" " * indent) for line in lines)
    words = re.findall(r"\w+", text)
    assert [word for line in lines for word in re.findall(r"\w+", line)] == words


def test_a_shift_to_the_left_is_spelled_as_one():
    text = function(Kernel(ir.shr(ir.shl(ir.sub(x(), const(3)), 4), 5), 8, 8), "f", {})
    assert "y = EMBACT_SHL(x - 3, 4) >> 5;" in text


def test_subtracting_a_negative_constant_is_an_addition():
    assert "y = (x + 300) >> 2;" in function(
        Kernel(ir.shr(ir.sub(x(), const(-300)), 2), 8, 8), "f", {}
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-5, "-5"), (INT32_MAX, "2147483647"), (INT32_MIN, "(-2147483647 - 1)")],
)
def test_literals(value, text):
    assert literal(value) == text


def test_every_local_states_its_exact_range(fit_of):
    scaled = ir.named(ir.mul(x(), const(300)), "scaled")
    text = emit_header({"f": fit_of(Kernel(ir.shr(scaled, 9), 8, 8))})
    assert "const int32_t x = input[i]; /* -128..127 */" in text
    assert "const int32_t scaled = x * 300; /* -38400..38100 */" in text
    assert "const int32_t y = scaled >> 9; /* -75..74 */" in text


def test_nothing_is_done_for_sizes_below_one(header, widths, kernels):
    compiled = compile_header(header, widths)
    name, kernel = next(iter(kernels.items()))
    source = all_codes(kernel.input_bits).astype(f"int{kernel.input_bits}")
    for size in (0, -1, -(2**31)):
        result = np.full(source.shape, 77, dtype=f"int{kernel.output_bits}")
        compiled.call(name, source, result, size)
        assert set(result.tolist()) == {77}


def test_strict_flags_hold_all_warnings_as_errors():
    assert {"-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"} <= set(STRICT)
