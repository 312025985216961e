"""What tasks that predict hidden words share: their places in a batch, the words that fit, and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.encoder import Encoded
from models.tasks.task import Batch, Row
from models.vocabulary import Vocabulary


def hidden_words(examples: Sequence[tuple[int, Row]], length: int) -> dict[str, Tensor]:
    """Of drawn examples, each with its row in a batch of ``length`` places a row, the hidden words' ``position`` [n] in
    the flattened batch and ``target`` [n]."""
    none = np.zeros(0, np.int64)
    positions = np.concatenate([none, *(i * length + e["positions"] for i, e in examples)])
    targets = np.concatenate([none, *(e["targets"] for _, e in examples)]).astype(np.int64)
    return {"position": torch.from_numpy(positions), "target": torch.from_numpy(targets)}


def fitting_words(encoded: Encoded, batch: Batch, vocabulary: Vocabulary) -> list[list[list[dict[str, Any]]]]:
    """For each sequence, and each of its [MASK]s, the likeliest words with their probabilities."""
    assert encoded.words is not None
    hidden_BL = batch.input_ids_BL == vocabulary.mask
    found = iter(encoded.words.likeliest(encoded.last_BLD[hidden_BL], vocabulary))
    return [list(islice(found, n)) for n in hidden_BL.sum(1).tolist()]


def sums_by_term(rows: Iterable[Row]) -> dict[str, tuple[float, float, float]]:
    """Of each part of the loss that has any: how many were to be predicted, how many are right, and their summed
    log-probability."""
    sums: dict[str, np.ndarray] = {}
    for row in rows:
        sums[row["term"]] = sums.get(row["term"], np.zeros(3)) + (row["n"], row["right"], row["log_p"])
    return {term: (n, right, log_p) for term, (n, right, log_p) in sums.items() if n}


def perplexity(n: float, log_p: float) -> float:
    """Of n words with this summed log-probability."""
    return math.exp(min(-log_p / n, 700.0))
