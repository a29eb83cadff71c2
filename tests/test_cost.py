import pytest

from embact.cost import CORES, DEFAULT_CORE, LOOP, instructions
from embact.ir import Op, add, const, mul, saturate, select_less, shr, x
from embact.kernel import Kernel


def kernel(node):
    return Kernel(node, 8, 16)


def test_every_core_prices_every_operation():
    assert DEFAULT_CORE in CORES
    for prices in CORES.values():
        assert set(prices) == set(Op)
        assert min(prices.values()) == 0 == prices[Op.INPUT] == prices[Op.CONST]


def test_a_copy_costs_the_loop():
    assert instructions(kernel(x())) == LOOP


def test_operations_add_up():
    assert instructions(kernel(shr(mul(x(), const(3)), 1))) == LOOP + 2


def test_a_choice_costs_its_dearer_arm():
    cheap, dear = add(x(), const(1)), shr(mul(add(x(), const(2)), const(3)), 1)
    chosen = select_less(x(), const(5), cheap, dear)
    select = CORES[DEFAULT_CORE][Op.SELECT]
    assert instructions(kernel(chosen)) == LOOP + select + 3


def test_what_both_arms_use_is_paid_once_and_always():
    common = mul(x(), const(3))
    chosen = select_less(x(), const(5), add(common, const(1)), shr(common, 1))
    select = CORES[DEFAULT_CORE][Op.SELECT]
    assert instructions(kernel(chosen)) == LOOP + select + 1 + 1


@pytest.mark.parametrize(("core", "price"), [("cortex-m0plus", 6), ("cortex-m4", 1)])
def test_cores_differ(core, price):
    assert instructions(Kernel(saturate(add(x(), x()), 8), 8, 8), core) == LOOP + 1 + price


def test_an_unknown_core_is_refused(refuses):
    with refuses("unknown core", "'m4'"):
        instructions(kernel(x()), "m4")
