"""The command that replaces the activations of TFLite models: convert."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from embact.cli import show
from embact.cli.converted import show_nothing, show_placements, show_plan, show_written
from embact.cli.options import (
    Core,
    Family,
    Json,
    MaxBytes,
    MaxError,
    SlopeBits,
    Target,
    fill_in,
    read_target,
)
from embact.errors import EmbactError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.fit.problem import Problem
    from embact.tflite.conversion import Trial
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.site import Site

__all__ = ["ImageRange", "ModelFile", "activation_text", "fitted", "register", "show_placements"]

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL.tflite", help="int8 or int16 model.")]
ImageRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW:HIGH|codes",
        help="For images: real values of black and white, such as 0:1; or pixels are codes.",
    ),
]

DEFAULT_CORE = "cortex-m4"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(convert)


def activation_text(site: Site) -> str:
    """Return the function of a site and its parameters: leaky_relu(alpha=0.1)."""
    settings = ", ".join(f"{k}={v:g}" for k, v in site.activation.settings().items())
    return site.activation.name + (f"({settings})" if settings else "")


def convert(
    model: ModelFile,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")],
    form: Annotated[
        str,
        typer.Option(
            metavar="custom|builtin|override",
            help="One custom op for each activation; or tables by CAST, ADD and GATHER, for "
            "runtimes you cannot change; or the model untouched, and kernels in place of TFLM's.",
        ),
    ] = "custom",
    core: Core = DEFAULT_CORE,
    target: Target = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="tflm", help="Keep TFLM's bits; what it has no integer kernel of is left alone."
        ),
    ] = None,
    replace: Annotated[
        str | None,
        typer.Option(
            metavar="OLD=NEW,...|auto",
            help="Other activations, which changes the model: silu=hard_swish,gelu=silu. auto: "
            "the cheapest that --data and --max-drop allow.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz|FOLDER", help="As for `eval`; the drop is then reported."),
    ] = None,
    image_range: ImageRange = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="top1|top5|agreement|mse|mae", help="Default: by what y holds."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="D",
            help="Write nothing, with exit status 1, if the metric falls further: percentage "
            "points; mse, mae: percent.",
        ),
    ] = None,
    resolver: Annotated[
        str,
        typer.Option(
            metavar="reference|default|tflm-oracle", help="Which stock kernels run the data."
        ),
    ] = "reference",
    family: Family = "auto",
    max_error: MaxError = None,
    max_bytes: MaxBytes = None,
    slope_bits: SlopeBits = None,
    json: Json = False,
) -> None:
    """Convert a model: its activations by proved integer kernels, and all that firmware needs.

    DIR gets the model, the C of its kernels, the glue for TFLM, the model as a C array, a
    CMakeLists.txt, a README.md and report.json, which has every decision and why. A model without
    an activation to replace is left alone, and the reason printed.

    Example: `embact convert model.tflite --out converted/ --core cortex-m4`
    """
    from embact.tflite.conversion import Request, errors_today, prepare
    from embact.tflite.folder import write_conversion
    from embact.tflite.model import read
    from embact.tflite.planning import Wanted
    from embact.tflite.replace.named import parse_replacements

    asked = {"max_error": max_error, "max_bytes": max_bytes, "slope_bits": slope_bits}
    strict = family != "auto" or any(value is not None for value in asked.values())
    given = {"family": family, **asked, "like": like, "replace": replace}
    request = Request(
        wanted=Wanted(form, like or "", family, strict),
        core=core,
        problem_of=problems(asked, core, in_model=form == "builtin" and family == "auto"),
        replace=replace,
        target="" if target is None else target,
        options={name: value for name, value in given.items() if value is not None},
    )
    # what cannot be is refused before minutes are spent
    read_target(target)
    if replace is not None:
        parse_replacements(replace)
    if like and strict:
        raise EmbactError("options for fitting", got=f"--like {like}", allowed="one of them")
    if target and form == "builtin":
        raise EmbactError("--target", got="--form builtin, which has no C", allowed="another form")
    if out.exists() or out.is_symlink():
        raise EmbactError("output folder", got=f"{out} exists", allowed="a new folder")
    if not out.absolute().parent.is_dir():
        raise EmbactError(
            "output folder", got=f"{out.parent} is no folder", allowed="a new folder in one"
        )
    source = read(model)
    trial = _trial(source, data, image_range, metric, max_drop, resolver)
    prepared = prepare(source, request, trial, (lambda _: None) if json else show.say)
    if not prepared.placements:
        show_nothing(model, prepared, json=json)
        return
    errors = errors_today(source, request.wanted)
    written = write_conversion(out, source, prepared.placements, prepared.decisions, errors)
    if not json:
        show_plan(prepared, written.report)
    pixels = "" if image_range is None else f" --image-range={quote(image_range)}"
    show_written(written, model, f"--data {quote(str(data or 'samples.npz'))}{pixels}", json=json)


def _trial(
    source: Model,
    data: Path | None,
    image_range: str | None,
    metric: str | None,
    max_drop: float | None,
    resolver: str,
) -> Trial | None:
    """Return the data to try a conversion on, or None. Raises EmbactError for options without."""
    from embact.tflite.conversion import Trial
    from embact.tflite.host.child import Runner
    from embact.tflite.host.images import load_samples, scaling_of
    from embact.tflite.host.runtime import check_resolver
    from embact.tflite.replace.metrics import check_metric

    check_resolver(resolver)
    if data is None:
        options = {"--image-range": image_range, "--metric": metric, "--max-drop": max_drop}
        for option, value in options.items():
            if value is not None:
                raise EmbactError(option, got="no data", allowed="with --data")
        return None
    scaling = None if image_range is None else scaling_of(image_range)
    samples = load_samples(data, source, scaling)
    if metric is not None:
        check_metric(metric, source, samples, has_stock=True)
    return Trial(samples, metric, max_drop, Runner(None, resolver))


def problems(
    asked: dict[str, int | None], core: str, *, in_model: bool = False
) -> Callable[[Site], Problem]:
    """Return the function that gives limits and options for a site.

    asked: limits and options by name; what is None is decided for each site as `fit` does it.
    in_model: whether tables go into the model, whole, where only the user limits them.
    """
    from embact.fit.problem import Limits, Options, Problem

    def problem_of(site: Site) -> Problem:
        # the cheapest structure is wanted of any family: only limits are filled in
        values = fill_in(asked, "auto", site.spec.input.bits)
        most = values.pop("max_bytes", None)
        limits = Limits(values.pop("max_error"), asked["max_bytes"] if in_model else most)
        return Problem(site.activation, site.spec, limits, Options(**values, core=core))

    return problem_of


def fitted(model: Model, family: str, asked: dict[str, int | None]) -> tuple[Sequence[Placed], str]:
    """Return the placements of all sites and layers, or none and the reason.

    asked: as for ``problems``.
    """
    from embact.tflite.conversion import Request, prepare
    from embact.tflite.planning import Wanted

    strict = family != "auto" or any(value is not None for value in asked.values())
    wanted = Wanted(family=family, strict=strict)
    request = Request(wanted, DEFAULT_CORE, problems(asked, DEFAULT_CORE))
    prepared = prepare(model, request, None, lambda _: None)
    return prepared.placements, prepared.reason
