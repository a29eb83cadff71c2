"""Kernels on emulated cores: right ones pass in every call, and each kind of wrong one is named."""

import numpy as np
import pytest

from embact import ir
from embact.cores import CORES
from embact.errors import CheckFailed, EmbactError
from embact.ir import Table, const, x
from embact.kernel import Kernel
from embact.run import on_core
from embact.run.emulator import emulate
from embact.run.on_core import check_on_core, observe_on_core

NEGATED = Kernel(ir.clamp(ir.sub(const(0), x()), -128, 127), 8, 8)
NEGATE = "const int32_t y = -input[i]; output[i] = (int8_t)(y > 127 ? 127 : y);"
RIGHT = f"for (int32_t i = 0; i < size; ++i) {{ {NEGATE} }}"


def c_function(body, name="f", widths=(8, 8)):
    bits, out_bits = widths
    return (
        "#include <stdint.h>\n"
        f"static inline void {name}"
        f"(const int{bits}_t *input, int{out_bits}_t *output, int32_t size)\n{{\n{body}\n}}\n"
    )


WRONG = {
    "one past the end": (
        f"{RIGHT}\nif (size > 0) {{ output[size] = 1; }}",
        "writes outside its output: size 256, offsets 0 and 0",
    ),
    "before the start": (
        f"for (int32_t i = size - 1; i >= 0; --i) {{ {NEGATE} }}\noutput[-1] = 0;",
        "writes outside its output",
    ),
    "far past the end of large calls": (
        f"{RIGHT}\nif (size == 1021) {{ output[size + 60] = 1; }}",
        "writes outside its output: size 1021",
    ),
    "though the size is negative": (
        f"{RIGHT}\nif (size < 0) {{ output[0] = 3; }}",
        "writes outside its output: size -128",
    ),
    "to its input": (
        f"{RIGHT}\nif (size > 9) {{ ((int8_t *)(uintptr_t)input)[3] = 0; }}",
        "writes to its input: size 256",
    ),
    "to its input, of some sizes": (
        f"{RIGHT}\nif (size == 33) {{ ((int8_t *)(uintptr_t)input)[3] = 0; }}",
        "writes to its input: size 33",
    ),
    "not the tail": (
        "for (int32_t i = 0; i < size - size % 4; ++i) { " + NEGATE + " }",
        "depends on how it is called: size 1, offsets 0 and 0: input ",
    ),
    "other results when not aligned": (
        f"{RIGHT}\nif ((uintptr_t)input % 4 == 3 && size > 5) {{ output[5] = 0; }}",
        "depends on how it is called: size 6, offsets 3 and 0: input ",
    ),
    "before it reads": (
        "for (int32_t i = 0; i < size; ++i) { output[i] = 0; }\n" + RIGHT,
        ", in place: input ",
    ),
}


@pytest.mark.parametrize("emulator", ["qemu", "unicorn"])
@pytest.mark.parametrize("core", CORES)
def test_right_functions_pass_with_the_outputs_of_their_definitions(
    core, emulator, fit_of, tools_for
):
    if core == "cortex-m55" and emulator == "unicorn":
        return
    from embact.emit.header import emit_header

    compiler, chosen = tools_for(CORES[core], None, emulator)
    table = Table("lut", tuple((91 * i + 7) % 256 - 128 for i in range(256)))
    kernels = {
        "f": NEGATED,
        "lut": Kernel(ir.lookup(table, ir.add(x(), const(128))), 8, 8),
        "wide": Kernel(ir.saturate(ir.mul(x(), const(3)), 16), 16, 16),
        "narrow": Kernel(ir.shr(x(), 8), 16, 8),
        "widened": Kernel(ir.mul(x(), const(200)), 8, 16),
    }
    header = emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})
    seen = observe_on_core(header, kernels, CORES[core], compiler=compiler, emulator=chosen)
    for name, kernel in kernels.items():
        assert seen[name].dtype == f"int{kernel.output_bits}"
        assert np.array_equal(seen[name], kernel.outputs)
    assert check_on_core(header, kernels, CORES[core], compiler=compiler, emulator=chosen) == {}


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m33", "cortex-m55"])
def test_a_function_that_is_wrong_in_some_calls_is_named_with_the_call(core, tools_for):
    compiler, emulator = tools_for(CORES[core])
    names = [f"f{number}" for number in range(len(WRONG))]
    bodies = [body for body, _ in WRONG.values()]
    header = "".join(map(c_function, bodies, names)) + c_function(RIGHT, "right")
    kernels = dict.fromkeys([*names, "right"], NEGATED)
    found = check_on_core(header, kernels, CORES[core], compiler=compiler, emulator=emulator)
    assert list(found) == names
    for name, (case, (_, said)) in zip(names, WRONG.items(), strict=True):
        assert said in found[name], case
    with pytest.raises(CheckFailed, match=f"f0 on {core} writes outside"):
        observe_on_core(header, kernels, CORES[core], compiler=compiler, emulator=emulator)


def changes(*registers, declared):
    """Return a statement that changes registers, and says so or not."""
    moves = {"r": "mov {}, r0", "d": "vmov {}, r0, r0"}
    lines = ["movs r0, #0", *(moves[name[0]].format(name) for name in registers)]
    told = ["r0", "cc", *(registers if declared else ())]
    text = "\\n\\t".join([".syntax unified", *lines])
    return f'__asm__ volatile("{text}" : : : {", ".join(map(repr, told))});'.replace("'", '"')


