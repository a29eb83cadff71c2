"""How a conversion looks on a terminal: its kernels, what was left alone, what was written."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from embact.cli import show

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from embact.tflite.conversion import Prepared
    from embact.tflite.folder import Conversion
    from embact.tflite.host.evaluate import Evaluation
    from embact.tflite.placement import LayerPlacement, Placed, Placement
    from embact.tflite.site_report import Report


def show_placements(placements: Sequence[Placed], report: Report | None = None) -> None:
    """Print a table of sites, their kernels and errors, and one of layers.

    report: of the conversion of these placements; then costs for each element are printed too.
    """
    from embact.tflite.placement import LayerPlacement, Placement

    kernels = [one for one in placements if isinstance(one, Placement)]
    if kernels:
        costs, numbers = _costs(report, len(kernels))
        show.table(
            (
                *("site", "activation", "quantisation", "family"),
                *("max_error_codes", "max_error_lsb", "table bytes", *costs),
            ),
            [(*_kernel_row(one), *more) for one, more in zip(kernels, numbers, strict=True)],
        )
    layers = [one for one in placements if isinstance(one, LayerPlacement)]
    if layers:
        show.table(
            ("layer", "quantisation", "row size", "table bytes", "what is known"),
            [_layer_row(one) for one in layers],
        )


def _costs(report: Report | None, sites: int) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return the headings and cells of what sites cost for each element: ours, and today's."""
    if report is None:
        return (), [()] * sites
    core = report.decisions.core
    headings = ("today's codes", "lsb", f"instructions ({core})", "today's")
    return headings, [
        (
            "unknown" if one.stock_error is None else str(one.stock_error.max_error_codes),
            "unknown" if one.stock_error is None else one.stock_error.max_error_lsb,
            "-" if one.instructions is None else f"{one.instructions:.2f}",
            "unknown"
            if one.today is None or one.today.per_element is None
            else f"{one.today.per_element:.2f}",
        )
        for one in report.sites
    ]


def _kernel_row(one: Placement) -> tuple[object, ...]:
    from embact.tflite.replace.named import described

    return (
        "+".join(one.site.ops) + " " + ",".join(map(str, one.site.operators)),
        described(one.fit.activation),
        show.spec_text(one.site.spec),
        one.fit.family,
        one.fit.certificate.max_error_codes,
        one.fit.certificate.max_error_lsb,
        one.fit.kernel.table_bytes,
    )


def _layer_row(one: LayerPlacement) -> tuple[object, ...]:
    from embact.tflite.layers import about, table_bytes
    from embact.tflite.placement import rows_of

    return (
        "+".join(one.site.ops) + " " + ",".join(map(str, one.site.operators)),
        show.spec_text(one.site.spec),
        rows_of(one.site, one.unit),
        table_bytes(one.unit),
        about(one.unit),
    )


def show_nothing(model: Path, prepared: Prepared, *, json: bool) -> None:
    """Say why nothing was written."""
    if json:
        show.as_json({"converted": None, "nothing_to_do": prepared.reason})
    else:
        show.say(f"{model}: nothing to do: {prepared.reason}")


def show_plan(prepared: Prepared, report: Report) -> None:
    """Print what is decided: kernels, what is left alone, warnings, replacements, the metric."""
    from embact.tflite.replace.metrics import METRICS

    decisions = report.decisions
    show_placements(prepared.placements, report)
    for op, reason in dict.fromkeys((one.op, one.reason) for one in decisions.skipped):
        places = [s.operator for s in decisions.skipped if (s.op, s.reason) == (op, reason)]
        show.say(f"left alone: {_operators(places)}, {op}: {reason}")
    for warning in decisions.warnings:
        show.say(f"note: {warning}")
    worse = [
        ", ".join(map(str, one.operators))
        for one in report.sites
        if one.stock_error and one.certificate.max_error_lsb > one.stock_error.max_error_lsb + 0.01
    ]
    if worse:
        show.say(
            f"note: cheaper, but less exact than today's operators at {'; '.join(worse)}; "
            "--max-error 0 rounds correctly, --like tflm keeps TFLM's bits"
        )
    for row in decisions.replaced:
        show.say(
            f"replaced: {row['original']} by {row['chosen']} at "
            f"{_operators(row['operators'])} ({row['why']}): at most "
            f"{row['max_error_codes']} codes from the original; {row['note']}"
        )
    found = decisions.metric
    if found is not None:
        limit = "" if found.max_drop is None else f", at most {found.max_drop:g} allowed"
        unit = METRICS[found.metric].unit
        show.say(
            f"{found.metric} on {found.samples} samples: {score_text(found.before, unit)} before, "
            f"{score_text(found.after, unit)} after, drop {found.drop:g} {unit}{limit} "
            f"({found.runtime}, resolver {found.resolver})"
        )


def score_text(score: float, unit: str) -> str:
    """Return a score of a metric whose drop has this unit: a share in percent, or an error."""
    return f"{100 * score:.2f} %" if unit == "percentage points" else f"{score:.6g}"


def replaced_on_purpose(result: Evaluation, report: Report | None) -> list[str]:
    """Return a line for each site of a converted model whose function was exchanged.

    report: of its conversion. At such a site the stock model computes something else, so the
    stock's error is no fault of its operators.
    """
    rows = () if report is None else report.decisions.replaced
    return [
        f"replaced on purpose: {one.function} computes {row['chosen']}, stock {row['original']}; "
        f"stock's error is its distance to {row['chosen']}"
        for one in result.per_site
        for row in rows
        if row["tensor"] == one.tensor
    ]


def _operators(places: Sequence[int]) -> str:
    return f"operator{'s' * (len(places) > 1)} {', '.join(map(str, places))}"


def show_written(written: Conversion, model: Path, data: str, *, json: bool) -> None:
    """Say what was written and what to do next. data: options that give `eval` its samples."""
    if json:
        import msgspec

        show.as_json(
            {
                "converted": str(written.model),
                "files": [str(path) for path in written.files],
                "report": msgspec.to_builtins(written.report),
            }
        )
        return
    listed = ", ".join(path.name for path in written.files if path.parent == written.folder)
    folder = ", kernels/" if written.kernels else ""
    show.say(f"\nwrote {written.folder}: {listed}{folder} and report.json")
    converted, stock = quote(str(written.model)), quote(str(model))
    if written.report.decisions.form == "override":
        show.say(f"next: embact eval {converted} {data}")
    else:
        show.say(f"next: embact eval {converted} --stock {stock} {data}")
