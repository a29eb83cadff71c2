"""Write the README's tables of activations from what `embact list --markdown` prints.

    python tools/readme_table.py            rewrite the part of README.md between the two comments
    python tools/readme_table.py --check    change nothing; exit status 1 if that part is stale

It needs embact installed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from embact.files import write_text
from embact.listing import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- embact list: begin. Written by tools/readme_table.py. -->"
END = "<!-- embact list: end -->"


def rewritten(text: str, tables: str) -> str:
    """Return a text with what is between the two comments replaced by the tables.

    Raises ValueError unless each comment is there once, in their order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"one {BEGIN} and, after it, one {END} are needed")
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def main(arguments: Sequence[str], readme: Path = README) -> int:
    """Rewrite or check a README; returns the exit status, 2 where the comments are not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    text = readme.read_text("utf-8")
    try:
        wanted = rewritten(text, markdown())
    except ValueError as error:
        print(f"error: {readme}: {error}", file=sys.stderr)
        return 2
    if options.check:
        if text != wanted:
            print(f"{readme} is stale: run python tools/readme_table.py", file=sys.stderr)
        return int(text != wanted)
    if text != wanted:
        write_text(readme, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
