"""What the tests of the TFLM glue share: the compiler, the interpreter's words, and routines.

``tflm_api.h`` declares what is used of TFLM. The interpreter of ``harness.cc`` runs Init, Prepare,
Invoke, Reset and Free of a few nodes, with stock kernels that add 100 and tell what is called on
them with which state. The routines add 1, 2, ..., so a result says who computed it.
"""

import dataclasses
import functools
import importlib.util
import os
import shlex
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from embact.grid import Grid, QuantSpec
from embact.tflite.routine import Routine
from embact.tflite.tflm.deployment import Deployment, deployment_files

API = Path(__file__).parent
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
OBJECT = ("-c", "-o", "checked.o")  # zig knows no -fsyntax-only
BARE = ["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]

X = Grid(0.05, -3, 8)
GATE = Grid(1 / 256, -128, 8)
WIDE = Grid(0.0002, 0, 16)
TENSOR = {"x": X, "gate": GATE, "wide": WIDE}


@functools.lru_cache
def cpp():
    """The C++ compiler: $CXX, c++, g++, clang++, else the ziglang wheel's."""
    for words in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        if words and (found := shutil.which(shlex.split(words)[0])):
            return (found, *shlex.split(words)[1:])
    assert importlib.util.find_spec("ziglang"), "a C++ compiler, or `pip install ziglang`"
    return (sys.executable, "-m", "ziglang", "c++")


def routine(number, spec=(X, GATE), **fields):
    """A routine that adds its number to every element."""
    specs = fields.pop("specs", (QuantSpec(*spec),))
    made = Routine(f"embact_f{number}_s8", f"add_{number}", specs, 1, 1, "", b"", "adds")
    return dataclasses.replace(made, **fields)


def deployment(form, routines, stock=(), **fields):
    return Deployment("made", b"model", form, tuple(routines), tuple(stock), (), **fields)


def ops_header(routines):
    lines = ["#include <stdint.h>"]
    for one in {one.symbol: one for one in routines}.values():
        ctype = f"int{one.specs[0].output.bits}_t"
        lines += [
            f"static inline void {one.symbol}(const void *input, void *output, int32_t size)",
            "{",
            f"    const {ctype} *const source = (const {ctype} *)input;",
            f"    {ctype} *const result = ({ctype} *)output;",
            "    for (int32_t i = 0; i < size; ++i) {",
            f"        result[i] = ({ctype})(source[i] + {one.symbol.split('_')[1]});",
            "    }",
            "}",
        ]
    return "\n".join(lines) + "\n"


def write(folder, asked, edits=()):
    """Write a deployment, with pieces of the glue's source replaced, and return its folder."""
    folder.mkdir(exist_ok=True, parents=True)
    files = deployment_files(asked) | {"embact_ops.h": ops_header(asked.routines)}
    for old, new in edits:
        assert old in files["embact_tflm.cc"], old
        files["embact_tflm.cc"] = files["embact_tflm.cc"].replace(old, new)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def compiled(folder, sources, *options, check=True):
    """Compile and return (exit status, what the compiler said); what is TFLM's may warn."""
    command = [*cpp(), *STRICT, *BARE, "-isystem", str(API), "-I", str(folder), *options]
    done = subprocess.run(
        [*command, *map(str, sources)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert not check or done.returncode == 0, done.stderr
    return done.returncode, done.stderr


def built(folder, *options):
    """The interpreter with the glue of a folder."""
    sources = [API / "harness.cc", *folder.glob("embact_tflm.cc")]
    compiled(folder, sources, "-Wno-conversion", "-Wno-sign-conversion", "-o", "run", *options)
    return folder / "run"


def bits(value):
    return hex(struct.unpack("<I", struct.pack("<f", value))[0])


def tensor(grid, values, *, shape=None, const=False, kind=None):
    kind = kind or f"int{grid.bits}"
    octets = b"".join(int(v).to_bytes(grid.bits // 8, "little", signed=True) for v in values)
    dims = shape or (1, len(values))
    where = "CONST" if const else "ARENA"
    signed = [octet - 256 if octet > 127 else octet for octet in octets]
    words = [bits(grid.scale), grid.zero_point, where, len(dims), *dims, *signed]
    return f"tensor {kind} " + " ".join(map(str, words))


def node(op, inputs, outputs, option=0.0):
    words = [bits(option), len(inputs), *inputs, len(outputs), *outputs]
    return f"node {op} " + " ".join(map(str, words))


def run(program, *lines):
    done = subprocess.run(
        [str(program)], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def result(said, number):
    return next(line.split(": ")[1] for line in said if line.startswith(f"tensor {number}:"))


ROW = routine(3, (X, X), row_size=2, inputs_per_output=2)
CUSTOM = (
    routine(1, specs=(QuantSpec(X, GATE), QuantSpec(GATE, X))),
    routine(2, (WIDE, WIDE), function="embact_f2_s16"),
    ROW,
)


ALPHA = routine(1, builtin="LEAKY_RELU", option=0.1)
BETA = routine(2, builtin="SOFTMAX", option=1.0, row_size=3)
SLOPES = routine(
    3, builtin="PRELU", slopes=b"\x01\xff\x80", slopes_grid=Grid(0.01, 2, 8), row_size=3
)
OVERRIDES = (
    ALPHA,
    dataclasses.replace(ALPHA, symbol="add_4", option=0.2),
    BETA,
    SLOPES,
    routine(5, builtin="LOGISTIC"),
    routine(6, (GATE, GATE), builtin="LOGISTIC"),
    routine(7, builtin="EXP"),
    routine(8, builtin="LOG_SOFTMAX", row_size=1),
    routine(9),
)
STOCK = ("CONV_2D", "EXP", "LEAKY_RELU", "LOGISTIC", "LOG_SOFTMAX", "PRELU", "SOFTMAX", "TANH")


NEXT_SCALE = Grid(struct.unpack("<f", struct.pack("<I", int(bits(0.05), 16) + 1))[0], -3, 8)
