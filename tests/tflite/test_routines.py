"""Layers and routines: their names, their C, and the comparison with their definitions."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

from embact.activations import activation
from embact.cores import CORES, core
from embact.errors import CheckFailed, EmbactError
from embact.fit.problem import Limits, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.nn.glu import Grids
from embact.nn.prelu_layer import layer_of_codes
from embact.nn.softmax import Softmax
from embact.run.toolchain import STRICT, find_compiler
from embact.sources import data_file
from embact.tflite.folder import write_conversion
from embact.tflite.host.compiled import compile_placed, compile_routines
from embact.tflite.host.layer_check import check_layers
from embact.tflite.layers import outputs, rows_to_compare, unit_of
from embact.tflite.model import read
from embact.tflite.placement import kernels_of, layers_of, place, place_layers
from embact.tflite.planning import Wanted, findings_for, make_plan
from embact.tflite.routines import OPS_HEADER, routines, sources
from embact.tflite.site import GluAsked, LayerSite, Site
from embact.tflite.site_report import Decisions

CORPUS = Path(__file__).parent / "corpus"
_SPEC = importlib.util.spec_from_file_location(
    "embact_tests_tflm", Path(__file__).parent / "tflm_api" / "running.py"
)
tflm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tflm)

S8, S8_OUT = Grid(0.05, 3, 8), Grid(0.04, -7, 8)
S16 = Grid(0.0002, 0, 16)


def layer(asked, source, target, row_size, rows=6):
    return LayerSite(
        subgraph=0,
        operators=(0,),
        input=0,
        output=1,
        ops=("OP",),
        tensor="t",
        layer=asked,
        spec=QuantSpec(source, target),
        elements=rows * row_size,
        row_size=row_size,
    )


def softmax(scale=0.05, row_size=10, *, mode="tflm", log=False, bits=(8, 8)):
    asked = Softmax(scale, 1.0, *bits, mode, log)
    return layer(asked, Grid(scale, 0, bits[0]), asked.output, row_size)


def prelu(*codes, source=S8, target=S8_OUT):
    asked = layer_of_codes(QuantSpec(source, target), Grid(0.01, 2, 8), codes)
    return layer(asked, source, target, len(codes))


def glu(name="sigmoid", row_size=8, *, swapped=False):
    grids = Grids(S8, S8, S8_OUT)
    return layer(GluAsked(activation(name), grids, swapped), S8, S8_OUT, row_size)


@functools.cache
def silu(scale=0.05):
    spec = QuantSpec(Grid(scale, 3, 8), S8_OUT)
    site = Site(0, (1, 2), 0, 1, ("LOGISTIC", "MUL"), "t", activation("silu"), spec, 64)
    return place([site], [fit(Problem(site.activation, spec))])


unit = functools.cache(unit_of)


def placed(*sites):
    return place_layers(sites, [unit(site) for site in sites])


SMALL = (
    softmax(),
    softmax(row_size=33),
    softmax(mode="exact"),
    softmax(log=True),
    softmax(mode="exact", log=True),
    softmax(bits=(8, 16)),
    softmax(0.0002, 20, bits=(16, 16)),
    softmax(0.0002, 20, mode="exact", bits=(16, 16)),
    prelu(25),
    prelu(25, -3, 100, 2, 90),
    prelu(25, 77, source=S16, target=Grid(0.00021, 0, 16)),
    glu(),
    glu("silu", 5, swapped=True),
)


@pytest.fixture(scope="module")
def every():
    """All kinds of layers and a kernel, placed and compiled."""
    placements = (*silu(), *placed(*SMALL))
    files = sources(placements)
    return placements, files, compile_routines(placements, files)


def test_every_layer_equals_its_definition(every):
    placements, files, _ = every
    compile_placed(placements, files)


def test_every_layer_has_its_own_name(every):
    placements, _, _ = every
    names = [one.function for one in placements]
    assert len(set(names)) == len(names)
    assert names[:4] == [
        "embact_silu_s8",
        "embact_softmax_layer_s8",
        "embact_softmax_layer_2_s8",
        "embact_softmax_exact_layer_s8",
    ]
    again = (*silu(), *placed(*SMALL))
    assert [one.function for one in again] == names
    assert sources(again) == every[1]


def test_equal_layers_share_a_function_and_other_row_sizes_share_the_tables(every):
    first, second, other = placed(softmax(), softmax(), softmax(row_size=33))
    assert first.function == second.function != other.function
    files = sources((first, second, other))
    assert "embact_softmax_layer_s8.h" in files
    assert "embact_softmax_layer_2_s8.h" not in files
    assert "embact_softmax_layer_s8((const int8_t *)input, size / 33, 33" in files[OPS_HEADER]


def test_routines_say_what_the_glue_needs(every):
    placements, _, _ = every
    made = {one.function: one for one in routines(placements)}
    assert made["embact_silu_s8"].symbol == "embact_silu_s8_op"
    assert made["embact_silu_s8"].row_size == 1
    assert made["embact_softmax_layer_2_s8"].row_size == 33
    assert made["embact_prelu_layer_2_s8"].row_size == 5
    gate = made["embact_glu_sigmoid_s8"]
    assert (gate.row_size, gate.inputs_per_output) == (8, 2)
    assert all("\n" not in one.about for one in made.values())


def test_a_gated_units_halves_are_not_exchanged_by_accident(every):
    one, other = placed(glu("silu", 5), glu("silu", 5, swapped=True))
    assert one.function != other.function
    rows = rows_to_compare(one)
    assert np.count_nonzero(outputs(one, rows) != outputs(other, rows)) > rows.size // 4
    files = sources((one, other))
    exchanged = files[OPS_HEADER].replace("codes + 5, 10, codes, 10", "codes, 10, codes + 5, 10")
    assert exchanged != files[OPS_HEADER]
    with pytest.raises(CheckFailed, match="embact_glu_silu_2_s8 differs"):
        compile_placed((one, other), {**files, OPS_HEADER: exchanged})


def changed_once(files, name, old, new):
    assert files[name].count(old) == 1, files[name].count(old)
    return {**files, name: files[name].replace(old, new)}


@pytest.mark.parametrize(
    ("site", "old", "new"),
    [
        (prelu(25, -3, 100), "25, -3, 100,", "25, -3, 101,"),
        (softmax(), "return embact_softmax_s8(input", "return embact_softmax_s8(input + 1"),
    ],
)
def test_a_changed_constant_or_call_is_noticed(site, old, new):
    placements = placed(site)
    files = sources(placements)
    header = f"{placements[0].function}.h"
    with pytest.raises(CheckFailed, match="differs from its definition"):
        compile_placed(placements, changed_once(files, header, old, new))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("((int8_t *)output)[size] = 1;", "beside its output"),
        ("((int8_t *)output)[-1] = 1;", "beside its output"),
        ("*(int8_t *)(uintptr_t)input = (int8_t)~*(const int8_t *)input;", "to its input"),
        ("if (size < 100) { *(int8_t *)output = 1; }", "depends on how it is called"),
        ("*(volatile int *)0 = 1;", "did not return"),
    ],
    ids=["after", "before", "input", "size", "crash"],
)
def test_what_a_layer_does_besides_is_noticed(body, words):
    placements = placed(prelu(25, -3, 100))
    files = sources(placements)
    last = "    (void)embact_prelu_layer_s8("
    edited = changed_once(files, OPS_HEADER, ", size / 3);\n", f", size / 3);\n    {body}\n")
    assert last in edited[OPS_HEADER]
    with pytest.raises(CheckFailed, match=words):
        compile_placed(placements, edited)


def test_a_layer_that_never_ends_is_stopped():
    placements = placed(prelu(25))
    files = sources(placements)
    line = "{\n    (void)embact_prelu"
    endless = changed_once(
        files,
        OPS_HEADER,
        line,
        "{\n    volatile int on = 1;\n    while (on) {}\n    (void)embact_prelu",
    )
    compiled = compile_routines(placements, endless)
    found = check_layers(compiled, layers_of(placements), timeout_s=3)
    assert found == {placements[0].function: "it did not end within 3 s"}


def test_rows_to_compare_show_every_code_at_every_place():
    for site in (softmax(), prelu(1, 2, 3), glu()):
        (one,) = placed(site)
        rows = rows_to_compare(one)
        assert all(set(range(-128, 128)) == set(column.tolist()) for column in rows.T)
        assert np.array_equal(rows, rows_to_compare(one)), "the same each time"


@pytest.mark.parametrize("row_size", [0, 4097])
def test_a_row_that_no_softmax_takes_is_refused(row_size):
    with pytest.raises(EmbactError, match="row size"):
        unit_of(softmax(row_size=row_size))


def test_c_without_its_routines_is_refused(every):
    placements, files, _ = every
    with pytest.raises(EmbactError, match=r"embact_ops\.h"):
        compile_routines(placements, {"embact_kernels.h": files["embact_kernels.h"]})


def test_a_kernel_and_a_layer_of_one_name_are_refused():
    (kernel,), (other,) = silu(), placed(softmax())
    twice = (kernel, dataclasses.replace(other, function=kernel.function))
    with pytest.raises(EmbactError, match="of a kernel and of a layer"):
        routines(twice)


CPP = [word for word in STRICT if not word.startswith("-std")]


def compiles(folder, files, language):
    """What a compiler says of every C file, and of a file that includes the routines twice."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    suffix, standard = {"c": (".c", "-std=c99"), "c++": (".cc", "-std=c++17")}[language]
    main = folder / f"user{suffix}"
    used = (
        "embact_prelu_layer_s8_op" if "embact_prelu" in files[OPS_HEADER] else "embact_silu_s8_op"
    )
    main.write_text(
        f'#include "{OPS_HEADER}"\n#include "{OPS_HEADER}"\n'
        "void user(const int8_t *a, int8_t *b);\n"
        f"void user(const int8_t *a, int8_t *b) {{ {used}(a, b, 15); }}\n"
    )
    said = []
    command = [*find_compiler().command, *CPP, standard, "-x", language, "-c", "-o", "out.o"]
    for name in (main.name, *(name for name in files if name.endswith(".c"))):
        done = subprocess.run(
            [*command, name], cwd=folder, capture_output=True, text=True, check=False
        )
        said.append(done.stderr)
    return "".join(said)


