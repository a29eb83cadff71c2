"""Train, quantise and check the packaged sample models, so that embact/data has a source.

Three TFLite files and one test split are made from scikit-learn's digits (real 8x8 handwriting).
Every file is checked before it replaces the old one; a failed check leaves the old files alone.
This script must not know embact: the samples are input to the tool, never a product of it.

Run it with `python tools/make_models.py`; it needs tensorflow and scikit-learn and takes
less than a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

SEED = 20240607
TEST_IMAGES = 450
PIXEL_MAX = 16
CLASSES = 10
MAX_TOTAL_BYTES = 300_000
DEFAULT_OUT = Path(__file__).resolve().parents[1] / "embact" / "data"
ACTIVATIONS = frozenset({"GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "TANH"})
PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn")

_RESOLVERS = tf.lite.experimental.OpResolverType
RESOLVERS = {"ref": _RESOLVERS.BUILTIN_REF, "default": _RESOLVERS.AUTO}
OPS_SETS = {
    8: tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    16: tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}
TENSOR_TYPES = {8: tf.int8, 16: tf.int16}


class SampleError(Exception):
    """A sample model is not what its recipe promises."""


class Split(NamedTuple):
    """One seeded, stratified split: pixels uint8 0..16 of shape (n, 8, 8, 1), labels uint8 0..9."""

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """What to build, and what the file must then show: `ops` in this order, `floor` accuracy."""

    file: str
    network: str
    bits: int
    ops: tuple[str, ...]
    floor: float
    max_bytes: int


@dataclass(frozen=True)
class Measurement:
    """What the interpreter said about one file, over the test split.

    Accuracies are fractions; `changed` counts decisions that differ from the float network's;
    `ties` counts images with two equal best logits; `split_codes` counts the output codes, of
    TEST_IMAGES * CLASSES, on which the two resolvers disagree, by at most `split_codes_max_lsb`.
    """

    recipe: Recipe
    size_bytes: int
    ops: tuple[str, ...]
    activations: tuple[str, ...]
    float_accuracy: float
    accuracy: dict[str, float]
    changed: dict[str, int]
    ties: int
    split_codes: int
    split_codes_max_lsb: int


RECIPES = (
    Recipe(
        file="digits_cnn_int8.tflite",
        network="cnn",
        bits=8,
        ops=("LOGISTIC", "MUL", "HARD_SWISH", "LEAKY_RELU", "GELU"),
        floor=0.96,
        max_bytes=40_000,
    ),
    Recipe(
        file="digits_mlp_int8.tflite",
        network="mlp",
        bits=8,
        ops=("LOGISTIC", "TANH"),
        floor=0.95,
        max_bytes=20_000,
    ),
    Recipe(
        file="digits_mlp_int16x8.tflite",
        network="mlp",
        bits=16,
        ops=("LOGISTIC", "TANH"),
        floor=0.95,
        max_bytes=20_000,
    ),
)


def digits_split() -> Split:
    """Return the split all files share; the pixels are the data set's own integers."""
    data = load_digits()
    pixels = data.images.astype(np.uint8)[..., np.newaxis]
    labels = data.target.astype(np.uint8)
    if not np.array_equal(pixels[..., 0], data.images) or pixels.max() != PIXEL_MAX:
        msg = f"digits: pixels are not integers 0..{PIXEL_MAX}: the uint8 form would not be exact"
        raise SampleError(msg)
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, labels, test_size=TEST_IMAGES, random_state=SEED, stratify=labels
    )
    return Split(x_train, y_train, x_test, y_test)


def real(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels / 16 as float32 in [0, 1]; exact, since 16 is a power of two."""
    return (pixels / np.float32(PIXEL_MAX)).astype(np.float32)


def cnn(batch: int | None = None) -> keras.Model:
    """Return an untrained CNN in which four activations each stay an op of their own."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), batch_size=batch),
            layers.Conv2D(16, 3, padding="same"),
            layers.Activation("silu"),
            layers.Conv2D(24, 3, strides=2, padding="same"),
            layers.Activation("hard_silu"),
            layers.Conv2D(32, 3, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Flatten(),
            layers.Dense(32),
            layers.Activation("gelu"),
            layers.Dropout(0.2),
            layers.Dense(CLASSES),
        ]
    )


