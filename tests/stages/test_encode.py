from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from transformers import MobileBertConfig

from models.tasks import ClassifyText, JudgeRelevance, MaskedLM, MultiTask, SpanQA, TagWords, Task, VideoText
from pipeline import Artifact, LocalExecutor, UserError
from pipeline.graph import make
from pipeline.store import read_part, write_json, write_part
from stages.encode import Encode, Encoder, check_fit
from stages.examples import MappedExamples, open_examples
from tests.models.small_encoders import save_roberta
from tests.stages.tiny_world import extended_bert, segments


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return extended_bert(tmp_path_factory.mktemp("model"))


def encode(folder: Path, **inputs: Artifact) -> Artifact:
    artifact = Artifact(folder, "examples")
    make(Encode(task=VideoText()), inputs, artifact, LocalExecutor())
    return artifact


def table(folder: Path, rows: list[dict]) -> Artifact:
    schema = pa.schema(
        [("video_id", pa.string()), ("text", pa.string()), ("tokens", pa.list_(pa.uint16())), ("split", pa.string())]
    )
    write_part(folder / "part-00000.parquet", pa.Table.from_pylist(rows, schema))
    write_json(folder / "manifest.json", {"key": folder.name})
    return Artifact(folder, folder.name)


def test_examples_are_mapped_views_in_the_order_of_the_rows(model: Artifact, tmp_path: Path) -> None:
    rows = segments(tmp_path / "rows")
    examples = open_examples(encode(tmp_path / "out", rows=rows, model=model).parts)
    expected = rows.read().to_pylist()
    assert len(examples) == len(expected)
    for i in (0, 1, len(expected) // 2, len(expected) - 1):
        example = examples[i]
        assert example["video_id"] == expected[i]["video_id"]
        assert len(example["visual"]) == len(expected[i]["tokens"])
        assert not example["visual"].flags.owndata  # a view into the file
    lengths = examples.lengths(np.arange(len(examples)))
    assert lengths.tolist() == [len(examples[i]["text"]) + len(examples[i]["visual"]) + 3 for i in range(len(examples))]


def test_positions_of_a_split_span_the_parts(model: Artifact, tmp_path: Path) -> None:
    rows = segments(tmp_path / "rows", parts=3)
    tables = [read_part(part) for part in encode(tmp_path / "out", rows=rows, model=model).parts]
    splits = rows.read()["split"].to_pylist()
    for examples in (MappedExamples(tables), *(MappedExamples(tables, tmp_path) for _ in range(2))):
        dev = examples.positions_of("dev")
        assert dev.tolist() == [i for i, s in enumerate(splits) if s == "dev"]
        assert examples.positions_of("nothing").tolist() == []
    assert len(list(tmp_path.glob("*.positions"))) == 2


def test_others_are_drawn_from_all_parts_however_they_are_cut(model: Artifact, tmp_path: Path) -> None:
    """Also where a part ends within a video, and where the positions are mapped from disk."""
    drawn = []
    for parts, scratch in ((1, None), (7, None), (7, tmp_path)):
        encoded = encode(tmp_path / f"{parts}", rows=segments(tmp_path / f"rows{parts}", parts=parts), model=model)
        examples = MappedExamples(map(read_part, encoded.parts), scratch)
        rng = np.random.default_rng(0)
        drawn.append([examples.other(i, "video_id", rng, ("text", "visual")) for i in range(80) for _ in range(20)])
    assert drawn[0] == drawn[1] == drawn[2]
    for position, other in zip(np.repeat(np.arange(80), 20).tolist(), drawn[0], strict=True):
        mine, its = examples[position], examples[other]
        assert mine["video_id"] != its["video_id"]
        assert mine["split"] == its["split"]
    assert {i for i in drawn[0] if examples[i]["split"] == "train"} == set(examples.positions_of("train").tolist())


def test_further_rows_follow_and_bad_rows_are_errors(model: Artifact, tmp_path: Path) -> None:
    good = {"video_id": "a", "text": "stir", "tokens": [1], "split": "train"}
    bad = {"video_id": "b", "text": "", "tokens": [], "split": "train"}
    out = encode(
        tmp_path / "out",
        rows=table(tmp_path / "rows", [good, bad, good]),
        more=table(tmp_path / "more", [{**good, "video_id": "text.txt", "tokens": []}]),
        model=model,
    )
    assert out.read()["video_id"].to_pylist() == ["a", "a", "text.txt"]
    errors = out.errors()
    assert errors is not None
    assert errors.to_pylist() == [
        {"item": "b, row 1 of its part", "part": 0, "stage": "Encode", "reason": "neither words nor visual words"}
    ]


def test_a_row_of_other_values_leaves_its_neighbours_their_context(model: Artifact) -> None:
    rows = [{"id": w, "words": [w], "tags": ["O"], "document": "d", "split": "train"} for w in ("stir", "the", "soup")]
    rows[1]["tags"] = [None]
    encoder = Encoder(TagWords(tags=("O",), scheme="BIOES", document_context=True), model.path)
    examples, rejected = encoder(pa.Table.from_pylist(rows))
    assert [len(ids) for ids in examples["input_ids"].to_pylist()] == [5, 5]
    assert [error.item for error in rejected] == ["the, row 1 of its part"]


def test_an_error_row_says_where_its_row_is_from_if_the_table_does(model: Artifact) -> None:
    rows = [{"id": "1", "text": "", "label": "a", "split": "train", "source": "train.json: data[0]"}]
    _, rejected = Encoder(ClassifyText(labels=("a",)), model.path)(pa.Table.from_pylist(rows))
    assert [error.item for error in rejected] == ["1, train.json: data[0]"]


def test_missing_columns_are_said_before_any_work() -> None:
    table = pa.table({"video_id": ["a"], "text": ["stir"]})
    with pytest.raises(UserError, match="Encode reads tokens, split from its input 'rows', but x has video_id, text"):
        Encode(task=VideoText()).check_columns("rows", table.schema, "x")


@pytest.mark.parametrize(
    ("task", "tokens", "lower"),
    [
        (SpanQA(max_tokens=31), 31, "task.max_tokens"),
        (MaskedLM(max_length=32), 32, "task.max_length"),
        (VideoText(max_text=20, max_visual=8), 31, "task.max_text or task.max_visual"),
        (
            MultiTask({"a": ClassifyText(max_tokens=30), "b": JudgeRelevance(max_tokens=40)}),
            40,
            "task.tasks.b.max_tokens",
        ),
    ],
)
def test_sequences_longer_than_the_encoder_reads_are_refused_before_any_is_made(
    task: Task, tokens: int, lower: str, tmp_path: Path
) -> None:
    save_roberta(tmp_path / "encoder", positions=30)
    encoder = Artifact(tmp_path / "encoder", "encoder")
    with pytest.raises(UserError, match=rf"up to {tokens} tokens, but .*encoder has 30 positions: lower {lower}$"):
        Encode(task=task).run({"model": encoder}, tmp_path / "out", LocalExecutor())
    check_fit(SpanQA(max_tokens=30), encoder.path)
    with pytest.raises(UserError, match=r"lower task\.max_tokens"):
        check_fit(SpanQA(), encoder.path)


def test_the_order_of_several_tasks_is_part_of_the_key() -> None:
    """Their parts follow one another in it."""
    tasks: dict[str, Task] = {"cola": ClassifyText(), "rte": ClassifyText()}
    turned = dict(reversed(tasks.items()))
    inputs = dict.fromkeys(("cola", "rte", "model"), "0")
    keys = [Encode(task=MultiTask(t)).key(inputs) for t in (tasks, turned, dict(tasks))]
    assert keys[0] == keys[2] != keys[1]
    assert list(Encode(task=MultiTask(turned)).needs()) == ["rte", "cola", "model"]


def test_an_encoder_that_cannot_predict_words_is_told_at_once(tmp_path: Path) -> None:
    MobileBertConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"MaskedLM predicts words, and .* cannot: .* give a BERT"):
        check_fit(MaskedLM(), tmp_path)


def test_the_first_examples_are_shown_with_tokens_and_ids(
    model: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode(tmp_path / "out", rows=segments(tmp_path / "rows"), model=model)
    shown = capsys.readouterr().err
    assert "example 0  text: " in shown
    assert "the soup" in shown
    assert "<v:" in shown
    assert "example 4" in shown
    assert "example 5" not in shown


def test_a_texts_examples_are_shown_with_tokens_and_ids(
    model: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "1", "text": "stir the soup", "label": "a", "split": "train"}
    write_part(tmp_path / "rows" / "part-00000.parquet", pa.Table.from_pylist([row]))
    write_json(tmp_path / "rows" / "manifest.json", {"key": "rows"})
    inputs = {"rows": Artifact(tmp_path / "rows", "rows"), "model": model}
    make(Encode(task=ClassifyText(labels=("a",))), inputs, Artifact(tmp_path / "out", "out"), LocalExecutor())
    assert "example 0  input_ids: [CLS] stir the soup [SEP]  [" in capsys.readouterr().err
