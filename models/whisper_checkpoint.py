"""Whisper's weights: official models by name, or any checkpoint in their format by path."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

import torch

if TYPE_CHECKING:
    from whisper.model import Whisper


def official_digest(name: str) -> str | None:
    """SHA-256 of the official model ``name``, or None where there is none of that name."""
    import whisper

    return whisper._MODELS[name].split("/")[-2] if name in whisper._MODELS else None


def find_checkpoint(name: str) -> Path:
    """The file of ``name``: a path, or an official model, which is fetched once into ``~/.cache/whisper``.

    ValueError for an unknown name; ConnectionError, with what to do instead, where it cannot be fetched.
    """
    import whisper
    from filelock import FileLock

    if name not in whisper._MODELS:
        if Path(name).is_file():
            return Path(name)
        raise ValueError(f"'{name}' is neither a file nor an official model ({', '.join(whisper.available_models())})")
    url = whisper._MODELS[name]
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "whisper"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{Path(url).name}.lock"):  # whisper's own download is not safe in several processes
        try:
            return Path(whisper._download(url, str(folder), False))
        except (URLError, OSError, RuntimeError) as error:
            raise ConnectionError(
                f"Whisper's model '{name}' cannot be fetched ({error}): put {url} into {folder}, or give the path of a "
                "checkpoint instead of the name"
            ) from None


def load_whisper(checkpoint: Path, device: torch.device) -> Whisper:
    """The model in ``checkpoint``, with the attention heads that give word times where it is an official one.

    ValueError where the file is no Whisper checkpoint.
    """
    import whisper
    from tqdm import tqdm

    # whisper's progress bar, though not shown, would take a lock among processes, which a killed worker leaves behind.
    tqdm.set_lock(threading.RLock())
    try:
        model = whisper.load_model(str(checkpoint), device=device)
    except Exception as error:
        raise ValueError(
            f"{checkpoint}: not a checkpoint in the format of openai-whisper, a torch file with 'dims' and "
            f"'model_state_dict' ({type(error).__name__}: {error})"
        ) from None
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    for name, url in whisper._MODELS.items():
        if url.split("/")[-2] == digest:
            model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    return model.eval()
