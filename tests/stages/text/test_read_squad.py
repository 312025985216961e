from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.read_squad import ReadSquad

CONTEXT = "In 1895 the café opened."


def question(id_: str, answer: str = "1895", start: int | None = None, **more: Any) -> dict[str, Any]:
    answers = [{"text": answer, "answer_start": CONTEXT.find(answer) if start is None else start}]
    return {"id": id_, "question": "When?", "answers": answers, **more}


def article(title: str, *questions: Any) -> dict[str, Any]:
    return {"title": title, "paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}


def write(path: Path, articles: list[Any]) -> str:
    path.write_text(json.dumps({"version": "2.0", "data": articles}))
    return str(path)


def read(folder: Path, **fields: Any) -> Artifact:
    out = Artifact(folder / "out", "key")
    make(ReadSquad(**fields), {}, out, LocalExecutor(max_error_rate=1.0))
    return out


def test_questions_with_their_answers(tmp_path: Path) -> None:
    impossible = {"id": "none", "question": "Why?", "is_impossible": True, "answers": [], "plausible_answers": [{}]}
    dev = question("two") | {"answers": question("a")["answers"] + question("b", "In 1895")["answers"]}
    path = write(tmp_path / "train.json", [article("Coffee", question("one", "café"), impossible)])
    out = read(tmp_path, train=path, dev=write(tmp_path / "dev.json", [article("Tea", dev)]))
    rows = out.read().to_pylist()
    assert [r["id"] for r in rows] == ["one", "none", "two"]
    assert rows[0] == {
        **{"id": "one", "title": "Coffee", "question": "When?", "context": CONTEXT, "split": "train"},
        "answers": [{"text": "café", "start": 12}],
        "source": "train.json: data[0].paragraphs[0].qas[0]",
    }
    assert rows[1]["answers"] == []
    assert [a["text"] for a in rows[2]["answers"]] == ["1895", "In 1895"]
    assert rows[2]["split"] == "dev"


def test_a_test_file_may_be_without_answers(tmp_path: Path) -> None:
    unlabelled = {"id": "q", "question": "When?"}
    out = read(tmp_path, test=write(tmp_path / "test.json", [article("Coffee", unlabelled)]))
    assert out.read()["answers"].to_pylist() == [None]


def test_answers_to_test_on_count_wherever_they_are_said_to_be(tmp_path: Path) -> None:
    """SQuAD's scorer looks at their texts alone, and at every question."""
    articles = [article("a", question("shifted", start=4))]
    out = read(tmp_path, test=write(tmp_path / "test.json", articles), train=write(tmp_path / "train.json", articles))
    assert [(row["id"], row["split"]) for row in out.read().to_pylist()] == [("shifted", "test")]
    assert out.errors().num_rows == 1


def test_one_file_is_split_by_article(tmp_path: Path) -> None:
    articles = [article(f"a{i}", question(f"{i}.1"), question(f"{i}.2")) for i in range(40)]
    out = read(tmp_path, train=write(tmp_path / "all.json", articles), dev_articles=3, test_articles=8)
    splits = [(r["title"], r["split"]) for r in out.read().to_pylist()]
    assert len(splits) == 80
    assert [dict(splits)[f"a{i}"] for i in range(40)] == ["train"] * 29 + ["dev"] * 3 + ["test"] * 8
    assert len(out.parts) == 3


def test_bad_questions_become_error_rows_and_nothing_else_is_lost(tmp_path: Path) -> None:
    bad = [
        question("shifted", start=4),
        question("negative", "x", start=-1),
        question("unanswered") | {"answers": []},
        question("empty", "", start=0),
        question("no start") | {"answers": [{"text": "1895"}]},
        {"id": "no question", "answers": question("a")["answers"]},
        question("a number") | {"answers": 5},
        "no object",
    ]
    paragraph = {"context": CONTEXT}
    articles = [article(1984, *bad, question("good")), {"title": "x"}, {"title": "y", "paragraphs": [paragraph]}, 7]
    out = read(tmp_path, train=write(tmp_path / "train.json", articles))
    assert [(row["id"], row["title"]) for row in out.read().to_pylist()] == [("good", "1984")]
    errors = {e["item"]: e["reason"] for e in out.errors().to_pylist()}
    assert errors["train.json: data[0].paragraphs[0].qas[0]"] == (
        "shifted: its answer '1895' is not at character 4 of its context, where '895 ' stands"
    )
    assert errors["train.json: data[0].paragraphs[0].qas[2]"] == (
        "unanswered has no answer, and is not marked is_impossible"
    )
    assert errors["train.json: data[0].paragraphs[0].qas[5]"] == "it has no question"
    assert len(errors) == len(bad) + 3


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "not a file in SQuAD's format"), ("{", "not a JSON file"), ('{"data": 1}', "SQuAD's")]
)
def test_files_that_are_none_of_squad(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read(tmp_path, train=str(tmp_path / "train.json"))


def test_fields_that_do_not_fit_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one of the files"):
        ReadSquad()
    with pytest.raises(UserError, match="give that, and no test file"):
        ReadSquad(train="a.json", test="b.json", test_articles=2)
    with pytest.raises(UserError, match="0 or more"):
        ReadSquad(train="a.json", dev_articles=-1)
    with pytest.raises(UserError, match="no such file"):
        ReadSquad(train=str(tmp_path / "missing.json")).fingerprint()
    with pytest.raises(UserError, match="leave none to learn from"):
        read(tmp_path, train=write(tmp_path / "a.json", [article("a", question("q"))]), test_articles=1)


def test_a_value_that_no_table_can_hold_costs_its_question(tmp_path: Path) -> None:
    far = question("far") | {"answers": [{"text": "1895", "answer_start": 1 << 40}]}
    endless = question("endless") | {"answers": [{"text": "1895", "answer_start": float("inf")}]}
    halved = question("halved", "\ud83d", start=0)
    out = read(tmp_path, test=write(tmp_path / "test.json", [article("a", question("good"), far, halved, endless)]))
    assert out.read()["id"].to_pylist() == ["good"]
    errors = {e["item"][-6:]: e["reason"] for e in out.errors().to_pylist()}
    assert errors["qas[1]"].startswith("its answers is no list")
    assert errors["qas[2]"].startswith("a text has half a character, \\ud83d")
    assert errors["qas[3]"] == "an answer to endless has no text or no answer_start"


def test_an_id_may_be_a_number(tmp_path: Path) -> None:
    numbered = question("a") | {"id": 17}
    out = read(tmp_path, train=write(tmp_path / "train.json", [article("a", numbered, question("b") | {"id": True})]))
    assert out.read()["id"].to_pylist() == ["17"]
    assert out.errors()["reason"].to_pylist() == ["it has no id"]
