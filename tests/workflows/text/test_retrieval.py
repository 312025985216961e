"""The two recipes of retrieval: their real graphs on small files and a tiny encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.schedules import share_of_peak
from models.tasks import ClassifyText, JudgeRelevance
from pipeline import Artifact, Graph, LocalExecutor, Store, UserError, run
from pipeline.graph import plan
from stages.predict import predict_file
from stages.text.retrieval.rank_documents import RUN_FILE
from stages.text.retrieval.run_file import write_run_file
from stages.text.retrieval.sample_pairs import SamplePairs
from stages.train import Train
from tests.models.small_encoders import save_encoder
from tests.stages.text.retrieval.tiny_collection import write_collection
from workflows.text import rerank, sentence_evidence
from workflows.text.finetune import spread
from workflows.text.retrieval import Collection, report

DISHES = ("leek", "onion", "bread", "pasta", "rice", "bean")
COOKS = ("stir", "cut")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    save_encoder(folder)
    return str(folder)


def cranfield(folder: Path) -> Collection:
    if not folder.joinpath("cran.all").is_file():
        write_collection(folder)
    files = {name: str(folder / file) for name, file in (("documents", "cran.all"), ("queries", "cran.qry"))}
    return Collection(**files, qrels=str(folder / "cranqrel"), folds=2, numbering="position", scale="cleverdon")


def shortened(g: Graph, **fields: object) -> Graph:
    for name, node in g.items():
        if name.startswith("train"):
            g[name] = replace(node, stage=replace(node.stage, precision="float32", **fields))
    return g


class TestMsMarco:
    """Triples, candidates and judgements as MS MARCO has them: the passage that names the query's dish is relevant."""

    @pytest.fixture(scope="class")
    def artifacts(self, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Artifact]:
        folder = tmp_path_factory.mktemp("marco")
        triples = [
            f"{dish}\t{cook} the {dish}\t{cook} the {other}"
            for dish in DISHES
            for other in DISHES
            for cook in COOKS
            if other != dish
        ]
        (folder / "triples.tsv").write_text("\n".join([*triples, "leek\tonly one"]) + "\n")
        candidates = [(q, p) for p in range(len(DISHES)) for q in range(len(DISHES))]
        (folder / "top1000.dev").write_text(
            "".join(f"{q}\t{100 + p}\t{DISHES[q]}\tnow stir the {DISHES[p]}\n" for q, p in candidates)
        )
        judged = [(q, 100 + q) for q in range(len(DISHES))] + [(77, 100), (88, 101)]
        (folder / "qrels.tsv").write_text("".join(f"{q}\t0\t{p}\t1\n" for q, p in judged))
        top1000 = str(folder / "top1000.dev")
        files = {"documents": top1000, "queries": top1000, "run_file": top1000, "qrels": str(folder / "qrels.tsv")}
        g = rerank.graph(
            Collection(**files, folds=1),
            triples=str(folder / "triples.tsv"),
            preset="collection",
            encoder=encoder,
        )
        shortened(g, steps=4)
        return run(g, Store(folder / "store"), LocalExecutor())

    def test_candidates_without_scores_are_not_fused(self, artifacts: Mapping[str, Artifact], encoder: str) -> None:
        """Said before anything runs, and not when all is scored."""
        fields = artifacts["run"].manifest["fields"], artifacts["qrels"].manifest["fields"]
        top1000 = fields[0]["run_file"]
        files = {"documents": top1000, "queries": top1000, "run_file": top1000, "qrels": fields[1]["qrels"]}
        with pytest.raises(UserError, match=r"have no scores of a first stage: give alphas \[0\]"):
            sentence_evidence.graph(Collection(**files), pairs="pairs.tsv", encoder=encoder)
        alone = replace(sentence_evidence.RANKING, alphas=(0.0,))
        g = sentence_evidence.graph(Collection(**files), pairs="pairs.tsv", ranking=alone, encoder=encoder)
        assert "evaluate-first" not in g

    def test_a_triple_with_a_missing_column_is_one_error_row(self, artifacts: Mapping[str, Artifact]) -> None:
        errors = artifacts["pairs"].errors()
        assert errors is not None
        assert errors["item"].to_pylist() == [f"triples.tsv:{len(DISHES) * (len(DISHES) - 1) * len(COOKS) + 1}"]
        assert artifacts["pairs"].rows() == 2 * len(DISHES) * (len(DISHES) - 1) * len(COOKS)

    def test_all_candidates_are_ranked_and_all_judged_queries_count(self, artifacts: Mapping[str, Artifact]) -> None:
        manifest = artifacts["evaluate"].manifest
        assert artifacts["ranking"].rows() == len(DISHES) ** 2
        assert (manifest["queries"], manifest["queries_not_in_run"]) == (len(DISHES) + 2, 2)
        ranked = artifacts["ranking"].read().to_pylist()
        found = [1 / r["rank"] for r in ranked if int(r["doc_id"]) == 100 + int(r["query_id"])]
        assert len(found) == len(DISHES)
        assert manifest["metrics"]["MRR@10"] == pytest.approx(sum(found) / (len(DISHES) + 2))
        assert "evaluate-first" not in artifacts
        assert len((artifacts["ranking"].path / RUN_FILE).read_text().splitlines()) == len(DISHES) ** 2

    def test_new_pairs_are_judged(self, artifacts: Mapping[str, Artifact], tmp_path: Path) -> None:
        rows = [{"query": "leek", "text": "cut the leek"}, {"query": "leek", "text": " "}]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        predict_file(artifacts["train"].path, tmp_path / "rows.jsonl", tmp_path / "out.jsonl")
        first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
        assert first["text"] == "cut the leek"
        assert 0 <= first["probability"] <= 1
        assert "has no wordpiece" in second["error"]


