from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.stages.video.micro_whisper import Audio

PROGRAM = """
import resource, sys
import torch
torch.set_num_threads(1)
from stages.video.speech.recognition import Recognizer
recognize = Recognizer(sys.argv[1], "en", "energy", 0.6, 1)
for path in sys.argv[2:]:
    words, _ = recognize(path)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
    print(len(words), round(words[0].start_s), peak_kb, torch.get_num_threads())
"""


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute_and_threads_stay(
    tmp_path: Path, micro_whisper: Path, utterance: Audio
) -> None:
    paths = []
    for seconds in (60, 3600):
        paths.append(tmp_path / f"{seconds}.wav")
        audio = np.zeros(seconds * 16_000, np.float32)
        audio[(seconds - 5) * 16_000 :][: len(utterance)] = utterance
        write_small(paths[-1], audio[::2])
    command = [sys.executable, "-c", PROGRAM, str(micro_whisper), *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    short, long = ([int(field) for field in line.split()] for line in lines)
    assert short[:2] == [6, 55]
    assert long[:2] == [6, 3595]
    assert long[2] - short[2] < 40_000, "an hour of 16 kHz float32 is 230 MB"
    assert short[3] == long[3] == 1


def write_small(path: Path, samples: Audio) -> None:
    """8 kHz, 8 bits: an hour is 29 MB."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 8000, len(samples), "NONE", ""))
        file.writeframes((np.round(samples * 127) + 128).astype(np.uint8).tobytes())
