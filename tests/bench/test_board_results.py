"""Reading what a board printed: round trip, noise, and every kind of damage."""

from __future__ import annotations

import zlib

import pytest

from embact.bench.board import read_results
from embact.errors import CheckFailed, EmbactError


def line(*fields):
    text = ",".join(map(str, fields)) + ","
    return f"{text}{zlib.crc32(text.encode()):08x}"


def head(board="my, board", core="cortex-m4", counter="DWT_CYCCNT", version=1):
    return line(
        *("embact-board", version, f'"{board}"', core, '"gcc 12.2.1 -O2"', counter, '""'),
        *("off", 9, 11),
    )


def row(name="lut_s8", status="ok", least=(1000, 1512), cycles="0.500", sizes=(1024, 2048)):
    (a, b), (m, n) = least, sizes
    return line("embact-row", f'"{name}"', status, m, a, a + 1, n, b, b + 1, cycles)


def end(rows=1, wrong=0):
    return line("embact-end", rows, wrong)


@pytest.fixture
def read(tmp_path):
    def results(*lines, joined="\n"):
        path = tmp_path / "results.csv"
        text = joined.join(lines) + joined
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_results(path)

    return results


def test_results_come_back(read):
    (one,) = read(head(), row(), end())
    assert one.row == "lut_s8"
    assert one.core == "cortex-m4"
    assert (one.cycles, one.status) == (0.5, "ok")
    assert one.compiler == "gcc 12.2.1 -O2"
    assert one.where == "my, board (DWT_CYCCNT, caches off)"
    rest = (one.instructions, one.modelled_cycles, one.code_bytes, one.table_bytes, one.stack_bytes)
    assert rest == (None,) * 5


def test_cycles_are_the_exact_quotient_not_what_was_printed(read):
    (one,) = read(head(), row(least=(1, 342), cycles="0.333"), end())
    assert one.cycles == 341 / 1024


def test_noise_around_and_before_lines_is_no_harm(read):
    lines = (
        "Info : Listening on port 3333",
        "[12:00:01] " + head(),
        "",
        "some, other,,, CSV",
        "\tTIME " + row() + "  ",
        "embact-rowing,1",
        row("b", least=(5, 1029), cycles="1.000"),
        end(2),
        "bye",
    )
    for joined in ("\n", "\r\n", "\r"):
        assert [one.row for one in read(*lines, joined=joined)] == ["lut_s8", "b"]
    noisy = [b"\xff\x00\x80", *(text.encode() for text in lines), b"\xfe"]
    assert [one.cycles for one in read(*noisy, joined=b"\n")] == [0.5, 1.0]


def test_several_boards_in_one_file(read):
    found = read(head("a"), row(), end(), "", head("b", "cortex-m55"), row(), row("x"), end(2))
    assert [(one.where[0], one.core, one.row) for one in found] == [
        ("a", "cortex-m4", "lut_s8"),
        ("b", "cortex-m55", "lut_s8"),
        ("b", "cortex-m55", "x"),
    ]


@pytest.mark.parametrize("status", ["unsteady", "too-long"])
def test_what_could_not_be_counted_has_no_cycles(read, status):
    (one,) = read(head(), row(status=status, least=(0, 0), cycles="0.000"), end())
    assert (one.cycles, one.status) == (None, status)


def test_without_a_counter_there_are_no_cycles(read):
    (one,) = read(
        head(counter="none"), row(status="uncounted", least=(0, 0), cycles="0.000"), end()
    )
    assert (one.cycles, one.status) == (None, "uncounted")
    assert "no cycle counter" in one.where


def test_each_changed_character_is_refused(read):
    lines = [head(), row(), end()]
    for number, text in enumerate(lines):
        for place in range(len(text)):
            changed = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
            with pytest.raises(EmbactError, match=r"results\.csv(:\d+)?: "):
                read(*lines[:number], changed, *lines[number + 1 :])


def test_a_damaged_line_is_named(read, refuses):
    with refuses("results.csv:3: damaged line", "CRC-32"):
        read("noise", head(), row().replace("1512", "1513"), end())


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ((), ("results.csv: no results of a board",)),
        (("hello",), ("no results of a board",)),
        ((head(), row()), ("results.csv: embact-end is missing", "began at", "csv:1")),
        ((head(), row(), head(), row(), end()), ("csv:3: embact-end is missing",)),
        ((row(), end()), ("csv:1: embact-row before embact-board",)),
        ((end(),), ("csv:1: embact-end before embact-board",)),
        ((head(), end()), ("csv:2: rows: got 0; allowed: 1",)),
        ((head(), row(), row("b"), end()), ("csv:4: rows: got 2",)),
        ((head(), row(), row(), end(2)), ("a row is there twice: got lut_s8",)),
        ((head(version=2), row(), end()), ("csv:1: form of the lines: got 2",)),
        ((head(core="cortex-m5"), row(), end()), ("csv:1: unknown core", "cortex-m55")),
        ((head(counter="sundial"), row(), end()), ("csv:1: counter: got 'sundial'",)),
        ((head(), row(status="fine"), end()), ("csv:2: status: got 'fine'",)),
        ((head(), row(status="uncounted"), end()), ("csv:2: status: got uncounted",)),
        ((head(counter="none"), row(), end()), ("csv:2: status: got ok",)),
        ((head(), row(cycles="0.501"), end()), ("csv:2: cycles: got 0.501; allowed: 0.500",)),
        ((head(), row(least=(-1, 511)), end()), ("csv:2: least1: got '-1'",)),
        ((head(), row(sizes=(2048, 1024)), end()), ("csv:2: elements: got 2048, 1024",)),
        ((head(), row(least=(9, 9), cycles="0.000"), end()), ("csv:2: cycles: got 0",)),
        ((head(), line("embact-row", "a"), end()), ("csv:2: fields of embact-row: got 1",)),
        ((head(), line("embact-row", '"a'), end()), ("csv:2: not a line of CSV",)),
    ],
)
def test_what_is_missing_or_contradicts_itself_is_refused(read, refuses, lines, parts):
    with refuses(*parts):
        read(*lines)


def test_a_row_that_was_wrong_is_a_failed_check(read):
    with pytest.raises(CheckFailed, match=r"csv:2: .*differ.*row lut_s8"):
        read(head(), row(status="wrong", least=(0, 0), cycles="0.000"), end(1, 1))


def test_an_exception_on_the_board_is_a_failed_check(read):
    with pytest.raises(CheckFailed, match=r"csv:2: the board stopped"):
        read(head(), line("embact-fault"))


def test_a_file_that_cannot_be_read(tmp_path, refuses):
    with refuses("nowhere.csv", "file cannot be read"):
        read_results(tmp_path / "nowhere.csv")
