"""Tasks that share an encoder: their examples lie in one table, and each finds its own there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from models.encoder import TaskModel
from models.extended_encoder import load_masked_lm
from models.scoring.aspects import SENTIHOOD
from models.tasks import (
    ClassifyPairs,
    ClassifyText,
    ConditionalLM,
    ExtractiveSummary,
    JudgeAspects,
    JudgeRelevance,
    LabelUtterances,
    MaskedLM,
    MultiTask,
    NaturalQuestions,
    ParseDependencies,
    RankCandidates,
    ScoreText,
    SpanQA,
    TagWords,
    Task,
    VideoText,
)
from models.tasks.multi_task import own_examples, place_of
from models.tasks.task import GROUP, has_windows
from models.vocabulary import Vocabulary
from pipeline import Artifact, LocalExecutor, Stage
from pipeline.graph import make
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.examples import MappedExamples
from stages.predict import Predict
from stages.train import Train
from stages.windows import join_windows
from tests.cases import artifact
from tests.stages.text.small_pages import annotation, nq_page
from tests.stages.text.small_treebank import sentence
from tests.stages.tiny_world import extended_bert

TASKS: dict[str, Task] = {
    "kind": ClassifyText(labels=("a", "b")),
    "follows": ClassifyPairs(labels=("a", "b")),
    "near": ScoreText(),
    "rank": RankCandidates(),
    "tag": TagWords(tags=("O", "X"), max_tokens=6),
    "intent": LabelUtterances(tags=("O", "X"), intents=("a", "b")),
    "span": SpanQA(max_tokens=12, stride=3),
    "page": NaturalQuestions(max_tokens=14, stride=4, null_share=1.0),
    "judge": JudgeRelevance(),
    "aspect": JudgeAspects(labels=SENTIHOOD, form="NLI-B"),
    "mask": MaskedLM(max_length=12),
    "label_mask": ConditionalLM(labels=("a", "b")),
    "summary": ExtractiveSummary(shortest=2),
    "tree": ParseDependencies(arc_width=8, label_width=4).learn([pa.table({"conllu": [sentence(1)]})]),
    "video": VideoText(),
}
PAGE = nq_page(7, "stir soup", [("P", "the cafe now"), ("Ul", "stir the soup")])
TAGGED = {"words": ["stir", "the", "soup", "now", "cut"], "tags": list("OXOOX")}
ROWS: dict[str, dict[str, Any]] = {
    "kind": {"text": "stir", "label": "a"},
    "follows": {"text": "stir", "second": "the soup", "label": "a"},
    "near": {"text": "stir", "second": "the soup", "label": "1.5"},
    "rank": {"text": "stir", "candidates": ["soup", "now"], "relevant": [1, 0]},
    "tag": TAGGED,
    "intent": {**TAGGED, "intent": "a"},
    "span": {"question": "stir", "context": "the soup now " * 8, "answers": [{"text": "soup", "start": 4}]},
    "page": {**PAGE, "annotations": [annotation(PAGE, 0, [(4, 5)])]},
    "judge": {"query_id": "q", "query": "stir", "text": "soup", "label": 1},
    "aspect": {"text": "soup", "target": None, "aspect": "price", "label": "Positive"},
    "mask": {"sentences": ["stir the soup", "cut the soup now", "the cafe now"]},
    "label_mask": {"text": "stir the soup", "label": "b"},
    "summary": {"sentences": ["stir the soup", "cut now", "the cafe"], "summary": ["stir the soup"]},
    "tree": {"treebank": "toy", "conllu": sentence(1)},
    "video": {"text": "stir the soup", "tokens": [1, 2, 3]},
}


@dataclass
class World:
    """An encoder, read once."""

    pretrained: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


@dataclass
class Told:
    """What a model says of a task's examples."""

    losses: dict[str, float]
    answers: list[dict[str, Any]]
    figures: dict[str, float]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = extended_bert(tmp_path_factory.mktemp("encoder")).path
    return World(load_masked_lm(str(folder))[0], AutoTokenizer.from_pretrained(str(folder)))


@pytest.fixture(scope="module")
def alone(world: World) -> dict[str, tuple[TaskModel, pa.Table, Told]]:
    """Every task with a model of its own, its examples, and what that says of them."""
    found = {}
    for name, task in TASKS.items():
        model = TaskModel(world.pretrained, task, seed=0).eval()
        table = encoded(task, [name], world.tokenizer)
        found[name] = model, table, told(model, table, range(table.num_rows), world)
    return found


