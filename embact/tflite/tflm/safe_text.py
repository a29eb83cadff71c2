"""Texts of others made safe for C, C++, CMake and Markdown: names of models and operators.

A name may hold anything: quotes, ``*/``, newlines, bytes that are not UTF-8, or ten thousand
characters. This module must not know whose names they are.
"""

from __future__ import annotations

import hashlib
import re

TEXT_MAX = 80
NAME_MAX = 40

_UNSAFE = re.compile(r"[^A-Za-z0-9 _.,:;()+*=<>-]")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")


def plain(text: str, limit: int = TEXT_MAX) -> str:
    """Return the text with all but letters, digits and ``_.,:;()+*=<>-`` and spaces replaced by _.

    What comes back can stand in a comment or between double quotes of C, C++ and CMake, and
    between the backticks of Markdown. Longer texts are cut, and end with dots.

    >>> plain('a*/b"c' + chr(10) + '#define')
    'a*_b_c__define'
    """
    safe = _UNSAFE.sub("_", text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def identifier(text: str) -> str:
    r"""Return a name for C, C++ and CMake made of lower-case letters, digits and underscores.

    The same text gives the same name. Hyphens, dots and spaces become underscores; where more is
    lost, or the text is longer than 40 characters, 8 digits of its SHA-256 tell names apart. It may
    begin with a digit: put a prefix before it.

    >>> identifier("Keyword-v1.2"), identifier("mod\xe8le")
    ('keyword_v1_2', 'mod_le_bf5d8ba8')
    """
    simple = re.sub(r"[-. ]", "_", text).lower()
    name = re.sub(r"_+", "_", _NOT_IN_NAMES.sub("_", simple[:NAME_MAX])).strip("_")
    if len(simple) <= NAME_MAX and not _NOT_IN_NAMES.search(simple) and name:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name}_{digest}".strip("_")
