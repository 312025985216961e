"""A treebank of a toy language, in CoNLL-U with everything the format has."""

from __future__ import annotations

from pathlib import Path

SUBJECTS = [("Cats", "cat", "Number=Plur"), ("A dog", "a dog", "Number=Sing"), ("Mice", "mouse", "Number=Plur")]
VERBS = [("saw", "see", "Tense=Past"), ("cut", "cut", "Tense=Pres"), ("stirred", "stir", "Tense=Past")]
OBJECTS = [("soup", "soup", "Number=Sing"), ("knives", "knife", "Number=Plur")]


def sentence(i: int) -> str:
    """Sentence ``i`` of the treebank: a subject of one or two words, a verb, an object, now and then a full stop."""
    rows: list[list[str]] = []
    forms, lemmas, feats = SUBJECTS[i % 3]
    subject = list(zip(forms.split(), lemmas.split(), strict=True))
    n = len(subject)
    if n == 2:
        rows.append(["1", *subject[0], "DET", "DT", "Definite=Ind", "2", "det", "2:det", "_"])
    rows.append([str(n), *subject[-1], "NOUN", "NN", feats, str(n + 1), "nsubj", f"{n + 1}:nsubj", "_"])
    form, lemma, feats = VERBS[i % len(VERBS)]
    rows.append([str(n + 1), form, lemma, "VERB", "VB", feats, "0", "root", "0:root", "_"])
    form, lemma, feats = OBJECTS[i % 2]
    rows.append(
        [str(n + 2), form, lemma, "NOUN", "NN", feats, str(n + 1), "obj:direct", f"{n + 1}:obj", "SpaceAfter=No"]
    )
    if i % 2:
        rows.append([str(n + 3), ".", ".", "PUNCT", ".", "_", str(n + 1), "punct", f"{n + 1}:punct", "_"])
    lines = ["\t".join(row) for row in rows]
    if i % 4 == 0:  # an empty node behind the last word
        lines.append(f"{len(rows)}.1\tagain\tagain\tADV\t_\t_\t_\t_\t{n + 1}:advmod\tCopyOf=-1")
    if i % 5 == 0:  # the verb and its object are one token
        lines.insert(n, f"{n + 1}-{n + 2}\t{VERBS[i % 3][0]}it\t_\t_\t_\t_\t_\t_\t_\tTypo=Yes")
    return "\n".join([f"# sent_id = toy-{i}", "# newpar", "#no key, no value", *lines])


def treebank(start: int, end: int) -> str:
    return "".join(f"{sentence(i)}\n\n" for i in range(start, end))


def write_treebank(path: Path, start: int, end: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(treebank(start, end), encoding="utf-8")
    return path
