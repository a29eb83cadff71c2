"""The TFLM glue overrides nodes that it knows, and falls back to the stock kernel for others."""

import importlib.util
from pathlib import Path

import pytest

from embact.grid import Grid

_SPEC = importlib.util.spec_from_file_location(
    "embact_tests_tflm", Path(__file__).parent / "tflm_api" / "running.py"
)
tflm = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tflm)


@pytest.fixture(scope="module")
def override(tmp_path_factory):
    asked = tflm.deployment("override", tflm.OVERRIDES, tflm.STOCK)
    return tflm.built(tflm.write(tmp_path_factory.mktemp("override"), asked))


def test_register_all_adds_exactly_the_operators_of_the_model(override):
    assert tflm.run(override)[0] == f"register 0, 8 of 8: {' '.join(tflm.STOCK)}"


def test_known_nodes_are_overridden_and_others_run_the_stock_kernel_with_its_own_state(override):
    other = Grid(0.06, -3, 8)
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1]),
        tflm.tensor(tflm.GATE, [0]),
        tflm.tensor(other, [1]),
        *[tflm.tensor(tflm.GATE, [0])] * 3,
        tflm.node("LOGISTIC", [0], [1]),
        tflm.node("LOGISTIC", [2], [3]),
        tflm.node("LOGISTIC", [1], [4]),
        tflm.node("TANH", [2], [5]),
    )
    assert (tflm.result(said, 1), tflm.result(said, 3), tflm.result(said, 4)) == ("6", "101", "12")
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
    other = tflm.tensor(Grid(0.06, 0, 8), [1])
    said = tflm.run(override, other, tflm.tensor(tflm.GATE, [0]), tflm.node("EXP", [0], [1]))
    assert tflm.result(said, 1) == "101"
    said = tflm.run(
        override, tflm.tensor(tflm.X, [1]), tflm.tensor(tflm.GATE, [0]), tflm.node("EXP", [0], [1])
    )
    assert tflm.result(said, 1) == "8"


def test_alpha_and_beta_are_part_of_what_makes_a_node_known(override):
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1]),
        *[tflm.tensor(tflm.GATE, [0])] * 3,
        tflm.node("LEAKY_RELU", [0], [1], 0.1),
        tflm.node("LEAKY_RELU", [0], [2], 0.2),
        tflm.node("LEAKY_RELU", [0], [3], 0.3),
    )
    assert [tflm.result(said, i) for i in (1, 2, 3)] == ["2", "5", "101"]
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1, 1, 1]),
        *[tflm.tensor(tflm.GATE, [0, 0, 0])] * 2,
        tflm.node("SOFTMAX", [0], [1], 1.0),
        tflm.node("SOFTMAX", [0], [2], 0.5),
    )
    assert [tflm.result(said, i) for i in (1, 2)] == ["3 3 3", "101 101 101"]


@pytest.mark.parametrize("shape", [(3, 1), (1, 3, 1), (3, 2), (1, 6)])
def test_softmax_of_rows_of_another_length_is_left_to_the_stock_kernel(override, shape):
    count = 6 if shape[-1] in {2, 6} else 3
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1] * count, shape=shape),
        tflm.tensor(tflm.GATE, [0] * count, shape=shape),
        tflm.node("SOFTMAX", [0], [1], 1.0),
    )
    assert tflm.result(said, 1) == " ".join(["101"] * count)


def test_a_log_softmax_proved_for_rows_of_one_is_for_no_others(override):
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1, 1]),
        tflm.tensor(tflm.GATE, [0, 0]),
        tflm.node("LOG_SOFTMAX", [0], [1]),
    )
    assert tflm.result(said, 1) == "101 101"
    column = {"shape": (2, 1)}
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1, 1], **column),
        tflm.tensor(tflm.GATE, [0, 0], **column),
        tflm.node("LOG_SOFTMAX", [0], [1]),
    )
    assert tflm.result(said, 1) == "9 9"


SLOPE = tflm.SLOPES.slopes_grid


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [
        (tflm.tensor(SLOPE, [1, -1, -128], const=True), "4 4 4"),
        (tflm.tensor(SLOPE, [1, -1, -127], const=True), "101 101 101"),
        (tflm.tensor(SLOPE, [1, -1, -128], const=False), "101 101 101"),
        (tflm.tensor(Grid(0.02, 2, 8), [1, -1, -128], const=True), "101 101 101"),
        (tflm.tensor(Grid(0.01, 1, 8), [1, -1, -128], const=True), "101 101 101"),
        (tflm.tensor(SLOPE, [1, -1], const=True), "101 101 101"),
        (tflm.tensor(SLOPE, [1, -1, -128], const=True, shape=(3, 1)), "101 101 101"),
    ],
    ids=["same", "another", "no constant", "scale", "zero point", "fewer", "other axis"],
)
def test_prelu_is_overridden_for_exactly_its_slopes(override, slopes, expected):
    said = tflm.run(
        override,
        tflm.tensor(tflm.X, [1, 1, 1]),
        slopes,
        tflm.tensor(tflm.GATE, [0, 0, 0]),
        tflm.node("PRELU", [0, 1], [2]),
    )
    assert tflm.result(said, 2) == expected
    assert "prepare 0, temporary 0" in said


def test_an_arena_that_is_too_small_is_an_error_and_no_crash(override):
    lines = tflm.tensor(tflm.X, [1]), tflm.tensor(tflm.GATE, [0]), tflm.node("LOGISTIC", [0], [1])
    said = tflm.run(override, "memory 0", *lines)
    assert "log embact: the arena is too small." in said
    assert "prepare 1, temporary 0" in said
    assert "prepare 0, temporary 0" in tflm.run(override, "memory 1", *lines)


def test_control_state_that_is_mixed_up_is_seen(tmp_path):
    edit = (
        "  node->user_data = own->stock;\n  const TfLiteStatus status = stock()",
        "  const TfLiteStatus status = stock()",
    )
    broken = tflm.built(
        tflm.write(
            tmp_path, tflm.deployment("override", tflm.OVERRIDES[4:5], ("LOGISTIC",)), [edit]
        )
    )
    said = tflm.run(
        broken,
        tflm.tensor(Grid(0.06, 0, 8), [1]),
        tflm.tensor(tflm.GATE, [0]),
        tflm.node("LOGISTIC", [0], [1]),
    )
    assert "stock LOGISTIC eval: not its own state" in said
