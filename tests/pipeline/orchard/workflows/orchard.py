"""Fruit to juice.

Paper    none
Command  videobert run orchard --trees trees.txt
"""

from collections.abc import Mapping

from pipeline import Artifact, Graph
from stages.pick import Pick
from stages.press.make_juice import MakeJuice
from stages.press.recipe import Plain, Recipe


def graph(trees: str, yield_rate: float = 0.5, recipe: Recipe = Plain()) -> Graph:
    """The orchard as a graph.

    Args:
        trees: Path of a text file of fruits.
        yield_rate: Millilitres of juice a gram.
        recipe: How much comes out.
    """
    if yield_rate < 0:
        raise ValueError(f"yield_rate must be 0 or more, not {yield_rate}")
    graph = Graph()
    fruits = graph.add("fruits", Pick(trees=trees))
    graph.add("juice", MakeJuice(yield_rate=yield_rate, recipe=recipe), fruits=fruits)
    return graph


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print what came out."""
    print(f"{sum(artifacts['juice'].read()['juice_ml'].to_pylist()):.1f} ml of juice")
