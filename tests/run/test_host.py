import numpy as np
import pytest

from embact import ir
from embact.activations import activation
from embact.emit.header import emit_header
from embact.fit.problem import Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec, all_codes
from embact.ir import Table, const, x
from embact.kernel import Kernel
from embact.run.host import check, compile_header, observe
from embact.run.toolchain import find_compiler

TABLE = tuple((91 * i + 7) % 256 - 128 for i in range(256))
LUT = Kernel(ir.lookup(Table("lut", TABLE), ir.add(x(), const(128))), 8, 8)
NEGATED = Kernel(ir.clamp(ir.sub(const(0), x()), -128, 127), 8, 8)


def c_function(body, widths=(8, 8)):
    """Return a hand-written header with a function f of these widths."""
    bits, out_bits = widths
    return (
        "#include <stdint.h>\n"
        f"static inline void f(const int{bits}_t *input, int{out_bits}_t *output, int32_t size)\n"
        f"{{\n{body}\n}}\n"
    )


def compiled(body, widths=(8, 8)):
    return compile_header(c_function(body, widths), {"f": widths})


NEGATE = "const int32_t y = -input[i]; output[i] = (int8_t)(y > 127 ? 127 : y);"
RIGHT = f"for (int32_t i = 0; i < size; ++i) {{ {NEGATE} }}"

WRONG = {
    "writes one past the end": (
        f"{RIGHT}\nif (size > 0) {{ output[size] = 1; }}",
        "writes outside its output",
    ),
    "writes before the start": (
        f"for (int32_t i = size - 1; i >= 0; --i) {{ {NEGATE} }}\noutput[-1] = 0;",
        "writes outside its output",
    ),
    "writes a whole word for the tail": (
        f"{RIGHT}\nfor (int32_t i = size; i % 4 != 0; ++i) {{ output[i] = 0; }}",
        "writes outside its output",
    ),
    "writes though the size is 0": (
        f"{RIGHT}\nif (size == 0) {{ output[0] = 3; }}",
        "writes outside its output",
    ),
    "writes to its input": (
        f"{RIGHT}\nif (size > 9) {{ ((int8_t *)(uintptr_t)input)[3] = 0; }}",
        "writes to its input",
    ),
    "writes though the size is negative": (
        f"{RIGHT}\nif (size < 0) {{ output[0] = 3; }}",
        "writes outside its output",
    ),
    "overflows at large sizes": (
        f"for (int8_t i = 0; i < (size > 100 ? 100 : size); ++i) {{ {NEGATE} }}",
        "depends on how it is called",
    ),
    "leaves the tail": (
        f"for (int32_t i = 0; i < size - size % 4; ++i) {{ {NEGATE} }}",
        "depends on how it is called",
    ),
    "another result for odd sizes": (
        f"{RIGHT}\nif (size > 0 && size % 2 != 0) {{ output[size - 1] ^= 1; }}",
        "depends on how it is called",
    ),
    "another result when not aligned": (
        f"{RIGHT}\nif ((uintptr_t)input % 4 != 0 && size > 0) {{ output[0] ^= 1; }}",
        "depends on how it is called",
    ),
    "reads what it has written": (
        "for (int32_t i = 0; i < size; ++i) { output[i] = 0; }\n" + RIGHT,
        "in place",
    ),
}


def test_a_right_function_passes():
    outputs = observe(compiled(RIGHT), "f", NEGATED)
    assert np.array_equal(outputs, NEGATED.outputs)
    assert check(compiled(RIGHT), "f", NEGATED) is None


@pytest.mark.parametrize(("body", "said"), WRONG.values(), ids=WRONG)
def test_a_function_that_is_wrong_in_some_calls_is_caught(refuses, body, said):
    with refuses("f ", said):
        observe(compiled(body), "f", NEGATED)


