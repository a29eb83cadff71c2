"""A folder that times rows on real hardware: C, linker script, Makefile, and how to use them.

It needs nothing of embact to be built. What its program prints is read by ``board``. This module
must not know which rows there are, or compilers.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact import __version__
from embact.errors import EmbactError
from embact.grid import all_codes
from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.bench.subject import Subject
    from embact.cores import Core
    from embact.grid import Codes

FIXED = (
    "board.ld",
    "embact_board.h",
    "embact_board_counter.c",
    "embact_board_memory.c",
    "embact_board_output.c",
    "embact_board_run.c",
    "embact_board_start.c",
)
"""Files of ``c_src/board`` that are the same in every folder."""

ROWS = "embact_board_rows.c"
"""The rows: inputs, checksums, sizes."""

FILL = 0xA5
GUARD_BYTES = 16
CHUNK = 256
"""As in embact_board.h."""

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class _Row:
    """A row in the folder. place: its own folder. function: what calls its loop."""

    subject: Subject
    place: str
    function: str

    @property
    def whole_domain(self) -> bool:
        """Whether it is a function of one code, which the board tries on all of them."""
        every, bits = self.subject.every, self.subject.in_bits
        return self.subject.step == 1 and np.array_equal(every.codes, all_codes(bits))


def board_files(subjects: Sequence[Subject], core: Core) -> dict[str, str]:
    """Return the texts of a board's folder by their places in it.

    Each row has a folder with its headers, so that two rows may have headers of one name; C files
    of the library are there once. Raises EmbactError for no rows, two rows of one name, a name that
    cannot be printed, or two C files of one name and other texts.
    """
    rows = _rows(subjects)
    files = {name: c_source(f"board/{name}") for name in FIXED}
    for row in rows:
        files |= _row_files(row)
    files |= _library(subjects)
    output_bytes = GUARD_BYTES + max(
        max(row.subject.counted.expected.size, CHUNK) * row.subject.out_bits // 8 for row in rows
    )
    input_bytes = max(
        max(row.subject.counted.codes.size, CHUNK) * row.subject.in_bits // 8 for row in rows
    )
    input_bytes, output_bytes = -(-input_bytes // 16) * 16, -(-output_bytes // 16) * 16
    files[ROWS] = _rows_source(rows, input_bytes, output_bytes)
    sources = sorted(name for name in files if name.endswith(".c"))
    words = {
        "CORE": core.name,
        "RAM": str(input_bytes + output_bytes),
        "ROWS": str(len(rows)),
        "NAMES": ", ".join(f"`{row.subject.name}`" for row in rows),
        "SOURCES": " \\\n".join(f"  {name}" for name in sources),
    }
    for name in ("Makefile", "README.md"):
        files[name] = re.sub(
            r"@([A-Z]+)@", lambda found: words[found[1]], c_source(f"board/{name}")
        )
    return files


def _rows(subjects: Sequence[Subject]) -> list[_Row]:
    if not subjects:
        raise EmbactError("a board's folder of no rows", allowed="at least one row")
    rows: list[_Row] = []
    for number, subject in enumerate(subjects):
        if not re.fullmatch(r"[ !#-\[\]-~]{1,80}", subject.name):
            raise EmbactError(
                "name of a row", got=repr(subject.name), allowed='ASCII without " and backslash'
            )
        if any(row.subject.name == subject.name for row in rows):
            raise EmbactError("two rows of one name", got=subject.name)
        plain = re.sub(r"\W", "_", subject.name, flags=re.ASCII)
        rows.append(_Row(subject, f"rows/{number:02}_{plain}", f"embact_board_row_{number:02}"))
    return rows


def _row_files(row: _Row) -> dict[str, str]:
    """Return a row's headers and the C file that calls its loop and holds nothing of other rows."""
    subject = row.subject
    headers = {
        f"{row.place}/{name}": text
        for name, text in subject.files.items()
        if not name.endswith(".c")
    }
    signature = f"void {row.function}(const void *from, void *to, int32_t size)"
    text = (
        f"/* {subject.name} */\n"
        f'#include "{subject.include}"\n\n'
        f"{signature};\n\n"
        f"{signature} {{\n"
        f"    const int{subject.in_bits}_t *const input = (const int{subject.in_bits}_t *)from;\n"
        f"    int{subject.out_bits}_t *const output = (int{subject.out_bits}_t *)to;\n"
        f"    (void){subject.call};\n"
        "}\n"
    )
    return {**headers, f"{row.place}/row.c": text}


