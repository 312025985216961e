from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from models.scoring.aspects import SENTIHOOD
from models.tasks import ClassifyText, JudgeAspects, JudgeRelevance, MultiTask, TagWords, Task
from models.vocabulary import Vocabulary
from pipeline.store import write_part
from stages.rank_group import Ranks
from stages.training_batches import TrainingBatches
from tests.models.small_encoders import save_tokenizer


def watched(task: Task, dev: list[dict[str, Any]], limit: int, folder: Path) -> list[int]:
    """Which of the dev examples are looked at, when each stands between two that are learned from."""
    tokenizer = save_tokenizer(folder)
    groups = [{"group": name} for name in task.groups()] or [{}]
    rows = [row for example in dev for row in ({**example, "split": "train"}, {**example, "split": "dev"})]
    rows += [{**group, "split": "train"} for group in groups]
    part = folder / "part-00000.arrow"
    write_part(part, pa.Table.from_pylist([{"length": 1, "window": 0, **row} for row in rows], task.example_schema))
    ranks = Ranks(0, 1, torch.device("cpu"))
    sizes = {"batch_size": 1, "micro_batch_tokens": 1, "seed": 0}
    positions = TrainingBatches(task, Vocabulary.of(tokenizer), [part], folder, ranks, **sizes).dev(limit)
    assert (positions % 2 == 1).all()
    return (positions // 2).tolist()


def test_examples_are_taken_from_the_whole_split(tmp_path: Path) -> None:
    assert watched(ClassifyText(), [{}] * 10, 4, tmp_path) == [0, 2, 5, 7]
    assert watched(ClassifyText(), [{}] * 4, 4, tmp_path / "all") == [0, 1, 2, 3]
    assert watched(ClassifyText(), [{}] * 4, 0, tmp_path / "none") == []


def test_a_row_s_windows_and_a_sentence_s_aspects_are_watched_together(tmp_path: Path) -> None:
    """Six sentences with two aspects of three questions each: what fits are two sentences."""
    dev = [{"id": f"s{s}", "aspect": a, "window": w} for s in range(6) for a in ("price", "safety") for w in range(3)]
    task = JudgeAspects(form="QA-B", labels=SENTIHOOD)
    assert watched(task, dev, 14, tmp_path) == [*range(6), *range(18, 24)]
    assert watched(task, dev, 1, tmp_path / "one") == [*range(6)]


def test_a_query_s_candidates_are_watched_together(tmp_path: Path) -> None:
    dev = [{"query_id": query} for query in "aaaaabbbccccdd"]
    assert watched(JudgeRelevance(), dev, 8, tmp_path) == [*range(5), *range(8, 12)]
    assert watched(JudgeRelevance(), [{"query_id": None}] * 4, 2, tmp_path / "none") == [0, 2]


def test_one_of_several_tasks_is_trained_on_its_examples_among_theirs(tmp_path: Path) -> None:
    """Of other types, or with columns that its own examples do not have."""
    tokenizer = save_tokenizer(tmp_path)
    tag = TagWords(tags=("O", "X"))
    several = MultiTask({"kind": ClassifyText(labels=("a", "b")), "tag": tag})
    rows = [
        {"group": "kind", "id": "1", "text": "stir", "label": "a", "split": "train"},
        {"group": "tag", "id": "2", "words": ["stir", "soup"], "tags": ["O", "X"], "split": "train"},
    ]
    part = tmp_path / "part-00000.arrow"
    encoded = [example for row in rows for example in several.encode(row, tokenizer)]
    write_part(part, pa.Table.from_pylist(encoded, several.example_schema))
    ranks, sizes = Ranks(0, 1, torch.device("cpu")), {"batch_size": 1, "micro_batch_tokens": 1, "seed": 0}
    batches = TrainingBatches(tag, Vocabulary.of(tokenizer), [part], tmp_path, ranks, group="tag", **sizes)
    (micro,) = batches.of_step(0).micro_batches
    assert micro.positions.tolist() == [1]
    assert micro.batch.labels["tags"].tolist() == [[0, 1]]
    assert [e["gold"] for e in micro.batch.examples] == [["O", "X"]]


def test_each_of_several_tasks_is_watched_by_its_own_rule(tmp_path: Path) -> None:
    task = MultiTask({"rank": JudgeRelevance(), "label": ClassifyText()})
    dev = [{"group": "rank", "query_id": q} for q in "aabbcc"] + [{"group": "label"}] * 6
    assert watched(task, dev, 4, tmp_path) == [0, 1, 2, 3, 6, 7, 9, 10]


def test_batches_of_like_length_have_no_padding(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path)
    task = ClassifyText(labels=("a",))
    rows = [
        {"id": str(n), "input_ids": [5] * n, "token_type_ids": [0] * n, "label": 0, "length": n, "split": "train"}
        for n in [3, 4, 5, 6] * 8
    ]
    part = tmp_path / "part-00000.arrow"
    write_part(part, pa.Table.from_pylist(rows, task.example_schema))
    shares = {}
    for group_by_length in (False, True):
        batches = TrainingBatches(
            task,
            Vocabulary.of(tokenizer),
            [part],
            tmp_path,
            Ranks(0, 1, torch.device("cpu")),
            batch_size=8,
            micro_batch_tokens=1000,
            seed=0,
            group_by_length=group_by_length,
        )
        masks = [micro.batch.attention_mask_BL for step in range(4) for micro in batches.of_step(step).micro_batches]
        shares[group_by_length] = sum(mask.sum().item() for mask in masks) / sum(mask.numel() for mask in masks)
    assert shares[False] < 0.9
    assert shares[True] == 1
