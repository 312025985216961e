import threading
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import whisper
from tqdm import tqdm
from whisper.model import ModelDimensions, Whisper

from models.whisper_checkpoint import find_checkpoint, load_whisper, official_digest
from pipeline.store import file_digest

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As deep and with as many heads as the official ``tiny``, but narrow: its alignment heads fit."""
    dims = ModelDimensions(80, 1500, 12, 6, 1, 51865, 8, 12, 6, 4)
    path = tmp_path_factory.mktemp("whisper") / "narrow.pt"
    torch.save({"dims": asdict(dims), "model_state_dict": Whisper(dims).state_dict()}, path)
    return path


@pytest.fixture
def served(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes ``tiny`` the checkpoint above, fetched from this disk to a cache folder, which is returned."""
    source = tmp_path / "source" / file_digest(checkpoint) / "tiny.pt"
    source.parent.mkdir(parents=True)
    source.write_bytes(checkpoint.read_bytes())
    monkeypatch.setitem(whisper._MODELS, "tiny", source.as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "whisper"


def test_names_and_digests_of_the_official_models() -> None:
    assert len(official_digest("large-v3") or "") == 64
    assert official_digest("large-v3") == official_digest("large")
    assert official_digest("somebody's.pt") is None


def test_a_path_is_its_own_checkpoint(checkpoint: Path) -> None:
    assert find_checkpoint(str(checkpoint)) == checkpoint
    with pytest.raises(ValueError, match=r"'bse' is neither a file nor an official model \(tiny\.en, .*turbo\)"):
        find_checkpoint("bse")


def test_an_official_model_is_fetched_once(served: Path) -> None:
    assert find_checkpoint("tiny") == served / "tiny.pt"
    Path(whisper._MODELS["tiny"].removeprefix("file://")).unlink()
    assert find_checkpoint("tiny") == served / "tiny.pt"


def test_without_a_network_the_error_says_which_file_goes_where(served: Path) -> None:
    url = whisper._MODELS["tiny"]
    Path(url.removeprefix("file://")).unlink()
    with pytest.raises(ConnectionError, match="'tiny' cannot be fetched") as error:
        find_checkpoint("tiny")
    assert f"put {url} into {served}" in str(error.value)


def test_official_weights_are_known_by_their_content(served: Path, checkpoint: Path) -> None:
    official = whisper._ALIGNMENT_HEADS["tiny"]
    heads = load_whisper(checkpoint, CPU).alignment_heads.to_dense()
    expected = Whisper(ModelDimensions(80, 1500, 12, 6, 1, 51865, 8, 12, 6, 4))
    expected.set_alignment_heads(official)
    assert torch.equal(heads, expected.alignment_heads.to_dense())


def test_another_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("no weights")
    with pytest.raises(ValueError, match=r"a\.pt: not a checkpoint in the format of openai-whisper"):
        load_whisper(tmp_path / "a.pt", CPU)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"b\.pt: not a checkpoint .*KeyError"):
        load_whisper(tmp_path / "b.pt", CPU)


def test_no_lock_among_processes_is_left_to_a_killed_worker(checkpoint: Path) -> None:
    load_whisper(checkpoint, CPU)
    assert isinstance(tqdm.get_lock(), type(threading.RLock()))
