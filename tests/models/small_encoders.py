"""Tiny encoders as people have them on disk: a Hugging Face directory with random weights and a real tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaTokenizer,
)

PIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789<>[]:.#,-",
    *("##" + c for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("stir", "the", "soup", "now", "cut", "##ting", "cafe"),
)
WIDTH = 16


def save_tokenizer(directory: Path, lowercase: bool = True) -> BertTokenizer:
    """BERT's WordPiece with ``PIECES`` as its vocabulary."""
    tokenizer = BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)}, do_lower_case=lowercase)
    tokenizer.save_pretrained(directory)
    return tokenizer


def save_model(directory: Path, kind: str = "bert", rows: int = len(PIECES), width: int = WIDTH) -> PreTrainedModel:
    """A masked language model of two layers. ``rows`` of its embedding may be more than the tokenizer has words."""
    torch.manual_seed(7)
    sizes = {"vocab_size": rows, "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 2}
    if kind == "distilbert":
        config = DistilBertConfig(vocab_size=rows, dim=width, n_layers=2, n_heads=2, hidden_dim=2 * width)
        model: PreTrainedModel = DistilBertForMaskedLM(config)
    elif kind == "electra":
        model = ElectraForMaskedLM(ElectraConfig(**sizes, intermediate_size=2 * width, embedding_size=width // 2))
    else:
        model = BertForMaskedLM(BertConfig(**sizes, intermediate_size=2 * width))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    model.save_pretrained(directory)
    return model


def save_encoder(directory: Path, kind: str = "bert", rows: int = len(PIECES), width: int = WIDTH) -> PreTrainedModel:
    """Tokenizer and model in one directory, as a hub model is."""
    save_tokenizer(directory)
    return save_model(directory, kind, rows, width)


def save_roberta(directory: Path, positions: int = 512) -> RobertaTokenizer:
    """A RoBERTa: byte-level BPE, one segment, positions that are numbered from behind the one of padding."""
    directory.mkdir(parents=True, exist_ok=True)
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    texts = [" stir the soup now cut the cafe soup now ###"] * 9  # "##" is a piece as any other here
    pieces.train_from_iterator(texts, vocab_size=320, special_tokens=special)
    pieces.save_model(str(directory))
    tokenizer = RobertaTokenizer.from_pretrained(str(directory))
    tokenizer.save_pretrained(directory)
    torch.manual_seed(7)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=positions + 2, type_vocab_size=1, pad_token_id=1, **sizes
    )
    RobertaForMaskedLM(config).save_pretrained(directory)
    return tokenizer
