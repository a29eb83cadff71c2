import copy
import dataclasses
import json
import math

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import SCHEMA, fit_json, fit_of_json, fit_record
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec

SIGMOID = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))


@pytest.fixture(scope="module")
def pwl():
    return fit(
        Problem(
            activation("sigmoid"),
            SIGMOID,
            Limits(1),
            Options(slope_bits=8, fold=False, lookup="compare", shifts="common", clamp="codes"),
        ),
        "pwl",
    )


@pytest.fixture(scope="module")
def lut():
    return fit(
        Problem(activation("swish", beta=1.5), QuantSpec(Grid(0.1, 3, 8), Grid(0.05, -100, 8)))
    )


@pytest.fixture
def document(pwl):
    return json.loads(fit_json(pwl))


def put(document, path, value):
    """Return the document's text after setting what is at a path of keys."""
    *parents, last = path
    place = document
    for key in parents:
        place = place[key]
    place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize("name", CATALOGUE)
def test_json_comes_back_byte_for_byte(name, spec_of):
    act = activation(name)
    made = fit(Problem(act, spec_of(act, -4.0, 9.0), Limits(max_bytes=2000)))
    text = fit_json(made)
    again = fit_of_json(text)
    assert fit_json(again) == text
    assert again.activation == act
    assert (again.spec, again.limits, again.family) == (made.spec, made.limits, made.family)
    assert again.certificate == made.certificate
    assert again.candidate.segments == made.candidate.segments
    assert np.array_equal(again.kernel.outputs, made.kernel.outputs)
    assert emit_header({"f": again}) == emit_header({"f": made})


def test_bytes_and_other_layouts_of_the_same_document_are_read(pwl, document):
    text = fit_json(pwl)
    for form in (text.encode(), json.dumps(document), json.dumps(document, indent="\t")):
        assert fit_json(fit_of_json(form)) == text


def test_document_is_plain_and_complete(pwl, document):
    assert document == json.loads(json.dumps(fit_record(pwl)))
    assert set(document) == {
        *("schema", "embact", "activation", "quantisation", "limits", "options", "histogram"),
        *("family", "parameters"),
        *("segments", "table_bytes", "digest", "certificate", "program"),
    }
    assert document["schema"] == SCHEMA
    assert document["activation"] == {"name": "sigmoid", "parameters": {}, "expression": None}
    assert document["quantisation"]["input"] == {"scale": 0.0625, "zero_point": 0, "bits": 8}
    assert document["limits"] == {"max_error": 1, "max_bytes": None, "on_support": False}
    assert document["parameters"]["segments"] == len(document["segments"]) == 7
    assert document["table_bytes"] == pwl.kernel.table_bytes
    assert document["digest"] == document["certificate"]["kernel_digest"] == pwl.kernel.digest
    assert document["certificate"]["points"] == 256


def test_text_is_indented_and_ends_in_one_newline(pwl):
    text = fit_json(pwl)
    assert text.startswith(f'{{\n  "schema": {SCHEMA},\n')
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")


