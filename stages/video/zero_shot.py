"""Zero-shot action recognition: what the masks of a sentence say about a video (Sun et al. 2019, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from models.encoder import Encoded
from models.tasks import Batch, VideoText
from models.tasks.video_text import text_ids
from models.vocabulary import Vocabulary
from pipeline import Artifact, Executor, Rejected, Resources, Stage, UserError
from pipeline.progress import say
from pipeline.store import write_atomically, write_part
from stages.inference import Inference
from stages.video.labelled_segments import LabelledSegment, labelled_segments
from stages.video.split_videos import SPLITS

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

KINDS = ("verb", "object")
SUPERVISED = "S3D, supervised"
SUPERVISED_WORDS = "visual words, supervised"
CHANCE = "chance"
START = "BERT at the start, no video"
PRIOR = "VideoBERT, no video (prior)"
CROSS_MODAL = "VideoBERT, with video"

SEGMENT = pa.schema(
    [
        ("video_id", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("verb", pa.string()),
        ("object", pa.string()),
        ("unseen_pair", pa.bool_()),
    ]
)
PART_SEGMENTS = 1024
"""Segments that a worker names at a time."""


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Stage):
    """Name the verb and the object of labelled segments by filling a sentence's masks; Table 1 of the paper.

    In   model: trained VideoBERT; start: the extended BERT it was trained from; labels, tokens, features, splits
    Out  method, video_id, start_s, end_s, verb, object, unseen_pair bool, verb_ranked, object_ranked list<string>:
         every label, the likeliest first; scores.md, the table

    A label's score is the mean log-probability of its wordpieces, at as many masks. The methods: logistic regressions
    on the training videos' segments, if there are any, of the mean S3D feature (the reference above) and of the counts
    of visual words (what the codebook has kept of it), chance, the starting BERT and the trained model without video,
    the trained model with it. Pairs of verb and object that no training video shows are counted apart. A segment, to
    name or of a training video, whose video has no clips becomes an error row.
    """

    version: ClassVar[str] = "3"
    reads: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "model": (),
        "start": (),
        "labels": ("video_id", "start_s", "end_s", "verb", "object"),
        "tokens": ("video_id", "clip", "start_s", "end_s", "token"),
        "features": ("video_id", "clip", "feature"),
        "splits": ("video_id", "split"),
    }
    writes: ClassVar[pa.Schema] = pa.schema(
        [
            ("method", pa.string()),
            *SEGMENT,
            ("verb_ranked", pa.list_(pa.string())),
            ("object_ranked", pa.list_(pa.string())),
        ]
    )

    task: VideoText = field(default_factory=VideoText)
    """What the model was trained for."""
    template: str = "now let me show you how to {verb} the {object}"
    """The sentence; its wording matters tenfold, so try others."""
    verbs: tuple[str, ...] = ()
    """Verbs to choose from; by default those of the labels."""
    objects: tuple[str, ...] = ()
    """Objects to choose from; by default those of the labels."""
    split: str = "test"
    """Whose segments are named."""

    def __post_init__(self) -> None:
        for kind in KINDS:
            if self.template.count("{" + kind + "}") != 1:
                raise UserError(f"the template must hold {{{kind}}} once: {self.template!r}")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        segments = labelled_segments(*(inputs[n] for n in ("labels", "splits", "tokens", "features")))
        shown = [s for s in segments if s.feature is not None]
        train = [s for s in shown if s.split == "train"]
        test = [s for s in shown if s.split == self.split]
        there = {split: sum(s.split == split for s in shown) for split in SPLITS}
        if not test:
            raise UserError(
                f"no labelled segment with clips lies in a video of the split '{self.split}' (there are "
                f"{', '.join(f'{n:,} in {split}' for split, n in there.items())}): choose another split, name "
                "videos of it in a split_file, or raise the splits' test_fraction"
            )
        if not train:
            say("no labelled segment with clips lies in a training video: there are no supervised references")
        labels = {
            "verb": sorted(set(self.verbs) or {s.verb for s in shown}),
            "object": sorted(set(self.objects) or {s.object for s in shown}),
        }
        lost = [s for s in segments if s.feature is None and s.split in ("train", self.split)]
        known_pairs = {s.pair for s in train}
        rows = as_table([*test, *lost], known_pairs)
        parts = [[rows.slice(start, PART_SEGMENTS)] for start in range(0, rows.num_rows, PART_SEGMENTS)]
        make = partial(SegmentNamer, self, inputs["start"].path, inputs["model"].path, labels)
        executor.map(make, parts, out, schema=self.writes, resources=Resources(gpus=1))
        if train:
            named = as_table(test, known_pairs)
            references = [
                answers(SUPERVISED, named, supervised(train, test, labels, features), labels),
                answers(SUPERVISED_WORDS, named, supervised(train, test, labels, word_counts), labels),
            ]
            write_part(out / f"part-{len(parts):05d}.parquet", pa.concat_tables(references))
        table = score_table(Artifact(out, "").read().to_pylist(), labels)
        with write_atomically(out / "scores.md") as temporary:
            temporary.write_text(as_markdown(table))
        say(as_markdown(table))
        return {"scores": table, "template": self.template, "segments": there}


def as_table(segments: Sequence[LabelledSegment], known_pairs: set[tuple[str, str]]) -> pa.Table:
    """The columns of SEGMENT, and tokens list<uint16>: null for a segment whose video has no clips."""
    rows = [
        {
            **{name: getattr(s, name) for name in SEGMENT.names if name != "unseen_pair"},
            "unseen_pair": s.pair not in known_pairs,
            "tokens": None if s.feature is None else s.tokens,
        }
        for s in segments
    ]
    return pa.Table.from_pylist(rows, SEGMENT.append(pa.field("tokens", pa.list_(pa.uint16()))))


def answers(
    method: str, segments: pa.Table, scores: Mapping[str, np.ndarray], labels: Mapping[str, Sequence[str]]
) -> pa.Table:
    """What ZeroShot writes, of scores [segments, labels] by kind."""
    columns: dict[str, Any] = {"method": [method] * segments.num_rows, **{n: segments[n] for n in SEGMENT.names}}
    for kind, names in labels.items():
        order = np.argsort(-scores[kind], axis=1, kind="stable")
        columns[f"{kind}_ranked"] = [[names[i] for i in row] for row in order]
    return pa.table(columns, ZeroShot.writes)


class SegmentNamer:
    """Segments in, the answers to them of the methods that no label taught out."""

    def __init__(self, stage: ZeroShot, start: Path, model: Path, labels: Mapping[str, Sequence[str]]) -> None:
        self.labels = labels
        untrained = TemplateScorer(Inference(start, stage.task, trained=False), stage.template)
        self.trained = TemplateScorer(Inference(model, stage.task), stage.template)
        no_video = [np.zeros(0, np.uint16)]
        self.blind = {START: self._scores(untrained, no_video), PRIOR: self._scores(self.trained, no_video)}

    def _scores(self, scorer: TemplateScorer, videos: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return {kind: scorer.score(kind, names, videos) for kind, names in self.labels.items()}

    def __call__(self, segments: pa.Table) -> tuple[pa.Table, list[Rejected]]:
        lost = segments.filter(pc.is_null(segments["tokens"]))
        rejected = [
            Rejected(f"{s['video_id']}, {s['start_s']:g} to {s['end_s']:g} s", "its video has no clips")
            for s in lost.to_pylist()
        ]
        segments = segments.filter(pc.is_valid(segments["tokens"]))
        scores = {m: {k: s.repeat(segments.num_rows, 0) for k, s in kinds.items()} for m, kinds in self.blind.items()}
        scores[CROSS_MODAL] = self._scores(
            self.trained, [np.array(t, np.uint16) for t in segments["tokens"].to_pylist()]
        )
        return pa.concat_tables(answers(m, segments, kinds, self.labels) for m, kinds in scores.items()), rejected


class TemplateScorer:
    """Scores labels at the masks of a template."""

    def __init__(self, inference: Inference, template: str) -> None:
        self.inference = inference
        self.template = template

    def score(self, kind: str, labels: Sequence[str], videos: Sequence[np.ndarray]) -> np.ndarray:
        """Log-probability [videos, labels] of every label of ``kind``; the other kind stays one mask.

        kind    "verb" or "object"
        videos  visual tokens of each; empty for none
        """
        pieces = {label: text_ids(label, self.inference.tokenizer) for label in labels}
        scores = np.zeros((len(videos), len(labels)))
        for n_masks in sorted({len(p) for p in pieces.values()}):
            mine = [i for i, label in enumerate(labels) if len(pieces[label]) == n_masks]
            ids = torch.tensor([pieces[labels[i]] for i in mine])
            scores[:, mine] = self._score(kind, n_masks, ids, videos)
        return scores

    def _score(self, kind: str, n_masks: int, label_ids: torch.Tensor, videos: Sequence[np.ndarray]) -> np.ndarray:
        vocabulary, tokenizer = self.inference.vocabulary, self.inference.tokenizer
        other = next(k for k in KINDS if k != kind)
        template = self.template.replace("{" + other + "}", tokenizer.mask_token)
        before, after = (text_ids(part, tokenizer) for part in template.split("{" + kind + "}"))
        text = [*before, *[vocabulary.mask] * n_masks, *after]
        first = 1 + len(before)  # after [CLS]
        at = torch.arange(first, first + n_masks)

        def read(head: torch.nn.Module, encoded: Encoded, batch: Batch, _: Vocabulary) -> list[Any]:
            assert encoded.words is not None
            logits_BMV = encoded.words.logits(encoded.last_BLD[:, at]).log_softmax(-1)
            wanted_BNM = logits_BMV[:, torch.arange(n_masks), label_ids.to(logits_BMV.device)]
            return list(wanted_BNM.mean(-1).cpu().numpy())

        task = self.inference.task
        laid_out = [
            task.lay_out({"text": text, "visual": vocabulary.visual_ids(tokens)}, vocabulary) for tokens in videos
        ]
        scores = np.zeros((len(videos), len(label_ids)))
        for chunk, rows in self.inference.run(laid_out, read):
            scores[chunk] = rows
        return scores


def features(segments: Sequence[LabelledSegment]) -> np.ndarray:
    """Mean features [segments, width]."""
    return np.stack([s.feature for s in segments if s.feature is not None])


def word_counts(segments: Sequence[LabelledSegment]) -> csr_matrix:
    """How often each visual word of theirs occurs in a segment: float64 [segments, words]."""
    from scipy.sparse import csr_matrix

    words, columns = np.unique(np.concatenate([s.tokens for s in segments]), return_inverse=True)
    rows = np.repeat(np.arange(len(segments)), [len(s.tokens) for s in segments])
    return csr_matrix((np.ones(len(rows)), (rows, columns)), (len(segments), len(words)))


def supervised(
    train: Sequence[LabelledSegment],
    test: Sequence[LabelledSegment],
    labels: Mapping[str, Sequence[str]],
    inputs: Callable[[Sequence[LabelledSegment]], np.ndarray | csr_matrix],
) -> dict[str, np.ndarray]:
    """Scores [test, labels] by kind of a logistic regression on standardised ``inputs``, a row a segment."""
    from scipy.sparse import issparse
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = inputs([*train, *test])
    x_train, x_test = x[: len(train)], x[len(train) :]
    scores = {}
    for kind, names in labels.items():
        scores[kind] = np.full((len(test), len(names)), -np.inf)
        y_train = [getattr(s, kind) for s in train]
        if len(set(y_train)) > 1:
            scaler = StandardScaler(with_mean=not issparse(x))  # means of counts would fill the matrix
            classifier = make_pipeline(scaler, LogisticRegression(max_iter=2000, C=0.1)).fit(x_train, y_train)
            known = [i for i, name in enumerate(names) if name in classifier.classes_]
            columns = [list(classifier.classes_).index(names[i]) for i in known]
            probability = classifier.predict_proba(x_test)[:, columns]
            scores[kind][:, known] = np.log(probability.clip(np.finfo(float).tiny))
    return scores


def score_table(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Top-1 and top-5 shares by method and by seen, unseen and all pairs."""
    table = []
    for pairs in ("all", "seen", "unseen"):
        wanted = [r for r in rows if pairs == "all" or r["unseen_pair"] == (pairs == "unseen")]
        methods = list(dict.fromkeys(r["method"] for r in wanted))
        for method in methods:
            mine = [r for r in wanted if r["method"] == method]
            entry: dict[str, Any] = {"pairs": pairs, "method": method, "segments": len(mine)}
            for kind in KINDS:
                for k in (1, 5):
                    hits = [r[kind] in r[f"{kind}_ranked"][:k] for r in mine]
                    entry[f"{kind}_top{k}"] = sum(hits) / len(hits)
            table.append(entry)
        if methods:
            chance = {f"{kind}_top{k}": min(1.0, k / len(labels[kind])) for kind in KINDS for k in (1, 5)}
            table.append({"pairs": pairs, "method": CHANCE, "segments": len(wanted) // len(methods), **chance})
    order = [SUPERVISED, SUPERVISED_WORDS, CHANCE, START, PRIOR, CROSS_MODAL]
    return sorted(table, key=lambda e: (("all", "seen", "unseen").index(e["pairs"]), order.index(e["method"])))


def as_markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """The table with shares in per cent."""
    lines = [
        "| pairs | method | segments | verb top-1 | top-5 | object top-1 | top-5 |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for e in table:
        shares = " | ".join(f"{100 * e[f'{kind}_top{k}']:.1f}" for kind in KINDS for k in (1, 5))
        lines.append(f"| {e['pairs']} | {e['method']} | {e['segments']} | {shares} |")
    return "\n".join(lines) + "\n"
