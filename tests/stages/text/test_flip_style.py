from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tasks import ClassifyText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from stages.text.flip_style import FlipStyle, figures
from stages.text.labelled import LABELLED
from stages.text.rewriter import Request, Rewriter
from stages.text.salience import Classifier, attention_told
from stages.text.start_word_encoder import StartWordEncoder
from tests.case import artifact
from tests.stages.text.small_rewriters import (
    LABELS,
    attends_to,
    classifier,
    conditional,
    encoder,
    labelled,
    model,
    outspoken,
    speaks_by_label,
)

STAGE = FlipStyle(share=0.4)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("flip")
    models = {"model": conditional(folder / "model"), "classifier": classifier(folder / "classifier")}
    return {"rows": labelled(folder / "rows"), **models}


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("cnn")
    made = Artifact(folder / "start", "start")
    make(StartWordEncoder(width=12), {"model": encoder(folder / "encoder")}, made, LocalExecutor())
    return model(folder / "cnn", ClassifyText(labels=LABELS), made.path)


def flip(stage: FlipStyle, inputs: dict[str, Artifact], out: Path) -> Artifact:
    made = Artifact(out, "flipped")
    make(stage, inputs, made, LocalExecutor())
    return made


def sentences(folder: Path, texts: Mapping[str, str]) -> Artifact:
    """Rows of texts and their labels."""
    rows = [{"id": t, "text": t, "label": label, "split": "test"} for t, label in texts.items()]
    return artifact(folder, pa.Table.from_pylist(rows, LABELLED))


