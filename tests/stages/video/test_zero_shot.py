from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForMaskedLM

from models.tasks import VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import write_json, write_part
from stages.inference import Inference
from stages.train import Train
from stages.video.labelled_segments import features_of, labelled_segments
from stages.video.zero_shot import (
    CHANCE,
    CROSS_MODAL,
    PRIOR,
    START,
    SUPERVISED,
    SUPERVISED_WORDS,
    TemplateScorer,
    ZeroShot,
    score_table,
)
from tests.stages.tiny_world import examples, extended_bert

TASK = VideoText()
TEMPLATE = "{verb} the {object}"


def table(folder: Path, *parts: pa.Table) -> Artifact:
    for i, part in enumerate(parts):
        write_part(folder / f"part-{i:05d}.parquet", part)
    write_json(folder / "manifest.json", {"key": folder.name})
    return Artifact(folder, folder.name)


def clips(video_id: str, tokens: list[int], offset: int = 0) -> tuple[pa.Table, pa.Table]:
    """Tokens and features of a video's clips of 1.5 s; a feature is (token + offset, clip, 0)."""
    n = len(tokens)
    start = np.arange(n) * 1.5
    common = {"video_id": [video_id] * n, "clip": np.arange(n), "start_s": start, "end_s": start + 1.5}
    features = np.array([[t + offset, i, 0] for i, t in enumerate(tokens)], np.float16)
    feature = pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), 3)
    return pa.table({**common, "token": pa.array(tokens, pa.uint16())}), pa.table({**common, "feature": feature})


def world(
    folder: Path, rows: list[tuple[str, float, float, str, str]], videos: dict[str, tuple[str, list[int]]]
) -> dict:
    """Labels, tokens, features and splits; ``videos`` maps an id to its split and tokens, two videos a part."""
    names = list(videos)
    drawn = [clips(v, videos[v][1]) for v in names]
    parts = [names[i : i + 2] for i in range(0, len(names), 2)]
    joined = [[pa.concat_tables([drawn[names.index(v)][k] for v in part]) for part in parts] for k in range(2)]
    columns = ("video_id", "start_s", "end_s", "verb", "object")
    labels = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    split = pa.table({"video_id": names, "split": [videos[v][0] for v in names]})
    return {
        "labels": table(folder / "labels", labels),
        "tokens": table(folder / "tokens", *joined[0]),
        "features": table(folder / "features", *joined[1]),
        "splits": table(folder / "splits", split),
    }


def test_a_labelled_segment_has_the_clips_whose_middle_lies_in_it(tmp_path: Path) -> None:
    inputs = world(
        tmp_path,
        [
            ("a", 0.0, 3.0, "stir", "soup"),  # middles 0.75 and 2.25
            ("a", 2.3, 3.7, "cut", "soup"),  # holds none: the middle nearest 3.0 is 2.25 or 3.75, the earlier
            ("b", 1.5, 99.0, "stir", "cafe"),
            ("unknown", 0.0, 1.0, "stir", "soup"),
        ],
        {"a": ("train", [5, 6, 7]), "b": ("test", [1, 2, 3]), "c": ("dev", [0])},
    )
    first, second, third = labelled_segments(*(inputs[n] for n in ("labels", "splits", "tokens", "features")))
    assert first.tokens.tolist() == [5, 6]
    assert first.feature is not None
    assert first.feature.tolist() == [5.5, 0.5, 0.0]
    assert second.tokens.tolist() == [6]
    assert (third.video_id, third.split, third.tokens.tolist()) == ("b", "test", [2, 3])


def test_a_part_without_clips_has_no_features() -> None:
    tokens, features = clips("broken", [4])
    assert features_of(tokens.slice(1), features.slice(1)).shape == (0, 3)


def test_a_clip_without_a_token_is_left_out() -> None:
    tokens, features = clips("a", [4, 5, 6])
    assert features_of(tokens.filter(pa.array([True, False, True])), features)[:, 0].tolist() == [4, 6]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("world")
    start = extended_bert(folder / "start")
    encoded = examples(folder, start)
    model = Artifact(folder / "trained", "trained")
    make(Train(task=TASK, steps=3), {"model": start, "examples": encoded}, model, LocalExecutor())
    return {"model": model, "start": start}