def mlp(batch: int | None = None) -> keras.Model:
    """Return an untrained multilayer perceptron with sigmoid and tanh."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), batch_size=batch),
            layers.Flatten(),
            layers.Dense(64, activation="sigmoid"),
            layers.Dense(48, activation="tanh"),
            layers.Dropout(0.2),
            layers.Dense(CLASSES),
        ]
    )


NETWORKS: dict[str, Callable[..., Any]] = {"cnn": cnn, "mlp": mlp}
EPOCHS = {"cnn": 40, "mlp": 80}


def train(network: str, split: Split) -> keras.Model:
    """Return the trained network; the seed is set anew, so the order of calls has no effect."""
    keras.utils.set_random_seed(SEED)
    model = NETWORKS[network]()
    steps = EPOCHS[network] * -(-len(split.x_train) // 32)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(real(split.x_train), split.y_train, batch_size=32, epochs=EPOCHS[network], verbose=0)
    return model


def quantise(network: str, model: keras.Model, x_train: NDArray[Any], bits: int) -> bytes:
    """Return the TFLite file: batch 1, all tensors integer, calibrated on the training split."""
    # A free batch dimension would add SHAPE, STRIDED_SLICE and PACK before every RESHAPE.
    fixed = NETWORKS[network](batch=1)
    fixed.set_weights(model.get_weights())

    def calibration() -> Iterator[list[NDArray[Any]]]:
        for image in real(x_train):
            yield [image[np.newaxis]]

    converter = tf.lite.TFLiteConverter.from_keras_model(fixed)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [OPS_SETS[bits]]
    converter.inference_input_type = TENSOR_TYPES[bits]
    converter.inference_output_type = TENSOR_TYPES[bits]
    # The converter prints what it saved where; the report on stdout stays the same from run to run.
    with contextlib.redirect_stdout(sys.stderr):
        return bytes(converter.convert())


def interpreter(content: bytes, resolver: str) -> tf.lite.Interpreter:
    """Return an interpreter for the file, ready to run."""
    made = tf.lite.Interpreter(
        model_content=content, experimental_op_resolver_type=RESOLVERS[resolver], num_threads=1
    )
    made.allocate_tensors()
    return made


def output_codes(content: bytes, pixels: NDArray[Any], resolver: str) -> NDArray[Any]:
    """Return the integer logits, shape (n, 10), of the file on the images."""
    made = interpreter(content, resolver)
    source, sink = made.get_input_details()[0], made.get_output_details()[0]
    scale, zero_point = source["quantization"]
    limits = np.iinfo(source["dtype"])
    codes = np.clip(np.rint(real(pixels) / scale) + zero_point, limits.min, limits.max)
    rows = []
    for image in codes.astype(source["dtype"]):
        made.set_tensor(source["index"], image[np.newaxis])
        made.invoke()
        rows.append(made.get_tensor(sink["index"])[0])
    return np.stack(rows)


def op_list(made: tf.lite.Interpreter) -> list[dict[str, Any]]:
    """Return the ops in execution order; only the reference resolver shows them undelegated."""
    # The public Analyzer prints the ops as text only.
    return list(made._get_ops_details())  # noqa: SLF001


def activation_grids(made: tf.lite.Interpreter) -> tuple[str, ...]:
    """Return one line per activation op: its grids as (scale, zero point), input -> output."""
    tensors = {t["index"]: t for t in made.get_tensor_details()}

    def grid(index: int) -> str:
        scale, zero_point = tensors[index]["quantization"]
        return f"({scale:.9g}, {zero_point})"

    return tuple(
        f"{op['op_name']} {grid(op['inputs'][0])} -> {grid(op['outputs'][0])}"
        for op in op_list(made)
        if op["op_name"] in ACTIVATIONS
    )


def contains_in_order(names: Sequence[str], wanted: Sequence[str]) -> bool:
    """Tell whether `wanted` is a subsequence of `names`.

    >>> contains_in_order(["CONV_2D", "LOGISTIC", "MUL"], ["LOGISTIC", "MUL"])
    True
    >>> contains_in_order(["MUL", "LOGISTIC"], ["LOGISTIC", "MUL"])
    False
    """
    rest = iter(names)
    return all(name in rest for name in wanted)


def measure(recipe: Recipe, content: bytes, logits: NDArray[Any], split: Split) -> Measurement:
    """Return the measurement of one file against the float logits, shape (n, 10)."""
    made = interpreter(content, "ref")
    codes = {name: output_codes(content, split.x_test, name) for name in RESOLVERS}
    decisions = {name: c.argmax(axis=1) for name, c in codes.items()}
    gap = np.abs(codes["ref"].astype(np.int64) - codes["default"])
    best_two = np.sort(codes["ref"], axis=1)[:, -2:]
    return Measurement(
        recipe=recipe,
        size_bytes=len(content),
        ops=tuple(op["op_name"] for op in op_list(made)),
        activations=activation_grids(made),
        float_accuracy=float((logits.argmax(axis=1) == split.y_test).mean()),
        accuracy={k: float((d == split.y_test).mean()) for k, d in decisions.items()},
        changed={k: int((d != logits.argmax(axis=1)).sum()) for k, d in decisions.items()},
        ties=int((best_two[:, 0] == best_two[:, 1]).sum()),
        split_codes=int((gap > 0).sum()),
        split_codes_max_lsb=int(gap.max()),
    )


def failures(measured: Measurement, content: bytes) -> list[str]:
    """Return what the file lacks, one sentence each; an empty list means it is as promised."""
    recipe, found = measured.recipe, []
    if not contains_in_order(measured.ops, recipe.ops):
        found.append(f"ops are {', '.join(measured.ops)}; want in order {', '.join(recipe.ops)}")
    floats = [
        t["name"]
        for t in interpreter(content, "ref").get_tensor_details()
        if np.issubdtype(t["dtype"], np.floating)
    ]
    if floats:
        found.append(f"tensors {', '.join(floats)} are float; want integer tensors only")
    made = interpreter(content, "ref")
    want = np.dtype(f"int{recipe.bits}")
    found += [
        f"tensor {t['name']} is {np.dtype(t['dtype'])}; want {want}"
        for t in (*made.get_input_details(), *made.get_output_details())
        if t["dtype"] != want
    ]
    found += [
        f"accuracy with the {name} resolver is {got:.4f}; want >= {recipe.floor}"
        for name, got in measured.accuracy.items()
        if got < recipe.floor
    ]
    if measured.size_bytes > recipe.max_bytes:
        found.append(f"{measured.size_bytes} bytes; want <= {recipe.max_bytes}")
    return [f"{recipe.file}: {sentence}" for sentence in found]


def report(measured: Measurement) -> str:
    """Return the measurement as text."""
    lines = [
        f"{measured.recipe.file}: {measured.size_bytes} bytes",
        f"  ops       {', '.join(measured.ops)}",
        *(f"  grid      {line}" for line in measured.activations),
        f"  accuracy  float {measured.float_accuracy:.4f}",
        *(
            f"  accuracy  {name} {measured.accuracy[name]:.4f}, "
            f"{measured.changed[name]} decisions differ from float"
            for name in RESOLVERS
        ),
        f"  codes     {measured.split_codes} of {TEST_IMAGES * CLASSES} differ between resolvers",
        f"  codes     {measured.split_codes_max_lsb} LSB at most between resolvers",
        f"  ties      {measured.ties} images have two equal best logits (ref)",
    ]
    return "\n".join(lines)


def readme(results: Sequence[Measurement], sizes: dict[str, int], train_images: int) -> str:
    """Return the text of README.md, which states only what this run measured."""
    packages = (f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    versions = ", ".join((f"Python {platform.python_version()}", *packages))
    rows = "\n".join(
        f"| `{m.recipe.file}` | {m.size_bytes} | {m.float_accuracy:.2%} "
        f"| {m.accuracy['ref']:.2%} ({m.changed['ref']}) "
        f"| {m.accuracy['default']:.2%} ({m.changed['default']}) "
        f"| {m.split_codes} (max {m.split_codes_max_lsb}) |"
        for m in results
    )
    details = "\n\n".join(
        f"`{m.recipe.file}`: {', '.join(m.ops)}\n\n"
        + "\n".join(f"- {line}" for line in m.activations)
        for m in results
    )
    return f"""\
