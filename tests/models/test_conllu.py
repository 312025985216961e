from __future__ import annotations

import pytest

from models.conllu import ConlluError, Words, annotate, bare, parse
from tests.stages.text.small_treebank import sentence

TEXT = """\
# sent_id = 1
# newpar
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=Maybe
1\tvamos\tir\tVERB\t_\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj:x\t1:obj|1.1:nsubj\tA=b|c
2.1\t_\t_\t_\t_\t_\t_\t_\t1:dep\tCopyOf=1
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\tX\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_"""


def replaced(line: int, column: int, cell: str) -> str:
    lines = [text.split("\t") for text in TEXT.split("\n")]
    lines[line][column] = cell
    return "\n".join("\t".join(cells) for cells in lines)


def test_only_syntactic_words_are_words() -> None:
    assert parse(TEXT) == Words(
        words=["vamos", "nos", "a", "el", "mar"],
        lemmas=["ir", "nosotros", "a", "el", "mar"],
        upos=["VERB", "PRON", "ADP", "DET", "NOUN"],
        xpos=["_", "_", "_", "X", "_"],
        feats=["Mood=Imp", "_", "_", "_", "_"],
        heads=[0, 1, 5, 5, 1],
        deprels=["root", "obj:x", "case", "det", "obl"],
    )


def test_prediction_replaces_five_columns_of_words_and_nothing_else() -> None:
    new = annotate(TEXT, list("abcde"), list("ABCDE"), ["f"] * 5, [2, 0, 1, 1, 1], ["r"] * 5)
    assert parse(new).heads == [2, 0, 1, 1, 1]
    for before, after in zip(TEXT.split("\n"), new.split("\n"), strict=True):
        if before[0] == "#" or "-" in before.split("\t")[0] or "." in before.split("\t")[0]:
            assert after == before
        else:
            kept = [0, 1, 4, 8, 9]
            assert [after.split("\t")[i] for i in kept] == [before.split("\t")[i] for i in kept]


@pytest.mark.parametrize("i", range(20))
def test_a_sentence_with_its_own_annotation_is_the_same_sentence(i: int) -> None:
    words = parse(sentence(i))
    same = annotate(sentence(i), words.lemmas, words.upos, words.feats, words.heads, words.deprels)
    assert same == sentence(i)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (replaced(5, 9, "a\tb"), 5, "11 columns, not 10"),
        (TEXT.replace("\t", " "), 3, "1 columns, not 10"),
        (replaced(5, 3, ""), 5, "UPOS is empty"),
        (replaced(8, 0, "4"), 8, "ID is 4 where word 3 was due"),
        (replaced(8, 0, "x"), 8, "ID is 'x', where word 3 was due"),
        (replaced(6, 0, "3.1"), 6, "ID is '3.1', where word 3 was due"),
        (replaced(3, 0, "2-3"), 3, "the multiword token 2-3 does not begin with word 1"),
        (replaced(7, 0, "3-9"), 10, "a multiword token reaches to word 9, the sentence to 5"),
        (replaced(4, 6, "x"), 4, "HEAD is 'x', not the number of a word"),
        (replaced(4, 6, "6"), 4, "HEAD is 6 in a sentence of 5 words"),
        (replaced(5, 6, "2"), 5, "word 2 is its own HEAD"),
        (replaced(5, 6, "_"), 5, "HEAD is _ while other words"),
        (replaced(5, 6, "0"), 5, "a second root: words 1 and 2"),
        (replaced(4, 6, "2"), 4, "run in a circle"),
        (replaced(5, 8, "obj"), 5, "DEPS holds 'obj'"),
        (replaced(5, 8, "7:obj"), 5, "DEPS names word 7"),
        ("# a comment\n# and no more", 0, "a sentence without words"),
        (TEXT + "\n# too late", 11, "1 columns, not 10"),
    ],
)
def test_what_is_wrong_with_a_sentence_is_said_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConlluError, match=reason) as error:
        parse(text)
    assert error.value.line == line


def test_a_sentence_without_annotation_has_no_heads() -> None:
    assert bare(["Stir", "it"]) == "1\tStir" + "\t_" * 8 + "\n2\tit" + "\t_" * 8
    assert parse(bare(["Stir", "it"])).heads == [-1, -1]


@pytest.mark.parametrize("word", ["", " ", "a\tb", "a\nb"])
def test_what_cannot_be_a_form_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not a word"):
        bare(["good", word])
