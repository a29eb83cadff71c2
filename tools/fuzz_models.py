"""Damage TFLite models in every way we can think of, and see what embact makes of them.

Each mutant goes through parse, find_sites and, where there are int8 sites, convert in each form and
everything that is written beside the model. It must be refused with an EmbactError or give a model
that parses again; an exception of another kind, a crash, a hang, too much memory, or a character of
one of its names in C, C++ or CMake is a failure. Mutants depend on --seed and their number alone.

Run it with `python tools/fuzz_models.py`: 20,000 mutants, some three minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz_mutations import MARK, mutant

from embact.errors import EmbactError
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.builtin_form import table_fit
from embact.tflite.convert import convert
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import conversion_files
from embact.tflite.layers import unit_of
from embact.tflite.model import parse
from embact.tflite.placement import place, place_layers
from embact.tflite.routines import distinguished
from embact.tflite.site_report import Decisions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.site import Findings

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (ROOT / "tests" / "tflite" / "corpus", ROOT / "embact" / "data")
FORMS = ("custom", "builtin", "override")
SECONDS = 5.0
MEMORY_BYTES = 4 << 30
MOST_SITES = 3
"""Of a mutant that are converted: fits take most of the time."""
MOST_TEXT = 1000
"""Characters of an error: longer ones hold a name of thousands."""

CODE = (".c", ".h", ".cc", "CMakeLists.txt")
LEAK = re.compile(re.escape(MARK) + r"([^A-Za-z0-9 _.,:;()+*=<>-]|[*]/)|[^\x00-\x7f]")
"""A character after our mark in a name that could end a comment, a string or a line; or beyond
ASCII, which our own text in C is not."""


class Wrong(Exception):  # noqa: N818 - a finding
    """Something that must not be."""


def corpus() -> list[bytes]:
    """Return the models that are damaged."""
    return [path.read_bytes() for folder in SOURCES for path in sorted(folder.glob("*.tflite"))]


def placements(model: Model, findings: Findings) -> tuple[Placed, ...]:
    """Return placements of the first int8 sites and layers, with the cheapest kernels there are."""
    sites = [one for one in findings.sites if one.spec.input.bits == 8][:MOST_SITES]
    layers = [one for one in findings.layers if isinstance(one.layer, Softmax | PreluLayer)]
    units = [unit_of(one) for one in layers[:MOST_SITES]]
    both: tuple[Placed, ...] = (
        *place(sites, [table_fit(one) for one in sites]),
        *place_layers(layers[:MOST_SITES], units),
    )
    return distinguished(model, both)


def examine(content: bytes, where: str) -> str:
    """Return what became of a model: refused, no sites, or converted; raises Wrong or whatever."""
    try:
        model = parse(content, where)
    except EmbactError as error:
        return _said("refused", error)
    try:
        found = {False: find_sites(model), True: find_sites(model, singles=True)}
    except EmbactError as error:
        return _said("read; no sites", error)
    results = {_converted(model, found[form == "override"], form) for form in FORMS}
    return "; ".join(sorted(results))


def _converted(model: Model, findings: Findings, form: str) -> str:
    try:
        placed = placements(model, findings)
        if not placed:
            return "read; nothing to convert"
        written = convert(model, placed, form)
    except EmbactError as error:
        return _said(f"{form} form refused", error)
    try:
        parse(written, model.where)
    except EmbactError as error:
        msg = f"the model in form {form} is not read: {error.got}"
        raise Wrong(msg) from error
    try:
        files = conversion_files(model, placed, written, Decisions(form=form))
    except EmbactError as error:
        return _said(f"files of {form} form refused", error)
    for name, text in files.items():
        leak = name.endswith(CODE) and LEAK.search(text.decode())
        if leak:
            msg = f"{name} holds {leak[0]!r} of a name"
            raise Wrong(msg)
    return "converted"


def _said(result: str, error: EmbactError) -> str:
    """Return a result with its reason, without the figures and names that differ."""
    if len(str(error)) > MOST_TEXT or not str(error).isprintable():
        msg = f"an error of {len(str(error))} characters: {str(error)[:200]!r}"
        raise Wrong(msg)
    return f"{result}: {error.what}"


# Processes


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant. fault: empty, or what is wrong, with where it was raised."""

    number: int
    how: str
    result: str
    fault: str


