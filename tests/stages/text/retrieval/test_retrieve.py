from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.retrieval.index_documents import IndexDocuments
from stages.text.retrieval.retrieve import Retrieve
from stages.text.retrieval.schemas import DOCUMENTS, QUERIES
from tests.case import artifact as written

TEXTS = {
    "a": "leek leek soup",
    "b": "onion soup",
    "c": "onion soup",
    "d": "cutting bread and baking bread",
    "e": "baked potatoes",
    "f": "the of and",
}
MANY = {**TEXTS, **{f"x{i}": f"other{i} words{i}" for i in range(60)}}


def index(folder: Path, stage: IndexDocuments, texts: Mapping[str, str]) -> Artifact:
    table = pa.table([list(texts), [None] * len(texts), list(texts.values())], schema=DOCUMENTS)
    out = Artifact(folder / "index", "index")
    make(stage, {"documents": written(folder / "documents", table)}, out, LocalExecutor())
    return out


def retrieve(
    folder: Path,
    *queries: str,
    stage: Retrieve = Retrieve(),
    indexed: IndexDocuments = IndexDocuments(),
    texts: Mapping[str, str] = TEXTS,
) -> Artifact:
    table = pa.table([[str(i) for i in range(len(queries))], list(queries), [0] * len(queries)], schema=QUERIES)
    inputs = {"queries": written(folder / "queries", table, parts=1), "index": index(folder, indexed, texts)}
    out = Artifact(folder / "run", "run")
    make(stage, inputs, out, LocalExecutor())
    return out


def ranking(run: Artifact, query: str = "0") -> list[tuple[str, float]]:
    return [(r["doc_id"], r["score"]) for r in run.read().to_pylist() if r["query_id"] == query]


def test_lucenes_bm25_by_hand(tmp_path: Path) -> None:
    """Lengths without stop words: 3, 2, 2, 4, 2, 0; mean 13/6. "leek" is in one of six documents, "soup" in three."""
    ((doc_id, score), *others) = ranking(retrieve(tmp_path, "leek soup", indexed=IndexDocuments(k1=1.2, b=0.5)))
    idf = {n: math.log(1 + (6 - n + 0.5) / (n + 0.5)) for n in (1, 3)}
    norm = {length: 1.2 * (1 - 0.5 + 0.5 * length / (13 / 6)) for length in (2, 3)}
    assert doc_id == "a"
    assert score == pytest.approx(idf[1] * 2 / (2 + norm[3]) + idf[3] * 1 / (1 + norm[3]), rel=1e-5)
    assert others == [(name, pytest.approx(idf[3] * 1 / (1 + norm[2]), rel=1e-5)) for name in ("c", "b")]


def test_ties_are_ranked_as_trec_eval_ranks_them(tmp_path: Path) -> None:
    run = retrieve(tmp_path, "onions", stage=Retrieve(depth=1))
    assert [r["doc_id"] for r in run.read().to_pylist()] == ["c"]


def test_words_are_stemmed_and_stop_words_left_out(tmp_path: Path) -> None:
    run = retrieve(tmp_path, "how to bake the bread", stage=Retrieve(queries_per_part=1))
    assert [d for d, _ in ranking(run)] == ["d", "e"]
    assert run.read()["rank"].to_pylist() == [1, 2]
    plain = retrieve(tmp_path / "plain", "the leek", indexed=IndexDocuments(stemmer="none", stop_words=False))
    assert [d for d, _ in ranking(plain)] == ["a", "f"]


def test_a_query_of_unknown_words_is_an_error_row(tmp_path: Path) -> None:
    run = retrieve(tmp_path, "zzz", "leek")
    errors = run.errors()
    assert errors is not None
    assert errors.to_pylist()[0] | {"part": 0, "stage": ""} == {
        "item": "0",
        "part": 0,
        "stage": "",
        "reason": "no word of 'zzz' is in the index",
    }
    assert [d for d, _ in ranking(run, "1")] == ["a"]


def test_rm3_finds_documents_without_a_word_of_the_query(tmp_path: Path) -> None:
    """Every word of the best document is in more than a tenth of six: nothing is added. Of sixty, "bake" may be."""
    assert [d for d, _ in ranking(retrieve(tmp_path, "bread", stage=Retrieve(feedback_documents=2)))] == ["d"]
    out = retrieve(tmp_path / "many", "bread", stage=Retrieve(feedback_documents=2), texts=MANY)
    assert [d for d, _ in ranking(out)] == ["d", "e"]


def test_rm3_adds_so_many_words_and_gives_the_query_so_much_weight(tmp_path: Path) -> None:
    """Of "cut bread bake bread" the one word added to "cut" is "bread", with a tenth of the weight."""
    plain = retrieve(tmp_path / "plain", "cut", "bread", texts=MANY)
    ((_, cut),), ((_, bread),) = ranking(plain), ranking(plain, "1")
    stage = Retrieve(feedback_documents=1, feedback_terms=1, query_weight=0.9)
    found = ranking(retrieve(tmp_path / "rm3", "cut", stage=stage, texts=MANY))
    assert found == [("d", pytest.approx(0.9 * cut + 0.1 * bread, rel=1e-5))]


@pytest.mark.parametrize("fields", [{"depth": 0}, {"query_weight": 2.0}, {"feedback_documents": -1}])
def test_fields_out_of_range(fields: dict) -> None:
    with pytest.raises(UserError):
        Retrieve(**fields)


@pytest.mark.parametrize(
    ("stage", "field", "published"),
    [(Retrieve(), "depth", 1000), (IndexDocuments(), "k1", 0.9), (IndexDocuments(), "b", 0.4)],
)
def test_the_defaults_are_anserini_s(stage: Retrieve | IndexDocuments, field: str, published: float) -> None:
    assert getattr(stage, field) == published


def test_settings_of_bm25_out_of_range() -> None:
    with pytest.raises(UserError, match="b lies between 0 and 1"):
        IndexDocuments(b=2)
