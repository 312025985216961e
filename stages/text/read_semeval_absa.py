"""SemEval-2014 task 4: what guests say of restaurants."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import pyarrow as pa

from models.scoring.aspects import SEMEVAL
from pipeline import Artifact, Executor, Rejected, Stage, UserError
from pipeline.store import listing_digest
from stages.text.aspect_rows import ASPECTS
from stages.text.split_files import Item, PartReader, as_parts, present

ABSENT = SEMEVAL[-1]
CATEGORIES = ("price", "anecdotes/miscellaneous", "food", "ambience", "service")
"""The task's aspect categories."""


@dataclass(frozen=True, kw_only=True)
class ReadSemevalAbsa(Stage):
    """Read the XML files of SemEval-2014 task 4 (Pontiki et al. 2014): a row for every aspect category of a sentence.

    Out  id str (file:id), text str, target null, aspect str ("anecdotes" of "anecdotes/miscellaneous"), label str
         ("positive", "neutral", "negative", "conflict" or "none"), split str

    A sentence without text or an id of its own, or with an unknown category or polarity, becomes an error row.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"dev", "test", "train"})
    writes: ClassVar[pa.Schema] = ASPECTS

    train: str
    """XML file with the sentences to train on (Restaurants_Train.xml)."""
    dev: str | None = None
    """XML file with the sentences to watch training with; the task has none, see ``dev_fraction``."""
    test: str | None = None
    """XML file with the sentences to test on (Restaurants_Test_Gold.xml)."""
    dev_fraction: float = 0.0
    """Share of the training sentences, drawn by their ids, to watch training with instead."""
    aspects: tuple[str, ...] = CATEGORIES
    """The categories asked about; opinions on others are left out."""

    def __post_init__(self) -> None:
        if not 0 <= self.dev_fraction < 1:
            raise UserError("dev_fraction is a share of the training sentences: at least 0 and less than 1")
        if self.dev_fraction and self.dev is not None:
            raise UserError(
                "dev_fraction draws a dev split of the training sentences; leave it at 0 where dev is a file"
            )
        if not self.aspects or not set(self.aspects) <= set(CATEGORIES):
            raise UserError(f"aspects must name one or more of {', '.join(CATEGORIES)}")

    def files(self) -> dict[str, str | None]:
        return {"train": self.train, "dev": self.dev, "test": self.test}

    def fingerprint(self) -> str:
        return listing_digest(present(self.files().values()))

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        for path in present(self.files().values()):
            if not any(element.find(".//aspectCategory") is not None for element in sentences(Path(path))):
                raise UserError(f"{path}: no sentence has an aspectCategory; give a file of the restaurants, with gold")
        parts = as_parts(self.files(), self.reviews)
        executor.map(partial(PartReader, self.reviews, self.writes), parts, out, schema=self.writes)

    def reviews(self, path: Path, split: str) -> Iterator[Item]:
        """The questions about each sentence."""
        seen: set[str] = set()
        for number, sentence in enumerate(sentences(path), 1):
            try:
                id_, text, polarities = self._parse(sentence)
                if id_ in seen:
                    raise ValueError(f"another sentence has the id {id_}")
            except ValueError as error:
                yield [Rejected(f"{path.name}, sentence {number}", str(error))]
                continue
            seen.add(id_)
            mine = "dev" if split == "train" and share_of(id_) < self.dev_fraction else split
            row = {"id": f"{path.name}:{id_}", "text": text, "target": None, "split": mine}
            yield [
                {**row, "aspect": aspect.partition("/")[0], "label": polarities.get(aspect, ABSENT)}
                for aspect in self.aspects
            ]

    def _parse(self, sentence: ElementTree.Element) -> tuple[str, str, dict[str, str]]:
        """Id, text and category -> polarity. ValueError says what is wrong."""
        id_, text = sentence.get("id"), " ".join((sentence.findtext("text") or "").split())
        if not id_:
            raise ValueError("the sentence has no id")
        if not text:
            raise ValueError(f"the text of {id_} is empty")
        polarities: dict[str, str] = {}
        for element in sentence.iter("aspectCategory"):
            category, polarity = element.get("category", ""), element.get("polarity", "")
            if category not in CATEGORIES:
                raise ValueError(f"the category '{category}' of {id_} is none of {', '.join(CATEGORIES)}")
            if polarity not in SEMEVAL[:-1]:
                raise ValueError(f"the polarity '{polarity}' of {id_} is none of {', '.join(SEMEVAL[:-1])}")
            if polarities.setdefault(category, polarity) != polarity:
                raise ValueError(f"two polarities of {category} in {id_}")
        return id_, text, polarities


def sentences(path: Path) -> Iterator[ElementTree.Element]:
    """The sentence elements, one at a time. UserError where the file is no XML."""
    try:
        for _, element in ElementTree.iterparse(path):
            if element.tag == "sentence":
                yield element
                element.clear()
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: not XML ({error})") from None


def share_of(id_: str) -> float:
    """A number in [0, 1) that is the sentence's own."""
    return int.from_bytes(hashlib.sha256(id_.encode()).digest()[:6]) / 2**48
