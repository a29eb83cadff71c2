"""`embact eval`, run as a user runs it and judged by what it prints and its exit status."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embact.sources import data_file

CNN = data_file("digits_cnn_int8.tflite")
MLP = data_file("digits_mlp_int8.tflite")
DIGITS = data_file("digits_test.npz")


TABLES = ("--family", "lut")
"""Where it does not matter which kernels there are: found at once, and exact from int8."""


@pytest.fixture
def few(tmp_path):
    """A file with 20 of the packaged images and their labels."""
    with np.load(DIGITS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    cut = {name: array[:20] if array.ndim else array for name, array in arrays.items()}
    np.savez(tmp_path / "few.npz", **cut)
    return tmp_path / "few.npz"


def failed(done, status, *said):
    """Check that a call ended with a status and one line that says all that."""
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    for word in said:
        assert word in done.stderr


def test_every_site_is_listed_and_json_has_its_histogram(embact, few):
    done = embact("eval", CNN, "--data", few)
    assert done.returncode == 0, done.stderr
    for word in ("stock's error", "in the model", "LOGISTIC+MUL", "resolver reference", "top1"):
        assert word in done.stdout
    assert "weak" not in done.stdout
    found = json.loads(embact("eval", CNN, "--data", few, *TABLES, "--json").stdout)
    assert (found["metric"], found["sites"], found["observed_samples"]) == ("top1", 4, 20)
    assert [one["computes"] for one in found["per_site"]] == [
        *("silu", "hard_swish", "leaky_relu", "gelu")
    ]
    for one in found["per_site"]:
        assert sum(one["local"]["histogram"].values()) == one["local"]["codes"]
        assert one["kernel_error_codes"] == 0
    assert found["per_site"][0]["stock_error_codes"] == 1, "the stock SiLU rounds twice"
    assert found["random_data"] is False


def test_random_samples_are_called_weak_and_their_distinct_outputs_counted(embact):
    words = ("eval", CNN, "--random", "6", *TABLES, "--seed")
    shown = [embact(*words, seed).stdout for seed in "01"]
    for text in shown:
        assert "random: weak evidence, 6 distinct outputs for 6 samples" in text
    assert shown[0] != shown[1]


def test_the_oracle_is_named_and_brings_its_runtime(embact, few):
    pytest.importorskip("tflite_runtime", reason="its wheels end at CPython 3.11 on Linux")
    words = ("eval", MLP, "--data", few, "--resolver", "tflm-oracle", *TABLES)
    found = json.loads(embact(*words, "--json").stdout)
    assert found["resolver"] == "tflm-oracle"
    assert found["runtime"].startswith("tflite-runtime 2.14")
    failed(embact(*words, "--runtime", "litert"), 2, "tflm-oracle", "tflite-runtime")


def test_a_drop_beyond_its_limit_is_exit_status_1(embact):
    words = ("eval", CNN, "--data", DIGITS, "--family", "pwl", "--max-error", "32", "--max-drop")
    done = embact(*words, "0")
    failed(done, 1, "top1 fell too far", "percentage points", "at most 0")
    assert "top1 after" in done.stdout, "the report is printed in any case"
    assert embact(*words, "100").returncode == 0


def test_a_model_of_the_form_builtin_is_compared_with_what_it_was_made_from(embact, few):
    converted = embact("convert", MLP, "--out", "out", "--form", "builtin", *TABLES)
    assert converted.returncode == 0, converted.stderr
    words = ("eval", "out/digits_mlp_int8.tflite", "--data", few)
    assert "unknown: give the model it was made from" in embact(*words).stdout
    found = json.loads(embact(*words, "--stock", MLP, "--json").stdout)
    assert (found["sites"], found["max_difference"]) == (2, 0)
    assert [one["local"]["differing"] for one in found["per_site"]] == [0, 0]


def test_images_are_run_with_the_labels_of_their_folders(embact, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="pillow is an extra")
    with np.load(DIGITS) as stored:
        images, labels = stored["x"][:30], stored["y"][:30]
    scaled = np.rint(images.astype(float) * (255 / 16)).astype(np.uint8)
    for digit in range(10):
        (tmp_path / "images" / str(digit)).mkdir(parents=True)
    for number, (pixels, label) in enumerate(zip(scaled, labels, strict=True)):
        path = tmp_path / "images" / str(label) / f"{number:02}.png"
        image.fromarray(pixels.reshape(8, 8)).save(path)
    words = ("eval", CNN, "--data", "images", *TABLES)
    failed(embact(*words), 2, "--image-range")
    done = embact(*words, "--image-range", "0:1", "--json")
    found = json.loads(done.stdout)
    assert (found["samples"], found["metric"]) == (30, "top1")
    assert found["before"] > 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "few.npz", "--random", "3"), "samples: got both"),
        ((), "samples: got none"),
        (("--random", "0"), "number of random samples"),
        (("--random", "3", "--image-range", "0:1"), "--image-range"),
        (("--data", "few.npz", "--seed", "1"), "--seed"),
        (("--data", "few.npz", "--image-range", "0:1"), "--image-range"),
        (("--random", "3", "--max-drop", "-1"), "largest drop"),
        (("--random", "3", "--metric", "f1"), "unknown metric"),
        (("--random", "3", "--metric", "top1"), "without labels"),
        (("--random", "3", "--resolver", "fast"), "unknown resolver"),
        (("--random", "3", "--runtime", "tvm"), "unknown runtime"),
        (("--random", "3", "--timeout", "0"), "timeout in seconds"),
        (("--data", "none"), "cannot read the data"),
        (("--data", "nan.npz"), "values of x: got nan or inf"),
        (("--data", "far.npz"), "labels y: got 0..10; allowed: 0..9"),
        (("--data", "zero.npz"), "number of samples"),
        (("--data", "narrow.npz"), "shape of x"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(embact, few, words, said):
    folder, shape = few.parent, (2, 8, 8, 1)
    np.savez(folder / "nan.npz", x=np.full(shape, np.nan))
    np.savez(folder / "far.npz", x=np.zeros(shape), y=np.array([0, 10]))
    np.savez(folder / "zero.npz", x=np.zeros((0, 8, 8, 1)))
    np.savez(folder / "narrow.npz", x=np.zeros((2, 8, 7, 1)))
    failed(embact("eval", CNN, *TABLES, *words), 2, said)
