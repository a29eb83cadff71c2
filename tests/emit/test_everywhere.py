"""All our C with every compiler at hand, for every core and this machine: no warning, no library.

What is compiled: one header with kernels of every family at every pair of widths, and all of
embact_nn.
"""

import io
import itertools
import os
import subprocess
import sys

import pytest
from elftools.elf.elffile import ELFFile

from embact.activations import activation
from embact.conventions import output_grid
from embact.cores import CORES
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Problem
from embact.fit.search import FAMILIES, candidates
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.nn.library import FUNCTIONS, library_files
from embact.run.cross import cross_compiler
from embact.run.toolchain import STRICT

KINDS = ("gcc", "zig")
TARGETS = [*itertools.product(KINDS, CORES), *((kind, "host") for kind in KINDS)]
QUICK = {("gcc", "cortex-m0plus"), ("zig", "cortex-m4"), ("gcc", "cortex-m55"), ("gcc", "host")}
PARAMETERS = [pytest.param(*one, marks=() if one in QUICK else pytest.mark.slow) for one in TARGETS]
SETTINGS = [
    *((level, "c99") for level in ("-O0", "-O2", "-O3", "-Os")),
    *(("-O2", standard) for standard in ("c11", "c17", "c2x")),
    *((level, "c++17") for level in ("-O0", "-O2", "-O3", "-Os")),
]
"""Levels and standards. C23 is spelt c2x by compilers older than it."""

ACTIVATIONS = ("sigmoid", "gelu", "exp", "relu6", "softsign")
WIDTHS = ((8, 8), (16, 16), (8, 16), (16, 8))
EVERY_WIDTH = ("affine", "lut", "pwl", "interp")
"""Families that are compiled at every pair of widths; the others with int8 codes."""

HELPERS = {
    "thumb1": {f"__aeabi_{name}" for name in ("idiv", "uidiv", "lmul", "llsl", "llsr", "lasr")},
    "any": {"__aeabi_uldivmod", "__aeabi_ldivmod"},
}
"""Functions of the compiler that our C may call: on ARMv6-M products and shifts of 64 bits and
division; on all cores the division of 64 bits that exact softmax does once for each row."""


def _first(family, widths):
    """Return the first kernels of a family for the first activation of which it has any."""
    bits, out_bits = widths
    for name in ACTIVATIONS:
        act, grid = activation(name), grid_of_range(-6.0, 6.0, bits)
        if name == "exp":
            grid = Grid(8.0 / (1 << bits), (1 << (bits - 1)) - 1, bits)
        spec = QuantSpec(grid, output_grid(act, grid, out_bits))
        if found := list(itertools.islice(candidates(Problem(act, spec, Limits(24)), family), 3)):
            return {f"{name}_{family}_{n}_{bits}_{out_bits}": one for n, one in enumerate(found)}
    raise AssertionError(f"no {family} for {widths}")


def _fits():
    """Return fits by function name."""
    found = {}
    for family, widths in itertools.product(FAMILIES, WIDTHS):
        if widths == (8, 8) or family in EVERY_WIDTH:
            found |= _first(family, widths)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every file to compile: ``all.c``, which uses each kernel of ``all.h``, and embact_nn."""
    fits = _fits()
    place = tmp_path_factory.mktemp("everywhere")
    lines = ['#include "all.h"', '#ifdef __cplusplus\nextern "C" {\n#endif']
    for name, one in fits.items():
        bits, out_bits = one.spec.input.bits, one.spec.output.bits
        signature = f"void call_{name}(const int{bits}_t *a, int{out_bits}_t *b, int32_t n)"
        lines.append(f"{signature};\n{signature}\n{{\n    {name}(a, b, n);\n}}")
    lines.append("#ifdef __cplusplus\n}\n#endif\n")
    files = {"all.h": emit_header(fits), "all.c": "\n".join(lines), **library_files()}
    for name, text in files.items():
        place.joinpath(name).write_text(text, "utf-8")
    return place


def command(kind, core):
    """Return the words that compile for a core or this machine."""
    if core != "host":
        compiler = cross_compiler(CORES[core], kind)
        # as firmware is compiled: clang's tables for exceptions would name their handlers
        return [*compiler.command, *compiler.target(CORES[core]), "-fno-unwind-tables"]
    return {"gcc": ["gcc"], "zig": [sys.executable, "-m", "ziglang", "cc"]}[kind]


def compiled(words, folder, level, standard, names):
    """Compile some files of a folder and return the process, which has printed all warnings."""
    language = ["-x", "c++"] if standard == "c++17" else []
    strict = [f"-std={standard}", *(flag for flag in STRICT if not flag.startswith("-std"))]
    return subprocess.run(
        [*words, level, *strict, *language, "-c", *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(folder / "zig")},
    )


def names_of(standard):
    """Return what is compiled: C++ takes headers, C the library's files too."""
    return ["all.c", *(f"{function}.c" for function in FUNCTIONS if standard != "c++17")]


