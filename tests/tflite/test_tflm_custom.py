"""The TFLM glue registers custom operators that compute, or refuse what they were not made for."""

import dataclasses
import importlib.util
import struct
from pathlib import Path

import pytest

from embact.errors import EmbactError
from embact.grid import Grid, QuantSpec
from embact.tflite.tflm.deployment import deployment_files

_SPEC = importlib.util.spec_from_file_location(
    "embact_tests_tflm", Path(__file__).parent / "tflm_api" / "running.py"
)
tflm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tflm)


@pytest.fixture(scope="module")
def custom(tmp_path_factory):
    asked = tflm.deployment("custom", tflm.CUSTOM, ("CONV_2D", "TANH"))
    return tflm.built(tflm.write(tmp_path_factory.mktemp("custom"), asked))


def test_register_all_adds_exactly_the_operators_of_the_model(custom):
    assert tflm.run(custom)[0] == (
        "register 0, 5 of 5: CONV_2D TANH embact_f1_s8 embact_f2_s16 embact_f3_s8"
    )


def test_custom_operators_compute_their_functions_at_each_of_their_quantisations(custom):
    said = tflm.run(
        custom,
        tflm.tensor(tflm.X, [1, 2, 3]),
        tflm.tensor(tflm.GATE, [0, 0, 0]),
        tflm.tensor(tflm.X, [0, 0, 0]),
        tflm.tensor(tflm.WIDE, [300, -300]),
        tflm.tensor(tflm.WIDE, [0, 0]),
        tflm.tensor(tflm.X, [1, 2, 3, 4], shape=(1, 4)),
        tflm.tensor(tflm.X, [0, 0], shape=(1, 2)),
        tflm.node("embact_f1_s8", [0], [1]),
        tflm.node("embact_f1_s8", [1], [2]),
        tflm.node("embact_f2_s16", [3], [4]),
        tflm.node("embact_f3_s8", [5], [6]),
    )
    assert said.count("invoke 0") == 8
    assert said.count("prepare 0, temporary 0") == 4
    assert (tflm.result(said, 1), tflm.result(said, 2)) == ("2 3 4", "3 4 5")
    assert tflm.result(said, 4) == " ".join(  # 302 and -298
        str(octet - 256 if octet > 127 else octet) for octet in struct.pack("<2h", 302, -298)
    )
    assert tflm.result(said, 6) == "4 5"
    assert not any(line.startswith(("log", "stock")) for line in said)


