"""Names of others cannot end a comment, a string or a code span, whatever they hold."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from embact.tflite.tflm.safe_text import NAME_MAX, TEXT_MAX, identifier, plain

HOSTILE = st.text(st.sampled_from("*/\\\"'`\n\r?%${}<>#;()|ab_-.\udc80\u2028é"), max_size=120)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(HOSTILE | st.text(max_size=200))
def test_plain_text_has_no_character_that_means_something(text):
    safe = plain(text)
    assert len(safe) <= TEXT_MAX
    assert re.fullmatch(r"[A-Za-z0-9 _.,:;()+*=<>-]*", safe)
    assert not set(safe) & set("/\\\"'`\n\r?%$#{}&|")
    safe.encode("ascii")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(HOSTILE | st.text(max_size=200))
def test_an_identifier_is_one_after_a_prefix(text):
    name = identifier(text)
    assert re.fullmatch(r"[a-z0-9_]+", name)
    assert len(name) <= NAME_MAX + 9
    assert identifier(text) == name


def test_harmless_text_stays_as_it_is():
    assert plain("keyword spotting v1.2 (a * b)") == "keyword spotting v1.2 (a * b)"
    assert identifier("keyword-v1.2") == "keyword_v1_2"


def test_long_names_are_cut_and_told_apart():
    first, second = "a" * 10_000, "a" * 9_999 + "b"
    assert plain(first).endswith("...")
    assert len(plain(first)) == TEXT_MAX
    assert identifier(first) != identifier(second)
    assert identifier("é") != identifier("è")
    assert identifier("") == "e3b0c442"
