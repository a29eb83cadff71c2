"""What stands before the kernels of a header: common definitions, tiers, hand-written loops.

Includes of our own files are resolved, each once, so that a header stands alone. This module must
not know kernels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = re.compile(r'^#include "(embact_\w+\.h)"\n', re.MULTILINE)
"""A line that includes a file of ours."""

ALWAYS = ("embact.h", "embact_tiers.h")
"""What every header begins with."""


def included(text: str) -> list[str]:
    """Return the names of our files that a C text includes, in order.

    >>> included('#include <stdint.h>' + chr(10) + '#include "embact_tiers.h"' + chr(10))
    ['embact_tiers.h']
    """
    return OURS.findall(text)


def loop_source(name: str) -> str:
    """Return the text of a header that loops are made of."""
    return c_source(name if name in ALWAYS else f"loops/{name}")


def preamble(loops: Iterable[str]) -> list[str]:
    """Return the texts that loops need, and theirs, in an order in which each can be compiled."""
    found: dict[str, str] = {}

    def add(name: str) -> None:
        if name not in found:
            text = loop_source(name)
            for other in included(text):
                add(other)
            found[name] = re.sub(r"\n{3,}", "\n\n", OURS.sub("", text))

    for name in (*ALWAYS, *loops):
        add(name)
    return list(found.values())
