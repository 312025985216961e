from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase

from models.encoder import Encoded
from models.nq_layout import MARKERS, marker_ids
from models.nq_pages import page
from models.tasks import NaturalQuestions
from models.tasks.natural_questions import LONG, NO, SHORT, TYPES, UNKNOWN, YES, PageHead
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_tokenizer
from tests.stages.text.small_pages import annotated, annotation, nq_page

ALL = NaturalQuestions(null_share=1.0)
PARTS = [("P", "the cafe now"), ("Ul", "stir the soup"), ("P", "cut now")]
PAGE = nq_page(7, "stir soup", PARTS)
"""Tokens: <H1> page </H1> · <P> the cafe now </P> · <Ul> stir the soup </Ul> · <P> cut now </P>."""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def with_markers(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A vocabulary that has the markers as words, as the reference's has."""
    words = [w for w, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]
    return BertTokenizer(vocab={w: i for i, w in enumerate([*words, *MARKERS])})


def row(*annotations: dict[str, Any], split: str = "train", of: dict[str, Any] = PAGE) -> dict[str, Any]:
    return page(annotated(of, *annotations), split)


def shown(example: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"]))


# ------------------------------------------------------------------------------------------- the page


def test_the_table_of_windows(with_markers: PreTrainedTokenizerBase) -> None:
    """The windows of the reference's own test: every 128 (here 4) pieces, markers before every candidate."""
    task = dataclasses.replace(ALL, max_tokens=13, stride=4)
    examples = task.encode(row(annotation(PAGE, 1, [(11, 12)])), with_markers)
    assert [shown(e, with_markers) for e in examples] == [
        "[CLS] [Q] stir soup [SEP] [ContextId=-1] [NoLongAnswer] [ContextId=0] [Paragraph=1] the cafe now [SEP]",
        "[CLS] [Q] stir soup [SEP] the cafe now [ContextId=1] [List=1] stir the [SEP]",
        "[CLS] [Q] stir soup [SEP] [List=1] stir the soup [ContextId=3] [Paragraph=2] cut [SEP]",
        "[CLS] [Q] stir soup [SEP] [ContextId=3] [Paragraph=2] cut now [SEP]",
    ]
    segments = task.collate(examples, Vocabulary.of(with_markers)).token_type_ids_BL
    assert segments.tolist() == [[0] * 5 + [1] * 8] * 3 + [[0] * 5 + [1] * 5 + [0] * 3]


@pytest.mark.parametrize(
    ("field", "published"),
    [
        *(("max_tokens", 512), ("stride", 128), ("max_question", 64), ("max_contexts", 48), ("max_answer", 30)),
        *(("n_best", 10), ("null_share", 0.02), ("yes_no", False)),
    ],
)
def test_the_defaults_are_the_reference_s(field: str, published: float) -> None:
    assert getattr(NaturalQuestions(), field) == published


def test_candidates_of_a_kind_are_counted_to_50(with_markers: PreTrainedTokenizerBase) -> None:
    long = nq_page(1, "soup", [("P", "now")] * 52)
    (example,) = dataclasses.replace(ALL, max_contexts=60).encode(row(annotation(long), of=long), with_markers)
    counted = [word for word in shown(example, with_markers).split() if word.startswith("[Paragraph=")]
    assert counted == [f"[Paragraph={min(i, 50)}]" for i in range(1, 53)]


def test_of_a_long_question_the_end_is_kept(with_markers: PreTrainedTokenizerBase) -> None:
    task = dataclasses.replace(ALL, max_question=3)
    asked = [dict(row(annotation(PAGE)), question=q) for q in ("stir soup", "cut stir the soup")]
    assert [shown(task.encode(r, with_markers)[0], with_markers).split(" [SEP]")[0] for r in asked] == [
        "[CLS] [Q] stir soup",
        "[CLS] stir the soup",
    ]


def test_candidates_beyond_the_last_context_are_not_read(with_markers: PreTrainedTokenizerBase) -> None:
    task = dataclasses.replace(ALL, max_contexts=2)
    (example,) = task.encode(row(annotation(PAGE, 3)), with_markers)
    assert shown(example, with_markers).endswith("[ContextId=0] [Paragraph=1] the cafe now [SEP]")
    assert (example["start"], example["end"], example["type"]) == (0, 0, UNKNOWN)  # its answer was cut off


def test_markers_are_berts_spare_words_or_else_unknown(tokenizer: PreTrainedTokenizerBase) -> None:
    assert set(marker_ids(tokenizer).values()) == {tokenizer.unk_token_id}
    words = [*tokenizer.get_vocab(), "[unused0]", "[unused5]"]
    spare = BertTokenizer(vocab={w: i for i, w in enumerate(words)})
    ids = marker_ids(spare)
    assert [ids[m] for m in MARKERS[:3]] == [len(words) - 2, len(words) - 1, spare.unk_token_id]


def test_a_page_that_holds_special_tokens_as_text(tokenizer: PreTrainedTokenizerBase) -> None:
    odd = nq_page(1, "soup", [("P", "[SEP] soup")])
    (example,) = ALL.encode(row(annotation(odd), of=odd), tokenizer)
    assert list(example["input_ids"]).count(tokenizer.sep_token_id) == 2


# ------------------------------------------------------------------------------------------- targets


def target(tokenizer: PreTrainedTokenizerBase, *annotations: dict[str, Any]) -> tuple[str, str]:
    (example,) = ALL.encode(row(*annotations), tokenizer)
    ids = example["input_ids"][example["start"] : example["end"] + 1]
    return TYPES[example["type"]], " ".join(tokenizer.convert_ids_to_tokens(ids))


def test_five_types(with_markers: PreTrainedTokenizerBase) -> None:
    assert target(with_markers, annotation(PAGE)) == ("UNKNOWN", "[CLS]")
    assert target(with_markers, annotation(PAGE, 1, [(9, 11)])) == ("SHORT", "stir the")
    assert target(with_markers, annotation(PAGE, 1)) == ("LONG", "stir the soup")
    assert target(with_markers, annotation(PAGE, 0, yes_no="YES")) == ("YES", "the cafe now")
    assert target(with_markers, annotation(PAGE, 3, yes_no="NO")) == ("NO", "cut now")
    # A short answer counts for more than YES; several become one, from the first to the last.
    assert target(with_markers, annotation(PAGE, 1, [(9, 10), (11, 12)], "YES")) == ("SHORT", "stir the soup")


def test_the_first_annotator_with_a_short_answer_in_the_order_of_the_page(with_markers: Any) -> None:
    long, late, early = annotation(PAGE, 0), annotation(PAGE, 3, [(14, 15)]), annotation(PAGE, 1, [(9, 10)])
    assert target(with_markers, annotation(PAGE), late, early, long) == ("SHORT", "stir")
    assert target(with_markers, annotation(PAGE, 3), annotation(PAGE), long) == ("LONG", "the cafe now")


def test_a_nested_candidate_is_read_as_the_one_around_it(with_markers: PreTrainedTokenizerBase) -> None:
    assert target(with_markers, annotation(PAGE, 2, [(10, 11)])) == ("SHORT", "the")
    assert target(with_markers, annotation(PAGE, 2)) == ("LONG", "stir the soup")


def test_a_long_answer_must_fit_whole(with_markers: PreTrainedTokenizerBase) -> None:
    task = dataclasses.replace(ALL, max_tokens=11, stride=2)
    examples = task.encode(row(annotation(PAGE, 1)), with_markers)
    held = ["stir the soup" in shown(e, with_markers).split("[SEP]", 1)[1] for e in examples]
    assert [e["type"] == LONG for e in examples] == held
    assert True in held
    assert False in held


def test_of_windows_without_the_answer_a_share_is_kept_the_same_every_time(tokenizer: PreTrainedTokenizerBase) -> None:
    task = NaturalQuestions(max_tokens=12, stride=1, null_share=0.25)
    pages = [row(annotation(PAGE)) | {"id": str(i)} for i in range(200)]
    every = len(dataclasses.replace(task, null_share=1.0).encode(pages[0], tokenizer))
    kept = [len(task.encode(r, tokenizer)) for r in pages]
    assert np.mean(kept) / every == pytest.approx(0.25, abs=0.04)
    assert kept == [len(task.encode(r, tokenizer)) for r in pages]
    assert kept != [len(dataclasses.replace(task, seed=1).encode(r, tokenizer)) for r in pages]
    windows = [e["window"] for r in pages for e in task.encode(r, tokenizer)]
    assert windows.count(0) == sum(k > 0 for k in kept)
    whole = task.encode(row(annotation(PAGE), split="dev"), tokenizer)
    assert len(whole) == every
    with_answer = NaturalQuestions(null_share=0.0).encode(row(annotation(PAGE, 1, [(9, 10)])), tokenizer)
    assert [e["type"] for e in with_answer] == [SHORT]


def test_a_training_page_must_be_annotated_and_a_new_one_may_be_a_line_of_the_files(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    with pytest.raises(ValueError, match="nobody has annotated"):
        ALL.encode(row(), tokenizer)
    (example,) = ALL.encode(PAGE, tokenizer)
    assert example["annotations"] is None
    with pytest.raises(ValueError, match="no example_id"):
        ALL.encode({"question_text": "soup"}, tokenizer)


# ------------------------------------------------------------------------------------------- answers

NOWHERE = Encoded(torch.zeros(0), (), None, None)


class Given(torch.nn.Module):
    """A head whose logits are given."""

    def __init__(self, start: torch.Tensor, end: torch.Tensor, types: torch.Tensor) -> None:
        super().__init__()
        self.logits = start, end, types

    def forward(self, encoded: Encoded, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.logits


def answer(
    task: NaturalQuestions,
    examples: list[dict[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    peaks: list[tuple[int, str, str, float]],
    types: dict[int, int] | None = None,
) -> dict[str, Any]:
    """The page's answer where window, first word, last word and height of some spans are given."""
    batch = task.collate(examples, Vocabulary.of(tokenizer))
    start, end = torch.zeros(2, *batch.input_ids_BL.shape)
    for window, first, last, height in peaks:
        pieces = tokenizer.convert_ids_to_tokens(examples[window]["input_ids"])
        begin = examples[window]["first"]
        start[window, pieces.index(first, begin)] += height
        end[window, len(pieces) - 1 - pieces[::-1].index(last)] += height
    types_ = torch.zeros(len(examples), 5)
    for window, kind in (types or {}).items():
        types_[window, kind] = 1.0
    return task.join(task.evaluate(Given(start, end, types_), NOWHERE, batch, Vocabulary.of(tokenizer)))


@pytest.fixture
def windows(with_markers: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    task = dataclasses.replace(ALL, max_tokens=15, stride=8)
    examples = task.encode(row(annotation(PAGE, 1, [(9, 11)]), split="dev"), with_markers)
    assert [e["words"] for e in examples] == ["the cafe now", "stir the soup cut now"]
    return examples


def test_the_best_span_of_the_page_and_the_candidate_around_it(with_markers: Any, windows: Any) -> None:
    found = answer(ALL, windows, with_markers, [(0, "cafe", "now", 2.0), (1, "stir", "the", 3.0)])
    assert found["short"] == [{"text": "stir the", "start": 9, "end": 11}]
    assert (found["long_start"], found["long_end"]) == (8, 13)
    assert (found["score"], found["yes_no"]) == (6.0, "NONE")
    assert found["n_best"][0]["text"] == "stir the"
    assert [a["start"] for a in found["annotations"]] == [8]


def test_a_spans_score_is_above_that_of_its_own_windows_cls(with_markers: Any, windows: Any) -> None:
    peaks = [(0, "cafe", "now", 2.0), (1, "stir", "the", 3.0)]
    task, batch = ALL, ALL.collate(windows, Vocabulary.of(with_markers))
    assert answer(task, windows, with_markers, peaks)["short"][0]["text"] == "stir the"
    start, end = torch.zeros(2, *batch.input_ids_BL.shape)
    pieces = with_markers.convert_ids_to_tokens(windows[0]["input_ids"])
    start[0, pieces.index("cafe")], end[0, pieces.index("now")] = 2.0, 2.0
    start[1, 9:], end[1, 9:] = 3.0, 3.0
    start[1, 0] = 4.0  # the second window says that it has no answer
    rows = task.evaluate(Given(start, end, torch.zeros(2, 5)), NOWHERE, batch, Vocabulary.of(with_markers))
    found = task.join(rows)
    assert found["short"][0]["text"] == "cafe now"
    assert found["score"] == 4.0


def test_spans_stay_within_a_candidate_unless_faithful(with_markers: Any, windows: Any) -> None:
    peaks = [(1, "soup", "now", 5.0)]  # from the list into the paragraph after it
    inside = answer(ALL, windows, with_markers, peaks)
    assert inside["long_start"] is not None
    assert inside["score"] == 5.0
    faithful = answer(dataclasses.replace(ALL, faithful=True), windows, with_markers, peaks)
    assert faithful["short"] == [{"text": "soup cut now", "start": 11, "end": 16}]
    assert (faithful["long_start"], faithful["long_end"], faithful["long_given"]) == (None, None, False)
    assert faithful["score"] == 10.0


def test_faithful_survives_a_page_whose_best_positions_are_all_in_the_question(with_markers: Any, windows: Any) -> None:
    task = NaturalQuestions(faithful=True, n_best=2)
    batch = task.collate(windows, Vocabulary.of(with_markers))
    start = torch.zeros(batch.input_ids_BL.shape)
    start[:, 1:3] = 9.0
    rows = task.predict(Given(start, start, torch.zeros(2, 5)), NOWHERE, batch, Vocabulary.of(with_markers))
    found = task.join(rows)
    assert (found["short"], found["n_best"], found["long_start"], found["score"]) == ([], [], None, 0.0)
    assert (found["long_given"], found["short_given"]) == (False, False)


def test_the_smallest_candidate_around(with_markers: Any, windows: Any) -> None:
    windows[1]["long"] = np.array([8, 17, 8, 12, 8, 13])
    found = answer(ALL, windows, with_markers, [(1, "stir", "the", 3.0)])
    assert (found["long_start"], found["long_end"]) == (8, 12)


def test_yes_and_no_are_given_on_demand(with_markers: Any, windows: Any) -> None:
    peaks, types = [(1, "stir", "the", 3.0)], {0: SHORT, 1: YES}
    assert answer(ALL, windows, with_markers, peaks, types)["yes_no"] == "NONE"
    switched = dataclasses.replace(ALL, yes_no=True)
    found = answer(switched, windows, with_markers, peaks, types)
    assert (found["yes_no"], found["short"], found["long_start"], found["short_given"]) == ("YES", [], 8, True)
    assert answer(switched, windows, with_markers, peaks, {0: NO, 1: SHORT})["yes_no"] == "NONE"


def test_thresholds_are_tuned_on_dev_and_say_what_is_given(with_markers: Any, windows: Any) -> None:
    right, wrong = [(1, "stir", "the", 3.0)], [(0, "cafe", "now", 1.0)]
    gold = [annotation(PAGE, 1, [(9, 11)])] * 2
    golds = row(*gold)["annotations"]
    rows = [{**answer(ALL, windows, with_markers, p), "annotations": golds} for p in (right, wrong)]
    rows.append({**rows[1], "annotations": None})
    tuned = ALL.tune(rows)
    assert (tuned.long_threshold, tuned.short_threshold) == (6.0, 6.0)
    assert ALL.adopt(tuned) == tuned
    figures = tuned.metrics(rows)
    assert figures["short_best_f1"] == figures["short_f1"] == pytest.approx(2 / 3)
    below = answer(tuned, windows, with_markers, wrong)
    assert (below["long_given"], below["short_given"], below["score"]) == (False, False, 2.0)
    assert answer(tuned, windows, with_markers, right)["short_given"]
    assert ALL.metrics(rows[2:]) == {}
    assert ALL.tune([]) == ALL


def test_the_loss_is_the_mean_of_three(with_markers: Any, windows: Any) -> None:
    batch = ALL.collate(windows, Vocabulary.of(with_markers))
    length = batch.input_ids_BL.shape[1]
    head = Given(torch.zeros(2, length), torch.zeros(2, length), torch.zeros(2, 5))
    losses = ALL.loss(head, NOWHERE, batch, dict.fromkeys(ALL.loss_terms, 4.0))
    assert losses["start"].item() == losses["end"].item() == pytest.approx(2 * math.log(length) / 12)
    assert losses["type"].item() == pytest.approx(2 * math.log(5) / 12)
    assert batch.counts == {"start": 2, "end": 2, "type": 2}


def test_the_head_reads_the_pooled_state_where_there_is_one() -> None:
    head = PageHead(4)
    hidden, pooled = torch.randn(1, 3, 4), torch.randn(1, 4)
    mask = torch.ones(1, 3)
    by_pooler = head(Encoded(hidden, (), pooled, None), mask)
    by_cls = head(Encoded(hidden, (), None, None), mask)
    assert torch.equal(by_pooler[0], by_cls[0])
    assert by_pooler[2].tolist() == head.answer_type(pooled).tolist()
    assert by_cls[2].tolist() == head.answer_type(hidden[:, 0]).tolist()