def test_tensors_without_elements_and_without_axes_are_taken(custom):
    said = tflm.run(
        custom,
        tflm.tensor(tflm.X, [], shape=(1, 0)),
        tflm.tensor(tflm.GATE, [], shape=(1, 0)),
        tflm.node("embact_f1_s8", [0], [1]),
    )
    assert said.count("invoke 0") == 2
    scalar = tflm.tensor(tflm.X, [7]).replace("ARENA 2 1 1", "ARENA 0")
    said = tflm.run(
        custom,
        scalar,
        tflm.tensor(tflm.GATE, [0]).replace("ARENA 2 1 1", "ARENA 0"),
        tflm.node("embact_f1_s8", [0], [1]),
    )
    assert tflm.result(said, 1) == "8"


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (
            tflm.tensor(tflm.NEXT_SCALE, [1]),
            tflm.tensor(tflm.GATE, [0]),
            "not made for this quantisation",
        ),
        (
            tflm.tensor(Grid(0.05, -2, 8), [1]),
            tflm.tensor(tflm.GATE, [0]),
            "not made for this quantisation",
        ),
        (
            tflm.tensor(tflm.X, [1]),
            tflm.tensor(Grid(1 / 256, -127, 8), [0]),
            "not made for this quantisation",
        ),
        (
            tflm.tensor(tflm.X, [1]),
            tflm.tensor(Grid(1 / 128, -128, 8), [0]),
            "not made for this quantisation",
        ),
        (tflm.tensor(tflm.X, [1]), tflm.tensor(tflm.X, [0]), "not made for this quantisation"),
        (
            tflm.tensor(tflm.WIDE, [1]),
            tflm.tensor(tflm.GATE, [0]),
            "its tensors are INT16 and INT8",
        ),
        (tflm.tensor(tflm.X, [1]), tflm.tensor(tflm.WIDE, [0]), "its tensors are INT8 and INT16"),
        (
            tflm.tensor(tflm.X, [1] * 4, shape=(1, 1), kind="float32"),
            tflm.tensor(tflm.GATE, [0]),
            "are FLOAT32",
        ),
        (tflm.tensor(tflm.X, [1, 2]), tflm.tensor(tflm.GATE, [0]), "2 inputs and 1 outputs"),
    ],
    ids=lambda value: "",
)
def test_custom_operators_refuse_what_they_were_not_proved_for(custom, source, target, words):
    said = tflm.run(custom, source, target, tflm.node("embact_f1_s8", [0], [1]))
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
        (
            tflm.tensor(tflm.X, [1] * 8, shape=(2, 4)),
            tflm.tensor(tflm.X, [0] * 8, shape=(2, 4)),
        ),  # no halving
        (
            tflm.tensor(tflm.X, [1] * 8, shape=(1, 8)),
            tflm.tensor(tflm.X, [0] * 4, shape=(1, 4)),
        ),  # rows of 4
        (
            tflm.tensor(tflm.X, [1] * 8, shape=(4, 2)),
            tflm.tensor(tflm.X, [0] * 4, shape=(2, 2)),
        ),  # another axis
    ],
)
def test_rows_of_another_length_are_refused(custom, source, target):
    said = tflm.run(custom, source, target, tflm.node("embact_f3_s8", [0], [1]))
    assert "prepare 1, temporary 0" in said
    fitting = tflm.run(
        custom,
        tflm.tensor(tflm.X, [1] * 8, shape=(2, 4)),
        tflm.tensor(tflm.X, [0] * 4, shape=(2, 2)),
        tflm.node("embact_f3_s8", [0], [1]),
    )
    assert tflm.result(fitting, 1) == "4 4 4 4"


def test_a_node_without_tensors_is_refused(custom):
    said = tflm.run(custom, tflm.tensor(tflm.X, [1]), tflm.node("embact_f1_s8", [], [0]))
    assert "prepare 1, temporary 0" in said
    said = tflm.run(custom, tflm.tensor(tflm.X, [1]), tflm.node("embact_f1_s8", [0], []))
    assert "prepare 1, temporary 0" in said


EDITS = {
    "zero points": ("one->input_zero_point != input.params.zero_point ||", ""),
    "scales": ("one->input_scale != BitsOf(input.params.scale) ||", ""),
    "output": ("one->output_scale != BitsOf(output.params.scale) ||", ""),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_control_a_check_left_out_lets_a_wrong_quantisation_pass(tmp_path, edit):
    broken = tflm.built(tflm.write(tmp_path, tflm.deployment("custom", tflm.CUSTOM[:1]), [edit]))
    pairs = [
        (tflm.tensor(Grid(0.05, -2, 8), [1]), tflm.tensor(tflm.GATE, [0])),
        (tflm.tensor(tflm.NEXT_SCALE, [1]), tflm.tensor(tflm.GATE, [0])),
        (tflm.tensor(tflm.X, [1]), tflm.tensor(Grid(1 / 128, -128, 8), [0])),
    ]
    passed = [
        "prepare 0, temporary 0" in tflm.run(broken, *pair, tflm.node("embact_f1_s8", [0], [1]))
        for pair in pairs
    ]
    assert passed.count(True) == 1


def test_routines_of_one_function_become_one_custom_operator_with_all_quantisations():
    again = dataclasses.replace(
        tflm.CUSTOM[0], specs=(QuantSpec(tflm.X, tflm.X),), builtin="LOGISTIC"
    )
    files = deployment_files(tflm.deployment("custom", [tflm.CUSTOM[0], again]))
    assert files["embact_tflm.cc"].count("TFLMRegistration Register_") == 1
    assert files["embact_tflm.cc"].count(f"{{{tflm.bits(0.05)}u, {tflm.bits(0.05)}u, -3, -3}}") == 1
    with pytest.raises(EmbactError, match="one name"):
        deployment_files(
            tflm.deployment("custom", [tflm.CUSTOM[0], dataclasses.replace(again, row_size=2)])
        )
