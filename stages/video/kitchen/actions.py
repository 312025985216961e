"""What is done to an ingredient: six actions that differ in motion, each with the tools a cook would take.

An action is drawn in two layers: ``lay`` what stands still through the scene, ``move`` what a moment adds to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from stages.video.kitchen.canvas import Canvas, Colour, arc, box, ellipse, mix, place, points, shade, vary
from stages.video.kitchen.ingredients import Ingredient
from stages.video.kitchen.tools import WOOD, Hand, knife, peeler, spoon

TURN = 2 * np.pi


class Action(Protocol):
    """One action on one ingredient, through one scene."""

    def lay(self, canvas: Canvas) -> None: ...

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        """Draw the moment ``t_s`` seconds into the scene, ``share`` (0 … 1) of its length."""


class Cut:
    """A knife chops up and down, fast; slices heap up beside it."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(3.4, 4.6)
        self.board = vary((214, 172, 112), rng)
        self.handle = ((40, 40, 46), (110, 60, 40), (150, 30, 34))[rng.integers(3)]
        self.heap = rng.uniform((176, 150), (262, 206), (40, 2))
        self.angles = rng.uniform(-0.5, 0.5, 40)

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(36, 124, 286, 226, 12), shade(self.board, 0.7))
        canvas.fill(box(36, 118, 286, 220, 12), self.board)
        for y in (136, 158, 182, 204):
            canvas.line(points((44, y), (278, y + 3)), shade(self.board, 0.9), 2)

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        chops = t_s * self.rate
        for k in range(min(8 + int(chops), len(self.heap))):
            x, y = self.heap[k]
            self.food.slice(canvas, (x, y), 21, self.angles[k], 0.75)
        lift = abs(np.sin(np.pi * chops))
        self.food.draw(canvas, (98 + 14 * share, 158 - 3 * (1 - lift)), 43)
        fall = chops % 1
        self.food.slice(canvas, (150 + 22 * fall, 150 + 22 * fall), 26, 1.2 * fall, 0.45)
        tip = (112.0, 178 - 72 * lift)
        knife(canvas, tip, -0.10 - 0.18 * lift, self.handle)
        self.hand.draw(canvas, (tip[0] + 146, tip[1] - 34 - 18 * lift), -0.5)


class Stir:
    """A wooden spoon goes round in a wide pot, slowly, and all that swims goes with it."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(0.75, 1.1)
        self.pot = vary(((70, 110, 170), (196, 74, 60), (90, 130, 110))[rng.integers(3)], rng)
        self.broth = mix((236, 206, 150), food.skin, 0.35)
        self.wood = vary(WOOD, rng)
        self.radii = rng.uniform(0.45, 0.85, 7)
        self.phases = (np.arange(7) + rng.uniform(0, 0.6, 7)) / 7

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(46, 128, 274, 226, 46), shade(self.pot, 0.75))
        canvas.fill(box(24, 132, 52, 150, 8), shade(self.pot, 0.6))
        canvas.fill(box(268, 132, 296, 150, 8), shade(self.pot, 0.6))
        canvas.fill(ellipse(116, 72, (160, 142), 44), self.pot, shade(self.pot, 0.5))
        canvas.fill(ellipse(105, 63, (160, 144), 44), self.broth, shade(self.pot, 0.4))

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        turn = TURN * self.rate * t_s
        light, dark = shade(self.broth, 1.14), shade(self.broth, 0.82)
        for k in range(10):
            size, start = 0.25 + 0.07 * k, turn - 0.5 * k
            canvas.line(arc(105 * size, 63 * size, start, start + 1.6, (160, 144), 10), dark if k % 2 else light, 5)
        for radius, phase in zip(self.radii, self.phases, strict=True):
            angle = turn * 0.8 + TURN * phase
            at = (160 + 100 * radius * np.cos(angle), 144 + 58 * radius * np.sin(angle))
            self.food.slice(canvas, at, 15, angle)
        self.food.draw(canvas, (160 + 20 * np.cos(turn * 0.8), 140 + 12 * np.sin(turn * 0.8)), 36, turn * 0.8)
        at = (160 + 72 * np.cos(turn), 140 + 42 * np.sin(turn))
        tilt = -1.1 + 0.25 * np.cos(turn)
        spoon(canvas, at, tilt, self.wood)
        self.hand.draw(canvas, (at[0] + 122 * np.cos(tilt), at[1] + 122 * np.sin(tilt)), -0.7)


class Pour:
    """A tilted jug lets a stream of small pieces fall into a glass bowl."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(1.7, 2.3)
        self.jug = vary(((232, 232, 240), (130, 180, 190), (228, 200, 120))[rng.integers(3)], rng)
        self.phases = rng.uniform(0, 1, 46)
        self.sideways = rng.uniform(-1, 1, 46)
        self.heap = rng.uniform((-58, -13), (58, 10), (60, 2))

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(ellipse(86, 20, (204, 212), 36), (60, 50, 40, 70))
        canvas.fill(np.concatenate([arc(82, 66, 0, np.pi, (204, 150), 24)]), (206, 226, 236, 190), (150, 176, 190))
        canvas.fill(ellipse(82, 20, (204, 150), 36), (226, 240, 246, 220), (150, 176, 190))

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        bits = self.food.skin, self.food.flesh
        level = 176 - 22 * share
        filled = ellipse(74, 17, (204, level), 30)
        canvas.fill(np.concatenate([arc(74, 212 - level, 0, np.pi, (204, level), 20)]), mix(*bits, 0.35))
        canvas.fill(filled, mix(*bits, 0.6))
        for k, (x, y) in enumerate(self.heap):
            if abs(x) / 74 + abs(y) / 17 < 1.2:
                canvas.dots(points((204 + x, level + y * 0.8)), 5, bits[k % 2])
        fall = (t_s * self.rate + self.phases) % 1
        x = 126 + 82 * fall**0.6 + self.sideways * (8 + 20 * fall)
        y = 66 + (level - 66) * fall**1.6
        for k in (0, 1):
            canvas.dots(np.stack([x, y], 1)[k::2], 7.5, bits[k])
        splash = (t_s * self.rate * 1.3 + self.phases[:14]) % 1
        leap = np.stack([208 + self.sideways[:14] * 70 * splash, level - 90 * splash * (1 - splash)], 1)
        canvas.dots(leap, 3.5, bits[0])
        sway = 0.12 * np.sin(TURN * 0.9 * t_s)
        at = (84.0, 60.0)
        jug = points((46, -30), (58, -38), (50, 30), (-40, 36), (-46, -36))
        canvas.fill(place(jug, at, 1.0, 0.75 + sway), self.jug, shade(self.jug, 0.6))
        canvas.fill(place(ellipse(10, 31, (50, -3)), at, 1.0, 0.75 + sway), shade(self.jug, 0.7))
        self.food.draw(canvas, (at[0] - 4, at[1] - 2), 34, 0.75 + sway)
        self.hand.draw(canvas, (40, 72), 2.6)
        self.food.draw(canvas, (84, 186), 36)