# Sample models

Written by `python tools/make_models.py`; do not edit by hand.

- `digits_cnn_int8.tflite`: a CNN with SiLU (LOGISTIC and MUL), hard-swish, leaky ReLU and GELU;
  int8 activations and weights.
- `digits_mlp_int8.tflite`: a multilayer perceptron with sigmoid and tanh; int8 activations and
  weights.
- `digits_mlp_int16x8.tflite`: the same trained perceptron with int16 activations, int8 weights.
- `digits_test.npz` ({sizes["digits_test.npz"]} bytes): the test split. `x` is uint8 0..16 of
  shape ({TEST_IMAGES}, 8, 8, 1), `x_scale` is float32 1/16, real input = x * x_scale; `y` is the
  uint8 label.

Inputs and outputs are integers, the batch is 1, and the ten outputs are logits. No tensor is float.

| file | bytes | float | reference resolver | default resolver | codes that differ |
|---|---|---|---|---|---|
{rows}

Accuracy on the {TEST_IMAGES} test images; in brackets, how many decisions differ from the float
network's. Last column: of {TEST_IMAGES * CLASSES} output codes, how many differ between the
reference and the default kernels of TensorFlow, and by how many LSB at most.

## Ops and grids

Grids are (scale, zero point), input -> output.

{details}

