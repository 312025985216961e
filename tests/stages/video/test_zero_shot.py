from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForMaskedLM, MPNetConfig, MPNetForMaskedLM, MPNetTokenizer

from models.tasks import VideoText
from models.vocabulary import extend_tokenizer
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import write_json, write_part
from stages.inference import Inference
from stages.train import Train
from stages.video import zero_shot
from stages.video.labelled_segments import LabelledSegment, features_of, labelled_segments
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
    supervised,
    word_counts,
)
from tests.models.small_encoders import PIECES, WIDTH
from tests.stages.tiny_world import VERBS, examples, extended_bert

TASK = VideoText(concatenate=0.0, joint_share=1.0, max_step=1, mask_probability=0.5)
TEMPLATE = "{verb} the {object}"
STAGE = ZeroShot(task=TASK, template=TEMPLATE)


def table(folder: Path, *parts: pa.Table) -> Artifact:
    for i, part in enumerate(parts):
        write_part(folder / f"part-{i:05d}.parquet", part)
    write_json(folder / "manifest.json", {"key": folder.name})
    return Artifact(folder, folder.name)


def clips(video_id: str, tokens: list[int], offset: int = 0) -> tuple[pa.Table, pa.Table]:
    """Tokens and features of a video's clips of 1.5 s; a feature is (token + offset, clip, 0)."""
    n = len(tokens)
    start = np.arange(n) * 1.5
    common = {
        "video_id": pa.array([video_id] * n, pa.string()),
        "clip": np.arange(n),
        "start_s": start,
        "end_s": start + 1.5,
    }
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
            ("broken", 0.0, 1.0, "stir", "soup"),
        ],
        {"a": ("train", [5, 6, 7]), "broken": ("test", []), "b": ("test", [1, 2, 3]), "c": ("dev", [0])},
    )
    first, second, third, lost = labelled_segments(*(inputs[n] for n in ("labels", "splits", "tokens", "features")))
    assert first.tokens.tolist() == [5, 6]
    assert first.feature is not None
    assert first.feature.tolist() == [5.5, 0.5, 0.0]
    assert second.tokens.tolist() == [6]
    assert (third.video_id, third.split, third.tokens.tolist()) == ("b", "test", [2, 3])
    assert (lost.video_id, lost.feature) == ("broken", None)


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
    train = Train(
        task=TASK, steps=200, learning_rate=1e-2, global_batch_size=64, evaluate_every=200, precision="float32"
    )
    make(train, {"model": start, "examples": encoded}, model, LocalExecutor())
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
    assert scores[0] == pytest.approx([float(e) for e in expected], abs=0.05, rel=0.02)  # bf16 where the machine has it


