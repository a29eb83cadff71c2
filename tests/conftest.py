import contextlib
import importlib.util
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from embact.activations import activation
from embact.certify import certify
from embact.fit.problem import Candidate, Problem
from embact.fit.record import Fit
from embact.grid import Grid, QuantSpec, grid_of_range

HERE = Path(__file__).parent


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/golden from what the generator emits now, to be reviewed as a diff",
    )
    parser.addoption(
        "--require-emulators",
        action="store_true",
        help="fail, not skip, where a compiler for a core or its emulator is missing",
    )


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Where compiled kernels of this run are kept: never the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBACT_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def expressions():
    """The module tests/expressions.py: random expressions and what they mean in plain Python."""
    spec = importlib.util.spec_from_file_location("embact_expressions", HERE / "expressions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden(request):
    """Compare a text with the file of that name in tests/golden, or rewrite the file."""

    def compare(name, text):
        path = HERE / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        assert text.encode() == path.read_bytes()

    return compare


@pytest.fixture(scope="session")
def compilers():
    """Every C compiler at hand as name -> words: gcc and clang where installed, zig always."""
    found = {name: (name,) for name in ("gcc", "clang") if shutil.which(name)}
    if os.environ.get("CC"):
        found["$CC"] = tuple(shlex.split(os.environ["CC"]))
    return found | {"zig": (sys.executable, "-m", "ziglang", "cc")}


@pytest.fixture(scope="session")
def tools_for(request):
    """The compiler and the emulator for a core, or a skip that says which is missing.

    A failure with --require-emulators. Kinds choose others than the first that are at hand.
    """

    def tools(core, compiler=None, emulator=None):
        from embact.run.cross import cross_compiler
        from embact.run.emulator import emulator as emulator_of
        from embact.run.toolchain import ToolMissing

        try:
            return cross_compiler(core, compiler), emulator_of(core, emulator)
        except ToolMissing as missing:
            if request.config.getoption("--require-emulators"):
                pytest.fail(str(missing))
            pytest.skip(str(missing))

    return tools


@pytest.fixture(scope="session")
def spec_of():
    """Build a quantisation as TFLite would: input range, widths -> QuantSpec for an activation."""

    def spec(act, low=-8.0, high=8.0, bits=8, out_bits=8):
        grid_in = grid_of_range(low, high, bits)
        values = act(grid_in.real(grid_in.codes()))
        low_out, high_out = act.unit_range or (float(values.min()), float(values.max()))
        return QuantSpec(grid_in, grid_of_range(low_out, high_out, out_bits))

    return spec


@pytest.fixture(scope="session")
def fit_of():
    """Wrap any kernel as a certified Fit, so that it can be emitted."""

    def wrap(kernel, name="identity"):
        act = activation(name)
        spec = QuantSpec(Grid(0.1, 0, kernel.input_bits), Grid(0.1, 0, kernel.output_bits))
        return Fit(Problem(act, spec), "test", Candidate(kernel), certify(act, spec, kernel))

    return wrap


@pytest.fixture
def refuses():
    """Return a context that demands an EmbactError of one line with these parts in its text."""
    from embact.errors import EmbactError

    @contextlib.contextmanager
    def demand(*parts):
        with pytest.raises(EmbactError) as caught:
            yield
        text = str(caught.value)
        assert "\n" not in text
        assert [part for part in parts if part not in text] == [], text

    return demand