@torch.no_grad()
def test_a_label_of_several_pieces_is_scored_at_as_many_masks(models: dict[str, Artifact]) -> None:
    """Against Hugging Face's own model on sequences put together by hand; "cutting" is cut ##ting."""
    inference = Inference(models["model"].path, TASK)
    v, tokenizer = inference.vocabulary, inference.tokenizer
    scores = TemplateScorer(inference, TEMPLATE).score("verb", ["stir", "cutting"], [np.array([3, 1])])
    model = AutoModelForMaskedLM.from_pretrained(models["model"].path)
    the, stir, cut, ting = tokenizer.convert_tokens_to_ids(["the", "stir", "cut", "##ting"])
    video = [v.join, v.first_visual + 3, v.first_visual + 1, v.sep]

    def log_p(ids: list[int]) -> torch.Tensor:
        types = [int(i >= ids.index(v.join)) for i in range(len(ids))]
        logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits
        return logits[0].log_softmax(-1)

    one = log_p([v.cls, v.mask, the, v.mask, *video])
    two = log_p([v.cls, v.mask, v.mask, the, v.mask, *video])
    expected = [one[1, stir], (two[1, cut] + two[2, ting]) / 2]
    assert scores[0] == pytest.approx([float(e) for e in expected], abs=0.05)  # bf16 where the machine has it


def test_scores_of_all_methods_on_seen_and_unseen_pairs(models: dict[str, Artifact], tmp_path: Path) -> None:
    labels, videos = [], {}
    for i, (verb, token) in enumerate([("stir", 0), ("cut", 1)] * 4):
        object_ = ("soup", "cafe")[i // 2 % 2]
        split = "test" if i >= 6 else "train"
        videos[f"v{i}"] = (split, [token] * 3)
        labels.append((f"v{i}", 0.0, 4.5, verb, object_))
    labels.append(("v7", 0.0, 4.5, "cut", "now"))  # no training video shows it
    inputs = world(tmp_path, labels, videos) | models
    out = Artifact(tmp_path / "out", "out")
    make(ZeroShot(task=TASK, template=TEMPLATE), inputs, out, LocalExecutor())
    table = {(r["pairs"], r["method"]): r for r in out.manifest["scores"]}
    assert {p for p, _ in table} == {"all", "seen", "unseen"}
    assert [m for p, m in table if p == "all"] == [SUPERVISED, SUPERVISED_WORDS, CHANCE, START, PRIOR, CROSS_MODAL]
    assert table["all", SUPERVISED]["verb_top1"] == 1.0  # the features tell the verbs apart
    assert table["all", CHANCE]["object_top1"] == pytest.approx(1 / 3)
    assert table["all", CHANCE]["object_top5"] == 1.0
    assert table["unseen", CROSS_MODAL]["segments"] == 1
    rows = out.read().to_pylist()
    assert len(rows) == 5 * 3
    assert {len(r["object_ranked"]) for r in rows} == {3}
    blind = [r["verb_ranked"] for r in rows if r["method"] == PRIOR]
    assert blind == [blind[0]] * 3  # without video every segment gets the same answer
    assert "| all | chance | 3 | 50.0 | 100.0 | 33.3 | 100.0 |" in (out.path / "scores.md").read_text()


def test_top_1_and_top_5_by_hand() -> None:
    row = {"method": CROSS_MODAL, "unseen_pair": False, "object": "x", "object_ranked": ["x"]}
    rows = [
        {**row, "verb": "a", "verb_ranked": list("abcdef")},
        {**row, "verb": "e", "verb_ranked": list("abcdef")},
        {**row, "verb": "f", "verb_ranked": list("abcdef"), "unseen_pair": True},
    ]
    table = {(e["pairs"], e["method"]): e for e in score_table(rows, {"verb": list("abcdef"), "object": ["x"]})}
    assert table["all", CROSS_MODAL]["verb_top1"] == pytest.approx(1 / 3)
    assert table["all", CROSS_MODAL]["verb_top5"] == pytest.approx(2 / 3)
    assert table["seen", CROSS_MODAL]["verb_top5"] == 1.0
    assert table["unseen", CROSS_MODAL]["verb_top5"] == 0.0
    assert table["unseen", CHANCE]["verb_top1"] == pytest.approx(1 / 6)


@pytest.mark.parametrize("template", ["show me the {object}", "{verb} {verb} the {object}", "[MASK] the [MASK]"])
def test_a_template_without_its_places_is_refused(template: str) -> None:
    with pytest.raises(UserError, match="the template must hold"):
        ZeroShot(template=template)
