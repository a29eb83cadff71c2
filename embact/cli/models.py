"""Commands that find and replace the activations of TFLite models: sites, convert."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.options import Family, Json, MaxBytes, MaxError, SlopeBits, fill_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.model import Model
    from embact.tflite.placement import Placement
    from embact.tflite.site import Findings, Site

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="int8 or int16 model.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(sites)
    app.command()(convert)


def sites(model: ModelFile, json: Json = False) -> None:
    """List the activations of a model: what can be replaced, and what cannot and why.

    Example: `embact sites model.tflite`
    """
    import msgspec

    from embact.tflite.model import read
    from embact.tflite.sites import find_sites, nothing_to_do

    findings = find_sites(read(model))
    if json:
        show.as_json(
            {
                "sites": [
                    {
                        **msgspec.to_builtins(_site_facts(site)),
                        "activation": site.activation.name,
                        "parameters": site.activation.settings(),
                    }
                    for site in findings.sites
                ],
                "skipped": msgspec.to_builtins(findings.skipped),
                "nothing_to_do": nothing_to_do(findings),
            }
        )
        return
    if reason := nothing_to_do(findings):
        show.say(f"{model}: {reason}")
        _show_commands(findings)
        return
    _show_sites(findings)
    show.say(f"\nnext: embact convert {quote(str(model))} --out converted/")


def _site_facts(site: Site) -> dict[str, object]:
    return {
        "operators": site.operators,
        "ops": site.ops,
        "tensor": site.tensor,
        "input": site.input,
        "output": site.output,
        "elements": site.elements,
        "quantisation": {"input": site.spec.input, "output": site.spec.output},
    }


def _show_sites(findings: Findings) -> None:
    show.table(
        ("operators", "ops", "activation", "quantisation", "elements"),
        [
            (
                ", ".join(map(str, site.operators)),
                " + ".join(site.ops),
                _activation_text(site),
                show.spec_text(site.spec),
                site.elements,
            )
            for site in findings.sites
        ],
    )
    for skip in findings.skipped:
        show.say(f"left alone: operator {skip.operator}, {skip.op}: {skip.reason}")
    _show_commands(findings)


def _show_commands(findings: Findings) -> None:
    """Print the commands that write the C of what is left alone, each once."""
    for command in dict.fromkeys(skip.command for skip in findings.skipped if skip.command):
        where = [str(skip.operator) for skip in findings.skipped if skip.command == command]
        show.say(f"its C (operator {', '.join(where)}): {command}")


def _activation_text(site: Site) -> str:
    settings = ", ".join(f"{k}={v:g}" for k, v in site.activation.settings().items())
    return site.activation.name + (f"({settings})" if settings else "")


def convert(
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
    family: Family = "auto",
    max_error: MaxError = None,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    json: Json = False,
) -> None:
    """Write a copy of a model with one custom op for each activation, and the C of its kernels.

    DIR gets the model, embact_kernels.h, the kernels as JSON and report.json. A model without an
    activation to replace is left alone, and the reason printed.

    Example: `embact convert model.tflite --out converted/`
    """
    from embact.tflite.folder import write_conversion
    from embact.tflite.model import read

    source = read(model)
    asked = {"max_error": max_error, "max_bytes": max_bytes, "slope_bits": slope_bits}
    placements, reason = fitted(source, family, asked)
    if not placements:
        if json:
            show.as_json({"converted": None, "nothing_to_do": reason})
        else:
            show.say(f"{model}: nothing to do: {reason}")
        return
    written = write_conversion(out, source, placements)
    if json:
        import msgspec

        show.as_json(
            {
                "converted": str(written.model),
                "header": str(written.header),
                "report": msgspec.to_builtins(written.report),
            }
        )
        return
    show_placements(placements)
    show.say(f"\nwrote {written.model}, {written.header.name}, kernels/ and report.json")
    converted, stock = quote(str(written.model)), quote(str(model))
    show.say(f"next: embact eval {converted} --stock {stock} --data samples.npz")


def fitted(
    model: Model, family: str, asked: dict[str, int | None]
) -> tuple[Sequence[Placement], str]:
    """Return the placements of all sites, or none and the reason.

    asked: limits and options by name; what is None is decided for each site as `fit` does it.
    """
    from embact.fit.problem import Limits, Options, Problem
    from embact.tflite.placement import fit_problems
    from embact.tflite.sites import find_sites, nothing_to_do

    findings = find_sites(model)
    if reason := nothing_to_do(findings):
        return (), reason
    problems = []
    for site in findings.sites:
        # the cheapest structure is wanted of any family: only limits are filled in
        values = fill_in(asked, "auto", site.spec.input.bits)
        limits = Limits(values.pop("max_error"), values.pop("max_bytes", None))
        problems.append(Problem(site.activation, site.spec, limits, Options(**values)))
    return fit_problems(findings.sites, problems, family), ""


def show_placements(placements: Sequence[Placement]) -> None:
    """Print a table of sites, their kernels and errors."""
    show.table(
        (
            *("site", "activation", "quantisation", "family"),
            *("max_error_codes", "max_error_lsb", "table bytes"),
        ),
        [
            (
                "+".join(p.site.ops) + " " + ",".join(map(str, p.site.operators)),
                _activation_text(p.site),
                show.spec_text(p.site.spec),
                p.fit.family,
                p.fit.certificate.max_error_codes,
                p.fit.certificate.max_error_lsb,
                p.fit.kernel.table_bytes,
            )
            for p in placements
        ],
    )