class TestFolds:
    @pytest.fixture(scope="class")
    def artifacts(self, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Artifact]:
        folder = tmp_path_factory.mktemp("cranfield")
        g = sentence_evidence.graph(cranfield(folder), encoder=encoder, sample=SamplePairs(negatives=1))
        return run(shortened(g, steps=2), Store(folder / "store"), LocalExecutor())

    def test_bad_rows_are_one_error_row_each(self, artifacts: Mapping[str, Artifact]) -> None:
        found = {
            name: errors["item"].to_pylist() for name, a in artifacts.items() if (errors := a.errors()) is not None
        }
        assert found == {
            "documents": ["cran.all:28"],
            "sentences": ["6"],
            "qrels": ["cranqrel:7"],
            "run": ["4"],
        }

    def test_a_query_is_ranked_by_the_model_that_was_not_trained_on_it(self, artifacts: Mapping[str, Artifact]) -> None:
        folds = dict(zip(*artifacts["folds"].read().to_pydict().values(), strict=True))
        for fold in range(2):
            trained = set(artifacts[f"pairs-{fold}"].read()["query_id"].to_pylist())
            scored = set(artifacts[f"scores-{fold}"].read()["query_id"].to_pylist())
            assert {folds[q] for q in scored} <= {fold}
            assert {folds[q] for q in trained} <= {1 - fold}

    def test_both_rankings_are_measured_on_all_judged_queries(
        self, artifacts: Mapping[str, Artifact], capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, last = (artifacts[name].manifest for name in ("evaluate-first", "evaluate"))
        assert first["queries"] == last["queries"] == 3
        assert first["metrics"]["AP@1000"] > 0.9
        assert {w["fold"] for w in artifacts["ranking"].manifest["weights"]} == {0, 1}
        report(artifacts)
        assert "first stage" in capsys.readouterr().err

    def test_another_run_of_weights_does_not_score_again(self, artifacts: Mapping[str, Artifact]) -> None:
        folder = artifacts["documents"].path.parents[1]
        ranking = replace(sentence_evidence.RANKING, faithful=True)
        g = sentence_evidence.graph(
            cranfield(folder),
            encoder=str(artifacts["encoder"].manifest["encoder"]["name"]),
            sample=SamplePairs(negatives=1),
            ranking=ranking,
        )
        again = run(shortened(g, steps=2), Store(folder / "store"), LocalExecutor())
        assert again["scores-0"].path == artifacts["scores-0"].path
        assert again["ranking"].path != artifacts["ranking"].path


def test_pairs_of_short_texts_make_one_model_for_all_folds(encoder: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("query\ttext\tlabel\nleek\tcut the leek\t1\nleek\tbake bread\t0\n")
    collection = cranfield(tmp_path / "cran")
    pairs = str(tmp_path / "pairs.tsv")
    store = Store(tmp_path / "store")
    first = rerank.graph(collection, triples=pairs, preset="collection", encoder=encoder)
    bm25 = run(first, store, LocalExecutor(), only=["evaluate-first"])
    write_run_file(tmp_path / "bm25.run", bm25["run"].read(), "bm25")
    brought = replace(collection, run_file=str(tmp_path / "bm25.run"))
    artifacts = run(
        shortened(sentence_evidence.graph(brought, pairs=pairs, encoder=encoder), steps=1), store, LocalExecutor()
    )
    figures = [a["evaluate-first"].manifest["metrics"] for a in (bm25, artifacts)]
    assert figures[0] == figures[1]
    assert artifacts["ranking"].rows() == bm25["run"].rows()
    assert "train-0" not in artifacts


def test_re_ranking_learns_which_passage_is_wanted(encoder: str, tmp_path: Path) -> None:
    """Whatever the dish, to stir it answers the query and to cut it does not."""
    triples = [f"{dish}\tstir the {dish}\tcut the {dish}" for dish in DISHES]
    (tmp_path / "triples.tsv").write_text("\n".join(triples * 4) + "\n")
    passages = {100 + p: f"{'stir' if p == 2 else 'cut'} the {dish}" for p, dish in enumerate(DISHES)}
    (tmp_path / "top1000.dev").write_text(
        "".join(f"{q}\t{p}\t{dish}\t{text}\n" for q, dish in enumerate(DISHES) for p, text in passages.items())
    )
    (tmp_path / "qrels.tsv").write_text("".join(f"{q}\t0\t102\t1\n" for q in range(len(DISHES))))
    top1000 = str(tmp_path / "top1000.dev")
    files = {"documents": top1000, "queries": top1000, "run_file": top1000, "qrels": str(tmp_path / "qrels.tsv")}
    g = rerank.graph(
        Collection(**files, folds=1), triples=str(tmp_path / "triples.tsv"), preset="collection", encoder=encoder
    )
    artifacts = run(
        shortened(g, steps=30, learning_rate=1e-2), Store(tmp_path / "store"), LocalExecutor(), only=["evaluate"]
    )
    assert artifacts["evaluate"].manifest["metrics"]["MRR@10"] == 1


def test_another_number_of_folds_scores_nothing_again_where_there_is_one_model(encoder: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("query\ttext\tlabel\nleek\tcut the leek\t1\n")
    store, keys = Store(tmp_path / "store"), []
    for folds in (2, 3):
        collection = replace(cranfield(tmp_path), folds=folds)
        g = sentence_evidence.graph(collection, pairs=str(tmp_path / "pairs.tsv"), encoder=encoder)
        keys.append({name: artifact.key for name, artifact in plan(g, store).items()})
    assert {name for name, key in keys[0].items() if keys[1][name] != key} == {"folds", "ranking", "evaluate"}


def test_seeds_share_all_but_training_and_what_follows_it(
    encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    g = rerank.graph(cranfield(tmp_path), preset="collection", encoder=encoder, seeds=2)
    assert g["scores-1-0"].inputs["model"] == "train-1-0"
    assert g["train-1-0"].inputs == {"model": "encoder", "examples": "examples-1"}
    assert {n: g["ranking-1"].inputs[n] for n in ("scores_0", "scores_1")} == {
        "scores_0": "scores-0-1",
        "scores_1": "scores-1-1",
    }
    assert [g[f"train-{fold}-{seed}"].stage.seed for seed in (0, 1) for fold in (0, 1)] == [0, 0, 1, 1]  # type: ignore[attr-defined]
    artifacts = run(shortened(g, steps=1), Store(tmp_path / "store"), LocalExecutor())
    capsys.readouterr()
    report(artifacts)
    printed = capsys.readouterr().err
    assert "mean ± standard deviation of 2 seeds" in printed
    found = [artifacts[f"evaluate-{seed}"].manifest["metrics"]["AP@1000"] for seed in (0, 1)]
    assert f"{artifacts['evaluate-first'].manifest['metrics']['AP@1000']:.4f}  {spread(found)}" in printed
    with pytest.raises(UserError, match="seeds must be at least 1"):
        rerank.graph(cranfield(tmp_path), encoder=encoder, seeds=0)


@pytest.mark.parametrize(
    ("preset", "batch", "peak", "steps", "warmup"),
    [("readme", 128, 3e-6, 100_000, 10_000), ("script", 32, 1e-6, 400_000, 40_000)],
)
def test_the_two_presets_of_re_ranking(preset: Any, batch: int, peak: float, steps: int, warmup: int) -> None:
    """README and defaults of nyu-dl/dl4marco-bert: up to the peak over a tenth of the steps, then down to 0."""
    train = rerank.PRESETS[preset]
    assert (train.global_batch_size, train.steps, train.optimizer) == (batch, steps, "bert_adam")
    rates = [
        train.learning_rate * share_of_peak(train.schedule, step - 1, steps, train.warmup)
        for step in (warmup // 2, warmup, (steps + warmup) // 2)
    ]
    assert rates == pytest.approx([peak / 2, peak, peak / 2], rel=1e-3)


@pytest.mark.parametrize("workflow", [rerank, sentence_evidence])
def test_of_every_query_1000_candidates_are_scored(workflow: Any, encoder: str, tmp_path: Path) -> None:
    g = workflow.graph(cranfield(tmp_path), "pairs.tsv", encoder=encoder)
    assert [g[name].stage.depth for name in ("run", "scores")] == [1000, 1000]


def test_sentence_evidence_is_trained_as_in_the_paper(encoder: str, tmp_path: Path) -> None:
    """castorini/birch: the raw logit is the score, weights are those with the best mean average precision on dev."""
    train: Any = sentence_evidence.graph(cranfield(tmp_path), "pairs.tsv", "dev.tsv", encoder=encoder)["train"].stage
    found = train.task.score, train.epochs, train.global_batch_size, train.learning_rate, train.warmup, train.select_by
    assert found == ("logit", 3, 16, 1e-5, 0.1, "AP")


def test_what_is_changed_of_a_preset_holds_in_training_and_scoring(encoder: str, tmp_path: Path) -> None:
    task = JudgeRelevance(max_tokens=128)
    changed = {"epochs": 1.5, "global_batch_size": 16, "learning_rate": 2e-4, "task": task}
    g = rerank.graph(cranfield(tmp_path), triples="t.tsv", encoder=encoder, **changed)
    assert g["train"].stage == replace(rerank.PRESETS["readme"], steps=None, **changed)
    assert [g[name].stage.task for name in ("examples", "scores")] == [task, task]  # type: ignore[attr-defined]


def test_the_scores_are_of_the_task_that_was_trained(encoder: str, tmp_path: Path) -> None:
    task = JudgeRelevance(score="log_probability", max_tokens=64)
    g = sentence_evidence.graph(
        cranfield(tmp_path), pairs="pairs.tsv", train=Train(task=task, steps=1), encoder=encoder
    )
    assert [g[name].stage.task for name in ("examples", "train", "scores")] == [task] * 3  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the task ClassifyText does not score texts by a query"):
        sentence_evidence.graph(
            cranfield(tmp_path), pairs="pairs.tsv", train=Train(task=ClassifyText()), encoder=encoder
        )


def test_questions_as_pairs(encoder: str, tmp_path: Path) -> None:
    g = sentence_evidence.graph(cranfield(tmp_path), pairs="train.json", encoder=encoder)
    assert g["pairs"].inputs == {"questions": "questions"}


class TestWatched:
    def test_on_the_next_fold_the_best_by_ap_is_kept(self, encoder: str, tmp_path: Path) -> None:
        """Three folds: the model for each is trained on one of the others and watched on the other."""
        collection = replace(cranfield(tmp_path), folds=3)
        g = sentence_evidence.graph(collection, encoder=encoder, watch_fold=True)
        names = ["pairs-0", "pairs-1", "pairs-2", "train-2"]
        artifacts = run(shortened(g, steps=2), Store(tmp_path / "store"), LocalExecutor(), only=names)
        folds = dict(zip(*artifacts["folds"].read().to_pydict().values(), strict=True))
        for fold in range(3):
            rows = artifacts[f"pairs-{fold}"].read().to_pylist()
            assert {folds[r["query_id"]] for r in rows if r["split"] == "dev"} <= {(fold + 1) % 3}
            assert {folds[r["query_id"]] for r in rows if r["split"] == "train"} <= {(fold + 2) % 3}
        assert {r["split"] for r in artifacts["pairs-2"].read().to_pylist()} == {"train", "dev"}
        assert 0 < artifacts["train-2"].manifest["metrics"]["AP"] <= 1
        assert artifacts["train-2"].manifest["fields"]["select_by"] == "AP"

    def test_on_pairs_of_its_own(self, encoder: str, tmp_path: Path) -> None:
        g = sentence_evidence.graph(cranfield(tmp_path), pairs="train.json", dev="dev.json", encoder=encoder)
        assert (g["questions"].stage.dev, g["train"].stage.select_by) == ("dev.json", "AP")  # type: ignore[attr-defined]
        g = sentence_evidence.graph(cranfield(tmp_path), pairs="train.tsv", dev="dev.tsv", encoder=encoder)
        assert g["pairs"].stage.dev == "dev.tsv"  # type: ignore[attr-defined]

    @pytest.mark.parametrize("given", [{"triples": "t.tsv", "dev": "dev.tsv"}, {"watch_fold": True}])
    def test_re_ranking_keeps_the_best_by_reciprocal_rank(self, encoder: str, tmp_path: Path, given: Any) -> None:
        g = rerank.graph(replace(cranfield(tmp_path), folds=3), encoder=encoder, **given)
        trained = [node.stage.select_by for name, node in g.items() if name.startswith("train")]  # type: ignore[attr-defined]
        assert set(trained) == {"MRR@10"}
        unwatched = rerank.graph(cranfield(tmp_path), triples="t.tsv", encoder=encoder)
        assert unwatched["train"].stage.select_by is None  # type: ignore[attr-defined]

    def test_what_cannot_be_watched_is_refused(self, encoder: str, tmp_path: Path) -> None:
        collection = cranfield(tmp_path)
        with pytest.raises(UserError, match="watch_fold needs 3 folds"):
            rerank.graph(collection, watch_fold=True, encoder=encoder)
        with pytest.raises(UserError, match="neither hold_out nor dev_fold"):
            sentence_evidence.graph(collection, sample=SamplePairs(dev_fold=1), encoder=encoder)
        for wrong in ({"dev": "dev.tsv"}, {"triples": "t.tsv", "watch_fold": True}):
            with pytest.raises(UserError, match="training pairs are watched with dev"):
                rerank.graph(collection, encoder=encoder, **wrong)  # type: ignore[arg-type]


def test_folds_without_others_are_refused(encoder: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give training pairs, or 2 folds or more"):
        rerank.graph(replace(cranfield(tmp_path), folds=1), encoder=encoder)
    with pytest.raises(UserError, match="weights are chosen on the other folds: give 2 folds or more"):
        sentence_evidence.graph(replace(cranfield(tmp_path), folds=1), pairs="pairs.tsv", encoder=encoder)
