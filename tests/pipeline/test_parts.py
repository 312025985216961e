from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import StageFailed, UserError
from pipeline.parts import Part, cut, map_part, portable
from pipeline.store import file_digest, part_metadata, read_part

SCHEMA = pa.schema([("video_id", pa.string()), ("clip", pa.int32())])


def rows(ids: str) -> pa.Table:
    return pa.table({"video_id": list(ids), "clip": range(len(ids))})


class TestCut:
    def test_items_in_the_order_in_which_the_tables_name_them(self) -> None:
        items = [
            (name, *(t["clip"].to_pylist() for t in item)) for name, item in cut([rows("bba"), rows("acb")], "video_id")
        ]
        assert items == [("b", [0, 1], [2]), ("a", [2], [0]), ("c", [], [1])]

    def test_an_item_that_an_input_lacks_is_empty_there(self) -> None:
        (_, (_, right)), (_, (left, _)) = cut([rows("b"), rows("a")], "video_id")
        assert (left.num_rows, right.num_rows) == (0, 0)
        assert left.schema == right.schema == rows("a").schema

    def test_scattered_rows_keep_their_order(self) -> None:
        assert [t["clip"].to_pylist() for _, (t,) in cut([rows("abab")], "video_id")] == [[0, 2], [1, 3]]

    def test_rows_that_lie_together_are_not_copied(self) -> None:
        table = pa.table({"video_id": ["a"] * 1000 + ["b"] * 1000, "feature": [bytes(1000)] * 2000})
        before = pa.total_allocated_bytes()
        items = list(cut([table], "video_id"))
        assert [t.num_rows for _, (t,) in items] == [1000, 1000]
        assert pa.total_allocated_bytes() - before < 100_000

    def test_null_is_a_value(self) -> None:
        table = pa.table({"video_id": ["a", None, None], "clip": [0, 1, 2]})
        assert [(name, t["clip"].to_pylist()) for name, (t,) in cut([table], "video_id")] == [
            ("a", [0]),
            ("None", [1, 2]),
        ]

    def test_no_rows_no_items(self) -> None:
        assert list(cut([rows("")], "video_id")) == []
        assert list(cut([rows("")], None)) == []

    def test_without_a_column_rows_are_items(self) -> None:
        assert [(name, t["clip"].to_pylist()) for name, (t,) in cut([rows("ab")], None)] == [("a", [0]), ("b", [1])]


class Watched:
    """Remembers the order in which it was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def prefetch(self, table: pa.Table) -> None:
        self.calls.append("prefetch " + table["video_id"][0].as_py())

    def __call__(self, table: pa.Table) -> pa.Table:
        self.calls.append(table["video_id"][0].as_py())
        return table


class Whole(Watched):
    """Takes parts whole, or row by row where they have more than two."""

    def __call__(self, table: pa.Table) -> pa.Table:
        if table.num_rows > 2:
            raise ValueError("too much at once")
        return table


class Picky:
    """Raises for one video; says with what it computes."""

    def __init__(self, bad: str, precision: str) -> None:
        self.bad, self.how = bad, {"precision": precision}

    def __call__(self, table: pa.Table) -> pa.Table:
        if table["video_id"][0].as_py() == self.bad:
            raise ValueError("broken")
        return table


def part(folder: Path, table: pa.Table, by: str | None = "video_id", suffix: str = ".parquet", **fields: Any) -> Part:
    return Part(0, (table,), folder, SCHEMA, suffix, by, **fields)


class TestMapPart:
    def test_the_next_item_is_fetched_before_this_one_runs(self, tmp_path: Path) -> None:
        mapper = Watched()
        assert list(map_part(mapper, part(tmp_path, rows("aab")))) == [2, 1]
        assert mapper.calls == ["prefetch a", "prefetch b", "a", "b"]

    def test_a_fetch_that_fails_costs_nothing_but_time(self, tmp_path: Path) -> None:
        mapper = Watched()
        mapper.prefetch = partial(pow, 0)  # type: ignore[method-assign]
        assert list(map_part(mapper, part(tmp_path, rows("aab")))) == [2, 1]
        assert not (tmp_path / "errors").exists()

    def test_carefully_nothing_is_fetched_and_poison_not_touched(self, tmp_path: Path) -> None:
        mapper = Watched()
        careful = part(tmp_path, rows("abc"), careful=True, poisonous=((1, "it kills"),))
        assert list(map_part(mapper, careful)) == [1, 1, 1]
        assert mapper.calls == ["a", "c"]

    def test_what_is_whole_and_has_a_column_is_one_call_and_where_that_raises_one_a_value(self, tmp_path: Path) -> None:
        mapper = Watched()
        assert list(map_part(mapper, part(tmp_path / "whole", rows("aabb"), whole=True))) == [4]
        assert mapper.calls == ["a"]
        careful = part(tmp_path / "careful", rows("aabb"), whole=True, careful=True, poisonous=((0, "it kills"),))
        assert list(map_part(mapper, careful)) == [2, 2]
        assert mapper.calls == ["a", "b"]
        said, *steps = map_part(Whole(), broken := part(tmp_path / "broken", rows("aabccc"), whole=True))
        assert said == "part-00000.parquet: too much at once; its items are tried one by one"
        assert steps == [2, 1, 3]
        assert read_part(broken.path)["video_id"].to_pylist() == ["a", "a", "b"]
        assert read_part(broken.errors_path)["item"].to_pylist() == ["c"]
        assert {p: part_metadata(p)[b"items"] for p in tmp_path.glob("*/*.parquet")} == {
            tmp_path / "whole/part-00000.parquet": b"2",
            tmp_path / "careful/part-00000.parquet": b"2",
            broken.path: b"3",
        }

    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    def test_the_file_does_not_show_how_it_was_cut(self, tmp_path: Path, suffix: str) -> None:
        digests = set()
        for i, (table, careful) in enumerate([(rows("ab"), False), (rows("ab"), True)]):
            piece = part(tmp_path / str(i), table, None, suffix, careful=careful)
            list(map_part(Whole(), piece))
            digests.add(file_digest(piece.path))
        assert len(digests) == 1

    def test_errors_of_an_earlier_try_do_not_stay(self, tmp_path: Path) -> None:
        piece = part(tmp_path, rows("abc"), None)
        piece.errors_path.parent.mkdir()
        piece.errors_path.touch()
        list(map_part(Whole(), piece))
        assert not piece.errors_path.exists()
        assert piece.path.exists()

    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    def test_a_part_says_with_what_it_was_computed_by_all_that_wrote_rows_of_it(
        self, tmp_path: Path, suffix: str
    ) -> None:
        piece = part(tmp_path, rows("ab"), suffix=suffix)
        list(map_part(Picky("a", "float32"), piece))
        assert part_metadata(piece.path)[b"precision"] == b"float32"
        list(map_part(Picky("", "bfloat16"), replace(piece, again=True)))
        assert read_part(piece.path)["video_id"].to_pylist() == ["a", "b"]
        assert part_metadata(piece.path)[b"precision"] == b"bfloat16\nfloat32"


class TestPortable:
    def test_the_users_errors_stay_what_they_are(self) -> None:
        for kind in (UserError, StageFailed):
            assert type(portable(kind("no such file"), "a worker")) is kind

    def test_others_carry_their_traceback(self) -> None:
        try:
            raise KeyError("token")
        except KeyError as error:
            failure = portable(error, "training worker 1")
        assert str(failure) == "training worker 1 failed: KeyError: 'token'"
        assert 'raise KeyError("token")' in failure.__notes__[0]
