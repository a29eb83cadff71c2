"""A delegate: it makes an unmodified TFLite interpreter compute chosen operators with our kernels.

The C side is c_src/host_delegate.c; the interpreter takes any object that gives it the address of
one. This module must not know where the claims come from or what the kernels compute.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from embact.errors import EmbactError
from embact.run.build import extension
from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Sequence

Library: TypeAlias = Any
"""A compiled cffi extension: ``ffi`` and ``lib``."""

TYPE_CODES = {8: 9, 16: 7}
"""TFLite's numbers of int8 and int16 tensors, by bits."""

SIZE_LIMIT = (1 << 31) - 1

SIGNATURE = "void (*)(const void *, void *, int32_t)"


@dataclass(frozen=True)
class Claim:
    """A part of a graph and the function that computes it.

    operators: operator indices, in order. input, output: tensor indices. elements: of the output
    tensor, which the function is called with. inputs_per_output: how many elements of the input
    tensor there are for one of them. address: of a ``void (*)(const void *, void *, int32_t)``.
    """

    operators: tuple[int, ...]
    input: int
    output: int
    input_bits: int
    output_bits: int
    elements: int
    address: int
    inputs_per_output: int = 1


@dataclass(frozen=True)
class Delegate:
    """What ``experimental_delegates=[...]`` takes; keep it as long as its interpreter."""

    claims: tuple[Claim, ...]
    native: Any = field(repr=False)
    memory: Any = field(repr=False)
    nodes: Any = field(repr=False)

    def _get_native_delegate_pointer(self) -> int:
        """Return the address of the TfLiteDelegate: the name is the one the interpreters call."""
        return int(_library().ffi.cast("uintptr_t", self.native))

    def replaced(self) -> int:
        """Return how many claims the interpreter handed over."""
        return int(_library().lib.embact_delegate_replaced(self.native))

    def runs(self) -> tuple[int, ...]:
        """Return how often each claim's function was called."""
        return tuple(int(self.memory[i].runs) for i in range(len(self.claims)))


def make_delegate(claims: Sequence[Claim]) -> Delegate:
    """Return a delegate for one interpreter.

    When the interpreter is created or invoked, a claim whose tensors have other types or sizes
    makes it raise RuntimeError with a message of ours. Raises EmbactError for a claim that cannot
    be one.
    """
    for claim in claims:
        _check(claim)
    library = _library()
    memory = library.ffi.new("embact_claim[]", max(1, len(claims)))
    nodes = [library.ffi.new("int32_t[]", claim.operators) for claim in claims]
    for place, claim, operators in zip(memory, claims, nodes, strict=False):
        place.nodes, place.node_count = operators, len(claim.operators)
        place.input, place.output = claim.input, claim.output
        place.input_type = TYPE_CODES[claim.input_bits]
        place.output_type = TYPE_CODES[claim.output_bits]
        place.input_bytes = claim.elements * claim.inputs_per_output * claim.input_bits // 8
        place.output_bytes = claim.elements * claim.output_bits // 8
        place.elements = claim.elements
        place.run = library.ffi.cast(SIGNATURE, claim.address)
    native = library.lib.embact_delegate_create(memory, len(claims))
    if native == library.ffi.NULL:  # pragma: no cover - no memory for 100 bytes
        raise EmbactError("no memory for a delegate")
    owned = library.ffi.gc(native, library.lib.embact_delegate_destroy)
    return Delegate(tuple(claims), owned, memory, nodes)


def _check(claim: Claim) -> None:
    if not claim.operators:
        raise EmbactError("operators of a claim", got=claim.operators, allowed="at least one")
    for bits in (claim.input_bits, claim.output_bits):
        if bits not in TYPE_CODES:
            raise EmbactError("bit width of a claimed tensor", got=bits, allowed="8, 16")
    if claim.inputs_per_output < 1:
        raise EmbactError("inputs for an output", got=claim.inputs_per_output, allowed=">= 1")
    if not 0 <= claim.elements * claim.inputs_per_output * 2 <= SIZE_LIMIT:
        raise EmbactError("elements of a claimed tensor", got=claim.elements, allowed="below 2^30")
    if not claim.address:
        raise EmbactError("address of a claim's function", got=0, allowed="a function")


def probe_address() -> int:
    """Return the address of the self-test's function, a permutation of the int8 codes."""
    library = _library()
    return int(library.ffi.cast("uintptr_t", library.ffi.addressof(library.lib, PROBE)))


PROBE = "embact_delegate_probe"


@lru_cache(maxsize=1)
def _library() -> Library:
    """Return the compiled C side; what Python sees of it is the marked part of the header."""
    header = c_source("host_delegate.h")
    declared = header.split("/* cdef begin */")[1].split("/* cdef end */")[0]
    sources = {"host_delegate.h": header, "host_delegate.c": c_source("host_delegate.c")}
    return extension("host_delegate", declared, sources)
