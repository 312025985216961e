from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerBase

from models.conllu import bare, parse
from models.encoder import TaskModel
from models.tasks import ParseDependencies
from models.vocabulary import Vocabulary
from tests.models.small_encoders import PIECES, save_encoder
from tests.stages.text.small_treebank import sentence

TASK = ParseDependencies(arc_width=8, label_width=4)


def row(i: int, split: str = "train") -> dict[str, Any]:
    return {"id": f"toy.conllu:{i}", "treebank": "toy", "conllu": sentence(i), "split": split}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    save_encoder(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(str(directory))


@pytest.fixture(scope="module")
def vocabulary(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    return Vocabulary.of(tokenizer)


@pytest.fixture(scope="module")
def task() -> ParseDependencies:
    return TASK.learn(tables())


def tables() -> Iterator[pa.Table]:
    yield pa.Table.from_pylist([row(i) for i in range(6)])
    yield pa.Table.from_pylist([row(i) for i in range(6, 12)])


def encoded(task: ParseDependencies, tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]]) -> list[Any]:
    examples = [example for row in rows for example in task.encode(row, tokenizer)]
    lists = {"input_ids", "window_lengths", "first", "upos", "feats", "lemmas", "heads", "deprels"}
    return [{n: np.asarray(v, np.int32) if n in lists else v for n, v in e.items()} for e in examples]


def test_settings_are_the_papers() -> None:
    task = ParseDependencies()
    assert (task.word_dropout, task.layer_dropout, task.dropout, task.label_smoothing) == (0.2, 0.1, 0.5, 0.03)
    assert (task.arc_width, task.label_width) == (768, 256)


def test_labels_are_those_of_the_training_rows_the_most_frequent_first(task: ParseDependencies) -> None:
    assert task.upos[0] == "NOUN"
    assert set(task.upos) == {"NOUN", "VERB", "DET", "PUNCT"}
    assert set(task.deprels) == {"nsubj", "root", "obj:direct", "det", "punct"}
    assert "↓0;d¦+f+e---" in task.lemma_rules  # knives, knife
    assert "_" in task.feats
    assert TASK.adopt(task) == task


def test_nothing_to_learn_from_is_said() -> None:
    raw = pa.table({"conllu": [bare(["a", "sentence", "without", "annotation"])]})
    for tables in ([], [raw]):
        with pytest.raises(ValueError, match="no annotated row whose split is train"):
            TASK.learn(tables)


def test_an_example_is_a_sentence_with_the_first_piece_of_every_word(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase
) -> None:
    (example,) = encoded(task, tokenizer, [row(1)])
    gold = parse(sentence(1))
    pieces = tokenizer.convert_ids_to_tokens(example["input_ids"])
    assert [pieces[i] for i in example["first"]] == ["a", "d", "cut", "k", "."]
    assert [task.upos[i] for i in example["upos"]] == gold.upos
    assert example["heads"].tolist() == gold.heads
    assert example["length"] == len(pieces) == example["window_lengths"].sum()
    assert example["conllu"] == sentence(1)


