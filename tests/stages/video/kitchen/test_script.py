"""Pairs, held-out pairs and timelines of the kitchen."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest

from stages.video.kitchen.actions import ACTIONS
from stages.video.kitchen.ingredients import INGREDIENTS
from stages.video.kitchen.narration import SENTENCES
from stages.video.kitchen.script import FPS, captions, cast, deal, generator, held_out_pairs, write_script

VERBS, OBJECTS = tuple(ACTIONS), tuple(INGREDIENTS)
PAIRS = [("cut", "tomato"), ("stir", "lemon"), ("fry", "plum")]


def pairs_of(split: str, **counts: int) -> list[tuple[str, str]]:
    held_out = held_out_pairs(VERBS, OBJECTS, 8, seed=3)
    videos = cast({"train": 0, "dev": 0, "test": 0, **counts}, 6, VERBS, OBJECTS, held_out, seed=3)
    return [pair for _, s, pairs in videos for pair in pairs if s == split]


@pytest.mark.parametrize(("n", "verbs", "objects"), [(8, 6, 8), (24, 6, 8), (3, 3, 4), (4, 4, 6), (6, 4, 4)])
def test_held_out_pairs_differ_and_spare_verbs_and_objects_alike(n: int, verbs: int, objects: int) -> None:
    pairs = held_out_pairs(VERBS[:verbs], OBJECTS[:objects], n, seed=1)
    assert len(set(pairs)) == n
    for position, names in ((0, VERBS[:verbs]), (1, OBJECTS[:objects])):
        losses = Counter(pair[position] for pair in pairs)
        counts = [losses[name] for name in names]
        assert max(counts) - min(counts) <= 1


def test_the_seed_chooses_the_held_out_pairs() -> None:
    assert held_out_pairs(VERBS, OBJECTS, 8, seed=1) == held_out_pairs(VERBS, OBJECTS, 8, seed=1)
    assert held_out_pairs(VERBS, OBJECTS, 8, seed=1) != held_out_pairs(VERBS, OBJECTS, 8, seed=2)


def test_held_out_pairs_are_in_every_fourth_test_scene_and_nowhere_else() -> None:
    held_out = set(held_out_pairs(VERBS, OBJECTS, 8, seed=3))
    assert not held_out & set(pairs_of("train", train=60))
    assert not held_out & set(pairs_of("dev", dev=20))
    test = pairs_of("test", test=20)
    assert [pair in held_out for pair in test] == [i % 4 == 3 for i in range(len(test))]


def test_every_pair_is_filmed_equally_often() -> None:
    counts = Counter(pairs_of("train", train=60))
    assert len(counts) == 40
    assert set(counts.values()) == {9}


def test_the_object_tells_nothing_about_the_verb_beyond_what_is_held_out() -> None:
    counts = Counter(pairs_of("train", train=80))
    table = np.array([[counts[v, o] for o in OBJECTS] for v in VERBS])
    seen = table > 0
    assert table[seen].min() == table[seen].max()
    assert set(seen.sum(0)) == {5}
    assert set(seen.sum(1)) == {6, 7}


def test_more_videos_leave_the_first_as_they_are() -> None:
    assert pairs_of("train", train=80)[:120] == pairs_of("train", train=20, test=5)


def test_a_deck_is_dealt_whole_before_it_is_shuffled_again() -> None:
    dealt = list(islice(deal(PAIRS, generator(0, "deck")), 9))
    assert all(set(dealt[i : i + 3]) == set(PAIRS) for i in (0, 3, 6))


def test_scenes_join_without_gaps_and_show_the_pairs_in_order() -> None:
    for name in ("a", "b", "c"):
        scenes = write_script(name, PAIRS, seed=0)
        assert scenes[0].start_s == 0
        assert all(before.end_s == after.start_s for before, after in pairwise(scenes))
        assert [(s.verb, s.object) for s in scenes if s.verb] == PAIRS
        assert scenes[0].verb is scenes[-1].verb is None
        for scene in scenes:
            assert scene.start_s * FPS == pytest.approx(round(scene.start_s * FPS))
            least, most = (4.5, 7.5) if scene.verb else (1.8, 3.2)
            assert least - 0.05 <= scene.end_s - scene.start_s <= most + 0.05


def test_a_scene_is_narrated_with_its_pair_and_chatter_names_none() -> None:
    names = {*VERBS, *OBJECTS}
    for seed in range(40):
        for scene in write_script("a", PAIRS, seed):
            words = set(scene.sentence.lower().strip(".?").replace(",", "").split())
            assert words & names == ({scene.verb, scene.object} if scene.verb else set())


def test_sentences_are_varied_and_each_takes_verb_and_object() -> None:
    assert len(set(SENTENCES)) == len(SENTENCES) >= 20
    assert all(s.count("{verb}") == s.count("{object}") == 1 and s[-1] in ".?" for s in SENTENCES)


def test_captions_are_web_vtt() -> None:
    scenes = write_script("a", PAIRS, seed=0)
    lines = captions(scenes).splitlines()
    assert lines[0] == "WEBVTT"
    assert lines[2].startswith("00:00:00.000 --> 00:00:0")
    assert lines[3] == scenes[0].sentence
    assert sum("-->" in line for line in lines) == len(scenes)


def test_captions_past_a_minute() -> None:
    scenes = write_script("a", PAIRS * 10, seed=0)
    assert scenes[-1].end_s > 120
    assert f"--> 00:0{scenes[-1].end_s // 60:.0f}:{scenes[-1].end_s % 60:06.3f}" in captions(scenes)
