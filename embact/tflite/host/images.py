"""Test data: a folder of images, as the samples of a model with one image input.

Subfolders are classes, labelled 0, 1, ... in the order of their names; images that lie in the
folder itself have no labels. What a pixel is worth is never guessed: ``Scaling`` says it. Images
are stretched to the input's size, bilinearly; Pillow averages where it shrinks. An orientation that
a camera noted is not applied, as in TensorFlow. This module must not know interpreters or kernels.
"""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.errors import EmbactError
from embact.tflite.host.data import Data, Port, input_ports, load_data, quantised
from embact.tflite.replace.metrics import classes

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from embact.tflite.model import Model

CHANNELS = {1: "L", 3: "RGB"}
"""Pillow's modes by the channels of the input."""

DEEP = {"I", "F"}
"""Modes, or the start of them, with more than 8 bits: their meaning is not known."""

UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, MemoryError, Warning)
"""What Pillow raises for files that are no images, or are damaged or far too large."""


@dataclass(frozen=True)
class Scaling:
    """What pixels mean: black is low and white is high in real values, or the codes themselves.

    codes: pixels are codes of the input: 0..255 of uint8; 0..255 less 128 of int8.
    """

    low: float = 0.0
    high: float = 0.0
    codes: bool = False


def scaling_of(text: str) -> Scaling:
    """Return the scaling that ``LOW:HIGH`` or ``codes`` means; raises EmbactError for others.

    >>> scaling_of("-1:1")
    Scaling(low=-1.0, high=1.0, codes=False)
    """
    if text == "codes":
        return Scaling(codes=True)
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (math.nan, math.nan)
    if not (math.isfinite(ends[0]) and math.isfinite(ends[1]) and ends[0] < ends[1]):
        raise EmbactError("--image-range", got=repr(text), allowed="LOW:HIGH, or codes")
    return Scaling(*ends)


def load_samples(path: Path, model: Model, scaling: Scaling | None) -> Data:
    """Return the samples of a folder of images, or of an .npz file (``load_data``).

    Raises EmbactError as these do, and for a scaling of pixels where there are none.
    """
    if path.is_dir():
        return load_images(path, model, scaling)
    if scaling is not None:
        raise EmbactError("--image-range", got="an .npz file", allowed="a folder of images")
    return load_data(path, model)


def load_images(folder: Path, model: Model, scaling: Scaling | None) -> Data:
    """Return the images of a folder as samples for a model.

    Raises EmbactError if the model does not take one image, nothing says what pixels mean, a file
    is no image that can be read, or the class folders are not one for each score.
    """
    port = _image_port(model)
    _check_scaling(scaling, port, model)
    files, labels = _files(folder, model)
    pillow = _pillow()
    samples = np.empty((len(files), *port.shape[1:]), dtype=port.dtype)
    for place, path in zip(samples, files, strict=True):
        place[...] = _sample(_pixels(pillow, path, port), scaling or Scaling(), port)
    return Data((samples,), labels)


def _image_port(model: Model) -> Port:
    """Return the model's one input, of shape (batch, height, width, 1 or 3)."""
    ports = input_ports(model)
    port = ports[0]
    if len(ports) != 1 or len(port.shape) != 4 or port.shape[3] not in CHANNELS:
        raise EmbactError(
            "a folder of images for this model",
            got="inputs of shape " + ", ".join(str(one.shape) for one in ports),
            allowed="one input of shape (batch, height, width, 1 or 3); else an .npz file",
            where=model.where,
        )
    return port


def _check_scaling(scaling: Scaling | None, port: Port, model: Model) -> None:
    """Raise EmbactError unless it is said what pixels mean, and the input can take it."""
    covered = ""
    if port.scale and np.dtype(port.dtype).kind in "iu":
        limits = np.iinfo(port.dtype)
        ends = (port.scale * (end - port.zero_point) for end in (limits.min, limits.max))
        covered = f"; this input holds {':'.join(f'{end:.4g}' for end in ends)}"
    allowed = "the real values of black and white in training, such as --image-range 0:1 or -1:1"
    if scaling is None:
        raise EmbactError(
            "what pixels mean is not guessed",
            got="no --image-range",
            allowed=f"{allowed}{covered}",
            where=model.where,
        )
    if scaling.codes and port.dtype not in {"uint8", "int8"}:
        raise EmbactError(
            "--image-range codes",
            got=f"an input of {port.dtype}",
            allowed=f"int8 or uint8; else {allowed}",
            where=model.where,
        )


