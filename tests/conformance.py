"""Which kernels conformance is about, and what their compiled C computes. Run as a program too.

    python tests/conformance.py IN_BITS OUT_BITS PART PARTS FOLDER

fits every case of that part, compiles the kernels, and stores the fits and what the C computes: in
processes of their own, so that a test uses all cores.
"""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embact.activations import CATALOGUE, activation
from embact.conventions import output_grid
from embact.emit.header import emit_header
from embact.fit.classics import CLASSICS
from embact.fit.problem import Limits, Problem
from embact.fit.record import Fit, fit_json, fit_of_json
from embact.fit.search import FAMILIES, candidates
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.run.host import compile_header, observe
from embact.run.on_core import check_on_core

WIDTHS = ((8, 8), (16, 16), (8, 16), (16, 8))
WHOLE = ((8, 8), (16, 16))
"""Widths at which every family is asked about every activation on every kind of grids."""
KINDS = ("symmetric", "asymmetric", "saturating")
SPECIAL = {
    ("exp", "negative"): "i_exp",
    ("sigmoid", "conventional"): "tflm",
    ("tanh", "conventional"): "tflm",
}
"""(activation, kind) -> the family whose kernels want such grids: inputs never above 0, or the
output grid that TFLite fixes."""
PARAMETERS = {
    "apl": {"a1": 0.3, "b1": -1.0, "a2": -0.2, "b2": 1.5, "a3": 0.4, "b3": 0.25},
    "celu": {"alpha": 0.5},
    "clipped_relu": {"max": 2.5},
    "hard_tanh": {"min": -1.5, "max": 1.5},
    "swish": {"beta": 1.5},
    "threshold": {"threshold": 0.75, "value": -0.5},
}
"""Parameters of entries that would repeat another one with their defaults: without hinges apl is
relu, and swish is silu."""
BUDGET = 1
FIXED = {"hard", "tflm", *CLASSICS}
"""Families whose kernels are what they are, whatever the budget."""
CHEAP = {"affine", "rational", "tflm", *CLASSICS}
"""Families that are asked about every kind at mixed widths too. The others are asked there about
one kind for each activation, in turn."""
AT_MOST = {8: 64, 16: 6}
"""Most kernels of a family for one problem that are compiled, by the input's width."""
CHUNK = {8: 120, 16: 60}
"""Most kernels of one header, by the input's width."""
PARTS = max(2, os.cpu_count() or 2)


def with_parameters(name):
    """Return an activation with the parameters that conformance gives it."""
    return activation(name, **PARAMETERS.get(name, {}))


def quantisation(act, bits, out_bits, kind):
    """Return grids of one kind.

    symmetric: both zero points are 0. asymmetric: neither need be. saturating: the output grid
    clips both ends. negative, conventional: see SPECIAL.
    """
    if kind == "symmetric":
        grid_in = Grid(6.0 / (1 << (bits - 1)), 0, bits)
    elif kind == "conventional":
        grid_in = Grid(7.0 / (1 << (bits - 1)), 0, bits)
        return QuantSpec(grid_in, output_grid(act, grid_in, out_bits))
    elif kind == "negative":
        grid_in = Grid(8.0 / (1 << bits), (1 << (bits - 1)) - 1, bits)
    else:
        quarter = (1 << (bits - 1)) // 4
        grid_in = Grid(12.0 / (1 << bits), -quarter, bits)  # -4.5..7.5
    values = act(grid_in.real(grid_in.codes()))
    low, high = float(values.min()), float(values.max())
    if kind == "symmetric":
        size = max(-low, high)
        return QuantSpec(grid_in, Grid(size / ((1 << (out_bits - 1)) - 1), 0, out_bits))
    if kind in ("asymmetric", "negative"):
        as_int8 = grid_of_range(low, high, 8)
        step = 1 << (out_bits - 8)
        zero = max(as_int8.zero_point * step, -(1 << (out_bits - 1)))
        return QuantSpec(grid_in, Grid(as_int8.scale / step, zero, out_bits))
    zero = (1 << (out_bits - 1)) // 3
    return QuantSpec(grid_in, Grid((high - low) / (1 << out_bits) / 2.2, zero, out_bits))


