"""Commands that run a TFLite model with and without our kernels: eval, demo."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.models import ModelFile, fitted, show_placements
from embact.cli.options import Family, Json, MaxBytes, MaxError, SlopeBits
from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.evaluate import Evaluation
    from embact.tflite.placement import Placement


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("eval")(evaluate_model)
    app.command()(demo)


def evaluate_model(
    model: ModelFile,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="x: samples; y: labels, if there are any."),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(metavar="N", help="N random samples instead of data: weak evidence."),
    ] = None,
    stock: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.tflite", help="For a converted model: what it was made from."),
    ] = None,
    resolver: Annotated[
        str, typer.Option(metavar="reference|default", help="Which stock kernels run the rest.")
    ] = "reference",
    runtime: Annotated[
        str, typer.Option(metavar="litert|tflite-runtime", help="Which stock interpreter.")
    ] = "litert",
    family: Annotated[
        str | None, typer.Option(metavar="FAMILY", help="As for `convert`; default auto.")
    ] = None,
    max_error: MaxError = None,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="For each run.")] = 300.0,
    json: Json = False,
) -> None:
    """Run a model on data, stock and with embact's kernels, and say what changed.

    The interpreter is not modified and runs in a child process. A converted model runs with the
    kernels written beside it; any other is fitted now.

    Samples x are real values (floats), integers with x_scale, or codes of the model's input type.

    Example: `embact eval model.tflite --data samples.npz`
    """
    from embact.tflite.child import Runner
    from embact.tflite.data import load_data, random_data
    from embact.tflite.evaluate import evaluate
    from embact.tflite.folder import header_beside, kernels_beside
    from embact.tflite.model import read

    if (data is None) == (random is None):
        raise EmbactError("samples", got="both" if data else "none", allowed="--data or --random")
    source = read(model)
    placements: Sequence[Placement] = kernels_beside(source)
    chosen = (family, max_error, max_bytes, slope_bits)
    header = None
    if placements:
        if any(option is not None for option in chosen):
            raise EmbactError(
                "options for fitting",
                got="a converted model, whose kernels lie beside it",
                allowed="the model it was made from",
                where=str(model),
            )
        header = header_beside(source)
    else:
        asked = {"max_error": max_error, "max_bytes": max_bytes, "slope_bits": slope_bits}
        placements, reason = fitted(source, family or "auto", asked)
        if not placements:
            if json:
                show.as_json({"sites": 0, "nothing_to_do": reason})
            else:
                show.say(f"{model}: nothing to do: {reason}")
            return
    samples = load_data(data, source) if data is not None else random_data(source, random or 0)
    runner = Runner(runtime, resolver, timeout)
    original = None if stock is None else read(stock)
    result = evaluate(source, placements, samples, runner=runner, stock=original, header=header)
    if json:
        import msgspec

        show.as_json({**msgspec.to_builtins(result), "random_data": data is None})
        return
    show_placements(placements)
    show.say()
    _show_evaluation(result)
    if data is None:
        show.say("samples are random: weak evidence; give --data")


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.2f} %"


def _show_evaluation(result: Evaluation) -> None:
    rows: list[tuple[str, object]] = [
        ("runtime", f"{result.runtime}, resolver {result.resolver}"),
        ("samples", result.samples),
    ]
    if result.accuracy_after is not None:
        rows.append(("accuracy before", _percent(result.accuracy_before)))
        rows.append(("accuracy after", _percent(result.accuracy_after)))
    if result.changed_decisions is not None:
        rows.append(("decisions changed", f"{result.changed_decisions} of {result.samples}"))
    if result.max_difference is not None and result.mean_difference is not None:
        unit = result.difference_unit
        gaps = f"{result.max_difference:g} at most, {result.mean_difference:.4f} on average"
        rows.append((f"output difference ({unit})", gaps))
    else:
        rows.append(("output difference", "unknown: give the model it was made from, --stock"))
    show.facts(rows)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for what it writes.")] = Path(
        "embact-demo"
    ),
    family: Family = "auto",
    max_error: Annotated[
        int, typer.Option(metavar="CODES", help="Largest distance to the correctly rounded code.")
    ] = 1,
    json: Json = False,
) -> None:
    """Do the whole job once on a packaged int8 digits classifier and its 450 test images.

    Exit status 0 only if every kernel is within its budget and the compiled C equals its
    definition on every input.

    Example: `embact demo`
    """
    from embact.demo import DATA, MODEL, run_demo
    from embact.fit.problem import Limits
    from embact.sources import data_file

    def step(text: str) -> None:
        if not json:
            show.say(f"-> {text}")
            sys.stdout.flush()

    result = run_demo(out, Limits(max_error), family, step)
    if json:
        import msgspec

        show.as_json(
            {
                "report": msgspec.to_builtins(result.conversion.report),
                "evaluation": msgspec.to_builtins(result.evaluation),
            }
        )
    else:
        show.say()
        show_placements(result.placements)
        show.say()
        _show_evaluation(result.evaluation)
        show.say("\nnext:")
        program = "embact" if shutil.which("embact") else f"{quote(sys.executable)} -m embact"
        stock, data = quote(str(data_file(MODEL))), quote(str(data_file(DATA)))
        show.say(f"  {program} sites {stock}")
        converted = quote(str(result.conversion.model))
        show.say(f"  {program} eval {converted} --stock {stock} \\\n      --data {data}")
        show.say(f"  {program} fit gelu --range -4:4 --family pwl --max-error 1 --out gelu.json")
        show.say(f"  {program} emit gelu.json --out include/")
