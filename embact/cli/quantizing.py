"""The command that turns trained networks into quantised models: quantize."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Json
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.train.quantize import Quantised


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(quantize)


def quantize(
    network: Annotated[
        Path,
        typer.Argument(metavar="NETWORK", help="A .keras or .h5 file, or a SavedModel's folder."),
    ],
    data: Annotated[
        Path, typer.Option(metavar="X.npz", help="Real inputs x (or x0, x1, ...) to calibrate on.")
    ],
    out: Annotated[Path, typer.Option(metavar="MODEL.tflite", help="The file to write.")],
    dtype: Annotated[
        str, typer.Option(help="int8, or int16x8: int16 activations, int8 weights.")
    ] = "int8",
    samples: Annotated[int, typer.Option(help="Use at most this many, evenly spaced.")] = 500,
    float_operators: Annotated[
        bool, typer.Option("--float-operators", help="Leave in float what has no integer form.")
    ] = False,
    convert: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with `embact convert` to this folder.")
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Seconds.")] = 600.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    json: Json = False,
) -> None:
    """Quantise a trained network with TensorFlow's converter, ready for `embact convert`.

    Inputs and outputs become integers too. Operators that stay float are listed. Needs the extra
    `train`.

    Example: `embact quantize model.keras --data train.npz --dtype int8 --out model.tflite`
    """
    import msgspec

    from embact.train.quantize import Asked, quantise

    _check_place(out, force=force)
    if convert is not None and convert.exists():
        raise EmbactError("--convert", got=f"{convert} exists", allowed="a new folder")
    if convert is not None and json:
        raise EmbactError("--convert with --json", allowed="one of the two")
    done = quantise(Asked(network, data, dtype, samples, float_operators), timeout)
    _write(out, done.model.content)
    if json:
        document = {
            "model": str(out),
            "sha256": done.model.sha256,
            "dtype": dtype,
            "inputs": done.inputs,
            "samples": done.samples,
            "operators": done.operators,
            "in_float": done.in_float,
        }
        show.as_json(msgspec.to_builtins(document))
        return
    _show(out, dtype, done)
    if convert is None:
        show.say(f"\nnext: embact sites {quote(str(out))}")
        show.say(f"then: embact convert {quote(str(out))} --out converted/")
        return
    from embact.cli import models

    show.say(f"\nembact convert {quote(str(out))} --out {quote(str(convert))}")
    models.convert(out, convert)


def _check_place(out: Path, *, force: bool) -> None:
    if out.suffix != ".tflite" or out.is_dir():
        raise EmbactError("--out", got=str(out), allowed="a file whose name ends in .tflite")
    if out.exists() and not force:
        raise EmbactError("a model is there", allowed="--force, or another --out", where=str(out))


def _write(out: Path, content: bytes) -> None:
    """Write a file in one step: it is the old one or the new one."""
    import os
    import tempfile

    out.parent.mkdir(parents=True, exist_ok=True)
    # beside its place, so that os.replace stays within one file system
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".embact-") as folder:
        new = Path(folder) / out.name
        new.write_bytes(content)
        os.replace(new, out)  # noqa: PTH105 - the atomic call, by its name


def _show(out: Path, dtype: str, done: Quantised) -> None:
    listed = ", ".join(
        f"{name} x {count}" if count > 1 else name for name, count in done.operators.items()
    )
    show.say(f"wrote {out}: {len(done.model.content)} bytes, {dtype}")
    order = f", inputs in the order {', '.join(done.inputs)}" if len(done.inputs) > 1 else ""
    show.say(f"calibrated on {done.samples} samples{order}")
    show.say(f"operators: {listed}")
    if done.in_float:
        names = ", ".join(done.in_float)
        show.say(f"in float: {names}: the converter has no {dtype} form; embact may replace it")
