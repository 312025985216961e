from __future__ import annotations

from pathlib import Path

import pytest

import stages.text.read_conllu as module
from pipeline import Artifact, Graph, LocalExecutor, Store, UserError, run
from stages.text.read_conllu import ReadConllu
from tests.stages.text.small_treebank import sentence, treebank, write_treebank


def read(store: Path, **files: str) -> Artifact:
    graph = Graph()
    graph.add("rows", ReadConllu(**files))
    return run(graph, Store(store), LocalExecutor())["rows"]


def test_treebanks_are_read_as_one_with_every_sentence_as_it_stands(tmp_path: Path) -> None:
    write_treebank(tmp_path / "xx" / "xx_toy-ud-train.conllu", 0, 5)
    write_treebank(tmp_path / "yy" / "yy_toy-ud-train.conllu", 5, 8)
    write_treebank(tmp_path / "xx_toy-ud-test.conllu", 8, 9)
    artifact = read(
        tmp_path / "store",
        train=str(tmp_path / "**" / "*-train.conllu"),
        test=str(tmp_path / "xx_toy-ud-test.conllu"),
    )
    rows = artifact.read().to_pylist()
    assert [r["conllu"] for r in rows] == [sentence(i) for i in range(9)]
    assert [r["treebank"] for r in rows] == ["xx_toy"] * 5 + ["yy_toy"] * 3 + ["xx_toy"]
    assert [r["split"] for r in rows] == ["train"] * 8 + ["test"]
    assert rows[0]["id"] == "xx_toy-ud-train.conllu:1"
    assert rows[1]["id"] == f"xx_toy-ud-train.conllu:{len(sentence(0).splitlines()) + 2}"
    assert rows[0]["words"] == ["Cats", "saw", "soup"]
    assert rows[0]["heads"] == [2, 0, 2]
    assert rows[0]["upos"] == ["NOUN", "VERB", "NOUN"]
    assert artifact.errors() is None


def test_several_patterns_and_folders(tmp_path: Path) -> None:
    write_treebank(tmp_path / "a" / "deep" / "a.conllu", 0, 1)
    write_treebank(tmp_path / "b.conllu", 1, 2)
    rows = read(tmp_path / "store", train=f"{tmp_path / 'a'}, {tmp_path / 'b.conllu'}").read()
    assert rows["treebank"].to_pylist() == ["a", "b"]


def test_a_bad_line_costs_its_sentence_and_is_named(tmp_path: Path) -> None:
    good = treebank(1, 3)
    lines = sentence(0).split("\n")
    bad = [*lines[:4], lines[4].replace("\t", " "), *lines[5:]]
    path = tmp_path / "x.conllu"
    text = f"{good}{chr(10).join(bad)}\n\n# only comments\n\n{treebank(3, 4)}"
    path.write_bytes(text.encode() + b"1\t\xff\t_\t_\t_\t_\t0\troot\t_\t_\n")
    artifact = read(tmp_path / "store", test=str(path))
    assert artifact.read()["conllu"].to_pylist() == [sentence(i) for i in (1, 2, 3)]
    before = len(good.splitlines())
    errors = artifact.errors()
    assert errors is not None
    found = dict(zip(errors["item"].to_pylist(), errors["reason"].to_pylist(), strict=True))
    assert list(found) == [
        f"x.conllu:{before + 5}",
        f"x.conllu:{before + len(lines) + 2}",
        f"x.conllu:{len(text.splitlines()) + 1}",
    ]
    assert [reason.split(":")[0] for reason in found.values()] == [
        "1 columns, not 10 with tabs between",
        "a sentence without words",
        "not UTF-8",
    ]


def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeff\n" + treebank(0, 3).replace("\n\n", "\n \n\n") + sentence(3)
    (tmp_path / "x.conllu").write_text(text, encoding="utf-8", newline="\r\n")
    rows = read(tmp_path / "store", test=str(tmp_path / "x.conllu")).read()
    assert rows["conllu"].to_pylist() == [sentence(i) for i in range(4)]


@pytest.mark.parametrize("block", [1, 300, 1000])
def test_blocks_of_any_size_hold_every_sentence_with_its_line(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_treebank(tmp_path / "x.conllu", 0, 12)
    whole = read(tmp_path / "whole", test=str(path))
    monkeypatch.setattr(module, "BLOCK_BYTES", block)
    cut = read(tmp_path / "cut", test=str(path))
    assert len(cut.parts) > len(whole.parts) == 1
    assert cut.read().to_pylist() == whole.read().to_pylist()


def test_two_files_of_one_name_are_refused_before_any_work(tmp_path: Path) -> None:
    write_treebank(tmp_path / "a" / "x.conllu", 0, 1)
    write_treebank(tmp_path / "b" / "x.conllu", 0, 1)
    with pytest.raises(UserError, match=r"2 files are called x\.conllu"):
        read(tmp_path / "store", train=str(tmp_path))


def test_no_file_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file .*a folder with .conllu files"):
        read(tmp_path / "store", train=str(tmp_path / "nothing.conllu"))
    with pytest.raises(UserError, match="give files of one split"):
        ReadConllu()
