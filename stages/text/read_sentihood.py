"""SentiHood: what people say of a town's quarters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from models.scoring.aspects import SENTIHOOD
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.aspect_rows import ASPECTS
from stages.text.split_files import Item, PartReader, as_parts, present
from stages.text.values import refuse_halves

TARGETS = ("LOCATION1", "LOCATION2")


@dataclass(frozen=True, kw_only=True)
class ReadSentihood(Stage):
    """Read SentiHood's JSON files (Saeidi et al. 2016): a row for every aspect of every place that a sentence names.

    Texts and places are written as Sun et al. 2019 give them to BERT: in lower case, LOCATION1 as "location - 1". A
    place is asked about where the sentence names it.

    Out  id str (file:id), text str, target str, aspect str, label str ("None", "Positive" or "Negative"), split str

    A sentence without text or an id of its own, that does not name LOCATION1, or with an opinion that is incomplete, of
    a place that the text does not name or against another one, becomes an error row. A file that is no list of
    sentences is a UserError.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = ASPECTS

    train: str
    """JSON file with the sentences to train on."""
    dev: str | None = None
    """JSON file with the sentences to watch training with."""
    test: str | None = None
    """JSON file with the sentences to test on."""
    aspects: tuple[str, ...] = ("general", "price", "transit-location", "safety")
    """The aspects asked about; opinions on others are left out. The four most frequent ones are the benchmark's."""

    def __post_init__(self) -> None:
        if not self.aspects:
            raise UserError("aspects must name one aspect at least")

    def files(self) -> dict[str, str | None]:
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def fingerprint(self) -> str:
        return listing_digest(present(self.files().values()))

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        parts = as_parts(self.files(), self.sentences)
        executor.map(partial(PartReader, self.sentences, self.writes), parts, out, schema=self.writes)

    def sentences(self, path: Path, split: str) -> Iterator[Item]:
        """The questions about each sentence."""
        seen: set[str] = set()
        for number, sentence in enumerate(sentences_of(path), 1):
            try:
                refuse_halves(sentence)
                text, opinions = parse(sentence)
                if str(sentence["id"]) in seen:
                    raise ValueError(f"another sentence has the id {sentence['id']}")
            except ValueError as error:
                yield [Rejected(f"{path.name}, sentence {number}", str(error))]
                continue
            seen.add(str(sentence["id"]))
            row = {"id": f"{path.name}:{sentence['id']}", "text": plain(text), "split": split}
            yield [
                {**row, "target": plain(target), "aspect": aspect.replace("-", " "), "label": label}
                for target, aspect, label in self._questions(text, opinions)
            ]

    def _questions(self, text: str, opinions: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, str, str]]:
        for target in TARGETS:
            if target in text:
                for aspect in self.aspects:
                    yield target, aspect, opinions.get((target, aspect), SENTIHOOD[0])


def sentences_of(path: Path) -> list[Any]:
    """The sentences of a file. UserError where it is none of SentiHood's."""
    try:
        sentences = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(sentences, list):
        raise UserError(f"{path}: not a list of sentences")
    return sentences


def parse(sentence: Any) -> tuple[str, dict[tuple[str, str], str]]:
    """The text and (target, aspect) -> sentiment. ValueError says what is wrong."""
    if not isinstance(sentence, dict) or "id" not in sentence or not isinstance(sentence.get("opinions"), list):
        raise ValueError("not a sentence with id, text and opinions")
    text = sentence.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("the text is empty")
    if TARGETS[0] not in text:
        raise ValueError(f"the text does not name {TARGETS[0]}")
    opinions: dict[tuple[str, str], str] = {}
    for opinion in sentence["opinions"]:
        names = ("target_entity", "aspect", "sentiment")
        cells: list[Any] = [opinion.get(name) for name in names] if isinstance(opinion, dict) else []
        if not cells or not all(isinstance(cell, str) for cell in cells):
            raise ValueError(f"an opinion needs target_entity, aspect and sentiment: {opinion}")
        target, aspect, sentiment = cells
        if target not in TARGETS or target not in text:
            raise ValueError(f"an opinion is of {target}, which the text does not name")
        if sentiment not in SENTIHOOD[1:]:
            raise ValueError(f"the sentiment '{sentiment}' is neither {SENTIHOOD[1]} nor {SENTIHOOD[2]}")
        if opinions.setdefault((target, aspect), sentiment) != sentiment:
            raise ValueError(f"two opinions on {aspect} of {target}")
    return text, opinions


def plain(text: str) -> str:
    """Lower case, LOCATION1 as "location - 1"."""
    return " ".join(re.sub(r"LOCATION(\d)", r" LOCATION - \1 ", text).lower().split())
