import subprocess
import sys

import numpy as np
import pytest

from models.voice_activity import (
    MAX_SPAN_S,
    SAMPLE_RATE,
    SileroActivity,
    energy_activity,
    pack,
    speech_spans,
    unpack,
)

S = SAMPLE_RATE


def noise(seconds: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(round(seconds * S))).astype(np.float32)


def test_energy_finds_sound_in_silence_whatever_the_blocks() -> None:
    audio = np.concatenate([noise(3.0, 1e-5), noise(2.0, 0.1), noise(3.0, 1e-5)])
    probabilities, n_samples = energy_activity(np.array_split(audio, 37))
    assert n_samples == len(audio)
    assert len(probabilities) == -(-len(audio) // 512)
    ((first, behind),) = speech_spans(probabilities, n_samples)
    assert 2.7 < first / S < 3.0
    assert 5.0 < behind / S < 5.3
    assert (probabilities, n_samples) == energy_activity([audio])


@pytest.mark.parametrize("audio", [np.zeros(5 * S, np.float32), noise(5.0, 1e-4), np.zeros(0, np.float32)])
def test_silence_has_no_energy(audio: np.ndarray) -> None:
    assert speech_spans(*energy_activity([audio])) == []


def test_silero_hears_no_speech_in_silence_noise_and_tones() -> None:
    activity = SileroActivity()
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * S) / S)).astype(np.float32)
    for audio in (np.zeros(3 * S, np.float32), noise(3.0, 0.05), tone):
        assert speech_spans(*activity([audio])) == []


def test_silero_leaves_the_number_of_threads_alone() -> None:
    code = (
        "import torch; torch.set_num_threads(3); from models.voice_activity import SileroActivity; SileroActivity();"
        "print(torch.get_num_threads())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "3"


def test_no_span_is_longer_than_whispers_window_and_none_is_lost() -> None:
    n_frames = round(100 * S / 512)
    probabilities = np.ones(n_frames)
    quietest = round(20 * S / 512)
    probabilities[quietest : quietest + 7] = 0.0
    spans = speech_spans(probabilities.tolist(), n_frames * 512)
    assert max(b - a for a, b in spans) <= MAX_SPAN_S * S
    assert sum(b - a for a, b in spans) == n_frames * 512
    assert spans[0][1] / S == pytest.approx(20.1, abs=0.1)


def test_windows_hold_as_many_spans_as_fit() -> None:
    spans = [(0, 10 * S), (20 * S, 35 * S), (40 * S, 45 * S), (50 * S, 80 * S), (90 * S, 91 * S)]
    assert pack(spans) == [spans[:3], spans[3:4], spans[4:]]
    assert pack([]) == []


def test_times_of_a_window_lead_back_to_the_recording() -> None:
    window = [(10 * S, 12 * S), (20 * S, 25 * S)]
    assert unpack(0.0, 0.5, window) == (10.0, 10.5)
    assert unpack(1.5, 2.1, window) == (11.5, 12.0)
    assert unpack(1.9, 2.5, window) == (20.0, 20.5)
    assert unpack(6.5, 7.0, window) == (24.5, 25.0)
    assert unpack(6.9, 9.0, window) == (24.9, 25.0)
