"""The samples that a network is calibrated with: real values for each of its inputs, from an .npz.

``x`` is the only input, ``x0``, ``x1``, ... are several in their order; an input's own name does
too. Float arrays are real values; integers with ``x_scale`` mean x * x_scale; integers for an
integer input are taken as they are. This module must not know TensorFlow.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

DAMAGED = (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What numpy raises for files that are no .npz, or are damaged or far too large."""


@dataclass(frozen=True)
class Input:
    """An input of a network. shape: with the batch first; None for a size that is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def batch(self) -> int:
        """Samples per inference of the quantised model: 1 unless the network fixes it."""
        return (self.shape[0] or 1) if self.shape else 1


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz file by name. Raises EmbactError if it is none."""
    try:
        # our own file object, because numpy leaves its own open when the archive is damaged
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.ndarray):
                return {name: stored[name] for name in stored.files}
            got: object = "a single array"
    except DAMAGED as error:
        got = error.strerror if isinstance(error, OSError) and error.strerror else error
    raise EmbactError("cannot read the data", got=got, allowed="an .npz file", where=str(path))


def samples_of(
    arrays: Mapping[str, Any], inputs: Sequence[Input], most: int, where: str
) -> list[NDArray[Any]]:
    """Return for each input an array of at most ``most`` samples, evenly spaced over all there are.

    The number of samples is a multiple of the batch. Raises EmbactError for missing arrays, shapes
    that do not fit, values that are not finite, integers whose meaning is not stated, different
    counts, and fewer samples than a batch.
    """
    chosen = [_values(arrays, number, inputs, where) for number in range(len(inputs))]
    counts = [len(one) for one in chosen]
    batches = {one.batch for one in inputs}
    if len(batches) != 1:
        shapes = ", ".join(str(one.shape) for one in inputs)
        raise EmbactError("inputs of a network", got=shapes, allowed="one batch size", where=where)
    batch = batches.pop()
    if len(set(counts)) != 1 or counts[0] < batch:
        allowed = f"the same number for every input, at least {batch}"
        raise EmbactError("number of samples", got=counts, allowed=allowed, where=where)
    number = min(max(most, batch), counts[0]) // batch * batch
    picked = np.arange(number) * counts[0] // number
    return [one[picked] for one in chosen]


def _values(
    arrays: Mapping[str, Any], number: int, inputs: Sequence[Input], where: str
) -> NDArray[Any]:
    """Return the array of an input as the network takes it."""
    one = inputs[number]
    short = "x" if len(inputs) == 1 else f"x{number}"
    name = short if short in arrays else one.name
    if name not in arrays:
        got = ", ".join(arrays) or "nothing"
        allowed = short if short == one.name else f"{short} or {one.name}"
        raise EmbactError(f"data without the array {short}", got=got, allowed=allowed, where=where)
    x = np.asarray(arrays[name])
    fits = x.ndim == len(one.shape) > 0 and all(
        wanted in {None, got} for wanted, got in zip(one.shape[1:], x.shape[1:], strict=True)
    )
    if not fits:
        sizes = ["samples", *("any" if size is None else str(size) for size in one.shape[1:])]
        allowed = f"({', '.join(sizes)})"
        raise EmbactError(f"shape of {name}", got=x.shape, allowed=allowed, where=where)
    return _typed(x, arrays.get(f"{name}_scale"), name, one.dtype, where)


def _typed(x: NDArray[Any], scale: Any, name: str, dtype: str, where: str) -> NDArray[Any]:
    """Return an array in the dtype of its input."""
    whole = np.issubdtype(x.dtype, np.integer) or x.dtype == np.bool_
    if not np.issubdtype(np.dtype(dtype), np.floating):
        if whole and scale is None:
            return x.astype(dtype)
        allowed = f"integers, as the input is {dtype}"
        raise EmbactError(f"values of {name}", got=x.dtype, allowed=allowed, where=where)
    if whole == (scale is None) or x.dtype.kind not in "fiu":
        raise EmbactError(
            f"meaning of {name} is not clear",
            got=f"{x.dtype}{'' if scale is None else f' with {name}_scale'}",
            allowed=f"floats (real values) or integers with {name}_scale",
            where=where,
        )
    factor = 1.0 if scale is None else float(np.asarray(scale, dtype=np.float64).reshape(-1)[0])
    if np.size(scale) != 1 or not 0 < factor < math.inf:
        raise EmbactError(f"{name}_scale", got=scale, allowed="one number > 0", where=where)
    with np.errstate(over="ignore"):
        real = (x.astype(np.float64) * factor).astype(dtype)
    if not np.all(np.isfinite(real)):
        raise EmbactError(f"values of {name}", got="nan or inf", allowed="finite", where=where)
    return real
