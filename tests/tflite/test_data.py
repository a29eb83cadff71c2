"""Test data: what x means is stated or refused, and what does not fit the model is refused."""

from __future__ import annotations

import numpy as np
import pytest

from embact.errors import EmbactError
from embact.sources import data_file
from embact.tflite.host.data import data_of, input_ports, load_data, random_data

TEST_SPLIT = data_file("digits_test.npz")


def codes(model, **arrays):
    return data_of(arrays, model).inputs[0].tolist()


def test_real_values_scaled_integers_and_codes_are_told_apart(build):
    model = build.one_op("TANH", elements=3)  # scale 0.05, zero point 0, int8
    assert codes(model, x=np.array([[0.1, -0.076, 99.0]])) == [[2, -2, 127]]
    assert codes(model, x=np.array([[1, 2, 3]], np.uint8), x_scale=np.float32(0.1)) == [[2, 4, 6]]
    assert codes(model, x=np.array([[1, 2, 3]], np.int8), x_scale=0.1) == [[2, 4, 6]]
    assert codes(model, x=np.array([[1, 2, 3]], np.int8)) == [[1, 2, 3]]


def test_ties_are_quantised_away_from_zero(build):
    tensors = [build.Tensor("t", scale=(0.5,), zero_point=-3, shape=(1, 4))]
    model = build.model_of(tensors, [], [0], [0])
    assert codes(model, x=np.array([[0.25, -0.25, 0.75, 0.0]])) == [[-2, -4, -1, -3]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 3), np.int32)}, "meaning of x.*int32.*x_scale"),
        ({"x": np.zeros((2, 3), np.uint8)}, "meaning of x.*uint8.*codes in int8"),
        ({"x": np.zeros((2, 3)), "x_scale": 0.1}, "meaning of x.*float64 with x_scale"),
        ({"x": np.zeros((2, 3), "U1")}, "meaning of x"),
        ({"x": np.zeros((2, 4))}, r"shape of x: got \(2, 4\); allowed: \(samples, 3\)"),
        ({"x": np.zeros(3)}, "shape of x"),
        ({"x": np.zeros(())}, "shape of x"),
        ({"x": np.zeros((0, 3))}, "number of samples.*at least 1"),
        ({"y": np.zeros(3)}, "without the array x: got y"),
        ({}, "without the array x"),
        ({"x": np.full((2, 3), np.nan)}, "values of x"),
        ({"x": np.full((2, 3), -np.inf)}, "values of x"),
        ({"x": np.zeros((2, 3), int), "x_scale": 0.0}, "x_scale"),
        ({"x": np.zeros((2, 3), int), "x_scale": np.ones(3)}, "x_scale"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(3, int)}, "labels y"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(2)}, "labels y: got float64"),
        ({"x": np.zeros((2, 3)), "y": np.zeros((3, 2))}, r"labels y.*floats of shape \(2, 3\)"),
        ({"x": np.zeros((2, 3)), "y": np.zeros((2, 3), int)}, "labels y: got int"),
        ({"x": np.zeros((2, 3)), "y": np.zeros((2, 3), bool)}, "labels y: got bool"),
        ({"x": np.zeros((2, 3)), "y": np.full((2, 3), np.nan)}, "values of y: got nan or inf"),
        ({"x_train": np.zeros((2, 3))}, "without the array x: got x_train"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(build, tmp_path, arrays, message):
    model = build.one_op("TANH", elements=3)
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(EmbactError, match=message) as error:
        load_data(tmp_path / "d.npz", model)
    assert "\n" not in str(error.value)
    assert "d.npz" in str(error.value)


def test_y_holds_labels_if_integers_and_targets_if_floats(build):
    model = build.one_op("TANH", elements=3)
    labelled = data_of({"x": np.zeros((2, 3)), "y": np.array([2, 0], np.uint8)}, model)
    assert (labelled.labels.tolist(), labelled.targets) == ([2, 0], None)
    targets = np.arange(6, dtype=np.float32).reshape(2, 3)
    aimed = data_of({"x": np.zeros((2, 3)), "y": targets}, model)
    assert aimed.labels is None
    assert (aimed.targets.dtype, aimed.targets.tolist()) == (np.float64, targets.tolist())
    one = build.one_op("TANH", elements=1)
    flat = data_of({"x": np.zeros((4, 1)), "y": np.zeros(4)}, one)
    assert flat.targets.shape == (4, 1), "one number for each sample is clear"


def test_a_model_without_outputs_has_no_targets(build):
    model = build.model_of([build.Tensor("t", shape=(1, 2))], [], [0], [])
    with pytest.raises(EmbactError, match="without output elements cannot be evaluated"):
        data_of({"x": np.zeros((1, 2)), "y": np.zeros(1)}, model)


def test_files_that_are_no_npz_are_refused(build, tmp_path):
    model = build.one_op("TANH", elements=3)
    np.save(tmp_path / "one.npy", np.zeros((2, 3)))
    (tmp_path / "text.npz").write_text("x, y")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(TEST_SPLIT.read_bytes()[:500])
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    names = ("one.npy", "text.npz", "empty.npz", "cut.npz", "objects.npz", "none.npz")
    for name in names:
        with pytest.raises(EmbactError, match=r"\.npz") as error:
            load_data(tmp_path / name, model)
        assert "\n" not in str(error.value)


def test_real_values_need_an_input_with_a_scale(build):
    tensors = [build.Tensor("t", "INT32", (), shape=(1, 2))]
    model = build.model_of(tensors, [], [0], [0])
    with pytest.raises(EmbactError, match="without a scale"):
        data_of({"x": np.zeros((1, 2))}, model)
    assert codes(model, x=np.array([[7, 9]], np.int32)) == [[7, 9]]


@pytest.mark.parametrize(
    ("tensors", "inputs", "message"),
    [
        ([{"dtype": "STRING", "scale": ()}], [0], "a string tensor"),
        ([{"shape": (1, 0)}], [0], "without input elements"),
        ([{}], [], "without input elements"),
        ([{"shape": (1, 4)}, {"shape": (2, 4)}], [0, 1], "batch sizes"),
    ],
)
def test_models_whose_inputs_cannot_be_filled_are_refused(build, tensors, inputs, message):
    made = [build.Tensor(str(i), **fields) for i, fields in enumerate(tensors)]
    with pytest.raises(EmbactError, match=message):
        input_ports(build.model_of(made, [], inputs, [0]))


def test_random_data_covers_all_codes_of_every_kind_of_input(build):
    kinds = ("INT8", "UINT8", "INT16", "INT32", "BOOL", "FLOAT32")
    tensors = [build.Tensor(kind, kind, (), shape=(1, 500)) for kind in kinds]
    model = build.model_of(tensors, [], range(len(kinds)), [0])
    data = random_data(model, 9, seed=4)
    assert [str(array.dtype) for array in data.inputs] == [kind.lower() for kind in kinds]
    assert {array.shape for array in data.inputs} == {(9, 500)}
    assert (data.inputs[0].min(), data.inputs[0].max()) == (-128, 127)
    again = random_data(model, 9, seed=4)
    assert all(map(np.array_equal, data.inputs, again.inputs))