@pytest.mark.parametrize("language", ["c", "c++"])
def test_all_c_compiles_without_a_warning(every, tmp_path, language):
    assert compiles(tmp_path, every[1], language) == ""


def test_a_warning_would_be_seen(every, tmp_path):
    files = {**every[1], OPS_HEADER: every[1][OPS_HEADER] + "static int unused;\n"}
    assert "unused" in compiles(tmp_path, files, "c")


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m55"])
def test_c_for_one_core_is_smaller_and_names_the_core(every, name):
    placements, files, _ = every
    pruned = sources(placements, core(name))
    assert pruned.keys() == files.keys()
    assert sum(map(len, pruned.values())) < sum(map(len, files.values()))
    assert "#error" in pruned["embact_kernels.h"]
    assert name in CORES


@pytest.mark.parametrize("form", ["custom", "override"])
@pytest.mark.parametrize("name", ["digits_mlp_int8", "softmax__int8", "prelu_channel__int8"])
def test_the_glue_of_a_written_folder_compiles_without_a_warning(tmp_path, name, form):
    path = CORPUS / f"{name}.tflite"
    model = read(path if path.exists() else data_file(path.name))
    wanted = Wanted(form, family="lut")

    def table(site):
        return Problem(site.activation, site.spec, Limits(0))

    plan = make_plan(model, findings_for(model, wanted), wanted, table)
    done = write_conversion(tmp_path / "out", model, plan.placements, Decisions(form=form))
    tflm.compiled(done.folder, [done.folder / "embact_tflm.cc"], "-fsyntax-only")
    tflm.compiled(done.folder, [done.folder / "model.cc"], "-fsyntax-only")


def test_no_placement_has_no_c():
    with pytest.raises(EmbactError, match="C of no placements"):
        sources(())
    assert kernels_of(()) == {} == layers_of(())


@pytest.mark.slow
def test_an_int16_gate_equals_its_definition():
    grids = Grids(S16, S16, Grid(0.0004, 0, 16))
    site = layer(GluAsked(activation("sigmoid"), grids), S16, grids.output, 12)
    placements = place_layers([site], [unit_of(site, family="interp")])
    files = sources(placements)
    assert "embact_glu_sigmoid_s16_gate.h" in files
    assert not [name for name in files if name.endswith(".json")]
    compile_placed(placements, files)
