"""A tiny untrained parser, as Train writes one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from models.encoder import TaskModel
from models.parser_head import ParserHead
from models.tasks import ParseDependencies
from pipeline import Artifact
from pipeline.store import MANIFEST, write_json
from tests.models.small_encoders import save_encoder, save_tokenizer
from tests.stages.text.small_treebank import sentence


def small_parser(folder: Path) -> Artifact:
    """An encoder of two layers, of which part of speech is read from the second one at 3 to 1."""
    save_encoder(folder / "encoder")
    rows = pa.table({"conllu": [sentence(i) for i in range(12)]})
    task = ParseDependencies(arc_width=8, label_width=4).learn([rows])
    model = TaskModel.start(folder / "encoder", task, seed=0)
    assert isinstance(model.head, ParserHead)
    with torch.no_grad():
        model.head.attention["upos"].weight.copy_(torch.tensor([1.0, 3.0]).log())
    model.save(folder / "parser")
    save_tokenizer(folder / "parser")
    write_json(folder / "parser" / MANIFEST, {"key": "parser"})
    return Artifact(folder / "parser", "parser")
