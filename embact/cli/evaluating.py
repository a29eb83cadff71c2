"""Commands that run a TFLite model with and without our kernels: eval, demo."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.converted import replaced_on_purpose, score_text
from embact.cli.models import ImageRange, ModelFile, fitted, show_placements
from embact.cli.options import Family, Json, MaxBytes, MaxError, SlopeBits
from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.tflite.host.evaluate import Evaluation
    from embact.tflite.host.evaluate_sites import Gap
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.site_report import Report


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("eval")(evaluate_model)
    app.command()(demo)


def evaluate_model(
    model: ModelFile,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz|FOLDER",
            help="x: samples; y: labels or targets, if any. Or images; subfolders are classes.",
        ),
    ] = None,
    image_range: ImageRange = None,
    random: Annotated[
        int | None,
        typer.Option(metavar="N", help="N random samples instead of data: weak evidence."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", min=0, help="Of the random samples; default 0.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="top1|top5|agreement|mse|mae", help="Default: by what y holds, else agreement."
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="D",
            help="Exit status 1 if the metric falls further: percentage points; mse, mae: percent.",
        ),
    ] = None,
    stock: Annotated[
        Path | None,
        typer.Option(metavar="MODEL.tflite", help="For a converted model: what it was made from."),
    ] = None,
    resolver: Annotated[
        str,
        typer.Option(
            metavar="reference|default|tflm-oracle",
            help="Which stock kernels run the rest; tflm-oracle has the bits of TFLM.",
        ),
    ] = "reference",
    runtime: Annotated[
        str | None,
        typer.Option(metavar="litert|tflite-runtime", help="Which stock interpreter."),
    ] = None,
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
    from embact.tflite.beside import form_beside, report_beside
    from embact.tflite.host.builtin_beside import tables_beside
    from embact.tflite.host.child import Runner
    from embact.tflite.host.data import random_data
    from embact.tflite.host.evaluate import check_drop, check_limit, evaluate
    from embact.tflite.host.images import load_samples, scaling_of
    from embact.tflite.model import read
    from embact.tflite.replace.metrics import check_metric

    if (data is None) == (random is None):
        raise EmbactError("samples", got="both" if data else "none", allowed="--data or --random")
    if data is not None and seed is not None:
        raise EmbactError("--seed", got="--data", allowed="--random N --seed S")
    if data is None and image_range is not None:
        raise EmbactError("--image-range", got="no images", allowed="--data FOLDER")
    if max_drop is not None:
        check_limit(max_drop)
    scaling = None if image_range is None else scaling_of(image_range)
    source = read(model)
    original = None if stock is None else read(stock)
    report = report_beside(source)
    if max_drop is not None and original is None and form_beside(source) in ("custom", "builtin"):
        raise EmbactError("--max-drop", got="a converted model alone", allowed="with --stock")
    # what is wrong with the data is said before minutes are spent on fits
    if data is None:
        samples = random_data(source, random or 0, seed or 0)
    else:
        samples = load_samples(data, source, scaling)
    if metric is not None:
        check_metric(metric, source, samples, has_stock=True)
    asked = {"max_error": max_error, "max_bytes": max_bytes, "slope_bits": slope_bits}
    placements, files, reason = _kernels(source, family, asked)
    tables = () if original is None else tables_beside(source, original)
    result = evaluate(
        source,
        placements,
        samples,
        runner=Runner(runtime, resolver, timeout),
        stock=original,
        header=files,
        metric=metric,
        tables=tables,
    )
    if json:
        import msgspec

        facts = {"random_data": data is None, "nothing_to_do": reason}
        show.as_json({**msgspec.to_builtins(result), **facts})
    else:
        _show_all(result, (*placements, *tables), reason, report, is_random=data is None)
    if max_drop is not None and (result.drop is not None or not reason):
        check_drop(result, max_drop)


def _kernels(
    source: Model, family: str | None, asked: dict[str, int | None]
) -> tuple[Sequence[Placed], Mapping[str, str] | None, str]:
    """Return a model's placements, the C beside it if it is converted, and why there are none."""
    from embact.tflite.beside import form_beside, kernels_beside, sources_beside

    form = form_beside(source)
    if form is None:
        fits, reason = fitted(source, family or "auto", asked)
        return fits, None, reason
    if family is not None or any(option is not None for option in asked.values()):
        raise EmbactError(
            "options for fitting",
            got="a converted model, whose kernels lie beside it",
            allowed="the model it was made from",
            where=source.where,
        )
    if form == "builtin":
        return (), None, ""
    return kernels_beside(source), sources_beside(source), ""


def _show_all(
    result: Evaluation,
    placements: Sequence[Placed],
    reason: str,
    report: Report | None,
    *,
    is_random: bool,
) -> None:
    if placements:
        show_placements(placements)
        show.say()
    if result.per_site:
        show_site_gaps(result)
        for line in replaced_on_purpose(result, report):
            show.say(line)
        show.say()
    _show_evaluation(result, is_alone=bool(reason) and result.max_difference is None)
    if is_random:
        show.say(
            f"samples are random: weak evidence, {result.distinct_outputs} distinct outputs "
            f"for {result.samples} samples; give --data"
        )
    if reason:
        show.say(f"no kernel ran: {reason}")


def show_site_gaps(result: Evaluation) -> None:
    """Print what each kernel changed: on the stock model's codes, and in the whole model."""
    show.table(
        (
            *("site", "computes", "differing", "max", "mean", "kernel - stock: times"),
            *("in the model: max", "mean", "stock's error", "kernel's"),
        ),
        [
            (
                "+".join(one.ops) + " " + ",".join(map(str, one.operators)),
                one.computes,
                f"{one.local.differing} of {one.local.codes}",
                one.local.max_codes,
                one.local.mean_codes,
                _histogram(one.local),
                one.in_model.max_codes,
                one.in_model.mean_codes,
                "-" if one.stock_error_codes is None else one.stock_error_codes,
                "-" if one.kernel_error_codes is None else one.kernel_error_codes,
            )
            for one in result.per_site
        ],
    )
    if result.observed_samples < result.samples:
        show.say(f"sites: over the first {result.observed_samples} samples")


def _histogram(local: Gap) -> str:
    """Return the differences and how often they occur: -1: 12, 2: 1."""
    seen = local.histogram.items()
    return ", ".join(f"{name}: {count}" for name, count in seen if name != "0") or "none"


def _score(result: Evaluation, score: float | None) -> str:
    if score is None:
        return "unknown"
    return score_text(score, result.drop_unit)


def _show_evaluation(result: Evaluation, *, is_alone: bool = False) -> None:
    """Print what is known of the whole model; is_alone: nothing had to be compared."""
    rows: list[tuple[str, object]] = [
        ("runtime", f"{result.runtime}, resolver {result.resolver}"),
        ("samples", result.samples),
    ]
    if result.metric is not None and is_alone:
        rows.append((result.metric, _score(result, result.after)))
    elif result.metric is not None:
        rows.append((f"{result.metric} before", _score(result, result.before)))
        rows.append((f"{result.metric} after", _score(result, result.after)))
    if result.drop is not None:
        rows.append(("drop", f"{result.drop:g} {result.drop_unit}"))
    if result.changed_decisions is not None:
        rows.append(("decisions changed", f"{result.changed_decisions} of {result.samples}"))
    if result.max_difference is not None and result.mean_difference is not None:
        unit = result.difference_unit
        gaps = f"{result.max_difference:g} at most, {result.mean_difference:.4f} on average"
        rows.append((f"output difference ({unit})", gaps))
    elif not is_alone:
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
