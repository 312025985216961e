"""``--set NODE.FIELD=VALUE`` changes one stage of a workflow, with the field's own type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import Graph, UserError
from pipeline.assignment import assign
from pipeline.catalogue import load_workflow


@pytest.fixture
def graph(orchard: Path) -> Graph:
    made: Graph = load_workflow("orchard").graph(trees="trees.txt")
    return made


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("fruits.at_most=2", 2),
        ("fruits.at_most=null", None),
        ("fruits.trees=2", "2"),
        ("fruits.trees=a=b", "a=b"),
        ("fruits.sizes=[big, huge]", ("big", "huge")),
        ("juice.press=steam", "steam"),
        ("juice.yield_rate=1", 1.0),
        ("juice.recipe.sugar_g=3", 3.0),
    ],
)
def test_a_value_has_the_fields_type(graph: Graph, assignment: str, value: Any) -> None:
    assign(graph, assignment)
    node, *fields = assignment.partition("=")[0].split(".")
    found: Any = graph[node].stage
    for field in fields:
        found = getattr(found, field)
    assert found == value
    assert type(found) is type(value)


def test_an_abstract_field_takes_a_class_and_then_its_fields(graph: Graph) -> None:
    assign(graph, "juice.recipe=Diluted")
    assign(graph, "juice.recipe.water=0.25")
    assert repr(graph["juice"].stage.recipe) == "Diluted(sugar_g=0.0, water=0.25)"  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"--set juice.recipe.water: Diluted: water must be at least 0 and below 1"):
        assign(graph, "juice.recipe.water=2")


@pytest.mark.parametrize(
    ("assignment", "answer"),
    [
        ("juice", "--set juice: expected NODE.FIELD=VALUE"),
        ("juice=1", "--set juice=1: expected NODE.FIELD=VALUE"),
        ("juise.press=steam", "--set juise.press: no node 'juise' (did you mean juice?)"),
        ("juice.pres=steam", "--set juice.pres: no field 'pres' (did you mean press?)"),
        ("juice.press=stem", "--set juice.press: expected one of 'hand', 'steam', got 'stem'"),
        ("juice.press.x=1", "--set juice.press.x: str has no fields, so no 'x'"),
        ("juice.recipe.sugar_g=x", "--set juice.recipe.sugar_g: expected float, got 'x'"),
        ("juice.recipe.water=0.1", "--set juice.recipe.water: no field 'water' (there are: sugar_g)"),
        ("fruits.sizes=big", "--set fruits.sizes: expected a list like '[a, b]', got 'big'"),
        ("fruits.at_most=0", "--set fruits.at_most: Pick: at_most must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(graph: Graph, assignment: str, answer: str) -> None:
    with pytest.raises(UserError) as refused:
        assign(graph, assignment)
    assert str(refused.value) == answer
