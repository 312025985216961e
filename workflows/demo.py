"""The whole pipeline in a few minutes: a small kitchen, from raw video files to a table of zero-shot scores.

Paper    Sun et al. 2019, arXiv 1904.01766
Command  make demo, or videobert run demo --workers 2
Cost     under six minutes on two cores
Expect   on pairs seen in training: object top-1 above 90 %, verb above 60 %; language prior near chance
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline import Artifact, Graph
from pipeline.progress import say
from stages.video.fit_codebook import FitCodebook
from stages.video.render_kitchen import RenderKitchen
from workflows import kitchen, videobert

KITCHEN = RenderKitchen(
    train=36,
    dev=4,
    test=8,
    scenes=5,
    verbs=("cut", "pour", "stir"),
    objects=("carrot", "lemon", "plum", "tomato"),
    held_out=2,
)
TRAIN = replace(kitchen.TRAIN, steps=300)


def graph() -> Graph:
    """A small kitchen. Each stage's artifact lies in the store: videobert show DIR tells what is in it."""
    return kitchen.graph(KITCHEN, TRAIN, codebook=FitCodebook(unit_length=True, min_points=36))


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the scores and what they are worth."""
    videobert.report(artifacts)
    say(
        "This ran on drawn videos with S3D features from RANDOM weights and a small BERT: it shows that every stage "
        f"works, not how good VideoBERT is. The videos: {artifacts['kitchen'].path}/videos"
    )
