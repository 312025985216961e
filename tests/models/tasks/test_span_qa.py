from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, PreTrainedTokenizerBase

from models.answer_spans import SpanHead
from models.encoder import Encoded
from models.tasks import SpanQA
from models.vocabulary import Vocabulary
from tests.models.small_encoders import save_tokenizer

CONTEXT = "Stir the soup now, then cut the café (in 1895)."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(str(folder))


def row(answer: str | None = "1895", **changes: Any) -> dict[str, Any]:
    answers = [] if answer is None else [{"text": answer, "start": CONTEXT.index(answer)}]
    base = {"id": "q", "question": "now the soup", "context": CONTEXT, "answers": answers, "split": "train"}
    return base | changes


def span_text(example: dict[str, Any], start: int, end: int) -> str:
    first = example["first"]
    return example["passage"][example["starts"][start - first] : example["ends"][end - first]]


def test_the_table_of_windows(tokenizer: PreTrainedTokenizerBase) -> None:
    """Six pieces of the context a window, every 3."""
    examples = SpanQA(max_tokens=12, stride=3).encode(row(), tokenizer)
    shown = [" ".join(tokenizer.convert_ids_to_tokens(e["input_ids"])) for e in examples]
    assert shown[:2] == [
        "[CLS] now the soup [SEP] stir the soup now , the [SEP]",
        "[CLS] now the soup [SEP] now , the ##n cut the [SEP]",
    ]
    assert [e["window"] for e in examples] == list(range(len(examples)))
    assert {e["first"] for e in examples} == {5}
    # Every piece of the context is judged in one window only.
    judged = [
        (w, e["at"] + e["starts"][p - e["first"]])
        for w, e in enumerate(examples)
        for p in range(e["judged_from"], e["judged_to"])
    ]
    offsets = [offset for _, offset in judged]
    assert offsets == sorted(offsets)
    assert len(set(offsets)) == len(offsets) == len(tokenizer(CONTEXT, add_special_tokens=False)["input_ids"])


def test_the_passage_is_the_second_segment(tokenizer: PreTrainedTokenizerBase) -> None:
    examples = [SpanQA().encode(row(None, context=c, split=None), tokenizer)[0] for c in ("stir", "stir the soup")]
    batch = SpanQA().collate(examples, Vocabulary.of(tokenizer))
    # [CLS] now the soup [SEP], then the passage with its [SEP], then padding.
    assert batch.token_type_ids_BL.tolist() == [[0] * 5 + [1] * 2 + [0] * 2, [0] * 5 + [1] * 4]


def test_only_windows_with_the_whole_answer_have_it_as_target(tokenizer: PreTrainedTokenizerBase) -> None:
    examples = SpanQA(max_tokens=12, stride=2).encode(row("1895"), tokenizer)
    texts = {span_text(e, e["start"], e["end"]) for e in examples if e["start"]}
    assert texts == {"1895"}
    assert any(e["start"] == e["end"] == 0 and "189" in e["passage"] for e in examples)


@pytest.mark.parametrize("answer", ["Stir", "the soup now", "café", "1895", "oup no", CONTEXT])
def test_answers_are_found_by_their_characters(answer: str, tokenizer: PreTrainedTokenizerBase) -> None:
    (example,) = SpanQA().encode(row(answer), tokenizer)
    # A piece is never cut: an answer that begins or ends inside of one is the pieces that hold it.
    assert answer in span_text(example, example["start"], example["end"])
    if answer != "oup no":
        assert answer == span_text(example, example["start"], example["end"])


def test_the_first_of_several_answers_is_the_target(tokenizer: PreTrainedTokenizerBase) -> None:
    answers = [{"text": answer, "start": CONTEXT.index(answer)} for answer in ("café", "1895", "soup")]
    (example,) = SpanQA().encode(row(answers=answers), tokenizer)
    assert span_text(example, example["start"], example["end"]) == "café"
    assert example["answers"] == ["café", "1895", "soup"]


def test_a_question_is_cut_and_special_tokens_in_texts_are_text(tokenizer: PreTrainedTokenizerBase) -> None:
    changed = row(None, question="now now now now", context="[SEP] stir")
    (example,) = SpanQA(max_question=2, unanswerable=True).encode(changed, tokenizer)
    assert tokenizer.convert_ids_to_tokens(example["input_ids"]) == [
        *("[CLS]", "now", "now", "[SEP]"),
        *("[", "s", "##e", "##p", "]", "stir", "[SEP]"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": " "}, "the question is empty"),
        ({"context": "\n"}, "the context is empty"),
        ({"context": None}, "the context is empty"),
        ({"context": "\u200b"}, "becomes no wordpiece"),
        ({"answers": None}, "the answers are missing"),
        ({"answers": []}, "set the task's field unanswerable"),
        ({"answers": [{"text": "soup", "start": 3}]}, "'soup' is not at character 3"),
        ({"context": "a\u200b b", "answers": [{"text": "\u200b", "start": 1}]}, "becomes no wordpiece"),
    ],
)
def test_rows_that_are_refused(changes: dict[str, Any], message: str, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match=message):
        SpanQA().encode(row(**changes), tokenizer)


