from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from transformers import BertConfig, BertTokenizer

from models.tag_head import UNKNOWN, TagHead
from models.tasks import TagWords
from tests.models.small_encoders import save_tokenizer

TAGS = ("B-X", "I-X", "O")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> BertTokenizer:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def row(words: str, tags: str | None = None, split: str | None = "train", **more: Any) -> dict[str, Any]:
    return {"id": "a:1", "words": words.split(), "tags": tags and tags.split(), "split": split, **more}


def shown(example: dict[str, Any], tokenizer: BertTokenizer) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(example["input_ids"].tolist()))


def test_a_words_tag_stands_at_its_first_piece(tokenizer: BertTokenizer) -> None:
    (example,) = TagWords(tags=TAGS).encode(row("cutting the soup", "B-X I-X O"), tokenizer)
    assert shown(example, tokenizer) == "[CLS] cut ##ting the soup [SEP]"
    assert example["first"].tolist() == [1, 3, 4]
    assert example["targets"] == [0, 1, 2]
    assert (example["window"], example["length"], example["gold"]) == (0, 6, ["B-X", "I-X", "O"])


@pytest.mark.parametrize("crf", [False, True])
def test_the_field_is_there_if_asked_for(crf: bool) -> None:
    head = TagWords(tags=TAGS, crf=crf).head(BertConfig(hidden_size=8))
    assert isinstance(head, TagHead)
    assert (head.crf is not None) == crf


def test_tags_are_learned_of_the_rows() -> None:
    tables = [pa.table({"tags": [["O", "B-Y"], None]}), pa.table({"tags": [["B-X", "I-X"]]})]
    assert TagWords().learn(tables).tags == ("B-X", "B-Y", "I-X", "O")
    assert TagWords(tags=("O",)).learn(tables).tags == ("O",)
    every = TagWords(scheme="BIOES").learn([pa.table({"tags": [["B-X", "O"]]})])
    assert every.tags == ("B-X", "E-X", "I-X", "O", "S-X")
    with pytest.raises(ValueError, match="no tags"):
        TagWords().learn([pa.table({"tags": pa.array([None], pa.list_(pa.string()))})])


def test_spans_may_be_written_as_bioes(tokenizer: BertTokenizer) -> None:
    task = TagWords(tags=("B-X", "E-X", "I-X", "O", "S-X"), scheme="BIOES")
    (example,) = task.encode(row("a b c d e", "B-X I-X O B-X B-X"), tokenizer)
    assert [task.tags[t] for t in example["targets"]] == ["B-X", "E-X", "O", "S-X", "S-X"]
    assert example["gold"] == ["B-X", "I-X", "O", "B-X", "B-X"]
    joined = task.join([{"gold": example["gold"], "predicted": ["B-X", "E-X", "O", "S-X", "S-X"]}])
    assert joined["predicted"] == example["gold"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("", ""), "the text is empty"),
        (row("a \u200b", "O O"), r"word 2 \('\\u200b'\) becomes no wordpiece"),
        (row("a b", "O"), "2 words, but 1 tags"),
        (row("a", "B-new", "dev"), "the tag 'B-new' is not among those of the training rows"),
        (row("a"), "it has no tags"),
        ({"words": "a b"}, "words must be a list of texts, or text be one"),
        ({"words": [1]}, "words must be a list of texts, or text be one"),
    ],
)
def test_rows_that_cannot_be_used(bad: dict[str, Any], reason: str, tokenizer: BertTokenizer) -> None:
    with pytest.raises(ValueError, match=reason):
        TagWords(tags=TAGS).encode(bad, tokenizer)


def test_new_tags_in_the_test_split_stay_and_count_as_missed(tokenizer: BertTokenizer) -> None:
    task = TagWords(tags=TAGS)
    (example,) = task.encode(row("a b", "B-new B-X", "test"), tokenizer)
    assert example["targets"] == [UNKNOWN, 0]
    assert example["gold"] == ["B-new", "B-X"]
    figures = task.metrics([{"gold": example["gold"], "predicted": ["O", "B-X"]}])
    assert (figures["precision"], figures["recall"], figures["accuracy"]) == (1.0, 0.5, 0.5)


