from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.encoder import TaskModel
from models.tasks import VideoText
from models.tasks.task import Batch
from models.tasks.video_text import ALIGNMENT, JOINT, TERMS, TEXT, VIDEO, lay_out
from models.vocabulary import Vocabulary, extend_tokenizer
from tests.models.small_encoders import PIECES, save_model, save_tokenizer

N_TEXT = len(PIECES)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer BERT whose vocabulary has 2 ** 3 visual words."""
    folder = tmp_path_factory.mktemp("bert")
    extend_tokenizer(save_tokenizer(folder / "text"), 2, 3, folder)
    save_model(folder, rows=N_TEXT + 1 + 8)
    return folder


@pytest.fixture(scope="module")
def vocabulary(directory: Path) -> Vocabulary:
    from transformers import AutoTokenizer

    return Vocabulary.of(AutoTokenizer.from_pretrained(str(directory)))


def segment(video: str, text: list[int], visual: list[int], split: str = "train") -> dict[str, Any]:
    ids = np.array(visual, np.int32) + N_TEXT + 1
    return {"video_id": video, "text": np.array(text, np.int32), "visual": ids, "length": 0, "split": split}


WORDS = list(range(10, 30))
CORPUS = [
    segment("a", WORDS[:8], [1, 2, 3, 1, 2]),
    segment("a", WORDS[8:12], [4, 5]),
    segment("b", WORDS[:6], [6, 7, 6]),
    segment("c", WORDS[:5], []),
    segment("d", [], [0, 1, 2, 3, 4, 5, 6, 7]),
    segment("t", WORDS[:6], [0, 0, 0], split="test"),
]


def draws(task: VideoText, index: int, vocabulary: Vocabulary, n: int = 300) -> list[dict[str, Any]]:
    return [task.draw(CORPUS, index, np.random.default_rng(i), vocabulary) for i in range(n)]


def unmasked(drawn: dict[str, Any]) -> list[int]:
    ids = drawn["input_ids"].copy()
    ids[drawn["positions"]] = drawn["targets"]
    return ids.tolist()


def test_the_three_layouts(vocabulary: Vocabulary) -> None:
    v = vocabulary
    text, visual = np.array([10, 11]), np.array([v.first_visual, v.first_visual + 7])
    none = text[:0]
    joint = lay_out(text, visual, v)
    assert joint["input_ids"].tolist() == [v.cls, 10, 11, v.join, v.first_visual, v.first_visual + 7, v.sep]
    assert joint["token_type_ids"].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert joint["maskable"].tolist() == [False, True, True, False, True, True, False]
    assert lay_out(text, none, v)["input_ids"].tolist() == [v.cls, 10, 11, v.sep]
    assert lay_out(text, none, v)["token_type_ids"].tolist() == [0, 0, 0, 0]
    assert lay_out(none, visual, v)["input_ids"].tolist() == [v.cls, v.join, v.first_visual, v.first_visual + 7, v.sep]


def test_masks_are_15_percent_and_fall_80_10_10(vocabulary: Vocabulary) -> None:
    task = VideoText(concatenate=0.0)
    corpus = [segment("x", list(rng_words(40)), [])]
    drawn = [task.draw(corpus, 0, np.random.default_rng(i), vocabulary) for i in range(2_000)]
    n = sum(len(d["targets"]) for d in drawn)
    assert n == 2_000 * 6  # round(0.15 * 40)
    shown = np.concatenate([d["input_ids"][d["positions"]] for d in drawn])
    target = np.concatenate([d["targets"] for d in drawn])
    masked = shown == vocabulary.mask
    kept = shown == target
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert (kept & ~masked).mean() == pytest.approx(0.1 + 0.1 / N_TEXT, abs=0.02)
    assert (shown < N_TEXT).all()


def rng_words(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(10, N_TEXT, n)


def test_a_random_visual_word_replaces_a_visual_word(vocabulary: Vocabulary) -> None:
    shown = []
    for drawn in draws(VideoText(), 4, vocabulary, 600):
        shown += drawn["input_ids"][drawn["positions"]].tolist()
    assert all(i == vocabulary.mask or i >= vocabulary.first_visual for i in shown)
    assert len(set(shown)) == 9


def test_regimes_follow_what_a_segment_has_and_the_weights(vocabulary: Vocabulary) -> None:
    count = lambda task, index: np.bincount([d["regime"] for d in draws(task, index, vocabulary)], minlength=3) / 300  # noqa: E731
    both = count(VideoText(joint_share=0.6), 0)
    assert both == pytest.approx([0.2, 0.2, 0.6], abs=0.08)
    assert count(VideoText(), 3)[TEXT] == 1
    assert count(VideoText(), 4)[VIDEO] == 1
    assert count(VideoText(joint_weight=0), 0)[JOINT] == 0
    assert count(VideoText(text_weight=0, video_weight=0), 0)[JOINT] == 1
    assert count(VideoText(text_weight=0), 0)[TEXT] == 0


def test_neighbours_are_appended_within_the_video(vocabulary: Vocabulary) -> None:
    seen = {tuple(unmasked(d)[1:-1]) for d in draws(VideoText(joint_weight=0, video_weight=0), 0, vocabulary)}
    assert seen == {tuple(WORDS[:8]), tuple(WORDS[:12])}
    only = {
        tuple(unmasked(d)[1:-1]) for d in draws(VideoText(joint_weight=0, video_weight=0, concatenate=0), 0, vocabulary)
    }
    assert only == {tuple(WORDS[:8])}


def test_visual_words_are_taken_at_a_random_step(vocabulary: Vocabulary) -> None:
    first = vocabulary.first_visual
    seen = {tuple(i - first for i in unmasked(d)[2:-1]) for d in draws(VideoText(), 4, vocabulary, 600)}
    every = {tuple(range(8))[offset::step] for step in range(1, 6) for offset in range(step)}
    assert seen == every


def test_half_the_pairs_are_of_another_video_of_the_same_split(vocabulary: Vocabulary) -> None:
    task = VideoText(text_weight=0, video_weight=0, concatenate=0, max_step=1)
    aligned = 0
    for drawn in draws(task, 2, vocabulary):
        visual = [i - vocabulary.first_visual for i in unmasked(drawn) if i >= vocabulary.first_visual]
        aligned += drawn["aligned"]
        assert (visual == [6, 7, 6]) == drawn["aligned"]
        assert visual != [0, 0, 0]  # the test split's
    assert aligned == pytest.approx(150, abs=30)


def test_a_lone_video_has_no_negatives(vocabulary: Vocabulary) -> None:
    task = VideoText(text_weight=0, video_weight=0)
    assert all(task.draw(CORPUS[:1], 0, np.random.default_rng(i), vocabulary)["aligned"] for i in range(40))


def test_mask_joint_off_leaves_pairs_whole(vocabulary: Vocabulary) -> None:
    for drawn in draws(VideoText(mask_joint=False), 0, vocabulary):
        if drawn["regime"] == JOINT:
            assert vocabulary.mask not in drawn["input_ids"]
            assert len(drawn["targets"]) == 0


def test_what_is_masked_in_a_pair_that_does_not_match_is_not_counted(vocabulary: Vocabulary) -> None:
    task = VideoText(text_weight=0, video_weight=0)
    drawn = draws(task, 2, vocabulary, 40)
    batch = task.collate(drawn, vocabulary)
    told = sum(len(d["targets"]) for d in drawn if d["aligned"])
    assert len(batch.labels["target"]) == told == batch.counts["joint/word"] + batch.counts["joint/visual"]
    assert batch.counts[ALIGNMENT] == 40
    ids = batch.input_ids_BL.flatten()
    assert vocabulary.mask in ids[batch.labels["position"]]


def loss_of(model: TaskModel, batch: Batch, totals: dict[str, float]) -> dict[str, float]:
    losses = model.task.loss(model.head, model(batch), batch, totals)
    return {name: float(value) for name, value in losses.items()}


@torch.no_grad()
def test_the_loss_is_the_weighted_mean_over_the_global_batch_however_it_is_cut(
    directory: Path, vocabulary: Vocabulary
) -> None:
    task = VideoText(text_weight=2.0, joint_weight=0.5)
    model = TaskModel.start(directory, task, seed=0).eval()
    drawn = [d for index in range(5) for d in draws(task, index, vocabulary, 20)]
    whole = task.collate(drawn, vocabulary)
    once = loss_of(model, whole, whole.counts)
    pieces = [task.collate(drawn[i : i + 7], vocabulary) for i in range(0, len(drawn), 7)]
    cut = dict.fromkeys(task.loss_terms, 0.0)
    for piece in pieces:
        for name, value in loss_of(model, piece, whole.counts).items():
            cut[name] += value
    assert once == pytest.approx({k: v for k, v in cut.items() if v}, rel=1e-4)

    logits = model.pretrained(whole.input_ids_BL, whole.attention_mask_BL, whole.token_type_ids_BL).logits
    flat = logits.flatten(0, 1).log_softmax(-1)
    weights = {"text/word": 2.0, "video/visual": 1.0, "joint/word": 0.5, "joint/visual": 0.5}
    for term, name in TERMS.items():
        mine = whole.labels["term"] == term
        log_p = flat[whole.labels["position"][mine], whole.labels["target"][mine]]
        assert once[name] == pytest.approx(-weights[name] * float(log_p.mean()), rel=1e-4)


@torch.no_grad()
def test_metrics_are_shares_and_perplexities_per_regime(directory: Path, vocabulary: Vocabulary) -> None:
    task = VideoText()
    rows = [
        {"term": "text/word", "n": 3, "right": 1, "log_p": -3 * np.log(10.0)},
        {"term": "text/word", "n": 1, "right": 1, "log_p": -np.log(10.0)},
        {"term": "video/visual", "n": 0, "right": 0, "log_p": 0.0},
        {"term": ALIGNMENT, "n": 4, "right": 3, "log_p": -1.0},
    ]
    assert task.metrics(rows) == pytest.approx(
        {"text/word_accuracy": 0.5, "text/word_perplexity": 10.0, f"{ALIGNMENT}_accuracy": 0.75}
    )
    model = TaskModel.start(directory, task, seed=0).eval()
    batch = task.collate([d for i in range(5) for d in draws(task, i, vocabulary, 4)], vocabulary)
    rows = task.evaluate(model.head, model(batch), batch, vocabulary)
    assert {r["term"]: r["n"] for r in rows} == {name: int(n) for name, n in batch.counts.items()}


@torch.no_grad()
def test_predictions_name_the_likeliest_words(directory: Path, vocabulary: Vocabulary) -> None:
    task = VideoText()
    model = TaskModel.start(directory, task, seed=0).eval()
    example = task.encode({"text": "stir the [MASK] now", "tokens": [3, 1]}, vocabulary.tokenizer)[0]
    batch = task.collate([task.lay_out(example, vocabulary)], vocabulary)
    (answer,) = task.predict(model.head, model(batch), batch, vocabulary)
    logits = model.pretrained(batch.input_ids_BL, batch.attention_mask_BL, batch.token_type_ids_BL).logits
    at = batch.input_ids_BL[0].tolist().index(vocabulary.mask)
    best = logits[0, at].softmax(-1).topk(5)
    (mask,) = answer["masks"]
    assert [m["word"] for m in mask] == [vocabulary.word(i) for i in best.indices.tolist()]
    assert [m["probability"] for m in mask] == pytest.approx(best.values.tolist(), abs=1e-3)
    assert 0 < answer["aligned_probability"] < 1


def test_special_tokens_in_a_transcript_are_text_but_for_the_mask(vocabulary: Vocabulary) -> None:
    (example,) = VideoText().encode({"text": "stir [SEP] the [MASK]", "tokens": []}, vocabulary.tokenizer)
    words = [vocabulary.word(i) for i in example["text"]]
    assert words[0] == "stir"
    assert words[-2:] == ["the", "[MASK]"]
    assert vocabulary.sep not in example["text"]


def test_a_row_without_words_or_visual_words_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match="neither words nor visual words"):
        VideoText().encode({"text": None, "tokens": []}, vocabulary.tokenizer)
    with pytest.raises(ValueError, match="visual word 8"):
        VideoText().encode({"text": None, "tokens": [8]}, vocabulary.tokenizer)
