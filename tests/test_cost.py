import json

import numpy as np
import pytest

from embact import cost as costs
from embact.cores import CORES
from embact.cost import (
    Cost,
    cost,
    features_of,
    in_vectors,
    instructions,
    packaged,
    read,
    structure_of,
)
from embact.ir import (
    Table,
    add,
    clamp,
    const,
    div,
    lookup,
    mul,
    saturate,
    select_less,
    shr,
    sub,
    x,
)
from embact.kernel import Kernel
from embact.sources import data_file


def kernel(node):
    return Kernel(node, 8, 16)


def lut(entries, bits=8):
    table = Table("table", tuple(np.resize(np.arange(-100, 100), entries).tolist()))
    return Kernel(lookup(table, add(clamp(x(), -128, entries - 129), const(128))), 8, bits)


@pytest.fixture
def priced(monkeypatch, tmp_path):
    """Replace the packaged costs by prices of one core, and measured structures."""
    text = json.loads(data_file(costs.FILE).read_text("utf-8"))

    def replace(prices, measured=()):
        for one in text["fitted"]:
            one["prices"] = prices
        text["measured"] = [
            {
                "structure": structure,
                "of": "test",
                "written": written,
                "instructions": [count] * len(text["cores"]),
            }
            for structure, written, count in measured
        ]
        path = tmp_path / "costs.json"
        path.write_text(json.dumps(text), "utf-8")
        costs.packaged.cache_clear()
        costs._by_core.cache_clear()
        monkeypatch.setattr(costs, "data_file", lambda _: path)

    yield replace
    monkeypatch.undo()
    costs.packaged.cache_clear()
    costs._by_core.cache_clear()


def test_every_core_has_a_fit_whose_residual_is_stated():
    found = packaged()
    assert {one.core for one in found.fitted} == set(CORES) == set(found.cores)
    for one in found.fitted:
        assert 0 < one.rms <= one.worst
        assert one.kernels > 10
        assert min(one.prices.values()) > 0


def test_structures_are_measured_once_each():
    listed = [one.structure for one in packaged().measured]
    assert len(listed) == len(set(listed)) > 100


def test_a_table_of_every_input_costs_what_was_measured():
    for core, most in {"cortex-m0plus": 3.8, "cortex-m4": 3.3, "cortex-m55": 0.3}.items():
        found = cost(lut(256), core)
        assert found.source == "measured"
        assert 0.2 < found.instructions <= most
        assert str(found).endswith("(measured)")


def test_another_kernel_is_fitted_and_says_how_well():
    odd = mul(sub(mul(x(), x()), const(3)), const(2))
    found = cost(Kernel(shr(mul(shr(odd, 1), x()), 7), 8, 16))
    assert found.source == "fitted"
    assert found.instructions > 0
    assert f"(fitted, RMS error {found.rms:.0%})" in str(found)


def test_measured_structures_come_first_and_prices_add_up(priced):
    simple = kernel(shr(mul(x(), const(3)), 1))
    priced({"loop": 4.0, "MUL": 1.0, "SHR": 0.5, "SHR all": 0.25})
    assert cost(simple) == Cost(5.75, "fitted", cost(simple).rms)
    assert instructions(kernel(x())) == 4
    priced({"loop": 4.0}, [(structure_of(simple), False, 2.5)])
    assert cost(simple) == Cost(2.5, "measured")


def test_a_loop_of_vectors_costs_what_it_has_unless_a_written_one_was_measured(priced):
    simple = kernel(shr(mul(x(), const(3)), 1))
    priced({"loop": 4.0}, [(structure_of(simple), False, 2.5)])
    found = cost(simple, "cortex-m55")
    assert found == Cost(in_vectors(simple), "generated")
    assert str(found).endswith("(generated)")
    priced({"loop": 4.0}, [(structure_of(simple), True, 2.5)])
    assert cost(simple, "cortex-m55") == Cost(2.5, "measured")
    divided = kernel(div(x(), const(3)))
    assert in_vectors(divided) is None
    assert cost(divided, "cortex-m55") == Cost(4.0, "fitted", cost(divided, "cortex-m55").rms)


def test_a_choice_costs_half_of_each_arm_on_the_way_and_both_in_all():
    cheap, dear = add(x(), const(1)), shr(mul(add(x(), const(2)), const(3)), 1)
    found = features_of(kernel(select_less(x(), const(5), cheap, dear)))
    assert found == {
        "loop": 1.0,
        "SELECT": 1.0,
        "SELECT all": 1.0,
        "ADD": 1.0,
        "ADD all": 2.0,
        "MUL": 0.5,
        "MUL all": 1.0,
        "SHR": 0.5,
        "SHR all": 1.0,
    }


def test_what_both_arms_use_is_paid_once_and_always():
    common = mul(x(), const(3))
    chosen = kernel(select_less(x(), const(5), add(common, const(1)), shr(common, 1)))
    found = features_of(chosen)
    assert (found["MUL"], found["ADD"], found["SHR"]) == (1.0, 0.5, 0.5)


def test_a_structure_is_the_operations_and_not_the_constants():
    def line(slope, shift):
        return kernel(shr(mul(x(), const(slope)), shift))

    assert structure_of(line(3, 1)) == structure_of(line(5, 2))
    others = [line(3, 1), kernel(shr(add(x(), const(3)), 1)), kernel(mul(x(), const(3)))]
    others += [lut(256), lut(200), lut(256, 16)]
    others += [Kernel(saturate(add(x(), x()), bits), 8, 16) for bits in (8, 7)]
    assert len({structure_of(one) for one in others}) == len(others)


def test_an_unknown_core_is_refused(refuses):
    with refuses("unknown core", "'m4'"):
        instructions(kernel(x()), "m4")


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"schema": 0}, ["schema of costs", "got 0", "allowed: 2"]),
        ({"fitted": []}, ["costs of a core are missing", "cortex-m0plus"]),
        ({"cores": 3}, ["not a file of costs"]),
    ],
)
def test_a_damaged_file_is_refused(refuses, tmp_path, change, parts):
    text = json.loads(data_file(costs.FILE).read_text("utf-8"))
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(text | change), "utf-8")
    with refuses(str(path), *parts):
        read(path)
