from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.evaluate_run import EvaluateRun
from stages.text.retrieval.rank_documents import RUN_FILE, RankDocuments
from stages.text.retrieval.read_run import ReadRun
from stages.text.retrieval.schemas import FOLDS, QRELS, RUN, SCORES
from tests.case import artifact as written

FIRST = {"a": 3.0, "b": 2.0, "c": 1.0, "z": 0.5}
"""The first stage's scores, the same for both queries; z is not scored by the model."""
SENTENCES = {"a": [-1.0], "b": [1.0, 3.0, 2.0, 0.0], "c": [4.0, -1.0]}


def world(folder: Path, scored: bool = True) -> dict[str, Artifact]:
    """Query 1 in fold 0, query 2 in fold 1, scored by a model each. To both b is relevant, to query 2 only b."""
    run = [(q, d, r, s if scored else None) for q in "12" for r, (d, s) in enumerate(FIRST.items(), 1)]
    scores = [(d, i, s) for d, numbers in SENTENCES.items() for i, s in enumerate(numbers)]
    qrels = [("1", "b", 1), ("1", "c", 1), ("2", "b", 1)]
    return {
        "run": written(folder / "run", pa.table(list(zip(*run, strict=True)), schema=RUN)),
        "folds": written(folder / "folds", pa.table([["1", "2"], [0, 1]], schema=FOLDS)),
        "qrels": written(folder / "qrels", pa.table(list(zip(*qrels, strict=True)), schema=QRELS)),
        **{
            f"scores_{k}": written(
                folder / f"scores{k}", pa.table(list(zip(*((q, *s) for s in scores), strict=True)), schema=SCORES)
            )
            for k, q in enumerate("12")
        },
    }


def ranked(folder: Path, stage: RankDocuments, inputs: dict[str, Artifact]) -> tuple[dict[str, list], Artifact]:
    out = Artifact(folder / "ranking", "ranking")
    make(stage, inputs, out, LocalExecutor())
    found: dict[str, list] = {}
    for row in out.read().to_pylist():
        found.setdefault(row["query_id"], []).append((row["doc_id"], row["rank"], row["score"]))
    return found, out


def test_fusion_by_hand(tmp_path: Path) -> None:
    """a: .5 * 3 + .5 * (-1 - .5 - .25), its missing sentences the query's lowest; b: .5 * 2 + .5 * (3 + 1 + .25); c:
    .5 * 1 + .5 * (4 - .5 - .25). The unscored z comes last."""
    stage = RankDocuments(models=2, alphas=(0.5,), betas=(0.5,), gammas=(0.25,))
    found, out = ranked(tmp_path, stage, world(tmp_path))
    assert found["1"] == [("b", 1, 3.125), ("c", 2, 2.125), ("a", 3, 0.625), ("z", 4, -0.375)]
    assert found["2"] == found["1"]
    assert [w["fold"] for w in out.manifest["weights"]] == [0, 1]


def test_missing_sentences_of_the_reference(tmp_path: Path) -> None:
    stage = RankDocuments(models=2, alphas=(0.5,), betas=(0.5,), gammas=(0.25,), faithful=True)
    assert {d: s for d, _, s in ranked(tmp_path, stage, world(tmp_path))[0]["1"]}["a"] == 1.0


def test_reranking_is_the_best_passage_alone(tmp_path: Path) -> None:
    inputs = world(tmp_path, scored=False)
    del inputs["qrels"]
    found, _ = ranked(tmp_path, RankDocuments(models=2, sentences=1, alphas=(0.0,)), inputs)
    assert [d for d, _, _ in found["1"]] == ["c", "b", "a", "z"]


def test_weights_are_those_that_are_best_for_the_other_fold(tmp_path: Path) -> None:
    """By the best sentence c, b, a; with a second or third b, c, a. Query 2 wants b first: so fold 0, which is tuned on
    it, takes the first weights that do that. Query 1 wants b and c, in any order: fold 1 takes the first of all."""
    stage = RankDocuments(models=2, alphas=(0.0,), betas=(0.0, 1.0), gammas=(0.0, 1.0))
    found, out = ranked(tmp_path, stage, world(tmp_path))
    weights = {w["fold"]: (w["sentences"], w["train_AP"]) for w in out.manifest["weights"]}
    assert weights == {0: ([1.0, 0.0, 1.0], 1.0), 1: ([1.0, 0.0, 0.0], 1.0)}
    assert [d for d, _, _ in found["1"]] == ["b", "c", "a", "z"]
    assert [d for d, _, _ in found["2"]] == ["c", "b", "a", "z"]


def test_the_run_file_reads_back_and_measures_the_same(tmp_path: Path) -> None:
    inputs = world(tmp_path)
    _, out = ranked(tmp_path, RankDocuments(models=2, alphas=(0.3,), betas=(0.1,), gammas=(0.1,), name="me"), inputs)
    lines = (out.path / RUN_FILE).read_text().splitlines()
    assert lines[0].split()[:4] == ["1", "Q0", "c", "1"]
    assert lines[0].split()[5] == "me"
    again = Artifact(tmp_path / "again", "again")
    make(ReadRun(run_file=str(out.path / RUN_FILE)), {}, again, LocalExecutor())
    figures = []
    for number, run in enumerate((out, again)):
        measured = Artifact(tmp_path / f"figures{number}", "figures")
        make(
            EvaluateRun(measures=("AP@1000", "MRR@10")),
            {"run": run, "qrels": inputs["qrels"]},
            measured,
            LocalExecutor(),
        )
        figures.append(measured.manifest["metrics"])
    assert figures[0] == figures[1] == pytest.approx({"AP@1000": (1 + 0.5) / 2, "MRR@10": (1 + 0.5) / 2})


def test_candidates_without_scores_cannot_be_fused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no scores of a first stage"):
        ranked(tmp_path, RankDocuments(models=2), world(tmp_path, scored=False))


@pytest.mark.parametrize("field", ["alphas", "betas", "gammas"])
def test_weights_are_chosen_from_the_paper_s(field: str) -> None:
    stage = RankDocuments()
    assert getattr(stage, field) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert (stage.sentences, len(stage.weights)) == (3, 1000)


def test_one_fold_cannot_be_tuned(tmp_path: Path) -> None:
    inputs = world(tmp_path)
    inputs["folds"] = written(tmp_path / "one", pa.table([["1", "2"], [0, 0]], schema=FOLDS))
    with pytest.raises(UserError, match="deal the queries into 2 folds or more"):
        ranked(tmp_path, RankDocuments(models=2), inputs)


def test_inputs_follow_the_number_of_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs the input 'scores_1'"):
        RankDocuments(models=2).check_inputs({"run": "", "folds": "", "scores_0": ""})


@pytest.mark.parametrize("fields", [{"sentences": 4}, {"alphas": ()}, {"alphas": (2.0,)}, {"models": 0}])
def test_fields_out_of_range(fields: dict) -> None:
    with pytest.raises(UserError):
        RankDocuments(**fields)


def test_a_candidate_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    inputs = world(tmp_path)
    inputs["run"] = written(tmp_path / "twice", pa.concat_tables([inputs["run"].read()] * 2))
    found, _ = ranked(tmp_path, RankDocuments(models=2, sentences=1, alphas=(0.0,)), inputs)
    assert [d for d, _, _ in found["1"]] == ["c", "b", "a", "z"]
