from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.stage import fields_as_json
from pipeline.store import listing_digest


@dataclass(frozen=True)
class Task:
    labels: tuple[str, ...] = ("cut", "stir")


@dataclass(frozen=True, kw_only=True)
class Learn(Stage):
    """Learns."""

    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {"tokens": ("video_id", "token"), "model": (), "speech": ("text",)}
    optional: ClassVar[frozenset[str]] = frozenset({"speech"})
    neutral: ClassVar[frozenset[str]] = frozenset({"micro_batch"})
    rate: float = 20.0
    steps: int = 100
    task: Task = Task()
    micro_batch: int = 8

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None: ...


@dataclass(frozen=True, kw_only=True)
class ReadPaths(Stage):
    """Reads files, wherever they are."""

    paths: ClassVar[frozenset[str]] = frozenset({"path"})
    path: str | None

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None: ...


class Later(Learn):
    version: ClassVar[str] = "2"


@dataclass(frozen=True, kw_only=True)
class ReadFile(Stage):
    """Reads a file."""

    path: str

    def fingerprint(self) -> str:
        return listing_digest([self.path])

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> None: ...


INPUTS = {"tokens": "k1", "model": "k2"}


class TestKey:
    def test_a_path_has_one_however_it_is_spelled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "clips").mkdir()
        (tmp_path / "a,b").touch()
        for same in (
            ("clips", "clips/", "./clips", "clips/../clips", f"{tmp_path}/clips"),
            ("clips/*.mp4, clips", f"./clips/*.mp4,{tmp_path}/clips", "clips/*.mp4,clips/"),
            ("a,b", "./a,b", f"{tmp_path}/a,b"),
        ):
            assert len({ReadPaths(path=path).key({}) for path in same}) == 1
        below = [ReadPaths(path=path).key({"folder": "k"}) for path in ("clips", "./clips/", f"{tmp_path}/clips")]
        assert below[0] == below[1] != below[2]
        others = {ReadPaths(path=path).key({}) for path in (None, "bert/base", "clips", "a,b", "b")}
        assert len(others) == 5
        monkeypatch.chdir("/")
        assert ReadPaths(path="bert/base").key({}) in others, "a name means the same everywhere"

    def test_all_that_changes_the_result_changes_it(self) -> None:
        keys = [
            Learn().key(INPUTS),
            Learn(rate=10.0).key(INPUTS),
            Learn(task=Task(("cut",))).key(INPUTS),
            Learn().key({**INPUTS, "model": "k3"}),
            Learn().key({**INPUTS, "speech": "k3"}),
            Later().key(INPUTS),
        ]
        assert len(set(keys)) == len(keys)

    def test_nothing_else_does(self) -> None:
        key = Learn().key(INPUTS)
        assert Learn(micro_batch=1).key(INPUTS) == key
        assert Learn(rate=20).key(INPUTS) == key
        assert Learn().key(dict(reversed(INPUTS.items()))) == key

    def test_it_is_the_same_on_every_machine(self) -> None:
        assert Learn().key(INPUTS) == "4f2df45772cbc5c4"

    def test_a_stage_of_the_same_fields_and_another_name_is_another(self) -> None:
        other: Any = type("Other", (Learn,), {})
        assert other().key(INPUTS) != Learn().key(INPUTS)

    def test_it_follows_the_files_that_fields_name(self, tmp_path: Path) -> None:
        path = tmp_path / "list.txt"
        path.write_text("a.mp4\n")
        stage = ReadFile(path=str(path))
        before = stage.key({})
        path.write_text("a.mp4\nb.mp4\n")
        assert stage.key({}) != before
        with pytest.raises(UserError, match="nowhere: no such file"):
            replace(stage, path="nowhere").key({})


class TestInputs:
    def test_optional_ones_may_be_absent(self) -> None:
        Learn().check_inputs({"tokens": "", "model": ""})
        Learn().check_inputs({"tokens": "", "model": "", "speech": ""})

    def test_missing(self) -> None:
        with pytest.raises(UserError, match=r"Learn needs the input 'model' \(its inputs: tokens, model, speech\)"):
            Learn().check_inputs({"tokens": ""})

    def test_unknown(self) -> None:
        with pytest.raises(UserError, match="Learn has no input 'words'"):
            Learn().check_inputs({**INPUTS, "words": ""})

    def test_columns(self) -> None:
        Learn().check_columns("model", None, "node 'bert'")
        with pytest.raises(
            UserError, match="Learn reads token from its input 'tokens', but node 'clips' has video_id, x"
        ):
            Learn().check_columns("tokens", pa.schema([("video_id", pa.string()), ("x", pa.int8())]), "node 'clips'")
        with pytest.raises(UserError, match="but node 'bert' has no table"):
            Learn().check_columns("tokens", None, "node 'bert'")


class TestFieldsAsJson:
    def test_dataclasses_say_their_class(self) -> None:
        assert fields_as_json(Learn()) == {
            "rate": 20,
            "steps": 100,
            "task": {"class": "Task", "labels": ["cut", "stir"]},
            "micro_batch": 8,
        }

    def test_only_plain_data(self) -> None:
        with pytest.raises(TypeError, match="plain data or a dataclass, not function"):
            fields_as_json({"a": fields_as_json})
