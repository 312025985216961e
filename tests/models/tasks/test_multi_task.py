from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.encoder import TaskModel
from models.task_file import load_task, save_task
from models.tasks import (
    ClassifyPairs,
    ClassifyText,
    JudgeAspects,
    MultiTask,
    RankCandidates,
    ScoreText,
    SpanQA,
    TagWords,
)
from tests.models.small_encoders import save_tokenizer
from tests.models.tasks.test_classification import model_and_batch

TASK = MultiTask(
    {
        "kind": ClassifyText(labels=("a", "b", "c"), dropout=0.0),
        "near": ScoreText(dropout=0.3),
        "follows": ClassifyPairs(labels=("no", "yes")),
        "answers": RankCandidates(),
    },
    ratios={"near": 0.5},
)
ROWS = {
    "kind": {"id": "1", "text": "stir", "label": "b", "split": "train"},
    "near": {"id": "2", "text": "stir", "second": "cut", "label": "2.5", "split": "train"},
    "follows": {"id": "3", "text": "stir the soup", "second": "cut", "label": "no", "split": "train"},
    "answers": {"id": "4", "text": "stir", "candidates": ["soup", "now"], "relevant": [1, 0], "split": "train"},
}


def row(name: str) -> dict:
    return {**ROWS[name], "group": name}


def test_it_reads_what_its_tasks_read() -> None:
    assert TASK.inputs() == {name: task.columns for name, task in TASK.tasks.items()}
    assert TASK.columns == ("id", "text", "split")
    assert TASK.groups() == {"kind": 1.0, "near": 0.5, "follows": 1.0, "answers": 1.0}
    assert TASK.loss_terms == ("kind/loss", "near/loss", "follows/loss", "answers/loss")


def test_every_task_learns_of_its_own_rows() -> None:
    task = MultiTask({"one": ClassifyText(), "two": ClassifyText()})
    rows = [("one", ["b", "a"]), ("one", []), ("one", ["c"]), ("two", ["x", "y"])]
    tables = (
        pa.table({"label": pa.array(labels, pa.string()), "group": [name] * len(labels)}) for name, labels in rows
    )
    learned = task.learn(tables)
    assert [t.labels for t in learned.tasks.values()] == [("a", "b", "c"), ("x", "y")]
    assert task.adopt(learned) == learned
    with pytest.raises(ValueError, match="made for MultiTask of one, two, not for MultiTask of one"):
        MultiTask({"one": ClassifyText()}).adopt(learned)


def test_what_was_learned_is_not_contradicted() -> None:
    trained = ClassifyText(labels=("p", "q"))
    with pytest.raises(ValueError, match="made for other labels: p, q, not q, p"):
        ClassifyText(labels=("q", "p")).adopt(trained)
    with pytest.raises(ValueError, match="made for the task ClassifyPairs, not ClassifyText"):
        ClassifyText().adopt(ClassifyPairs(labels=("p", "q")))
    assert ClassifyText(labels=("p", "q")).adopt(ClassifyText()).labels == ("p", "q")


def test_a_head_is_shared_where_every_task_s_is() -> None:
    one, other = (MultiTask({"a": ClassifyText(labels=labels)}) for labels in (("p", "q"), ("x", "y")))
    assert one.shares_head(one)
    assert not one.shares_head(other)
    assert not one.shares_head(MultiTask({"b": ClassifyText(labels=("p", "q"))}))
    assert not one.shares_head(ClassifyText(labels=("p", "q")))


def test_the_order_of_ratios_means_nothing() -> None:
    tasks = {"a": ScoreText(), "b": ScoreText()}
    one, other = MultiTask(tasks, ratios={"a": 0.5, "b": 2.0}), MultiTask(tasks, ratios={"b": 2.0, "a": 0.5})
    assert [*one.ratios.items()] == [*other.ratios.items()]


def test_something_is_to_be_tuned_where_one_of_the_tasks_has_it() -> None:
    assert not MultiTask({"a": ClassifyText(), "b": SpanQA()}).tunes
    assert MultiTask({"a": ClassifyText(), "b": SpanQA(unanswerable=True)}).tunes


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    save_task(TASK, tmp_path / "task.json")
    loaded = load_task(tmp_path)
    assert loaded == TASK
    assert loaded.example_schema == TASK.example_schema


@pytest.mark.parametrize("name", list(ROWS))
def test_a_batch_has_the_loss_of_its_task_alone(tmp_path: Path, name: str) -> None:
    model, batch, vocabulary = model_and_batch(tmp_path, TASK, [row(name), row(name)])
    member = TASK.tasks[name]
    own, alone, _ = model_and_batch(tmp_path / "own", member, [ROWS[name], ROWS[name]])
    own.head.load_state_dict(model.head[f"{name}_head"].state_dict())
    assert {term for term, n in batch.counts.items() if n} == {f"{name}/loss"}
    totals = dict.fromkeys(TASK.loss_terms, 3.0)
    with torch.no_grad():
        losses = TASK.loss(model.head, model(batch), batch, totals)
        expected = member.loss(own.head, own(alone), alone, {"loss": 3.0})["loss"]
        (answer, _) = TASK.predict(model.head, model(batch), batch, vocabulary)
        (figure, _) = TASK.evaluate(model.head, model(batch), batch, vocabulary)
    assert losses.keys() == {f"{name}/loss"}
    torch.testing.assert_close(losses[f"{name}/loss"], expected)
    assert answer["group"] == figure["group"] == name
    pa.Table.from_pylist([answer], TASK.prediction_schema)


