"""Test data: an .npz file, checked against a model's inputs and turned into their codes.

The file holds ``x``, and ``y`` if there is any: labels if its numbers are integers, targets for
output 0 if they are floats. What ``x`` means is never guessed:

- float x: real values, which are quantised to the model's input;
- integer x with ``x_scale``: real values x * x_scale, likewise;
- integer x without ``x_scale``: codes of the input tensor, in its own dtype.

A model with several inputs takes ``x0``, ``x1``, ... and ``x0_scale``, ... This module must not
know interpreters or kernels.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError
from embact.grid import round_half_away
from embact.tflite.model import items, names_of, shape_of, text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from embact.tflite.model import Model

DTYPES = {"float32", "int8", "uint8", "int16", "int32", "int64", "bool"}
"""What a model's inputs may be."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model. The first axis of its shape is the batch.

    scale: 0.0 if the tensor is not quantised; real = scale * (code - zero_point) otherwise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int

    @property
    def batch(self) -> int:
        """Samples per inference."""
        return self.shape[0] if self.shape else 1


@dataclass(frozen=True)
class Data:
    """Samples in the form that the model's inputs take.

    inputs: for each model input an array of shape (samples, ...). labels: integer y, of shape
    (samples,). targets: float y, of shape (samples, *shape of output 0 without its batch), finite.
    One of the two, or none, is there.
    """

    inputs: tuple[NDArray[Any], ...]
    labels: NDArray[np.int64] | None = None
    targets: NDArray[np.float64] | None = None

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.inputs[0])


def input_ports(model: Model) -> tuple[Port, ...]:
    """Return the model's inputs.

    Raises EmbactError if there is none, one is of a kind not handled, or their batches differ.
    """
    return _ports(model, "input", items(model.tree.subgraphs[0].inputs))


def output_ports(model: Model) -> tuple[Port, ...]:
    """Return the model's outputs; raises EmbactError if there is none or one is not handled."""
    return _ports(model, "output", items(model.tree.subgraphs[0].outputs))


def _ports(model: Model, side: str, indices: list[int]) -> tuple[Port, ...]:
    types = names_of("TensorType")
    ports = []
    for index in indices:
        tensor = model.tree.subgraphs[0].tensors[index]
        grid = tensor.quantization
        scales = [] if grid is None else items(grid.scale)
        zeros = [] if grid is None else items(grid.zeroPoint)
        dtype = types.get(tensor.type, "?").lower()
        if dtype not in DTYPES:
            raise EmbactError(
                f"{side} of the model",
                got=f"a {dtype} tensor",
                allowed=", ".join(sorted(DTYPES)),
                where=model.where,
            )
        scale = float(np.float32(scales[0])) if len(scales) == 1 else 0.0
        zero = int(zeros[0]) if zeros else 0
        ports.append(Port(text(tensor.name), shape_of(tensor), dtype, scale, zero))
    if not ports or 0 in {math.prod(port.shape) for port in ports}:
        raise EmbactError(f"a model without {side} elements cannot be evaluated", where=model.where)
    if side == "input" and len({port.batch for port in ports}) != 1:
        raise EmbactError(
            "batch sizes of the model's inputs",
            got=", ".join(str(port.shape) for port in ports),
            allowed="the same first axis",
            where=model.where,
        )
    return tuple(ports)


MAX_RANDOM = 1_000_000

