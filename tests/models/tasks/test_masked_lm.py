from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.encoder import TaskModel
from models.tasks import MaskedLM
from models.tasks.masked_lm import truncated_pair
from models.tasks.task import Batch
from models.vocabulary import Vocabulary
from stages.examples import MappedExamples
from tests.models.small_encoders import PIECES, save_encoder

A, B, C = (PIECES.index(p) for p in "abc")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    save_encoder(folder := tmp_path_factory.mktemp("bert"))
    return folder


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(directory))


@pytest.fixture(scope="module")
def vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    return Vocabulary.of(tokenizer)


def document(name: str, *sentences: str) -> dict[str, Any]:
    return {"id": name, "sentences": list(sentences), "split": "train"}


class TestEncode:
    def encode(self, tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], **fields: Any) -> list[tuple]:
        examples = MaskedLM(max_length=11, **{"short_share": 0.0, **fields}).encode(row, tokenizer)
        return [(e["text"].tolist(), e["ends"].tolist(), e["length"]) for e in examples]

    def test_sentences_are_gathered_until_they_fill_a_sequence(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """8 wordpieces beside [CLS] and twice [SEP]; a sequence may have too many, to be cut when it is drawn."""
        row = document("d", "a a a", "b b b", "c c c", "a", "b")
        assert self.encode(tokenizer, row) == [
            ([A, A, A, B, B, B, C, C, C], [3, 6, 9], 11),
            ([A, B], [1, 2], 5),
        ]

    def test_one_wordpiece_more_fits_without_a_second_segment(self, tokenizer: PreTrainedTokenizerBase) -> None:
        row = document("d", "a a a", "b b b", "c c c", "a")
        lengths = [length for _, _, length in self.encode(tokenizer, row, next_sentence=False)]
        assert lengths == [11, 3]

    def test_a_long_sentence_is_cut_in_pieces_and_nothing_is_lost(self, tokenizer: PreTrainedTokenizerBase) -> None:
        examples = self.encode(tokenizer, document("d", "a " * 19))
        assert [(len(text), ends) for text, ends, _ in examples] == [(8, [8]), (8, [8]), (3, [3])]

    def test_some_sequences_are_shorter_the_same_each_time(self, tokenizer: PreTrainedTokenizerBase) -> None:
        row = document("d", *["a"] * 400)
        short = self.encode(tokenizer, row, short_share=0.5)
        assert short == self.encode(tokenizer, row, short_share=0.5)
        lengths = [len(text) for text, _, _ in short]
        assert sum(lengths) == 400
        assert set(range(2, 9)) >= set(lengths[:-1]) > {8}

    def test_documents_without_words_are_refused(self, tokenizer: PreTrainedTokenizerBase) -> None:
        for row in (document("d"), document("d", " "), {"text": " "}):
            with pytest.raises(ValueError, match=r"no words|empty"):
                self.encode(tokenizer, row)


def rows(*documents: tuple[str, list[list[int]]], split: str = "train") -> list[dict[str, Any]]:
    return [
        {"id": d, "text": np.concatenate(s), "ends": np.cumsum([len(x) for x in s]), "length": 11, "split": split}
        for d, s in documents
    ]


def mapped(examples: list[dict[str, Any]]) -> MappedExamples:
    return MappedExamples([pa.Table.from_pylist(examples, MaskedLM.example_schema)])


ROWS = rows(("x", [[A] * 3, [A] * 2, [A] * 3]), ("y", [[B] * 2] * 4), ("y", [[B] * 8]), ("z", [[C] * 9]))
CORPUS = mapped(ROWS)
TASK = MaskedLM(max_length=11)


def draws(task: MaskedLM, index: int, vocabulary: Vocabulary, n: int = 300) -> list[dict[str, Any]]:
    return [task.draw(CORPUS, index, np.random.default_rng(i), vocabulary) for i in range(n)]


def unmasked(drawn: dict[str, Any]) -> list[int]:
    ids = drawn["input_ids"].copy()
    ids[drawn["positions"]] = drawn["targets"]
    return ids.tolist()


def segments(drawn: dict[str, Any], vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    ids, types = unmasked(drawn), drawn["token_type_ids"]
    n_first = int((types == 0).sum())
    assert ids[0] == vocabulary.cls
    assert ids[n_first - 1] == ids[-1] == vocabulary.sep
    assert types.tolist() == [0] * n_first + [1] * (len(ids) - n_first)
    return ids[1 : n_first - 1], ids[n_first:-1]


class TestDraw:
    def test_half_goes_on_and_half_with_another_document(self, vocabulary: Vocabulary) -> None:
        drawn = draws(TASK, 0, vocabulary)
        assert 0.4 < np.mean([d["is_next"] for d in drawn]) < 0.6
        firsts = set()
        for d in drawn:
            first, second = segments(d, vocabulary)
            firsts.add(len(first))
            assert set(first) == {A}
            assert (set(second) == {A}) == d["is_next"]
            assert len(first) + len(second) <= 8
        assert {3, 5} <= firsts  # ends of sentences, where nothing had to be cut

    def test_the_length_does_not_tell(self, vocabulary: Vocabulary) -> None:
        """As many sentences of the other document as fill up to what the example has."""
        short = mapped(rows(("s", [[A], [A]]), ("y", [[B] * 1] * 8)))
        for i in range(50):
            drawn = TASK.draw(short, 0, np.random.default_rng(i), vocabulary)
            assert len(drawn["input_ids"]) == 2 + 3

    def test_a_lone_sentence_always_meets_another_document(self, vocabulary: Vocabulary) -> None:
        assert not any(d["is_next"] for d in draws(TASK, 3, vocabulary, 50))

    def test_a_small_split_has_other_documents_too(self, vocabulary: Vocabulary) -> None:
        dev = rows(*[("d", [[A]] * 8)] * 30, ("e", [[B]] * 8), split="dev")
        many = mapped(dev + rows(*((f"t{i}", [[C]] * 8) for i in range(3000))))
        drawn = [TASK.draw(many, 0, np.random.default_rng(i), vocabulary) for i in range(100)]
        assert 0.35 < np.mean([d["is_next"] for d in drawn]) < 0.65
        assert {B} == {*segments(next(d for d in drawn if not d["is_next"]), vocabulary)[1]}

    def test_other_splits_are_never_drawn_and_nothing_is_asked_without_another_document(
        self, vocabulary: Vocabulary
    ) -> None:
        mixed = mapped([ROWS[0], *rows(("t", [[C] * 4]), split="dev")])
        drawn = [TASK.draw(mixed, 0, np.random.default_rng(i), vocabulary) for i in range(50)]
        assert all(d["is_next"] is None for d in drawn)
        batch = TASK.collate(drawn, vocabulary)
        assert batch.counts["next_sentence"] == 0
        assert batch.counts["word"] > 0

    def test_another_documents_sentences_are_never_none(self, vocabulary: Vocabulary) -> None:
        """One at least, also where the first sentence fills the sequence alone."""
        full = mapped(rows(("x", [[A] * 8]), ("y", [[B] * 2] * 4)))
        for i in range(50):
            drawn = TASK.draw(full, 0, np.random.default_rng(i), vocabulary)
            first, second = segments(drawn, vocabulary)
            assert drawn["is_next"] is False
            assert first
            assert second
            assert set(second) == {B}

    def test_masks_are_berts(self, vocabulary: Vocabulary) -> None:
        task = MaskedLM(max_length=130, mask_probability=0.15, next_sentence=False)
        long = mapped(rows(("l", [[A] * 100])))
        drawn = [task.draw(long, 0, np.random.default_rng(i), vocabulary) for i in range(200)]
        assert all(unmasked(d) == [vocabulary.cls, *[A] * 100, vocabulary.sep] for d in drawn)
        assert all(len(d["targets"]) == 15 for d in drawn)  # of 102, [CLS] and [SEP] too
        fates = np.concatenate([d["input_ids"][d["positions"]] for d in drawn])
        assert np.mean(fates == vocabulary.mask) == pytest.approx(0.8, abs=0.03)
        assert np.mean(fates == A) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("first", "second", "sizes"),
    [(3, 4, (3, 4)), (10, 2, (6, 2)), (2, 10, (2, 6)), (9, 9, (4, 4)), (4, 5, (4, 4)), (20, 5, (4, 4))],
)
def test_a_pair_is_cut_at_its_longer_side(first: int, second: int, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    cut = truncated_pair(np.arange(first), np.arange(second), 8, rng)
    assert tuple(map(len, cut)) == sizes
    for part in cut:
        assert part.tolist() == list(range(part[0], part[0] + len(part)))
    starts = {int(truncated_pair(np.arange(10), np.arange(2), 8, rng)[0][0]) for _ in range(100)}
    assert starts == {0, 1, 2, 3, 4}


def test_an_odd_room_favours_the_first() -> None:
    cut = truncated_pair(np.arange(9), np.arange(9), 7, np.random.default_rng(0))
    assert tuple(map(len, cut)) == (4, 3)


def test_parts_of_the_loss_are_means_over_the_global_batch(directory: Path, vocabulary: Vocabulary) -> None:
    model = TaskModel.start(directory, TASK, seed=0).eval()
    drawn = [TASK.draw(CORPUS, i, np.random.default_rng(i), vocabulary) for i in (0, 1, 2, 3)]

    def parts(chunks: list[list[dict]]) -> dict[str, float]:
        batches = [TASK.collate(chunk, vocabulary) for chunk in chunks]
        totals = {n: sum(b.counts[n] for b in batches) for n in TASK.loss_terms}
        losses = [TASK.loss(model.head, model(b), b, totals) for b in batches]
        return {n: sum(x[n].item() for x in losses) for n in TASK.loss_terms}

    whole = parts([drawn])
    assert parts([drawn[:1], drawn[1:]]) == pytest.approx(whole, rel=1e-5)
    assert whole["next_sentence"] == pytest.approx(math.log(2), abs=0.05)
    assert 2 < whole["word"] < 8


def test_next_sentences_are_learned(directory: Path, vocabulary: Vocabulary) -> None:
    """Where every document has a word of its own, which tells."""
    corpus = mapped(rows(*((f"{word}", [[word] * 2] * 4) for word in (A, B, C))))

    def batch(seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        return TASK.collate([TASK.draw(corpus, i % 3, rng, vocabulary) for i in range(24)], vocabulary)

    model = TaskModel.start(directory, TASK, seed=0).eval()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(400):
        drawn = batch(step)
        sum(TASK.loss(model.head, model(drawn), drawn, drawn.counts).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
    unseen = batch(1000)
    with torch.no_grad():
        figures = TASK.metrics(TASK.evaluate(model.head, model(unseen), unseen, vocabulary))
    assert figures["next_sentence_accuracy"] > 0.9


def test_figures_are_of_all_masked_words() -> None:
    rows = [
        {"term": "word", "n": 3, "right": 1, "log_p": -3 * math.log(10)},
        {"term": "word", "n": 1, "right": 1, "log_p": -math.log(10)},
        {"term": "next_sentence", "n": 4, "right": 3, "log_p": -1.0},
    ]
    assert TASK.metrics(rows) == pytest.approx(
        {"word_accuracy": 0.5, "word_perplexity": 10.0, "next_sentence_accuracy": 0.75}
    )
    assert TASK.metrics([]) == {}


def test_without_next_sentences_there_is_no_head(directory: Path, vocabulary: Vocabulary) -> None:
    task = MaskedLM(max_length=11, next_sentence=False)
    model = TaskModel.start(directory, task, seed=0).eval()
    batch = task.collate(draws(task, 0, vocabulary, 3), vocabulary)
    assert batch.counts["next_sentence"] == 0
    with torch.no_grad():
        assert set(task.loss(model.head, model(batch), batch, batch.counts)) == {"word"}
        assert set(task.metrics(task.evaluate(model.head, model(batch), batch, vocabulary))) == {
            "word_accuracy",
            "word_perplexity",
        }


def test_masks_of_a_new_row_are_filled(
    directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    (example,) = TASK.encode({"text": "stir the [MASK] now"}, tokenizer)
    model = TaskModel.start(directory, TASK, seed=0).eval()
    batch = TASK.collate([TASK.lay_out(example, vocabulary)], vocabulary)
    with torch.no_grad():
        (answer,) = TASK.predict(model.head, model(batch), batch, vocabulary)
    (mask,) = answer["masks"]
    assert len(mask) == 5
    assert {w["word"] for w in mask} <= set(PIECES)
