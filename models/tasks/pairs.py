"""Pairs of texts to a label by the stochastic answer network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.sentence_head import head_dropout
from models.stochastic_answer import StochasticAnswer
from models.tasks.classification import ClassifyText
from models.tasks.task import Batch, Row


@dataclass(frozen=True)
class ClassifyPairs(ClassifyText):
    """One label for a pair of texts, by several turns of reading one with the other in mind (MT-DNN, Liu et al. 2019).

    Rows have text (the premise), second (the hypothesis) and label. [CLS] hypothesis [SEP] premise [SEP]: what is read
    with in mind is the first segment with [CLS] and its [SEP], what is read the second.
    """

    columns: ClassVar[tuple[str, ...]] = ("id", "text", "second", "label", "split")

    second_first: bool = True
    """Put the second text, the hypothesis, first."""
    turns: int = 5
    """Answers whose mean is the answer."""
    drop_turns: float = 0.1
    """Share of the turns that a pair loses in training."""

    def encode(self, row: Row, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
        if row["second"] is None:
            raise ValueError("no second text")
        examples = super().encode(row, tokenizer)
        if not any(examples[0]["token_type_ids"]):
            raise ValueError("the encoder's tokenizer does not mark the second segment: take one of the BERT type")
        return examples

    def head(self, config: PreTrainedConfig) -> nn.Module:
        dropout = head_dropout(config) if self.dropout is None else self.dropout
        return StochasticAnswer(config.hidden_size, len(self.labels), self.turns, self.drop_turns, dropout)

    def log_probabilities(self, head: nn.Module, encoded: Encoded, batch: Batch) -> Tensor:
        there_BL, second_BL = batch.attention_mask_BL.bool(), batch.token_type_ids_BL.bool()
        log_p_BC: Tensor = head(encoded.last_BLD, there_BL & ~second_BL, there_BL & second_BL)
        return log_p_BC