def _files(folder: Path, model: Model) -> tuple[list[Path], NDArray[np.int64] | None]:
    """Return the images in the order of their names, and their labels if there are classes."""
    top = _listed(folder)
    groups = [one for one in top if one.is_dir()]
    if not groups:
        if not top:
            raise EmbactError("no image", allowed="at least one", where=str(folder))
        return top, None
    if len(groups) != len(top):
        alone = next(one for one in top if one not in groups)
        raise EmbactError(
            "a file beside class folders", got=alone.name, allowed="none", where=str(folder)
        )
    _check_classes(groups, folder, model)
    files, labels = [], []
    for label, group in enumerate(groups):
        inside = _listed(group)
        files += inside
        labels += [label] * len(inside)
    if not files:
        raise EmbactError("no image", allowed="at least one", where=str(folder))
    return files, np.array(labels, dtype=np.int64)


def _listed(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, in the order of the names."""
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise EmbactError("cannot read the folder", got=error.strerror, where=str(folder)) from None


def _check_classes(groups: list[Path], folder: Path, model: Model) -> None:
    """Raise EmbactError unless it is clear which score each class folder stands for."""
    if len(groups) != classes(model):
        raise EmbactError(
            "class folders",
            got=len(groups),
            allowed=f"{classes(model)}, one for each score, also for classes without images",
            where=str(folder),
        )
    names = [one.name for one in groups]
    if all(name.isdecimal() for name in names) and names != sorted(names, key=int):
        raise EmbactError(
            "class folders with numbers, whose names have another order",
            got=", ".join(names[:3]) + ", ...",
            allowed="numbers with equally many digits",
            where=str(folder),
        )


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise EmbactError(
            "reading images needs the package pillow",
            got=error,
            allowed='pip install "embact[images]"',
        ) from error
    return Image


def _pixels(pillow: Any, path: Path, port: Port) -> NDArray[np.float64]:
    """Return an image's pixels, 0..255, in the shape of one sample."""
    _, height, width, channels = port.shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of images so large that they may be an attack
            with pillow.open(path) as image:
                image.load()
                _check_mode(image, path)
                plain = image.convert(CHANNELS[channels])
        resized = plain.resize((width, height), pillow.Resampling.BILINEAR)
    except (*UNREADABLE, pillow.DecompressionBombError) as error:
        raise EmbactError(
            "cannot read an image",
            got=f"{type(error).__name__}: {error}",
            allowed="a picture that Pillow reads; nothing else in the folder",
            where=str(path),
        ) from None
    return np.asarray(resized, dtype=np.float64).reshape(height, width, channels)


def _check_mode(image: Any, path: Path) -> None:
    """Raise EmbactError for pixels that have no 8-bit colour: deep or transparent ones."""
    if image.mode.split(";")[0] in DEEP:
        raise EmbactError(
            "pixels of an image", got=f"mode {image.mode}", allowed="8 bits", where=str(path)
        )
    if getattr(image, "has_transparency_data", "A" in image.getbands()):
        alpha = image.convert("RGBA").getchannel("A").getextrema()
        if alpha[0] < 255:
            raise EmbactError("a transparent image", allowed="opaque ones", where=str(path))


def _sample(pixels: NDArray[np.float64], scaling: Scaling, port: Port) -> NDArray[Any]:
    """Return pixels in the form the input takes."""
    if scaling.codes:
        return (pixels - (128 if port.dtype == "int8" else 0)).astype(port.dtype)
    real = scaling.low + pixels * ((scaling.high - scaling.low) / 255)
    return quantised(real, "images", port, "images")