DAMAGED = (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for files that are no .npz, or are damaged or far too large."""


def load_data(path: str | os.PathLike[str], model: Model) -> Data:
    """Return the samples of an .npz file for a model, by the rules at the top of this module.

    Raises EmbactError for a file that is none, missing arrays, shapes that do not fit the model's
    inputs, values that are not finite, and integers whose meaning is not stated.
    """
    where = str(path)
    try:
        # our own file object, because numpy leaves its own open when the archive is damaged
        with open(path, "rb") as file:  # noqa: PTH123 - also takes what is no Path
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise EmbactError("data", got="a single array", allowed="an .npz file", where=where)
            arrays = {name: stored[name] for name in stored.files}
    except DAMAGED as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise EmbactError(
            "cannot read the data", got=got, allowed="an .npz file", where=where
        ) from None
    return data_of(arrays, model, where=where)


def data_of(arrays: Mapping[str, Any], model: Model, *, where: str = "data") -> Data:
    """Return the samples in arrays by name, as ``load_data`` does for those of a file."""
    ports = input_ports(model)
    names = ["x"] if len(ports) == 1 else [f"x{i}" for i in range(len(ports))]
    inputs = tuple(
        _codes(arrays, name, port, where) for name, port in zip(names, ports, strict=True)
    )
    counts = [len(array) for array in inputs]
    if len(set(counts)) != 1 or not counts[0]:
        allowed = "the same number for every input, at least 1"
        raise EmbactError("number of samples", got=counts, allowed=allowed, where=where)
    return _with_answers(Data(inputs), arrays, model, where)


def _codes(arrays: Mapping[str, Any], name: str, port: Port, where: str) -> NDArray[Any]:
    """Return the array of one input in the input's dtype."""
    if name not in arrays:
        got = ", ".join(arrays) or "nothing"
        raise EmbactError(f"data without the array {name}", got=got, allowed=name, where=where)
    x = np.asarray(arrays[name])
    if x.shape[:1] == () or x.shape[1:] != port.shape[1:]:
        shape = ", ".join(["samples", *map(str, port.shape[1:])])
        raise EmbactError(f"shape of {name}", got=x.shape, allowed=f"({shape})", where=where)
    scale = arrays.get(f"{name}_scale")
    if np.issubdtype(x.dtype, np.floating) and scale is None:
        return quantised(x.astype(np.float64), name, port, where)
    if np.issubdtype(x.dtype, np.integer) and scale is not None:
        factor = np.asarray(scale)
        if factor.size != 1 or factor.dtype.kind not in "fiu" or not 0 < factor.item() < math.inf:
            raise EmbactError(f"{name}_scale", got=scale, allowed="one number > 0", where=where)
        return quantised(x * float(factor.item()), name, port, where)
    if x.dtype == np.dtype(port.dtype) and scale is None:
        return x
    raise EmbactError(
        f"meaning of {name} is not clear",
        got=f"{x.dtype}{'' if scale is None else f' with {name}_scale'}",
        allowed=f"floats (real values), integers with {name}_scale, or codes in {port.dtype}",
        where=where,
    )


def quantised(real: NDArray[np.float64], name: str, port: Port, where: str) -> NDArray[Any]:
    """Return real values in the input's dtype: nearest codes, ties away from 0, clamped."""
    if not np.all(np.isfinite(real)):
        raise EmbactError(f"values of {name}", got="nan or inf", allowed="finite", where=where)
    if port.dtype == "float32":
        return real.astype(np.float32)
    if not port.scale:
        raise EmbactError(
            f"real values for an input without a scale ({port.name})",
            got=name,
            allowed=f"codes in {port.dtype}",
            where=where,
        )
    limits = np.iinfo(port.dtype)
    steps = np.clip(real / port.scale, -(2.0**40), 2.0**40)
    codes = np.clip(round_half_away(steps) + port.zero_point, limits.min, limits.max)
    return codes.astype(port.dtype)


def _with_answers(data: Data, arrays: Mapping[str, Any], model: Model, where: str) -> Data:
    """Return data with y as labels if it holds integers, as targets if it holds floats."""
    if "y" not in arrays:
        return data
    y = np.asarray(arrays["y"])
    samples = data.samples
    if y.shape == (samples,) and np.issubdtype(y.dtype, np.integer):
        return replace(data, labels=y.astype(np.int64))
    port = output_ports(model)[0]
    wanted = samples, *port.shape[1:]
    sizes = math.prod(wanted) if port.batch == input_ports(model)[0].batch else 0
    if not np.issubdtype(y.dtype, np.floating) or y.shape[:1] != (samples,) or y.size != sizes:
        raise EmbactError(
            "labels y",
            got=f"{y.dtype} {y.shape}",
            allowed=f"integers of shape ({samples},), or floats of shape {wanted}",
            where=where,
        )
    targets = y.astype(np.float64).reshape(wanted)
    if not np.all(np.isfinite(targets)):
        raise EmbactError("values of y", got="nan or inf", allowed="finite", where=where)
    return replace(data, targets=targets)


def random_data(model: Model, samples: int, seed: int = 0) -> Data:
    """Return samples drawn evenly from all codes of the model's inputs (floats: from -1..1).

    Raises EmbactError for none, or for more than MAX_RANDOM samples.
    """
    if not 1 <= samples <= MAX_RANDOM:
        raise EmbactError("number of random samples", got=samples, allowed=f"1..{MAX_RANDOM}")
    generator = np.random.default_rng(seed)
    inputs: list[NDArray[Any]] = []
    for port in input_ports(model):
        shape = (samples, *port.shape[1:])
        if port.dtype == "float32":
            inputs.append(generator.uniform(-1.0, 1.0, shape).astype(np.float32))
        elif port.dtype == "bool":
            inputs.append(generator.integers(0, 2, shape).astype(np.bool_))
        else:
            limits = np.iinfo(port.dtype)
            codes = generator.integers(limits.min, limits.max, shape, np.int64, endpoint=True)
            inputs.append(codes.astype(port.dtype))
    return Data(tuple(inputs))
