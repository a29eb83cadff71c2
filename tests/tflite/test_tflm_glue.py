"""The TFLM glue compiles without a warning, and does what it says, in a small interpreter.

``tflm_api`` declares what is used of TFLM. Its interpreter runs Init, Prepare, Invoke, Reset and
Free of a few nodes, with stock kernels that add 100 and tell what is called on them with which
state. The routines of these tests add 1, 2, ..., so a result says who computed it.
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

import pytest

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.deployment import Deployment, deployment_files
from embact.tflite.routine import Routine

API = Path(__file__).parent / "tflm_api"
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
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


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    asked = deployment("custom", CUSTOM, ("CONV_2D", "TANH"))
    return built(write(tmp_path_factory.mktemp("custom"), asked))


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


@pytest.fixture(scope="module")
def override(tmp_path_factory):
    asked = deployment("override", OVERRIDES, STOCK)
    return built(write(tmp_path_factory.mktemp("override"), asked))


def test_register_all_adds_exactly_the_operators_of_the_model(custom, override):
    assert run(custom)[0] == (
        "register 0, 5 of 5: CONV_2D TANH embact_f1_s8 embact_f2_s16 embact_f3_s8"
    )
    assert run(override)[0] == f"register 0, 8 of 8: {' '.join(STOCK)}"


def test_custom_operators_compute_their_functions_at_each_of_their_quantisations(custom):
    said = run(
        custom,
        tensor(X, [1, 2, 3]),
        tensor(GATE, [0, 0, 0]),
        tensor(X, [0, 0, 0]),
        tensor(WIDE, [300, -300]),
        tensor(WIDE, [0, 0]),
        tensor(X, [1, 2, 3, 4], shape=(1, 4)),
        tensor(X, [0, 0], shape=(1, 2)),
        node("embact_f1_s8", [0], [1]),
        node("embact_f1_s8", [1], [2]),
        node("embact_f2_s16", [3], [4]),
        node("embact_f3_s8", [5], [6]),
    )
    assert said.count("invoke 0") == 8
    assert said.count("prepare 0, temporary 0") == 4
    assert (result(said, 1), result(said, 2)) == ("2 3 4", "3 4 5")
    assert result(said, 4) == " ".join(  # 302 and -298
        str(octet - 256 if octet > 127 else octet) for octet in struct.pack("<2h", 302, -298)
    )
    assert result(said, 6) == "4 5"
    assert not any(line.startswith(("log", "stock")) for line in said)


def test_tensors_without_elements_and_without_axes_are_taken(custom):
    said = run(
        custom,
        tensor(X, [], shape=(1, 0)),
        tensor(GATE, [], shape=(1, 0)),
        node("embact_f1_s8", [0], [1]),
    )
    assert said.count("invoke 0") == 2
    scalar = tensor(X, [7]).replace("ARENA 2 1 1", "ARENA 0")
    said = run(
        custom,
        scalar,
        tensor(GATE, [0]).replace("ARENA 2 1 1", "ARENA 0"),
        node("embact_f1_s8", [0], [1]),
    )
    assert result(said, 1) == "8"


NEXT_SCALE = Grid(struct.unpack("<f", struct.pack("<I", int(bits(0.05), 16) + 1))[0], -3, 8)


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (tensor(NEXT_SCALE, [1]), tensor(GATE, [0]), "not made for this quantisation"),
        (tensor(Grid(0.05, -2, 8), [1]), tensor(GATE, [0]), "not made for this quantisation"),
        (tensor(X, [1]), tensor(Grid(1 / 256, -127, 8), [0]), "not made for this quantisation"),
        (tensor(X, [1]), tensor(Grid(1 / 128, -128, 8), [0]), "not made for this quantisation"),
        (tensor(X, [1]), tensor(X, [0]), "not made for this quantisation"),
        (tensor(WIDE, [1]), tensor(GATE, [0]), "its tensors are INT16 and INT8"),
        (tensor(X, [1]), tensor(WIDE, [0]), "its tensors are INT8 and INT16"),
        (tensor(X, [1] * 4, shape=(1, 1), kind="float32"), tensor(GATE, [0]), "are FLOAT32"),
        (tensor(X, [1, 2]), tensor(GATE, [0]), "2 inputs and 1 outputs"),
    ],
    ids=lambda value: "",
)
def test_custom_operators_refuse_what_they_were_not_proved_for(custom, source, target, words):
    said = run(custom, source, target, node("embact_f1_s8", [0], [1]))
    logged = [line for line in said if line.startswith("log")]
    assert logged[0].startswith("log embact_f1_s8: ")
    assert any(words in line for line in logged)
    assert logged[-1] == (
        "log Use the model with the files that embact wrote beside it, all of one conversion."
    )
    assert "prepare 1, temporary 0" in said
    assert not any(line.startswith("invoke") for line in said)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (tensor(X, [1] * 8, shape=(2, 4)), tensor(X, [0] * 8, shape=(2, 4))),  # no halving
        (tensor(X, [1] * 8, shape=(1, 8)), tensor(X, [0] * 4, shape=(1, 4))),  # rows of 4
        (tensor(X, [1] * 8, shape=(4, 2)), tensor(X, [0] * 4, shape=(2, 2))),  # another axis
    ],
)
def test_rows_of_another_length_are_refused(custom, source, target):
    said = run(custom, source, target, node("embact_f3_s8", [0], [1]))
    assert "prepare 1, temporary 0" in said
    fitting = run(
        custom,
        tensor(X, [1] * 8, shape=(2, 4)),
        tensor(X, [0] * 4, shape=(2, 2)),
        node("embact_f3_s8", [0], [1]),
    )
    assert result(fitting, 1) == "4 4 4 4"


def test_a_node_without_tensors_is_refused(custom):
    said = run(custom, tensor(X, [1]), node("embact_f1_s8", [], [0]))
    assert "prepare 1, temporary 0" in said
    said = run(custom, tensor(X, [1]), node("embact_f1_s8", [0], []))
    assert "prepare 1, temporary 0" in said


def test_known_nodes_are_overridden_and_others_run_the_stock_kernel_with_its_own_state(override):
    other = Grid(0.06, -3, 8)
    said = run(
        override,
        tensor(X, [1]),
        tensor(GATE, [0]),
        tensor(other, [1]),
        *[tensor(GATE, [0])] * 3,
        node("LOGISTIC", [0], [1]),
        node("LOGISTIC", [2], [3]),
        node("LOGISTIC", [1], [4]),
        node("TANH", [2], [5]),
    )
    assert (result(said, 1), result(said, 3), result(said, 4)) == ("6", "101", "12")
    assert said.count("invoke 0") == 8
    assert "prepare 1" not in " ".join(said)
    ours = [line for line in said if line.startswith("stock LOGISTIC")]
    assert ours == [
        "stock LOGISTIC init",
        "stock LOGISTIC prepare",
        "stock LOGISTIC eval",
        "stock LOGISTIC reset",
        "stock LOGISTIC eval",
        "stock LOGISTIC free",
    ]


def test_stock_kernels_without_state_are_fallen_back_to(override):
    other = tensor(Grid(0.06, 0, 8), [1])
    said = run(override, other, tensor(GATE, [0]), node("EXP", [0], [1]))
    assert result(said, 1) == "101"
    said = run(override, tensor(X, [1]), tensor(GATE, [0]), node("EXP", [0], [1]))
    assert result(said, 1) == "8"


def test_alpha_and_beta_are_part_of_what_makes_a_node_known(override):
    said = run(
        override,
        tensor(X, [1]),
        *[tensor(GATE, [0])] * 3,
        node("LEAKY_RELU", [0], [1], 0.1),
        node("LEAKY_RELU", [0], [2], 0.2),
        node("LEAKY_RELU", [0], [3], 0.3),
    )
    assert [result(said, i) for i in (1, 2, 3)] == ["2", "5", "101"]
    said = run(
        override,
        tensor(X, [1, 1, 1]),
        *[tensor(GATE, [0, 0, 0])] * 2,
        node("SOFTMAX", [0], [1], 1.0),
        node("SOFTMAX", [0], [2], 0.5),
    )
    assert [result(said, i) for i in (1, 2)] == ["3 3 3", "101 101 101"]


@pytest.mark.parametrize("shape", [(3, 1), (1, 3, 1), (3, 2), (1, 6)])
def test_softmax_of_rows_of_another_length_is_left_to_the_stock_kernel(override, shape):
    count = 6 if shape[-1] in {2, 6} else 3
    said = run(
        override,
        tensor(X, [1] * count, shape=shape),
        tensor(GATE, [0] * count, shape=shape),
        node("SOFTMAX", [0], [1], 1.0),
    )
    assert result(said, 1) == " ".join(["101"] * count)


def test_a_log_softmax_proved_for_rows_of_one_is_for_no_others(override):
    said = run(override, tensor(X, [1, 1]), tensor(GATE, [0, 0]), node("LOG_SOFTMAX", [0], [1]))
    assert result(said, 1) == "101 101"
    column = {"shape": (2, 1)}
    said = run(
        override,
        tensor(X, [1, 1], **column),
        tensor(GATE, [0, 0], **column),
        node("LOG_SOFTMAX", [0], [1]),
    )
    assert result(said, 1) == "9 9"


SLOPE = SLOPES.slopes_grid


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        (tensor(SLOPE, [1, -1, -128], const=True), "4 4 4"),
        (tensor(SLOPE, [1, -1, -127], const=True), "101 101 101"),
        (tensor(SLOPE, [1, -1, -128], const=False), "101 101 101"),
        (tensor(Grid(0.02, 2, 8), [1, -1, -128], const=True), "101 101 101"),
        (tensor(Grid(0.01, 1, 8), [1, -1, -128], const=True), "101 101 101"),
        (tensor(SLOPE, [1, -1], const=True), "101 101 101"),
        (tensor(SLOPE, [1, -1, -128], const=True, shape=(3, 1)), "101 101 101"),
    ],
    ids=["same", "another", "no constant", "scale", "zero point", "fewer", "other axis"],
)
def test_prelu_is_overridden_for_exactly_its_slopes(override, slopes, expected):
    said = run(
        override,
        tensor(X, [1, 1, 1]),
        slopes,
        tensor(GATE, [0, 0, 0]),
        node("PRELU", [0, 1], [2]),
    )
    assert result(said, 2) == expected
    assert "prepare 0, temporary 0" in said


def test_an_arena_that_is_too_small_is_an_error_and_no_crash(override):
    lines = tensor(X, [1]), tensor(GATE, [0]), node("LOGISTIC", [0], [1])
    said = run(override, "memory 0", *lines)
    assert "log embact: the arena is too small." in said
    assert "prepare 1, temporary 0" in said
    assert "prepare 0, temporary 0" in run(override, "memory 1", *lines)


EDITS = {
    "zero points": ("one->input_zero_point != input.params.zero_point ||", ""),
    "scales": ("one->input_scale != BitsOf(input.params.scale) ||", ""),
    "output": ("one->output_scale != BitsOf(output.params.scale) ||", ""),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_control_a_check_left_out_lets_a_wrong_quantisation_pass(tmp_path, edit):
    broken = built(write(tmp_path, deployment("custom", CUSTOM[:1]), [edit]))
    pairs = [
        (tensor(Grid(0.05, -2, 8), [1]), tensor(GATE, [0])),
        (tensor(NEXT_SCALE, [1]), tensor(GATE, [0])),
        (tensor(X, [1]), tensor(Grid(1 / 128, -128, 8), [0])),
    ]
    passed = [
        "prepare 0, temporary 0" in run(broken, *pair, node("embact_f1_s8", [0], [1]))
        for pair in pairs
    ]
    assert passed.count(True) == 1


def test_control_state_that_is_mixed_up_is_seen(tmp_path):
    edit = (
        "  node->user_data = own->stock;\n  const TfLiteStatus status = stock()",
        "  const TfLiteStatus status = stock()",
    )
    broken = built(write(tmp_path, deployment("override", OVERRIDES[4:5], ("LOGISTIC",)), [edit]))
    said = run(broken, tensor(Grid(0.06, 0, 8), [1]), tensor(GATE, [0]), node("LOGISTIC", [0], [1]))
    assert "stock LOGISTIC eval: not its own state" in said


def test_operators_that_tflm_lacks_are_asked_for_when_compiling(tmp_path):
    asked = dataclasses.replace(deployment("builtin", (), ("CONV_2D", "GELU")), foreign=("Its",))
    folder = write(tmp_path, asked)
    status, said = compiled(folder, [API / "harness.cc"], "-fsyntax-only", check=False)
    assert status != 0
    assert "TFLM has no method for GELU, Its" in said
    program = built(folder, '-DEMBACT_TESTS_MORE="Its"')
    assert run(program)[0] == "register 0, 2 of 3: CONV_2D Its"


def test_the_custom_operators_of_tflm_are_added_by_its_methods(tmp_path):
    asked = dataclasses.replace(
        deployment("builtin", (), ("RESIZE_NEAREST_NEIGHBOR",)), foreign=("SignalRfft",)
    )
    said = run(built(write(tmp_path, asked)))
    assert said == ["register 0, 2 of 2: RESIZE_NEAREST_NEIGHBOR SignalRfft"]


def test_a_resolver_without_room_is_refused_when_compiling(tmp_path):
    folder = write(tmp_path, deployment("builtin", (), ("CONV_2D", "TANH")))
    main = folder / "small.cc"
    text = (
        '#include "embact_tflm.h"\nint main() {{\n'
        "  tflite::MicroMutableOpResolver<{}> r;\n  return embact::RegisterAll(r);\n}}\n"
    )
    main.write_text(text.format(1))
    status, said = compiled(folder, [main], "-fsyntax-only", check=False)
    assert status != 0
    assert "the resolver has no room" in said
    main.write_text(text.format(3))
    compiled(folder, [main], "-fsyntax-only")


@pytest.mark.parametrize("form", ["custom", "override"])
@pytest.mark.parametrize("options", [(), ("-DTF_LITE_STRIP_ERROR_STRINGS",), ("-std=c++14",)])
def test_the_glue_compiles_without_a_warning(tmp_path, form, options):
    routines = CUSTOM if form == "custom" else OVERRIDES
    folder = write(tmp_path, deployment(form, routines, STOCK))
    compiled(folder, [folder / "embact_tflm.cc"], "-fsyntax-only", *options)
    compiled(folder, [folder / "model.cc"], "-fsyntax-only", *options)


def test_control_a_warning_in_the_glue_is_an_error(tmp_path):
    edit = ("int32_t size = 1;", "int8_t size = 1;")
    folder = write(tmp_path, deployment("custom", CUSTOM), [edit])
    status, said = compiled(folder, [folder / "embact_tflm.cc"], "-fsyntax-only", check=False)
    assert status != 0
    assert "onversion" in said


def test_glue_of_two_models_links_into_one_program(tmp_path):
    parts = []
    for stem in ("one", "two"):
        asked = dataclasses.replace(deployment("override", OVERRIDES, STOCK), stem=stem)
        folder = write(tmp_path / stem, asked)
        text = (
            f'#include "embact_tflm.h"\n#include "embact_tflm.cc"\n#include "model.cc"\n'
            f"size_t {stem}();\nsize_t {stem}() {{\n  embact::OpResolver resolver;\n"
            f"  return embact::RegisterAll(resolver) + embact_model_{stem}_size;\n}}\n"
        )
        (folder / "part.cc").write_text(text)
        compiled(folder, [folder / "part.cc"], "-c", "-o", "part.o")
        parts.append(folder / "part.o")
    main = tmp_path / "main.cc"
    stubs = (API / "harness.cc").read_text().split("namespace {\n\nstruct Node")[0]
    main.write_text(
        stubs + "size_t one();\nsize_t two();\nint main() { return one() + two() != 10; }\n"
    )
    compiled(
        tmp_path / "one",
        [main, *parts],
        "-Wno-conversion",
        "-Wno-unused-function",
        "-Wno-sign-conversion",
        "-o",
        "both",
    )
    assert subprocess.run([str(tmp_path / "one" / "both")], check=False).returncode == 0


@pytest.mark.parametrize(
    ("form", "wrong", "words"),
    [
        ("override", dataclasses.replace(ALPHA, option=None), "alpha of LEAKY_RELU"),
        ("override", dataclasses.replace(BETA, option=None), "beta of SOFTMAX"),
        ("override", dataclasses.replace(SLOPES, slopes_grid=None), "slopes of PRELU"),
        ("override", dataclasses.replace(SLOPES, slopes=b""), "slopes of PRELU"),
        ("custom", dataclasses.replace(CUSTOM[0], function="f(); evil"), "name of a C function"),
        ("custom", dataclasses.replace(CUSTOM[0], symbol="*/"), "name of a C function"),
        ("custom", dataclasses.replace(CUSTOM[0], specs=()), "types of a routine"),
        ("custom", dataclasses.replace(CUSTOM[0], row_size=0), "row of a routine"),
    ],
)
def test_a_routine_without_what_identifies_its_nodes_is_an_error(form, wrong, words):
    with pytest.raises(EmbactError, match=words):
        deployment_files(deployment(form, [wrong]))


def test_routines_of_one_function_become_one_custom_operator_with_all_quantisations():
    again = dataclasses.replace(CUSTOM[0], specs=(QuantSpec(X, X),), builtin="LOGISTIC")
    files = deployment_files(deployment("custom", [CUSTOM[0], again]))
    assert files["embact_tflm.cc"].count("TFLMRegistration Register_") == 1
    assert files["embact_tflm.cc"].count(f"{{{bits(0.05)}u, {bits(0.05)}u, -3, -3}}") == 1
    with pytest.raises(EmbactError, match="one name"):
        deployment_files(deployment("custom", [CUSTOM[0], dataclasses.replace(again, row_size=2)]))
