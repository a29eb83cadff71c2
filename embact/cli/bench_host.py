"""What `embact bench --core host` prints: our loops against TFLite and numpy, as ratios."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embact.cli import show
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.bench.host import Comparison

RUNTIMES = ("litert", "tflite-runtime")
"""Those that are compared with, where they are installed."""

HEADINGS = (
    *("row", "elements", "built with", "against", "operator", "times as long", "spread"),
    *("ours, ns", "differ", "by codes"),
)


def bench_host(csv: str | None, *, json: bool) -> None:
    """Time every loop on this machine and show the ratios; csv: a file, or - for the output."""
    from embact.bench import host
    from embact.files import write_text

    missing = {name: why for name in RUNTIMES if (why := _why_missing(name))}
    found = [name for name in RUNTIMES if name not in missing]
    if not found:
        raise missing[RUNTIMES[0]]
    compared = host.compare_host(found, sizes=host.SIZES, rounds=host.ROUNDS)
    if csv is not None and csv != "-":
        write_text(Path(csv), host.as_csv(compared))
    if csv == "-":
        show.say(host.as_csv(compared).rstrip("\n"))
    elif json:
        show.as_json(host.document(compared, [str(why) for why in missing.values()]))
    else:
        _show(compared)
        for why in missing.values():
            show.say(f"skipped: {why}")
        if csv is not None:
            show.say(f"wrote {csv}")


def _why_missing(runtime: str) -> EmbactError | None:
    """Return what there is to say if a runtime cannot be imported."""
    from embact.tflite.host.runtime import find_runtime

    try:
        find_runtime(runtime)
    except EmbactError as error:
        return error
    return None


def _show(compared: Comparison) -> None:
    show.say(f"host: {compared.compiler}; one thread, resolver {compared.resolver}\n")
    show.table(
        HEADINGS,
        [
            (
                *(one.row, str(one.elements), one.build, one.against, one.operator),
                f"{one.ratio:.2f}",
                f"{one.low:.2f}..{one.high:.2f}",
                f"{one.nanoseconds:.3f}",
                str(one.differing),
                str(one.most),
            )
            for one in compared.ratios
        ],
    )
    show.say(
        "\ntimes as long: what the other takes over what ours takes, each the least of three, the "
        "median of rounds in which all take turns;\n"
        "spread: from the tenth to the ninetieth percentile. differ: outputs that differ from "
        "ours, and by how many codes at most.\n"
        "All outputs of ours equal the definition's."
    )