def test_hidden_words_are_others_under_the_other_label(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    made = flip(STAGE, inputs, tmp_path)
    rows = made.read().to_pylist()
    assert [r["id"] for r in rows] == ["r:2", "r:5", "r:8", "r:11"]
    for row in rows:
        assert {row["label"], row["target"]} == set(LABELS)
        words = row["original"].replace(",", "").replace("!", "").split()
        assert len(row["changes"]) == max(1, round(0.4 * len(words)))
        assert row["kept"] == pytest.approx(1 - len(row["changes"]) / len(words))
        assert all(a.lower() != b for a, b in (change.split(" > ") for change in row["changes"]))
        assert {row["before"], row["after"]} <= set(LABELS)
        assert row["judge_before"] is row["judge_after"] is None
    assert made.manifest["figures"] == figures(rows)


def test_words_beyond_what_the_model_reads_are_kept(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    row = {"id": "r", "text": "stir the soup now " * 30, "label": LABELS[0], "split": "test"}
    rows = artifact(tmp_path / "rows", pa.Table.from_pylist([row], LABELLED))
    (found,) = flip(STAGE, {**inputs, "rows": rows}, tmp_path / "out").read().to_pylist()
    assert found["kept"] == pytest.approx(1 - len(found["changes"]) / 120)


def test_the_words_it_goes_by_become_those_of_the_other_label(tmp_path: Path) -> None:
    """A classifier that looks at "stir" and "cut", and a language model that says the one under "good" and the other
    under "bad", whatever is around."""
    inputs = {
        "rows": sentences(tmp_path / "rows", {"now stir the soup": "good", "the soup, cut now": "bad"}),
        "model": speaks_by_label(tmp_path / "model", good="stir", bad="cut"),
        "classifier": attends_to(tmp_path / "classifier", "stir", "cut"),
    }
    found = flip(replace(STAGE, share=0.25), inputs, tmp_path / "out").read().to_pylist()
    assert [(r["text"], r["changes"]) for r in found] == [
        ("now cut the soup", ["stir > cut"]),
        ("the soup, stir now", ["cut > stir"]),
    ]


def test_a_word_is_not_filled_by_itself_even_where_the_model_would(tmp_path: Path) -> None:
    inputs = {
        "rows": sentences(tmp_path / "rows", {"now stir the soup": "bad", "the soup, cut now": "good"}),
        "model": speaks_by_label(tmp_path / "model", good="stir", bad="cut"),
        "classifier": attends_to(tmp_path / "classifier", "stir", "cut"),
    }
    found = flip(replace(STAGE, share=0.25), inputs, tmp_path / "out").read().to_pylist()
    old, new = zip(*(change.split(" > ") for row in found for change in row["changes"]), strict=True)
    assert old == ("stir", "cut")
    assert new[0] != "stir"
    assert new[1] != "cut"


def test_the_surest_word_comes_first_and_the_next_one_sees_it(tmp_path: Path) -> None:
    """In the first text that is the first of the two hidden words, in the other the second."""
    texts = dict.fromkeys(("stir cut the soup now", "stir soup the cut now"), "bad")
    inputs = {
        "rows": sentences(tmp_path / "rows", texts),
        "model": outspoken(conditional(tmp_path / "model")),
        "classifier": attends_to(tmp_path / "classifier", "stir", "cut"),
    }
    rows = flip(STAGE, inputs, tmp_path / "out").read().to_pylist()
    rewriter = Rewriter(inputs["model"].path)
    for row, hidden, surest in zip(rows, ((0, 1), (0, 3)), (0, 1), strict=True):
        sentence = rewriter.read(row["original"])
        (both,) = rewriter.fill([Request(sentence, hidden, "good")])
        assert both[surest].probability > both[1 - surest].probability + 0.01
        half = sentence.with_pieces(hidden[surest], (both[surest].id,))
        ((seeing,),) = rewriter.fill([Request(half, (hidden[1 - surest],), "good")])
        assert seeing.id != both[1 - surest].id
        ids = {hidden[surest]: both[surest].id, hidden[1 - surest]: seeing.id}
        assert row["text"] == sentence.replaced({n: rewriter.vocabulary.word(i) for n, i in ids.items()})


@pytest.mark.parametrize("by", ["attention", "deletion"])
def test_words_are_chosen_as_asked(by: Literal["attention", "deletion"], tmp_path: Path) -> None:
    """By a classifier whose attention and deletion disagree."""
    texts = {"stir the soup now": "bad", "cut the cafe now": "bad"}
    inputs = {
        "rows": sentences(tmp_path / "rows", texts),
        "model": conditional(tmp_path / "model"),
        "classifier": outspoken(classifier(tmp_path / "classifier")),
    }
    rows = flip(replace(STAGE, by=by, share=0.25), inputs, tmp_path / "out").read().to_pylist()
    found = Classifier(inputs["classifier"].path)
    read = [found.read(text) for text in texts]
    falls, shares = found.deletion(read, ["bad"] * 2), found.attention(read)
    assert [f.argmax() for f in falls] != [s.argmax() for s in shares]
    best = [s.word(int(of.argmax())) for s, of in zip(read, shares if by == "attention" else falls, strict=True)]
    assert [row["changes"][0].split(" > ")[0] for row in rows] == best


def test_figures_by_hand() -> None:
    row = {"label": "bad", "target": "good", "before": "bad", "after": "good", "kept": 0.5}
    judged = {"judge_before": "good", "judge_after": "good"}
    other = {**row, "before": "good", "after": "bad", "kept": 1.0}
    assert figures([row | judged, other | judged]) == {
        "before": 0.5,
        "after": 0.5,
        "judge_before": 0.0,
        "judge_after": 1.0,
        "kept": 0.75,
    }
    assert figures([]) == {}


def test_a_target_leaves_its_own_rows_out(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    rows = flip(replace(STAGE, target="good"), inputs, tmp_path).read().to_pylist()
    assert {(r["label"], r["target"]) for r in rows} == {("bad", "good")}
    with pytest.raises(UserError, match="the target 'great' is none of the labels bad, good"):
        flip(replace(STAGE, target="great"), inputs, tmp_path / "none")


def test_labels_must_be_the_same_and_the_target_known(inputs: dict[str, Artifact], tmp_path: Path) -> None:
    three = ("bad", "good", "ugly")
    with pytest.raises(UserError, match="knows the labels bad, good, ugly, not bad, good"):
        flip(STAGE, {**inputs, "classifier": classifier(tmp_path / "c", three)}, tmp_path / "a")
    more = {"model": conditional(tmp_path / "m", three), "classifier": classifier(tmp_path / "d", three)}
    with pytest.raises(UserError, match="there are 3 labels: say which one is the target"):
        flip(STAGE, {**inputs, **more}, tmp_path / "b")


def test_a_cnn_judges_and_chooses_by_deletion_only(inputs: dict[str, Artifact], cnn: Artifact, tmp_path: Path) -> None:
    rows = flip(STAGE, {**inputs, "judge": cnn}, tmp_path / "judged").read().to_pylist()
    assert {r["judge_before"] for r in rows} <= set(LABELS)
    with pytest.raises(UserError, match="no attention; choose words by deletion"):
        flip(STAGE, {**inputs, "classifier": cnn}, tmp_path / "none")
    assert flip(replace(STAGE, by="deletion"), {**inputs, "classifier": cnn}, tmp_path / "chosen").rows() == 4


def test_deletion_is_the_fall_of_the_probability(tmp_path: Path) -> None:
    found = Classifier(outspoken(classifier(tmp_path)).path)
    sentences = [found.read(text) for text in ("stir the soup", "cut it")]
    falls = found.deletion(sentences, ["good", "bad"])
    assert [len(f) for f in falls] == [3, 2]
    task, vocabulary = found.task, found.inference.vocabulary

    def probability(text: str) -> float:
        example = task.encode({"text": text}, found.inference.tokenizer)[0]
        batch = task.collate([example], vocabulary)
        with torch.inference_mode():
            encoded = found.inference.model(batch)
            return float(task.log_probabilities(found.inference.model.head, encoded, batch).exp()[0, 1])

    ids = sentences[0].ids((1,), vocabulary)[0]
    with_mask = task.collate([{"input_ids": ids, "label": -1}], vocabulary)
    with torch.inference_mode():
        encoded = found.inference.model(with_mask)
        hidden = float(task.log_probabilities(found.inference.model.head, encoded, with_mask).exp()[0, 1])
    assert falls[0][1] == pytest.approx(probability("stir the soup") - hidden, abs=1e-6)


def test_attention_is_what_cls_gives_to_each_word(inputs: dict[str, Artifact]) -> None:
    """Of the last layer, the mean of its heads; a word of two pieces has both of theirs."""
    found = Classifier(inputs["classifier"].path)
    sentence = found.read("cut the cafes")
    alone, padded = found.attention([sentence])[0], found.attention([sentence, found.read("cut " * 20)])[0]
    np.testing.assert_allclose(alone, padded, rtol=1e-5)
    ids = torch.from_numpy(sentence.ids((), found.inference.vocabulary)[0])[None]
    with torch.inference_mode(), attention_told(found.inference.model.pretrained):
        attention = found.inference.model.encoder(input_ids=ids, output_attentions=True).attentions[-1]
    share = attention[0, :, 0].mean(0).tolist()
    assert alone.tolist() == pytest.approx([share[1], share[2], share[3] + share[4]], rel=1e-5)


def test_labels_are_the_same_after_asking_for_attention(tmp_path: Path) -> None:
    found = Classifier(outspoken(classifier(tmp_path)).path)
    read = [found.read(text) for text in ("stir the soup now", "the cut", "soup soup soup soup soup")]
    before = found.deletion(read, ["bad"] * 3)
    found.attention(read)
    for fall, after in zip(before, found.deletion(read, ["bad"] * 3), strict=True):
        np.testing.assert_allclose(fall, after, atol=1e-6)
