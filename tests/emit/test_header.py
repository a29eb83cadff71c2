import copy
import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from embact import __version__, ir
from embact.activations import CATALOGUE, activation
from embact.certify import Histogram, stated
from embact.emit.header import _harmless, emit_header, functions_in
from embact.emit.names import FUNCTIONS, MATH, check_function_name
from embact.errors import EmbactError
from embact.expression import user_activation
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import Fit
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.kernel import Kernel
from embact.run.toolchain import STRICT

S8, S16 = Grid(0.0625, 0, 8), Grid(2.0**-12, 0, 16)
PROBABILITY, UNIT = Grid(1 / 256, -128, 8), Grid(2.0**-15, 0, 16)
PLAIN = Options(slope_bits=8, fold=False, lookup="compare", shifts="common", clamp="codes")
GOLDEN = {
    "sigmoid_lut_s8": ("sigmoid", {}, QuantSpec(S8, PROBABILITY), Limits(max_error=0), "lut"),
    "relu_affine_s8": ("relu", {}, QuantSpec(S8, Grid(0.07, -128, 8)), Limits(), "affine"),
    "relu_clamp_s8": ("relu", {}, QuantSpec(S8, S8), Limits(0), "affine"),
    "leaky_relu_affine_s16": (
        *("leaky_relu", {"alpha": 0.1}),
        *(QuantSpec(S16, Grid(0.0003, 0, 16)), Limits(), "affine"),
    ),
    "sigmoid_pwl_s8": ("sigmoid", {}, QuantSpec(S8, PROBABILITY), Limits(1), "pwl", PLAIN),
    "tanh_pwl_s16_s8": ("tanh", {}, QuantSpec(S16, Grid(1 / 128, 0, 8)), Limits(), "pwl", PLAIN),
    "swish_lut_s8_s16": (
        *("swish", {"beta": 1.5}),
        *(QuantSpec(Grid(0.0625, -7, 8), Grid(2.0**-12, 0, 16)), Limits(), "lut"),
    ),
    "tanh_interp_s16": ("tanh", {}, QuantSpec(S16, UNIT), Limits(200), "interp"),
    "sigmoid_shift_pwl_s8": (
        *("sigmoid", {}, QuantSpec(S8, PROBABILITY), Limits(1), "shift_pwl"),
        Options(terms=2),
    ),
    "sqnl_two_level_s16": (
        *("sqnl", {}, QuantSpec(S16, Grid(2.0**-5, 0, 16))),
        *(Limits(max_error=0, max_bytes=240), "lut"),
    ),
    "gelu_composed_s8": ("gelu", {}, QuantSpec(S8, S8), Limits(max_error=0), "composed"),
    "softsign_rational_s8": (
        "softsign",
        {},
        QuantSpec(S8, Grid(1 / 128, 0, 8)),
        Limits(),
        "rational",
    ),
}
"""Name -> activation, parameters, quantisation, limits, family and, unless default, options."""
C99_HEADERS = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal "
    "stdarg stdbool stddef stdint stdio stdlib string tgmath time wchar wctype "
)
STANDARDS = ("-std=c99", "-std=c11", "-std=c17")
CPP = ("-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror")

FIT_AND_EMIT = """
from embact.activations import activation
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
spec = QuantSpec(Grid(2.0**-12, 0, 16), Grid(1 / 128, 0, 8))
options = Options(slope_bits=8, fold=False, lookup="compare", shifts="common", clamp="codes")
print(emit_header({"f": fit(Problem(activation("tanh"), spec, Limits(), options), "pwl")}), end="")
"""


@pytest.fixture(scope="module")
def fits():
    """The representative kernels as name -> Fit."""
    return {
        name: fit(Problem(activation(act, **parameters), spec, limits, *options), family)
        for name, (act, parameters, spec, limits, family, *options) in GOLDEN.items()
    }


@pytest.fixture(scope="module")
def everything(fits):
    """One header of all of them."""
    return emit_header({f"embact_{name}": one for name, one in fits.items()})


