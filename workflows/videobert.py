"""VideoBERT on your own videos: speech, visual words, joint training, zero-shot recognition.

Paper    Sun et al. 2019, VideoBERT: A Joint Model for Video and Language Representation Learning, arXiv 1904.01766
Command  videobert run videobert --videos clips/ --whisper base.en --labels labels.csv; without videos
         videobert run videobert --features.features s3d/ --features.features_per_s 1.5 --captions_json captions.json
Cost     on one GPU about 20 × real time for Whisper, which dominates; captions beside the videos save that. At the
         paper's size (55.6 M clips) decoding 16 cores' worth of video, 5 to 10 hours of training and 114 GB of features
Expect   the paper, YouCook II, 312K training videos: verb top-1 3.2 %, top-5 43.3 %, object 13.1 % and 33.7 %
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rich.table import Table

from models.tasks import VideoText
from pipeline import Artifact, Graph, UserError
from pipeline.progress import CONSOLE
from stages.encode import Encode
from stages.evaluate import Evaluate
from stages.text.read_sentences import ReadSentences
from stages.train import Train
from stages.video.align_speech import AlignSpeech
from stages.video.assign_tokens import AssignTokens
from stages.video.embed_clips import EmbedClips
from stages.video.extend_vocabulary import ExtendVocabulary
from stages.video.fit_codebook import FitCodebook
from stages.video.read_features import ReadFeatures
from stages.video.read_segments import ReadSegments
from stages.video.read_videos import ReadVideos
from stages.video.split_videos import SplitVideos
from stages.video.transcribe import Transcribe
from stages.video.zero_shot import KINDS, ZeroShot
from workflows.text.lamb_two_stage import in_two_stages


def graph(
    videos: str | None = None,
    features: ReadFeatures | None = None,
    captions_json: str | None = None,
    labels: str | None = None,
    texts: str | None = None,
    split_file: str | None = None,
    weights: str = "kinetics400",
    encoder: str = "google-bert/bert-base-uncased",
    whisper: str = "base",
    epochs: float = 8.0,
    template: str = ZeroShot.template,
    task: VideoText = VideoText(),
    two_stages: bool = False,
) -> Graph:
    """From videos, or features and captions, to a trained VideoBERT and, with labels, its zero-shot scores.

    Args:
        videos: Folder of videos (searched recursively), glob, list file or CSV/Parquet manifest.
        features: Features extracted elsewhere, in place of S3D's of the videos.
        captions_json: The captions of many videos in one JSON file, as of HowTo100M; needed where there are no videos.
        labels: CSV or Parquet with video_id, start_s, end_s, verb, object: what to recognise.
        texts: Plain-text files, a sentence a line, that join the text-only regime, one in a hundred its dev split.
        split_file: CSV or Parquet with video_id and split (train, dev, test); by default 5 % dev and 5 % test videos.
        weights: S3D's: torchvision's kinetics400, a path, or random:SEED.
        encoder: BERT-type encoder: a name on the hub or a directory.
        whisper: Whisper model for videos without captions: an official name or a path.
        epochs: Passes over the training segments.
        template: Sentence whose {verb} and {object} are to be named.
        task: Regimes, masking and lengths.
        two_stages: Nine tenths of the epochs on sequences of a quarter of the lengths in batches of twice the size, by
            the node train-short, and the last on whole ones, by train-long, as text.lamb_two_stage does; --set
            train-short.optimizer=lamb is LAMB.
    """
    g = Graph()
    if videos:
        g.add("videos", ReadVideos(videos=videos))
    elif features is None or captions_json is None:
        raise UserError("give --videos, or both --features.features and --captions_json")
    if features:
        g.add("features", features)
    speech = Transcribe(whisper=whisper, captions_json=captions_json)
    train, short = Train(task=task, epochs=epochs), None
    if two_stages:
        brief = replace(task, max_text=max(1, task.max_text // 4), max_visual=max(1, task.max_visual // 4))
        larger = 2 * train.global_batch_size
        short = replace(train, task=brief, epochs=0.9 * epochs, global_batch_size=larger)
        train = replace(train, epochs=0.1 * epochs)
    inputs = {"labels": labels, "texts": texts, "split_file": split_file}
    return learn(g, train, encoder, short=short, weights=weights, speech=speech, template=template, **inputs)


def learn(
    g: Graph,
    train: Train,
    encoder: str,
    *,
    short: Train | None = None,
    weights: str = EmbedClips.weights,
    speech: Transcribe = Transcribe(),
    template: str = ZeroShot.template,
    codebook: FitCodebook = FitCodebook(),
    labels: str | None = None,
    texts: str | None = None,
    split_file: str | None = None,
    folder: str | None = None,
) -> Graph:
    """Add all that follows the node "videos" or, where there is none, "features". ``folder`` is the node, if any, that
    labels and split file lie in, ``short`` a first stage of training, if there is one."""
    videos = "videos" if "videos" in g else "features"
    within = {"folder": folder} if folder else {}
    g.add("splits", SplitVideos(split_file=split_file), videos=videos, **within)
    if labels:
        g.add("labels", ReadSegments(labels=labels), splits="splits", **within)
    g.add("speech", speech, videos=videos)
    if "features" not in g:
        g.add("features", EmbedClips(weights=weights), videos=videos)
    g.add("codebook", codebook, features="features", splits="splits")
    g.add("tokens", AssignTokens(), features="features", codebook="codebook")
    g.add("encoder", ExtendVocabulary(encoder=encoder), codebook="codebook")
    g.add("segments", AlignSpeech(), tokens="tokens", speech="speech", splits="splits")
    more = {"more": g.add("texts", ReadSentences(texts=texts))} if texts else {}
    g.add("examples", Encode(task=train.task), rows="segments", model="encoder", **more)
    if short:
        trained = in_two_stages(g, short, train, examples=("examples", "examples"))
    else:
        trained = g.add("train", train, model="encoder", examples="examples")
    g.add("evaluate", Evaluate(task=train.task), model=trained, examples="examples")
    if labels:
        g.add(
            "zero_shot",
            ZeroShot(task=train.task, template=template),
            **{name: name for name in ("labels", "tokens", "features", "splits")},
            model=trained,
            start="encoder",
        )
    return g


def report(artifacts: Mapping[str, Artifact]) -> None:
    """Print the zero-shot scores."""
    if "zero_shot" not in artifacts:
        return
    manifest = artifacts["zero_shot"].manifest
    CONSOLE.print(f"zero-shot, per cent right: {manifest['template']}", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("pairs", "method", "verb", "top-5", "object", "top-5"):
        table.add_column(column, justify="left" if column in ("pairs", "method") else "right")
    pairs = None
    for row in manifest["scores"]:
        first = "" if row["pairs"] == pairs else f"{row['pairs']} {row['segments']:,}"
        pairs = row["pairs"]
        shares = [f"{100 * row[f'{kind}_top{k}']:.1f}" for kind in KINDS for k in (1, 5)]
        table.add_row(first, row["method"], *shares)
    CONSOLE.print(table)
    CONSOLE.print(f"every segment's answers: {artifacts['zero_shot'].path}", soft_wrap=True)
