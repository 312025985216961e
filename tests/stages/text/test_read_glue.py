from pathlib import Path

import pytest

from pipeline import Artifact, Graph, LocalExecutor, Store, UserError, run
from stages.text.read_glue import GLUE, ReadGlue


def read(folder: Path, name: str) -> Artifact:
    graph = Graph()
    graph.add("rows", ReadGlue(folder=str(folder), name=name))
    return run(graph, Store(folder / "store"), LocalExecutor())["rows"]


def rows(artifact: Artifact) -> list[tuple]:
    return [tuple(r.values())[1:] for r in artifact.read().to_pylist()]


def write(path: Path, *lines: str, bom: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line.split("|")) + "\n" for line in lines), "utf-8-sig" if bom else "utf-8")


def test_cola_has_no_header_but_in_its_test_file(tmp_path: Path) -> None:
    write(tmp_path / "CoLA/train.tsv", "gj04|1||Our \"friends won't buy this.", "gj04|0|*|They drank the pub.")
    write(tmp_path / "CoLA/test.tsv", "index|sentence", "0|Bill whistled past the house.")
    assert rows(read(tmp_path, "cola")) == [
        ("Our \"friends won't buy this.", None, "1", "train"),
        ("They drank the pub.", None, "0", "train"),
        ("Bill whistled past the house.", None, None, "test"),
    ]


def test_mrpc_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path / "MRPC/dev.tsv", "Quality|#1 ID|#2 ID|#1 String|#2 String", '1|1|2|He said|" He said so', bom=True)
    assert rows(read(tmp_path, "mrpc")) == [("He said", '" He said so', "1", "dev")]


def test_rows_of_qqp_with_missing_columns_are_error_rows(tmp_path: Path) -> None:
    write(
        tmp_path / "QQP/train.tsv",
        "id|qid1|qid2|question1|question2|is_duplicate",
        "1|1|2|How?|Why?|0",
        "2|3|4|broken",
        "3|5|6|What?| |1",
        "4|7|8|Who?|Which one?|1",
    )
    artifact = read(tmp_path, "qqp")
    assert rows(artifact) == [("How?", "Why?", "0", "train"), ("Who?", "Which one?", "1", "train")]
    assert artifact.errors()["item"].to_pylist() == ["train.tsv:3", "train.tsv:4"]


def test_scores_stay_as_they_are_written(tmp_path: Path) -> None:
    header = "index|genre|filename|year|old_index|source1|source2|sentence1|sentence2|score"
    write(tmp_path / "STS-B/dev.tsv", header, "0|g|f|2012|1|none|none|A plane.|An air plane.|5.000")
    write(tmp_path / "STS-B/test.tsv", header.removesuffix("|score"), "0|g|f|2012|1|none|none|A girl.|A boy.")
    assert rows(read(tmp_path, "stsb")) == [
        ("A plane.", "An air plane.", "5.000", "dev"),
        ("A girl.", "A boy.", None, "test"),
    ]


def test_mnli_has_two_dev_and_two_test_sets(tmp_path: Path) -> None:
    header = "index|promptID|pairID|genre|s1b|s2b|s1p|s2p|sentence1|sentence2"
    write(tmp_path / "MNLI/train.tsv", f"{header}|label1|gold_label", "0|1|1n|fiction|b|b|p|p|P.|H.|neutral|neutral")
    for name in ("matched", "mismatched"):
        gold = f"0|1|1e|{name}|b|b|p|p|P.|H.|entailment|neutral|entailment|entailment|entailment|entailment"
        labels = "|".join(f"label{i}" for i in range(1, 6))
        write(tmp_path / f"MNLI/dev_{name}.tsv", f"{header}|{labels}|gold_label", gold, gold.replace("entailment", "-"))
        write(tmp_path / f"MNLI/test_{name}.tsv", header, f"0|1|1e|{name}|b|b|p|p|P.|H.")
    artifact = read(tmp_path, "mnli")
    assert rows(artifact) == [
        ("P.", "H.", "neutral", "train"),
        ("P.", "H.", "entailment", "dev"),
        ("P.", "H.", "entailment", "dev_mismatched"),
        ("P.", "H.", None, "test"),
        ("P.", "H.", None, "test_mismatched"),
    ]
    reason = "the label '-' is none of contradiction, entailment, neutral"
    assert artifact.errors()["reason"].to_pylist() == [reason] * 2


@pytest.mark.parametrize(
    ("name", "header", "row", "expected"),
    [
        ("sst2", "sentence|label", "a fine film |1", ("a fine film", None, "1")),
        ("qnli", "index|question|sentence|label", "0|Q?|S.|not_entailment", ("Q?", "S.", "not_entailment")),
        ("rte", "index|sentence1|sentence2|label", "0|A.|B.|entailment", ("A.", "B.", "entailment")),
        ("wnli", "index|sentence1|sentence2|label", "0|A.|B.|0", ("A.", "B.", "0")),
    ],
)
def test_the_other_tasks(tmp_path: Path, name: str, header: str, row: str, expected: tuple) -> None:
    write(tmp_path / "train.tsv", header, row)  # the folder of the task itself
    assert rows(read(tmp_path, name)) == [(*expected, "train")]


def test_all_nine_are_known() -> None:
    assert list(GLUE) == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]


def test_files_of_another_task_are_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a folder of rte nor"):
        read(tmp_path, "rte")
    write(tmp_path / "train.tsv", "sentence|label", "x|1")
    with pytest.raises(UserError, match="is not rte's: it has no column 'sentence1', but sentence, label"):
        read(tmp_path, "rte")
