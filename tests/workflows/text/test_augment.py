from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.tasks import ClassifyText, ConditionalLM, MaskedLM
from pipeline import Artifact, LocalExecutor, Store, UserError, run
from pipeline.store import write_json
from stages.predict import predict_file
from stages.text.flip_style import FlipStyle
from stages.text.read_table import ReadTable
from stages.text.start_word_encoder import StartWordEncoder
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import augment

LABELLED = (("stir the soup now", "good"), ("cut the soup now", "bad"))
"""Only the label tells which word is hidden at the beginning."""


def training(task: ClassifyText | ConditionalLM | MaskedLM, steps: int, rate: float = 1e-2) -> Train:
    by = "accuracy" if isinstance(task, ClassifyText) else None
    return Train(task=task, steps=steps, global_batch_size=16, learning_rate=rate, evaluate_every=steps, select_by=by)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Everything, on two kinds of sentences, one row of them without a label and one without a word."""
    folder = tmp_path_factory.mktemp("augment")
    save_encoder(folder / "encoder", width=32)
    (folder / "plain.txt").write_text("stir the soup now\ncut the soup\n\n" * 8)
    for split, n in (("train", 20), ("dev", 3), ("test", 4)):
        lines = [f"{text}\t{label}" for text, label in LABELLED * n]
        lines += ["soup\t", "?!\tgood"] if split == "train" else []
        (folder / f"{split}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    files = {split: str(folder / f"{split}.tsv") for split in ("train", "dev", "test")}
    graph = augment.graph(
        ReadTable(**files),
        share=0.5,
        encoder=str(folder / "encoder"),
        texts=str(folder / "plain.txt"),
        classifiers=("cnn", "bert"),
        conditional=training(ConditionalLM(), 400, rate=5e-3),
        bert=training(ClassifyText(), 5),
        words=training(ClassifyText(), 2),
        start=StartWordEncoder(width=12),
        pretrain=training(MaskedLM(max_length=16, next_sentence=False), 2, rate=1e-3),
        flip=FlipStyle(share=0.3),
    )
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_every_classifier_is_trained_without_and_with_new_sentences(
    artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]
) -> None:
    assert artifacts["rows"].errors()["item"].to_pylist() == ["train.tsv:42"]
    old, new = artifacts["rows-0"].read(), artifacts["rows-0-new-0"].read()
    training_rows = old["split"].to_pylist().count("train")
    assert training_rows == 20 + old["text"].to_pylist().count("?!")
    assert new.num_rows == 20
    assert set(new["split"].to_pylist()) == {"train"}
    assert artifacts["examples-0-new-0"].rows() == artifacts["examples-0"].rows() + 20
    for kind in ("cnn", "bert"):
        for name in (f"{kind}-0-old-0-test", f"{kind}-0-new-0-test"):
            assert artifacts[name].manifest["metrics"].keys() >= {"accuracy", "macro_f1"}
    augment.report(artifacts)
    printed = capsys.readouterr().err
    assert [word in printed for word in ("without", "with", "gain", "cnn", "bert", "rnn")] == [True] * 5 + [False]


def test_sentences_are_flipped(artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]) -> None:
    flipped = artifacts["flip-0"]
    rows = flipped.read().to_pylist()
    assert len(rows) == 8
    assert all(row["target"] != row["label"] and row["kept"] == 0.75 for row in rows)
    assert flipped.manifest["figures"].keys() == {"before", "after", "judge_before", "judge_after", "kept"}
    assert flipped.manifest["figures"]["before"] == artifacts["bert-0-old-0-test"].manifest["metrics"]["accuracy"]
    augment.report(artifacts)
    printed = " ".join(capsys.readouterr().err.split())
    assert f"kept {flipped.manifest['figures']['kept']:.4f}" in printed
    assert " ".join(rows[0][column] for column in ("target", "original", "text")) in printed


def test_a_hidden_word_goes_by_the_label(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [{"text": "[MASK] the soup now", "label": label} for label in ("good", "bad", "great")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_file(artifacts["conditional-0-new-0"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    *answers, error = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [answer["masks"][0][0]["word"] for answer in answers] == ["stir", "cut"]
    assert error == {"error": "row 3: the label 'great' is none of bad, good"}


def test_a_cnn_answers_new_rows_as_bert_does(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "stir the soup"}\n')
    for kind in ("cnn", "bert"):
        predict_file(artifacts[f"{kind}-0-old-0"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
        assert json.loads((tmp_path / "out.jsonl").read_text())["predicted"] in ("good", "bad")


def test_a_round_goes_on_from_the_round_before() -> None:
    graph = augment.graph(ReadTable(train="train.tsv", dev="dev.tsv"), classifiers=("rnn",), rounds=2, seeds=2)
    assert graph["conditional-1-new-0"].inputs == {"model": "encoder", "examples": "masked-1"}
    assert graph["conditional-1-new-1"].inputs["model"] == "conditional-1-new-0"
    assert graph["rows-1-new-1"].inputs == {"rows": "rows-1", "model": "conditional-1-new-1"}
    assert graph["rnn-1-new-1"].inputs == {"model": "start-rnn-1", "examples": "examples-1-new-1"}
    assert graph["rnn-1-old-1"].inputs == {"model": "start-rnn-1", "examples": "examples-1"}


@pytest.mark.parametrize(
    ("node", "batch", "rate", "epochs", "patience"),
    [
        ("conditional-0-new-0", 32, 5e-5, 10, None),
        ("cnn-0-new-0", 64, 1e-4, 100, 20),
        ("rnn-0-old-0", 64, 1e-4, 100, 20),
    ],
)
def test_training_is_as_the_authors_train(
    node: str, batch: int, rate: float, epochs: int, patience: int | None
) -> None:
    train: Any = augment.graph(ReadTable(train="train.tsv", dev="dev.tsv"))[node].stage
    found = train.global_batch_size, train.learning_rate, train.epochs, train.patience
    assert found == (batch, rate, epochs, patience)


def test_every_round_draws_other_masks_and_other_words() -> None:
    """Masks and order of training follow from its seed and a position alone: of one seed all rounds would be alike."""
    graph = augment.graph(ReadTable(train="train.tsv", dev="dev.tsv"), classifiers=("rnn",), rounds=2, seeds=2)
    for node in ("conditional", "rows"):
        seeds = {graph[f"{node}-{i}-new-{r}"].stage.seed for i in range(2) for r in range(2)}  # type: ignore[attr-defined]
        assert len(seeds) == 4


def test_the_best_of_the_rounds_counts_without_new_sentences_as_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dev and test accuracies by round; one figure is chosen by the other. New sentences gain .03 here."""
    measured = {"old": [(0.7, 0.60), (0.8, 0.72)], "new": [(0.9, 0.75), (0.6, 0.80)]}
    artifacts = {}
    for arm, rounds in measured.items():
        for number, accuracies in enumerate(rounds):
            for name, accuracy in zip((f"cnn-0-{arm}-{number}", f"cnn-0-{arm}-{number}-test"), accuracies, strict=True):
                (tmp_path / name).mkdir()
                manifest = {"metrics": {"accuracy": accuracy}, "key": name, "stage": "Train"}
                write_json(tmp_path / name / "manifest.json", manifest)
                artifacts[name] = Artifact(tmp_path / name, name)
    assert augment.accuracies(artifacts, "cnn", 0) == (0.72, 0.75)
    assert augment.accuracies(artifacts, "cnn", 1) is None
    augment.report(artifacts)
    assert capsys.readouterr().err.split()[-4:] == ["cnn", "0.7200", "0.7500", "0.0300"]


def test_what_cannot_be_done_is_said_at_once() -> None:
    table = ReadTable(train="train.tsv", dev="dev.tsv")
    with pytest.raises(UserError, match=r"--table\.dev is needed"):
        augment.graph(ReadTable(train="train.tsv"))
    with pytest.raises(UserError, match="rounds and seeds"):
        augment.graph(table, rounds=0)
    with pytest.raises(UserError, match="needs bert among the classifiers"):
        augment.graph(table, classifiers=("cnn",), flip=FlipStyle())
