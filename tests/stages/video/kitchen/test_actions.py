"""What the kitchen's pictures show."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stages.video.kitchen.actions import ACTIONS
from stages.video.kitchen.canvas import Canvas, View
from stages.video.kitchen.ingredients import INGREDIENTS, ingredient
from stages.video.kitchen.room import Idle, Room


def film(verb: str | None, name: str, seed: int, n: int = 8) -> np.ndarray:
    """``n`` frames a twentieth of a second apart, uint8 (n, 240, 320, 3)."""
    rng = np.random.default_rng(seed)
    room = Room(rng)
    action = ACTIONS[verb](ingredient(name, rng), rng) if verb else Idle(rng)
    still = room.draw(room.view(rng))
    action.lay(still)
    frames = []
    for k in range(n):
        moment = still.copy()
        action.move(moment, 2 + k / 20, 0.5)
        frames.append(moment.frame())
    return np.stack(frames)


def motion(frames: np.ndarray) -> float:
    """Share of the middle square's pixels that change visibly from frame to frame."""
    steps = np.abs(np.diff(frames[:, :, 40:280].astype(int), axis=0)).max(-1)
    return float((steps > 16).mean())


@pytest.mark.parametrize("verb", ACTIONS)
def test_an_action_moves_much_and_the_idle_kitchen_hardly(verb: str) -> None:
    assert motion(film(verb, "tomato", seed=1)) > 0.03 > 3 * motion(film(None, "tomato", seed=1))


@pytest.mark.parametrize("name", INGREDIENTS)
@pytest.mark.parametrize("verb", ACTIONS)
def test_the_ingredient_is_seen_in_every_action(verb: str, name: str) -> None:
    (frame,) = film(verb, name, seed=2, n=1)
    rng = np.random.default_rng(2)
    Room(rng)
    skin = np.array(ingredient(name, rng).skin)
    like_skin = (np.abs(frame[:, 40:280].astype(int) - skin).max(-1) < 24).mean()
    assert like_skin > 0.025


@pytest.mark.parametrize(("one", "other"), itertools.combinations(ACTIONS, 2))
def test_actions_differ_in_motion(one: str, other: str) -> None:
    changes = [np.abs(np.diff(film(verb, "tomato", seed=3).astype(int), axis=0)).mean((0, 3)) for verb in (one, other)]
    larger = np.maximum(*changes)
    assert np.abs(changes[0] - changes[1]).sum() > 0.5 * larger.sum()


@pytest.mark.parametrize(("one", "other"), itertools.combinations(INGREDIENTS, 2))
def test_ingredients_differ_in_shape_and_colour(one: str, other: str) -> None:
    outlines = []
    for name in (one, other):
        canvas = Canvas(View())
        empty = canvas.frame().astype(int)
        ingredient(name, np.random.default_rng(0)).draw(canvas, (160, 120), 50)
        outlines.append((np.abs(canvas.frame() - empty) > 8).any(-1))
    shared = (outlines[0] & outlines[1]).sum() / (outlines[0] | outlines[1]).sum()
    assert shared < 0.9
    assert np.linalg.norm(np.subtract(INGREDIENTS[one][0], INGREDIENTS[other][0])) > 80


def test_videos_of_one_pair_differ() -> None:
    assert np.abs(film("cut", "lemon", 1).astype(int) - film("cut", "lemon", 2)).mean() > 5


def test_the_same_seed_draws_the_same() -> None:
    assert np.array_equal(film("wash", "onion", 5), film("wash", "onion", 5))


def test_a_mirrored_view_is_the_mirror_image() -> None:
    rng = np.random.default_rng(0)
    food = ingredient("carrot", rng)
    pictures = []
    for view in (View(), View(mirrored=True)):
        canvas = Canvas(view)
        food.draw(canvas, (100, 120), 40, 0.4)
        pictures.append(canvas.frame().astype(int))
    assert np.abs(pictures[0] - pictures[1][:, ::-1]).mean() < 1 < np.abs(pictures[0] - pictures[1]).mean()
