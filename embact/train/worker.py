"""The child process that runs TensorFlow's converter.

``python -m embact.train.worker JOBFILE`` reads a Job (JSON) and writes the model and a Result, or a
Refusal (JSON). Every network is given the batch that the data has, saved again and converted from
there, so that Keras models and SavedModels go one way. This module must not know kernels.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from embact.errors import EmbactError
from embact.train.samples import Input, load_arrays, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DTYPES = {"int8": "int8", "int16x8": "int16"}
"""What can be asked for, and the type of the inputs and outputs."""

SIGNATURE = "serving_default"


class Job(msgspec.Struct, frozen=True):
    """What to convert. where, data_where: the network's and the data's names in messages."""

    network: str
    where: str
    data: str
    data_where: str
    dtype: str
    samples: int
    float_operators: bool
    out: str
    result: str


class Result(msgspec.Struct, frozen=True, tag=True):
    """How many samples the converter saw, and the inputs in the order of the data.

    inputs: the network's names. names: those in the signature of the model.
    """

    inputs: list[str]
    names: list[str]
    samples: int


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """The parts of an EmbactError."""

    what: str
    got: str | None
    allowed: str
    where: str


@dataclass(frozen=True)
class Network:
    """A network in memory.

    save: writes it to a folder as a SavedModel whose inputs are TensorSpecs, in the same order.
    """

    inputs: tuple[Input, ...]
    save: Callable[[str, list[Any]], None]


def network_of(path: Path, where: str) -> Network:
    """Return the network in a file or folder; raises EmbactError if it is none or needs code."""
    return _saved_model(path, where) if path.is_dir() else _keras_model(path, where)


def _keras_model(path: Path, where: str) -> Network:
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # it raises many kinds
        raise _unreadable(str(error), where) from error

    inputs = tuple(
        Input(str(one.name), tuple(one.shape), keras.backend.standardize_dtype(one.dtype))
        for one in model.inputs
    )

    def call(*tensors: Any) -> Any:
        return model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)

    def save(folder: str, specs: list[Any]) -> None:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(SIGNATURE, call, input_signature=specs)
        archive.write_out(folder, verbose=False)

    return Network(inputs, save)


def _unreadable(said: str, where: str) -> EmbactError:
    """Return the error for a model that Keras does not load."""
    saved = "a SavedModel of it: model.export(DIR)"
    if "Lambda" in said and ("safe_mode" in said or "unsafe" in said):
        what = "the network has a Lambda layer, whose Python code is not run"
        return EmbactError(what, allowed=saved, where=where)
    found = re.search(r"(?:Could not locate \w+|Unknown \w+:?)\s+'?([\w.>]+)", said)
    if found:
        what = "the network has a class or function of its own (custom_objects)"
        return EmbactError(what, got=found[1], allowed=saved, where=where)
    return EmbactError(
        "Keras cannot read the network", got=_first_line(said), allowed=saved, where=where
    )


def _saved_model(path: Path, where: str) -> Network:
    import tensorflow as tf

    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        allowed = "the folder of a SavedModel (saved_model.pb)"
        raise EmbactError("no trained network", got="another folder", allowed=allowed, where=where)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # likewise
        raise EmbactError(
            "TensorFlow cannot read the SavedModel", got=_first_line(str(error)), where=where
        ) from error
    signatures = dict(loaded.signatures)
    names = [SIGNATURE] if SIGNATURE in signatures else list(signatures)
    if len(names) != 1:
        got = ", ".join(names) or "none"
        raise EmbactError("signatures", got=got, allowed=f"one, or {SIGNATURE}", where=where)
    function = signatures[names[0]]
    specs = function.structured_input_signature[1]
    inputs = tuple(
        Input(name, tuple(spec.shape.as_list()), spec.dtype.name) for name, spec in specs.items()
    )

    def save(folder: str, wanted: list[Any]) -> None:
        module = tf.Module()
        module.loaded = loaded
        module.call = tf.function(
            lambda *tensors: function(**dict(zip(specs, tensors, strict=True))), autograph=False
        )
        concrete = module.call.get_concrete_function(*wanted)
        tf.saved_model.save(module, folder, signatures={SIGNATURE: concrete})

    return Network(inputs, save)


def convert(network: Network, job: Job) -> tuple[bytes, int]:
    """Return the TFLite file and how many samples it was calibrated with."""
    import tensorflow as tf

    if not network.inputs:
        raise EmbactError("a network without inputs cannot be calibrated", where=job.where)
    arrays = load_arrays(Path(job.data))
    samples = samples_of(arrays, network.inputs, job.samples, job.data_where)
    batch = network.inputs[0].batch
    names = _names(network.inputs)
    specs = [
        tf.TensorSpec((batch, *array.shape[1:]), array.dtype, name=name)
        for name, array in zip(names, samples, strict=True)
    ]

    def calibration() -> Iterator[dict[str, Any]]:
        for start in range(0, len(samples[0]), batch):
            yield {
                name: array[start : start + batch]
                for name, array in zip(names, samples, strict=True)
            }

    with tempfile.TemporaryDirectory() as folder:
        network.save(folder, specs)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = _operator_sets(job)
        kind = getattr(tf, DTYPES[job.dtype])
        converter.inference_input_type = converter.inference_output_type = kind
        try:
            return bytes(converter.convert()), len(samples[0])
        except Exception as error:  # it raises many kinds
            raise _refused(str(error), job) from error


def _names(inputs: tuple[Input, ...]) -> list[str]:
    """Return distinct names for the inputs that a signature can have."""
    safe = [re.sub(r"\W", "_", one.name, flags=re.ASCII) for one in inputs]
    if len(safe) == 1:
        return [safe[0] if safe[0].isidentifier() else "x"]
    return [f"x{number}_{name}" for number, name in enumerate(safe)]


def _operator_sets(job: Job) -> list[Any]:
    import tensorflow as tf

    sets = tf.lite.OpsSet
    chosen = {
        "int8": sets.TFLITE_BUILTINS_INT8,
        "int16x8": sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
    }
    return [chosen[job.dtype], *([sets.TFLITE_BUILTINS] if job.float_operators else [])]


def _refused(said: str, job: Job) -> EmbactError:
    """Return the error for what the converter says when it refuses."""
    if found := re.search(r"not yet supported for op: '?(\w+)", said):
        return EmbactError(
            f"TensorFlow's converter has no {DTYPES[job.dtype]} form of an operator",
            got=found[1],
            allowed="--dtype int8, --float-operators, or another activation: see `embact list`",
            where=job.where,
        )
    if found := re.search(r"(?:Flex|Custom|Select) ops: ([\w, .]+)", said):
        return EmbactError(
            "TensorFlow's converter has no TFLite operator for it",
            got=found[1].strip(),
            allowed="another activation or layer: see `embact list`",
            where=job.where,
        )
    return EmbactError("TensorFlow's converter refuses", got=_first_line(said), where=job.where)


def _first_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason"


def main(job_file: str) -> int:
    """Do the job of a file; returns the exit status."""
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    result: Result | Refusal
    try:
        network = network_of(Path(job.network), job.where)
        content, count = convert(network, job)
        Path(job.out).write_bytes(content)
        result = Result([one.name for one in network.inputs], _names(network.inputs), count)
    except EmbactError as error:
        got = None if error.got is None else str(error.got)
        result = Refusal(error.what, got, error.allowed, error.where)
    Path(job.result).write_bytes(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main(sys.argv[1]))
