"""Headers and the library for one core: what its compiler reads, and no other."""

import re
import shutil
import subprocess

import pytest
from typer.testing import CliRunner

from embact import ir
from embact.cli import app
from embact.cores import CORES, TIERS
from embact.emit.header import emit_header
from embact.emit.preamble import preamble
from embact.emit.prune import END_OF_TIERS, prune
from embact.kernel import Kernel
from embact.nn.library import library_files
from embact.sources import c_source

GCC = shutil.which("arm-none-eabi-gcc")


@pytest.fixture
def needs_gcc(tools_for):
    """Skip a test by name where Arm's gcc is missing, or fail if that must not be."""
    tools_for(CORES["cortex-m4"], "gcc")


TABLE = ir.Table("lut", tuple((37 * i + 11) % 256 - 128 for i in range(256)))
KERNELS = {
    "lut": Kernel(ir.lookup(TABLE, ir.add(ir.x(), ir.const(128))), 8, 8),
    "clamp": Kernel(ir.clamp(ir.x(), -3, 100), 8, 8),
    "clamp_s16": Kernel(ir.clamp(ir.x(), 0, 1000), 16, 16),
    "other": Kernel(ir.saturate(ir.shr(ir.mul(ir.x(), ir.const(77)), 5), 8), 8, 8),
}


@pytest.fixture(scope="module")
def fits(fit_of):
    return {f"embact_{name}": fit_of(kernel) for name, kernel in KERNELS.items()}


def arguments(core):
    """Options of gcc for a core; Helium needs the floating point registers."""
    vectors = ["-mfloat-abi=hard"] if core.tier == "helium" else []
    return [GCC, f"-mcpu={core.name}", "-mthumb", *vectors, "-ffreestanding"]


def preprocessed(text, core, folder, *flags):
    """Return what a core's compiler reads of a header, without blank lines and line numbers."""
    (folder / "f.h").write_text(text)
    (folder / "f.c").write_text('#include "f.h"\n')
    line = [*arguments(core), *flags, "-E", "-P", "f.c"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return re.sub(r"\n+", "\n", done.stdout)


@pytest.mark.usefixtures("needs_gcc")
@pytest.mark.parametrize("flags", [(), ("-Os",), ("-DEMBACT_NO_ASSEMBLY",)], ids=str)
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_core_reads_the_same_of_its_own_header_and_of_the_whole_one(core, flags, fits, tmp_path):
    whole, own = emit_header(fits), emit_header(fits, core)
    assert preprocessed(own, core, tmp_path, *flags) == preprocessed(whole, core, tmp_path, *flags)
    assert len(own) < len(whole)


@pytest.mark.usefixtures("needs_gcc")
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_core_reads_the_same_of_its_own_library(core, tmp_path):
    whole, own = library_files(), library_files(target=core)
    assert whole.keys() == own.keys()
    for name, text in whole.items():
        (tmp_path / name).write_text(text)
    said = {}
    for files in (whole, own):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        for name in [name for name in files if name.endswith(".c")]:
            line = [*arguments(core), "-E", "-P", name]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True)
            said.setdefault(name, []).append(re.sub(r"\n+", "\n", done.stdout))
    assert [name for name, (one, other) in said.items() if one != other] == []


