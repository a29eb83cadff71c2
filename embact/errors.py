"""What went wrong, in the user's words: what, got, allowed, where.

This module must not know anything about activations, kernels, files or the command line.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class EmbactError(Exception):
    """A mistake that the user can correct; its text is one line and the command line prints it."""

    def __init__(
        self, what: str, *, got: object = None, allowed: str = "", where: str = ""
    ) -> None:
        self.what = what
        self.got = got
        self.allowed = allowed
        self.where = where
        super().__init__(str(self))

    def __str__(self) -> str:
        """Return ``where: what: got X; allowed: Y``, leaving out the parts that are not known."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.got is not None:
            text += f": got {self.got}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        return " ".join(text.split())


class CheckFailed(EmbactError):  # noqa: N818 - nobody's mistake, so not called an error
    """A check of ours that did not hold; the command line exits with status 1."""


def unknown_name(kind: str, got: str, names: Iterable[str], *, where: str = "") -> EmbactError:
    """Return the error for a name that does not exist, with the nearest ones that do."""
    known = sorted(names)
    nearest = difflib.get_close_matches(got, known, n=3, cutoff=0.5)
    allowed = f"nearest: {', '.join(nearest)}; all: " if nearest else ""
    return EmbactError(
        f"unknown {kind}",
        got=repr(got),
        allowed=allowed + (", ".join(known) or "none"),
        where=where,
    )
