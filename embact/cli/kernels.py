"""How fits, their witnesses and real fits look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.cli import show

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.fit.explain import Explanation, Need
    from embact.fit.real import RealFit
    from embact.fit.record import Fit


def show_fit(found: Fit, reason: str) -> None:
    """Print what was found, why it was taken and what is proved of it."""
    from embact.certify import stated
    from embact.cost import cost

    proved, histogram = found.certificate, found.problem.histogram
    core = found.problem.options.core
    settings = ", ".join(f"{k}={v:g}" for k, v in found.activation.said().items())
    chosen = ", ".join(f"{k} {v}" for k, v in found.candidate.parameters.items())
    mean = f"{stated(proved.mean_error_lsb)}{' over the histogram' if histogram else ''}"
    facts: list[tuple[str, object]] = [
        ("activation", f"{found.activation.name}{f' ({settings})' if settings else ''}"),
        ("formula", found.activation.formula),
        ("quantisation", show.spec_text(found.spec)),
        ("family", f"{found.family}{f' ({chosen})' if chosen else ''}"),
        ("why", reason),
        ("max_error_codes", proved.max_error_codes),
        ("max_error_lsb", stated(proved.max_error_lsb)),
        ("mean_error_lsb", mean),
        ("not correctly rounded", f"{proved.not_correctly_rounded} of {proved.points} inputs"),
        ("worst input", proved.worst_input),
        ("instructions", f"{cost(found.kernel, core)} for an element on {core}"),
        ("table bytes", found.kernel.table_bytes),
        ("digest", found.kernel.digest),
    ]
    if histogram is not None:
        most = f"{proved.max_error_codes_on_support} codes on {proved.support_points} inputs"
        facts.insert(7, ("on the support", f"at most {most}"))
    if proved.truth != "oracle":
        facts.append(("truth", "the user's float64 function, not checked by an oracle"))
    show.facts(facts)


def show_explanation(found: Fit, why: Explanation) -> None:
    """Print the witnesses for the kernel's shift, and what the other shifts need."""
    chosen = found.candidate.parameters
    budget = f"{found.limits.max_error} code{'s' * (found.limits.max_error != 1)}"
    if why.max_error_lsb is not None:
        budget = f"{why.max_error_lsb:.6f} lsb"
    slopes = f"slopes of {why.slope_bits} bits"
    if why.terms:
        slopes = f"slopes of at most {why.terms} signed powers of two"
    (proof,) = [proof for proof in why.proofs if proof.shift == chosen["shift"]]
    show.say(
        f"\nNo kernel with {slopes} and shift {proof.shift} serves every input within {budget} "
        f"by fewer than {proof.at_least} segments,\nbecause no one line serves all of any of these "
        f"stretches ({why.variable}; slopes in units of 2^-{proof.shift}):\n"
    )
    show.table(
        ("first", "last", "the slope must be at least", "and at most"),
        [(w.first, w.last, _need(w.at_least), _need(w.at_most)) for w in proof.witnesses],
    )
    others = [p for p in why.proofs if p.shift != proof.shift]
    if others:
        none = sum(p.at_least is None for p in others)
        some = [p.at_least for p in others if p.at_least is not None]
        show.say(
            f"\nThe other {len(others)} shifts: "
            + (f"{len(some)} need {min(some)} segments or more" if some else "")
            + (", " if some and none else "")
            + (f"{none} serve some input not at all" if none else "")
            + " (--json has their witnesses)"
        )


def _need(need: Need | None) -> str:
    if need is None:
        return "what the width allows"
    one, other = need.inputs
    if one == other:
        return f"impossible at {one}: no int32"
    return f"{need.slope} by {one} and {other}"


def explanation(why: Explanation) -> dict[str, object]:
    """Return the witnesses as plain lists and numbers; null is no bound but int32."""
    import msgspec

    from embact.fit.line import FREE

    bounds = why.bounds
    outputs = [
        (x, None if low <= -FREE else low, None if high >= FREE else high)
        for x, low, high in zip(
            bounds.x.tolist(), bounds.low.tolist(), bounds.high.tolist(), strict=True
        )
    ]
    plain: dict[str, object] = msgspec.to_builtins(
        {
            "variable": why.variable,
            "slope_bits": why.slope_bits,
            "terms": why.terms,
            "align": why.align,
            "max_error_lsb": why.max_error_lsb,
            "outputs": outputs,
            "proofs": why.proofs,
        }
    )
    return plain


def show_real(wanted: Activation, found: RealFit, *, continuous: bool) -> None:
    """Print the lines of a fit in real numbers, and their error."""
    show.facts(
        [
            ("activation", f"{wanted.name} on [{found.low:g}, {found.high:g}], real numbers"),
            ("segments", f"{found.segments}{', continuous' if continuous else ''}"),
            ("max_error", f"{found.max_error:.6g}; no such lines have less than {found.least:.6g}"),
            ("mean_error", f"{found.mean_error:.6g}"),
            ("mean_squared_error", f"{found.mean_squared_error:.6g}"),
        ]
    )
    show.say()
    starts = (found.low, *found.breakpoints)
    rows = zip(starts, found.slopes, found.intercepts, strict=True)
    show.table(("from", "slope", "intercept"), [[f"{v:.9g}" for v in row] for row in rows])