def test_the_document_fills_the_example(tokenizer: BertTokenizer) -> None:
    task = TagWords(tags=TAGS, document_context=True, max_tokens=7)
    rows = [
        row("a b", "O O", document="1"),
        row("c", "B-X", document="1"),
        row("d e f", "O O O", document="1"),
        row("g", "O", document="2"),
        row("h", "O", document=None),
        row("i", "O", document=None),
    ]
    examples = [example for r in task.in_context(rows, tokenizer) for example in task.encode(r, tokenizer)]
    assert [shown(e, tokenizer) for e in examples] == [
        "[CLS] a b c d e [SEP]",
        "[CLS] a b c d e [SEP]",
        "[CLS] b c d e f [SEP]",
        "[CLS] g [SEP]",
        "[CLS] h [SEP]",
        "[CLS] i [SEP]",
    ]
    assert [e["first"].tolist() for e in examples] == [[1, 2], [3], [3, 4, 5], [1], [1], [1]]
    assert [e["words"] for e in examples[:2]] == [["a", "b"], ["c"]]
    assert list(TagWords(tags=TAGS).in_context(rows, tokenizer)) == rows


def test_a_document_is_tokenised_a_sentence_at_a_time(tokenizer: BertTokenizer) -> None:
    class Counting:
        """The tokenizer, with a count of the words it is given."""

        words = 0

        def __call__(self, words: list[str], **settings: Any) -> Any:
            self.words += len(words)
            return tokenizer(words, **settings)

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

    counting, task = Counting(), TagWords(tags=TAGS, document_context=True, max_tokens=64)
    rows = [row("a b c", "O O O", document="1")] * 40
    for each in task.in_context(rows, counting):  # type: ignore[arg-type]
        task.encode(each, counting)  # type: ignore[arg-type]
    assert counting.words == 2 * 120  # as context and as what is tagged


def test_a_row_that_cannot_be_used_costs_its_neighbours_nothing(tokenizer: BertTokenizer) -> None:
    task = TagWords(tags=TAGS, document_context=True)
    rows = [row("a", "O", document="1"), {"document": "1"}, row("b", "O", document="1")]
    before, _, after = task.in_context(rows, tokenizer)
    assert shown(task.encode(before, tokenizer)[0], tokenizer) == "[CLS] a b [SEP]"
    assert shown(task.encode(after, tokenizer)[0], tokenizer) == "[CLS] a b [SEP]"


def test_a_long_sentence_is_tagged_in_parts_and_joined(tokenizer: BertTokenizer) -> None:
    task = TagWords(tags=TAGS, max_tokens=6)
    examples = task.encode(row("a b c d e", "O B-X I-X I-X O"), tokenizer)
    assert [(e["window"], shown(e, tokenizer), e["gold"]) for e in examples] == [
        (0, "[CLS] a b c d [SEP]", ["O", "B-X"]),
        (1, "[CLS] b c d e [SEP]", ["I-X", "I-X"]),
        (2, "[CLS] b c d e [SEP]", ["O"]),
    ]
    joined = task.join([{"gold": e["gold"], "predicted": e["gold"]} for e in examples])
    assert task.metrics([joined]) == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "accuracy": 1.0}


def test_answers_are_valid_bio_and_spans(tokenizer: BertTokenizer) -> None:
    windows = [
        {"id": "a:1", "words": ["cut", "the"], "tags": ["O", "I-X"]},
        {"id": "a:1", "words": ["soup", "now"], "tags": ["I-X", "O"]},
    ]
    answer = TagWords(tags=TAGS).join(windows)
    assert [t["tag"] for t in answer["tagged"]] == ["O", "B-X", "I-X", "O"]
    assert answer["spans"] == [{"label": "X", "start": 1, "end": 3, "text": "the soup"}]
    parts = TagWords(tags=("NOUN", "VERB")).join([{"id": None, "words": ["cut"], "tags": ["VERB"]}])
    assert parts == {"id": None, "tagged": [{"word": "cut", "tag": "VERB"}], "spans": []}


def test_tags_that_mark_no_spans_have_an_accuracy_alone() -> None:
    rows = [{"gold": ["NOUN", "VERB"], "predicted": ["NOUN", "NOUN"]}, {"gold": None, "predicted": ["NOUN"]}]
    assert TagWords(tags=("NOUN", "VERB")).metrics(rows) == {"accuracy": 0.5}
    assert TagWords(tags=TAGS).metrics([]) == {}
