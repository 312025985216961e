"""Documents and summaries in two folders of text files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest
from stages.text.read_summary_shards import SUMMARY_ROWS

SPLITS = ("train", "dev", "test")
FILES_PER_PART = 500


@dataclass(frozen=True, kw_only=True)
class ReadSummaryPairs(Stage):
    """Read articles and their summaries from files of the same names in two folders.

    A pair below a sub-folder called train, dev or test belongs to that split.

    Out  id str (the path below the folder, without suffix), sentences list<str>, summary list<str>, split str
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"articles", "summaries"})
    writes: ClassVar[pa.Schema] = SUMMARY_ROWS

    articles: str
    """Folder of .txt files, searched recursively."""
    summaries: str
    """Folder with a file of the same path for every article."""
    headline: bool = False
    """The first line of an article is its headline, which is no sentence of it."""
    lines: Literal["sentences", "paragraphs"] = "sentences"
    """What a line of a file is; paragraphs are cut into sentences by Wikimedia's sentencex."""
    language: str = "en"
    """The language whose sentences they are."""
    split: Literal["train", "dev", "test"] = "train"
    """The split of pairs that lie below none of that name."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        names = [path.relative_to(self.articles).as_posix() for path in self._articles()]
        parts = [[pa.table({"name": names[i : i + FILES_PER_PART]})] for i in range(0, len(names), FILES_PER_PART)]
        executor.map(partial(PairReader, self), parts, out, schema=self.writes, by="name")

    def fingerprint(self) -> str:
        return listing_digest([*self._articles(), self.summaries], folders=True)

    def splits(self) -> set[str]:
        """Those that there are articles of."""
        return {self.split_of(path.relative_to(self.articles)) for path in self._articles()}

    def split_of(self, name: Path) -> str:
        """The split of an article by its path below the folder."""
        return next((part for part in name.parts[:-1] if part in SPLITS), self.split)

    def _articles(self) -> list[Path]:
        paths = sorted(p for p in Path(self.articles).rglob("*.txt") if p.is_file())
        if not paths:
            raise UserError(f"{self.articles}: no .txt file there (give the folder of the articles)")
        return paths


class PairReader:
    """A file's name in, the row of its pair out."""

    def __init__(self, stage: ReadSummaryPairs) -> None:
        self.stage = stage

    def __call__(self, item: pa.Table) -> pa.Table:
        name = Path(item["name"][0].as_py())
        if not (Path(self.stage.summaries) / name).is_file():
            raise ValueError(f"{Path(self.stage.summaries) / name}: no such file; an article needs its summary there")
        sentences = self._sentences(read_lines(Path(self.stage.articles) / name)[int(self.stage.headline) :])
        if not sentences:
            raise ValueError(f"{Path(self.stage.articles) / name}: a document without sentences")
        row: dict[str, Any] = {
            "id": name.with_suffix("").as_posix(),
            "sentences": sentences,
            "summary": self._sentences(read_lines(Path(self.stage.summaries) / name)),
            "split": self.stage.split_of(name),
        }
        return pa.Table.from_pylist([row], SUMMARY_ROWS)

    def _sentences(self, lines: list[str]) -> list[str]:
        if self.stage.lines == "sentences":
            return lines
        import sentencex

        return [s.strip() for line in lines for s in sentencex.segment(self.stage.language, line) if s.strip()]


def read_lines(path: Path) -> list[str]:
    """The lines of a file that hold something. ValueError where it is not UTF-8."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}; convert it") from None
    return [line.strip() for line in text.split("\n") if line.strip()]
