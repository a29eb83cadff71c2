"""Kernels as files, and cores that can be measured here."""

from __future__ import annotations

import dataclasses

import pytest

from embact.cores import CORES
from embact.fit.problem import Limits
from embact.fit.record import fit_json
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel


@pytest.fixture
def core(tools_for):
    """The core cortex-m4, if there are a compiler and an emulator for it."""
    tools_for(CORES["cortex-m4"])
    return CORES["cortex-m4"]


@pytest.fixture
def mirror(fit_of, tmp_path):
    """A file of a kernel that maps -128 to 127, -127 to 126, and so on by a table."""
    table = Table("table", tuple(range(127, -129, -1)))
    fit = fit_of(Kernel(lookup(table, add(x(), const(128))), 8, 8))
    problem = dataclasses.replace(fit.problem, limits=Limits(1 << 16))
    path = tmp_path / "mirror.json"
    path.write_text(fit_json(dataclasses.replace(fit, problem=problem)), "utf-8")
    return path
