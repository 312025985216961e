"""Fixtures of the video stages' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.video.micro_whisper import Audio, speak, train_micro_whisper


@pytest.fixture(scope="session")
def utterance() -> Audio:
    """The only sentences that ``micro_whisper`` knows, as 16 kHz audio."""
    return speak()


@pytest.fixture(scope="session")
def micro_whisper(utterance: Audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper checkpoint that transcribes ``utterance`` and nothing else."""
    path = tmp_path_factory.mktemp("whisper") / "micro.pt"
    train_micro_whisper(utterance, path)
    return path
