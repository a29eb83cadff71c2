"""Write the table of docs/tflite.md: what our models do today, and after `embact convert`.

    python tools/tflite_table.py            rewrite the part of docs/tflite.md between the comments
    python tools/tflite_table.py --check    change nothing; exit status 1 if that part is stale

It surveys every int8 model of tests/tflite/corpus and fits its sites, as `embact sites` and `embact
convert` do. It needs embact with its extra tflite, and takes about a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from written import update

from embact.cost import cost
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.tflite.find.sites import find_sites
from embact.tflite.model import read
from embact.tflite.site import Site
from embact.tflite.stock.survey import survey
from embact.tflite.stock.today import StockError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embact.tflite.stock.survey import Surveyed

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tflite.md"
CORPUS = ROOT / "tests" / "tflite" / "corpus"
BEGIN = "<!-- today and after: begin. Written by tools/tflite_table.py. -->"
END = "<!-- today and after: end -->"
CORE = "cortex-m4"
HEAD = ("file", "operators", "is", "in TFLM", "error today", "after", "instructions today", "after")


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield a row for each element-wise site of the int8 models in a folder, by file name."""
    for path in sorted(folder.glob("*__int8.tflite")):
        model = read(path)
        for one in survey(model, find_sites(model), CORE):
            if isinstance(one.site, Site):
                yield _row(path, one.site, one)


def _row(path: Path, site: Site, one: Surveyed) -> tuple[str, ...]:
    settings = site.activation.settings()
    named = ", ".join(f"{key}={value:g}" for key, value in settings.items())
    problem = Problem(site.activation, site.spec, Limits(1), Options(core=CORE))
    found = fit(problem)
    today = "not known"
    if isinstance(one.error, StockError):
        today = str(one.error.max_error_codes)
    price = one.now.per_element
    return (
        path.name.removesuffix("__int8.tflite"),
        " ".join(site.ops),
        site.activation.name + (f" ({named})" if named else ""),
        one.tflm.answer,
        today,
        str(found.certificate.max_error_codes),
        "-" if price is None else f"{price:.0f}",
        f"{cost(found.kernel, CORE).instructions:.2f}",
    )


def table(folder: Path = CORPUS) -> str:
    """Return the table in Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows(folder)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str], page: Path = PAGE) -> int:
    """Rewrite or check the page; returns the exit status, 2 where the comments are not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    return update(page, (BEGIN, END), table(), "tools/tflite_table.py", check=options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
