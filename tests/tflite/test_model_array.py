"""The model's array holds its bytes, aligned, at once, under a name that is safe."""

import re
import time

import numpy as np

from embact.tflite.tflm.model_array import array_name, model_array, model_header


def values(text):
    body = text[text.index("= {") + 3 : text.rindex("}")]
    return bytes(int(word) for word in body.split(","))


def test_the_array_is_the_model():
    content = bytes(range(256)) * 3 + b"\x00"
    text = model_array("m", content)
    assert values(text) == content
    assert "const size_t embact_model_m_size = 769;" in text
    assert "alignas(16)" in text
    assert values(text.replace("255", "254", 1)) != content  # a control of the reading above


def test_lines_are_short():
    assert max(map(len, model_array("m", b"\xff" * 1000).splitlines())) <= 100


def test_header_and_source_agree_on_the_name():
    name = array_name('a"b\n*/')
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert f"extern const unsigned char {name}[];" in model_header('a"b\n*/')
    assert f"const unsigned char {name}[3] = {{" in model_array('a"b\n*/', b"abc")


def test_a_model_of_4_mb_takes_less_than_a_second_of_work():
    content = np.random.default_rng(1).bytes(4 << 20)
    started = time.process_time()
    text = model_array("m", content)
    assert time.process_time() - started < 1
    assert text.count(",") - 1 == len(content) - 1  # one in the comment above
