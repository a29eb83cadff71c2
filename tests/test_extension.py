"""A newcomer adds an activation or a family with one entry, and everything else follows."""

from __future__ import annotations

import numpy as np

from embact.activations import Activation, Parameter
from embact.conventions import output_grid
from embact.emit.header import emit_header
from embact.fit import search
from embact.fit.problem import Candidate, Limits, Problem
from embact.fit.record import meets
from embact.grid import QuantSpec, grid_of_range
from embact.ir import clamp, const, mul, select_less, shr, x
from embact.kernel import Kernel
from embact.run.host import check, compile_header

BUMP = Activation(
    name="bump",
    formula="gain max(0, 1 - |x|)",
    source="made up for this test",
    function=lambda x, gain: gain * np.maximum(0.0, 1.0 - np.abs(x)),
    derivative=lambda x, gain: np.where(np.abs(x) < 1.0, -gain * np.sign(x), 0.0),
    oracle=lambda x, gain: gain * max(x * 0, 1 - abs(x)),
    asymptotes=lambda _: ((0.0, 0.0), (0.0, 0.0)),
    parameters=(Parameter("gain", 2.0, 0.1, 10.0),),
    values=(2.0,),
)


def sign_of(problem):
    """Yield a toy kernel: the ideal codes of the two ends, by the sign of the input."""
    spec, codes = problem.spec, problem.truth.codes
    ends = (const(int(codes[0])), const(int(codes[-1])))
    wide = select_less(x(), const(spec.input.zero_point), *ends)
    doubled = shr(mul(wide, const(2)), 1)
    low, high = spec.output.code_min, spec.output.code_max
    yield Candidate(Kernel(clamp(doubled, low, high), spec.input.bits, spec.output.bits))


def test_a_new_activation_is_fitted_proved_and_compiled_without_touching_c():
    source = grid_of_range(-2.0, 2.0, 8)
    spec = QuantSpec(source, output_grid(BUMP, source, 8))
    found = [one for one in search.candidates(Problem(BUMP, spec)) if meets(one)]
    fits = {f"bump_{number}": one for number, one in enumerate(found)}
    assert {one.family for one in found} >= {"affine", "lut", "pwl", "shift_pwl"}, (
        "a triangle is two lines and a clamp"
    )
    compiled = compile_header(emit_header(fits), dict.fromkeys(fits, (8, 8)))
    for name, one in fits.items():
        assert one.certificate.max_error_codes <= 1
        assert check(compiled, name, one.kernel) is None


def test_a_new_family_is_one_entry_and_is_certified_like_any_other(monkeypatch):
    monkeypatch.setitem(search.FAMILIES, "sign", sign_of)
    source = grid_of_range(-2.0, 2.0, 8)
    spec = QuantSpec(source, output_grid(BUMP, source, 8))
    one = search.fit(Problem(BUMP, spec, Limits(max_error=255)), "sign")
    assert one.certificate.max_error_codes == 255
    compiled = compile_header(emit_header({"bump_sign": one}), {"bump_sign": (8, 8)})
    assert check(compiled, "bump_sign", one.kernel) is None
