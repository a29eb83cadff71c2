"""The files beside a model say what to build and do, and no name of the model can do harm."""

import dataclasses
import re
import shutil
import subprocess

import pytest

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.routine import Routine
from embact.tflite.tflm.deployment import FORMS, Deployment, deployment_files, obstacles
from embact.tflite.tflm.glue import missing_in_tflm, unknown_customs

SPEC = QuantSpec(Grid(0.05, 0, 8), Grid(1 / 256, -128, 8))
SIGMOID = Routine("embact_sigmoid_s8", "embact_sigmoid_s8_op", (SPEC,), 1, 1, "LOGISTIC", b"", "x")
GELU = dataclasses.replace(SIGMOID, function="embact_gelu_s8", symbol="g", builtin="GELU")
HOSTILE = 'a"; */ \n#error x\n`$(rm)` ${X} %n ??/ \\ ]]> \udc80 \u2028' + "x" * 10_000


def asked(form="custom", **fields):
    routines = () if form == "builtin" else (SIGMOID,)
    made = Deployment("net", b"model", form, routines, ("CONV_2D", "LOGISTIC"), ())
    return dataclasses.replace(made, **fields)


def test_each_form_has_its_files():
    both = {"embact_tflm.h", "model.h", "model.cc", "CMakeLists.txt", "README.md"}
    assert set(deployment_files(asked("builtin"))) == both
    assert set(deployment_files(asked("custom"))) == both | {"embact_tflm.cc"}
    assert set(deployment_files(asked("override"))) == both | {"embact_tflm.cc"}


def test_the_files_depend_on_the_argument_alone():
    for form in FORMS:
        assert deployment_files(asked(form)) == deployment_files(asked(form))


def test_another_form_is_an_error():
    with pytest.raises(EmbactError, match="unknown form"):
        asked("other")
    with pytest.raises(EmbactError, match="name of a C file"):
        asked(c_sources=('a") evil(',))


@pytest.mark.parametrize("form", FORMS)
def test_no_character_of_a_name_is_anywhere_unescaped(form):
    files = deployment_files(asked(form, stem=HOSTILE, foreign=(HOSTILE,)))
    plain = deployment_files(asked(form, stem="net", foreign=("Op",)))
    for name, text in files.items():
        text.encode("ascii")
        assert len(text) < len(plain[name]) + 3000, name
        assert "#error" not in text
        assert "rm)`" not in text
        # the same lines as for a harmless name: nothing begins or ends in another place
        assert text.count("\n") == plain[name].count("\n")
        assert [mark for mark in text if mark in '"`\\{}$#'] == [
            mark for mark in plain[name] if mark in '"`\\{}$#'
        ], name
        for opened, closed in (("/*", "*/"),):
            assert text.count(opened) == text.count(closed) == plain[name].count(opened)


def test_the_readme_has_three_steps_and_names_what_the_files_name():
    for form in FORMS:
        files = deployment_files(asked(form))
        steps = re.findall(r"^\d\. \*\*(.+)\.\*\*", files["README.md"], re.MULTILINE)
        assert steps == ["Build", "Register the operators", "Run"]
        for name in re.findall(r"embact::(\w+)", files["README.md"]):
            assert name in files["embact_tflm.h"]
        array = re.search(r"GetModel\((\w+)\)", files["README.md"])[1]
        assert f"{array}[]" in files["model.h"]
        target = re.search(r"link `(\w+)`", files["README.md"])[1]
        assert f"add_library({target} STATIC" in files["CMakeLists.txt"]
        for name in re.findall(r"`(\w+\.(?:cc|c|h))`", files["README.md"]):
            assert name in files or name in {"embact_ops.h", ".c"}