@pytest.fixture
def compile_only(tmp_path):
    """Compile a source beside headers; return the exit status and what the compiler said."""

    def run(compiler, flags, source, **headers):
        for name, text in headers.items():
            (tmp_path / f"{name}.h").write_text(text)
        (tmp_path / "source.c").write_text(source)
        line = [*compiler, *flags, "-c", "source.c", "-o", "source.o"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("name", GOLDEN)
def test_header_is_the_reviewed_one(name, fits, golden):
    golden(f"{name}.h", emit_header({fits[name].function_name: fits[name]}))


def test_header_depends_on_nothing_but_the_kernels(fits, tmp_path):
    texts = [
        subprocess.run(
            [sys.executable, "-c", FIT_AND_EMIT],
            cwd=cwd,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for cwd, seed, zone in ((tmp_path, "1", "UTC"), (tmp_path.parent, "2", "Asia/Tokyo"))
    ]
    assert texts[0] == texts[1] == emit_header({"f": fits["tanh_pwl_s16_s8"]})


def test_emitting_again_gives_the_same_bytes(fits, everything):
    assert emit_header({f"embact_{name}": one for name, one in fits.items()}) == everything


@pytest.mark.parametrize("define", [(), ("-DEMBACT_NO_MULTIPLY",)])
@pytest.mark.parametrize("standard", STANDARDS)
def test_header_compiles_without_a_warning(standard, define, compilers, compile_only, everything):
    flags = (*STRICT, standard, "-O2", *define)
    for name, compiler in compilers.items():
        source = '#include "kernels.h"\nint unused;\n'
        assert compile_only(compiler, flags, source, kernels=everything) == (0, ""), name


@pytest.mark.parametrize("define", [(), ("-DEMBACT_NO_MULTIPLY",)])
def test_header_compiles_as_cpp17(define, compilers, compile_only, everything):
    for name, compiler in compilers.items():
        source = '#include "kernels.h"\n'
        flags = (*CPP, "-Wconversion", "-Wshadow", "-Wpedantic", *define)
        assert compile_only(compiler, flags, source, kernels=everything) == (0, ""), name


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("((int32_t)((uint32_t)(a) << (n)))", "(int32_t)((uint32_t)(a) << (n) >> 1)"),
        ("((int32_t)-1 >> 1)", "((int32_t)-1 / 2)"),
    ],
)
def test_a_compiler_that_shifts_otherwise_is_refused(right, wrong, compilers, compile_only, fits):
    text = emit_header({"f": fits["tanh_interp_s16"]})
    assert text.count(right) == 1
    for compiler in compilers.values():
        assert compile_only(compiler, STRICT, '#include "f.h"\n', f=text) == (0, "")
        status, said = compile_only(
            compiler, STRICT, '#include "f.h"\n', f=text.replace(right, wrong)
        )
        assert (status != 0, "embact_needs_" in said) == (True, True)


def test_a_warning_would_fail_the_build(compilers, compile_only, everything):
    bad = everything.replace("output[i] = (int8_t)y;", "output[i] = y;")
    assert bad != everything
    for name, compiler in compilers.items():
        status, said = compile_only(compiler, STRICT, '#include "kernels.h"\n', kernels=bad)
        assert (status != 0, "conversion" in said) == (True, True), name


def test_two_headers_go_together(compilers, compile_only, fits):
    texts = {name: emit_header({f"embact_{name}": one}) for name, one in fits.items()}
    source = "".join(f'#include "{name}.h"\n' for name in (*texts, *texts))
    for flags in (STRICT, CPP):
        for compiler in compilers.values():
            assert compile_only(compiler, flags, source, **texts) == (0, "")


def test_header_of_another_abi_is_an_error(compilers, compile_only, fits):
    one = emit_header({"embact_a": fits["relu_affine_s8"]})
    other = one.replace("EMBACT_ABI_VERSION 3", "EMBACT_ABI_VERSION 4")
    other = other.replace("EMBACT_A_", "EMBACT_B_")
    for before in ('#include "other.h"\n', "#define EMBACT_ABI_VERSION 0\n"):
        source = before + '#include "one.h"\n'
        for name, compiler in compilers.items():
            status, said = compile_only(compiler, (), source, one=one, other=other)
            assert (status != 0, "Regenerate" in said) == (True, True), name


