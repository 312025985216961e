from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.encoder import TaskModel
from models.tasks import VideoText
from models.tasks.task import Batch
from models.tasks.video_text import ALIGNMENT, JOINT, TERMS, TEXT, VIDEO, lay_out
from models.vocabulary import Vocabulary, extend_tokenizer
from stages.examples import MappedExamples
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


def corpus(*segments: dict[str, Any]) -> MappedExamples:
    return MappedExamples([pa.Table.from_pylist(list(segments), VideoText.example_schema)])


WORDS = list(range(10, 30))
CORPUS = corpus(
    segment("a", WORDS[:8], [1, 2, 3, 1, 2]),
    segment("a", WORDS[8:12], [4, 5]),
    segment("b", WORDS[:6], [6, 7, 6]),
    segment("c", WORDS[:5], []),
    segment("d", [], [0, 1, 2, 3, 4, 5, 6, 7]),
    segment("t", WORDS[:6], [0, 0, 0], split="test"),
)
PAIRS = VideoText(text_weight=0, video_weight=0, concatenate=0, max_step=1)
"""Every segment with speech and video is a pair, whole."""


def draws(
    task: VideoText, index: int, vocabulary: Vocabulary, n: int = 300, examples: MappedExamples = CORPUS
) -> list[dict[str, Any]]:
    return [task.draw(examples, index, np.random.default_rng(i), vocabulary) for i in range(n)]


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
    drawn = draws(task, 0, vocabulary, 2_000, corpus(segment("x", list(rng_words(40)), [])))
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


def test_no_dead_visual_word_replaces_another(tmp_path: Path) -> None:
    """Of eight words three are live; what no clip belongs to would be known at sight for what it is."""
    some_dead = Vocabulary.of(extend_tokenizer(save_tokenizer(tmp_path / "text"), 2, 3, tmp_path, dead=[0, 2, 4, 6, 7]))
    drawn = draws(VideoText(), 0, some_dead, 600, corpus(segment("x", [], [1, 3, 5] * 5)))
    shown = np.concatenate([d["input_ids"][d["positions"]] for d in drawn])
    live = [some_dead.first_visual + i for i in (1, 3, 5)]
    assert set(shown.tolist()) == {some_dead.mask, *live}


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


def visual_of(drawn: dict[str, Any], vocabulary: Vocabulary) -> tuple[int, ...]:
    return tuple(i - vocabulary.first_visual for i in unmasked(drawn) if i >= vocabulary.first_visual)


def aligned_share(drawn: list[dict[str, Any]]) -> float:
    assert all(d["regime"] == JOINT and d["aligned"] is not None for d in drawn)
    return float(np.mean([d["aligned"] for d in drawn]))


class TestPairsThatDoNotMatch:
    def test_half_are_of_another_video_of_the_same_split_from_one_of_its_sentences_on(
        self, vocabulary: Vocabulary
    ) -> None:
        """Of the three videos of the training split one has no speech. Video a ends two words after its second
        sentence began, so that the one before gives the third."""
        drawn = draws(PAIRS, 2, vocabulary)
        assert aligned_share(drawn) == pytest.approx(0.5, abs=0.1)
        seen: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}
        for d in drawn:
            seen[d["aligned"]].add(visual_of(d, vocabulary))
        assert seen == {True: {(6, 7, 6)}, False: {(1, 2, 3), (2, 4, 5)}}

    def test_they_are_half_where_most_examples_have_no_video(self, vocabulary: Vocabulary) -> None:
        """One example in a hundred has."""
        spoken = [segment(f"v{i}", WORDS[:3], [i]) for i in range(8)]
        examples = corpus(*spoken, *(segment("lines", WORDS[:3], []) for _ in range(800)))
        drawn = [d for i in range(8) for d in draws(PAIRS, i, vocabulary, 100, examples)]
        assert aligned_share(drawn) == pytest.approx(0.5, abs=0.05)
        others = [visual_of(d, vocabulary)[0] for d in drawn if not d["aligned"]]
        assert (np.bincount(others, minlength=8) > 25).all()

    def test_they_are_half_in_a_small_split(self, vocabulary: Vocabulary) -> None:
        """Two videos, one of them with most of the sentences."""
        dev = [segment("d", WORDS[:3], [1], "dev") for _ in range(40)] + [segment("e", WORDS[:3], [2], "dev")]
        examples = corpus(*(segment(f"t{i}", WORDS[:3], [0]) for i in range(400)), *dev)
        for index, other in ((400, 2), (440, 1)):
            drawn = draws(PAIRS, index, vocabulary, 200, examples)
            assert aligned_share(drawn) == pytest.approx(0.5, abs=0.1)
            assert {visual_of(d, vocabulary) for d in drawn if not d["aligned"]} == {(other,)}

    def test_neither_length_nor_silence_tells(self, vocabulary: Vocabulary) -> None:
        """The sentences of one video have as many visual words as words, however many follow each other: so have the
        words of the other video, whose sentences are shorter. Both have silences, of which neither has anything."""
        rows = []
        for video, own, sizes in (("own", 2, (2, 5, 3, 4, 1, 6)), ("other", 3, (1, 2, 3) * 7)):
            for n in sizes:
                rows += [segment(video, WORDS[:n], [own] * n), segment(video, [], [7] * 16)]
        task = VideoText(text_weight=0, video_weight=0, concatenate=0.6, max_step=1)
        drawn = [d for i in range(0, 12, 2) for d in draws(task, i, vocabulary, 100, corpus(*rows))]
        assert aligned_share(drawn) == pytest.approx(0.5, abs=0.05)
        for d in drawn:
            visual = visual_of(d, vocabulary)
            assert set(visual) == {2 if d["aligned"] else 3}
            assert len(visual) == len(unmasked(d)) - len(visual) - 3
        assert {len(visual_of(d, vocabulary)) for d in drawn} >= {2, 7, 10, 14, 15, 21}

    def test_a_lone_video_is_not_asked_for(self, vocabulary: Vocabulary) -> None:
        drawn = draws(PAIRS, 0, vocabulary, 40, corpus(CORPUS[0], CORPUS[5]))
        batch = PAIRS.collate(drawn, vocabulary)
        assert batch.counts[ALIGNMENT] == 0
        assert len(batch.labels["target"]) == sum(len(d["targets"]) for d in drawn) > 0


