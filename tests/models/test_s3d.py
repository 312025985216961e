from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.s3d import load_s3d, parameters_digest, plain_features
from pipeline.store import file_digest


@pytest.fixture(scope="module")
def network() -> Any:
    return load_s3d("random:0")


def noise(n_clips: int = 1, n_frames: int = 14) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n_clips, n_frames, 224, 224, 3), dtype=torch.uint8, generator=generator)


def saved(network: nn.Module, path: Path, **changes: torch.Tensor | None) -> Path:
    state = {n: v for n, v in {**network.state_dict(), **changes}.items() if v is not None}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def test_features_are_what_the_classifier_reads(network: Any) -> None:
    rgb = (noise().float() / 255 - torch.tensor([0.43216, 0.394666, 0.37645])) / torch.tensor(
        [0.22803, 0.22145, 0.216989]
    )
    with torch.inference_mode():
        logits = network(rgb.permute(0, 4, 1, 2, 3))
        classified = network.classifier(plain_features(network, noise()).view(1, 1024, 1, 1, 1)).flatten(1)
    assert torch.allclose(classified, logits, atol=1e-4)


def test_random_features_are_of_a_size_that_float16_holds_well(network: Any) -> None:
    size = plain_features(network, noise()).square().mean().sqrt()
    assert 0.01 < size < 100


class TestRandomWeights:
    def test_depend_on_the_seed_alone(self, network: Any) -> None:
        torch.manual_seed(99)
        before = torch.get_rng_state()
        again = load_s3d("random:0")
        assert parameters_digest(again) == parameters_digest(network)
        assert torch.equal(torch.get_rng_state(), before)

    def test_differ_between_seeds(self, network: Any) -> None:
        assert parameters_digest(load_s3d("random:1")) != parameters_digest(network)

    def test_seed_must_be_a_number(self) -> None:
        with pytest.raises(ValueError, match=r"random:SEED takes a whole number, such as random:0, not 'random:x'"):
            load_s3d("random:x")


class TestFiles:
    @pytest.mark.parametrize("name", ["s3d.pth", "s3d.safetensors"])
    def test_same_parameters_with_another_classifier_or_none(self, network: Any, tmp_path: Path, name: str) -> None:
        weight, bias = torch.zeros(7, 1024, 1, 1, 1), torch.zeros(7)
        for classifier in ((weight, bias), (None, None)):
            changes = dict(zip(("classifier.1.weight", "classifier.1.bias"), classifier, strict=True))
            path = saved(network, tmp_path / name, **changes)
            assert parameters_digest(load_s3d(str(path))) == parameters_digest(network)

    def test_digest_sees_every_parameter(self, network: Any, tmp_path: Path) -> None:
        changed = network.features[0][0][1].running_var + 1e-3
        path = saved(network, tmp_path / "s3d.pth", **{"features.0.0.1.running_var": changed})
        assert parameters_digest(load_s3d(str(path))) != parameters_digest(network)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"none.pth: no such file \(weights are kinetics400, a path or random:SEED\)"):
            load_s3d(str(tmp_path / "none.pth"))

    def test_of_another_network(self, tmp_path: Path) -> None:
        torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"other.pth: not a state dict of torchvision's S3D \(it lacks features\."):
            load_s3d(str(tmp_path / "other.pth"))

    def test_of_another_width(self, network: Any, tmp_path: Path) -> None:
        path = saved(network, tmp_path / "s3d.pth", **{"features.0.0.1.weight": torch.zeros(3)})
        with pytest.raises(ValueError, match=r"features.0.0.1.weight has shape \(3,\), but S3D's has \(64,\)"):
            load_s3d(str(path))

    @pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
    def test_that_hold_no_tensors(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("no tensors")
        with pytest.raises(ValueError, match=rf"{name}: not a state dict"):
            load_s3d(str(tmp_path / name))


class TestKinetics:
    @pytest.fixture
    def served(self, network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """Makes torchvision's weights ``network``'s, fetched from this disk; gives the file it comes from."""
        from torchvision.models.video import S3D_Weights

        path = saved(network, tmp_path / "s3d.pth")
        path = path.rename(tmp_path / f"s3d-{file_digest(path)[:8]}.pth")
        monkeypatch.setattr(S3D_Weights.KINETICS400_V1.value, "url", path.as_uri())
        before = torch.hub.get_dir()
        torch.hub.set_dir(str(tmp_path / "hub"))
        yield path
        torch.hub.set_dir(before)

    def test_weights_are_fetched_once(self, network: Any, served: Path) -> None:
        assert parameters_digest(load_s3d("kinetics400")) == parameters_digest(network)
        served.unlink()
        assert parameters_digest(load_s3d("kinetics400")) == parameters_digest(network)

    def test_another_file_than_was_asked_for_is_refused(self, served: Path) -> None:
        served.write_bytes(served.read_bytes() + b"more")
        with pytest.raises(OSError, match=r"cannot be downloaded from file://.*invalid hash"):
            load_s3d("kinetics400")


def test_without_a_network_kinetics_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.hub.get_dir()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    torch.hub.set_dir(str(tmp_path))
    try:
        with pytest.raises(
            OSError, match=r"cannot be downloaded from https://.*: put that file into .*checkpoints"
        ) as e:
            load_s3d("kinetics400")
    finally:
        torch.hub.set_dir(before)
    assert "\n" not in str(e.value)
