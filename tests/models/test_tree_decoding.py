from __future__ import annotations

import torch

from models.parser_head import ParserHead, Scores
from models.tree_decoding import likeliest_trees, reference_trees
from tests.models.test_parser_head import SIZES

DEPRELS = ("nsubj", "root", "obj", "root:x")


def scores(arcs: list[list[float]], sizes: list[int]) -> Scores:
    torch.manual_seed(0)
    sentence = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    width = max(sizes) + 1
    return Scores(
        tags={},
        arcs_NH=torch.tensor([row + [0.0] * (width - len(row)) for row in arcs]).log(),
        label_words_ND=torch.randn(sum(sizes), SIZES.label_width),
        label_heads_SHD=torch.randn(len(sizes), width, SIZES.label_width),
        sentence_N=sentence,
    )


TWO = [[0.9, 0.0, 0.1], [0.8, 0.2, 0.0]]
"""Both words of a sentence like the root. Products: root 1: .9 · .2 = .18, root 2: .8 · .1 = .08."""


def test_each_sentence_has_its_likeliest_tree_with_one_root() -> None:
    heads, _ = likeliest_trees(ParserHead(SIZES).eval(), scores([[1.0, 0.0], *TWO], [1, 2]), [1, 2], DEPRELS)
    assert heads == [0, 0, 1]


def test_the_roots_word_and_no_other_is_called_root() -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        head = ParserHead(SIZES).eval()
        torch.nn.init.normal_(head.parser.labels.weight)
        heads, labels = likeliest_trees(head, scores([[1.0, 0.0], *TWO], [1, 2]), [1, 2], DEPRELS)
        assert [DEPRELS[label].startswith("root") for label in labels] == [h == 0 for h in heads]


def test_the_reference_lets_two_words_be_roots() -> None:
    heads, labels = reference_trees(ParserHead(SIZES).eval(), scores([[1.0, 0.0], *TWO], [1, 2]), [1, 2])
    assert heads == [0, 0, 0]
    assert len(labels) == 3


def test_the_reference_sums_probabilities_where_products_decide_otherwise() -> None:
    """Arcs of trees with one root: (.5, .5) from the root over word 1, (.9, .2) over word 2. Sums 1.0 < 1.1."""
    head = ParserHead(SIZES).eval()
    arcs = [[0.5, 0.0, 0.9], [0.2, 0.5, 0.0]]
    assert likeliest_trees(head, scores(arcs, [2]), [2], DEPRELS)[0] == [0, 1]  # .25 > .18
    assert reference_trees(head, scores(arcs, [2]), [2])[0] == [2, 0]
