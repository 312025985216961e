from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text import tables
from stages.text.retrieval.read_documents import ReadDocuments
from tests.pipeline.careful import CarefulExecutor
from tests.stages.text.retrieval.tiny_collection import write_collection


def read(path: Path, out: Path, **fields: str) -> tuple[list[tuple], list[dict]]:
    artifact = Artifact(out, "documents")
    make(ReadDocuments(documents=str(path), **fields), {}, artifact, LocalExecutor(max_error_rate=1))
    errors = artifact.errors()
    return [tuple(r.values()) for r in artifact.read().to_pylist()], errors.to_pylist() if errors else []


def test_smart(tmp_path: Path) -> None:
    """A title that begins the text stands once; a document without words is an error row, the others are there."""
    documents, errors = read(write_collection(tmp_path) / "cran.all", tmp_path / "out")
    assert documents[0] == ("1", "leek soup .", "cut the leek . stir the soup .")
    assert [d[0] for d in documents] == ["1", "2", "3", "5", "6"]
    assert [(e["item"], e["reason"]) for e in errors] == [("cran.all:28", "document 4 has neither title nor text")]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("executor", [LocalExecutor(), CarefulExecutor()])
def test_a_document_that_stands_again_is_left_out_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: LocalExecutor, together: bool
) -> None:
    if not together:
        monkeypatch.setattr(tables, "BLOCK_BYTES", 20)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "1.tsv").write_text("a\tleek soup\nb\tbread and so on\nc\tcut\n")
    (tmp_path / "docs" / "2.tsv").write_text("a\tleek again, another time\nd\tstir\n")
    artifact = Artifact(tmp_path / "out", "documents")
    executor.max_error_rate = 1
    make(ReadDocuments(documents=str(tmp_path / "docs")), {}, artifact, executor)
    assert (len(artifact.parts) > 1) is not together
    texts = {r["doc_id"]: r["text"] for r in artifact.read().to_pylist()}
    assert texts == {"a": "leek soup", "b": "bread and so on", "c": "cut", "d": "stir"}
    assert (artifact.manifest["repeated"] + artifact.manifest["errors"], artifact.manifest["rows"]) == (1, 4)


def test_trec(tmp_path: Path) -> None:
    (tmp_path / "fr94").write_text(
        "<DOC>\n<DOCNO> FT-1 </DOCNO>\n<HEADLINE>\n A <b>leek</b>\n</HEADLINE>\n<DATE>today</DATE>\n"
        "<TEXT>\nCut it.\n<P>Stir\n</TEXT>\n<TEXT>Eat it.</TEXT>\n</DOC>\n"
        "<doc>\n<DOCNO>FT-2</DOCNO>\nno tags\n</doc>\n<DOC>\n<TEXT>x</TEXT>\n</DOC>\n<DOC>\n<DOCNO>FT-3</DOCNO>\n"
    )
    documents, errors = read(tmp_path / "fr94", tmp_path / "out")
    assert documents == [("FT-1", "A leek", "Cut it. Stir Eat it."), ("FT-2", None, "no tags")]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("fr94:17", "a document without <DOCNO>"),
        ("fr94:20", "not closed at the end of the file"),
    ]


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.json", "docs"])
def test_json_lines_by_several_names(tmp_path: Path, name: str) -> None:
    rows: list[object] = [
        {"_id": "a", "title": "Leek", "text": "cut  it"},
        {"id": 7, "contents": "stir", "title": 1984},
        {"docid": "c"},
        {"text": "no id"},
        {"id": "a", "text": "again"},
        ["no object"],
    ]
    (tmp_path / name).write_text("".join(json.dumps(r) + "\n" for r in rows) + "oops\n")
    documents, errors = read(tmp_path / name, tmp_path / "out")
    assert documents == [("a", "Leek", "cut it"), ("7", "1984", "stir")]
    assert [e["item"] for e in errors] == [f"{name}:{n}" for n in (3, 4, 5, 6, 7)]
    assert errors[0]["reason"].startswith("has no column with a text")
    assert errors[2]["reason"] == "document a a second time"


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ("7\tcut the leek", ("7", None, "cut the leek")),
        ("D7\tLeek\tcut it", ("D7", "Leek", "cut it")),
        ("D7\thttp://a.b\tLeek\tcut it", ("D7", "Leek", "cut it")),
    ],
)
def test_tsv_without_header(tmp_path: Path, line: str, document: tuple) -> None:
    (tmp_path / "collection.tsv").write_text(f"{line}\nbroken\n")
    documents, errors = read(tmp_path / "collection.tsv", tmp_path / "out")
    assert documents == [document]
    assert errors[0]["item"] == "collection.tsv:2"