## Recipe

Fixed seeds, deterministic ops, one thread; trained and calibrated on the other
{train_images} images. Two runs on one machine give the same bytes. Another CPU or version may round
differently in training and then gives other weights. Made with:

{versions}.

## Data

scikit-learn's copy (`load_digits`) of the test set of "Optical Recognition of Handwritten Digits",
E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49,
licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Changes made here: split in two,
and stored as uint8. All images come from that test set, so writers of training and test images
may be the same: read the accuracies as a check of the quantisation, not as a benchmark.

## Costs of TFLM

`tflm_costs.json` is not written by that program. It has the instructions that the kernels of TFLite
Micro execute for an element, by operator, type and core, for `embact sites` and the report of
`embact convert`. Each kernel was compiled from the commits that the file names, prepared, and
invoked on 1024 and on 2048 elements with all input codes equally often; the difference was counted
on an emulator. Cores with a floating point unit were counted with it. Inputs have the scale 0.047
(int8) or 0.00018 (int16), both +-6: at other scales some kernels take other branches. Of ADD, MUL,
MINIMUM, MAXIMUM and SOFTMAX there are CMSIS-NN's kernels, too, which count where they are. null is
what was not counted, and `refused` what TFLM did not run.

`layer_costs.json` is written by `python tools/layer_costs.py`: the instructions of one row of our
softmax, log_softmax, PReLU by channel and gated units, for rows of `sizes` elements, on every core.
Between these sizes `embact sites` takes a straight line; `worst` is how far that was off, relative,
for other sizes that were counted: vectors make steps, which lines do not have.
"""


def make_all(out: Path) -> list[str]:
    """Make every file in `out` if all checks pass; otherwise write nothing, return the failures."""
    split = digits_split()
    models = {name: train(name, split) for name in NETWORKS}
    logits = {name: model(real(split.x_test)).numpy() for name, model in models.items()}
    out.mkdir(parents=True, exist_ok=True)
    # Inside `out`, so that os.replace stays within one file system.
    with tempfile.TemporaryDirectory(dir=out, prefix=".make_models-") as name:
        stage, results, failed = Path(name), [], []
        for recipe in RECIPES:
            path = stage / recipe.file
            path.write_bytes(
                quantise(recipe.network, models[recipe.network], split.x_train, recipe.bits)
            )
            content = path.read_bytes()
            measured = measure(recipe, content, logits[recipe.network], split)
            print(report(measured))
            results.append(measured)
            failed += failures(measured, content)
        # numpy stamps zip members 1980-01-01, so equal arrays give equal bytes.
        np.savez_compressed(
            stage / "digits_test.npz",
            x=split.x_test,
            x_scale=np.float32(1 / PIXEL_MAX),
            y=split.y_test,
        )
        sizes = {path.name: path.stat().st_size for path in stage.iterdir()}
        (stage / "README.md").write_text(
            readme(results, sizes, len(split.x_train)), encoding="utf-8"
        )
        written = sorted(stage.iterdir())
        total = sum(path.stat().st_size for path in written)
        print(f"{len(written)} files, {total} bytes")
        if total > MAX_TOTAL_BYTES:
            failed.append(f"all files: {total} bytes; want <= {MAX_TOTAL_BYTES}")
        if not failed:
            for path in written:
                os.replace(path, out / path.name)  # noqa: PTH105 -- the atomic call, by its name.
                print(f"wrote {path.name}")
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; return 0 if the files were written, 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="default: %(default)s")
    args = parser.parse_args(argv)
    tf.config.experimental.enable_op_determinism()
    # Deterministic ops still sum in an order that depends on the number of threads.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        failed = make_all(args.out)
    except SampleError as error:
        failed = [str(error)]
    for sentence in failed:
        print(f"make_models: {sentence}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