@torch.no_grad()
def test_the_other_place_holds_the_mask_as_the_encoder_writes_it(tmp_path: Path) -> None:
    """MPNet's is <mask>: a "[MASK]" would be five pieces of text to it."""
    special = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
    vocab = {piece: i for i, piece in enumerate((*special, *PIECES[5:]))}
    tokenizer = extend_tokenizer(MPNetTokenizer(vocab=vocab), 2, 3, tmp_path)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * WIDTH}
    torch.manual_seed(0)
    model = MPNetForMaskedLM(MPNetConfig(vocab_size=len(tokenizer), initializer_range=0.5, **sizes)).eval()
    model.save_pretrained(tmp_path)
    inference = Inference(tmp_path, TASK, trained=False, exact=True)
    scores = TemplateScorer(inference, TEMPLATE).score("verb", ["stir"], [np.array([3])])
    v = inference.vocabulary
    the, stir = tokenizer.convert_tokens_to_ids(["the", "stir"])
    ids = [v.cls, v.mask, the, v.mask, v.join, v.first_visual + 3, v.sep]
    logits = model(torch.tensor([ids])).logits
    assert scores[0, 0] == pytest.approx(float(logits[0].log_softmax(-1)[1, stir]), abs=1e-4)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Six training and three test videos; visual word i shows the verb i of the tiny world."""
    labels, videos = [], {}
    for i in range(9):
        verb = i % 4
        videos[f"v{i}"] = ("test" if i >= 6 else "train", [verb] * 3)
        labels.append((f"v{i}", 0.0, 4.5, VERBS[verb], ("soup", "cafe")[i // 4 % 2]))
    labels.append(("v7", 0.0, 4.5, "now", "now"))  # no training video shows it
    return world(tmp_path_factory.mktemp("kitchen"), labels, videos)


@pytest.fixture(scope="module")
def named(
    models: dict[str, Artifact], kitchen: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    out = Artifact(tmp_path_factory.mktemp("named"), "out")
    make(STAGE, kitchen | models, out, LocalExecutor())
    return out


def ranked(out: Artifact, method: str, kind: str = "verb") -> list[list[str]]:
    return [r[f"{kind}_ranked"] for r in out.read().to_pylist() if r["method"] == method]


def test_what_was_learned_of_the_videos_names_the_verb_and_without_video_nothing_does(named: Artifact) -> None:
    table = {r["method"]: r for r in named.manifest["scores"] if r["pairs"] == "all"}
    assert [row[0] for row in ranked(named, CROSS_MODAL)] == [row["verb"] for row in shown(named)]
    assert table[CROSS_MODAL]["verb_top1"] == 1.0
    for method in (START, PRIOR):
        blind = ranked(named, method)
        assert blind == [blind[0]] * 4  # without video every segment gets the same answer
        assert table[method]["verb_top1"] <= 0.5


def shown(out: Artifact) -> list[dict]:
    return [r for r in out.read().to_pylist() if r["method"] == CROSS_MODAL]


def test_each_method_asks_its_own_model(named: Artifact, models: dict[str, Artifact]) -> None:
    for method, scorer in (
        (START, TemplateScorer(Inference(models["start"].path, TASK, trained=False), TEMPLATE)),
        (PRIOR, TemplateScorer(Inference(models["model"].path, TASK), TEMPLATE)),
    ):
        for kind, labels in (("verb", sorted(VERBS)), ("object", ["cafe", "now", "soup"])):
            scores = scorer.score(kind, labels, [np.zeros(0)])[0]
            assert ranked(named, method, kind)[0] == [labels[i] for i in np.argsort(-scores)], (method, kind)
    assert ranked(named, START)[0] != ranked(named, PRIOR)[0]


def test_scores_of_all_methods_on_seen_and_unseen_pairs(named: Artifact) -> None:
    table = {(r["pairs"], r["method"]): r for r in named.manifest["scores"]}
    assert {p for p, _ in table} == {"all", "seen", "unseen"}
    assert [m for p, m in table if p == "all"] == [SUPERVISED, SUPERVISED_WORDS, CHANCE, START, PRIOR, CROSS_MODAL]
    assert table["seen", SUPERVISED]["verb_top1"] == 1.0  # the features tell the verbs apart
    assert table["seen", SUPERVISED_WORDS]["verb_top1"] == 1.0
    assert table["all", CHANCE]["object_top1"] == pytest.approx(1 / 3)
    assert table["all", CHANCE]["object_top5"] == 1.0
    rows = named.read().to_pylist()
    assert len(rows) == 5 * 4
    assert {len(r["object_ranked"]) for r in rows} == {3}
    assert "| all | chance | 4 | 25.0 | 100.0 | 33.3 | 100.0 |" in (named.path / "scores.md").read_text()
    assert named.manifest["segments"] == {"train": 6, "dev": 0, "test": 4}


def test_one_chooses_from_the_verbs_and_objects_that_are_given(
    models: dict[str, Artifact], kitchen: dict[str, Artifact], tmp_path: Path
) -> None:
    out = Artifact(tmp_path / "out", "out")
    stage = replace(STAGE, verbs=("stir", "soup", "cut"), objects=("the", "soup"))
    make(stage, kitchen | models, out, LocalExecutor())
    assert {tuple(sorted(row)) for row in ranked(out, CROSS_MODAL)} == {("cut", "soup", "stir")}
    assert {tuple(sorted(row)) for row in ranked(out, SUPERVISED, "object")} == {("soup", "the")}
    chance = next(r for r in out.manifest["scores"] if r["method"] == CHANCE)
    assert (chance["verb_top1"], chance["object_top1"]) == pytest.approx((1 / 3, 1 / 2))


def test_what_was_named_before_a_run_ended_is_not_named_again(
    named: Artifact,
    models: dict[str, Artifact],
    kitchen: dict[str, Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts of two segments, of which an ended run has left the first."""
    monkeypatch.setattr(zero_shot, "PART_SEGMENTS", 2)
    out = Artifact(tmp_path / "out", "out")
    make(STAGE, kitchen | models, out, LocalExecutor())
    assert [p.name for p in out.parts] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    for method in (SUPERVISED, START, PRIOR, CROSS_MODAL):
        assert ranked(out, method) == ranked(named, method)
    first = out.parts[0].stat().st_mtime_ns
    out.parts[1].unlink()
    make(STAGE, kitchen | models, out, LocalExecutor())
    assert out.parts[0].stat().st_mtime_ns == first
    assert ranked(out, CROSS_MODAL) == ranked(named, CROSS_MODAL)


