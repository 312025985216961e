"""What is written on the bottles."""

from pipeline import Graph
from stages.pick import Pick


def graph(trees: str) -> Graph:
    """One node."""
    graph = Graph()
    graph.add("fruits", Pick(trees=trees))
    return graph