def worked(number: int, seed: int, models: Sequence[bytes], plant: str) -> Outcome:
    """Make and examine a mutant. plant: a bug to find, for the negative controls."""
    how, where, content = mutant(models, seed, number)
    try:
        if plant and number % 7 == 3:
            _planted(plant)
        return Outcome(number, how, examine(content, where), "")
    except Wrong as error:
        return Outcome(number, how, "WRONG", str(error))
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(at.filename).name}:{at.lineno}"
        return Outcome(number, how, "WRONG", f"{type(error).__name__} in {place}: {error}"[:300])


def _planted(plant: str) -> None:
    match plant:
        case "raise":
            raise KeyError("planted")
        case "crash":
            os.abort()
        case "hang":
            time.sleep(3600)
        case "memory":
            bytearray(MEMORY_BYTES)


def work(seed: int, plant: str) -> None:
    """Examine the mutants whose numbers come in, a line each; results go out likewise."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    models = corpus()
    for line in sys.stdin:
        print(json.dumps(vars(worked(int(line), seed, models, plant))), flush=True)


def _start(seed: int, plant: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, str(Path(__file__)), "--worker", "--seed", str(seed)]
    words += ["--plant", plant] if plant else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
    )


def _ask(child: subprocess.Popen[bytes], number: int, seconds: float) -> tuple[bool, bytes]:
    """Return whether anything came back in time, and the line, empty if the process ended."""
    if child.stdin is None or child.stdout is None:
        raise TypeError("a process with pipes is wanted")
    child.stdin.write(f"{number}\n".encode())
    ready, _, _ = select.select([child.stdout], [], [], seconds)
    return bool(ready), child.stdout.readline() if ready else b""


def outcomes(
    numbers: range, seed: int, plant: str = "", seconds: float = SECONDS
) -> Iterator[Outcome]:
    """Yield what became of mutants: those that end or stop their process are found out too."""
    child = None
    try:
        for number in numbers:
            fresh = child is None
            child = child or _start(seed, plant)
            # the first has to wait until everything is imported
            ready, line = _ask(child, number, seconds + 60 * fresh)
            if line:
                yield Outcome(**json.loads(line))
                continue
            child.kill()
            status = child.wait()
            ended = f"no end after {seconds:g} s" if not ready else f"the process ended: {status}"
            yield Outcome(number, "?", "WRONG", ended)
            child = None
    finally:
        if child is not None:
            child.kill()
            child.wait()


def summary(every: Sequence[Outcome], seed: int) -> dict[str, Any]:
    """Return the figures of a run."""
    results = Counter(one.result for one in every)
    return {
        "mutants": len(every),
        "seed": seed,
        "failures": sum(bool(one.fault) for one in every),
        "results": dict(results.most_common()),
        "mutations": dict(Counter(one.how for one in every).most_common()),
        "faults": [vars(one) for one in every if one.fault],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns 1 if a mutant was not handled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutants", type=int, default=20_000, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--plant", default="", help="raise, crash, hang, memory: see it found")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one mutant")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        work(args.seed, args.plant)
        return 0
    every = []
    for one in outcomes(
        range(args.first, args.first + args.mutants), args.seed, args.plant, args.seconds
    ):
        every.append(one)
        if one.fault:
            print(f"mutant {one.number} ({one.how}): {one.fault}", flush=True)
    figures = summary(every, args.seed)
    for result, count in figures["results"].items():
        print(f"{count:7}  {result}")
    print(f"{figures['mutants']} mutants, {figures['failures']} failures")
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return int(bool(figures["failures"]))


if __name__ == "__main__":
    sys.exit(main())