def test_a_new_question_needs_no_more_than_itself_and_its_context(tokenizer: PreTrainedTokenizerBase) -> None:
    for more in ({}, {"answers": ["as anybody keeps them"]}):
        (example,) = SpanQA().encode({"question": "now", "context": "stir", **more}, tokenizer)
        assert example["answers"] is None


# ------------------------------------------------------------------------------------------- loss and answers


class Given(torch.nn.Module):
    """A head whose logits are given: [B, L] start and end."""

    def __init__(self, start: torch.Tensor, end: torch.Tensor) -> None:
        super().__init__()
        self.logits = start, end

    def forward(self, encoded: Encoded, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part.masked_fill(mask == 0, -torch.inf) for part in self.logits)


NOTHING = Encoded(torch.zeros(0), (), None, None)


def test_the_loss_is_the_mean_over_the_global_batch(tokenizer: PreTrainedTokenizerBase) -> None:
    task = SpanQA()
    examples = [task.encode(row(a), tokenizer)[0] for a in ("1895", "soup")]
    batch = task.collate(examples, Vocabulary.of(tokenizer))
    length = batch.input_ids_BL.shape[1]
    head = Given(torch.zeros(2, length), torch.zeros(2, length))
    loss = task.loss(head, NOTHING, batch, {"loss": 4.0})["loss"]
    assert loss.item() == pytest.approx(2 * math.log(length) / 4)  # two of the four examples, uniform over positions
    assert batch.counts == {"loss": 2}
    head = SpanHead(BertConfig(hidden_size=8).hidden_size)
    assert sum(p.numel() for p in head.parameters()) == 2 * 8 + 2


def answers_of(task: SpanQA, examples: list[dict[str, Any]], peaks: list[dict[str, Any]], tokenizer: Any) -> Any:
    """The joined answer where ``peaks`` has, of each window, logits of positions: name -> {position: logit}."""
    batch = task.collate(examples, Vocabulary.of(tokenizer))
    logits = torch.zeros(2, *batch.input_ids_BL.shape)
    for window, peak in enumerate(peaks):
        for kind, name in enumerate(("start", "end")):
            for position, logit in peak.get(name, {}).items():
                logits[kind, window, position] = logit
    return task.join(task.evaluate(Given(*logits), NOTHING, batch, Vocabulary.of(tokenizer)))


