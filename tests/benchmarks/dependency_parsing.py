"""Parsing beside supar's BiaffineDependencyParser, with the same encoder: from a CoNLL-U file to a CoNLL-U file.

    pip install supar==1.1.4
    python tests/benchmarks/dependency_parsing.py en_ewt-ud-dev.conllu en_ewt-ud-test.conllu [--epochs 3]

Each side, in a process of its own, is trained for some epochs on the first file, so that it scores arcs as a parser
does, then parses the second; of some rounds the fastest counts. Ours gives UPOS, features, lemmas and dependencies, as
text.udify does; theirs dependencies alone, by spanning trees that need not be projective, like ours. The loading of a
model is in the time of neither.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch
from own_process import run_again

from models.scoring.conll18 import conll18
from models.small_bert import small_bert
from models.task_file import load_task
from models.tasks import ParseDependencies
from pipeline import Artifact, LocalExecutor, Store, run
from pipeline.graph import make
from pipeline.store import read_part, write_part
from stages.encode import Encoder
from stages.examples import MappedExamples
from stages.inference import Inference
from stages.text.read_conllu import ReadConllu
from stages.text.write_conllu import WriteConllu
from workflows.text import udify

SIDES = ("ours", "supar")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", help="CoNLL-U to train on")
    parser.add_argument("test", help="CoNLL-U to parse")
    parser.add_argument("--epochs", type=float, default=3, help="epochs of training of either side")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side parses")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        parse = ours if given.side == "ours" else supar
        print(json.dumps(parse(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {side: run_again("--side", side, "--folder", folder) for side in SIDES}
        print(f"{'':8}{'words/s':>10}{'ours is':>10}{'UAS':>8}{'LAS':>8}")
        for side, r in found.items():
            ratio = r["words_per_s"] / found["ours"]["words_per_s"]
            print(f"{side:8}{r['words_per_s']:10,.0f}{1 / ratio:9.2f}x{100 * r['UAS']:8.1f}{100 * r['LAS']:8.1f}")


def best_of(given: argparse.Namespace, parse: Callable[[], None], out: Path) -> dict[str, float]:
    """Words a second, and attachment by the official rules."""
    seconds = []
    for _ in range(given.rounds):
        started = time.perf_counter()
        parse()
        seconds.append(time.perf_counter() - started)
    gold, parsed = (sentences(path) for path in (Path(given.test), out))
    words = sum(line.partition("\t")[0].isdecimal() for sentence in gold for line in sentence.splitlines())
    figures = conll18(zip(gold, parsed, strict=True))
    return {"words_per_s": words / min(seconds), "UAS": figures["UAS"], "LAS": figures["LAS"]}


def sentences(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").strip("\n").split("\n\n")


def ours(given: argparse.Namespace) -> dict[str, float]:
    """As the stages of text.udify do it."""
    task = ParseDependencies(dropout=0.2, word_dropout=0.1)
    g = udify.graph(given.train, encoder=small_bert(), preset="small", task=task)
    g.replace("train", epochs=given.epochs)
    made = run(g, Store(given.folder / "store"), LocalExecutor(), only=["train"])
    model = made["train"].path
    task = load_task(model)
    encode, inference = Encoder(task, model), Inference(model)
    rows, predictions, conllu = (Artifact(given.folder / name, name) for name in ("rows", "predictions", "conllu"))

    def parse() -> None:
        make(ReadConllu(test=given.test), {}, rows, LocalExecutor())
        answers = []
        for part in rows.parts:
            examples = MappedExamples([encode(read_part(part))[0]])
            answers += inference.predict([examples[i] for i in range(len(examples))])
        write_part(predictions.path / "part-00000.parquet", pa.Table.from_pylist(answers, task.prediction_schema))
        make(WriteConllu(), {"predictions": predictions}, conllu, LocalExecutor())

    return best_of(given, parse, conllu.path / Path(given.test).name)


def supar(given: argparse.Namespace) -> dict[str, float]:
    """Trained by its own loop, with the optimiser that it takes from transformers replaced by torch's."""
    from supar import BiaffineDependencyParser
    from supar.utils import Dataset

    files = {"train": given.train, "dev": given.test, "test": given.test}
    theirs = BiaffineDependencyParser.build(
        str(given.folder / "supar"), encoder="bert", bert=small_bert(), n_bert_layers=6, feat=[], build=True, **files
    )
    theirs.transform.train()
    batches = Dataset(theirs.transform, given.train).build(500, 32, True).loader
    steps = math.ceil(given.epochs * len(batches))
    theirs.args.update({"clip": 5.0, "update_steps": 1, "punct": True, "partial": False})
    theirs.optimizer = torch.optim.AdamW(theirs.model.parameters(), 4e-4)
    theirs.scheduler = torch.optim.lr_scheduler.LinearLR(theirs.optimizer, 1.0, 0.0, steps)
    for _ in range(math.ceil(given.epochs)):
        theirs._train(batches)
    out = given.folder / "parsed.conllu"
    return best_of(given, lambda: theirs.predict(given.test, str(out), verbose=False), out)


if __name__ == "__main__":
    main()
