"""A trained network to a TFLite model of integers: TensorFlow's converter, checked.

The converter runs in a process of its own (``embact.train.worker``): it takes seconds to load,
prints much, and ends the process on some networks. This module must not know the command line.
"""

from __future__ import annotations

import copy
import importlib.util
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from embact.errors import CheckFailed, EmbactError
from embact.run.child import ending, run_child
from embact.tflite.model import builtin_code, items, names_of, pack, parse, text
from embact.train.worker import DTYPES, Job, Refusal, Result

if TYPE_CHECKING:
    from embact.tflite.model import Model, Tree

SAMPLES = 500
TIMEOUT_S = 600.0
SUFFIXES = (".keras", ".h5")
AROUND = {"QUANTIZE", "DEQUANTIZE"}
FLOATS = {"FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16"}


@dataclass(frozen=True)
class Asked:
    """What to quantise, and how.

    network: a Keras file or the folder of a SavedModel. data: an .npz file of real inputs. dtype:
    int8, or int16x8: int16 activations and int8 weights. samples: at most that many are used.
    float_operators: leave in float what the converter cannot do in integers; for int8 it does so
    unasked where it has a float form.
    """

    network: Path
    data: Path
    dtype: str = "int8"
    samples: int = SAMPLES
    float_operators: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise EmbactError("dtype", got=repr(self.dtype), allowed=", ".join(DTYPES))
        if self.samples < 1:
            raise EmbactError("samples", got=self.samples, allowed=">= 1")


@dataclass(frozen=True)
class Quantised:
    """A model that the converter wrote.

    inputs: their names in the order of the data's x0, x1, ... samples: how many it was calibrated
    with. operators: how many of each there are, by name. in_float: those of them, but for QUANTIZE
    and DEQUANTIZE, that still compute in float.
    """

    model: Model
    inputs: tuple[str, ...]
    samples: int
    operators: dict[str, int]
    in_float: dict[str, int]


def quantise(asked: Asked, timeout_s: float = TIMEOUT_S) -> Quantised:
    """Return a trained network as a TFLite model with integer inputs, outputs and operators.

    Raises EmbactError if TensorFlow is not there, the network or the data cannot be read or do not
    fit, or the converter refuses; CheckFailed if the result's inputs or outputs are float.
    """
    network = asked.network
    where = str(network)
    if not (network.is_dir() or (network.is_file() and network.suffix in SUFFIXES)):
        kinds = f"a {' or '.join(SUFFIXES)} file, or the folder of a SavedModel"
        made = ", that it was made from" if network.suffix == ".tflite" else ""
        got = f"a {network.suffix or 'plain'} file" if network.is_file() else "nothing there"
        raise EmbactError("no trained network", got=got, allowed=kinds + made, where=where)
    if importlib.util.find_spec("tensorflow") is None:
        raise EmbactError(
            "quantising networks needs the package tensorflow",
            got="none installed",
            allowed='pip install "embact[train]"',
        )
    with tempfile.TemporaryDirectory(prefix="embact-") as folder:
        place = Path(folder).resolve()
        job = Job(
            network=str(network.resolve()),
            where=where,
            data=str(asked.data.resolve()),
            data_where=str(asked.data),
            dtype=asked.dtype,
            samples=asked.samples,
            float_operators=asked.float_operators,
            out=str(place / "model.tflite"),
            result=str(place / "result.json"),
        )
        done = _run(job, place, timeout_s)
        model = _ordered(parse((place / "model.tflite").read_bytes(), where), done.names)
    result = Quantised(model, tuple(done.inputs), done.samples, *_operators(model))
    _check_ends(model, asked.dtype)
    return result


def _run(job: Job, place: Path, timeout_s: float) -> Result:
    """Run the child; raises EmbactError with what it refused, or how it ended."""
    file = place / "job.json"
    file.write_bytes(msgspec.json.encode(job))
    ended = run_child("embact.train.worker", file, timeout_s)
    if ended is None:
        raise EmbactError(
            "the converter took too long",
            got=f"{timeout_s:g} s",
            allowed="--timeout S",
            where=job.where,
        )
    written = Path(job.result)
    if ended.returncode < 0:
        allowed = "a network without loops, such as recurrent layers with unroll=True"
        raise EmbactError(
            "TensorFlow's converter crashed", got=ending(ended), allowed=allowed, where=job.where
        )
    if ended.returncode != 0 or not written.is_file():
        raise EmbactError("the converter ended", got=ending(ended), where=job.where)
    result = msgspec.json.decode(written.read_bytes(), type=Result | Refusal)
    if isinstance(result, Refusal):
        raise EmbactError(result.what, got=result.got, allowed=result.allowed, where=result.where)
    return result


def _ordered(model: Model, names: list[str]) -> Model:
    """Return the model with its inputs in the order of the data; the converter has its own."""
    graph = model.tree.subgraphs[0]
    if len(names) == 1:
        return model
    signature = items(model.tree.signatureDefs)[0]
    places = {text(one.name): one.tensorIndex for one in signature.inputs}
    wanted = [places.get(name) for name in names]
    if sorted(wanted, key=str) != sorted(items(graph.inputs), key=str):
        got = ", ".join(places)
        raise CheckFailed("inputs of the converted model", got=got, allowed=", ".join(names))
    tree = copy.copy(model.tree)
    tree.subgraphs = [copy.copy(graph), *model.tree.subgraphs[1:]]
    tree.subgraphs[0].inputs = wanted
    return parse(pack(tree), model.where)


def _operators(model: Model) -> tuple[dict[str, int], dict[str, int]]:
    """Return the operators of all subgraphs by name, and those among them that work on floats."""
    names, types = names_of("BuiltinOperator"), names_of("TensorType")
    every: Counter[str] = Counter()
    floats: Counter[str] = Counter()
    for graph in model.tree.subgraphs:
        for one in items(graph.operators):
            name = _name(model.tree.operatorCodes[one.opcodeIndex], names)
            every[name] += 1
            ends = [i for i in (*items(one.inputs), *items(one.outputs)) if i >= 0]
            # empty float tensors are how the converter marks what a fused LSTM lacks
            kinds = {types.get(graph.tensors[i].type, "?") for i in ends}
            floats[name] += bool(kinds & FLOATS) and name not in AROUND
    return dict(every), {name: count for name, count in floats.items() if count}


def _name(code: Tree, names: dict[int, str]) -> str:
    name = names.get(builtin_code(code), "?")
    return text(code.customCode) or name if name == "CUSTOM" else name


def _check_ends(model: Model, dtype: str) -> None:
    """Raise CheckFailed if a float goes into the model or comes out."""
    types = names_of("TensorType")
    graph = model.tree.subgraphs[0]
    for side, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in items(indices):
            kind = types.get(graph.tensors[index].type, "?")
            if kind in FLOATS:
                got = f"{kind.lower()}: {text(graph.tensors[index].name)}"
                raise CheckFailed(
                    f"an {side} of the converted model", got=got, allowed=dtype, where=model.where
                )