@pytest.mark.parametrize("position", [0, 100, 255])
def test_one_changed_table_entry_is_named_by_its_input(fit_of, position):
    header = emit_header({"f": fit_of(LUT)})
    changed = [*TABLE[:position], TABLE[position] ^ 1, *TABLE[position + 1 :]]
    other = Kernel(ir.lookup(Table("lut", tuple(changed)), ir.add(x(), const(128))), 8, 8)
    right = compile_header(header, {"f": (8, 8)})
    wrong = compile_header(emit_header({"f": fit_of(other)}), {"f": (8, 8)})
    assert check(right, "f", LUT) is None
    assert check(wrong, "f", LUT) == (
        f"input {position - 128} gives {changed[position]}, not {TABLE[position]} "
        "(1 of 256 inputs differ)"
    )


@pytest.mark.parametrize("widths", [(8, 8), (8, 16), (16, 8), (16, 16)])
def test_every_pair_of_widths_runs(widths, fit_of):
    bits, out_bits = widths
    kernel = Kernel(ir.saturate(ir.mul(x(), const(3)), out_bits), bits, out_bits)
    built = compile_header(emit_header({"f": fit_of(kernel)}), {"f": widths})
    outputs = observe(built, "f", kernel)
    assert outputs.dtype == f"int{out_bits}"
    assert np.array_equal(outputs, kernel.outputs)


def test_run_keeps_the_shape_and_takes_any_integers():
    built = compiled(RIGHT)
    codes = np.array([[-128, -1, 0], [1, 2, 127]])
    for source in (codes, codes.astype(np.int8), codes.T.copy().T, codes[:, ::-1]):
        assert np.array_equal(built.run("f", source), np.minimum(-source.astype(int), 127))
    assert built.run("f", np.zeros((0, 3))).shape == (0, 3)


def test_addresses_are_those_of_the_functions():
    built = compiled(RIGHT)
    pointer = built.module.ffi.cast("void (*)(void *, void *, int32_t)", built.address("f"))
    source, result = np.array([5, -7], np.int8), np.zeros(2, np.int8)
    ffi = built.module.ffi
    pointer(ffi.from_buffer(source), ffi.from_buffer(result), 2)
    assert result.tolist() == [-5, 7]
    assert built.path.endswith(".so") or built.path.endswith(".dylib")


def test_unknown_functions_name_the_known_ones(refuses):
    built = compiled(RIGHT)
    for call in (built.pointer, built.address):
        with refuses("unknown compiled function", "'g'", "f"):
            call("g")
    with refuses("unknown compiled function", "'g'", "f"):
        built.run("g", [1])


@pytest.mark.parametrize("widths", [(8, 16), (16, 8)])
def test_another_signature_than_stated_does_not_compile(refuses, widths):
    with refuses("C compiler failed", "f"):
        compile_header(c_function(RIGHT), {"f": widths})


def test_a_missing_function_does_not_compile(refuses):
    with refuses("C compiler failed", "g"):
        compile_header(c_function(RIGHT), {"g": (8, 8)})


def test_without_a_system_compiler_ziglang_compiles_a_real_header(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert find_compiler().command[1:] == ("-m", "ziglang", "cc")
    tanh, relu = activation("tanh"), activation("relu")
    fits = {
        "tanh_pwl": fit(
            Problem(tanh, QuantSpec(Grid(2.0**-12, 0, 16), Grid(1 / 128, 0, 8))), "pwl"
        ),
        "tanh_lut": fit(Problem(tanh, QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))), "lut"),
        "relu_affine": fit(Problem(relu, QuantSpec(Grid(0.001, 0, 16), Grid(0.0007, -99, 16)))),
    }
    widths = {name: (one.spec.input.bits, one.spec.output.bits) for name, one in fits.items()}
    built = compile_header(emit_header(fits), widths)
    for name, one in fits.items():
        assert np.array_equal(built.run(name, all_codes(widths[name][0])), one.kernel.outputs)
        assert check(built, name, one.kernel) is None
