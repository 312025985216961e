"""One or two texts as the encoder reads them."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase


def encode_segments(
    first: str,
    second: str | None,
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    names: tuple[str, str] = ("text", "second text"),
) -> dict[str, Any]:
    """``[CLS] first [SEP]``, and ``second [SEP]`` where there is one, cut to ``max_tokens`` from the longer one's end.

    Returns input_ids, token_type_ids (0, and 1 for the second) and length. ValueError, by the one of ``names`` that is
    its own, for a text without wordpieces.
    """
    encoded = tokenizer(
        first,
        second,
        truncation="longest_first",
        max_length=max_tokens,
        split_special_tokens=True,
        return_token_type_ids=True,
        return_attention_mask=False,
    )
    present = set(encoded.sequence_ids(0))
    for number, (name, text) in enumerate(zip(names, (first, second), strict=True)):
        if text is not None and number not in present:
            raise ValueError(f"the {name} {text[:20]!r} has no wordpiece")
    ids = encoded["input_ids"]
    return {"input_ids": ids, "token_type_ids": encoded["token_type_ids"], "length": len(ids)}
