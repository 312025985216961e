"""The whole pipeline in a few minutes: a small kitchen, from raw video files to a table of zero-shot scores.

Paper    Sun et al. 2019, arXiv 1904.01766
Command  make demo, or videobert run demo --workers 2
Cost     a few minutes on two cores
Expect   object top-1 far above chance and above the language prior
"""

from __future__ import annotations

from collections.abc import Mapping

from models.tasks import VideoText
from pipeline import Artifact, Graph
from pipeline.progress import say
from stages.train import Train
from stages.video.render_kitchen import RenderKitchen
from workflows import kitchen, videobert

KITCHEN = RenderKitchen(train=24, dev=2, test=6, scenes=5)
TRAIN = Train(task=VideoText(), steps=150, global_batch_size=48, learning_rate=3e-4)


def graph() -> Graph:
    """A small kitchen. Each stage's artifact lies in the store: videobert show DIR tells what is in it."""
    return kitchen.graph(KITCHEN, TRAIN)


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the scores and what they are worth."""
    videobert.report(artifacts)
    say(
        "This ran on drawn videos with S3D features from RANDOM weights and a small BERT: it shows that every stage "
        f"works, not how good VideoBERT is. The videos: {artifacts['kitchen'].path}/videos"
    )
