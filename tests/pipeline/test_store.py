from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Artifact, Store, UserError
from pipeline.store import (
    MANIFEST,
    digest,
    file_digest,
    listing_digest,
    part_metadata,
    part_rows,
    part_schema,
    read_part,
    remove_leftovers,
    write_atomically,
    write_json,
    write_part,
)

ROWS = pa.table({"video_id": ["a", "b", None], "feature": [[1.0], [], [2.0, 3.0]]})


class TestWriteAtomically:
    def test_the_file_appears_when_it_is_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "file"
        with write_atomically(path) as temporary:
            temporary.write_text("half")
            assert not path.exists()
        assert path.read_text() == "half"
        assert [p.name for p in path.parent.iterdir()] == ["file"]

    def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        with pytest.raises(UnicodeEncodeError), write_atomically(path) as temporary:
            temporary.write_text("half and then \ud800")
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["file"]

    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path) -> None:
        program = (
            "import os, sys; from pathlib import Path; from pipeline.store import write_atomically\n"
            "with write_atomically(Path(sys.argv[1])) as temporary:\n"
            "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", program, str(tmp_path / "deep" / "file")], check=False)
        assert len(list(tmp_path.rglob("*.tmp"))) == 1
        remove_leftovers(tmp_path)
        assert list((tmp_path / "deep").iterdir()) == []


def test_parts_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (100_000, 99_999, 2):
        (tmp_path / f"part-{number:05d}.parquet").touch()
    assert [p.stem for p in Artifact(tmp_path, "").parts] == ["part-00002", "part-99999", "part-100000"]


def test_a_store_that_cannot_be_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file/x/y", tmp_path / ("x" * 300)):
        with pytest.raises(UserError):
            Store(root)
    with pytest.raises(UserError, match="/proc/store: cannot be written to"):
        Store("/proc/store").open()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
class TestParts:
    def test_rows_schema_and_metadata_come_back(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"part-00000{suffix}"
        write_part(path, ROWS.replace_schema_metadata({"items": "2"}))
        assert read_part(path).equals(ROWS)
        assert read_part(path, ["feature"]).column_names == ["feature"]
        assert part_rows(path) == 3
        assert part_schema(path).equals(ROWS.schema)
        assert part_metadata(path)[b"items"] == b"2"

    def test_same_rows_same_bytes(self, tmp_path: Path, suffix: str) -> None:
        for name in "ab":
            write_part(tmp_path / f"{name}{suffix}", ROWS)
        assert file_digest(tmp_path / f"a{suffix}") == file_digest(tmp_path / f"b{suffix}")

    def test_an_artifact_reads_its_parts_in_order(self, tmp_path: Path, suffix: str) -> None:
        for i in (1, 0, 10):
            write_part(tmp_path / f"part-{i:05d}{suffix}", pa.table({"i": [i]}))
        artifact = Artifact(tmp_path, "key")
        assert artifact.read()["i"].to_pylist() == [0, 1, 10]
        assert artifact.rows() == 3
        assert artifact.schema == pa.schema([("i", pa.int64())])


def test_arrow_parts_are_mapped_and_not_read(tmp_path: Path) -> None:
    write_part(tmp_path / "part-00000.arrow", pa.table({"x": range(1_000_000)}))
    before = pa.total_allocated_bytes()
    table = read_part(tmp_path / "part-00000.arrow")
    assert table.nbytes >= 8_000_000
    assert pa.total_allocated_bytes() - before < 100_000


class TestOpen:
    def test_a_finished_artifact(self, tmp_path: Path) -> None:
        write_json(tmp_path / MANIFEST, {"key": "0123"})
        assert Artifact.open(str(tmp_path)) == Artifact(tmp_path, "0123")

    def test_an_unfinished_one(self, tmp_path: Path) -> None:
        write_part(tmp_path / "part-00000.parquet", ROWS)
        assert not Artifact(tmp_path, "0123").done
        with pytest.raises(UserError, match=r"not a finished artifact \(it has no manifest.json\)"):
            Artifact.open(tmp_path)

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="nowhere: no such directory"):
            Artifact.open(tmp_path / "nowhere")


class TestLock:
    PROGRAM = (
        "import sys, time; from pipeline import Store; store = Store(sys.argv[1])\n"
        "with store.lock(store.artifact('Stage', 'key'), waiting=lambda: print('waiting', flush=True)):\n"
        "    print('locked', flush=True); time.sleep(3600)"
    )

    def start(self, store: Path) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(store)], stdout=subprocess.PIPE, text=True)

    def test_one_process_holds_it_and_sigkill_frees_it(self, tmp_path: Path) -> None:
        first = self.start(tmp_path)
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        second = self.start(tmp_path)
        assert second.stdout is not None
        assert second.stdout.readline() == "waiting\n"
        first.kill()
        assert second.stdout.readline() == "locked\n"
        second.kill()
        for process in (first, second):
            process.communicate()

    def test_another_artifact_is_another_lock(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        with store.lock(store.artifact("Stage", "a")), store.lock(store.artifact("Stage", "b"), waiting=pytest.fail):
            pass


class TestDigests:
    def test_a_known_value(self) -> None:
        """The first 16 digits of SHA-256 of {"a":[1,"\\u00e9"],"b":null}."""
        assert digest({"b": None, "a": [1, "é"]}) == "e6ad993c7a569e94"

    def test_a_listing_names_files_by_path_size_and_time(self, tmp_path: Path) -> None:
        (tmp_path / "videos" / "deep").mkdir(parents=True)
        (tmp_path / "videos" / "deep" / "a.mp4").write_bytes(b"1")
        before = listing_digest([tmp_path / "videos"], folders=True)
        assert listing_digest([tmp_path / "videos"], folders=True) == before
        (tmp_path / "videos" / "b.mp4").write_bytes(b"2")
        assert listing_digest([tmp_path / "videos"], folders=True) != before
        assert listing_digest([tmp_path / "videos" / "b.mp4"]) != listing_digest(
            [tmp_path / "videos" / "deep" / "a.mp4"]
        )

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"b.mp4: no such file or directory"):
            listing_digest([tmp_path, tmp_path / "b.mp4"], folders=True)

    def test_a_folder_in_a_file_s_place_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=f"{tmp_path}: is a folder, give a file"):
            listing_digest([tmp_path])
