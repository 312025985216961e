"""The nine tasks of GLUE, from the tsv files that its download script writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.store import listing_digest
from stages.text import tables
from stages.text.labelled import LABELLED, labelled, text_of


class Columns(NamedTuple):
    """Where a task's files have what, by the names in their headers."""

    text: str
    second: str | None
    label: str
    labels: tuple[str, ...] = ()
    """In the order of the classes; none where the label is a number."""


ENTAILMENT = ("entailment", "not_entailment")
GLUE = {
    "cola": Columns("sentence", None, "label", ("0", "1")),
    "sst2": Columns("sentence", None, "label", ("0", "1")),
    "mrpc": Columns("#1 String", "#2 String", "Quality", ("0", "1")),
    "stsb": Columns("sentence1", "sentence2", "score"),
    "qqp": Columns("question1", "question2", "is_duplicate", ("0", "1")),
    "mnli": Columns("sentence1", "sentence2", "gold_label", ("contradiction", "entailment", "neutral")),
    "qnli": Columns("question", "sentence", "label", ENTAILMENT),
    "rte": Columns("sentence1", "sentence2", "label", ENTAILMENT),
    "wnli": Columns("sentence1", "sentence2", "label", ("0", "1")),
}
"""What separates the tasks. MNLI's labels are in the order of google-research/bert; in other copies of GLUE they are
numbered differently, but here rows have their names."""
Name = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]

COLA_COLUMNS = ("source", "label", "star", "sentence")
"""CoLA's train.tsv and dev.tsv have no header; its test.tsv has one."""
FILES = {
    "train.tsv": "train",
    "dev.tsv": "dev",
    "dev_matched.tsv": "dev",
    "dev_mismatched.tsv": "dev_mismatched",
    "test.tsv": "test",
    "test_matched.tsv": "test",
    "test_mismatched.tsv": "test_mismatched",
}


@dataclass(frozen=True, kw_only=True)
class ReadGlue(Stage):
    """Read one of GLUE's tasks (Wang et al. 2019).

    Out  id str (file:line), text str, second str|null, label str|null, split str: "train", "dev" or "test"; MNLI's
         genres that are not in training are "dev_mismatched" and "test_mismatched"

    Cells are never quoted, whatever they hold. A row with another number of columns than the header (QQP has some),
    with an empty text or with a label that the task has not becomes an error row. Test files have no labels, but one
    that has them may lie in their place.
    """

    version: ClassVar[str] = "2"
    paths: ClassVar[frozenset[str]] = frozenset({"folder"})
    writes: ClassVar[pa.Schema] = LABELLED

    folder: str
    """GLUE's folder, with a folder for each task (CoLA, SST-2, ..., in any spelling), or the folder of this task."""
    name: Name
    """Which task."""

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None:
        blocks = (b for path in self._files() for b in tables.cut(path, FILES[path.name], self.form(path)))
        forms = {str(path): self.form(path) for path in self._files()}
        make = partial(tables.RowReader, forms, partial(labelled, self.labelled), LABELLED)
        executor.map(make, tables.as_parts(blocks), out, schema=LABELLED)

    def fingerprint(self) -> str:
        files = list(self._files())
        for path in files:
            has, columns = tables.columns_of(path, self.form(path)), GLUE[self.name]
            label = [] if FILES[path.name].startswith("test") else [columns.label]
            for column in [columns.text, *filter(None, [columns.second]), *label]:
                if column not in has:
                    raise UserError(f"{path}: is not {self.name}'s: it has no column '{column}', but {', '.join(has)}")
        return listing_digest(files)

    def form(self, path: Path) -> tables.Form:
        headless = self.name == "cola" and path.name != "test.tsv"
        return tables.Form(quotes=False, columns=COLA_COLUMNS if headless else None)

    def labelled(self, cells: Mapping[str, str], split: str) -> dict[str, str | None]:
        columns = GLUE[self.name]
        second = {"second": text_of(cells, columns.second)} if columns.second else {}
        label = cells[columns.label].strip() if columns.label in cells else None
        if label is not None and columns.labels and label not in columns.labels:
            raise ValueError(f"the label '{label}' is none of {', '.join(columns.labels)}")
        return {"text": text_of(cells, columns.text), **second, "label": label}

    def _files(self) -> Iterator[Path]:
        if not Path(self.folder).is_dir():
            raise UserError(f"{self.folder}: no such folder")
        folders = [f for f in sorted(Path(self.folder).iterdir()) if f.is_dir() and _plain(f.name) == self.name]
        folder = folders[0] if folders else Path(self.folder)
        found = [folder / name for name in FILES if (folder / name).is_file()]
        if not found:
            raise UserError(f"{self.folder}: has neither a folder of {self.name} nor {', '.join(FILES)}")
        yield from found


def _plain(name: str) -> str:
    """``SST-2`` as ``sst2``."""
    return "".join(c for c in name.lower() if c.isalnum())