def cases():
    """Return (activation, kind) of every case."""
    return [*itertools.product(CATALOGUE, KINDS), *SPECIAL]


def families_of(name, widths, kind):
    """Return the families that are asked about a case."""
    if (name, kind) in SPECIAL and widths != (8, 8):
        return [SPECIAL[name, kind]]
    if widths in WHOLE:
        return list(FAMILIES)
    turn, place = zlib.crc32(name.encode()), KINDS.index(kind)  # whatever else the catalogue has
    return [
        family
        for number, family in enumerate(FAMILIES)
        if family in CHEAP or (turn + number) % len(KINDS) == place
    ]


def problem_of(name, widths, kind):
    act = with_parameters(name)
    return Problem(act, quantisation(act, *widths, kind), Limits(BUDGET))


def key_of(kind, family, number, name):
    """Return the name of a kernel's function: number counts a family's structures."""
    return f"{kind}_{family}_{number}_{name}"


def built(name, widths, kind):
    """Return a fit for each family and structure by key."""
    problem = problem_of(name, widths, kind)
    found = {}
    for family in families_of(name, widths, kind):
        forms = {}
        for one in candidates(problem, family):
            forms.setdefault(tuple(one.candidate.parameters), one)
        for number, one in enumerate(spread(list(forms.values()), AT_MOST[widths[0]])):
            found[key_of(kind, family, number, name)] = storable(one) if family in FIXED else one
    return found


