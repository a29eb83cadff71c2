"""What the programs of this folder write: parts of pages, data files with a line for each row."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from embact.files import write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


def rewritten(text: str, begin: str, end: str, part: str) -> str:
    """Return a text with what is between two comments replaced.

    Raises ValueError unless each comment is there once, in their order.
    """
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest or end in before + after:
        raise ValueError(f"one {begin} and, after it, one {end} are needed")
    return f"{before}{begin}\n\n{part.strip()}\n\n{end}{after}"


def update(page: Path, comments: tuple[str, str], part: str, program: str, *, check: bool) -> int:
    """Rewrite the part of a page between two comments, or only compare it, and return the status.

    0: it is current now. 1: it was compared and is stale. 2: a comment is missing.
    """
    text = page.read_text("utf-8")
    try:
        wanted = rewritten(text, *comments, part)
    except ValueError as error:
        print(f"error: {page}: {error}", file=sys.stderr)
        return 2
    if text == wanted:
        return 0
    if check:
        print(f"{page} is stale: run python {program}", file=sys.stderr)
        return 1
    write_text(page, wanted)
    return 0


def json_lines(document: Mapping[str, Any], rows: Collection[str]) -> str:
    """Return a document as JSON with a line for each key, and for each item of the keys in rows."""
    lines = []
    for key, value in document.items():
        if key in rows:
            items = ",\n  ".join(json.dumps(item) for item in value)
            lines.append(f' "{key}": [\n  {items}\n ]')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"
