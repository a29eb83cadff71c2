"""What goes to machines is JSON, whose numbers are finite."""

from __future__ import annotations

import json
import math

import pytest

from embact.cli import show


def refused(word):
    raise ValueError(word)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_lacks_is_null(capsys, number):
    show.as_json({"drop": number, "sites": ({"mean": number, "name": "inf"}, [1, True, 0.5])})
    found = json.loads(capsys.readouterr().out, parse_constant=refused)
    assert found == {"drop": None, "sites": [{"mean": None, "name": "inf"}, [1, True, 0.5]]}


def test_the_words_that_python_writes_would_be_seen():
    with pytest.raises(ValueError, match="Infinity"):
        json.loads(json.dumps(math.inf), parse_constant=refused)