TAMPERED = [
    (("schema",), 3, ["schema", "got 3", f"allowed: {SCHEMA}"]),
    (("schema",), None, ["schema", f"allowed: {SCHEMA}"]),
    (("schema",), "2", ["schema", "got 2", f"allowed: {SCHEMA}"]),
    (("digest",), "0" * 64, ["does not match its digest", "0" * 64]),
    (("program", "tables", 0, "values", 3), 5, ["does not match its digest"]),
    (("program", "tables", 0, "values", 3), 1 << 40, ["not a kernel file", "int32"]),
    (("program", "tables", 0, "values"), [], ["not a kernel file", "length of table"]),
    (("program", "tables", 0, "name"), "Bad name", ["not a kernel file", "name of a table"]),
    (("program", "steps", 0, "op"), "POW", ["not a kernel file", "'POW'"]),
    (("program", "steps", 1, "args"), [99, 0], ["not a kernel file", "earlier steps"]),
    (("program", "steps"), [], ["not a kernel file", "no steps"]),
    (("program", "output_bits"), 12, ["not a kernel file", "12"]),
    (("certificate", "max_error_codes"), 0, ["certificate"]),
    (("certificate", "max_error_lsb"), 0.5, ["certificate"]),
    (("certificate", "mean_error_lsb"), 0.0, ["certificate"]),
    (("certificate", "mse"), 0.0, ["certificate"]),
    (("certificate", "points"), 255, ["certificate"]),
    (("certificate", "worst_input"), 77, ["certificate"]),
    (("certificate", "monotone"), False, ["certificate"]),
    (("certificate", "kernel_digest"), "0" * 64, ["certificate"]),
    (("certificate", "not_correctly_rounded"), 0, ["certificate"]),
    (("certificate", "output_max"), 126, ["certificate"]),
    (("certificate", "max_error_lsb"), None, ["not a kernel file", "max_error_lsb"]),
    (("certificate", "max_error_codes"), 1.5, ["not a kernel file", "max_error_codes"]),
    (("certificate", "checked_on"), "host-c", ["not a kernel file", "checked_on"]),
    (("activation", "name"), "sigmod", ["unknown activation", "sigmoid"]),
    (("activation", "name"), "tanh", ["certificate"]),
    (("activation", "parameters"), {"beta": 1}, ["unknown parameter"]),
    (("activation", "parameters"), {"name": 1}, ["unknown parameter"]),
    (("quantisation", "input", "scale"), 0, ["not a kernel file", "scale"]),
    (("quantisation", "input", "scale"), "0.1", ["not a kernel file", "scale"]),
    (("quantisation", "input", "scale"), 0.07, ["certificate"]),
    (("quantisation", "input", "zero_point"), 128, ["not a kernel file", "zero point"]),
    (("quantisation", "input", "zero_point"), 0.5, ["not a kernel file", "zero_point"]),
    (("quantisation", "output", "bits"), 16, ["differ in width"]),
    (("limits", "max_error"), -1, ["not a kernel file", "error budget"]),
    (("options", "slope_bits"), True, ["not a kernel file", "slope_bits"]),
    (("options", "terms"), 4, ["not a kernel file", "terms", "1, 2, 3"]),
    (("table_bytes",), 1, ["table bytes"]),
    (("segments", 0, "slope"), "3", ["not a kernel file", "slope"]),
    (("segments", 0, "slope"), 99, ["segments", "give the kernel's outputs"]),
    (("segments", 3, "last"), 0, ["segments"]),
    (("segments", 6, "last"), 126, ["segments"]),
    (("segments", 0, "first"), -127, ["segments"]),
    (("limits", "max_error"), 0, ["limits that the kernel meets"]),
    (("limits", "max_bytes"), 3, ["limits that the kernel meets"]),
    (("family",), "no family", ["name of a family"]),
    (("parameters",), {"segments": "7"}, ["not a kernel file"]),
    (("parameters", "segments"), 8, ["parameter segments", "got 8", "allowed: 7"]),
    (("parameters", "shift"), 31, ["parameter shift", "got 31", "the segments' own"]),
    (("parameters", "slope_bits"), 1 << 31, ["parameter slope_bits", "below 2**31"]),
    (("parameters", "slope_bits"), -(1 << 31), ["parameter slope_bits", "below 2**31"]),
    (("parameters", "two words"), 1, ["name of a parameter", "'two words'"]),
    (("parameters", "*/"), 1, ["name of a parameter"]),
    (("segments", 0, "slope"), 1 << 62, ["not a kernel file", "segment"]),
    (("segments", 0, "slope"), 1 << 63, ["not a kernel file", "segment"]),
    (("segments", 0, "slope"), -(1 << 70), ["not a kernel file", "segment"]),
    (("segments", 0, "offset"), 10**400, ["not a kernel file", "segment"]),
    (("segments", 0, "shift"), 64, ["not a kernel file", "segment"]),
    (("histogram",), {"counts": [1] * 255 + [10**400]}, ["counts of a histogram"]),
    (("histogram",), {"counts": [1] * 255 + [1 << 53]}, ["counts of a histogram"]),
    (("limits", "on_support"), True, ["no histogram"]),
]