@pytest.mark.usefixtures("needs_gcc")
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_compilers_for_other_cores_stop(core, fits, tmp_path):
    (tmp_path / "f.h").write_text(emit_header(fits, core))
    (tmp_path / "f.c").write_text('#include "f.h"\n')
    for other in CORES.values():
        line = [*arguments(other), "-fsyntax-only", "f.c"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == (other.tier == core.tier), other.name
        assert (f"This header is for tier {core.tier}" in done.stderr) == (other.tier != core.tier)


@pytest.mark.usefixtures("needs_gcc")
@pytest.mark.parametrize("abi", ["soft", "softfp", "hard"])
def test_without_its_registers_helium_is_refused_and_they_are_asked_for(abi, fits, tmp_path):
    (tmp_path / "f.h").write_text(emit_header(fits, CORES["cortex-m55"]))
    (tmp_path / "f.c").write_text('#include "f.h"\n')
    line = [GCC, "-mcpu=cortex-m55", f"-mfloat-abi={abi}", "-ffreestanding", "-fsyntax-only", "f.c"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    asked = "compile with -mcpu=cortex-m55, -mfloat-abi=hard or softfp" in done.stderr
    assert (done.returncode == 0, asked) == (abi != "soft", abi == "soft")


def test_this_machine_stops_at_a_header_for_a_core(fits, compilers, tmp_path):
    for core in CORES.values():
        (tmp_path / "f.h").write_text(emit_header(fits, core))
        (tmp_path / "f.c").write_text('#include "f.h"\n')
        for compiler in compilers.values():
            line = [*compiler, "-fsyntax-only", "f.c"]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode != 0
            assert f"This header is for tier {core.tier}" in done.stderr
            assert core.name in done.stderr


def test_nothing_of_other_tiers_stays(fits):
    for core in CORES.values():
        text = emit_header(fits, core).replace(c_source("embact_tiers.h").rstrip("\n"), "")
        asked = re.findall(r"^#.*EMBACT_TIER.*$", text, re.MULTILINE)
        conditions = [line for line in asked if re.match(r"# *(if|elif)\b", line)]
        said = [f"#if EMBACT_TIER != EMBACT_TIER_{core.tier.upper()}"]
        assert [line for line in conditions if line not in c_source("embact_tiers.h")] == said
        assert ("ssub8" in text) == (core.tier == "dsp")
        assert ("dlstp" in text) == (core.tier == "helium")


EXAMPLE = """\
#ifdef A
#if EMBACT_TIER >= EMBACT_TIER_DSP /* words */
#ifdef B
dsp and B
#else
dsp and not B
#endif
#elif EMBACT_TIER == EMBACT_TIER_THUMB1
thumb1
#if EMBACT_TIER == EMBACT_TIER_HELIUM
never
#endif
#else
others
#endif
#endif
end"""


def test_conditionals_on_other_things_stay():
    left = {tier: prune(EXAMPLE, core) for core in CORES.values() for tier in [core.tier]}
    assert left["thumb1"] == "#ifdef A\nthumb1\n#endif\nend"
    assert left["thumb2"] == "#ifdef A\nothers\n#endif\nend"
    words = "#ifdef A\n#ifdef B\ndsp and B\n#else\ndsp and not B\n#endif\n#endif\nend"
    assert left["dsp"] == left["helium"] == words


def test_later_arms_may_ask_for_other_things():
    text = "#if EMBACT_TIER >= EMBACT_TIER_DSP\na\n#elif defined(B)\nb\n#else\nc\n#endif"
    assert prune(text, CORES["cortex-m4"]) == "a"
    assert prune(text, CORES["cortex-m3"]) == "#if defined(B)\nb\n#else\nc\n#endif"


@pytest.mark.parametrize(
    "text",
    [
        "#if EMBACT_TIER > EMBACT_TIER_DSP\n#endif",
        "#if EMBACT_TIER >= EMBACT_TIER_DSP && defined(A)\n#endif",
        "#if EMBACT_TIER == EMBACT_TIER_NEON\n#endif",
        "#if defined(A)\n#elif EMBACT_TIER >= EMBACT_TIER_DSP\n#endif",
        "#if EMBACT_TIER >= EMBACT_TIER_DSP",
        "#endif",
    ],
)
def test_what_cannot_be_resolved_is_refused(text, refuses):
    with refuses("", "got"):
        prune(text, CORES["cortex-m4"])


def test_every_text_of_ours_can_be_resolved_for_every_tier(fits):
    assert {core.tier for core in CORES.values()} == set(TIERS) - {"portable"}
    for core in CORES.values():
        for text in library_files().values():
            prune(text, core)
        assert END_OF_TIERS in "".join(preamble([]))


def test_commands_write_for_a_core(fits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    fitted = ["fit", "relu", "--range", "-4:4", "--family", "lut", "--out", "k.json"]
    assert run(app, fitted).exit_code == 0
    assert run(app, ["emit", "k.json", "--out", "one"]).exit_code == 0
    done = run(app, ["emit", "k.json", "--out", "two", "--target", "cortex-m33"])
    assert done.exit_code == 0
    assert "--core cortex-m33" in done.output
    (one,), (two,) = ((tmp_path / name).iterdir() for name in ("one", "two"))
    assert prune(one.read_text(), CORES["cortex-m33"]) == two.read_text()
    done = run(app, ["library", "--out", "lib", "--target", "cortex-m55"])
    assert done.exit_code == 0
    assert "-mcpu=cortex-m55 -mthumb -mfloat-abi=hard" in done.output
    assert "is for tier helium" in (tmp_path / "lib" / "embact_tiers.h").read_text()


def test_a_target_that_is_no_core_is_refused(refuses, tmp_path):
    from embact.cli.library import library

    with refuses("core", "cortex-m99", "cortex-m4"):
        library(tmp_path, target="cortex-m99")
