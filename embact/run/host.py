"""Kernels on this machine: compile a header and call its functions on numpy arrays.

What the C computes is compared with the kernel's definition for equality, on every input. This
module must not know activations or budgets: a compiled function is right or wrong, never close.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.certify import first_difference
from embact.errors import EmbactError, unknown_name
from embact.grid import all_codes
from embact.run.build import extension

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embact.kernel import Kernel

PLACE = "host-c"
"""The name of this place in a certificate."""

CDEF = """
typedef void (*embact_run)(const void *input, void *output, int32_t size);
embact_run embact_kernel(int32_t index);
"""

GUARD_BYTES = 4096
GUARD = 0x5A
LENGTHS = (-7, -1, 0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 67, 100, 257, 1021)
"""Sizes to call a function with, besides the whole domain; nothing is done for one below 1."""
OFFSETS = (0, 1, 3)
"""Elements by which addresses are moved."""


@dataclass(frozen=True)
class HostKernels:
    """Compiled functions: name -> (place in the extension, input bits, output bits)."""

    module: Any
    functions: Mapping[str, tuple[int, int, int]]

    def pointer(self, name: str) -> Any:
        """Return the cffi pointer to ``void (*)(const void *, void *, int32_t)`` of a function."""
        if name not in self.functions:
            raise unknown_name("compiled function", name, self.functions)
        return self.module.lib.embact_kernel(self.functions[name][0])

    def address(self, name: str) -> int:
        """Return the same as an integer, valid for the life of this process."""
        return int(self.module.ffi.cast("uintptr_t", self.pointer(name)))

    @property
    def path(self) -> str:
        """The extension's file."""
        return str(self.module.__file__)

    def run(self, name: str, codes: Any) -> NDArray[Any]:
        """Return the function's outputs for input codes of any shape."""
        self.pointer(name)  # refuses an unknown name
        _, bits_in, bits_out = self.functions[name]
        source = np.ascontiguousarray(codes, dtype=f"int{bits_in}")
        result = np.empty(source.shape, dtype=f"int{bits_out}")
        self.call(name, source, result, source.size)
        return result

    def call(self, name: str, source: NDArray[Any], result: NDArray[Any], size: int) -> None:
        """Call the function on contiguous arrays, or views, as they lie in memory."""
        ffi = self.module.ffi
        self.pointer(name)(ffi.from_buffer(source), ffi.from_buffer(result), size)


def compile_header(
    header: str, functions: Mapping[str, tuple[int, int]], *, flags: Sequence[str] = ()
) -> HostKernels:
    """Compile a header's functions, given the (input bits, output bits) of each by name.

    Raises EmbactError with the compiler's message if the header or a signature is not as it should.
    """
    lines = ['#include "kernels.h"']
    table = []
    for name, (bits_in, bits_out) in functions.items():
        lines.append(
            f"static void run_{name}(const void *input, void *output, int32_t size)\n"
            f"{{\n    {name}((const int{bits_in}_t *)input, (int{bits_out}_t *)output, size);\n}}"
        )
        table.append(f"run_{name}")
    lines.append(CDEF.strip())
    lines.append(
        "embact_run embact_kernel(int32_t index)\n{\n"
        f"    static const embact_run all[] = {{{', '.join(table)}}};\n    return all[index];\n}}\n"
    )
    sources = {"kernels.h": header, "kernels.c": "\n".join(lines)}
    module = extension("kernels", CDEF, sources, flags=flags)
    places = {name: (i, *functions[name]) for i, name in enumerate(functions)}
    return HostKernels(module, places)


def observe(compiled: HostKernels, name: str, kernel: Kernel) -> NDArray[Any]:
    """Return a compiled function's outputs on all inputs, after calling it in every awkward way.

    Short, odd, large and negative sizes, addresses aligned to one element only, in place where the
    widths agree, with bytes around the output that must survive and inputs that must stay. Raises
    EmbactError if any of that changes a result, a guard byte or an input; the outputs themselves
    are for the caller to compare.
    """
    codes = all_codes(kernel.input_bits).astype(f"int{kernel.input_bits}")
    ways = (False, True) if kernel.input_bits == kernel.output_bits else (False,)
    outputs = _guarded(compiled, name, codes, Call(codes.size))
    for call in itertools.starmap(Call, itertools.product(LENGTHS, OFFSETS, ways)):
        start = (call.size * 37 + call.offset * 101) % codes.size
        part, expected = (
            np.resize(np.roll(array, -start), max(call.size, 0)) for array in (codes, outputs)
        )
        if not np.array_equal(_guarded(compiled, name, part, call), expected):
            raise EmbactError(f"{name} depends on how it is called", got=call)
    return outputs


@dataclass(frozen=True)
class Call:
    """A way to call a function. offset: elements by which both addresses are moved."""

    size: int
    offset: int = 0
    in_place: bool = False

    def __str__(self) -> str:
        place = ", in place" if self.in_place else ""
        return f"size {self.size}, offset {self.offset}{place}"


def _guarded(compiled: HostKernels, name: str, source: NDArray[Any], call: Call) -> NDArray[Any]:
    """Return the outputs of one call, or raise EmbactError if it touches anything else."""
    out_type = np.dtype(f"int{compiled.functions[name][2]}")
    before = GUARD_BYTES + call.offset * out_type.itemsize
    used = source.size * out_type.itemsize
    memory = np.full(before + used + GUARD_BYTES, GUARD, dtype=np.uint8)
    # one spare element, so that the view of an empty call still has an address
    view = memory[before : before + used + out_type.itemsize].view(out_type)
    moved = np.full(source.size + call.offset + 1, GUARD, dtype=source.dtype)[call.offset :]
    moved[: source.size] = source
    if call.in_place:
        view[: source.size] = source
    compiled.call(name, view if call.in_place else moved, view, call.size)
    if not np.all(np.concatenate([memory[:before], memory[before + used :]]) == GUARD):
        raise EmbactError(f"{name} writes outside its output", got=call)
    if not np.array_equal(moved[: source.size], source):
        raise EmbactError(f"{name} writes to its input", got=call)
    return view[: source.size].copy()


def check(compiled: HostKernels, name: str, kernel: Kernel) -> str | None:
    """Return where a compiled function first differs from its definition, in words, or None."""
    return first_difference(kernel, observe(compiled, name, kernel))
