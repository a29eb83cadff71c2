"""`embact verify --core`, run as a user runs it."""

import json
import sys
from pathlib import Path

import pytest

from embact.cores import CORES


@pytest.fixture
def kernel(sigmoid):
    return "k.json"


def test_one_core_is_compared_on_every_input(embact, kernel, tools_for):
    tools_for(CORES["cortex-m4"])
    done = embact("verify", kernel, "--core", "cortex-m4")
    assert done.returncode == 0, done.stderr
    assert "on all 256 inputs on cortex-m4-emulated; max_error_codes 0" in done.stdout
    said = json.loads(embact("verify", kernel, "--core", "cortex-m4", "--json").stdout)
    assert said["checked_on"] == ["definition", "cortex-m4-emulated"]
    assert (said["equal"], said["difference"], said["skipped"]) == (True, None, {})


@pytest.mark.slow
def test_all_cores_are_compared_or_named_and_a_changed_header_differs_on_each(
    embact, kernel, sigmoid, tools_for
):
    for core in CORES.values():
        tools_for(core)
    places = ["host-c", *(f"{name}-emulated" for name in CORES)]
    said = json.loads(embact("verify", kernel, "--core", "all", "--json").stdout)
    assert said["checked_on"] == ["definition", *places]
    assert (said["equal"], said["differences"]) == (True, {})
    text = sigmoid.read_text("utf-8")
    start = text.index("[256] = {")
    changed = text[:start] + text[start:].replace("-128,", "-127,", 1)
    assert changed != text
    sigmoid.write_text(changed, "utf-8")
    done = embact("verify", kernel, "--core", "all", "--header", sigmoid, "--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert list(said["differences"]) == places
    assert "(1 of 256 inputs differ)" in said["difference"]


def test_what_is_missing_is_skipped_by_name_or_an_error(embact, kernel, monkeypatch):
    pytest.importorskip("unicorn")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    for words in (("cortex-m55",), ("all", "--require-emulators")):
        done = embact("verify", kernel, "--core", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "no emulator of cortex-m55; allowed: qemu-system-arm" in done.stderr
    done = embact("verify", kernel, "--core", "cortex-m3")
    assert done.returncode == 0


def test_a_wrong_question_is_a_mistake(embact, kernel):
    done = embact("verify", kernel, "--core", "cortex-m5")
    assert done.returncode == 2
    assert "unknown core: got 'cortex-m5'" in done.stderr
    done = embact("verify", kernel, "--require-emulators")
    assert done.returncode == 2
    assert "--require-emulators" in done.stderr
