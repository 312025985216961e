"""Where an encoder comes from: a directory, or the hub."""

from __future__ import annotations

from pathlib import Path

import models  # noqa: F401 - transformers imports torchvision, which needs this first
from pipeline import UserError
from pipeline.store import listing_digest


def encoder_fingerprint(encoder: str) -> str:
    """Names the files of a directory, or the model of the hub. UserError where a directory is none of an encoder."""
    folder = Path(encoder)
    if folder.is_dir():
        for needed in (("config.json",), ("tokenizer.json", "vocab.txt")):
            if not any((folder / name).is_file() for name in needed):
                raise UserError(f"{folder}: not an encoder's directory (it has no {' or '.join(needed)})")
        return listing_digest([folder], folders=True)
    if encoder.startswith(("/", ".", "~")) or encoder.count("/") > 1:
        raise UserError(f"{encoder}: no such directory")
    return encoder


def check_encoder(encoder: str, revision: str) -> None:
    """UserError where the hub does not give ``encoder``. A directory is for ``encoder_fingerprint`` to check."""
    from transformers import AutoConfig, AutoTokenizer

    if Path(encoder).is_dir():
        return
    try:
        AutoConfig.from_pretrained(encoder, revision=revision)
        AutoTokenizer.from_pretrained(encoder, revision=revision)
    except (OSError, ValueError) as error:
        raise UserError(explain(encoder, error)) from error


def explain(encoder: str, error: Exception) -> str:
    """What went wrong in loading ``encoder``, in a line, with what to do where the hub is out of reach."""
    text = " ".join(str(error).split())
    if Path(encoder).is_dir() or not isinstance(error, OSError):
        return f"encoder '{encoder}': {text}"
    return (
        f"encoder '{encoder}': neither a directory here nor a model that the hub gives now. Download it where there is "
        f"a network and name its directory, or set HF_HUB_OFFLINE=1 where the hub's cache has it ({text})"
    )
