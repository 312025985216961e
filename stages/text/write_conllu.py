"""Parsed treebanks as files again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from pipeline import Artifact, Executor, Stage
from pipeline.store import read_part, write_atomically


@dataclass(frozen=True, kw_only=True)
class WriteConllu(Stage):
    """Write parsed sentences as the CoNLL-U files they come from.

    In   predictions: id str (file:line), conllu str
    Out  a file for every file read, with its name. What the model predicts (LEMMA, UPOS, FEATS, HEAD, DEPREL) is the
         model's; comments, multiword tokens, empty nodes, XPOS, DEPS and MISC are as they were read
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"predictions": ("id", "conllu")}

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        files = {}
        for name, sentences in groupby(_sentences(inputs["predictions"]), key=lambda pair: pair[0]):
            count = 0
            with write_atomically(out / name) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
                for _, sentence in sentences:
                    file.write(f"{sentence}\n\n")
                    count += 1
            files[name] = count
        return {"sentences": files}


def _sentences(predictions: Artifact) -> Iterator[tuple[str, str]]:
    """File and text of every sentence, in the order in which they were read."""
    for part in predictions.parts:
        table = read_part(part, ["id", "conllu"])
        for id_, sentence in zip(table["id"].to_pylist(), table["conllu"].to_pylist(), strict=True):
            yield id_.rpartition(":")[0], sentence