def test_tables_go_where_the_user_places_them(compile_only, compilers, fits):
    text = emit_header({"embact_f": fits["sigmoid_lut_s8"]})
    placed = '#define EMBACT_TABLE_SECTION __attribute__((section(".dtcm")))\n'
    source = placed + '#include "f.h"\nvoid (*use)(const int8_t *, int8_t *, int32_t) = embact_f;\n'
    for compiler in compilers.values():
        status, said = compile_only(compiler, ("-O0", "-S"), source, f=text)
        assert (status, said) == (0, "")


@pytest.mark.parametrize(
    "name",
    ["arm_relu_s8", "arm_", "main", "int", "do", "double", "switch", "static", "class", "template",
     "xor", "restrict"],
)  # fmt: skip
def test_names_that_c_or_cmsis_has_are_refused(refuses, fits, name):
    with refuses("name of a function", repr(name), "no C keyword and no arm_* symbol"):
        emit_header({name: fits["relu_affine_s8"]})


@pytest.mark.parametrize("name", ["int8_t", "uint32_t", "size_t", "ptrdiff_t", "my_own_t"])
def test_names_of_types_are_refused(refuses, fits, name):
    with refuses("name of a function", repr(name), "no end _t"):
        emit_header({name: fits["relu_affine_s8"]})


@pytest.mark.parametrize(
    "name",
    ["stdint", "stddef", "math", "uchar", "abs", "exp", "expf", "expl", "tanh", "floorf16", "gamma",
     "lgamma_r", "y0", "index", "memcpy", "printf", "puts_unlocked", "qsort", "errno", "va_list",
     "strings", "linux"],
)  # fmt: skip
def test_names_of_the_c_library_are_refused(refuses, fits, name):
    with refuses("name of a function", f"{name!r}, a name of C's standard library"):
        emit_header({name: fits["relu_affine_s8"]})


@pytest.mark.parametrize("name", ["embact", "embact_nn", "embact_kernels"])
def test_names_of_our_headers_are_refused(refuses, fits, name):
    with refuses("name of a function", f"{name!r}, a header of embact"):
        emit_header({name: fits["relu_affine_s8"]})


def defined(names):
    """C that defines a function of each name, one on a line."""
    body = (
        "(const int8_t *input, int8_t *output, int32_t size) { *output = (int8_t)(*input + size); }"
    )
    return [f"static inline void {name}{body}" for name in names]


