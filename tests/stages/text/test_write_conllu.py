from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline import Graph, LocalExecutor, Store, run
from pipeline.graph import make
from pipeline.store import Artifact
from stages.text.read_conllu import ReadConllu
from stages.text.write_conllu import WriteConllu
from tests.cases import artifact
from tests.stages.text.small_treebank import write_treebank


def test_what_was_read_is_written_byte_by_byte(tmp_path: Path) -> None:
    files = [write_treebank(tmp_path / f"{name}.conllu", start, start + 4) for start, name in enumerate("ab")]
    graph = Graph()
    graph.add("rows", ReadConllu(train=str(files[0]), test=str(files[1])))
    graph.add("files", WriteConllu(), predictions="rows")
    written = run(graph, Store(tmp_path / "store"), LocalExecutor())["files"]
    assert written.manifest["sentences"] == {"a.conllu": 4, "b.conllu": 4}
    for path in files:
        assert (written.path / path.name).read_bytes() == path.read_bytes()


def test_a_file_whose_sentences_lie_in_two_parts_is_one_file(tmp_path: Path) -> None:
    rows = pa.table({"id": [f"x.conllu:{i}" for i in range(5)], "conllu": list("abcde")})
    out = Artifact(tmp_path / "out", "out")
    make(WriteConllu(), {"predictions": artifact(tmp_path / "rows", rows)}, out, LocalExecutor())
    assert (out.path / "x.conllu").read_text() == "a\n\nb\n\nc\n\nd\n\ne\n\n"
