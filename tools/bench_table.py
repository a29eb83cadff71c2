"""Write the README's table of measured kernels from embact/data/bench.json.

    python tools/bench_table.py              rewrite the part of README.md between two comments
    python tools/bench_table.py --check      change nothing; exit status 1 if that part is stale
    python tools/bench_table.py --measure    first measure again and write embact/data/bench.json

It needs embact installed; --measure needs a compiler and an emulator of every core.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from written import update

from embact.bench.table import markdown
from embact.errors import EmbactError
from embact.files import write_text
from embact.sources import data_file

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).parent.parent / "README.md"
DATA = data_file("bench.json")
BEGIN = "<!-- embact bench: begin. Written by tools/bench_table.py. -->"
END = "<!-- embact bench: end -->"


def measured() -> dict[str, Any]:
    """Return the document that ``embact bench --core all --json`` prints.

    Raises EmbactError if a core cannot be measured or an output is wrong.
    """
    from embact.bench.campaign import run_cores
    from embact.bench.rows import standard
    from embact.bench.table import document
    from embact.cores import CORES

    report = run_cores(standard(), list(CORES))
    if report.skipped:
        raise EmbactError(
            f"{report.skipped[0].core} cannot be measured", got=report.skipped[0].reason
        )
    for (core, row), told in report.wrong.items():
        raise EmbactError(f"{row} on {core} is wrong", got=told)
    return document(report)


def text_of(found: dict[str, Any]) -> str:
    """Return the data file: a line for each row and core."""
    rows = ",\n  ".join(json.dumps(row) for row in found["rows"])
    rest = ",\n".join(f' "{k}": {json.dumps(v)}' for k, v in found.items() if k != "rows")
    return f'{{\n{rest},\n "rows": [\n  {rows}\n ]\n}}\n'


def table_of(found: dict[str, Any]) -> str:
    """Return the README's table of a document, and what counted it."""
    sources = sorted({f"{row['compiler']}, {row['where']}" for row in found["rows"]})
    return f"{markdown(found['rows'], found['today'])}\n\nCounted with {'; '.join(sources)}."


def main(arguments: Sequence[str], readme: Path = README, data: Path = DATA) -> int:
    """Rewrite or check a README; returns the exit status, 2 where that cannot be done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--measure", action="store_true", help="first measure again")
    options = parser.parse_args(arguments)
    if options.check and options.measure:
        parser.error("--check changes nothing: leave out --measure")
    try:
        if options.measure:
            write_text(data, text_of(measured()))
        part = table_of(json.loads(data.read_text("utf-8")))
    except (EmbactError, ValueError) as error:
        print(f"error: {readme}: {error}", file=sys.stderr)
        return 2
    return update(readme, (BEGIN, END), part, "tools/bench_table.py", check=options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