@pytest.mark.parametrize("optimise", ["-O0", "-O2", "-Os"])
@pytest.mark.parametrize("kind", ["gcc", "zig"])
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
def test_registers_that_are_not_restored_are_named(core, kind, optimise, tools_for):
    compiler, emulator = tools_for(CORES[core], kind)
    groups = [("r4",), ("r5",), ("r8",), ("r9",), ("r10",), ("r5", "r9")]
    if core == "cortex-m55":
        groups += [(f"d{number}",) for number in range(8, 16)] + [("r10", "d8", "d15")]
    unused = "(void)input; (void)output; (void)size;"
    bodies = [f"{unused} {changes(*group, declared=False)}" for group in groups]
    bodies += [f"{RIGHT}\n{changes(*group, declared=True)}" for group in groups]
    header = "".join(c_function(body, f"f{i}") for i, body in enumerate(bodies))
    kernels = dict.fromkeys([f"f{i}" for i in range(len(bodies))], NEGATED)
    given = {"compiler": compiler, "emulator": emulator, "optimise": optimise}
    found = check_on_core(header, kernels, CORES[core], **given)
    assert found == {
        f"f{i}": f"does not restore registers {', '.join(group)}: size 256, offsets 0 and 0"
        for i, group in enumerate(groups)
    }


def test_a_register_that_is_not_restored_in_some_calls_is_named_with_the_call(tools_for):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core, "gcc")
    for register in ("r6", "r7", "r8", "r9", "r10", "r11"):
        body = f"{RIGHT}\nif (size == 33) {{ {changes(register, declared=False)} }}"
        found = check_on_core(
            c_function(body), {"f": NEGATED}, core, compiler=compiler, emulator=emulator
        )
        said = f"does not restore registers {register}: size 33, offsets 0 and 0"
        assert found == {"f": said}, register


@pytest.mark.parametrize("code", [-128, 0, 127])
def test_a_wrong_result_is_named_by_its_input(code, tools_for):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core)
    right = min(-code, 127)
    seen = "const int32_t y = input[i] == %d ? %d : -input[i]; output[i] = (int8_t)(y > 127 ? "
    body = "for (int32_t i = 0; i < size; ++i) { " + seen % (code, right ^ 1) + "127 : y); }"
    found = check_on_core(
        c_function(body), {"f": NEGATED}, core, compiler=compiler, emulator=emulator
    )
    assert found == {"f": f"input {code} gives {right ^ 1}, not {right} (1 of 256 inputs differ)"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('__asm__ volatile("udf #0");', "usage fault (undefined instruction)"),
        ("if (size == 5) { for (;;) { __asm__ volatile(" + '""' + "); } }", "did not end within"),
    ],
)
def test_a_function_that_does_not_come_back_is_named_and_so_are_those_after_it(
    body, said, tools_for
):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core, None, "qemu")
    header = c_function(RIGHT, "f") + c_function(RIGHT + body, "g") + c_function(RIGHT, "h")
    kernels = dict.fromkeys(["f", "g", "h"], NEGATED)
    given = {"compiler": compiler, "emulator": emulator, "timeout_s": 3}
    found = check_on_core(header, kernels, core, **given)
    assert list(found) == ["g", "h"]
    assert all(words.startswith("g on cortex-m4: ") and said in words for words in found.values())
    with pytest.raises(CheckFailed, match="g on cortex-m4"):
        observe_on_core(header, kernels, core, **given)


def test_a_function_that_leaves_the_program_is_not_right(tools_for):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core)
    leave = (
        "static const uint32_t a[2] = {0x20026u, 0u};\n"
        'register uint32_t r0 __asm__("r0") = 0x20u;\n'
        'register const void *r1 __asm__("r1") = a;\n'
        '__asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");'
    )
    header = c_function(f"{leave}\n{RIGHT}")
    found = check_on_core(header, {"f": NEGATED}, core, compiler=compiler, emulator=emulator)
    assert found == {"f": "f on cortex-m4: it ended early, with status 0"}


def test_a_compiler_that_takes_a_core_for_another_tier_is_refused(tools_for):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core)
    given = {"compiler": compiler, "emulator": emulator}
    flags = ("-U__ARM_FEATURE_DSP",)
    with pytest.raises(EmbactError, match="does not take cortex-m4 for a core of tier dsp"):
        check_on_core(c_function(RIGHT), {"f": NEGATED}, core, flags=flags, **given)
    chosen = ("-DEMBACT_TIER=0",)
    assert check_on_core(c_function(RIGHT), {"f": NEGATED}, core, flags=chosen, **given) == {}


def test_more_or_less_than_the_verdicts_is_refused(tools_for, monkeypatch):
    core = CORES["cortex-m4"]
    compiler, emulator = tools_for(core)

    def longer(*arguments, **named):
        ran = emulate(*arguments, **named)
        return on_core.dataclasses.replace(ran, written=ran.written + b"!")

    monkeypatch.setattr(on_core, "emulate", longer)
    with pytest.raises(EmbactError, match="bytes"):
        check_on_core(c_function(RIGHT), {"f": NEGATED}, core, compiler=compiler, emulator=emulator)