def test_a_damaged_first_line_is_an_error_row(tmp_path: Path) -> None:
    (tmp_path / "collection.tsv").write_text("damaged\n1\tleek\n2\tsoup\n")
    documents, errors = read(tmp_path / "collection.tsv", tmp_path / "out")
    assert [d[0] for d in documents] == ["1", "2"]
    assert [e["item"] for e in errors] == ["collection.tsv:1"]


def test_top1000_has_a_document_once_whatever_the_queries(tmp_path: Path) -> None:
    (tmp_path / "top1000.dev").write_text("1\t7\tq one\tleek\n2\t7\tq two\tleek\n1\t8\tq one\tsoup\n1\t9\tno passage\n")
    documents, errors = read(tmp_path / "top1000.dev", tmp_path / "out")
    assert documents == [("7", None, "leek"), ("8", None, "soup")]
    assert [(e["item"], e["reason"]) for e in errors] == [
        ("top1000.dev:4", "3 columns instead of 4 (query_id, doc_id, query, text)")
    ]


def test_a_folder_of_files_of_several_formats(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_collection(tmp_path / "in").joinpath("cran.qry").unlink()
    (tmp_path / "in/cranqrel").unlink()
    (tmp_path / "in/more.jsonl").write_text('{"id": "x", "text": "y"}\n')
    documents, _ = read(tmp_path / "in", tmp_path / "out")
    assert [d[0] for d in documents] == ["1", "2", "3", "5", "6", "x"]


def test_what_is_no_collection_is_said_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("just text\n")
    with pytest.raises(UserError, match=r"a\.txt: its first lines are none of a collection"):
        ReadDocuments(documents=str(tmp_path / "a.txt")).fingerprint()
    with pytest.raises(UserError, match="no such file"):
        ReadDocuments(documents=str(tmp_path / "none")).fingerprint()


def test_half_a_character_costs_its_document(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": "1", "text": "leek"}\n{"id": "2", "text": "\\ud83d"}\n{"id": "3", "text": "soup"}\n'
    )
    documents, errors = read(tmp_path / "a.jsonl", tmp_path / "out")
    assert [d[0] for d in documents] == ["1", "3"]
    assert [(e["item"], e["reason"][:29]) for e in errors] == [("a.jsonl:2", "a text has half a character, ")]


@pytest.mark.parametrize(
    "text",
    [
        "1\tleek\n",
        '{"id": "1", "text": "leek"}\n',
        ".I 1\n.W\nleek\n",
        "<DOC>\n<DOCNO>1</DOCNO>\nleek\n</DOC>\n",
        "1\t1\tsoup\tleek\n",
    ],
)
def test_a_mark_of_the_byte_order_is_no_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "docs").write_text(text, encoding="utf-8-sig")
    assert read(tmp_path / "docs", tmp_path / "out") == ([("1", None, "leek")], [])


def test_what_is_not_utf8_is_an_error_row_and_not_another_text(tmp_path: Path) -> None:
    """An author that nobody reads may be."""
    bad = {
        "smart": b".I 1\n.W\ncaf\xe9\n.I 2\n.A\nRen\xe9\n.W\nleek\n.I \xe9\n.W\nleek\n",
        "trec": b"<DOC>\n<DOCNO>1</DOCNO>\ncaf\xe9\n</DOC>\n<DOC>\n<DOCNO>2</DOCNO>\nleek\n</DOC>\n",
    }
    places = {"smart": ["smart:1", "smart:9"], "trec": ["trec:1"]}
    for name, text in bad.items():
        (tmp_path / name).write_bytes(text)
        documents, errors = read(tmp_path / name, tmp_path / f"{name}-out")
        assert documents == [("2", None, "leek")]
        assert [e["item"] for e in errors] == places[name]
        assert {e["reason"] for e in errors} == {"not UTF-8: save the file in that encoding"}


def test_a_compressed_file_is_refused_at_plan_time(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.tsv").write_text("1\tleek\n")
    (tmp_path / "docs/b.tsv.gz").write_bytes(gzip.compress(b"2\tsoup\n"))
    with pytest.raises(UserError, match=r"b\.tsv\.gz: is compressed; unpack it first"):
        ReadDocuments(documents=str(tmp_path / "docs"), format="tsv").fingerprint()
