"""Labelled sentences, and untrained models that rewrite and classify them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import AutoTokenizer

from models.encoder import TaskModel
from models.tasks import ClassifyText, ConditionalLM, Task
from pipeline import Artifact, Stage
from pipeline.store import write_json
from stages.text.augment import Augment
from stages.text.flip_style import FlipStyle
from stages.text.labelled import LABELLED
from stages.text.sample_rows import SampleRows
from stages.text.start_word_encoder import StartWordEncoder
from tests.case import Case, Inputs, artifact
from tests.models.small_encoders import save_encoder, save_tokenizer

LABELS = ("bad", "good")
TEXTS = ("Stir the soup now, cut the cafe.", "Cut it.", "the cafe, the soup, the stir!", "now or now or never")


def labelled(folder: Path, n: int = 12) -> Artifact:
    """Sentences of two labels, two of three for training; the last one has no word."""
    rows = [
        {"id": f"r:{i}", "text": TEXTS[i % 4], "label": LABELS[i // 2 % 2], "split": ("train", "train", "test")[i % 3]}
        for i in range(n)
    ]
    rows[-2]["text"], rows[-2]["split"] = "?!", "train"
    return artifact(folder, pa.Table.from_pylist(rows, LABELLED))


def model(folder: Path, task: Task, source: Path | None = None) -> Artifact:
    """An untrained model as Train would save it, from a small BERT or the encoder in ``source``."""
    if source is None:
        save_encoder(folder / "encoder", width=32)
    TaskModel.start(source or folder / "encoder", task, seed=0).save(folder)
    save_tokenizer(folder)
    write_json(folder / "manifest.json", {"key": folder.name})
    return Artifact(folder, folder.name)


def conditional(folder: Path, labels: tuple[str, ...] = LABELS) -> Artifact:
    return model(folder, ConditionalLM(labels=labels))


def classifier(folder: Path, labels: tuple[str, ...] = LABELS) -> Artifact:
    return model(folder, ClassifyText(labels=labels))


def outspoken(made: Artifact) -> Artifact:
    """The model with larger weights and no biases, so that what it says depends on every word."""
    changed = TaskModel.load(made.path)
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "LayerNorm.weight" not in name:
                parameter.mul_(0 if name.endswith("bias") else 10)
    changed.save(made.path)
    return made


def transparent(made: Artifact) -> TaskModel:
    """The model with embeddings of 0 and layers that add nothing: its last states are what a test embeds, normed."""
    found = TaskModel.load(made.path)
    with torch.no_grad():
        for name, parameter in found.encoder.named_parameters():
            norms = "LayerNorm.weight" in name
            if norms or "embeddings" in name or "output" in name:
                parameter.fill_(float(norms))
    return found


def speaks_by_label(folder: Path, good: str, bad: str) -> Artifact:
    """A ConditionalLM whose hidden words are ``good`` under the label of that name and ``bad`` under the other."""
    made = conditional(folder)
    changed = transparent(made)
    pretrained: Any = changed.pretrained
    embeddings, transform = pretrained.bert.embeddings, pretrained.cls.predictions.transform
    direction = torch.zeros(32)
    direction[:2] = torch.tensor([1.0, -1.0])
    ids = dict(zip(LABELS, AutoTokenizer.from_pretrained(str(folder)).convert_tokens_to_ids([bad, good]), strict=True))
    with torch.no_grad():
        for number, (label, sign) in enumerate(zip(LABELS, (-1, 1), strict=True)):
            embeddings.word_embeddings.weight[ids[label]] = sign * direction
            embeddings.token_type_embeddings.weight[number] = sign * 9 * direction
        transform.dense.weight.copy_(torch.eye(32))
        for parameter in (transform.dense.bias, transform.LayerNorm.bias, pretrained.cls.predictions.bias):
            parameter.zero_()
        transform.LayerNorm.weight.fill_(1.0)
    changed.save(folder)
    return made


def attends_to(folder: Path, *words: str) -> Artifact:
    """A ClassifyText whose [CLS] attends to ``words`` in the last layer."""
    made = classifier(folder)
    changed = transparent(made)
    pretrained: Any = changed.pretrained
    attention = pretrained.encoder.layer[-1].attention.self
    with torch.no_grad():
        for id_ in AutoTokenizer.from_pretrained(str(folder)).convert_tokens_to_ids(list(words)):
            pretrained.embeddings.word_embeddings.weight[id_, 0] = 1.0
        for parameter in (attention.query.weight, attention.query.bias, attention.key.bias):
            parameter.zero_()
        attention.query.bias[0] = 9.0
        attention.key.weight.copy_(torch.eye(32))
    changed.save(folder)
    return made


def encoder(folder: Path) -> Artifact:
    save_encoder(folder, width=32)
    write_json(folder / "manifest.json", {"key": folder.name})
    return Artifact(folder, folder.name)


def augment(folder: Path) -> tuple[Stage, Inputs]:
    return Augment(copies=2, every=3), {"rows": labelled(folder / "rows"), "model": conditional(folder / "model")}


def flip_style(folder: Path) -> tuple[Stage, Inputs]:
    inputs = {"rows": labelled(folder / "rows"), "model": conditional(folder / "model")}
    return FlipStyle(share=0.4), {**inputs, "classifier": classifier(folder / "classifier")}


def start_word_encoder(folder: Path) -> tuple[Stage, Inputs]:
    return StartWordEncoder(width=10, words="encoder"), {"model": encoder(folder / "encoder")}


REWRITING = [
    Case("sample rows", lambda folder: (SampleRows(share=0.4), {"rows": labelled(folder / "rows")})),
    Case("augment", augment),
    Case("flip style", flip_style, tolerance=1e-6),
    Case("start word encoder", start_word_encoder, tolerance=1e-5, leave_out=("*.json",)),
]
