"""The command that lists the activations of a TFLite model: sites."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from embact.cli import show
from embact.cli.models import ModelFile, activation_text
from embact.cli.options import Json

if TYPE_CHECKING:
    import typer

    from embact.tflite.site import Findings, Site


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(sites)


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
                activation_text(site),
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
