"""SQuAD's JSON files, version 1.1 and 2."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.values import refuse_halves, table_of

ARTICLES = 16
"""Articles a part."""


@dataclass(frozen=True, kw_only=True)
class ReadSquad(Stage):
    """Read questions about paragraphs, with their answers, from files in SQuAD's format (Rajpurkar et al. 2016, 2018).

    Out  id str, title str, question str, context str (the paragraph), answers list of text str and start int32 (its
         offset in the context, characters), split str ("train" | "dev" | "test"), source str (file and place in it). No
         answers are an empty list where the file says is_impossible (version 2), and null where it does not say (a
         test file without labels).

    An answer that is not at its offset, an empty text or a training question without answers makes an error row.
    """

    version: ClassVar[str] = "4"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "title", "question", "context")),
            ("answers", pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))),
            ("split", pa.string()),
            ("source", pa.string()),
        ]
    )

    train: str | None = None
    """JSON file with the questions to learn from."""
    dev: str | None = None
    """JSON file with the questions to choose by."""
    test: str | None = None
    """JSON file with the questions to judge by."""
    dev_articles: int = 0
    """Without a dev file: so many articles of the training file, the last ones before those to test on, are dev."""
    test_articles: int = 0
    """Without a test file: so many of the training file's last articles are test."""

    def __post_init__(self) -> None:
        if not self._files():
            raise UserError("give at least one of the files train, dev and test")
        for split in ("dev", "test"):
            number = getattr(self, f"{split}_articles")
            if number < 0:
                raise UserError(f"{split}_articles must be 0 or more, not {number}")
            if number and (getattr(self, split) or not self.train):
                raise UserError(f"{split}_articles cuts the training file: give that, and no {split} file")

    def fingerprint(self) -> str:
        return listing_digest(self._files().values())

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = []
        for split, path in self._files().items():
            number = len(articles_of(path))
            splits = self._splits(number) if split == "train" else [split] * number
            for first in range(0, number, ARTICLES):
                blocks = [
                    {"path": str(path), "article": i, "split": splits[i]}
                    for i in range(first, min(first + ARTICLES, number))
                ]
                parts.append([pa.Table.from_pylist(blocks)])
        executor.map(SquadReader, parts, out, schema=self.writes)

    def _files(self) -> dict[str, Path]:
        return {split: Path(path) for split in ("train", "dev", "test") if (path := getattr(self, split))}

    def _splits(self, number: int) -> list[str]:
        """The split of each of the training file's articles."""
        learned = number - self.dev_articles - self.test_articles
        if learned < 1:
            raise UserError(
                f"{self.train} has {number} articles, of which {self.dev_articles} + {self.test_articles} for dev and "
                "test leave none to learn from"
            )
        return ["train"] * learned + ["dev"] * self.dev_articles + ["test"] * self.test_articles


class SquadReader:
    """Articles, by their numbers in a file, in; their questions out."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._articles: list[Any] = []

    def __call__(self, numbers: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        rows: list[dict[str, Any]] = []
        rejected = []
        for block in numbers.to_pylist():
            if block["path"] != self._path:
                self._path, self._articles = block["path"], articles_of(Path(block["path"]))
            for where, question in questions_of(self._articles[block["article"]]):
                place = f"{Path(block['path']).name}: data[{block['article']}]{where}"
                try:
                    refuse_halves(question)
                    rows.append({**checked(question, block["split"]), "source": place})
                except ValueError as error:
                    rejected.append(Rejected(place, str(error)))
        table, unfit = table_of(rows, [row["source"] for row in rows], ReadSquad.writes)
        return table, rejected + unfit


def articles_of(path: Path) -> list[Any]:
    """The articles of a file. UserError where it is none of SQuAD's."""
    try:
        file = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file ({error})") from None
    articles = file.get("data") if isinstance(file, dict) else None
    if not isinstance(articles, list):
        raise UserError(f'{path}: not a file in SQuAD\'s format, which is {{"data": [articles]}}')
    return articles


def questions_of(article: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where in its article each question stands, and what the file says of it, with title and context."""
    for p, paragraph in enumerate(_entries(article, "paragraphs")):
        for q, question in enumerate(_entries(paragraph, "qas")):
            shared = {"title": _of(article, "title"), "context": _of(paragraph, "context")}
            yield f".paragraphs[{p}].qas[{q}]", {**(question if isinstance(question, dict) else {}), **shared}


def _entries(owner: Any, name: str) -> list[Any]:
    """A list that ``owner`` holds; where it is missing, one entry of which nothing is known."""
    entries = _of(owner, name)
    return entries if isinstance(entries, list) else [None]


def _of(owner: Any, name: str) -> Any:
    return owner.get(name) if isinstance(owner, dict) else None


def checked(question: Mapping[str, Any], split: str) -> dict[str, Any]:
    """The row of a question. ValueError says what is wrong with it."""
    if type(question.get("id")) is int:
        question = {**question, "id": str(question["id"])}
    for name in ("id", "question", "context"):
        text = question.get(name)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"it has no {name}")
    answers, title = question.get("answers") or [], question.get("title")
    title = None if title is None else str(title)
    if not isinstance(answers, list):
        raise ValueError(f"the answers to {question['id']} are no list")
    if question.get("is_impossible"):
        answers = []
    elif not answers:
        if split != "test":
            raise ValueError(f"{question['id']} has no answer, and is not marked is_impossible")
        answers = None
    row = {"title": title, "answers": answers and [_answer(a, question, split) for a in answers]}
    return {**{name: question[name] for name in ("id", "question", "context")}, **row, "split": split}


def _answer(answer: Any, question: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Text and place. Those to test on are compared as texts, as SQuAD's scorer does, wherever they are said to be."""
    try:
        text, start = str(answer["text"]), int(answer["answer_start"])
    except (TypeError, KeyError, ValueError, OverflowError):
        raise ValueError(f"an answer to {question['id']} has no text or no answer_start") from None
    if not text.strip():
        raise ValueError(f"an answer to {question['id']} is empty")
    there = question["context"][start : start + len(text)] if start >= 0 else ""
    if there != text and split != "test":
        raise ValueError(
            f"{question['id']}: its answer '{text}' is not at character {start} of its context, where '{there}' stands"
        )
    return {"text": text, "start": start}