def test_segments_of_videos_without_clips_become_error_rows(models: dict[str, Artifact], tmp_path: Path) -> None:
    labels = [(v, 0.0, 4.5, "stir", "soup") for v in ("a", "b", "c", "d")]
    labels += [("b", 1.0, 2.25, "cut", "soup"), ("a", 0.0, 1.5, "cut", "soup")]
    videos = {"a": ("test", [1]), "b": ("test", []), "c": ("train", []), "d": ("dev", [])}
    out = Artifact(tmp_path / "out", "out")
    make(STAGE, world(tmp_path, labels, videos) | models, out, LocalExecutor())
    errors = out.errors()
    assert errors is not None
    assert errors["item"].to_pylist() == ["b, 0 to 4.5 s", "b, 1 to 2.25 s", "c, 0 to 4.5 s"]
    assert set(errors["reason"].to_pylist()) == {"its video has no clips"}
    assert [r["video_id"] for r in shown(out)] == ["a", "a"]


def test_without_labelled_training_videos_it_says_that_the_references_are_missing(
    models: dict[str, Artifact], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = world(tmp_path, [("a", 0.0, 4.5, "stir", "soup")], {"a": ("test", [1]), "b": ("train", [1])})
    out = Artifact(tmp_path / "out", "out")
    make(STAGE, inputs | models, out, LocalExecutor())
    assert {r["method"] for r in out.manifest["scores"]} == {CHANCE, START, PRIOR, CROSS_MODAL}
    assert "no labelled segment with clips lies in a training video" in capsys.readouterr().err


def segments(n: int, verbs: Sequence[str], words: int, length: int) -> list[LabelledSegment]:
    """Half of a segment's visual words are of its verb's own share of them."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n):
        verb = int(rng.integers(len(verbs)))
        own = rng.integers(words // len(verbs), size=length // 2) * len(verbs) + verb
        tokens = np.concatenate([own, rng.integers(words, size=length - len(own))]).astype(np.uint16)
        made.append(LabelledSegment("v", 0.0, 1.0, verbs[verb], "soup", "train", tokens))
    return made


def test_counts_of_visual_words_take_memory_for_the_words_that_occur() -> None:
    """Of 4,000 segments and 20,736 words all counts would be 660 MB."""
    many = segments(4000, "abc", 20736, 12)
    tracemalloc.start()
    counts = word_counts(many)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
    assert counts.sum() == 4000 * 12
    assert counts[7].max() == np.unique(many[7].tokens, return_counts=True)[1].max()


def test_counts_name_verbs_whether_they_are_sparse_or_not() -> None:
    known = segments(300, "abc", 60, 12)
    train, test = known[:200], known[200:]
    sparse, dense = (
        supervised(train, test, {"verb": "abc"}, counts)["verb"].argmax(1)
        for counts in (word_counts, lambda s: word_counts(s).toarray())
    )
    assert (sparse == dense).mean() > 0.97
    assert np.mean([s.verb == "abc"[i] for s, i in zip(test, sparse, strict=True)]) > 0.9


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
