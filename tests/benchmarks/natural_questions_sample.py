"""A sample in Natural Questions' original format, made of a file in SQuAD's: whole articles are the pages.

    python tests/benchmarks/natural_questions_sample.py questions.json sample --dev-articles 8 --test-articles 8
    videobert run text.natural_questions --pages.train sample/train.jsonl.gz --pages.dev sample/dev.jsonl.gz
        --pages.test sample/test.jsonl.gz

A question's long answer is its paragraph, its short answer SQuAD's. Every fourth question is asked of the next article,
which does not answer it. Dev and test pages have five annotators who agree.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.text.read_squad import articles_of

WORD = re.compile(r"\w+|[^\w\s]")
NULL = {"start_token": -1, "end_token": -1, "start_byte": -1, "end_byte": -1}
Tokens = list[tuple[str, bool]]
"""Every token of a page, and whether it is HTML."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", type=Path, help="file in SQuAD's format")
    parser.add_argument("folder", type=Path, help="where the sample goes")
    parser.add_argument("--dev-articles", type=int, default=0)
    parser.add_argument("--test-articles", type=int, default=8)
    given = parser.parse_args()
    articles = articles_of(given.questions)
    given.folder.mkdir(parents=True, exist_ok=True)
    learned = len(articles) - given.dev_articles - given.test_articles
    cuts = {"train": (0, learned), "dev": (learned, learned + given.dev_articles)}
    cuts["test"] = (learned + given.dev_articles, len(articles))
    for split, (first, end) in cuts.items():
        if end > first:
            lines = [json.dumps(p) for p in pages(articles[first:end], 1000 * first, 1 if split == "train" else 5)]
            text = "\n".join(lines).encode() + b"\n"
            (given.folder / f"{split}.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))
            print(f"{split}: {len(lines)} pages")


def pages(articles: list[Any], first_id: int, annotators: int) -> Iterator[dict[str, Any]]:
    laid_out = [lay_out(article) for article in articles]
    number = first_id
    for position, article in enumerate(articles):
        _, _, words = laid_out[position]
        for candidate, paragraph in enumerate(article["paragraphs"]):
            for question in paragraph["qas"]:
                number += 1
                elsewhere = number % 4 == 0 and len(articles) > 1
                tokens, candidates, _ = laid_out[(position + elsewhere) % len(articles)]
                said: dict[str, Any] = {"long_answer": {**NULL, "candidate_index": -1}, "short_answers": []}
                if not elsewhere:
                    answer = question["answers"][0]
                    short = span_of(words[candidate], answer["answer_start"], len(answer["text"]))
                    said = {
                        "long_answer": {**candidates[candidate], "candidate_index": candidate},
                        "short_answers": [short],
                    }
                yield {
                    "example_id": number,
                    "question_text": question["question"],
                    "document_title": article.get("title"),
                    "document_url": "",
                    "document_tokens": [{"token": t, "html_token": html} for t, html in tokens],
                    "long_answer_candidates": [{**c, "top_level": True} for c in candidates],
                    "annotations": [{**said, "yes_no_answer": "NONE"}] * annotators,
                }


def lay_out(article: Any) -> tuple[Tokens, list[dict[str, int]], list[list[tuple[int, int, int]]]]:
    """Tokens, candidates and, of each paragraph, the words: token, first character, end."""
    tokens: Tokens = [("<H1>", True), (str(article.get("title")), False), ("</H1>", True)]
    candidates, words = [], []
    for paragraph in article["paragraphs"]:
        start = len(tokens)
        tokens.append(("<P>", True))
        words.append([])
        for match in WORD.finditer(paragraph["context"]):
            words[-1].append((len(tokens), *match.span()))
            tokens.append((match[0], False))
        tokens.append(("</P>", True))
        candidates.append({"start_token": start, "end_token": len(tokens), "start_byte": -1, "end_byte": -1})
    return tokens, candidates, words


def span_of(words: list[tuple[int, int, int]], start: int, length: int) -> dict[str, int]:
    """The tokens of the words that a stretch of a paragraph touches."""
    touched = [token for token, first, end in words if end > start and first < start + length]
    return {"start_token": touched[0], "end_token": touched[-1] + 1, "start_byte": -1, "end_byte": -1}


if __name__ == "__main__":
    main()
