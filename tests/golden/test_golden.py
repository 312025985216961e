"""A stage's output changes only when its version does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import Artifact, LocalExecutor, catalogue
from pipeline.graph import make
from tests.cases import CASES, Case, artifact
from tests.golden import guard
from tests.pipeline.toys import DrawNumbers

FLOATS = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_output_changes_only_with_version(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    stage, inputs = case.build(tmp_path / "inputs")
    out = Artifact(tmp_path / "out", "key")
    with LocalExecutor() as executor:
        make(stage, inputs, out, executor)
    now = guard.describe(case, stage, out)
    outputs = guard.load()
    if guard.check(case, outputs.get(case.name), now, request.config.getoption("--update-golden")):
        guard.save({**outputs, case.name: now})


def test_outputs_are_of_known_cases() -> None:
    assert set(guard.load()) <= {case.name for case in CASES}


def test_every_stage_has_a_case() -> None:
    assert set(catalogue.stages()) - {entry["stage"] for entry in guard.load().values()} == set()


class TestGuard:
    def describe(self, folder: Path, tolerance: float = 0.0, floats: np.ndarray = FLOATS, token: int = 7) -> dict:
        table = pa.table({"token": [token] * len(floats), "feature": list(floats), "path": [str(folder)] * len(floats)})
        return guard.describe(self.case(tolerance), DrawNumbers(), artifact(folder, table))

    def case(self, tolerance: float = 0.0) -> Case:
        return Case("a case", lambda folder: (DrawNumbers(), {}), tolerance, leave_out=("path",))

    def test_same_content_in_other_files_is_the_same(self, tmp_path: Path) -> None:
        known, now = self.describe(tmp_path / "a"), self.describe(tmp_path / "b")
        assert not guard.check(self.case(), known, now, update=False)

    def test_another_integer_is_a_change(self, tmp_path: Path) -> None:
        known, now = self.describe(tmp_path / "a", 0.1), self.describe(tmp_path / "b", 0.1, token=8)
        with pytest.raises(AssertionError, match="raise `version`"):
            guard.check(self.case(0.1), known, now, update=False)

    def test_noise_below_the_tolerance_is_no_change(self, tmp_path: Path) -> None:
        noisy = FLOATS * (1 + np.float32(1e-4))
        known, now = self.describe(tmp_path / "a", 1e-3), self.describe(tmp_path / "b", 1e-3, noisy)
        assert not guard.check(self.case(1e-3), known, now, update=False)
        with pytest.raises(AssertionError, match="feature"):
            guard.check(self.case(1e-6), known, now, update=False)

    def test_exchanged_rows_are_a_change(self, tmp_path: Path) -> None:
        known, now = self.describe(tmp_path / "a", 1e-3), self.describe(tmp_path / "b", 1e-3, FLOATS[::-1])
        with pytest.raises(AssertionError, match="feature"):
            guard.check(self.case(1e-3), known, now, update=False)

    def test_another_figure_in_the_manifest_is_a_change(self, tmp_path: Path) -> None:
        known, now = (
            {**self.describe(tmp_path / n), "manifest": {"manifest.f1": f}} for n, f in (("a", 0.5), ("b", 0.51))
        )
        assert not guard.check(self.case(0.1), known, now, update=False)
        with pytest.raises(AssertionError, match=r"manifest.f1: 0.51 instead of 0.5"):
            guard.check(self.case(1e-3), known, now, update=False)
        with pytest.raises(AssertionError, match=r"manifest.f1: None instead of 0.5"):
            guard.check(self.case(1e-3), known, self.describe(tmp_path / "c"), update=False)

    def test_update_refuses_a_change_without_a_new_version(self, tmp_path: Path) -> None:
        known, now = self.describe(tmp_path / "a"), self.describe(tmp_path / "b", token=8)
        with pytest.raises(AssertionError, match="version is still 1"):
            guard.check(self.case(), known, now, update=True)
        assert guard.check(self.case(), known, {**now, "version": "2"}, update=True)
        assert guard.check(self.case(), None, now, update=True)

    def test_new_versions_are_written_only_on_demand(self, tmp_path: Path) -> None:
        now = self.describe(tmp_path / "a")
        with pytest.raises(AssertionError, match="--update-golden"):
            guard.check(self.case(), None, now, update=False)
        with pytest.raises(AssertionError, match="--update-golden"):
            guard.check(self.case(), {**now, "version": "0"}, now, update=False)