def encoded(task: Task, names: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> pa.Table:
    """Examples of two rows of every task."""
    rows = [
        {"id": f"{name}:{i}", "video_id": f"v{i}", **ROWS[name], "split": "dev", "group": name}
        for name in names
        for i in range(2)
    ]
    examples = [example for row in task.in_context(rows, tokenizer) for example in task.encode(row, tokenizer)]
    return pa.Table.from_pylist(examples, task.example_schema)


@torch.no_grad()
def told(model: TaskModel, table: pa.Table, mine: Sequence[int], world: World) -> Told:
    """Of the examples at ``mine``, drawn and laid out."""
    task, vocabulary, examples = model.task, Vocabulary.of(world.tokenizer), MappedExamples([table])
    drawn = [task.draw(examples, i, np.random.default_rng(n), vocabulary) for n, i in enumerate(mine)]
    batch = task.collate(drawn, vocabulary)
    states = model(batch)
    losses = task.loss(model.head, states, batch, dict.fromkeys(task.loss_terms, 1.0))
    rows = task.evaluate(model.head, states, batch, vocabulary)
    rows = join_windows(task, drawn, rows) if has_windows(task) else rows
    laid_out = [task.lay_out(examples[i], vocabulary) for i in mine]
    batch = task.collate(laid_out, vocabulary)
    answers = join_windows(task, drawn, task.predict(model.head, model(batch), batch, vocabulary))
    return Told(
        {term: float(loss) for term, loss in losses.items()},
        pa.Table.from_pylist(answers, task.prediction_schema).to_pylist(),
        dict(task.metrics(json.loads(json.dumps(rows)))),
    )


@pytest.mark.parametrize("names", [*combinations(TASKS, 2), tuple(TASKS)], ids="-".join)
def test_tasks_that_share_an_encoder_have_the_examples_losses_answers_and_figures_of_each_alone(
    names: tuple[str, ...], world: World, alone: dict[str, tuple[TaskModel, pa.Table, Told]]
) -> None:
    task = MultiTask({name: TASKS[name] for name in names})
    table = encoded(task, names, world.tokenizer)
    model = TaskModel(world.pretrained, task, seed=0).eval()
    for name in names:
        own, examples, expected = alone[name]
        mine = pc.equal(table[GROUP], name).to_numpy()
        assert own_examples(table.filter(mine), own.task, name).drop_columns(GROUP).equals(examples)
        model.head.get_submodule(f"{name}_head").load_state_dict(own.head.state_dict())
        found = told(model, table, np.flatnonzero(mine).tolist(), world)
        assert {t: loss for t, loss in found.losses.items() if t.startswith(f"{name}/")} == found.losses
        assert found.losses == pytest.approx({f"{name}/{term}": loss for term, loss in expected.losses.items()})
        assert found.figures == pytest.approx({f"{name}/{figure}": v for figure, v in expected.figures.items()})
        for answer, of_own in zip(found.answers, expected.answers, strict=True):
            assert answer[GROUP] == name
            assert {c: answer[place_of(c, name, answer)] for c in of_own} == of_own


def test_a_task_goes_on_alone_from_the_examples_and_the_model_of_several(tmp_path: Path) -> None:
    """Among examples of a task that has segments, other types of the same columns, and no windows."""
    tag = TASKS["tag"]
    several = MultiTask({"kind": TASKS["kind"], "tag": tag})
    tables = {
        name: pa.Table.from_pylist(
            [{"id": f"{i}", **ROWS[name], "split": split} for i, split in enumerate(("train", "dev", "test"))]
        )
        for name in several.tasks
    }

    def made(name: str, stage: Stage, **inputs: Artifact) -> Artifact:
        out = Artifact(tmp_path / name, name)
        make(stage, inputs, out, LocalExecutor())
        return out

    start = extended_bert(tmp_path / "start")
    rows = {name: artifact(tmp_path / f"{name}-rows", table) for name, table in tables.items()}
    examples = made("examples", Encode(task=several), model=start, **rows)
    shared = made("shared", Train(task=several, steps=2, global_batch_size=2), model=start, examples=examples)
    run = Train(task=tag, group="tag", steps=2, global_batch_size=2)
    tuned = made("tuned", run, model=shared, examples=examples)
    assert "accuracy" in tuned.manifest["metrics"]
    both = {"model": tuned, "examples": examples}
    evaluated = made("figures", Evaluate(task=tag, group="tag"), **both)
    assert "accuracy" in evaluated.manifest["metrics"]
    (answer,) = made("answers", Predict(task=tag, group="tag"), **both).read().to_pylist()
    assert [word["word"] for word in answer["tagged"]] == TAGGED["words"]
    of_all = made("answers-of-all", Predict(task=several), model=shared, examples=examples).read().to_pylist()
    assert [answer["group"] for answer in of_all] == ["kind", "tag"]
