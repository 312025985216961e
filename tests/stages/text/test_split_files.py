from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline import Artifact, LocalExecutor, Rejected
from pipeline.graph import make
from pipeline.store import part_rows
from stages.text.read_conll import ReadConll
from stages.text.read_sentihood import ReadSentihood
from stages.text.split_files import Item, PartReader, as_parts

SCHEMA = pa.schema([("line", pa.string())])


def pairs(path: Path, split: str) -> Iterator[Item]:
    """Two rows a line."""
    for line in path.read_text().split():
        yield [{"line": f"{split} {line}"}, {"line": line}]


def test_a_file_is_cut_into_parts_of_a_thousand_rows(tmp_path: Path) -> None:
    (tmp_path / "long").write_text(" ".join(map(str, range(1201))))
    (tmp_path / "even").write_text(" ".join(map(str, range(500))))
    (tmp_path / "none").touch()
    files = {"train": tmp_path / "long", "dev": None, "test": tmp_path / "even", "more": tmp_path / "none"}
    places = [part[0].to_pylist()[0] for part in as_parts(files, pairs)]
    assert [(p["split"], p["first"], p["end"]) for p in places] == [
        *(("train", first, end) for first, end in ((0, 500), (500, 1000), (1000, 1201))),
        ("test", 0, 500),
        ("more", 0, 0),
    ]


def test_parts_are_read_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "long").write_text(" ".join(map(str, range(1201))))
    parts = [part[0] for part in as_parts({"train": tmp_path / "long", "dev": tmp_path / "long"}, pairs)]
    whole = [PartReader(pairs, SCHEMA)(part)[0]["line"].to_pylist() for part in parts]
    assert [line for lines in whole[:3] for line in lines[1::2]] == [str(n) for n in range(1201)]
    reader = PartReader(pairs, SCHEMA)
    for i in (0, 2, 1, 1, 4, 3, 2):
        assert reader(parts[i])[0]["line"].to_pylist() == whole[i]


def test_a_file_in_order_is_opened_once(tmp_path: Path) -> None:
    opened = []

    def read(path: Path, split: str) -> Iterator[Item]:
        opened.append(path)
        for n in range(3500):
            yield [Rejected(str(n), "bad") if n % 2 else {"line": str(n)}]

    parts = as_parts({"train": "file"}, read)
    reader = PartReader(read, SCHEMA)
    tables, rejected = zip(*(reader(part[0]) for part in parts), strict=True)
    assert len(opened) == 2  # once to cut it
    assert [(len(t), len(r)) for t, r in zip(tables, rejected, strict=True)] == [*[(500, 500)] * 3, (250, 250)]


def parts_of(stage: ReadConll | ReadSentihood, folder: Path) -> Artifact:
    artifact = Artifact(folder / "rows", "rows")
    make(stage, {}, artifact, LocalExecutor())
    return artifact


def test_a_document_stays_in_one_part_and_other_sentences_need_not(tmp_path: Path) -> None:
    sentences = "stir O\n\n" * 700
    (tmp_path / "train").write_text(f"-DOCSTART- O\n\n{sentences}" * 3)
    (tmp_path / "dev").write_text(sentences * 2)
    rows = parts_of(ReadConll(train=str(tmp_path / "train"), dev=str(tmp_path / "dev")), tmp_path)
    assert [part_rows(part) for part in rows.parts] == [1400, 700, 1000, 400]
    documents = rows.read()["document"].to_pylist()
    assert [documents[i] for i in (0, 699, 700, 1399, 1400, 2100)] == [
        *("train:1", "train:1", "train:1403", "train:1403", "train:2805", None)
    ]
    assert len(set(rows.read()["id"].to_pylist())) == 3500


def test_a_sentence_s_questions_stay_in_one_part(tmp_path: Path) -> None:
    sentences = [{"id": n, "text": "LOCATION1 or LOCATION2", "opinions": []} for n in range(300)]
    (tmp_path / "train.json").write_text(json.dumps([*sentences, sentences[0]]))
    rows = parts_of(ReadSentihood(train=str(tmp_path / "train.json")), tmp_path)
    assert [part_rows(part) for part in rows.parts] == [1000, 1000, 400]
    errors = rows.errors()
    assert errors is not None
    assert errors["reason"].to_pylist() == ["another sentence has the id 0"]


def test_a_value_that_no_table_can_hold_costs_its_row(tmp_path: Path) -> None:
    def read(path: Path, split: str) -> Iterator[Item]:
        yield from ([{"id": f"file:{n}", "number": n << 30}] for n in range(3))

    schema = pa.schema([("id", pa.string()), ("number", pa.int32())])
    ((part,),) = as_parts({"train": "file"}, read)
    table, rejected = PartReader(read, schema)(part)
    assert table["id"].to_pylist() == ["file:0", "file:1"]
    assert [r.item for r in rejected] == ["file:2"]