def test_every_name_that_gcc_knows_is_refused(compile_only, compilers):
    """Whatever of C's own headers' words clashes with them, or with the compiler, is refused."""
    headers = "".join(f"#include <{name}.h>\n" for name in C99_HEADERS.split())
    done = subprocess.run(
        [*compilers["gcc"], "-std=c99", "-E", "-P", "-"],
        input=headers, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = sorted(set(re.findall(r"\b[a-z][a-z0-9_]*\b", done.stdout)) | set(FUNCTIONS | MATH))
    free = []
    for word in words:
        try:
            check_function_name(word)
        except EmbactError:
            continue
        free.append(word)
    free += ["total", "island", "stream", "memory_map", "tones", "sink", "sine", "logits"]
    assert len(words) > 10 * len(free) > 100
    flags = ("-std=gnu11", "-Wall", "-Werror", "-Wno-unused-function")
    clash = headers.replace("#include <tgmath.h>\n", "") + "\n".join(defined(free)) + "\n"
    assert compile_only(compilers["gcc"], flags, clash) == (0, "")
    for word in ("abs", "index"):  # and what is refused does not compile
        text = "#include <stdint.h>\n#include <string.h>\n" + defined([word])[0]
        assert compile_only(compilers["gcc"], flags, text)[0] != 0


@pytest.mark.parametrize("name", ["", "*/", "a b", "f()", "F", "1a", "a\nb", "é", "_f", "a" * 64])
def test_names_that_are_no_identifiers_are_refused(refuses, fits, name):
    with refuses("name of a function", "a letter first"):
        emit_header({name: fits["relu_affine_s8"]})


def test_a_function_never_has_the_name_of_a_table(refuses, fits):
    with refuses("name of a function", "'f_lut'", "not that of a table of f"):
        emit_header({"f": fits["sigmoid_lut_s8"], "f_lut": fits["relu_affine_s8"]})


def test_odd_but_legal_names_compile(compilers, compile_only, fits):
    names = ("x", "y", "i", "input", "output", "size", "line", "slope", "segment", "t3", "f_lut")
    for name in names:
        text = emit_header({name: fits["sigmoid_pwl_s8"]})
        for compiler in compilers.values():
            assert compile_only(compiler, STRICT, '#include "f.h"\n', f=text) == (0, ""), name


def test_a_header_of_nothing_is_refused(refuses):
    with refuses("a header of no kernels"):
        emit_header({})


# What the comment says


@pytest.mark.parametrize("name", GOLDEN)
def test_comment_states_the_evidence(name, fits):
    one = fits[name]
    text, proved = emit_header({"f": one}), one.certificate
    assert f"Generated by embact {__version__}" in text
    assert f" * digest  {one.kernel.digest}\n" in text
    assert f"at most {proved.max_error_codes} code" in text
    assert f" and {stated(proved.max_error_lsb)} lsb, over all {proved.points} inputs\n" in text
    assert f"output {proved.output_min}..{proved.output_max}\n" in text
    assert f" * tables  {one.kernel.table_bytes} bytes\n" in text
    in_place = one.spec.input.bits == one.spec.output.bits
    assert ("may be the same address" in text) == in_place
    assert ("must not overlap" in text) != in_place


def test_comment_gives_the_command_as_a_shell_takes_it(fits):
    text = emit_header({"f": fits["swish_lut_s8_s16"]})
    lines = re.search(r" \* command (.*?)\n \* digest", text, re.DOTALL).group(1)
    joined = re.sub(r" \\\n \*\s*", " ", lines)
    assert joined == fits["swish_lut_s8_s16"].command
    assert joined == (
        "embact fit swish --param beta=1.5 --in-dtype int8 --out-dtype int16 "
        "--in-scale 0.0625 --in-zero-point -7 --out-scale 0.000244140625 --out-zero-point 0 "
        "--family lut --max-error 1 --objective instructions"
    )
    assert fits["sigmoid_pwl_s8"].command.endswith(
        " --slope-bits 8 --shifts common --no-fold --lookup compare --clamp codes"
    )


def test_comment_says_which_truth_it_is_only_if_no_oracle_decides():
    spec = QuantSpec(S8, Grid(1 / 128, 0, 8))
    ours = user_activation(np.arctan, name="ours")
    for act, said in ((activation("tanh"), []), (ours, [" * truth   float64, not oracle-checked"])):
        text = emit_header({"f": fit(Problem(act, spec), "lut")})
        assert [line for line in text.split("\n") if "truth" in line] == said


def test_comment_gives_the_errors_that_a_histogram_weighs():
    counts = [int(abs(code) <= 1) * (3 + code) for code in range(-128, 128)]  # 2, 3, 4
    spec = QuantSpec(S8, Grid(1 / 128, 0, 8))
    limits = Limits(max_error=2, on_support=True)
    problem = Problem(activation("tanh"), spec, limits, histogram=Histogram(tuple(counts)))
    one = fit(problem, "pwl")
    off = np.abs(one.kernel.outputs - problem.truth.lsb)[127:130]
    codes_off = int(np.abs(one.kernel.outputs - problem.truth.codes)[127:130].max())
    mean = (2 * off[0] + 3 * off[1] + 4 * off[2]) / 9
    assert (
        f" * mean    error {mean:.4f} lsb over the histogram, at most {codes_off} "
        f"{'code' if codes_off == 1 else 'codes'} on its 3 inputs\n"
    ) in emit_header({"f": one})
    unweighed = dataclasses.replace(problem, limits=Limits(2), histogram=None)
    plain = dataclasses.replace(one, problem=unweighed)
    assert " * mean " not in emit_header({"f": plain})


HOSTILE = [
    "*/ int stolen; /*",
    "/* nested",
    "x**/2",
    "/*/",
    "ends in a splice \\",
    "ends in a splice ??/",
    "??/??/",
    "???/",
    "two\nlines",
    "carriage\rreturn",
    "vertical\vtab\f",
    "separators \u2028 \x85 \x00",
    "naïve",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_formula_or_command_leaves_its_comment(text, fits, compilers, compile_only, monkeypatch):
    one = fits["sigmoid_pwl_s8"]
    honest = emit_header({"f": one}).split("\n")
    evil = copy.copy(activation("sigmoid"))
    object.__setattr__(evil, "formula", text)  # past what Activation checks
    monkeypatch.setattr(Fit, "command", f"embact fit {text} --family {text}")
    header = emit_header({"f": dataclasses.replace(one, problem=replaced(one, evil))})
    assert header.isascii()
    lines = header.split("\n")
    changed = [line for line in lines if line not in honest]
    assert len(changed) == 3
    for line in changed:
        assert re.match(r" \* (sigmoid:|command embact fit|    --family) ", line)
        assert not re.search(r"\*/|/\*|\?\?|\\(?!$)", line)
    assert [line for line in changed if line.endswith("\\")] == changed[1:2]  # the shell's
    assert lines[lines.index(changed[2]) + 1].startswith(" * digest")
    for compiler in compilers.values():
        assert compile_only(compiler, STRICT, '#include "f.h"\n', f=header) == (0, "")


def replaced(one, act):
    return dataclasses.replace(one.problem, activation=act)


def test_a_comment_that_is_closed_early_would_not_compile(compilers, compile_only, fits):
    text = emit_header({"f": fits["sigmoid_pwl_s8"]})
    bad = text.replace("1/(1 + exp(-x))", "1/(1 + exp(-x)) */ no declaration /*")
    assert bad != text
    for compiler in compilers.values():
        assert compile_only(compiler, STRICT, '#include "f.h"\n', f=bad)[0] != 0


def test_formulas_of_the_catalogue_and_of_users_are_not_changed():
    formulas = [activation(name).formula for name in CATALOGUE]
    formulas += ["x*x/(1+x**2)", "where(x<=0,x,-x)/2"]
    assert [_harmless(formula) for formula in formulas] == formulas


def test_comment_says_how_many_bytes_each_table_takes(fits):
    for name, one in fits.items():
        said = re.findall(r": (\d+) bytes \*/\nEMBACT_TABLE_SECTION", emit_header({"f": one}))
        assert list(map(int, said)) == [table.bytes for table in one.kernel.tables], name
        assert sum(map(int, said)) == one.kernel.table_bytes


def test_lines_are_short_and_ascii(everything):
    assert max(map(len, everything.splitlines())) <= 120
    assert everything.isascii()


def test_functions_in_a_header_are_found_by_their_widths(fits, everything):
    for bits, out_bits in ((8, 8), (16, 16), (16, 8), (8, 16)):
        names = [
            f"embact_{name}"
            for name, one in fits.items()
            if (one.spec.input.bits, one.spec.output.bits) == (bits, out_bits)
        ]
        assert functions_in(everything, bits, out_bits) == names != []


def test_table_of_the_smallest_int32_is_a_valid_literal(fit_of, compilers, compile_only):
    table = ir.Table("t", (ir.INT32_MIN, ir.INT32_MAX))
    index = ir.shr(ir.add(ir.x(), ir.const(128)), 7)
    kernel = Kernel(ir.shr(ir.lookup(table, index), 24), 8, 8)
    text = emit_header({"f": fit_of(kernel)})
    assert "(-2147483647 - 1), 2147483647" in text
    for compiler in compilers.values():
        assert compile_only(compiler, STRICT, '#include "f.h"\n', f=text) == (0, "")
