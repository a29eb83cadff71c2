"""``embact board`` as a user runs it."""

from __future__ import annotations

import json

from embact.bench.board_folder import board_files, crc
from embact.bench.subject import of_fit
from embact.cli import _run
from embact.cores import CORES
from embact.fit.record import fit_of_json


def test_the_folder_is_that_of_the_kernels(mirror, tmp_path, capsys):
    out = tmp_path / "board"
    words = ["board", str(mirror), "--core", "cortex-m0plus", "--out", str(out)]
    assert _run(words) == 0
    assert "1 rows for cortex-m0plus" in capsys.readouterr().out
    expected = board_files(
        (of_fit("mirror", fit_of_json(mirror.read_bytes())),), CORES["cortex-m0plus"]
    )
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == expected.keys()
    assert all((out / name).read_text("utf-8") == text for name, text in expected.items())
    assert _run([*words, "--json"]) == 0  # the same again is no conflict
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == ["mirror"]
    assert len(said["files"]) == len(expected)


def test_files_that_were_edited_are_not_replaced_unasked(mirror, tmp_path, capsys):
    out = tmp_path / "board"
    words = ["board", str(mirror), "--core", "cortex-m4", "--out", str(out)]
    assert _run(words) == 0
    makefile = (out / "Makefile").read_text("utf-8")
    (out / "Makefile").write_text(makefile.replace("512K", "64K"), "utf-8")
    assert _run(words) == 2
    said = capsys.readouterr().err
    assert "Makefile: another file is there; allowed: --force" in said
    assert "64K" in (out / "Makefile").read_text("utf-8")
    assert _run([*words, "--force"]) == 0
    assert (out / "Makefile").read_text("utf-8") == makefile


def test_a_core_that_does_not_exist_writes_nothing(mirror, tmp_path, capsys):
    out = tmp_path / "board"
    assert _run(["board", str(mirror), "--core", "cortex-m1", "--out", str(out)]) == 2
    assert "unknown core: got 'cortex-m1'" in capsys.readouterr().err
    assert not out.exists()


def line(*fields):
    text = ",".join(map(str, fields)) + ","
    return f"{text}{crc(text.encode()):08x}"


def test_what_boards_printed_is_shown_in_the_table_of_bench(tmp_path, capsys):
    said = []
    for board, least in (("first", 4096), ("second", 8192)):
        head = (f'"{board}"', "cortex-m4", '"gcc 12"', "DWT_CYCCNT", '""', "off", 9, 11)
        said.append(line("embact-board", 1, *head))
        cycles = f"{least / 1024:.3f}"
        numbers = (1024, 100, 101, 2048, 100 + least, 101 + least, cycles)
        said.append(line("embact-row", '"lut_s8"', "ok", *numbers))
        said.append(line("embact-end", 1, 0))
    path = tmp_path / "results.csv"
    path.write_text("\n".join(["noise", *said]), "utf-8")
    assert _run(["bench", "--import", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.index("first (DWT_CYCCNT") < shown.index("second (DWT_CYCCNT")
    rows = [text.split() for text in shown.splitlines() if text.startswith("lut_s8")]
    assert ["4.00" in row for row in rows] == [True, False]
    assert ["8.00" in row for row in rows] == [False, True]
    assert "all outputs equal the definition's, says the board" in shown
    assert _run(["bench", "--import", str(path), "--core", "cortex-m4"]) == 0
    assert capsys.readouterr().out == shown
    assert _run(["bench", "--import", str(path), "--core", "cortex-m7"]) == 2
    error = "no results of cortex-m7: got results of cortex-m4; allowed: --core cortex-m4, or no"
    assert error in capsys.readouterr().err
    path.write_text(path.read_text("utf-8").replace("2048", "2049", 1), "utf-8")
    assert _run(["bench", "--import", str(path)]) == 2
    assert "results.csv:3: damaged line" in capsys.readouterr().err
    wrong = (1024, 0, 0, 2048, 0, 0, "0.000")
    path.write_text(
        "\n".join([said[0], line("embact-row", '"lut_s8"', "wrong", *wrong), said[2]]), "utf-8"
    )
    assert _run(["bench", "--import", str(path)]) == 1
    assert "failed:" in capsys.readouterr().err
