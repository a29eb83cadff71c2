"""A model of cycles for Cortex-M0+, M3 and M4, from the instruction timings that Arm publishes.

Cortex-M0+ Technical Reference Manual (DDI 0484C), table 3-1, with the single-cycle multiplier;
Cortex-M3 TRM (DDI 0337H) and Cortex-M4 TRM (DDI 0439D), tables 3-1 and the sections on load and
store timings. Memory without wait states. It has not been compared with hardware, and is a model:
where a table gives a range, these are taken:

- a refill of the pipeline after a branch takes 2 cycles on M3 and M4 (1 to 3 in the tables);
- multiplications and divisions whose time depends on the operands take the longest stated;
- an instruction whose condition fails takes as long as if it held;
- an IT instruction takes its own cycle; contention for the fetch of literals is left out.

This module must not know kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.run.thumb import instruction_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.run.cross import Image
    from embact.run.outcome import Trace
    from embact.run.thumb import Instruction

_LOADS = {f"ldr{suffix}" for suffix in ("", "b", "h", "sb", "sh", "t", "bt", "ht", "sbt", "sht")}
_STORES = {f"str{suffix}" for suffix in ("", "b", "h", "t", "bt", "ht")}
_MULTIPLE = {"ldm", "ldmdb", "stm", "stmdb", "push", "pop"}
_BRANCHES = {"b", "bl", "bx", "blx", "cbz", "cbnz"}
_ONE_CYCLE = {
    *("adc", "add", "addw", "and", "asr", "bfc", "bfi", "bic", "clz", "cmn", "cmp", "eor", "it"),
    *("lsl", "lsr", "mov", "movt", "movw", "mul", "mvn", "nop", "orn", "orr", "rbit", "rev"),
    *("rev16", "revsh", "ror", "rrx", "rsb", "sbc", "sbfx", "ssat", "sub", "subw", "sxtb", "sxth"),
    *("teq", "tst", "ubfx", "usat", "uxtb", "uxth", "adr", "neg"),
}
_DSP = {
    *("smulbb", "smulbt", "smultb", "smultt", "smulwb", "smulwt", "smlabb", "smlabt", "smlatb"),
    *("smlatt", "smlawb", "smlawt", "smlalbb", "smlalbt", "smlaltb", "smlaltt", "smlad", "smladx"),
    *("smlald", "smlaldx", "smlsd", "smlsdx", "smlsld", "smlsldx", "smmla", "smmlar", "smmls"),
    *("smmlsr", "smmul", "smmulr", "smuad", "smuadx", "smusd", "smusdx", "umaal", "pkhbt", "pkhtb"),
    *("qadd", "qsub", "qdadd", "qdsub", "sel", "ssat16", "usat16", "usad8", "usada8"),
    *(f"{sign}{extend}" for sign in "su" for extend in ("xtab", "xtah", "xtab16", "xtb16")),
    *(
        f"{prefix}{what}"
        for prefix in ("s", "q", "sh", "u", "uq", "uh")
        for what in ("add8", "add16", "sub8", "sub16", "asx", "sax")
    ),
}


@dataclass(frozen=True)
class _Timing:
    """load, store: of one register. refill: of the pipeline after a branch that is taken.

    products, divisions: of those that take more than one cycle. has: other one-cycle instructions.
    pipelined: whether a load hides a cycle of the load or store after it. barrier: of DMB, DSB,
    ISB, MRS and MSR.
    """

    load: int
    store: int
    store_indexed: int
    refill: int
    products: Mapping[str, int]
    has: frozenset[str]
    pipelined: bool
    barrier: int


_LONG = ("smull", "umull", "smlal", "umlal")

_TIMINGS = {
    "cortex-m0plus": _Timing(2, 2, 2, 1, {}, frozenset(), pipelined=False, barrier=3),
    "cortex-m3": _Timing(
        *(2, 1, 2, 2),
        {**dict(zip(_LONG, (5, 5, 7, 7), strict=True)), "mla": 2, "mls": 2, "sdiv": 12, "udiv": 12},
        frozenset(),
        pipelined=True,
        barrier=2,
    ),
    "cortex-m4": _Timing(
        *(2, 1, 2, 2),
        {**dict.fromkeys((*_LONG, "mla", "mls"), 1), "sdiv": 12, "udiv": 12},
        frozenset(_DSP),
        pipelined=True,
        barrier=2,
    ),
}


def modelled_cycles(image: Image, trace: Trace) -> float | None:
    """Return the modelled cycles of a trace, or None for a core without a model.

    None also if an instruction was executed that is not in the core's table. Raises EmbactError if
    capstone is not installed.
    """
    timing = _TIMINGS.get(image.core.name)
    if timing is None:
        return None
    total = 0
    for (address, following), times in trace.followed.items():
        now = instruction_at(image.elf, address)
        cycles = None if now is None else _own(timing, now, jumped=following != address + now.size)
        if now is None or cycles is None:
            return None
        after = instruction_at(image.elf, following)
        stall = 0 if after is None else _between(timing, now, after)
        total += times * (cycles + stall)
    return float(total)


def _own(  # noqa: PLR0911 - one for each row of the tables
    timing: _Timing, one: Instruction, *, jumped: bool
) -> int | None:
    """Return the cycles of an instruction by itself, or None if it is in no table."""
    name = one.name
    refill = timing.refill if jumped else 0
    if name in _BRANCHES:
        # bl is of 4 bytes, which this core fetches in two steps
        return 1 + refill + int(name == "bl" and not timing.pipelined)
    if name in _LOADS:
        return timing.load + (refill + int(not timing.pipelined) if jumped else 0)
    if name in _STORES:
        return timing.store_indexed if one.indexed else timing.store
    if name in {"ldrd", "strd"}:
        return 3
    if name in _MULTIPLE:
        count = one.registers - int(name not in {"push", "pop"})
        return 1 + count + (refill + int(not timing.pipelined) if jumped else 0)
    if name in {"tbb", "tbh"}:
        return 4 + refill
    if name in {"dmb", "dsb", "isb", "mrs", "msr"}:
        return timing.barrier
    if name in timing.products:
        return timing.products[name]
    if name in _ONE_CYCLE or name in timing.has:
        return 1 + refill
    return None


def _between(timing: _Timing, now: Instruction, after: Instruction) -> int:
    """Return the cycles that an instruction adds to the next, below 0 for those that it hides."""
    if not timing.pipelined:
        return 0
    if now.name in _LOADS:
        follows = after.name in _LOADS or (after.name in _STORES and after.indexed)
        return -1 if follows and now.first not in after.reads_for_address else 0
    memory = after.name in _LOADS | _STORES | {"ldrd", "strd"}
    computed = now.name in _ONE_CYCLE | timing.has | set(timing.products)
    return int(memory and computed and bool(after.reads_for_address & now.writes))
