"""Stages and workflows are found by where they lie and what they are called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import UserError, catalogue
from pipeline.arguments import Parser


def test_a_stage_is_the_class_that_carries_its_files_name(orchard: Path) -> None:
    assert {name: e.module for name, e in catalogue.stages().items()} == {
        "Pick": "stages.pick",
        "MakeJuice": "stages.press.make_juice",
    }  # stages/press/recipe.py has a class Recipe, which is no stage


def test_a_workflow_is_a_file_with_a_graph(orchard: Path) -> None:
    assert {name: e.summary for name, e in catalogue.workflows().items()} == {
        "orchard": "Fruit to juice.",
        "text.labels": "What is written on the bottles.",
    }


def test_the_last_part_of_a_workflows_name_is_enough(orchard: Path) -> None:
    assert catalogue.load_workflow("labels") is catalogue.load_workflow("text.labels")


def test_a_short_name_that_fits_several_workflows_is_refused(orchard: Path) -> None:
    (orchard / "workflows").unlink()
    for folder in ("text", "video"):
        (orchard / "workflows" / folder).mkdir(parents=True)
        (orchard / "workflows" / folder / "tags.py").write_text("def graph(): ...")
    (orchard / "workflows" / "__init__.py").touch()
    with pytest.raises(UserError, match=r"several workflows are called 'tags': text\.tags, video\.tags"):
        catalogue.load_workflow("tags")


def test_an_unknown_name_gets_the_nearest_one(orchard: Path) -> None:
    with pytest.raises(UserError, match=r"^no stage 'makejuice' \(did you mean MakeJuice\?\)$"):
        catalogue.load_stage("makejuice")
    with pytest.raises(UserError, match=r"^no workflow 'vineyard' \(there are: orchard, text.labels\)$"):
        catalogue.load_workflow("vineyard")


def test_listing_imports_neither_stages_nor_torch(orchard: Path) -> None:
    program = (
        "import sys; from pipeline.cli import main; main(['--help']); main(['list']); "
        "sys.exit([m for m in sys.modules if m.partition('.')[0] in ('torch', 'ray', 'stages', 'workflows')] or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_every_stage_and_workflow_of_the_project_says_what_its_arguments_mean() -> None:
    silent = []
    owners = [(n, catalogue.load_stage(n)) for n in catalogue.stages()]
    owners += [(n, catalogue.load_workflow(n).graph) for n in catalogue.workflows()]
    for name, owner in owners:
        parser = Parser()
        parser.add_signature("arguments", owner)
        silent += [f"{name}.{a.dest}" for a in parser._actions if a.dest in parser.hints and not a.help]
    assert not silent