class Fry:
    """A pan shakes over a flickering flame; pieces jump, fat spits and smoke goes up."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(5.2, 6.8)
        self.pan = vary((58, 58, 64), rng)
        self.spots = np.array([(-60, -4), (-26, 24), (28, 26), (64, 0), (-22, -26), (30, -26)])
        self.phases = rng.uniform(0, 1, 30)
        self.across = rng.uniform(-1, 1, 30)

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(30, 196, 250, 232, 8), (70, 74, 82))
        canvas.fill(box(36, 192, 244, 200, 4), (40, 42, 48))

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        beat = TURN * self.rate * t_s
        for k in range(9):
            height = 26 + 14 * np.sin(beat * 1.7 + 2.4 * k)
            flame = points((60 + 20 * k - 10, 204), (60 + 20 * k, 204 - height), (60 + 20 * k + 10, 204))
            canvas.fill(flame, ((255, 150, 30), (255, 214, 70), (90, 140, 255))[k % 3])
        x, y = 142 + 7 * np.sin(beat), 148 + 4 * np.sin(beat * 1.3)
        canvas.line(points((x + 90, y), (x + 190, y - 26)), (30, 30, 34), 14)
        canvas.fill(ellipse(106, 56, (x, y + 8), 40), shade(self.pan, 0.6))
        canvas.fill(ellipse(106, 56, (x, y), 40), self.pan, (20, 20, 22))
        canvas.fill(ellipse(94, 47, (x, y + 2), 40), shade(self.pan, 0.72))
        canvas.fill(ellipse(84, 40, (x, y + 3), 36), mix((150, 110, 40), self.pan, 0.45))
        for k, (dx, dy) in enumerate(self.spots):
            jump = max(0.0, np.sin(beat * 0.5 + TURN * self.phases[k])) * 22
            self.food.slice(canvas, (x + dx, y + dy - jump), 21, np.sin(beat * 0.5 + k))
        self.food.draw(canvas, (x, y - 6 - 14 * abs(np.sin(beat * 0.5))), 42, 0.3 * np.sin(beat * 0.5))
        spit = (t_s * 3.1 + self.phases) % 1
        sparks = np.stack([x + self.across * 95, y - 120 * spit * (1 - spit) + 30 * self.across[::-1]], 1)
        canvas.dots(sparks, 2.6, (255, 236, 150))
        for k in range(9):
            rise = (t_s * 0.9 + self.phases[k]) % 1
            at = points((x + 80 * self.across[k] + 12 * np.sin(beat * 0.4 + k), y - 20 - 130 * rise))
            canvas.dots(at, 10 + 22 * rise, (244, 244, 248, round(120 * (1 - rise))))
        self.hand.draw(canvas, (x + 172, y - 22), -0.2)


class Peel:
    """A peeler goes along the ingredient in long level strokes; strips of skin fly off."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(1.5, 2.0)
        self.plate = vary(((236, 236, 232), (150, 190, 206), (232, 206, 170))[rng.integers(3)], rng)
        self.handle = ((200, 60, 40), (60, 140, 80), (50, 60, 80))[rng.integers(3)]
        self.heap = np.stack([rng.uniform(74, 246, 16), rng.uniform(196, 214, 16)], 1)
        self.phases = rng.uniform(0, 1, 16)

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(ellipse(122, 30, (160, 206), 40), shade(self.plate, 0.75))
        canvas.fill(ellipse(118, 26, (160, 202), 40), self.plate)
        canvas.fill(ellipse(88, 17, (160, 203), 36), shade(self.plate, 0.92))

    def strip(self, canvas: Canvas, at: tuple[float, float], length: float, wave: float) -> None:
        """A ribbon of skin, ``length`` units long, waving; its inner side shows at the edge."""
        s = np.linspace(0, 1, 9)
        middle = np.stack([s * length, 9 * np.sin(TURN * (s * 1.2 + wave)) * s], 1) + at
        canvas.line(middle + (0, 4), self.food.flesh, 5)
        canvas.line(middle, self.food.skin, 8)

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        strokes = t_s * self.rate
        for k in range(min(int(strokes) + 2, len(self.heap))):
            self.strip(canvas, (self.heap[k, 0] - 28, self.heap[k, 1]), 56, self.phases[k])
        self.hand.draw(canvas, (88, 152), 2.6)
        self.food.draw(canvas, (160, 140), 58, 0.06 * np.sin(TURN * strokes))
        for k in range(min(1 + int(3 * share + 0.5), 3)):
            bare = points((112, 122 + 16 * k), (208, 122 + 16 * k), (204, 132 + 16 * k), (116, 132 + 16 * k))
            canvas.fill(bare, self.food.flesh)
        x = 160 - 88 * np.cos(TURN * strokes)
        y = 116 + 14 * np.sin(TURN * strokes)
        for k in range(3):
            age = (strokes + k / 3) % 1
            self.strip(canvas, (x - 30 - 70 * age, y - 18 + 110 * age**2), 64, age * 2)
        self.strip(canvas, (x - 4, y - 6), -70, t_s * 3)
        peeler(canvas, (x, y), self.handle)
        self.hand.draw(canvas, (x + 12, y - 66), -0.9)


