"""The command that lists the activations of a TFLite model: sites."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embact.cli import show
from embact.cli.models import DEFAULT_CORE, ModelFile, activation_text
from embact.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from embact.tflite.site import Findings, LayerSite, Site
    from embact.tflite.stock.survey import Surveyed, Totals
    from embact.tflite.stock.today import NoStockError, StockError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(sites)


def sites(
    model: ModelFile,
    core: Annotated[
        str, typer.Option(metavar="CORE", help="Whose instructions: cortex-m0plus .. cortex-m55.")
    ] = DEFAULT_CORE,
    no_accuracy: Annotated[
        bool, typer.Option("--no-accuracy", help="Do not run what is in the model on all inputs.")
    ] = False,
    json: Json = False,
) -> None:
    """List the activations of a model: what they cost today, how exact they are, what can be done.

    The cost today is that of TFLite Micro's kernels, counted on an emulator. The error today is
    that of the model's operators on every input code, against the real function.

    Example: `embact sites model.tflite --core cortex-m55`
    """
    from embact.cores import core as core_of
    from embact.tflite.find.sites import find_sites, nothing_to_do
    from embact.tflite.model import read
    from embact.tflite.stock.survey import survey, totals

    asked, source = core_of(core), read(model)
    findings = find_sites(source)
    found = survey(source, findings, asked.name, accuracy=not no_accuracy)
    reason = nothing_to_do(findings)
    if json:
        show.as_json(_document(found, findings, asked.name, reason))
        return
    if reason:
        show.wrapped(f"{model}: {reason}")
        _show_commands(findings)
        return
    for one in found:
        _show_site(one)
    _show_totals(totals(found), asked.name)
    _show_skipped(findings)
    show.say(f"\nnext: embact convert {quote(str(model))} --out converted/ --core {asked.name}")


def _name(site: Site | LayerSite) -> str:
    from embact.tflite.site import LayerSite
    from embact.tflite.stock.survey import layer_name

    return layer_name(site.layer) if isinstance(site, LayerSite) else activation_text(site)


def _document(
    found: Iterable[Surveyed], findings: Findings, core: str, reason: str
) -> dict[str, Any]:
    """Return everything that is known, for machines."""
    import msgspec

    from embact.tflite.site import LayerSite
    from embact.tflite.stock.survey import totals

    found = tuple(found)
    listed = [(one.site, _facts(one)) for one in found]
    return {
        "core": core,
        "sites": [facts for site, facts in listed if not isinstance(site, LayerSite)],
        "layers": [facts for site, facts in listed if isinstance(site, LayerSite)],
        "totals": msgspec.to_builtins(totals(found)),
        "skipped": msgspec.to_builtins(findings.skipped),
        "nothing_to_do": reason,
    }


def _facts(one: Surveyed) -> dict[str, Any]:
    import msgspec

    from embact.tflite.site import LayerSite
    from embact.tflite.stock.survey import layer_name

    site, now = one.site, one.now
    facts: dict[str, Any] = {
        "operators": site.operators,
        "ops": site.ops,
        "tensor": site.tensor,
        "input": site.input,
        "output": site.output,
        "elements": site.elements,
        "quantisation": {"input": site.spec.input, "output": site.spec.output},
        "about": site.about,
    }
    if isinstance(site, LayerSite):
        facts |= {"layer": layer_name(site.layer), "row_size": site.row_size}
    else:
        facts |= {
            "activation": site.activation.name,
            "parameters": site.activation.settings(),
            "expression": site.activation.expression or "",
        }
    facts["today"] = {
        "operators": now.operators,
        "instructions_per_element": now.per_element,
        "instructions_per_inference": now.per_inference,
        "unknown": now.unknown,
    }
    facts |= {"embact": one.ours, "tflm": one.tflm, "stock_error": one.error}
    return dict(msgspec.to_builtins(facts))


def _show_site(one: Surveyed) -> None:
    """Print what is known of a site: a heading, and a line for each fact."""
    site = one.site
    show.wrapped(f"{_name(site)}: {' + '.join(site.ops)} ({_where(site.operators)})")
    verdict = one.tflm.answer + (f": {one.tflm.why}" if one.tflm.why else "")
    facts = [
        ("  tensor", f"{_shown(site.tensor)}, {_counted(site.elements, 'element')}"),
        ("  quantisation", show.spec_text(site.spec)),
        *_about(site),
        ("  in TFLM", verdict),
        ("  today", _now_text(one)),
        ("  embact", _ours_text(one)),
        ("  error today", _error_text(one.error)),
    ]
    show.sheet([(name, text) for name, text in facts if text])
    show.say()


def _about(site: Site | LayerSite) -> list[tuple[str, str]]:
    """Return what else is known of a site: the formula that was read from the graph, or a note."""
    from embact.tflite.site import LayerSite

    if isinstance(site, LayerSite) or site.about != site.activation.formula:
        return [("  note", site.about)]
    return [("  computes", site.about)]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'} for an inference"


def _where(operators: tuple[int, ...]) -> str:
    return f"operator{'' if len(operators) == 1 else 's'} {_spans(operators)}"


def _shown(name: str) -> str:
    """Return a tensor's name without what a terminal would obey, and not too long."""
    plain = "".join(c if c.isprintable() else "?" for c in name) or "(no name)"
    return plain if len(plain) <= 60 else f"{plain[:57]}..."


