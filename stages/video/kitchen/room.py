"""The kitchen around the action: wall, shelf, table, light, and the idle moments between actions."""

from __future__ import annotations

import numpy as np

from stages.video.kitchen.canvas import (
    Canvas,
    Colour,
    View,
    arc,
    box,
    ellipse,
    mix,
    points,
    shade,
    vary,
)
from stages.video.kitchen.ingredients import Ingredient
from stages.video.kitchen.tools import WOOD

WALLS: tuple[Colour, ...] = ((208, 216, 214), (220, 210, 198), (204, 208, 220), (212, 218, 206), (222, 212, 212))
TABLES: tuple[Colour, ...] = ((156, 130, 110), (166, 146, 126), (144, 128, 120), (160, 150, 142))


class Room:
    """One video's kitchen: colours, furniture and light, seen from a camera that is moved a little for each scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.wall = vary(WALLS[rng.integers(len(WALLS))], rng)
        self.table = vary(TABLES[rng.integers(len(TABLES))], rng)
        self.light = rng.uniform(0.94, 1.05)
        self.edge_y = rng.uniform(84, 100)
        self.tile = rng.uniform(22, 32)
        self.mirrored = bool(rng.integers(2))
        self.jars = [(x, vary(mix(self.wall, (150, 120, 90), 0.4), rng, 0.3)) for x in rng.permutation(9)[:4]]

    def view(self, rng: np.random.Generator) -> View:
        """A camera for one scene."""
        return View(rng.uniform(0.94, 1.08), rng.uniform(-9, 9), rng.uniform(-6, 6), self.mirrored)

    def draw(self, view: View) -> Canvas:
        """The empty kitchen."""
        canvas = Canvas(view)
        canvas.fill(box(-40, -40, 360, 130), self.wall)
        joint = shade(self.wall, 0.93)
        for x in np.arange(-40, 360, self.tile):
            canvas.line(points((x, -40), (x, 130)), joint, 1)
        for y in np.arange(-40, 130, self.tile):
            canvas.line(points((-40, y), (360, y)), joint, 1)
        canvas.fill(box(-40, 38, 360, 44), shade(self.table, 0.8))
        for place_x, colour in self.jars:
            x = -8 + 38 * place_x
            canvas.fill(box(x, 14, x + 20, 38, 4), colour, shade(colour, 0.75))
            canvas.fill(box(x + 2, 8, x + 18, 15), shade(colour, 0.7))
        canvas.fill(box(-40, self.edge_y, 360, 290), self.table)
        canvas.fill(box(-40, self.edge_y, 360, self.edge_y + 4), shade(self.table, 1.15))
        for k in range(1, 5):
            y = self.edge_y + 8 * k * k**0.5
            canvas.line(points((-40, y), (360, y)), shade(self.table, 0.9), 1.5)
        return Canvas(view, canvas.picture.point(lambda c: min(255, round(c * self.light))))


class Crate:
    """The ingredient of the scene, heaped in a crate at the back of the table."""

    def __init__(self, food: Ingredient, rng: np.random.Generator) -> None:
        self.food = food
        self.wood = vary(WOOD, rng)
        rows = [(75 + 34 * k, 56) for k in range(6)] + [(58 + 34 * k, 72) for k in range(7)]
        self.places = [(x + rng.uniform(-4, 4), y + rng.uniform(-3, 3), rng.uniform(-0.5, 0.5)) for x, y in rows]

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(36, 50, 284, 84), shade(self.wood, 0.6))
        for x, y, angle in self.places:
            self.food.draw(canvas, (x, y), 23, angle)
        canvas.fill(box(34, 82, 286, 104, 2), self.wood, shade(self.wood, 0.6))
        canvas.line(points((34, 93), (286, 93)), shade(self.wood, 0.75), 2)


class Idle:
    """Nothing is cooked: a cloth lies on the table, a kettle steams."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.cloth = vary(((206, 96, 90), (96, 130, 180), (120, 160, 120))[rng.integers(3)], rng)
        self.phases = rng.uniform(0, 1, 5)

    def lay(self, canvas: Canvas) -> None:
        canvas.fill(box(50, 150, 150, 210, 6), self.cloth)
        for x in range(62, 150, 16):
            canvas.line(points((x, 152), (x, 208)), shade(self.cloth, 1.2), 4)
        canvas.fill(ellipse(46, 8, (232, 172)), (40, 34, 30, 70))
        canvas.fill(
            np.concatenate([arc(44, 62, np.pi, 2 * np.pi, (232, 164)), arc(44, 10, 0, np.pi, (232, 164))]),
            (176, 184, 194),
        )
        canvas.line(arc(26, 24, np.pi, 2 * np.pi, (232, 106)), (60, 60, 66), 6)
        canvas.dots(points((232, 100)), 5, (60, 60, 66))
        canvas.fill(points((196, 140), (176, 112), (184, 108), (204, 126)), (176, 184, 194))

    def move(self, canvas: Canvas, t_s: float, share: float) -> None:
        for k, phase in enumerate(self.phases):
            rise = (t_s * 0.5 + phase) % 1
            at = points((178 - 10 * rise + 5 * np.sin(4 * t_s + k), 104 - 70 * rise))
            canvas.dots(at, 5 + 10 * rise, (250, 250, 252, round(110 * (1 - rise))))
