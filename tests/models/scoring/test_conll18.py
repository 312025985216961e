from __future__ import annotations

import sys

import pytest

from models.scoring.conll18 import conll18

GOLD = """\
1\tThe\tthe\tDET\t_\tDefinite=Def\t2\tdet\t_\t_
2\tdogs\tdog\tNOUN\t_\tNumber=Plur|Typo=Yes\t3\tnsubj:pass\t_\t_
3\tsaw\tsee\tVERB\t_\t_\t0\troot\t_\t_
4\tit\tit\tPRON\t_\t_\t3\tobj\t_\t_"""


def test_what_the_official_rules_count() -> None:
    """Subtypes of relations and features of one language do not count; a function word does only where it hangs."""
    system = GOLD.replace("nsubj:pass", "nsubj").replace("|Typo=Yes", "").replace("\tthe\t", "\tThe\t")
    figures = conll18([(GOLD, system)])
    assert figures == {
        "UPOS": 1.0,
        "UFeats": 1.0,
        "Lemmas": 0.75,
        "UAS": 1.0,
        "LAS": 1.0,
        "CLAS": 1.0,  # of three content words
        "MLAS": 1.0,
        "BLEX": 1.0,  # the wrong lemma is a function word's
    }


def test_a_wrong_function_word_spoils_its_head_in_mlas_only() -> None:
    figures = conll18([(GOLD, GOLD.replace("\tDET\t", "\tPRON\t"))])
    assert figures["UPOS"] == 0.75
    assert figures["CLAS"] == figures["BLEX"] == 1.0
    assert figures["MLAS"] == pytest.approx(2 / 3)


def test_two_roots_are_refused_unless_they_are_let_pass() -> None:
    system = GOLD.replace("2\tdet", "0\troot")
    with pytest.raises(ValueError, match="multiple roots"):
        conll18([(GOLD, system)])
    assert conll18([(GOLD, system)], several_roots=True)["UAS"] == 0.75


def test_a_long_chain_of_words_is_measured() -> None:
    """Each word hangs from the next one; Python allows 1,000 calls within one another."""
    n = 5_000
    heads = [*range(2, n + 1), 0]
    chain = "\n".join(f"{i}\tw\tw\tX\t_\t_\t{h}\t{'dep' if h else 'root'}\t_\t_" for i, h in enumerate(heads, 1))
    before = sys.getrecursionlimit()
    assert conll18([(GOLD, GOLD), (chain, chain)])["LAS"] == 1
    assert sys.getrecursionlimit() == before


def test_no_sentences_have_no_figures() -> None:
    assert conll18([]) == {}