def test_labels_never_seen_have_no_number_and_no_part_in_the_loss(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    strange = row(0, "test") | {"conllu": sentence(0).replace("\tVERB\t", "\tAUX\t").replace("obj:direct", "iobj")}
    batch = task.collate(encoded(task, tokenizer, [strange, row(1)]), vocabulary)
    words = len(parse(sentence(0)).words) + len(parse(sentence(1)).words)
    assert batch.counts == {"upos": words - 1, "feats": words, "lemmas": words, "arcs": words, "deprels": words - 1}


def test_a_word_without_pieces_is_unknown(task: ParseDependencies, tokenizer: PreTrainedTokenizerBase) -> None:
    (example,) = encoded(task, tokenizer, [{"words": ["a", "\u0007", "b"]}])
    assert tokenizer.convert_ids_to_tokens(example["input_ids"]) == ["[CLS]", "a", "[UNK]", "b", "[SEP]"]


def test_the_reference_does_not_cut_words_at_punctuation(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase
) -> None:
    (example,) = encoded(task, tokenizer, [{"words": "A-b stir"}])
    assert tokenizer.convert_ids_to_tokens(example["input_ids"])[1:-1] == ["a", "-", "b", "stir"]
    (example,) = encoded(replace(task, faithful=True), tokenizer, [{"words": "A-b stir"}])
    assert tokenizer.convert_ids_to_tokens(example["input_ids"])[1:-1] == ["[UNK]", "stir"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_nor_does_the_reference_put_blanks_around_chinese_characters(lowercase: bool, task: ParseDependencies) -> None:
    words = [*PIECES, "中", "##国"]
    chinese = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, do_lower_case=lowercase)
    (example,) = encoded(replace(task, faithful=True), chinese, [{"words": "中国 Stir"}])
    stir = "stir" if lowercase else "[UNK]"
    assert chinese.convert_ids_to_tokens(example["input_ids"])[1:-1] == ["中", "##国", stir]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [({"words": []}, 'give "words"'), ({"words": ["a", ""]}, "is not a word"), ({"conllu": "1\tx"}, "2 columns")],
)
def test_rows_that_cannot_be_parsed_are_refused(
    bad: dict[str, Any], reason: str, task: ParseDependencies, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(ValueError, match=reason):
        task.encode(bad, tokenizer)


def test_a_training_sentence_needs_a_tree(task: ParseDependencies, tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ValueError, match="no tree to learn from"):
        task.encode({"words": ["a"], "split": "train"}, tokenizer)


def test_pieces_are_masked_in_training_only(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    for split, low, high in (("train", 0.15, 0.25), ("dev", 0.0, 0.0), ("test", 0.0, 0.0)):
        masked = pieces = 0
        for seed in range(100):
            (example,) = encoded(task, tokenizer, [row(1, split)])
            drawn = task.draw([example], 0, np.random.default_rng(seed), vocabulary)["input_ids"]
            assert (drawn[0], drawn[-1]) == (vocabulary.cls, vocabulary.sep)
            masked += (drawn == vocabulary.mask).sum()
            pieces += len(drawn) - 2
        assert low <= masked / pieces <= high


def test_a_long_sentence_is_read_in_windows_and_is_one_sentence(
    task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    words = [f"{a}{b}" for a in "abcdef" for b in "uvwxyz"]  # two pieces each
    short = replace(task, max_tokens=22)
    long, other = encoded(short, tokenizer, [{"words": words}, {"words": ["stir", "soup"]}])
    assert max(long["window_lengths"]) <= 22
    assert len(long["window_lengths"]) > 5
    batch = short.collate([other, long], vocabulary)
    first = batch.labels["first"][batch.labels["mask"]]
    pieces = tokenizer.convert_ids_to_tokens(batch.input_ids_BL.flatten()[first].tolist())
    assert pieces == ["stir", "soup", *(word[0] for word in words)]
    model = TaskModel.start(directory, short, seed=0).eval()
    with torch.inference_mode():
        answer = short.predict(model.head, model(batch), batch, vocabulary)[1]
    assert answer["words"] == words
    assert answer["heads"].count(0) == 1


def test_a_word_of_a_long_sentence_stands_amid_its_context(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase
) -> None:
    (long,) = encoded(replace(task, max_tokens=22), tokenizer, [{"words": ["stir"] * 200}])
    ends = np.cumsum(long["window_lengths"])
    starts = ends - long["window_lengths"]
    window = np.searchsorted(ends, long["first"], side="right")
    around = np.minimum(long["first"] - starts[window], ends[window] - long["first"])
    assert around[10:-10].min() >= 5


@pytest.mark.parametrize("faithful", [False, True])
def test_the_loss_of_a_batch_is_the_sum_of_its_halves(
    faithful: bool, task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    task = replace(task, faithful=faithful, layer_dropout=0.0)
    examples = encoded(task, tokenizer, [row(i) for i in range(5)])
    model = TaskModel.start(directory, task, seed=0).eval()
    whole, *halves = (task.collate(e, vocabulary) for e in (examples, examples[:2], examples[2:]))
    losses = [task.loss(model.head, model(b), b, whole.counts) for b in (whole, *halves)]
    for name in task.loss_terms:
        torch.testing.assert_close(losses[0][name], losses[1][name] + losses[2][name])


@pytest.mark.parametrize("faithful", [False, True])
def test_the_loss_of_tags_by_hand(
    faithful: bool, task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    """Smoothed by .03; of sentences of three and five words the mean over words or, faithful, of the two means."""
    task = replace(task, faithful=faithful, layer_dropout=0.0)
    model = TaskModel.start(directory, task, seed=0).eval()
    torch.nn.init.normal_(model.head.get_parameter("tags.upos.weight"))
    batch = task.collate(encoded(task, tokenizer, [row(0), row(1)]), vocabulary)
    log_p = model.head(model(batch), batch.labels["first"], batch.labels["mask"]).tags["upos"]
    words = -0.97 * log_p[torch.arange(8), batch.labels["upos"]] - 0.03 * log_p.mean(-1)
    expected = (words[:3].mean() + words[3:].mean()) / 2 if faithful else words.mean()
    torch.testing.assert_close(task.loss(model.head, model(batch), batch, batch.counts)["upos"], expected)


def test_faithful_counts_a_sentence_once_however_long(
    task: ParseDependencies, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    examples = encoded(replace(task, faithful=True), tokenizer, [row(0), row(1)])
    counts = replace(task, faithful=True).collate(examples, vocabulary).counts
    assert counts["upos"] == counts["feats"] == pytest.approx(2.0)
    assert counts["arcs"] == 8.0


def test_prediction_is_not_random_unless_it_is_the_references(
    task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    for faithful in (False, True):
        mine = replace(task, faithful=faithful, layer_dropout=0.5)
        model = TaskModel.start(directory, mine, seed=0).eval()
        batch = mine.collate(encoded(mine, tokenizer, [row(0), row(1)]), vocabulary)
        with torch.inference_mode():
            answers = [str(mine.predict(model.head, model(batch), batch, vocabulary)) for _ in range(6)]
        assert (len(set(answers)) > 1) is faithful


def test_an_answer_is_the_sentence_with_the_models_columns(
    task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    model = TaskModel.start(directory, task, seed=0).eval()
    batch = task.collate(encoded(task, tokenizer, [row(0, "test"), {"words": ["stir", "it"]}]), vocabulary)
    with torch.inference_mode():
        first, second = task.predict(model.head, model(batch), batch, vocabulary)
    assert pa.Table.from_pylist([first, second], task.prediction_schema).num_rows == 2
    found = parse(first["conllu"])
    assert [found.heads, found.lemmas, found.deprels] == [first["heads"], first["lemmas"], first["deprels"]]
    assert first["conllu"].startswith("# sent_id = toy-0\n# newpar\n#no key, no value\n")
    assert parse(second["conllu"]).words == ["stir", "it"]


def test_figures_are_of_all_sentences_of_each_treebank_and_their_mean() -> None:
    wrong = sentence(0).replace("\tVERB\t", "\tNOUN\t")
    rows = [
        {"treebank": "a", "gold": sentence(0), "system": sentence(0)},
        {"treebank": "b", "gold": sentence(0), "system": wrong},
        {"treebank": "b", "gold": sentence(3), "system": sentence(3)},
    ]
    n, m = (len(parse(sentence(i)).words) for i in (0, 3))
    figures = TASK.metrics(rows)
    assert figures["UPOS"] == pytest.approx(1 - 1 / (n + n + m))
    assert figures["b/UPOS"] == pytest.approx(1 - 1 / (n + m))
    assert figures["a/UPOS"] == figures["LAS"] == 1.0
    assert figures["mean/UPOS"] == pytest.approx(1 - 0.5 / (n + m))
    assert set(TASK.metrics(rows[:1])) == {"UPOS", "UFeats", "Lemmas", "UAS", "LAS", "CLAS", "MLAS", "BLEX"}


def test_trees_with_several_roots_are_scored_as_the_reference_scores_them_only() -> None:
    two_roots = sentence(0).replace("\t2\tobj:direct\t", "\t0\troot\t")
    rows = [{"treebank": name, "gold": sentence(0), "system": two_roots} for name in ("a", "b")]
    assert replace(TASK, faithful=True).metrics(rows)["mean/LAS"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="multiple roots"):
        TASK.metrics(rows)


def test_sentences_without_a_tree_have_no_figures(
    task: ParseDependencies, directory: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> None:
    model = TaskModel.start(directory, task, seed=0).eval()
    batch = task.collate(encoded(task, tokenizer, [{"words": ["stir"], "split": "test"}]), vocabulary)
    with torch.inference_mode():
        assert task.evaluate(model.head, model(batch), batch, vocabulary) == []
    assert task.metrics([]) == {}
