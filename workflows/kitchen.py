"""The kitchen benchmark: a drawn world whose truth is known, from video files to zero-shot scores.

Paper    Sun et al. 2019, arXiv 1904.01766; rendered videos stand in for YouTube's, so the scores are not the paper's
Command  videobert run kitchen --workers 2
Cost     20 minutes on two cores
Expect   on videos of the test split: object top-1 about 90 %, verb about 80 %, language prior near chance;
         choose settings by the development videos: --set zero_shot.split=dev
"""

from __future__ import annotations

from models.small_bert import small_bert
from models.tasks import VideoText
from pipeline import Graph, UserError
from stages.train import Train
from stages.video.fit_codebook import FitCodebook
from stages.video.read_videos import ReadVideos
from stages.video.render_kitchen import RenderKitchen
from workflows.videobert import learn, report

__all__ = ["graph", "report"]

TASK = VideoText(concatenate=0.0, joint_share=0.8, mask_probability=0.3)
"""Scenes are short and few: each is shown by itself, mostly jointly, and more of it hidden than of the paper's."""
TRAIN = Train(task=TASK, steps=900, global_batch_size=64, learning_rate=4e-4)


def graph(
    kitchen: RenderKitchen = RenderKitchen(),
    train: Train = TRAIN,
    weights: str = "random:0",
    encoder: str | None = None,
    texts: str | None = None,
    codebook: FitCodebook = FitCodebook(unit_length=True),
) -> Graph:
    """Render the kitchen, then everything that VideoBERT does with videos.

    Args:
        kitchen: How many videos of what.
        train: The training run, and with it the task.
        weights: S3D's. Random ones do for shapes, colours and large motions, and need no download.
        encoder: BERT-type encoder; by default the small BERT that a package registry carries (extra "demo").
        texts: Plain-text files, a sentence a line, that join the text-only regime.
        codebook: The visual words, of directions: features of a random network differ in length more than in those.
    """
    try:
        encoder = encoder or small_bert()
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    g = Graph()
    g.add("kitchen", kitchen)
    g.add("videos", ReadVideos(videos="videos"), folder="kitchen")
    inside = {"labels": "labels.csv", "split_file": "split.csv", "folder": "kitchen"}
    return learn(g, train, encoder, weights=weights, codebook=codebook, texts=texts, **inside)
