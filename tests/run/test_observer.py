"""Headers that do anything: the comparison survives them and says what they did."""

import pytest

from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.run.host import compile_header
from embact.run.observer import check_isolated

KERNEL = Kernel(lookup(Table("lut", tuple(range(127, -129, -1))), add(x(), const(128))), 8, 8)
RIGHT = "for (int32_t i = 0; i < size; ++i) { output[i] = (int8_t)(-1 - input[i]); }"


def difference(body, timeout_s=60):
    header = (
        "#include <stdint.h>\n#include <stdlib.h>\n"
        "static inline void f(const int8_t *input, int8_t *output, int32_t size)\n"
        f"{{\n{body}\n}}\n"
    )
    compiled = compile_header(header, {"f": (8, 8)})
    return check_isolated(compiled, {"f": KERNEL}, timeout_s=timeout_s)


def test_a_right_function_has_no_difference():
    assert difference(RIGHT) == {}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (RIGHT.replace("-1 -", "(input[i] == -123) -1 -"), "input -123 gives 123, not 122 (1 of"),
        (f"{RIGHT}\n((volatile int8_t *)0)[size] = 1;", "SIGSEGV"),
        (f"{RIGHT}\nexit(0);", "did not return"),
        (f"{RIGHT}\n_Exit(3);", "exit status 3"),
        (f"{RIGHT}\nif (size == 256) {{ output[256] = 0; }}", "writes outside its output"),
        (f"{RIGHT}\nif (size < 0) {{ output[0] = 0; }}", "writes outside its output"),
        (f"{RIGHT}\nif (size == 9) {{ output[size + 100] = 0; }}", "writes outside its output"),
        (f"{RIGHT}\natexit(abort);", "SIGABRT"),
        (f"{RIGHT}\n*(int8_t *)(uintptr_t)input = 1;", "writes to its input"),
        (RIGHT.replace("< size", "< (size == 100 ? 99 : size)"), "depends on how it is called"),
        (RIGHT.replace("< size", "< (size > 256 ? 256 : size)"), "depends on how it is called"),
    ],
)
def test_a_wrong_function_is_told_by_what_it_did(body, said):
    assert said in difference(body)["f"]


def test_a_function_that_does_not_end_is_stopped():
    assert "did not end within 2 s" in difference(f"{RIGHT}\nfor (;;) {{}}", timeout_s=2)["f"]
