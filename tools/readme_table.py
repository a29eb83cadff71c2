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

from written import update

from embact.listing import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- embact list: begin. Written by tools/readme_table.py. -->"
END = "<!-- embact list: end -->"


def main(arguments: Sequence[str], readme: Path = README) -> int:
    """Rewrite or check a README; returns the exit status, 2 where the comments are not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(arguments)
    return update(readme, (BEGIN, END), markdown(), "tools/readme_table.py", check=options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
