"""Reading a converted folder back: layers, overriding kernels, C for one core; nothing trusted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embact.errors import CheckFailed, EmbactError
from embact.tflite.beside import form_beside, kernels_beside, report_beside, sources_beside
from embact.tflite.builtin_form import table_fit
from embact.tflite.convert import convert
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.host.compiled import compile_placed
from embact.tflite.host.data import random_data
from embact.tflite.host.evaluate import evaluate
from embact.tflite.layers import unit_of
from embact.tflite.model import pack, read
from embact.tflite.placement import LayerPlacement, place, place_layers
from embact.tflite.planning import Wanted, arranged, findings_for
from embact.tflite.routines import sources
from embact.tflite.site_report import Decisions

CORPUS = Path(__file__).parent / "corpus"
LAYERS = ["softmax__int8", "log_softmax__int8", "prelu_channel__int8", "glu__int8"]
GATES = ["glu_gate_first__int8"]


def planned(name, form="custom"):
    """A model of the corpus, or of the package, and placements by tables of all its sites."""
    model, wanted = read(CORPUS / f"{name}.tflite"), Wanted(form)
    findings = findings_for(model, wanted)
    placed = (
        *place(findings.sites, [table_fit(site) for site in findings.sites]),
        *place_layers(findings.layers, [unit_of(layer) for layer in findings.layers]),
    )
    return model, arranged(model, placed, (), wanted).placements


@pytest.fixture
def written(tmp_path):
    """The function that converts a model of the corpus into a new folder."""

    def write(name, form="custom", **decisions):
        model, placed = planned(name, form)
        return write_conversion(tmp_path / name, model, placed, Decisions(form=form, **decisions))

    return write


@pytest.mark.parametrize("name", [*LAYERS, *GATES])
def test_layers_are_found_again_and_are_the_same_functions(written, name):
    _, placed = planned(name)
    done = written(name)
    found = kernels_beside(read(done.model))
    assert [one.function for one in found] == [one.function for one in placed]
    assert [type(one) for one in found] == [type(one) for one in placed]
    assert any(isinstance(one, LayerPlacement) for one in found)
    again, first = sources(found), sources(placed)
    assert again == first
    assert sources_beside(read(done.model)) == first
    assert done.report.layers[0].statement


@pytest.mark.parametrize("name", LAYERS)
def test_a_converted_layer_runs_and_is_compared_with_the_stock_model(written, name):
    done = written(name)
    converted = read(done.model)
    model, _ = planned(name)
    data = random_data(model, 20, seed=1)
    placed, files = kernels_beside(converted), sources_beside(converted)
    found = evaluate(converted, placed, data, stock=model, header=files)
    limit = 0 if "softmax" in name or "prelu" in name else 2
    assert found.sites == 1
    assert found.max_difference <= limit


def test_a_kernel_of_a_formula_that_was_read_from_the_graph_is_found_again(written):
    done = written("hard_sigmoid__int8")
    (one,) = kernels_beside(read(done.model))
    assert one.fit.activation.expression
    (site,) = find_sites(read(CORPUS / "hard_sigmoid__int8.tflite")).sites
    assert one.fit.activation == site.activation


@pytest.mark.slow
@pytest.mark.parametrize("form", ["custom", "override"])
@pytest.mark.parametrize("path", sorted(CORPUS.glob("*__int8.tflite")), ids=lambda p: p.stem)
def test_every_model_of_the_corpus_is_read_back(written, path, form):
    model, placed = planned(path.stem, form)
    if not placed:
        with pytest.raises(EmbactError, match="nothing to convert"):
            convert(model, placed, form)
        return
    done = written(path.stem, form)
    found = kernels_beside(read(done.model))
    key = [(one.function, one.site.input, one.site.output) for one in placed]
    assert sorted((one.function, one.site.input, one.site.output) for one in found) == sorted(key)
    assert sources_beside(read(done.model)).keys() == sources(placed).keys()
    assert [one.site.spec for one in found].count(None) == 0
    assert read(done.model).content != model.content or form == "override"


@pytest.mark.slow
def test_an_int16_gate_is_read_back_from_its_kernel(tmp_path):
    model = read(CORPUS / "glu__int16x8.tflite")
    layers = find_sites(model).layers
    placed = place_layers(layers, [unit_of(layer, family="interp") for layer in layers])
    done = write_conversion(tmp_path / "out", model, placed)
    found = kernels_beside(read(done.model))
    assert sources(found) == sources(placed)
    record = json.loads(done.kernels[-1].read_bytes())
    assert record["glu"]["gate"]["family"] == "interp"
    edited(done.kernels[-1], lambda record: record["glu"]["grids"]["b"].update(zero_point=1))
    with pytest.raises(EmbactError, match="gate for other grids"):
        kernels_beside(read(done.model))


def edited(path, change):
    """A JSON file with its document changed."""
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


CHANGES = {
    "softmax__int8": lambda record: record["softmax"].update(scale=0.125),
    "prelu_channel__int8": lambda record: record["prelu"]["codes"].__setitem__(0, 1),
    "glu__int8": lambda record: record["glu"].update(activation="tanh"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_record_of_a_layer_is_refused(written, name):
    done = written(name)
    edited(done.kernels[-1], CHANGES[name])
    with pytest.raises(EmbactError, match="does not match its digest"):
        kernels_beside(read(done.model))


def test_a_changed_record_with_its_own_digest_is_not_the_one_the_model_names(written):
    done = written("softmax__int8")
    other = written("log_softmax__int8")
    done.kernels[-1].write_bytes(other.kernels[-1].read_bytes())
    with pytest.raises(EmbactError, match="layer: got"):
        kernels_beside(read(done.model))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"schema": 1, "layer": "softmax"}', b"\xff\xfe", b"[" * 20000]
)
def test_what_is_no_record_of_a_layer_is_one_line(written, content):
    done = written("softmax__int8")
    done.kernels[-1].write_bytes(content)
    with pytest.raises(EmbactError, match="not the record of a layer") as error:
        kernels_beside(read(done.model))
    assert "\n" not in str(error.value)


def test_a_layer_on_tensors_of_another_grid_is_refused(written):
    done = written("softmax__int8")
    tree = read(done.model).tree
    (node,) = [n for n in tree.subgraphs[0].operators if n.customOptions is not None]
    tree.subgraphs[0].tensors[next(iter(node.inputs))].quantization.scale = [0.3]
    done.model.write_bytes(pack(tree))
    with pytest.raises(EmbactError, match="layer for other tensors"):
        kernels_beside(read(done.model))


@pytest.mark.parametrize(("scale", "taken"), [(1 / 65535, True), (1 / 65000, False)])
def test_an_output_scale_that_tflm_takes_for_its_own_is_accepted(build, tmp_path, scale, taken):
    tensors = [
        build.Tensor("in", "INT8", (0.07,), 2, (1, 4)),
        build.Tensor("out", "INT16", (scale,), -32768, (1, 4)),
    ]
    node = build.Node("SOFTMAX", (0,), (1,), build.options("SOFTMAX", beta=1.0))
    model = build.model_of(tensors, [node], [0], [1])
    layers = findings_for(model, Wanted()).layers
    assert bool(layers) == taken
    if taken:
        placed = place_layers(layers, [unit_of(layer) for layer in layers])
        done = write_conversion(tmp_path / "out", model, placed)
        (found,) = kernels_beside(read(done.model))
        assert found.site.spec.output.scale == pytest.approx(scale)


def test_a_missing_record_of_a_layer_is_named(written):
    done = written("softmax__int8")
    done.kernels[-1].unlink()
    with pytest.raises(EmbactError, match=r"embact_softmax_layer_s8\.json.*kernels folder"):
        kernels_beside(read(done.model))


def test_overriding_kernels_are_found_by_the_report_of_the_same_model(written):
    model, placed = planned("sigmoid__int8", "override")
    done = written("sigmoid__int8", "override")
    copied = read(done.model)
    assert copied.content == model.content
    assert form_beside(copied) == "override"
    found = kernels_beside(copied)
    assert [(one.site, one.function) for one in found] == [
        (one.site, one.function) for one in placed
    ]
    result = evaluate(copied, found, random_data(model, 20), header=sources_beside(copied))
    assert result.sites == 1
    assert result.max_difference == 0, "int8 LOGISTIC rounds correctly"


def test_overriding_kernels_of_another_model_are_not_taken(written):
    done = written("sigmoid__int8", "override")
    other, _ = planned("tanh__int8")
    done.model.write_bytes(other.content)
    assert kernels_beside(read(done.model)) == ()
    assert form_beside(read(done.model)) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report["sites"][0].update(operators=[0]), "no activation that a kernel"),
        (lambda report: report["sites"][0].update(function="../x"), "no path"),
        (lambda report: report["sites"][0].update(digest="0"), "kernel: got"),
        (lambda report: report.update(schema=1), "schema of the report"),
        (lambda report: report.pop("files"), "not a report"),
    ],
    ids=["operator", "path", "digest", "schema", "field"],
)
def test_an_edited_report_is_not_trusted(written, change, message):
    done = written("sigmoid__int8", "override")
    edited(done.folder / "report.json", change)
    with pytest.raises(EmbactError, match=message):
        kernels_beside(read(done.model))


def test_the_builtin_form_has_no_c_and_no_kernels(written):
    done = written("sigmoid__int8", "builtin")
    converted = read(done.model)
    assert form_beside(converted) == "builtin"
    assert kernels_beside(converted) == ()
    assert not [p for p in done.folder.rglob("*") if p.name.startswith("embact_ops")]
    assert not (done.folder / "kernels").exists()
    assert done.report.table_bytes == 256


def test_c_for_one_core_is_checked_as_text_and_run_as_c_for_every_compiler(written):
    done = written("softmax__int8", target="cortex-m55")
    converted = read(done.model)
    files = sources_beside(converted)
    assert files == sources(kernels_beside(converted))
    compile_placed(kernels_beside(converted), files)
    header = done.folder / "embact_softmax_layer_s8.h"
    header.write_text(header.read_text("utf-8").replace("[", "[ ", 1), "utf-8")
    with pytest.raises(CheckFailed, match=r"cortex-m55.*embact_softmax_layer_s8\.h"):
        sources_beside(converted)


def test_a_model_without_a_folder_of_ours_has_nothing_beside_it():
    model, _ = planned("sigmoid__int8")
    assert report_beside(model) is None
    assert form_beside(model) is None


def test_files_that_would_have_one_name_are_refused(tmp_path):
    """A model called as one of the folder's own files: no file is written over another."""
    model, placed = planned("sigmoid__int8")
    path = tmp_path / "model.tflite"
    path.write_bytes(model.content)
    done = write_conversion(tmp_path / "out", read(path), placed)
    assert len(done.report.files) == len(set(done.report.files))
    assert done.model.name == "model.tflite"