def test_a_task_alone_goes_on_with_its_head(tmp_path: Path) -> None:
    """By its name: two tasks may be equal."""
    alike = ClassifyText(labels=("a", "b"))
    model, _, _ = model_and_batch(tmp_path, MultiTask({"one": alike, "two": alike}), [{**ROWS["kind"], "group": "one"}])
    model.save(tmp_path)
    for name in ("one", "two"):
        alone = TaskModel.start(tmp_path, alike, seed=5, keep_head=True, member=name)
        assert torch.equal(alone.head.linear.weight, model.head[f"{name}_head"].linear.weight)
    assert not torch.equal(TaskModel.start(tmp_path, alike, 5, True).head.linear.weight, alone.head.linear.weight)


def test_heads_have_the_dropout_of_their_task(tmp_path: Path) -> None:
    model, _, _ = model_and_batch(tmp_path, TASK, [row("kind")])
    dropouts = {name: head.dropout.p for name, head in model.head.items()}
    assert dropouts == {"kind_head": 0.0, "near_head": 0.3, "follows_head": 0.1, "answers_head": 0.1}


def test_a_row_says_which_task_it_is_for(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    (example,) = TASK.encode(row("near"), tokenizer)
    assert example["group"] == "near"
    with pytest.raises(ValueError, match="'group' is 'far', but the tasks are kind, near, follows, answers"):
        TASK.encode({**row("near"), "group": "far"}, tokenizer)
    with pytest.raises(KeyError, match="group"):
        TASK.encode(ROWS["near"], tokenizer)


def test_figures_are_each_tasks_own() -> None:
    rows = [
        {"group": "kind", "gold": "a", "predicted": "a"},
        {"group": "answers", "rank": 2, "pairs": 2, "right": 0},
        {"group": "kind", "gold": "b", "predicted": "a"},
    ]
    figures = TASK.metrics(rows)
    assert figures["kind/accuracy"] == figures["answers/mrr"] == 0.5
    assert not any(name.startswith("near") for name in figures)
    assert TASK.tune(rows) == TASK


def test_windows_are_joined_and_thresholds_tuned_by_the_task_that_has_them() -> None:
    span = SpanQA(unanswerable=True)
    task = MultiTask({"kind": ClassifyText(labels=("a", "b")), "span": span})
    best = [{"text": "soup", "start": 4, "end": 8, "score": 2.0}]
    windows = [{"id": "q", "question": "?", "null": null, "spans": spans} for null, spans in ((3.0, []), (1.0, best))]
    joined = task.join([{**window, "group": "span"} for window in windows])
    assert joined == {**span.join(windows), "group": "span"}
    assert (joined["answer"], joined["null_odds"]) == ("soup", -1.0)
    answer = {"id": "1", "predicted": "a", "group": "kind"}
    assert task.join([answer]) == answer
    rows = [
        {"answers": a, "n_best": [{"text": "soup"}], "null_odds": odds} for a, odds in ((["soup"], -4.0), ([], 2.0))
    ]
    tuned = task.tune([*({**row, "group": "span"} for row in rows), {"group": "kind", "gold": "a", "predicted": "a"}])
    assert tuned == MultiTask({"kind": task.tasks["kind"], "span": replace(span, null_threshold=-4.0)})


def test_columns_of_different_types_are_each_tasks_own(tmp_path: Path) -> None:
    task = MultiTask({"kind": ClassifyText(labels=("a", "b")), "tag": TagWords(tags=("O",)), "judge": JudgeAspects()})
    names = task.example_schema.names
    assert {name for name in names if "/" in name} == {"kind/gold", "tag/gold", "kind/label", "judge/label"}
    assert names.count("input_ids") == 1
    assert "gold" not in names
    (example,) = task.encode({"id": "1", "words": ["stir"], "tags": ["O"], "group": "tag"}, save_tokenizer(tmp_path))
    assert example["tag/gold"] == ["O"]


def test_draws_keep_the_task(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    examples = [example for name in ROWS for example in TASK.encode(row(name), tokenizer)]
    drawn = TASK.draw(examples, 2, np.random.default_rng(0), None)
    assert drawn["group"] == TASK.lay_out(examples[2], None)["group"] == "follows"


@pytest.mark.parametrize(
    ("tasks", "ratios"),
    [({}, {}), ({"a b": ScoreText()}, {}), ({"model": ScoreText()}, {}), ({"a": ScoreText()}, {"b": 1})],
)
def test_what_makes_no_sense_is_refused(tasks: dict, ratios: dict) -> None:
    with pytest.raises(ValueError, match=r"tasks|name|ratios"):
        MultiTask(tasks, ratios)
