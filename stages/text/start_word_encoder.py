"""An encoder that is no BERT, ready to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from transformers import AutoModel, AutoTokenizer

from models.word_encoder import WordEncoder, WordEncoderConfig
from pipeline import Artifact, Executor, Stage, UserError


@dataclass(frozen=True, kw_only=True)
class StartWordEncoder(Stage):
    """Make a convolutional or recurrent encoder of the words that another encoder's tokenizer knows.

    In   model: a Hugging Face directory
    Out  a Hugging Face directory that AutoModel loads (once models is imported) and every stage that takes an encoder
    """

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ()}

    kind: Literal["cnn", "rnn"] = "cnn"
    """cnn: filters of widths 3, 4 and 5 and their maxima (Kim 2014); rnn: the last state of an LSTM."""
    width: int = 300
    """Filters in all, or units of the LSTM."""
    words: Literal["random", "encoder"] = "random"
    """Word embeddings: fresh ones of this width, or the other encoder's, brought to a standard deviation of 0.1."""
    dropout: float = 0.5
    """Share of the sentence vector dropped in training."""
    seed: int = 0
    """Seeds the weights."""

    def __post_init__(self) -> None:
        if self.width < 3 or not 0 <= self.dropout < 1:
            raise UserError("width must be at least 3, and dropout at least 0 and below 1")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any] | None:
        source = str(inputs["model"].path)
        tokenizer = AutoTokenizer.from_pretrained(source)
        rows = None
        if self.words == "encoder":
            rows = AutoModel.from_pretrained(source, dtype=torch.float32).get_input_embeddings().weight.detach()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = WordEncoder(
                WordEncoderConfig(
                    kind=self.kind,
                    vocab_size=len(tokenizer) if rows is None else len(rows),
                    embedding_size=self.width if rows is None else rows.shape[1],
                    hidden_size=self.width,
                    classifier_dropout=self.dropout,
                    pad_token_id=tokenizer.pad_token_id,
                )
            )
        if rows is not None:
            with torch.no_grad():
                model.words.weight.copy_((rows - rows.mean(0)) * (0.1 / (rows - rows.mean(0)).std()))
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        return None
