from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.schedules import share_of_peak
from models.tasks import ExtractiveSummary
from pipeline import Artifact, LocalExecutor, Store, UserError, run
from stages.predict import predict_file
from stages.train import Train
from tests.models.small_encoders import save_encoder
from workflows.text import bertsum

TASK = ExtractiveSummary(layer="linear", sentences=1, oracle_sentences=1, shortest=3, max_tokens=16, stride=8)
WANTED = "stir the cafe now"
SENTENCES = ("cut the soup", "the soup cut the cafe", WANTED, "cut the soup now")


def training(steps: int) -> Train:
    return Train(task=TASK, steps=steps, global_batch_size=8, learning_rate=1e-2, evaluate_every=steps)


def document(i: int) -> list[str]:
    """Four sentences from the ``i``-th on; the one to find is nowhere in particular."""
    return [SENTENCES[(i + k) % 4] for k in range(4)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tiny encoder trained for a few steps on shards, in which one document has no sentence and one no summary."""
    folder = tmp_path_factory.mktemp("bertsum")
    save_encoder(folder / "encoder", width=32)
    (folder / "shards").mkdir()
    for split, n in (("train", 24), ("valid", 4), ("test", 6)):
        made: list[dict[str, Any]] = [
            {"src": [s.split() for s in document(i)], "tgt": [WANTED.split()]} for i in range(n)
        ]
        made += [{"src": [], "tgt": []}, {"src": [["no", "summary", "here"]], "tgt": []}] if split == "train" else []
        (folder / "shards" / f"cooking.{split}.0.json").write_text(json.dumps(made))
    graph = bertsum.graph(shards=str(folder / "shards"), encoder=str(folder / "encoder"), train=training(25))
    return run(graph, Store(folder / "store"), LocalExecutor())


def test_from_shards_to_rouge(artifacts: dict[str, Artifact], capsys: pytest.CaptureFixture[str]) -> None:
    errors = [artifacts[name].errors() for name in ("rows", "examples")]
    assert [e and e["reason"].to_pylist() for e in errors] == [
        ["a document without sentences"],
        ["it has no summary to learn from"],
    ]
    figures = artifacts["evaluate-test"].manifest["metrics"]
    assert figures["oracle_rougeLsum"] == 1
    assert figures["rougeLsum"] > figures["lead_rougeLsum"], "it has learned which sentence is wanted"
    assert len(artifacts["predictions"].read()) == 6
    bertsum.report(artifacts)
    printed = capsys.readouterr().err
    assert "6 test documents" in printed
    assert f"{figures['lead_rouge1']:.4f}" in printed


def test_the_report_of_a_store_that_was_moved(
    artifacts: dict[str, Artifact], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bertsum.report(artifacts)
    figures = capsys.readouterr().err.split("\n\n")[0].splitlines()[:-1]
    store = artifacts["rows"].path.parent
    store.rename(tmp_path / "moved")
    try:
        bertsum.report({n: Artifact(tmp_path / "moved" / a.path.name, a.key) for n, a in artifacts.items()})
    finally:
        (tmp_path / "moved").rename(store)
    assert capsys.readouterr().err.splitlines()[: len(figures)] == figures


def test_new_documents_are_summarised(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    rows = [{"sentences": document(3)}, {"sentences": "\n".join(document(1))}, {"sentences": ["stir"]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
    *answers, error = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [a["summary"] for a in answers] == [[document(3)[a] for a in answers[0]["chosen"]], answers[1]["summary"]]
    assert all(len(a["summary"]) == len(a["probability"]) == 1 for a in answers)
    assert error == {"error": "row 3: none of its 1 sentences has 3 words or more"}


def test_a_small_set_is_tested_in_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_encoder(tmp_path / "encoder", width=32)
    for folder, text in (("article", "A headline\n"), ("summary", "")):
        (tmp_path / folder).mkdir()
        for i in range(6):
            sentences = document(i) if folder == "article" else [WANTED]
            (tmp_path / folder / f"{i}.txt").write_text(text + "\n".join(sentences))
    graph = bertsum.graph(
        articles=str(tmp_path / "article"),
        summaries=str(tmp_path / "summary"),
        headline=True,
        folds=3,
        encoder=str(tmp_path / "encoder"),
        train=training(1),
    )
    artifacts = run(graph, Store(tmp_path / "store"), LocalExecutor())
    tested = [id_ for k in range(3) for id_ in artifacts[f"fold-{k}-predictions"].read()["id"].to_pylist()]
    assert sorted(tested) == list("012345")
    bertsum.report(artifacts)
    assert "6 test documents" in capsys.readouterr().err


def test_what_to_read_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="either --shards or both"):
        bertsum.graph(articles="a")
    with pytest.raises(UserError, match="either --shards or both"):
        bertsum.graph(shards="s", articles="a", summaries="b")


def test_the_paper_s_rates_and_the_best_on_dev(tmp_path: Path) -> None:
    """2e-3 min(s^-0.5, s 10000^-1.5) at step s; the last weights where there is no dev split."""
    (tmp_path / "cnndm.train.0.json").touch()
    train = bertsum.graph(shards=str(tmp_path))["train"].stage
    assert isinstance(train, Train)
    assert (train.epsilon, train.select_by) == (1e-9, None)
    for step in (1, 5_000, 10_000, 50_000):
        rate = train.learning_rate * share_of_peak(train.schedule, step - 1, 50_000, train.warmup)
        assert rate == pytest.approx(2e-3 * min(step**-0.5, step * 10_000**-1.5))
    (tmp_path / "cnndm.valid.0.json").touch()
    assert bertsum.graph(shards=str(tmp_path))["train"].stage.select_by == "rougeLsum"  # type: ignore[attr-defined]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "1.txt").touch()
    files = {"articles": str(tmp_path), "summaries": str(tmp_path)}
    assert bertsum.graph(**files)["train"].stage.select_by == "rougeLsum"  # type: ignore[attr-defined, arg-type]
