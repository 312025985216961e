"""An utterance made by formula, a Whisper that knows it and nothing else, and video files in which it is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
WORDS = (" Cut", " the", " onion.", " Then", " fry", " it.")
STARTS_S = (0.0, 0.36, 0.72, 1.6, 1.96, 2.32)
WORD_S = 0.3
UTTERANCE_S = STARTS_S[-1] + WORD_S
FORMANTS_HZ = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (300, 870, 2240),
    (270, 2290, 3010),
    (570, 840, 2410),
    (660, 1720, 2410),
)

Audio = NDArray[np.float32]


def _syllable(formants: Sequence[int], rng: np.random.Generator) -> Audio:
    """A hiss and a vowel: enough like speech for Silero's network."""
    hiss = 0.03 * np.diff(rng.standard_normal(round(0.06 * SAMPLE_RATE) + 1))
    t = np.arange(round((WORD_S - 0.06) * SAMPLE_RATE)) / SAMPLE_RATE
    phase = np.cumsum(2 * np.pi * 125 * (1 + 0.06 * np.sin(2 * np.pi * 3 * t))) / SAMPLE_RATE
    vowel = np.zeros_like(t)
    for harmonic in range(1, 50):
        gain = sum(1 / (1 + ((125 * harmonic - f) / 90) ** 2) for f in formants) / harmonic**0.5
        vowel += gain * np.sin(harmonic * phase)
    vowel *= 0.3 / np.abs(vowel).max() * np.minimum(1, np.minimum(t, t[-1] - t) / 0.03)
    return np.concatenate([hiss, vowel]).astype(np.float32)


def speak() -> Audio:
    """``WORDS`` as 16 kHz audio, each from its time in ``STARTS_S`` for ``WORD_S``."""
    rng = np.random.default_rng(0)
    audio = np.zeros(round(UTTERANCE_S * SAMPLE_RATE), np.float32)
    for start_s, formants in zip(STARTS_S, FORMANTS_HZ, strict=True):
        syllable, start = _syllable(formants, rng), round(start_s * SAMPLE_RATE)
        audio[start : start + len(syllable)] = syllable
    return audio


def train_micro_whisper(utterance: Audio, path: Path) -> None:
    """Write a Whisper checkpoint of one layer, overfitted to the utterance in some 10 s.

    Its cross-attention is taught where each word is, so that the word times of Whisper's own alignment are right.
    """
    from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim
    from whisper.model import ModelDimensions, Whisper
    from whisper.tokenizer import get_tokenizer

    dims = ModelDimensions(
        n_mels=80, n_audio_ctx=1500, n_audio_state=32, n_audio_head=1, n_audio_layer=0,
        n_vocab=51865, n_text_ctx=64, n_text_state=32, n_text_head=1, n_text_layer=1,
    )  # fmt: skip
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Whisper(dims)
    torch.nn.init.normal_(model.decoder.positional_embedding, std=0.5)
    torch.nn.init.normal_(model.decoder.token_embedding.weight, std=dims.n_text_state**-0.5)

    leads_s = np.linspace(0.1, 0.4, 16)
    heard = []
    for lead_s in leads_s:
        lead, tail = round(lead_s * SAMPLE_RATE), round(rng.uniform(0.1, 0.4) * SAMPLE_RATE)
        audio = np.pad(utterance * rng.uniform(0.5, 1.2), (lead, tail))
        audio += rng.normal(0, 10 ** rng.uniform(-5, -3.5), len(audio))
        heard.append(pad_or_trim(log_mel_spectrogram(torch.from_numpy(audio.astype(np.float32))), N_FRAMES))
    mels = torch.stack(heard)

    tokenizer = get_tokenizer(True, language="en", task="transcribe")
    words = [tokenizer.encode(word) for word in WORDS]
    first, second = (list(chain.from_iterable(half)) for half in (words[:3], words[3:]))

    def stamp(seconds: float) -> int:
        return int(tokenizer.timestamp_begin) + round((0.24 + seconds) / 0.02)

    begin = list(tokenizer.sot_sequence)
    timed = [stamp(0), *first, stamp(STARTS_S[2] + WORD_S), stamp(STARTS_S[3]), *second, stamp(UTTERANCE_S)]
    plain = [tokenizer.no_timestamps, *first, *second]
    targets = [torch.tensor([*begin, *tokens, tokenizer.eot]) for tokens in (timed, plain)]

    spans_s = [
        (start + WORD_S * i / len(word), start + WORD_S * (i + 1) / len(word))
        for word, start in zip(words, STARTS_S, strict=True)
        for i in range(len(word))
    ] + [(UTTERANCE_S, UTTERANCE_S + 0.2)]
    frames_s = torch.arange(dims.n_audio_ctx) * 0.02
    outside = torch.stack(
        [torch.stack([(frames_s < lead + a) | (frames_s >= lead + b) for a, b in spans_s]) for lead in leads_s]
    )
    cross, projected = model.decoder.blocks[0].cross_attn, {}
    cross.query.register_forward_hook(lambda module, args, output: projected.update(query=output))
    cross.key.register_forward_hook(lambda module, args, output: projected.update(key=output))

    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        batch = rng.choice(len(mels), 4, replace=False)
        audio_features = model.encoder(mels[batch] + 0.1 * torch.randn(4, dims.n_mels, N_FRAMES))
        loss = torch.zeros(())
        for tokens in targets:
            logits = model.decoder(tokens[:-1].expand(4, -1), audio_features)
            loss = loss + torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[1:].repeat(4))
        scores = projected["query"][:, len(begin) :] @ projected["key"].mT * dims.n_text_state**-0.5
        loss = loss - scores.log_softmax(-1).masked_fill(outside[batch], -torch.inf).logsumexp(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    torch.save({"dims": asdict(dims), "model_state_dict": model.state_dict()}, path)


def write_video(path: Path, audio: Audio | None, codec: str = "aac", delay_s: float = 0.0) -> Path:
    """Two pictures a second and, with ``audio``, a sound track that begins ``delay_s`` later."""
    import av

    seconds = 2.0 if audio is None else len(audio) / SAMPLE_RATE + delay_s
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("h264", rate=2)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        sound = None if audio is None else container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        for i in range(max(round(seconds * 2), 1)):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), i % 256, np.uint8))
            picture.pts, picture.time_base = i, Fraction(1, 2)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        if sound is not None and audio is not None:
            samples = (audio * 32767).astype(np.int16)
            for start in range(0, len(samples), 1024):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "s16", "mono")
                frame.rate = SAMPLE_RATE
                frame.pts, frame.time_base = start + round(delay_s * SAMPLE_RATE), Fraction(1, SAMPLE_RATE)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path
