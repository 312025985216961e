"""Re-ranking beside sentence_transformers.CrossEncoder.predict, with the same model on the same candidates.

    python tests/benchmarks/rerank.py --documents cran.all.1400 --queries cran.qry [--pairs 400] [--rounds 3]

Candidates are drawn from BM25's first 1,000 of every query. Each side runs in a process of its own, from texts to
scores, in rounds of which the fastest counts: ours as the stage ScorePairs does it; theirs as it comes, and once more
with the model loaded in bf16. The weights are the small BERT's under a fresh head, and the scores are compared too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from own_process import run_again

from models.encoder import TaskModel
from models.small_bert import small_bert
from models.tasks import JudgeRelevance
from pipeline import Graph, LocalExecutor, Store, run
from stages.load_encoder import LoadEncoder
from stages.text.retrieval.index_documents import IndexDocuments
from stages.text.retrieval.read_documents import ReadDocuments
from stages.text.retrieval.read_queries import ReadQueries
from stages.text.retrieval.retrieve import Retrieve
from stages.text.retrieval.score_pairs import PairScorer, ScorePairs
from stages.text.retrieval.texts import Texts

SIDES = ("ours", "CrossEncoder float32", "CrossEncoder bf16")
TASK = JudgeRelevance()
WARM_UP = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", help="documents of a test collection")
    parser.add_argument("--queries", help="its queries")
    parser.add_argument("--pairs", type=int, default=400, help="candidates that are timed")
    parser.add_argument("--rounds", type=int, default=3, help="times that each side runs")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), arguments.documents, arguments.queries, arguments.pairs)
        results: dict[str, dict[str, Any]] = {}
        for _ in range(arguments.rounds):
            for side in SIDES:
                result = run_again("--side", side, "--folder", folder)
                results[side] = max(result, results.get(side, result), key=lambda r: r["passages_per_s"])
    ours, exact = results["ours"], np.array(results["CrossEncoder float32"]["scores"])
    print(f"{'':24}{'passages/s':>12}{'ours is':>10}{'off by':>10}")
    for side, r in results.items():
        off = float(np.abs(np.array(r["scores"]) - exact).mean())
        ratio = ours["passages_per_s"] / r["passages_per_s"]
        print(f"{side:24}{r['passages_per_s']:12.1f}{ratio:9.2f}x{off:10.4f}")


def prepare(folder: Path, documents: str, queries: str, n: int) -> None:
    """Candidates, and the same model as ours and as a sequence classifier of transformers."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    g = Graph()
    g.add("documents", ReadDocuments(documents=documents))
    g.add("queries", ReadQueries(queries=queries))
    g.add("index", IndexDocuments(), documents="documents")
    g.add("run", Retrieve(), queries="queries", index="index")
    g.add("encoder", LoadEncoder(encoder=small_bert()))
    made = run(g, Store(folder / "store"), LocalExecutor())
    candidates = made["run"].read(["query_id", "doc_id"]).to_pylist()
    chosen = np.sort(np.random.default_rng(0).permutation(len(candidates))[: n + WARM_UP])
    asked = {r["query_id"]: r["text"] for r in made["queries"].read().to_pylist()}
    texts = Texts(made["documents"].parts).of(candidates[i]["doc_id"] for i in chosen)
    pairs = [(asked[candidates[i]["query_id"]], texts[candidates[i]["doc_id"]][0][1]) for i in chosen]
    (folder / "pairs.json").write_text(json.dumps(pairs))
    ours = TaskModel.start(made["encoder"].path, TASK, seed=0)
    ours.save(folder / "ours")
    theirs: Any = AutoModelForSequenceClassification.from_pretrained(made["encoder"].path, num_labels=2)
    theirs.classifier.load_state_dict(ours.head.linear.state_dict())
    theirs.save_pretrained(folder / "theirs")
    tokenizer = AutoTokenizer.from_pretrained(made["encoder"].path)
    for name in ("ours", "theirs"):
        tokenizer.save_pretrained(folder / name)


def measure(side: str, folder: Path) -> dict[str, Any]:
    pairs = [tuple(pair) for pair in json.loads((folder / "pairs.json").read_text())]
    if side == "ours":
        score = PairScorer(ScorePairs(task=TASK), folder / "ours", {}, {}, ()).scores
    else:
        score = cross_encoder(folder / "theirs", bf16=side.endswith("bf16"))
    score(pairs[:WARM_UP])
    started = time.perf_counter()
    scores = score(pairs[WARM_UP:])
    seconds = time.perf_counter() - started
    return {"passages_per_s": len(scores) / seconds, "scores": np.asarray(scores, float).tolist()}


def cross_encoder(folder: Path, bf16: bool) -> Any:
    from sentence_transformers import CrossEncoder

    kwargs = {"model_kwargs": {"dtype": "bfloat16"}} if bf16 else {}
    model = CrossEncoder(str(folder), max_length=TASK.max_tokens, **kwargs)

    def score(pairs: list[tuple[str, str]]) -> np.ndarray:
        logits = model.predict(pairs)
        return logits[:, 1] - np.logaddexp(logits[:, 0], logits[:, 1])

    return score


if __name__ == "__main__":
    main()
