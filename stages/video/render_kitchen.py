"""A world with known truth: videos of a toy kitchen, with narration, labels and a split."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import Artifact, Executor, Stage, UserError
from pipeline.errors import unknown
from pipeline.store import write_atomically
from stages.video.kitchen.actions import ACTIONS
from stages.video.kitchen.film import write_film
from stages.video.kitchen.ingredients import INGREDIENTS
from stages.video.kitchen.script import captions, cast, generator, held_out_pairs, write_script

VIDEOS_PER_PART = 4

CAST = pa.schema(
    [
        ("video_id", pa.string()),
        ("split", pa.string()),
        ("verbs", pa.list_(pa.string())),
        ("objects", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, kw_only=True)
class RenderKitchen(Stage):
    """Draw videos of a toy kitchen: ingredients that differ in shape and colour, actions that differ in motion.

    Out  video_id str, path str (within the artifact), split str, duration_s float64;
         videos/<video_id>.mp4 (H.264, 320 × 240, 20 frames a second) and .vtt (a sentence a scene);
         labels.csv: video_id, start_s, end_s, verb, object; split.csv: video_id, split (train, dev, test);
         held_out.csv: verb, object

    A video is a row of scenes of 4.5 to 7.5 s, one verb and one object each, narrated by a sentence; a greeting, a
    farewell and some chatter lie in between. All pairs come about equally often, so that neither sentences nor
    other scenes tell a pair. Held-out pairs are filmed for the test split alone, in every fourth of its scenes.
    """

    writes: ClassVar[pa.Schema | None] = pa.schema(
        [("video_id", pa.string()), ("path", pa.string()), ("split", pa.string()), ("duration_s", pa.float64())]
    )

    train: int = 120
    """Training videos."""
    dev: int = 16
    """Development videos."""
    test: int = 16
    """Test videos."""
    scenes: int = 6
    """Actions a video; with what lies in between, about 8 s each."""
    verbs: tuple[str, ...] = tuple(ACTIONS)
    """The actions shown: cut, stir, pour, fry, peel, wash or some of them."""
    objects: tuple[str, ...] = tuple(INGREDIENTS)
    """The ingredients shown: tomato, carrot, pepper, lemon, mushroom, onion, potato, plum or some of them."""
    held_out: int = 8
    """Pairs of verb and object that no training or development video shows."""
    sound: bool = False
    """Whether the videos have a sound track: a noise for each action, no speech."""
    seed: int = 0
    """Seeds everything. Video i of a split depends on nothing else, so more videos leave the first ones as they are."""

    def __post_init__(self) -> None:
        for field, names, known in (("verbs", self.verbs, ACTIONS), ("objects", self.objects, INGREDIENTS)):
            for name in names:
                if name not in known:
                    raise unknown(field[:-1], name, known)
            if len(names) < 2 or len(set(names)) < len(names):
                raise UserError(f"{field} must be at least two different names, not {', '.join(names) or 'none'}")
        if min(self.train, self.dev, self.test) < 0 or self.train + self.dev + self.test < 1:
            raise UserError(f"train, dev and test must count videos, not {self.train}, {self.dev}, {self.test}")
        if self.scenes < 1:
            raise UserError(f"scenes must be at least 1, not {self.scenes}")
        half = len(self.verbs) * len(self.objects) // 2
        if not 0 <= self.held_out <= half:
            raise UserError(f"held_out must be 0 … {half} (half of the pairs), not {self.held_out}")

    def run(self, inputs: Mapping[str, Artifact], out: Path, executor: Executor) -> Mapping[str, Any]:
        unseen = held_out_pairs(self.verbs, self.objects, self.held_out, self.seed)
        counts = {"train": self.train, "dev": self.dev, "test": self.test}
        videos = list(cast(counts, self.scenes, self.verbs, self.objects, unseen, self.seed))
        labels = [
            (video_id, scene.start_s, scene.end_s, scene.verb, scene.object)
            for video_id, _, pairs in videos
            for scene in write_script(video_id, pairs, self.seed)
            if scene.verb
        ]
        write_csv(out / "labels.csv", ("video_id", "start_s", "end_s", "verb", "object"), labels)
        write_csv(out / "split.csv", ("video_id", "split"), [(video_id, split) for video_id, split, _ in videos])
        write_csv(out / "held_out.csv", ("verb", "object"), unseen)
        rows = [(v, s, [verb for verb, _ in pairs], [object_ for _, object_ in pairs]) for v, s, pairs in videos]
        table = pa.Table.from_pylist([dict(zip(CAST.names, row, strict=True)) for row in rows], CAST)
        parts = [[table.slice(i, VIDEOS_PER_PART)] for i in range(0, len(rows), VIDEOS_PER_PART)]
        make = partial(FilmCrew, out, self.seed, self.sound)
        executor.map(make, parts, out, schema=self.writes, by="video_id")
        return {"held_out": [f"{verb} {object_}" for verb, object_ in unseen]}


class FilmCrew:
    """A video's cast in, the video and its captions on disk out."""

    def __init__(self, out: Path, seed: int, sound: bool) -> None:
        self.out, self.seed, self.sound = out, seed, sound

    def __call__(self, cast_of_video: pa.Table) -> pa.Table:
        (row,) = cast_of_video.to_pylist()
        video_id, pairs = row["video_id"], list(zip(row["verbs"], row["objects"], strict=True))
        scenes = write_script(video_id, pairs, self.seed)
        path = Path("videos", f"{video_id}.mp4")
        with write_atomically(self.out / path.with_suffix(".vtt")) as temporary:
            temporary.write_text(captions(scenes))
        with write_atomically(self.out / path) as temporary:
            write_film(temporary, scenes, generator(self.seed, "film", video_id), self.sound)
        return pa.table(
            {"video_id": [video_id], "path": [str(path)], "split": [row["split"]], "duration_s": [scenes[-1].end_s]}
        )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with write_atomically(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
