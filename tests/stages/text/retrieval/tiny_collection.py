"""A test collection of six dishes, in Cranfield's format with its traps: ids of queries that are no numbering, a title
that begins the text, a document without words, and judgements of a query that is not there."""

from __future__ import annotations

from pathlib import Path

DOCUMENTS = {
    "1": ("leek soup .", "leek soup . cut the leek . stir the soup ."),
    "2": ("onion soup .", "onion soup . cut the onion . fry the onion . stir the soup ."),
    "3": ("bread .", "bread . knead the dough . bake the bread ."),
    "4": ("", ""),
    "5": ("fried onion .", "fried onion . cut the onion . fry it now ."),
    "6": ("...", ". ."),
}
QUERIES = {"10": "leek soup", "20": "fry an onion", "40": "bake bread", "365": "zzz"}
QRELS = ((1, 1, 1), (1, 2, 3), (1, 3, -1), (2, 5, 2), (2, 2, 2), (3, 3, 1), (9, 1, 1))


def write_collection(folder: Path) -> Path:
    """cran.all, cran.qry and cranqrel."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = (
        f".I {i}\n.T\n{title}\n.A\nsomebody\n.B\nnowhere\n.W\n{text}\n" for i, (title, text) in DOCUMENTS.items()
    )
    (folder / "cran.all").write_text("".join(documents))
    (folder / "cran.qry").write_text("".join(f".I {i}\n.W\n{text}\n" for i, text in QUERIES.items()))
    (folder / "cranqrel").write_text("".join(f"{q} {d} {grade}  \n" for q, d, grade in QRELS))
    return folder
