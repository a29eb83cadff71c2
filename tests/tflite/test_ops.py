"""What TFLite and TFLM have of each activation: the facts agree with each other and with sites."""

from __future__ import annotations

import pytest

from embact.activations import CATALOGUE
from embact.fit.takes import TAKES
from embact.listing import LOOPS
from embact.tflite.find.single import LAYERS, SINGLE
from embact.tflite.model import names_of
from embact.tflite.ops import LOWERED, NOTES, OPERATORS, Operator, in_tflm, operators_of

NOT_WRITTEN = {"erf"}
"""Activations that the converter refuses."""


def parts():
    """Every operator that a function is converted to, fused ones included."""
    return {part for text in LOWERED.values() for op in text.split() for part in op.split("+")}


def test_every_function_in_the_list_has_its_operators():
    listed = {*CATALOGUE, *(one.tflite for one in LOOPS if one.tflite)}
    assert set(LOWERED) == listed - NOT_WRITTEN
    assert set(NOTES) <= listed


def test_every_operator_is_known_and_is_one_of_tflites():
    assert parts() == set(OPERATORS)
    assert set(OPERATORS) <= set(names_of("BuiltinOperator").values())


def test_dtypes_are_those_that_there_are():
    for one in OPERATORS.values():
        assert one.converted <= {"int8", "int16"}
        assert one.tflm <= {"float32", "int8", "int16"}


def test_what_embact_replaces_is_what_the_converter_writes():
    for op, meaning in SINGLE.items():
        if op != "RELU_0_TO_1":  # which it never writes
            assert operators_of(meaning(None).name) == (op,)
    assert operators_of("silu") == ("LOGISTIC", "MUL")  # the pattern that sites joins


def test_single_operators_that_are_no_sites_have_a_reason():
    single = {
        ops[0] for name in LOWERED if len(ops := operators_of(name)) == 1 and "+" not in ops[0]
    }
    assert single <= {*SINGLE, *LAYERS}


def test_the_tflm_family_is_for_what_tflm_has_an_operator_of():
    for name in TAKES["tflm"]:
        (op,) = operators_of(name)
        assert OPERATORS[op].tflm & {"int8", "int16"}


@pytest.mark.parametrize(
    ("name", "int8", "int16"),
    [
        ("identity", None, None),
        ("relu", "yes", "yes"),
        ("relu_n1_to_1", "no", "no"),  # not in TFLM's resolver, and refused by the int16 converter
        ("gelu", "no", "no"),
        ("exp", "no", "no"),  # float32 only in TFLM
        ("elu", "in float", "no"),
        ("hard_swish", "yes", "no"),
        ("log_sigmoid", "no", "no"),
        ("selu", "no", "no"),
        ("hard_shrink", "yes", "no"),
        ("soft_shrink", "no", "no"),  # SELECT, where hard_shrink has SELECT_V2
        ("isru", "yes", "no"),
        ("silu", "yes", "yes"),
        ("erf", "no", "no"),
        ("softmax", "yes", "yes"),
        ("prelu", "yes", "no"),
    ],
)
def test_whether_tflm_runs_it(name, int8, int16):
    assert (in_tflm(name, "int8"), in_tflm(name, "int16")) == (int8, int16)


def test_an_operator_that_tflm_lacks_would_be_noticed(monkeypatch):
    assert in_tflm("silu", "int8") == "yes"
    monkeypatch.setitem(OPERATORS, "MUL", Operator(frozenset(("int8",)), frozenset(("float32",))))
    assert in_tflm("silu", "int8") == "no"
    monkeypatch.setitem(OPERATORS, "MUL", Operator(frozenset(), frozenset(("float32",))))
    assert in_tflm("silu", "int8") == "in float"
    assert in_tflm("silu", "int16") == "no"


def test_another_dtype_is_refused(refuses):
    with refuses("unknown dtype", "'int4'", "int16, int8"):
        in_tflm("relu", "int4")
