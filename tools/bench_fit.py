"""Compare embact's fits with classic approximations, published tables and other fitters.

  classics  PLAN, A-law, Alippi-Storti, CRI, Zhang and others, against lines fitted by embact
  optima    the least maximum errors of n lines, against the known ones
  learned   the least mean squared errors on GQA-LUT's coefficient grid, against its published ones
  fitters   pwlf and scipy's optimisers, fitted to the same points
  integers  the least numbers of segments of integer kernels, against the known ones
  speed     seconds of work of every family, against the limits set for them

Each row is one method on one case; the last column says where embact is behind: more error than a
method with as many segments, or more segments, error or time than the number in column `known`.
Errors are absolute, on one grid for each case; seconds are processor time. It needs the extra
`bench`. Run it with `python tools/bench_fit.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.classics import classics
from bench.fitters import fitters
from bench.integer import integers, speed
from bench.real import learned, optima
from bench.rows import Row, table, write_csv
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SECTIONS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "classics": classics,
    "optima": optima,
    "learned": learned,
    "fitters": fitters,
    "integers": integers,
    "speed": speed,
}


def main(arguments: Sequence[str]) -> int:
    """Run the sections that are named, all by default; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="only what takes seconds")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows there as well")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"unknown section {unknown[0]!r}; the sections are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    for name in dict.fromkeys(options.sections or SECTIONS):
        found = list(SECTIONS[name](options.quick))
        console.print(table(name, found))
        rows += found
    behind = [f"{row.section} {row.case} {row.method}" for row in rows if row.behind]
    console.print(f"{len(rows)} rows, behind in {len(behind)}", *behind, sep="\n  ")
    if options.csv:
        write_csv(options.csv, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
