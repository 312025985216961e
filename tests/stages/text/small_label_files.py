"""Files of tagged words, intents and aspects, each with something wrong in it, and the stages that read them."""

from __future__ import annotations

from pathlib import Path

from pipeline import Artifact, Stage
from stages.text.read_conll import ReadConll
from stages.text.read_intents import ReadIntents
from stages.text.read_semeval_absa import ReadSemevalAbsa
from stages.text.read_sentihood import ReadSentihood


def conll(folder: Path) -> tuple[Stage, dict[str, Artifact]]:
    """Two documents, one tag against the scheme, and a file that ends in the middle of a sentence."""
    folder.mkdir(exist_ok=True)
    sentences = "Ann I-PER\nsings O\n\n-DOCSTART- O\n\nBob I-PER\nAnn B-PER\n\nParis B-LOC\n"
    (folder / "train").write_text(f"-DOCSTART- O\n\n{sentences}")
    (folder / "dev").write_text("Oslo I-LOC\nor O")
    return ReadConll(train=str(folder / "train"), dev=str(folder / "dev"), scheme="IOB1"), {}


def intents(folder: Path) -> tuple[Stage, dict[str, Artifact]]:
    for split, intent in (("train", "Play"), ("test", "Play#Stop")):
        lines = {"seq.in": "play jazz\nstop", "seq.out": "O B-genre\nO O", "label": f"{intent}\nStop"}
        for name, text in lines.items():
            (folder / split).mkdir(parents=True, exist_ok=True)
            (folder / split / name).write_text(text)
    return ReadIntents(folder=str(folder), dev=None), {}


def sentihood(folder: Path) -> tuple[Stage, dict[str, Artifact]]:
    folder.mkdir(exist_ok=True)
    opinion = '{"target_entity": "LOCATION2", "aspect": "price", "sentiment": "Negative"}'
    text = f'{{"id": 1, "text": "LOCATION1 or LOCATION2?", "opinions": [{opinion}]}}'
    (folder / "train.json").write_text(f'[{text}, {{"id": 2, "text": "", "opinions": []}}]')
    return ReadSentihood(train=str(folder / "train.json")), {}


def semeval_absa(folder: Path) -> tuple[Stage, dict[str, Artifact]]:
    folder.mkdir(exist_ok=True)
    category = '<aspectCategories><aspectCategory category="food" polarity="{}"/></aspectCategories>'
    sentence = f'<sentence id="{{}}"><text>Good!</text>{category}</sentence>'
    sentences = sentence.format(1, "positive") + sentence.format(2, "?")
    (folder / "train.xml").write_text(f"<sentences>{sentences}</sentences>")
    return ReadSemevalAbsa(train=str(folder / "train.xml")), {}