@pytest.mark.parametrize(("path", "value", "parts"), TAMPERED)
def test_a_changed_document_is_refused_in_one_line(refuses, document, path, value, parts):
    with refuses("k.json: ", *parts):
        fit_of_json(put(document, path, value), where="k.json")


@pytest.mark.parametrize("key", ["max_error_lsb", "mse"])
def test_nan_is_refused(refuses, document, key):
    with refuses("not a kernel file"):
        fit_of_json(put(document, ("certificate", key), math.nan))


@pytest.mark.parametrize("key", ["mean_error_lsb", "mse", "max_error_lsb"])
def test_another_machines_last_bits_are_accepted_and_kept(document, key):
    value = document["certificate"][key] * (1 + 1e-13)  # numpy's exp differs so among CPUs
    text = put(document, ("certificate", key), value)
    assert getattr(fit_of_json(text).certificate, key) == value
    assert json.loads(fit_json(fit_of_json(text))) == json.loads(text)


def test_how_a_kernel_was_found_is_not_evidence(document):
    text = put(document, ("parameters",), {"anything": 2**31 - 1})
    assert fit_of_json(text).candidate.parameters == {"anything": 2**31 - 1}


def numbers(place, path=()):
    """Yield the paths of a document's numbers, of lists the first two only."""
    items = place.items() if isinstance(place, dict) else enumerate(place[:2])
    for key, value in items:
        if isinstance(value, dict | list):
            yield from numbers(value, (*path, key))
        elif isinstance(value, int | float):
            yield (*path, key)


def test_no_number_whatever_its_size_gives_more_than_a_line(refuses, document):
    document["histogram"] = {"counts": [1] * 256}
    for path in list(numbers(document)):
        for value in (1 << 63, -(1 << 63), 1 << 70, 10**400):
            with refuses("k.json: "):
                fit_of_json(put(copy.deepcopy(document), path, value), where="k.json")


def test_what_was_seen_on_another_machine_is_not_taken_over(document):
    text = put(document, ("certificate", "checked_on"), ["definition", "host-c", "cortex-m55"])
    assert fit_of_json(text).certificate.checked_on == ("definition",)


def test_every_missing_field_is_refused(refuses, document):
    def paths(place, path=()):
        for key, value in place.items():
            yield (*path, key)
            if isinstance(value, dict) and key != "parameters":
                yield from paths(value, (*path, key))

    optional = {
        (part, field.name)
        for part, kind in (("limits", Limits), ("options", Options))
        for field in dataclasses.fields(kind)
    }
    for path in set(paths(document)) - optional:
        part = copy.deepcopy(document)
        place = part
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]
        with refuses("k.json: "):
            fit_of_json(json.dumps(part), where="k.json")


def test_every_truncation_is_refused(refuses, lut):
    text = fit_json(lut)
    for length in [*range(0, len(text) - 2, 97), len(text) - 2]:
        with refuses("k.json: not a kernel file", "JSON of `embact fit`"):
            fit_of_json(text[:length], where="k.json")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "3", '"x"', "{", "{}", b"\xff\xfe", b"TFL3" * 9, "{'a': 1}", '{"schema": 1}',
     '{"a":' * 5000, "\ud800"],
)  # fmt: skip
def test_other_texts_are_refused_in_one_line(refuses, text):
    with refuses("k.json: "):
        fit_of_json(text, where="k.json")


def test_of_many_parameters_a_command_has_those_that_are_no_default(spec_of):
    act = activation("apl", a1=-0.2, b2=1.5)
    found = fit(Problem(act, spec_of(act, -4.0, 4.0)))
    assert act.said() == {"a1": -0.2, "b2": 1.5}
    assert found.command.startswith("embact fit apl --param a1=-0.2 --param b2=1.5 --dtype ")
    # what is left out is the default: the words give the same activation, and the file has all
    assert activation("apl", **act.said()) == act
    assert len(fit_record(found)["activation"]["parameters"]) == 16


def test_of_few_parameters_a_command_has_all(spec_of):
    act = activation("leaky_relu")
    assert act.said() == act.settings() == {"alpha": 0.2}
    found = fit(Problem(act, spec_of(act, -4.0, 4.0)))
    assert found.command.startswith("embact fit leaky_relu --param alpha=0.2 --dtype ")
