"""Conversion: one custom operator per site, nothing else changed, a folder that stands alone."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.fit.problem import Problem
from embact.fit.record import fit_of_json
from embact.fit.search import fit
from embact.run.host import check, compile_header
from embact.tflite.beside import kernels_beside
from embact.tflite.convert import convert, converted_operators, read_options
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import write_conversion
from embact.tflite.model import builtin_code, pack, parse, read
from embact.tflite.placement import kernels_of, place


def resolved(tree):
    """The operators with the whole operator code in place of its number."""
    nodes = []
    for node in tree.subgraphs[0].operators:
        code = tree.operatorCodes[node.opcodeIndex]
        name = (builtin_code(code), code.customCode, code.version)
        nodes.append((name, {k: v for k, v in vars(node).items() if k != "opcodeIndex"}))
    return nodes


def test_everything_but_the_sites_is_unchanged(digits, same, placed):
    placements = placed(digits)
    converted = parse(convert(digits, placements))
    for field in ("version", "description", "buffers", "metadata", "signatureDefs"):
        assert same(getattr(digits.tree, field), getattr(converted.tree, field))
    (old,), (new,) = digits.tree.subgraphs, converted.tree.subgraphs
    for field in ("tensors", "inputs", "outputs", "name"):
        assert same(getattr(old, field), getattr(new, field))
    replaced = {index for one in placements for index in one.site.operators}
    before = [node for i, node in enumerate(resolved(digits.tree)) if i not in replaced]
    ours = {index for index, _, _ in converted_operators(converted)}
    after = [node for i, node in enumerate(resolved(converted.tree)) if i not in ours]
    assert [name for name, _ in before] == [name for name, _ in after]
    assert all(
        same(list(a.values()), list(b.values()))
        for (_, a), (_, b) in zip(before, after, strict=True)
    )


def test_each_site_becomes_one_operator_that_names_its_kernel(digits, placed):
    placements = placed(digits)
    converted = parse(convert(digits, placements))
    found = converted_operators(converted)
    assert len(found) == len(placements)
    for (_, name, node), one in zip(found, placements, strict=True):
        assert name == one.function
        assert (list(node.inputs), list(node.outputs)) == ([one.site.input], [one.site.output])
        assert read_options(node, "") == {
            "version": 2,
            "kernel": one.function,
            "activation": one.site.activation.name,
            "digest": one.fit.kernel.digest,
            "family": one.fit.family,
            **one.site.activation.settings(),
        }


def test_operators_stay_in_an_order_that_computes_inputs_first(digits, placed):
    converted = parse(convert(digits, placed(digits)))
    (graph,) = converted.tree.subgraphs
    written = {i for node in graph.operators for i in node.outputs}
    ready = set(graph.inputs)
    for node in graph.operators:
        assert all(i in ready or i not in written for i in node.inputs)
        ready |= set(node.outputs)


def test_operator_codes_that_nothing_uses_are_gone_and_shared_ones_stay(build, placed):
    tensors = [build.Tensor(name, shape=(1, 4)) for name in ("a", "gate", "b", "c", "other")]
    nodes = [
        build.Node("LOGISTIC", (0,), (1,)),
        build.Node("MUL", (0, 1), (2,), build.options("MUL")),
        build.Node("MUL", (2, 4), (3,), build.options("MUL")),
    ]
    model = build.model_of(tensors, nodes, [0, 4], [3])
    tree = parse(convert(model, placed(model))).tree
    codes = [(builtin_code(code), code.customCode) for code in tree.operatorCodes]
    assert codes == [(18, None), (32, b"embact_silu_s8")]
    assert [node.opcodeIndex for node in tree.subgraphs[0].operators] == [1, 0]
    assert len(tree.subgraphs[0].tensors) == 5


def test_the_parameter_of_the_activation_survives_exactly(build, placed):
    model = build.one_op("LEAKY_RELU", fields={"alpha": 0.3})
    ((_, _, node),) = converted_operators(parse(convert(model, placed(model))))
    assert read_options(node, "")["alpha"] == float(np.float32(0.3))


def three_sigmoids(build):
    """Two with equal grids, and one with another input scale."""
    tensors = [
        build.Tensor("a", shape=(1, 4)),
        build.Tensor("b", "INT8", (1 / 256,), -128, (1, 4)),
        build.Tensor("c", "INT8", (1 / 256,), -128, (1, 4)),
        build.Tensor("d", "INT8", (0.02,), 5, (1, 4)),
        build.Tensor("e", "INT8", (1 / 256,), -128, (1, 4)),
    ]
    nodes = [build.Node("LOGISTIC", (i,), (o,)) for i, o in ((0, 1), (3, 4), (0, 2))]
    return build.model_of(tensors, nodes, [0, 3], [1, 2, 4])


def test_equal_kernels_share_a_function_and_different_ones_get_numbers(build, placed):
    placements = placed(three_sigmoids(build))
    names = [one.function for one in placements]
    assert names == ["embact_sigmoid_s8", "embact_sigmoid_2_s8", "embact_sigmoid_s8"]
    assert list(kernels_of(placements)) == ["embact_sigmoid_s8", "embact_sigmoid_2_s8"]


def test_fits_must_match_their_sites(build):
    sites = find_sites(three_sigmoids(build)).sites
    fits = [fit(Problem(site.activation, site.spec)) for site in sites]
    with pytest.raises(EmbactError, match="fits for sites"):
        place(sites, fits[:2])
    with pytest.raises(EmbactError, match="another quantisation"):
        place(sites, [fits[0], fits[0], fits[2]])


def test_a_model_without_sites_cannot_be_converted(build):
    with pytest.raises(EmbactError, match="nothing to convert"):
        convert(build.one_op("TANH"), [])


def test_a_converted_model_is_not_converted_again(build, placed):
    """Its functions would take the names of other ones."""
    model = build.one_op("TANH")
    placements = placed(model)
    converted = parse(convert(model, placements))
    for form in ("custom", "override"):
        with pytest.raises(EmbactError, match="conversion of a converted model"):
            convert(converted, placements, form)


def test_the_folder_holds_model_header_kernels_and_report(digits, tmp_path, placed):
    placements = placed(digits)
    done = write_conversion(tmp_path / "out", digits, placements)
    name = digits.where.rsplit("/", 1)[-1]
    kernels = kernels_of(placements)
    files = {str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file()}
    code = {"embact_kernels.h", "embact_ops.h"}
    glue = {"embact_tflm.h", "embact_tflm.cc", "model.h", "model.cc", "CMakeLists.txt", "README.md"}
    records = {f"kernels/{kernel}.json" for kernel in kernels}
    assert files == {name, "report.json", *code, *glue, *records}
    assert done.model.read_bytes() == convert(digits, placements)
    for path, (name, one) in zip(done.kernels, kernels.items(), strict=True):
        again = fit_of_json(path.read_bytes())
        assert (path.stem, again.kernel.digest) == (name, one.kernel.digest)
    report = json.loads((done.folder / "report.json").read_bytes())
    assert report["schema"] == 2
    assert {*report["files"], "report.json"} == files
    assert report["model_sha256"] == digits.sha256
    assert report["converted_sha256"] == read(done.model).sha256
    assert [site["function"] for site in report["sites"]] == [p.function for p in placements]
    assert report["sites"][0]["quantisation"]["input"]["bits"] in (8, 16)
    assert report["sites"][0]["certificate"]["max_error_codes"] <= 1
    assert report["table_bytes"] == sum(one.kernel.table_bytes for one in kernels.values())
    assert not [p for p in tmp_path.iterdir() if p != done.folder]


def test_the_header_in_the_folder_compiles_to_the_kernels(digits, tmp_path, placed):
    placements = placed(digits)
    done = write_conversion(tmp_path / "out", digits, placements)
    kernels = kernels_of(placements)
    widths = {n: (f.spec.input.bits, f.spec.output.bits) for n, f in kernels.items()}
    header = (done.folder / "embact_kernels.h").read_text("utf-8")
    compiled = compile_header(header, widths)
    assert [check(compiled, name, one.kernel) for name, one in kernels.items()] == [None] * len(
        kernels
    )


def test_the_same_conversion_gives_the_same_bytes(digits, tmp_path, placed):
    placements = placed(digits)
    first, second = (write_conversion(tmp_path / n, digits, placements) for n in ("a", "b"))
    for path in (p for p in first.folder.rglob("*") if p.is_file()):
        assert (second.folder / path.relative_to(first.folder)).read_bytes() == path.read_bytes()


def test_headers_of_different_models_do_not_hide_each_other(build, tmp_path, placed):
    guards = set()
    for op in ("TANH", "LOGISTIC"):
        model = build.one_op(op, elements=4)
        done = write_conversion(tmp_path / op, model, placed(model))
        guards |= {
            line
            for line in (done.folder / "embact_kernels.h").read_text().split("\n")
            if line.startswith("#ifndef EMBACT_") and line.endswith("_H")
        }
    assert guards >= {"#ifndef EMBACT_LOOP_LUT_S8_H"}  # the loop is the same in both
    assert len(guards) == 3


def test_an_output_folder_that_exists_is_left_alone(build, tmp_path, placed):
    model = build.one_op("TANH", elements=4)
    (tmp_path / "out").mkdir()
    with pytest.raises(EmbactError, match=r"output folder.*exists"):
        write_conversion(tmp_path / "out", model, placed(model))
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (b'a "b";$(c) d*.tflite', 'a "b";$(c) d*.tflite'),
        (b"line\nbreak??.tflite", "line\nbreak??.tflite"),
        (b"\xffx.tflite", "_x.tflite"),
        ("\N{GREEK SMALL LETTER BETA}.tflite".encode(), "\N{GREEK SMALL LETTER BETA}.tflite"),
    ],
)
def test_a_model_of_any_file_name_is_converted(build, tmp_path, placed, name, written):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(build.one_op("TANH").content)
    model = read(path)
    done = write_conversion(tmp_path / "out", model, placed(model))
    assert done.model.name == written
    assert json.loads((done.folder / "report.json").read_bytes())["converted"] == written
    assert len(kernels_beside(read(done.model))) == 1


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(build, tmp_path, placed):
    model = build.one_op("TANH", elements=4)
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "none" / "out", tmp_path / "file" / "out"):
        with pytest.raises(EmbactError, match="cannot write the output folder") as error:
            write_conversion(folder, model, placed(model))
        assert "\n" not in str(error.value)
    assert list(tmp_path.rglob("*")) == [tmp_path / "file"]


@pytest.fixture
def written(build, tmp_path, placed):
    model = three_sigmoids(build)
    return write_conversion(tmp_path / "out", model, placed(model))


def test_the_kernels_of_a_converted_model_are_found_beside_it(build, written, placed):
    original = placed(three_sigmoids(build))
    found = kernels_beside(read(written.model))
    assert [one.function for one in found] == [one.function for one in original]
    assert [one.fit for one in found] == [
        dataclasses.replace(one.fit, candidate=again.fit.candidate)
        for one, again in zip(original, found, strict=True)
    ]
    assert [one.fit.kernel.digest for one in found] == [p.fit.kernel.digest for p in original]
    assert [(one.site.input, one.site.output) for one in found] == [(0, 1), (3, 4), (0, 2)]
    assert emit_header(kernels_of(found)) == emit_header(kernels_of(original))


def test_a_kernel_shared_across_grids_is_certified_for_each(build, tmp_path, placed):
    tensors = [
        build.Tensor(n, "INT8", (s,), 0, (1, 4)) for n, s in zip("abcd", (1, 1, 2, 2), strict=True)
    ]
    nodes = [build.Node("RELU", (0,), (1,)), build.Node("RELU", (2,), (3,))]
    model = build.model_of(tensors, nodes, [0, 2], [1, 3])
    done = write_conversion(tmp_path / "out", model, placed(model))
    assert len(done.kernels) == 1
    found = kernels_beside(read(done.model))
    assert [one.fit.spec.input.scale for one in found] == [1.0, 2.0]
    assert [one.fit.certificate.max_error_codes for one in found] == [0, 0]


def test_a_model_that_is_not_converted_has_no_kernels_beside_it(digits):
    assert kernels_beside(digits) == ()


def test_a_missing_kernel_is_named(written):
    written.kernels[1].unlink()
    with pytest.raises(EmbactError, match=r"embact_sigmoid_2_s8\.json.*kernels folder"):
        kernels_beside(read(written.model))


def test_a_kernel_with_a_changed_table_is_refused(written):
    document = json.loads(written.kernels[0].read_bytes())
    document["program"]["tables"][0]["values"][100] += 1
    written.kernels[0].write_text(json.dumps(document))
    with pytest.raises(EmbactError, match="digest"):
        kernels_beside(read(written.model))


def test_another_kernel_under_the_same_name_is_refused(written):
    shutil.copy(written.kernels[1], written.kernels[0])
    with pytest.raises(EmbactError, match="kernel: got"):
        kernels_beside(read(written.model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (b"", "custom options"),
        (b"no flexbuffer at all", "custom options|version"),
        (b"\x01\x04\x01", "version of an embact operator"),
    ],
)
def test_options_that_are_not_ours_are_refused(written, options, message):
    tree = read(written.model).tree
    tree.subgraphs[0].operators[0].customOptions = list(options)
    written.model.write_bytes(pack(tree))
    with pytest.raises(EmbactError, match=message):
        kernels_beside(read(written.model))


def test_a_kernel_of_other_widths_than_the_tensors_is_refused(build, written):
    tree = read(written.model).tree
    for tensor in tree.subgraphs[0].tensors:
        tensor.type = 7
    written.model.write_bytes(pack(tree))
    with pytest.raises(EmbactError, match="tensors of a converted operator"):
        kernels_beside(read(written.model))


def test_a_kernel_name_with_a_path_is_refused(build, written):
    from flatbuffers import flexbuffers

    tree = read(written.model).tree
    name = "embact_/../k"
    options = flexbuffers.Dumps({"version": 2, "kernel": name, "digest": "", "family": "lut"})
    node = tree.subgraphs[0].operators[0]
    node.customOptions = list(options)
    tree.operatorCodes[node.opcodeIndex].customCode = name.encode()
    written.model.write_bytes(pack(tree))
    with pytest.raises(EmbactError, match="no path"):
        kernels_beside(read(written.model))
