"""What is checked before a result is believed: the header, the kernels folder, the runtime."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from embact.errors import CheckFailed, EmbactError
from embact.tflite.beside import kernels_beside, sources_beside
from embact.tflite.folder import write_conversion
from embact.tflite.host.child import run_model
from embact.tflite.host.data import random_data
from embact.tflite.host.evaluate import evaluate
from embact.tflite.model import pack, read
from embact.tflite.routines import sources

SKIPPING = """
import itertools
from ai_edge_litert.interpreter import Interpreter
calls, invoke = itertools.count(1), Interpreter.invoke
Interpreter.invoke = lambda self: None if next(calls) == {call} else invoke(self)
"""
"""A runtime that leaves out one inference. The first of a process is the self-test's."""


def wrong_entry(header):
    """The header with one table entry moved by one code."""
    return replaced_once(r"(\{\s*-?\d+, )(-?\d+)", lambda m: f"{m[1]}{int(m[2]) + 1}", header)


def wrong_if_short(header):
    """The header with functions that are right on all codes at once and not on a few."""
    return replaced_once(r"output, size\);", lambda _: "output, size - (size < 100));", header)


def replaced_once(pattern, change, text):
    changed, count = re.subn(pattern, change, text, count=1)
    assert count == 1
    return changed


@pytest.fixture
def tanh(build, placed):
    """A model of one operator, its placements and three samples."""
    model = build.one_op("TANH", elements=4)
    return model, placed(model), random_data(model, 3)


@pytest.fixture
def converted(tanh, tmp_path):
    model, placements, _ = tanh
    return write_conversion(tmp_path / "out", model, placements)


@pytest.mark.parametrize("edit", [wrong_entry, wrong_if_short])
def test_a_header_that_is_not_its_kernels_is_refused(tanh, edit):
    model, placements, data = tanh
    files = sources(placements)
    emitted = run_model(model, data, placements)
    assert np.array_equal(run_model(model, data, placements, header=files).arrays, emitted.arrays)
    edited = {**files, "embact_kernels.h": edit(files["embact_kernels.h"])}
    with pytest.raises(CheckFailed, match="embact_tanh_s8 differs from its definition"):
        run_model(model, data, placements, header=edited)
    with pytest.raises(CheckFailed, match="embact_tanh_s8 differs from its definition"):
        evaluate(model, placements, data, header=edited)


def test_a_converted_model_is_evaluated_with_the_header_on_disk(tanh, converted):
    model, data = read(converted.model), tanh[2]
    header = converted.folder / "embact_kernels.h"
    header.write_text(wrong_entry(header.read_text("utf-8")), "utf-8")
    with pytest.raises(CheckFailed, match="embact_tanh_s8"):
        evaluate(model, kernels_beside(model), data, header=sources_beside(model))


def test_the_command_eval_refuses_an_edited_header_of_a_converted_model(converted):
    words = ("eval", str(converted.model), "--random", "2")
    command = [sys.executable, "-m", "embact", *words]
    before = subprocess.run(command, capture_output=True, text=True, check=False)
    assert before.returncode == 0, before.stderr
    header = converted.folder / "embact_kernels.h"
    header.write_text(wrong_entry(header.read_text("utf-8")), "utf-8")
    after = subprocess.run(command, capture_output=True, text=True, check=False)
    assert after.returncode == 1
    assert "embact_tanh_s8 differs from its definition" in after.stderr


def test_the_kernel_of_another_activation_than_the_operators_is_refused(converted):
    tree = read(converted.model).tree
    (code,) = tree.operatorCodes
    code.customCode = b"embact_sigmoid_s8"
    converted.model.write_bytes(pack(tree))
    with pytest.raises(EmbactError, match=r"embact_sigmoid_s8.*kernel of another function.*tanh"):
        kernels_beside(read(converted.model))


@pytest.fixture
def skip(tmp_path, monkeypatch):
    """The function that makes the runtime of every child leave out one call, counted from 1."""

    def set_up(call):
        (tmp_path / "sitecustomize.py").write_text(SKIPPING.format(call=call), "utf-8")
        monkeypatch.syspath_prepend(tmp_path)

    return set_up


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (1, "kernels cannot run in ai-edge-litert .* outputs wrong, 0 calls"),
        (3, r"a kernel did not run in every inference: got \(2,\); allowed: 3"),
    ],
    ids=["self-test", "inference"],
)
def test_a_runtime_that_skips_an_inference_is_noticed(tanh, skip, call, message):
    model, placements, data = tanh
    skip(call)
    with pytest.raises(EmbactError, match=message):
        run_model(model, data, placements)


def test_the_self_test_and_each_batch_are_one_inference(tanh, skip):
    model, placements, data = tanh
    skip(5)  # there are four
    assert len(run_model(model, data, placements).arrays[0]) == 3