def spread(things, most):
    """Return at most so many things, the first and others evenly from all.

    >>> spread(list(range(10)), 4)
    [0, 2, 5, 7]
    """
    if len(things) <= most:
        return things
    return [things[number * len(things) // most] for number in range(most)]


def storable(one):
    """Return a fixed kernel's fit with the limits that it meets."""
    limits = Limits(one.certificate.max_error_codes)
    problem = dataclasses.replace(one.problem, limits=limits)
    return dataclasses.replace(one, problem=problem)


def as_program(widths, part, parts, folder):
    """Fit every parts-th case, compile its kernels, and store fits and outputs."""
    fits = {}
    for name, kind in cases()[part::parts]:
        fits |= built(name, widths, kind)
    unlike = {}
    for key, one in fits.items():  # equal digests are equal kernels
        unlike.setdefault(one.kernel.digest, (key, one))
    chosen, size, seen = list(unlike.values()), CHUNK[widths[0]], {}
    for start in range(0, len(chosen), size):
        some = dict(chosen[start : start + size])
        header = emit_header(some)
        compiled = compile_header(header, dict.fromkeys(some, widths))
        seen |= {one.kernel.digest: observe(compiled, key, one.kernel) for key, one in some.items()}
        folder.joinpath(f"{part}-{start}.json").write_text(
            json.dumps([header, list(some)]), "utf-8"
        )
    outputs = {key: seen[one.kernel.digest] for key, one in fits.items()}
    stored = {key: fit_json(one) for key, one in fits.items()}
    folder.joinpath(f"{part}.json").write_text(json.dumps(stored), "utf-8")
    np.savez(folder / f"{part}.npz", **outputs)


@dataclass(frozen=True)
class Batch:
    """All fits of one pair of widths, and what their compiled C gives, by key.

    headers: each with the keys of its kernels; together every kernel that is unlike the others.
    """

    widths: tuple[int, int]
    fits: dict[str, Fit]
    seen: dict[str, np.ndarray]
    headers: list[tuple[str, list[str]]]


def batch_of(widths, folder):
    """Return the batch of a pair of widths: this file run as a program, on all cores at once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}  # twice as fast
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = [sys.executable, __file__, *map(str, widths)]
    running = [
        subprocess.Popen([*words, str(part), str(PARTS), str(folder)], env=environment)
        for part in range(PARTS)
    ]
    assert {process.wait() for process in running} == {0}
    fits, seen = {}, {}
    headers = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*-*.json"))]
    for part in range(PARTS):
        stored = json.loads(folder.joinpath(f"{part}.json").read_text("utf-8"))
        fits |= {key: fit_of_json(text) for key, text in stored.items()}
        seen |= np.load(folder / f"{part}.npz")
    return Batch(widths, fits, seen, headers)


def differences(headers, kernels, core):
    """Return in words where a core differs from the definitions of the headers' kernels, by key.

    All of this machine's cores work at it.
    """
    with ThreadPoolExecutor(PARTS) as pool:
        parts = [(text, {key: kernels[key] for key in keys}) for text, keys in headers]
        found = list(pool.map(lambda part: check_on_core(*part, core), parts))
    return {key: words for part in found for key, words in part.items()}


SANITIZED = ("-O1", "-g0", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")

ON_THE_HEAP = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels.h"
static void *array(size_t bytes)
{
    void *found = malloc(bytes ? bytes : 1);
    if (found == NULL) {
        exit(3);
    }
    return found;
}
/* On all codes, then on sizes 0 to 67 and in arrays that end where the codes do. */
#define RUN(f, in_t, out_t, codes)                                      \\
    do {                                                                \\
        in_t *all = array(codes * sizeof(in_t));                        \\
        out_t *outputs = array(codes * sizeof(out_t));                  \\
        for (int32_t i = 0; i < codes; ++i) {                           \\
            all[i] = (in_t)(i - codes / 2);                             \\
        }                                                               \\
        f(all, outputs, codes);                                         \\
        fwrite(outputs, sizeof(out_t), codes, stdout);                  \\
        for (int32_t size = 0; size <= 67; ++size) {                    \\
            in_t *some = array((size_t)size * sizeof(in_t));            \\
            out_t *own = array((size_t)size * sizeof(out_t));           \\
            memcpy(some, all + 60, (size_t)size * sizeof(in_t));        \\
            f(some, own, size);                                         \\
            if (memcmp(own, outputs + 60, (size_t)size * sizeof(out_t))) { \\
                return 4;                                               \\
            }                                                           \\
            free(some);                                                 \\
            free(own);                                                  \\
        }                                                               \\
        free(all);                                                      \\
        free(outputs);                                                  \\
    } while (0)
int main(void)
{
"""


def sanitized(header, kernels, folder):
    """Return what a header's functions give under the sanitizers of gcc, by key.

    Every array ends where its codes do. Fails if a sanitizer finds anything.
    """
    runs = "".join(
        f"    RUN({key}, int{one.input_bits}_t, int{one.output_bits}_t, {1 << one.input_bits});\n"
        for key, one in kernels.items()
    )
    folder.mkdir()
    folder.joinpath("kernels.h").write_text(header, "utf-8")
    folder.joinpath("main.c").write_text(f"{ON_THE_HEAP}{runs}    return 0;\n}}\n", "utf-8")
    words = ["gcc", "-std=c99", *SANITIZED, "main.c", "-o", "main"]
    subprocess.run(words, cwd=folder, check=True)
    done = subprocess.run(["./main"], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found, at = {}, 0
    for key, one in kernels.items():
        end = at + (one.output_bits // 8 << one.input_bits)
        found[key] = np.frombuffer(done.stdout[at:end], dtype=f"int{one.output_bits}")
        at = end
    assert at == len(done.stdout)
    return found


def unlike_under_sanitizers(headers, kernels, folder):
    """Return the keys of the headers' kernels whose C differs under the sanitizers."""

    def part(number):
        text, keys = headers[number]
        some = {key: kernels[key] for key in keys}
        seen = sanitized(text, some, folder / str(number))
        return [key for key in keys if not np.array_equal(seen[key], some[key].outputs)]

    with ThreadPoolExecutor(PARTS) as pool:
        found = list(pool.map(part, range(len(headers))))
    return [key for keys in found for key in keys]


if __name__ == "__main__":
    bits, out_bits, number, parts = map(int, sys.argv[1:5])
    as_program((bits, out_bits), number, parts, Path(sys.argv[5]))