def test_mask_joint_off_leaves_pairs_whole(vocabulary: Vocabulary) -> None:
    for drawn in draws(VideoText(mask_joint=False), 0, vocabulary):
        if drawn["regime"] == JOINT:
            assert vocabulary.mask not in drawn["input_ids"]
            assert len(drawn["targets"]) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"max_step": 0},
        {"max_text": 0},
        {"max_visual": -1},
        {"text_weight": 0, "video_weight": 0, "joint_weight": 0},
        {"joint_weight": -1.0},
        {"video_weight": float("nan")},
        {"mask_probability": 1.5},
        {"mask_probability": 0.0},
        {"joint_share": 7},
        {"concatenate": -0.1},
    ],
    ids=str,
)
def test_fields_that_mean_nothing_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        VideoText(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "seen"),
    [
        (VideoText(), [0, 1, 2, 3, 4]),
        (VideoText(text_weight=0), [0, 1, 2, 4]),
        (VideoText(video_weight=0), [0, 1, 2, 3]),
        (VideoText(text_weight=0, video_weight=0), [0, 1, 2]),
        (VideoText(text_weight=0, joint_weight=0), [0, 1, 2, 4]),
    ],
)
def test_what_no_regime_is_for_is_left_out(task: VideoText, seen: list[int]) -> None:
    assert CORPUS.positions_of("train", chosen=task.seen).tolist() == seen


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


class LargestOf(TorchDispatchMode):
    """Notes the largest tensor that has a number for each of so many words."""

    def __init__(self, n_words: int) -> None:
        super().__init__()
        self.n_words, self.rows = n_words, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, tuple | list) else [out]:
            if isinstance(made, torch.Tensor) and made.shape[-1:] == (self.n_words,):
                self.rows = max(self.rows, made.numel() // self.n_words)
        return out


def test_logits_are_made_where_words_are_masked_and_nowhere_else(directory: Path, vocabulary: Vocabulary) -> None:
    task = VideoText()
    model = TaskModel.start(directory, task, seed=0)
    batch = task.collate([d for i in range(5) for d in draws(task, i, vocabulary, 20)], vocabulary)
    n_masked = len(batch.labels["target"])
    assert 2 * n_masked < batch.input_ids_BL.numel()
    with LargestOf(N_TEXT + 1 + 8) as trained:
        sum(task.loss(model.head, model(batch), batch, batch.counts).values()).backward()  # type: ignore[union-attr]
    with torch.no_grad(), LargestOf(N_TEXT + 1 + 8) as evaluated:
        task.evaluate(model.head, model(batch), batch, vocabulary)
    assert trained.rows == evaluated.rows == n_masked


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


def test_a_mask_that_would_not_be_read_is_refused(vocabulary: Vocabulary) -> None:
    task = VideoText(max_text=4)
    (example,) = task.encode({"text": "stir the soup [MASK] now"}, vocabulary.tokenizer)
    laid_out = task.lay_out(example, vocabulary)["input_ids"].tolist()
    assert laid_out.count(vocabulary.mask) == 1
    with pytest.raises(ValueError, match=r"a \[MASK\] stands behind the first 4 wordpieces"):
        task.encode({"text": "stir the [MASK] soup [MASK]"}, vocabulary.tokenizer)