class Wash:
    """Water falls from a tap into a full basin; waves run, drops leap, the ingredient bobs and rolls."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food, self.hand = food, Hand(rng)
        self.rate = rng.uniform(0.9, 1.3)
        self.basin = vary((196, 204, 210), rng)
        self.water = vary((140, 196, 228), rng)
        self.phases = rng.uniform(0, 1, 40)
        self.across = rng.uniform(-1, 1, 40)

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(22, 96, 298, 232, 18), self.basin, shade(self.basin, 0.6))
        canvas.fill(box(34, 106, 286, 226, 14), shade(self.water, 0.8))
        canvas.fill(box(150, 0, 172, 40, 4), shade(self.basin, 0.85), shade(self.basin, 0.5))
        canvas.fill(box(140, 34, 182, 48, 5), shade(self.basin, 0.95), shade(self.basin, 0.5))

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        x = np.linspace(34, 286, 22)
        foam: Colour = (236, 248, 255)

        def waves(rows: range) -> None:
            for k in rows:
                y = 112 + 19 * k + 8 * np.sin(x / 17 - TURN * self.rate * t_s * (1.4 + 0.1 * k) + k)
                wave = np.concatenate([np.stack([x, y], 1), points((286, 224), (34, 224))])
                canvas.fill(wave, shade(self.water, 1.12 if k % 2 else 0.94))
                canvas.line(np.stack([x, y], 1), foam, 3)

        waves(range(3))
        roll = TURN * self.rate * t_s
        for k, side in enumerate((-74, 74)):
            drift = roll + 2 * k + 1
            self.food.draw(canvas, (160 + side + 8 * np.sin(drift), 172 + 8 * np.sin(1.6 * drift)), 36, np.sin(drift))
        self.food.draw(canvas, (160 + 18 * np.sin(roll), 156 + 9 * np.sin(roll * 1.7)), 50, 0.7 * np.sin(roll))
        waves(range(5, 6))
        fall = (t_s * 2.6 + self.phases) % 1
        canvas.fill(points((152, 46), (170, 46), (176, 130), (146, 130)), (190, 226, 250, 190))
        for k in range(16):
            top = 46 + 84 * fall[k]
            canvas.line(points((161 + 11 * self.across[k], top), (161 + 12 * self.across[k], top + 16)), foam, 2)
        leap = (t_s * 1.9 + self.phases) % 1
        drops = np.stack([161 + self.across * 110 * leap, 140 - 200 * leap * (1 - leap)], 1)
        canvas.dots(drops, 3.2, foam)
        self.hand.draw(canvas, (214 + 12 * np.sin(roll), 138 + 9 * np.sin(roll * 1.7)), -0.6)


ACTIONS: dict[str, Callable[[Ingredient, np.random.Generator], Action]] = {
    "cut": Cut,
    "stir": Stir,
    "pour": Pour,
    "fry": Fry,
    "peel": Peel,
    "wash": Wash,
}
"""Verb -> its action, made from an ingredient and a generator that sets speed, colours and places."""