def test_the_answer_is_the_best_span_of_all_windows_with_its_place_in_the_context(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    task = SpanQA(max_tokens=20, stride=8)
    examples = task.encode(row("1895"), tokenizer)
    assert len(examples) > 1
    last = examples[-1]
    here = {"start": {last["start"]: 5.0}, "end": {last["end"]: 5.0}}
    answer = answers_of(task, examples, [{}] * (len(examples) - 1) + [here], tokenizer)
    assert (answer["answer"], CONTEXT[answer["start"] : answer["end"]]) == ("1895", "1895")
    assert answer["null_odds"] is None
    assert len(answer["n_best"]) == task.n_best
    assert [s["probability"] for s in answer["n_best"]] == sorted(s["probability"] for s in answer["n_best"])[::-1]
    assert all(CONTEXT[s["start"] : s["end"]] == s["text"] for s in answer["n_best"])
    assert answer["answers"] == ["1895"]


@pytest.mark.parametrize(("longest", "answer"), [(4, "Stir the soup now"), (3, "Stir the soup")])
def test_no_answer_is_longer_than_the_longest(longest: int, answer: str, tokenizer: PreTrainedTokenizerBase) -> None:
    task = SpanQA(max_answer=longest)
    examples = task.encode(row(), tokenizer)
    first = examples[0]["first"]
    peaks = {"start": {first: 9.0}, "end": {first + 3: 9.0, first + 2: 8.0}}
    assert answers_of(task, examples, [peaks], tokenizer)["answer"] == answer


def test_a_span_counts_only_where_its_start_has_most_context(tokenizer: PreTrainedTokenizerBase) -> None:
    task = SpanQA(max_tokens=20, stride=8)
    examples = task.encode(row("1895"), tokenizer)
    edge = examples[0]["judged_to"]  # shown by the first window, judged in the second
    high = {"start": {edge: 50.0}, "end": {edge: 50.0}}
    answer = answers_of(task, examples, [high] + [{}] * (len(examples) - 1), tokenizer)
    assert answer["answer"] != span_text(examples[0], edge, edge)


def test_no_answer_scores_the_minimum_over_the_windows(tokenizer: PreTrainedTokenizerBase) -> None:
    task = SpanQA(max_tokens=16, stride=5, unanswerable=True)
    examples = task.encode(row("1895"), tokenizer)
    span = {"start": {examples[-1]["start"]: 2.0}, "end": {examples[-1]["end"]: 2.0}}
    assert len(examples) > 2
    peaks = [{"start": {0: 5.0 + abs(w - 1)}, "end": {0: 1.0}} for w in range(len(examples))]
    peaks[-1]["start"] |= span["start"]
    peaks[-1]["end"] |= span["end"]
    answer = answers_of(task, examples, peaks, tokenizer)
    assert answer["null_odds"] == pytest.approx((5 + 1) - (2 + 2))
    assert (answer["answer"], answer["start"], answer["end"]) == ("", None, None)
    tuned = dataclasses.replace(task, null_threshold=2.0)
    assert answers_of(tuned, examples, peaks, tokenizer)["answer"] == "1895"  # 2 is not above 2
    below = dataclasses.replace(task, null_threshold=1.9)
    assert answers_of(below, examples, peaks, tokenizer)["answer"] == ""


@pytest.mark.parametrize("unanswerable", [True, False])
def test_windows_without_any_span_give_no_answer(unanswerable: bool) -> None:
    task = SpanQA(unanswerable=unanswerable)
    answer = task.join([{"id": "q", "question": "?", "null": 1.0, "spans": []}])
    assert answer["answer"] == ""
    assert (answer["null_odds"], answer["n_best"], answer["probability"]) == (None, [], 1.0)


def test_answers_with_one_text_are_one_answer() -> None:
    spans = [
        {"text": "soup", "start": 9, "end": 13, "score": 2.0},
        {"text": "soup", "start": 0, "end": 4, "score": 3.0},
        {"text": "the", "start": 5, "end": 8, "score": 3.0 - math.log(3)},
    ]
    answer = SpanQA().join([{"id": "q", "question": "?", "null": 9.0, "spans": spans}])
    assert [(s["text"], s["start"], s["probability"]) for s in answer["n_best"]] == [
        ("soup", 0, 0.75),
        ("the", 5, 0.25),
    ]


def result(answers: list[str] | None, text: str, odds: float | None) -> dict[str, Any]:
    return {"answers": answers, "n_best": [{"text": text}], "null_odds": odds}


def test_the_threshold_is_tuned_on_the_dev_split_and_adopted() -> None:
    rows = [result(["soup"], "soup", -4.0), result([], "soup", -3.0), result([], "soup", 2.0), result(None, "x", 0.0)]
    task = SpanQA(unanswerable=True)
    tuned = task.tune(rows)
    assert tuned.null_threshold == -4.0
    assert task.metrics(rows)["f1"] == pytest.approx(2 / 3)
    assert tuned.metrics(rows)["f1"] == 1.0
    assert task.adopt(tuned) == tuned
    assert dataclasses.replace(task, null_threshold=0.0).adopt(tuned).null_threshold == 0.0
    assert SpanQA().tune(rows) == SpanQA()  # version 1 has nothing to tune
    assert [t.tunes for t in (task, tuned, SpanQA())] == [True, False, False]
    assert task.tune([]) == task


def test_figures_of_version_1() -> None:
    assert SpanQA().metrics([result(["soup"], "the soup", None)]) == {"exact": 1.0, "f1": 1.0}
    assert SpanQA().metrics([result(None, "soup", None)]) == {}


def test_offsets_are_those_of_the_context(tokenizer: PreTrainedTokenizerBase) -> None:
    """Also behind letters that lower-casing or accents make longer or shorter."""
    context = "İİ ﬁve café́ soup"
    start = context.index("soup")
    changed = row(context=context, answers=[{"text": "soup", "start": start}])
    (example,) = SpanQA().encode(changed, tokenizer)
    assert span_text(example, example["start"], example["end"]) == "soup"
    assert example["at"] + example["starts"][example["start"] - example["first"]] == start
    assert np.asarray(example["ends"])[-1] == len(context)