def test_the_readme_says_what_tflm_does_not_run():
    lacking = asked("override", routines=(SIGMOID, GELU), stock=("GELU", "LOGISTIC"))
    text = deployment_files(lacking)["README.md"]
    assert missing_in_tflm(lacking) == ("GELU",)
    assert "does not run on TensorFlow Lite Micro, which has no `GELU`" in text
    assert "--form custom" in text
    assert "Not used: `embact_gelu_s8`" in text
    assert "return more.AddGelu();" in text
    assert "RegisterAll(resolver, add_more)" in text
    (said,) = obstacles(lacking)
    assert said.startswith("TFLM has no GELU: the model does not run there; --form custom")
    fine = deployment_files(asked("override"))["README.md"]
    assert "has no" not in fine
    assert "add_more" not in fine
    assert obstacles(asked("override")) == ()


def test_the_readme_adds_every_operator_that_is_open():
    text = deployment_files(asked(stock=("GELU", "RELU_N1_TO_1"), foreign=("Theirs",)))["README.md"]
    assert re.findall(r"more\.(Add\w+\([^)]*\))", text) == [
        'AddCustom("Theirs", &their_registration)',
        "AddGelu()",
        "AddReluN1To1()",
    ]


def test_the_readme_has_the_notes_of_a_conversion():
    text = deployment_files(asked("builtin", notes=("tables take memory",)))["README.md"]
    assert "\nTables take memory.\n" in text


@pytest.mark.parametrize("form", FORMS)
def test_no_line_of_readme_or_header_is_longer_than_100_columns(form):
    many = dataclasses.replace(SIGMOID, about="word " * 50)
    made = asked(
        form,
        routines=() if form == "builtin" else (many,),
        c_sources=tuple(f"embact_part_{i}_s8.c" for i in range(9)),
        foreign=("Theirs",),
    )
    files = deployment_files(made)
    for name in ("README.md", "embact_tflm.h", "CMakeLists.txt"):
        assert max(map(len, files[name].splitlines())) <= 100, name


def test_custom_operators_of_others_are_named_unless_tflm_has_them():
    mixed = asked(foreign=("SignalRfft", "Theirs"))
    assert unknown_customs(mixed) == ("Theirs",)
    files = deployment_files(mixed)
    assert "`Theirs`" in files["README.md"]
    assert obstacles(mixed) == ("TFLM needs kernels of yours for the custom operators Theirs",)
    assert "resolver.AddRfft()" in files["embact_tflm.h"]
    assert "kOperators = 5;" in files["embact_tflm.h"]


def test_c_files_are_built_where_there_are_some():
    files = deployment_files(asked(c_sources=("embact_softmax_s8.c",)))
    assert "  model.cc\n  embact_softmax_s8.c)" in files["CMakeLists.txt"]
    assert "`embact_softmax_s8.c`" in files["README.md"]
    assert "  model.cc)" in deployment_files(asked())["CMakeLists.txt"]


PROJECT = """\
cmake_minimum_required(VERSION 3.13)
project(firmware LANGUAGES C CXX)
add_library(fake INTERFACE)
{0}
add_subdirectory(net)
add_executable(firmware main.cc)
target_link_libraries(firmware PRIVATE embact_model)
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_a_program_with_the_model(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    for name, text in deployment_files(asked("builtin", c_sources=("part.c",))).items():
        (folder / name).write_text(text)
    (folder / "part.c").write_text("int part(void);\nint part(void) { return 1; }\n")
    (tmp_path / "main.cc").write_text(
        '#include "model.h"\nint main() { return embact_model_net[0] != 109 || '
        "embact_model_net_size != 5; }\n"
    )

    def configure(line):
        (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(line))
        command = ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "build")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    unset = configure("")
    assert unset.returncode != 0
    assert "set EMBACT_TFLM" in unset.stderr
    assert configure("set(EMBACT_TFLM fake)").returncode == 0
    build = ["cmake", "--build", str(tmp_path / "build")]
    subprocess.run(build, capture_output=True, check=True)
    assert subprocess.run([str(tmp_path / "build" / "firmware")], check=False).returncode == 0
