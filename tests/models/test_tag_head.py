from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor
from transformers import BertConfig

from models.encoder import Encoded
from models.tag_head import UNKNOWN, TagHead
from models.tasks.tagged_words import collate_words, terms

TAGS = 3


def head(crf: bool) -> TagHead:
    torch.manual_seed(0)
    made = TagHead(BertConfig(hidden_size=4, num_attention_heads=1), TAGS, crf)
    torch.nn.init.normal_(made.linear.weight)
    if made.crf is not None:
        for parameter in made.crf.parameters():
            torch.nn.init.normal_(parameter)
    return made.eval()


def sequences() -> tuple[Encoded, dict[str, Tensor]]:
    """Two sequences of 3 and 2 words, which begin at some of 7 positions."""
    torch.manual_seed(1)
    examples = [{"first": [1, 3, 4], "targets": [0, 2, 1]}, {"first": [1, 2], "targets": [1, 1]}]
    return Encoded(torch.randn(2, 7, 4), (), None, None), collate_words(examples)


def words(made: TagHead, encoded: Encoded) -> list[Tensor]:
    """The logits of each sequence's words, taken one by one."""
    return [made.linear(encoded.last_BLD[i, positions]) for i, positions in enumerate(([1, 3, 4], [1, 2]))]


def score(made: TagHead, logits_WT: Tensor, tags: tuple[int, ...]) -> Tensor:
    """Of a random field, by its definition."""
    assert made.crf is not None
    total = made.crf.start_transitions[tags[0]] + made.crf.end_transitions[tags[-1]]
    total = total + sum(logits_WT[i, tag] for i, tag in enumerate(tags))
    return total + sum((made.crf.transitions[a, b] for a, b in pairwise(tags)), torch.tensor(0.0))


def test_the_loss_is_that_of_the_first_pieces() -> None:
    made, (encoded, labels) = head(crf=False), sequences()
    expected = sum(
        torch.nn.functional.cross_entropy(logits, torch.tensor(tags), reduction="sum")
        for logits, tags in zip(words(made, encoded), ([0, 2, 1], [1, 1]), strict=True)
    )
    torch.testing.assert_close(made.loss(encoded, labels), expected)
    assert made.decode(encoded, labels) == [logits.argmax(-1).tolist() for logits in words(made, encoded)]
    assert terms(labels, crf=False) == 5
    assert terms(labels, crf=True) == 2


def test_words_of_unknown_tags_have_no_part_in_the_loss() -> None:
    made, (encoded, labels) = head(crf=False), sequences()
    labels["tags"][0, 1] = UNKNOWN
    kept = words(made, encoded)[0][[0, 2]], words(made, encoded)[1]
    expected = sum(
        torch.nn.functional.cross_entropy(logits, torch.tensor(tags), reduction="sum")
        for logits, tags in zip(kept, ([0, 1], [1, 1]), strict=True)
    )
    torch.testing.assert_close(made.loss(encoded, labels), expected)
    assert terms(labels, crf=False) == 4


def test_the_field_is_over_words_alone() -> None:
    made, (encoded, labels) = head(crf=True), sequences()
    loss, best = torch.tensor(0.0), []
    for logits, tags in zip(words(made, encoded), ((0, 2, 1), (1, 1)), strict=True):
        every = {path: score(made, logits, path) for path in product(range(TAGS), repeat=len(tags))}
        loss = loss + torch.stack(list(every.values())).logsumexp(0) - every[tags]
        best.append(list(max(every, key=lambda path: float(every[path].detach()))))
    torch.testing.assert_close(made.loss(encoded, labels), loss)
    assert made.decode(encoded, labels) == best


@pytest.mark.parametrize("crf", [False, True])
def test_padding_changes_nothing(crf: bool) -> None:
    made, (encoded, labels) = head(crf), sequences()
    alone = Encoded(encoded.last_BLD[1:, :3], (), None, None)
    mine = {name: tensor[1:, :2] for name, tensor in labels.items()}
    first = Encoded(encoded.last_BLD[:1], (), None, None)
    both = made.loss(alone, mine) + made.loss(first, {name: tensor[:1] for name, tensor in labels.items()})
    torch.testing.assert_close(made.loss(encoded, labels), both)
    assert made.decode(alone, mine) == made.decode(encoded, labels)[1:]


def test_scores_have_all_their_digits_where_the_encoder_has_fewer() -> None:
    made, (encoded, labels) = head(crf=False), sequences()
    expected = made.emissions(encoded, labels)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made.emissions(encoded, labels), expected)
