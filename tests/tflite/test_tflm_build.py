"""The TFLM glue compiles without a warning, or says in the compiler what is missing."""

import dataclasses
import importlib.util
import subprocess
from pathlib import Path

import pytest

from embact.errors import EmbactError
from embact.tflite.tflm.deployment import deployment_files

_SPEC = importlib.util.spec_from_file_location(
    "embact_tests_tflm", Path(__file__).parent / "tflm_api" / "running.py"
)
tflm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tflm)


def test_operators_that_tflm_lacks_are_asked_for_when_compiling(tmp_path):
    asked = dataclasses.replace(
        tflm.deployment("builtin", (), ("CONV_2D", "GELU")), foreign=("Its",)
    )
    folder = tflm.write(tmp_path, asked)
    status, said = tflm.compiled(folder, [tflm.API / "harness.cc"], *tflm.OBJECT, check=False)
    assert status != 0
    assert "TFLM has no method for GELU, Its" in said
    program = tflm.built(folder, '-DEMBACT_TESTS_MORE="Its"')
    assert tflm.run(program)[0] == "register 0, 2 of 3: CONV_2D Its"


def test_the_custom_operators_of_tflm_are_added_by_its_methods(tmp_path):
    asked = dataclasses.replace(
        tflm.deployment("builtin", (), ("RESIZE_NEAREST_NEIGHBOR",)), foreign=("SignalRfft",)
    )
    said = tflm.run(tflm.built(tflm.write(tmp_path, asked)))
    assert said == ["register 0, 2 of 2: RESIZE_NEAREST_NEIGHBOR SignalRfft"]


def test_a_resolver_without_room_is_refused_when_compiling(tmp_path):
    folder = tflm.write(tmp_path, tflm.deployment("builtin", (), ("CONV_2D", "TANH")))
    main = folder / "small.cc"
    text = (
        '#include "embact_tflm.h"\nint main() {{\n'
        "  tflite::MicroMutableOpResolver<{}> r;\n  return embact::RegisterAll(r);\n}}\n"
    )
    main.write_text(text.format(1))
    status, said = tflm.compiled(folder, [main], *tflm.OBJECT, check=False)
    assert status != 0
    assert "the resolver has no room" in said
    main.write_text(text.format(3))
    tflm.compiled(folder, [main], *tflm.OBJECT)


@pytest.mark.parametrize("form", ["custom", "override"])
@pytest.mark.parametrize("options", [(), ("-DTF_LITE_STRIP_ERROR_STRINGS",), ("-std=c++14",)])
def test_the_glue_compiles_without_a_warning(tmp_path, form, options):
    routines = tflm.CUSTOM if form == "custom" else tflm.OVERRIDES
    folder = tflm.write(tmp_path, tflm.deployment(form, routines, tflm.STOCK))
    tflm.compiled(folder, [folder / "embact_tflm.cc"], *tflm.OBJECT, *options)
    tflm.compiled(folder, [folder / "model.cc"], *tflm.OBJECT, *options)


def test_control_a_warning_in_the_glue_is_an_error(tmp_path):
    edit = ("int32_t size = 1;", "int32_t spare = 1, size = 1;")
    folder = tflm.write(tmp_path, tflm.deployment("custom", tflm.CUSTOM), [edit])
    status, said = tflm.compiled(folder, [folder / "embact_tflm.cc"], *tflm.OBJECT, check=False)
    assert status != 0
    assert "unused variable" in said


def test_glue_of_two_models_links_into_one_program(tmp_path):
    parts = []
    for stem in ("one", "two"):
        asked = dataclasses.replace(
            tflm.deployment("override", tflm.OVERRIDES, tflm.STOCK), stem=stem
        )
        folder = tflm.write(tmp_path / stem, asked)
        text = (
            f'#include "embact_tflm.h"\n#include "embact_tflm.cc"\n#include "model.cc"\n'
            f"size_t {stem}();\nsize_t {stem}() {{\n  embact::OpResolver resolver;\n"
            f"  return embact::RegisterAll(resolver) + embact_model_{stem}_size;\n}}\n"
        )
        (folder / "part.cc").write_text(text)
        tflm.compiled(folder, [folder / "part.cc"], "-c", "-o", "part.o")
        parts.append(folder / "part.o")
    main = tmp_path / "main.cc"
    stubs = (tflm.API / "harness.cc").read_text().split("namespace {\n\nstruct Node")[0]
    main.write_text(
        stubs + "size_t one();\nsize_t two();\nint main() { return one() + two() != 10; }\n"
    )
    tflm.compiled(
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
        ("override", dataclasses.replace(tflm.ALPHA, option=None), "alpha of LEAKY_RELU"),
        ("override", dataclasses.replace(tflm.BETA, option=None), "beta of SOFTMAX"),
        ("override", dataclasses.replace(tflm.SLOPES, slopes_grid=None), "slopes of PRELU"),
        ("override", dataclasses.replace(tflm.SLOPES, slopes=b""), "slopes of PRELU"),
        (
            "custom",
            dataclasses.replace(tflm.CUSTOM[0], function="f(); evil"),
            "name of a C function",
        ),
        ("custom", dataclasses.replace(tflm.CUSTOM[0], symbol="*/"), "name of a C function"),
        ("custom", dataclasses.replace(tflm.CUSTOM[0], specs=()), "types of a routine"),
        ("custom", dataclasses.replace(tflm.CUSTOM[0], row_size=0), "row of a routine"),
    ],
)
def test_a_routine_without_what_identifies_its_nodes_is_an_error(form, wrong, words):
    with pytest.raises(EmbactError, match=words):
        deployment_files(tflm.deployment(form, [wrong]))


HOSTILE = 'a"; */ /* \n#error x\n`$(rm)` %n ??/ \\ \udc80 \u2028' + "x" * 10_000


def test_names_that_hold_anything_compile_all_the_same(tmp_path):
    asked = tflm.deployment("custom", tflm.CUSTOM, ("CONV_2D", "GELU"))
    folder = tflm.write(tmp_path, dataclasses.replace(asked, stem=HOSTILE, foreign=(HOSTILE,)))
    tflm.compiled(folder, [folder / "embact_tflm.cc"], *tflm.OBJECT)
    tflm.compiled(folder, [folder / "model.cc"], *tflm.OBJECT)
    use = folder / "use.cc"
    use.write_text(
        '#include "embact_tflm.h"\nint main() {\n  embact::OpResolver r;\n'
        "  return embact::RegisterAll(r);\n}\n"
    )
    _, said = tflm.compiled(folder, [use], *tflm.OBJECT, check=False)
    assert "TFLM has no method for GELU, a_; *_ _*" in said
