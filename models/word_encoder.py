"""Encoders that are no BERT: a convolution or an LSTM over word embeddings, in the form of a Hugging Face model.

``AutoModel`` knows them where this module is imported, so every stage that takes an encoder takes these too.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

Kind = Literal["cnn", "rnn"]


class WordEncoderConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Of a ``WordEncoder``."""

    model_type = "word_encoder"

    def __init__(
        self,
        kind: Kind = "cnn",
        vocab_size: int = 30522,
        embedding_size: int = 300,
        hidden_size: int = 300,
        filter_widths: tuple[int, ...] = (3, 4, 5),
        classifier_dropout: float = 0.5,
        **kwargs: Any,
    ) -> None:
        self.kind = kind
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.filter_widths = tuple(filter_widths)
        self.classifier_dropout = classifier_dropout
        super().__init__(**kwargs)


class WordEncoder(PreTrainedModel):
    """Words to one vector.

    cnn  filters of several widths over the words, each one's maximum over the sentence (Kim 2014, arXiv 1408.5882)
    rnn  the state of an LSTM after the last word
    """

    config_class = WordEncoderConfig

    def __init__(self, config: WordEncoderConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.embedding_size)
        if config.kind == "cnn":
            sizes = [config.hidden_size // len(config.filter_widths)] * len(config.filter_widths)
            sizes[0] += config.hidden_size - sum(sizes)
            self.filters = nn.ModuleList(
                nn.Conv1d(config.embedding_size, size, width)
                for size, width in zip(sizes, config.filter_widths, strict=True)
            )
        else:
            self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, batch_first=True)
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Embeddings as torch draws them would drown the filters; all else starts as in torch."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.words

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **unused: Any) -> BaseModelOutputWithPooling:
        """last_hidden_state [B, L, D] and pooler_output [B, D]; what stands at padded places changes neither."""
        mask_BL1 = attention_mask.bool()[:, :, None]
        x_BLE = self.words(input_ids).masked_fill(~mask_BL1, 0.0)
        if self.config.kind == "cnn":
            x_BEL = x_BLE.transpose(1, 2)
            found_BDL = [
                f(F.pad(x_BEL, ((width - 1) // 2, width // 2)))
                for f, width in zip(self.filters, self.config.filter_widths, strict=True)
            ]
            found_BLD = torch.cat(found_BDL, 1).transpose(1, 2).relu()
            pooled_BD = found_BLD.masked_fill(~mask_BL1, 0.0).amax(1)
        else:
            found_BLD, _ = self.lstm(x_BLE)
            last_B = attention_mask.sum(1) - 1
            pooled_BD = found_BLD[torch.arange(len(last_B), device=last_B.device), last_B]
        return BaseModelOutputWithPooling(last_hidden_state=found_BLD, pooler_output=pooled_BD)


AutoConfig.register(WordEncoderConfig.model_type, WordEncoderConfig)
AutoModel.register(WordEncoderConfig, WordEncoder)
