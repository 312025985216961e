from __future__ import annotations

import torch

from models.biaffine import FORBIDDEN, Biaffine, BiaffineParser, SentenceDropout, possible_heads

T, F = True, False


def test_a_score_by_hand() -> None:
    """[x; 1]ᵀ U [y; 1] with x = 2 and y = 3: 2·3·1 + 2·10 + 3·100 + 1000."""
    biaffine = Biaffine(1, 1)
    with torch.no_grad():
        biaffine.weight.copy_(torch.tensor([[[1.0, 10.0], [100.0, 1000.0]]]))
    x, y = torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]])
    assert biaffine(x, y).tolist() == [[[[1326.0]]]]
    assert biaffine.pairs(x[0], y[0]).tolist() == [[1326.0]]


def test_pairs_are_the_diagonal_of_all() -> None:
    torch.manual_seed(0)
    biaffine = Biaffine(4, 3)
    torch.nn.init.normal_(biaffine.weight)
    x, y = torch.randn(5, 4), torch.randn(5, 4)
    every = biaffine(x[None], y[None])[0]
    torch.testing.assert_close(biaffine.pairs(x, y), every[torch.arange(5), torch.arange(5)])


def test_scores_are_float32_under_autocast() -> None:
    """1 + 2^-12 is 1 in bf16, in which two heads that differ so little would tie."""
    biaffine = Biaffine(1, 1)
    with torch.no_grad():
        biaffine.weight.copy_(torch.tensor([[[1 + 2**-12, 0.0], [0.0, 0.0]]]))
    one = torch.ones(1, 1, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        scores = biaffine(one[None], one[None]), biaffine.pairs(one, one)
    assert [s.item() for s in scores] == [1 + 2**-12] * 2


def test_a_word_may_hang_from_the_root_and_every_other_word_of_its_sentence() -> None:
    possible = possible_heads(torch.tensor([[T, T, T], [T, T, F]]))
    assert possible[0].tolist() == [[T, F, T, T], [T, T, F, T], [T, T, T, F]]
    assert possible[1][:2].tolist() == [[T, F, T, F], [T, T, F, F]]


def test_scores_of_a_sentence_do_not_depend_on_the_longer_ones_beside_it() -> None:
    torch.manual_seed(0)
    parser = BiaffineParser(8, 5, 6, 4, 0.3).eval()
    torch.nn.init.normal_(parser.arcs.weight)
    words = torch.randn(2, 4, 8)
    mask = torch.tensor([[T, T, T, T], [T, T, F, F]])
    arcs, label_words, label_heads = parser(words, mask)
    alone, alone_words, alone_heads = parser(words[1:, :2], mask[1:, :2])
    torch.testing.assert_close(arcs[1, :2, :3], alone[0])
    torch.testing.assert_close(label_words[1, :2], alone_words[0])
    torch.testing.assert_close(label_heads[1, :3], alone_heads[0])
    assert (arcs[1, :2, 3:] == FORBIDDEN).all()


def test_the_root_is_learned_and_is_the_first_head() -> None:
    torch.manual_seed(0)
    parser = BiaffineParser(8, 5, 6, 4, 0.0)
    torch.nn.init.normal_(parser.arcs.weight)
    words, mask = torch.randn(1, 2, 8), torch.tensor([[T, T]])
    arcs, _, heads = parser(words, mask)
    with torch.no_grad():
        parser.root += 1
    other_arcs, _, other_heads = parser(words, mask)
    assert (arcs != other_arcs).tolist() == [[[T, F, F], [T, F, F]]]
    assert (heads != other_heads).any(-1).tolist() == [[T, F, F]]


def test_dropout_takes_the_same_columns_of_all_words_of_a_sentence() -> None:
    torch.manual_seed(0)
    dropped = SentenceDropout(0.5).train()(torch.ones(3, 10, 50))
    assert (dropped == dropped[:, :1]).all()
    assert (dropped[0] != dropped[1]).any()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (SentenceDropout(0.5).eval()(torch.ones(3, 10, 50)) == 1).all()
