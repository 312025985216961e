"""A text encoder learns that visual words exist."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from models.codebook import Codebook
from models.extended_encoder import VisualRows, embedding_rows, extend_model, load_masked_lm, rows_from_centroids
from models.vocabulary import extend_tokenizer
from pipeline import Artifact, Executor, Stage, UserError
from pipeline.progress import say
from pipeline.store import file_digest
from stages.encoder_source import check_encoder, encoder_fingerprint, explain

UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class ExtendVocabulary(Stage):
    """Give a BERT-type encoder the joining word [>] and one word for every leaf of a codebook.

    In   codebook: what FitCodebook wrote
    Out  a Hugging Face directory (config.json, model.safetensors, tokenizer.json, tokenizer_config.json, vocab.txt)
         that AutoTokenizer and AutoModelForMaskedLM load. Text words keep their ids and their rows to the bit; [>] and
         the visual words, <v:3.0.11.7> by their path in the tree, follow.

    Rows of visual words start from the leaf centroids (Sun et al. 2019, section 3), the row of [>] is [SEP]'s. The
    output layer is the embedding; new biases are 0, and -100 for leaves without clips, which are never predicted. A
    pooler is left out: VideoBERT reads [CLS] itself.
    """

    version: ClassVar[str] = "3"
    paths: ClassVar[frozenset[str]] = frozenset({"encoder"})
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"codebook": ()}

    encoder: str = "google-bert/bert-large-uncased"
    """A model of the hub or a directory: BERT, DistilBERT, ELECTRA, MPNet or another with BERT's WordPieces."""
    revision: str = "main"
    """Branch, tag or commit of a model of the hub."""
    visual_rows: VisualRows = "paper"
    """Start of the visual words' rows. paper: the centroids themselves where feature and encoder are equally wide, else
    centred. centred: without their mean, projected at random where the widths differ, as long as text rows; raw
    centroids are several times longer than those and much alike, and drown the positions added to them."""
    seed: int = 0
    """Seeds the projection."""

    def fingerprint(self) -> str:
        return encoder_fingerprint(self.encoder)

    def check(self) -> None:
        check_encoder(self.encoder, self.revision)

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        from transformers import AutoTokenizer

        unfinished = out / UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        codebook = Codebook.load(inputs["codebook"].path)
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.encoder, revision=self.revision)
            n_text = len(tokenizer)
            dead_tokens = np.flatnonzero(codebook.dead)
            extended = extend_tokenizer(tokenizer, codebook.branching, codebook.depth, unfinished, dead_tokens)
            model, started = load_masked_lm(self.encoder, self.revision)
            text_rows = embedding_rows(model)[:n_text].detach()
            dead = torch.from_numpy(codebook.dead)
            rows = rows_from_centroids(
                torch.from_numpy(codebook.leaves()), dead, text_rows, self.seed, self.visual_rows
            )
            extend_model(model, n_text, text_rows[tokenizer.sep_token_id].clone(), rows, dead)
        except (OSError, ValueError) as error:
            raise UserError(explain(self.encoder, error)) from error
        if started:
            say(f"{self.encoder} has no output layer for masked words: a new one starts from its embeddings")
        commit = getattr(model.config, "_commit_hash", None)
        model.save_pretrained(unfinished)
        for path in sorted(unfinished.iterdir()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(out / path.name)
        unfinished.rmdir()
        return {
            "encoder": {"name": self.encoder, "commit": commit, "type": model.config.model_type},
            "output_layer": "new" if started else "the encoder's",
            "words": {"text": n_text, "visual": len(rows), "live": int((~dead).sum()), "all": len(extended)},
            "weights": file_digest(out / "model.safetensors"),
        }