def _spans(numbers: tuple[int, ...]) -> str:
    """Return numbers in short: 1..3, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in spans)


def _now_text(one: Surveyed) -> str:
    now, elements = one.now, max(1, one.site.elements)
    parts = ", ".join(
        f"{part.operator} {part.instructions / elements:.1f}"
        for part in now.operators
        if part.instructions is not None
    )
    if now.per_element is not None:
        return f"{now.per_element:.1f} instructions for an element" + (
            f": {parts}" if len(now.operators) > 1 else ""
        )
    if one.tflm.answer == "no":
        return "- (it does not run)" + (f"; its other operators: {parts}" if parts else "")
    unknown = "; ".join(now.unknown)
    return f"not known ({unknown})" + (f"; its other operators: {parts}" if parts else "")


def _ours_text(one: Surveyed) -> str:
    ours = one.ours
    if ours.instructions is None:
        return f"not known: {ours.form}"
    how = "at most" if ours.at_most else "about"
    return f"{how} {ours.instructions:.1f} instructions for an element, {ours.form}"


def _error_text(error: StockError | NoStockError | None) -> str:
    from embact.certify import stated
    from embact.tflite.stock.today import StockError

    if error is None:
        return ""
    if not isinstance(error, StockError):
        return f"- ({error.reason})"
    return (
        f"{error.max_error_codes} {'code' if error.max_error_codes == 1 else 'codes'} "
        f"({stated(error.max_error_lsb)} lsb at {error.worst_input}, "
        f"mean {stated(error.mean_error_lsb)}); {error.not_correctly_rounded} of {error.points} "
        f"not correctly rounded{'' if error.truth == 'oracle' else ' (by float64)'}; "
        f"{error.runtime}, {error.resolver} kernels"
    )


def _show_totals(total: Totals, core: str) -> None:
    """Print the sums; a site whose cost is not known is in none of them, and that is said."""
    show.wrapped(f"Instructions for an inference on {core}{_sums(total)}.")
    if total.float_unit:
        show.wrapped(f"Float operators were counted with {total.float_unit}.")


def _sums(total: Totals) -> str:
    if not total.counted:
        now = _sum_text(total.now, total.now_counted, total.sites)
        own = _sum_text(total.own, total.own_counted, total.sites)
        return f": {now} today, {'' if total.own is None else 'about '}{own} with embact"
    sums = f": {total.today:,.0f} today, about {total.embact:,.0f} with embact"
    if total.counted == total.sites:
        return sums
    sums = f", of the {total.counted} sites of {total.sites} whose cost is known{sums}"
    if total.own is None or total.own_counted == total.counted:
        return sums
    which = "all " if total.own_counted == total.sites else ""
    return f"{sums} ({total.own:,.0f} for {which}{total.own_counted})"


def _sum_text(amount: float | None, counted: int, sites: int) -> str:
    """Return a sum, and of how many sites it is unless it is of all."""
    if amount is None:
        return "not known"
    return f"{amount:,.0f}" + (f" (for {counted} of {sites} sites)" if counted < sites else "")


def _show_skipped(findings: Findings) -> None:
    """Print what is left alone, each reason once."""
    reasons = dict.fromkeys((skip.op, skip.reason) for skip in findings.skipped)
    if reasons:
        show.say("\nleft alone:")
    for op, reason in reasons:
        same = tuple(
            skip.operator for skip in findings.skipped if (skip.op, skip.reason) == (op, reason)
        )
        show.wrapped(f"  {op} ({_where(same)})")
        show.sheet([("  ", reason)])
    _show_commands(findings)


def _show_commands(findings: Findings) -> None:
    """Print the commands that write the C of what is left alone, each once."""
    for command in dict.fromkeys(skip.command for skip in findings.skipped if skip.command):
        where = tuple(skip.operator for skip in findings.skipped if skip.command == command)
        show.say(f"its C ({_where(where)}): {command}")
