"""UDify's real graph on a toy treebank and a tiny encoder: it learns the language, and nothing of the files is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from models.conllu import annotate, bare, parse
from models.schedules import share_of_peak
from models.tasks import ParseDependencies
from pipeline import Artifact, LocalExecutor, Store, run
from stages.predict import predict_file
from stages.text.plot_layer_weights import PICTURE
from tests.models.small_encoders import save_encoder
from tests.stages.text.small_treebank import sentence, write_treebank
from workflows.text import udify

TASK = ParseDependencies(arc_width=16, label_width=8, dropout=0.0, word_dropout=0.05, max_tokens=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("udify")


@pytest.fixture(scope="module")
def artifacts(folder: Path) -> Mapping[str, Artifact]:
    save_encoder(folder / "encoder", width=32)
    write_treebank(folder / "toy-ud-train.conllu", 0, 60)
    write_treebank(folder / "toy-ud-dev.conllu", 60, 66)
    test = write_treebank(folder / "toy-ud-test.conllu", 66, 78)
    test.write_text(test.read_text() + "1\tbad line\n\n" + bare(["Cats", "cut", "soup"]) + "\n\n")
    write_treebank(folder / "other-ud-test.conllu", 78, 80)
    graph = udify.graph(
        train_files=str(folder / "*-ud-train.conllu"),
        dev_files=str(folder / "toy-ud-dev.conllu"),
        test_files=str(folder / "*-ud-test.conllu"),
        encoder=str(folder / "encoder"),
        preset="small",
        task=TASK,
    )
    short = {"steps": 60, "global_batch_size": 16, "learning_rate": 4e-3, "head_rate": 2.0, "warmup": 0.1}
    stage = replace(graph["train"].stage, **short, evaluate_every=30, precision="float32")
    graph["train"] = replace(graph["train"], stage=stage)
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_it_learns_the_toy_language(artifacts: Mapping[str, Artifact]) -> None:
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert figures["UPOS"] > 0.95
    assert figures["Lemmas"] > 0.9
    assert figures["LAS"] > 0.9
    assert {"mean/LAS", "toy/LAS", "other/LAS"} <= figures.keys()


def test_a_bad_sentence_is_an_error_row_and_the_others_are_parsed(
    artifacts: Mapping[str, Artifact], folder: Path
) -> None:
    errors = artifacts["rows"].errors()
    assert errors is not None
    line = (folder / "toy-ud-test.conllu").read_text().split("\n").index("1\tbad line") + 1
    assert errors["item"].to_pylist() == [f"toy-ud-test.conllu:{line}"]
    assert artifacts["predictions"].rows() == 12 + 1 + 2


def test_the_files_come_back_with_everything_that_is_not_predicted(artifacts: Mapping[str, Artifact]) -> None:
    text = (artifacts["conllu"].path / "toy-ud-test.conllu").read_text()
    found = text.removesuffix("\n\n").split("\n\n")
    for i, parsed in zip(range(66, 78), found, strict=False):
        gold = parse(sentence(i))
        restored = annotate(parsed, gold.lemmas, gold.upos, gold.feats, gold.heads, gold.deprels)
        assert restored == sentence(i)
    assert parse(found[-1]).heads.count(0) == 1  # of the sentence that had no tree


def test_weights_of_layers_are_drawn(artifacts: Mapping[str, Artifact]) -> None:
    assert (artifacts["layers"].path / PICTURE).is_file()


def test_new_sentences_are_parsed_from_the_command_line(artifacts: Mapping[str, Artifact], folder: Path) -> None:
    long = ["Mice", "saw", "soup"] * 8
    rows = [{"words": ["Mice", "cut", "soup", "."]}, {"words": "Cats saw knives"}, {"words": []}, {"words": long}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    predict_file(artifacts["train"].path, folder / "rows.jsonl", folder / "answers.jsonl")
    answers = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert answers[0]["upos"] == ["NOUN", "VERB", "NOUN", "PUNCT"]
    assert answers[0]["heads"] == [2, 0, 2, 2]
    assert answers[0]["lemmas"] == ["mouse", "cut", "soup", "."]
    assert parse(answers[1]["conllu"]).lemmas == answers[1]["lemmas"]
    assert answers[2]["error"].startswith('row 3: give "words"')
    assert len(answers[3]["heads"]) == len(long)


def test_the_rates_of_the_reference_after_its_first_epoch() -> None:
    """Of step s: 5 min(s^-0.5, s 29695^-1.5) times 4e-5 for the encoder and 1e-3 for the head, which before is flat."""
    train = udify.PRESETS["reference"]
    assert (train.head_first, train.head_first_rate) == (1.0, 1e-3)
    for step in (1, 10_000, 29_695, 500_000, 79 * 21_695):
        rate = train.learning_rate * share_of_peak(train.schedule, step - 1, 79 * 21_695, train.warmup)
        times = 5 * min(step**-0.5, step * 29_695**-1.5)
        assert rate == pytest.approx(4e-5 * times, rel=1e-3)
        assert rate * train.head_rate == pytest.approx(1e-3 * times, rel=1e-3)


def test_the_rates_of_the_paper_are_their_peaks() -> None:
    train = udify.PRESETS["paper"]
    rates = [train.learning_rate * share_of_peak(train.schedule, s, 79 * 21_695, train.warmup) for s in (3_999, 7_999)]
    assert rates == pytest.approx([2.5e-5, 5e-5], rel=1e-3)
    assert rates[1] * train.head_rate == pytest.approx(1e-3, rel=1e-3)


def test_the_other_settings_are_as_the_reference_says() -> None:
    for name, epochs in (("reference", 80), ("paper", 80), ("small", 10)):
        train = udify.PRESETS[name]
        assert (train.optimizer, train.beta2, train.weight_decay, train.clip_norm) == ("bert_adam", 0.99, 0.01, 5.0)
        assert (train.schedule, train.global_batch_size, train.epochs) == ("inverse_square_root", 32, epochs)