def check_no_warning(kind, core, folder, settings):
    words = command(kind, core)
    for level, standard in settings:
        done = compiled(words, folder, level, standard, names_of(standard))
        assert (done.returncode, done.stderr) == (0, ""), (level, standard)


@pytest.mark.parametrize(("kind", "core"), sorted(QUICK))
def test_no_compiler_warns(kind, core, folder):
    check_no_warning(kind, core, folder, [("-O2", "c99"), ("-O2", "c++17")])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "core"), TARGETS)
def test_no_compiler_warns_at_any_level_and_standard(kind, core, folder):
    check_no_warning(kind, core, folder, SETTINGS)


def test_a_warning_would_be_noticed(folder):
    text = folder.joinpath("all.c").read_text("utf-8")
    folder.joinpath("narrow.c").write_text(
        f"{text}int8_t f(int32_t a);\nint8_t f(int32_t a){{ return a; }}\n", "utf-8"
    )
    for kind, core in TARGETS:
        done = compiled(command(kind, core), folder, "-O2", "c99", ["narrow.c"])
        assert done.returncode, (kind, core)
        assert "conversion" in done.stderr


def symbols(path):
    """Return an object's symbols as (name, section or None if undefined, bytes)."""
    elf = ELFFile(io.BytesIO(path.read_bytes()))
    found = []
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        index = symbol["st_shndx"]
        if symbol.name and not symbol.name.startswith("$") and index != "SHN_ABS":
            section = elf.get_section(index) if isinstance(index, int) else None
            found.append((symbol.name, section, symbol["st_size"]))
    return found


def writable(path):
    """Return the names of an object's sections of writable data that are not empty."""
    sections = ELFFile(io.BytesIO(path.read_bytes())).iter_sections()
    return [s.name for s in sections if s["sh_flags"] & 1 and s["sh_size"]]


def undefined(path):
    return {name for name, section, _ in symbols(path) if section is None}


@pytest.mark.parametrize("level", ["-O2", "-Os"])
@pytest.mark.parametrize(("kind", "core"), PARAMETERS)
def test_nothing_is_called_but_the_compilers_helpers_and_no_data_is_writable(
    kind, core, level, folder
):
    done = compiled(command(kind, core), folder, level, "c99", names_of("c99"))
    assert done.returncode == 0, done.stderr
    allowed = set(FUNCTIONS) | HELPERS["any"]
    if core == "cortex-m0plus":
        allowed |= HELPERS["thumb1"]
    for name in names_of("c99"):
        path = folder / name.replace(".c", ".o")
        assert undefined(path) <= allowed, name
        assert writable(path) == [], name


def test_a_call_of_the_library_and_writable_data_would_be_noticed(folder):
    folder.joinpath("bad.c").write_text(
        "void *memcpy(void *a, const void *b, __SIZE_TYPE__ n);\nstatic int calls;\nint f(void);\n"
        "int f(void) { static int b[999]; ++calls; memcpy(b, &calls, (unsigned)calls); "
        "return b[calls]; }\n",
        "utf-8",
    )
    for kind, core in TARGETS:
        assert compiled(command(kind, core), folder, "-O2", "c99", ["bad.c"]).returncode == 0
        assert any("memcpy" in name for name in undefined(folder / "bad.o")), (kind, core)
        assert writable(folder / "bad.o") != []