def _library(subjects: Sequence[Subject]) -> dict[str, str]:
    """Return the C files that rows bring and the headers that these include, once each."""
    shared: dict[str, str] = {}
    for subject in subjects:
        waiting = [name for name in subject.files if name.endswith(".c")]
        taken: dict[str, str] = {}
        while waiting:
            name = waiting.pop()
            if name in taken or name not in subject.files:
                continue
            taken[name] = subject.files[name]
            waiting += INCLUDE.findall(taken[name])
        for name, text in taken.items():
            if shared.setdefault(f"library/{name}", text) != text:
                raise EmbactError("two C files of one name", got=name, where=subject.name)
    return shared


def crc(octets: bytes) -> int:
    """Return the CRC-32 that the board computes: that of zlib, PNG and Ethernet.

    >>> f"{crc(b'123456789'):08x}"
    'cbf43926'
    """
    return zlib.crc32(octets)


def _octets(codes: Codes, bits: int) -> bytes:
    """Return codes as a board holds them: little-endian."""
    return codes.astype(f"<i{bits // 8}").tobytes()


def _output_crc(row: _Row, size: int, output_bytes: int) -> int:
    """Return the checksum of the whole output buffer after a call with that size."""
    used = _octets(row.subject.counted.expected[: size * row.subject.step], row.subject.out_bits)
    return crc(used + bytes([FILL]) * (output_bytes - len(used)))


def _rows_source(rows: Sequence[_Row], input_bytes: int, output_bytes: int) -> str:
    arrays: dict[tuple[int, bytes], str] = {}
    texts, entries = [], []
    for row in rows:
        subject, bits = row.subject, row.subject.in_bits
        key = (bits, _octets(subject.counted.codes, bits))
        if key not in arrays:
            arrays[key] = f"embact_board_codes_{len(arrays)}"
            texts.append(_array(arrays[key], subject.counted.codes, bits))
        texts.append(f"void {row.function}(const void *from, void *to, int32_t size);\n")
        entries.append(_entry(row, arrays[key], len(key[1]), output_bytes))
    return (
        f"/* Generated by embact {__version__}: what is timed, on which inputs. */\n"
        '#include "embact_board.h"\n\n'
        f"{_buffer('input', input_bytes)}{_buffer('output', output_bytes)}"
        f"const uint32_t embact_board_output_bytes = {output_bytes};\n\n"
        f"{''.join(texts)}\n"
        f"const uint32_t embact_board_row_count = {len(rows)};\n\n"
        f"const embact_board_row embact_board_rows[] = {{\n{''.join(entries)}}};\n"
    )


def _buffer(name: str, size: int) -> str:
    return f"uint32_t embact_board_{name}[{size // 4}] __attribute__((aligned(16)));\n"


def _array(name: str, codes: Codes, bits: int) -> str:
    values = textwrap.fill(", ".join(map(str, codes.tolist())), 92, break_on_hyphens=False)
    return (
        f"static const int{bits}_t {name}[{codes.size}] = {{\n"
        f"{textwrap.indent(values, '    ')},\n}};\n"
    )


def _entry(row: _Row, codes: str, input_bytes: int, output_bytes: int) -> str:
    subject = row.subject
    domain = domain_crc = 0
    if row.whole_domain:
        domain = subject.every.codes.size
        domain_crc = crc(_octets(subject.every.expected, subject.out_bits))
    first, second = (f"0x{_output_crc(row, size, output_bytes):08x}u" for size in subject.sizes)
    facts: Mapping[str, object] = {
        "name": f'"{subject.name}"',
        "run": row.function,
        "width_in": subject.in_bits // 8,
        "width_out": subject.out_bits // 8,
        "step": subject.step,
        "sizes": f"{{{subject.sizes[0]}, {subject.sizes[1]}}}",
        "inputs": codes,
        "input_bytes": input_bytes,
        "output_crc": f"{{{first}, {second}}}",
        "domain": domain,
        "domain_crc": f"0x{domain_crc:08x}u",
    }
    lines = "".join(f"        .{name} = {value},\n" for name, value in facts.items())
    return f"    {{\n{lines}    }},\n"
