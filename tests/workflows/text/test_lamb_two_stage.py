from __future__ import annotations

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from models.encoder import TaskModel
from models.lamb import LambForm
from models.schedules import share_of_peak
from models.tasks import MaskedLM, VideoText
from pipeline import Artifact, Graph, LocalExecutor, Store, run
from stages.encode import Encode
from stages.load_encoder import LoadEncoder
from stages.text.read_corpus import ReadCorpus
from stages.text.read_sentences import ReadSentences
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import lamb_two_stage
from workflows.text.lamb_two_stage import Sizes, in_two_stages

POSITIONS = "bert.embeddings.position_embeddings.weight"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The workflow with the preset's lengths and batches brought down to what a test can do."""
    folder = tmp_path_factory.mktemp("lamb")
    save_encoder(folder / "encoder")
    documents = [
        "stir the soup\nnow cut\nthe cafe now\nstir now the soup\ncut the soup now\nthe soup now\nstir the cafe soup\n"
    ] * 30
    (folder / "corpus.txt").write_text("\n".join(documents))
    tiny = {"small": (Sizes(12, 32, 10, 3e-2, 0.2, "linear"), Sizes(24, 16, 6, 1e-2, 0.5))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lamb_two_stage, "PRESETS", tiny)
        graph = lamb_two_stage.graph(
            str(folder / "corpus.txt"),
            preset="small",
            encoder=str(folder / "encoder"),
            corpus=ReadCorpus(texts="", dev_fraction=0.2),
            train=Train(task=MaskedLM(), optimizer="lamb", precision="float32", micro_batch_tokens=128),
        )
    return run(graph, Store(folder / "store"), LocalExecutor())


def curve(artifact: Artifact, name: str) -> list[float]:
    rows = pq.read_table(artifact.path / "loss.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name and r["split"] == "train"]


def test_the_second_stage_warms_up_again(artifacts: dict[str, Artifact]) -> None:
    first, second = (curve(artifacts[f"train-{name}"], "learning_rate") for name in ("short", "long"))
    assert first == pytest.approx([3e-2 * s for s in (0, 1 / 2, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8)])
    assert second == pytest.approx([1e-2 * s for s in (0, 1 / 3, 2 / 3, 1, (2 / 3) ** 0.5, (1 / 3) ** 0.5)])


def test_longer_positions_are_first_touched_in_the_second_stage(artifacts: dict[str, Artifact]) -> None:
    start, short, long = (
        load_file(artifacts[name].path / "model.safetensors")[POSITIONS]
        for name in ("encoder", "train-short", "train-long")
    )
    moved_first, moved_then = (start != short).any(1).nonzero(), (short != long).any(1).nonzero()
    assert moved_first.flatten().tolist() == list(range(12))
    assert moved_then.flatten().tolist() == list(range(24))


def test_the_second_stage_goes_on_from_the_first(artifacts: dict[str, Artifact]) -> None:
    losses = [curve(artifacts[f"train-{name}"], "loss") for name in ("short", "long")]
    assert losses[0][-1] < losses[0][0] - 0.3
    assert losses[1][0] < losses[0][0] - 0.3
    short = artifacts["train-short"]
    task = MaskedLM(max_length=24)
    kept = TaskModel.start(short.path, task, seed=9, keep_head=True).head.state_dict()
    saved = load_file(short.path / "head.safetensors")
    assert all((kept[name] == saved[name]).all() for name in saved)


def test_both_are_measured_on_the_same_examples(artifacts: dict[str, Artifact]) -> None:
    figures = [artifacts[f"evaluate-{name}"].manifest["metrics"] for name in ("short", "long")]
    assert all(f.keys() == {"word_accuracy", "word_perplexity", "next_sentence_accuracy"} for f in figures)
    assert figures[1]["word_perplexity"] < figures[0]["word_perplexity"]


@pytest.mark.parametrize("preset", ["survey", "paper"])
def test_presets_are_the_published_ones(preset: str) -> None:
    """The survey's and the paper's sequences; all else of NVIDIA's DeepLearningExamples, BERT phase 1 and 2."""
    graph = lamb_two_stage.graph("corpus.txt", preset=preset)
    short, long = graph["train-short"].stage, graph["train-long"].stage
    assert (short.task.max_length, long.task.max_length) == ({"survey": 256, "paper": 128}[preset], 512)
    assert (short.global_batch_size, short.steps, short.learning_rate, short.warmup) == (65_536, 7_038, 6e-3, 0.2843)
    assert (long.global_batch_size, long.steps, long.learning_rate, long.warmup) == (32_768, 1_563, 4e-3, 0.128)
    for stage in (short, long):
        assert stage.optimizer == "lamb"
        warm = int(stage.warmup * stage.steps)
        rates = [
            share_of_peak(stage.schedule, step, stage.steps, stage.warmup, stage.decay_power)
            for step in (0, warm // 2, warm, warm + (stage.steps - warm) * 3 // 4)
        ]
        assert rates == pytest.approx([0, 0.5, 1, 0.5], abs=2e-3)  # sqrt(1 - 3/4)


def test_the_small_preset_s_form_of_lamb_can_be_chosen() -> None:
    train = Train(task=MaskedLM(), optimizer="lamb", lamb=LambForm(debias=True))
    graph = lamb_two_stage.graph("corpus.txt", preset="small", train=train)
    stages = [graph[f"train-{name}"].stage for name in ("short", "long")]
    assert [(s.task.max_length, s.global_batch_size, s.steps) for s in stages] == [(32, 256, 60), (64, 128, 20)]
    assert all(stage.lamb.debias and stage.schedule == "linear" for stage in stages)


def test_videobert_in_two_stages() -> None:
    """Both stages read the same examples: their lengths are drawn."""
    g = Graph()
    g.add("encoder", LoadEncoder())
    g.add("segments", ReadSentences(texts="captions.txt"))
    g.add("examples", Encode(task=VideoText()), rows="segments", model="encoder")
    short = Train(task=VideoText(max_text=24, max_visual=16), optimizer="lamb", steps=9)
    in_two_stages(g, short, replace(short, task=VideoText(), steps=1), examples=("examples", "examples"))
    assert g["train-short"].inputs == {"model": "encoder", "examples": "examples"}
    assert g["train-long"].inputs == {"model": "train-short", "examples": "examples"}
