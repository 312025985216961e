"""Tools that the cook holds, and the hand that holds them."""

from __future__ import annotations

import numpy as np

from stages.video.kitchen.canvas import Canvas, Colour, arc, box, ellipse, place, points, shade

STEEL: Colour = (206, 212, 220)
WOOD: Colour = (190, 140, 84)
SLEEVES: tuple[Colour, ...] = ((70, 96, 140), (150, 60, 66), (86, 120, 92), (120, 92, 140), (90, 90, 98))
HANDS: tuple[Colour, ...] = ((241, 196, 160), (214, 160, 120), (160, 108, 74), (104, 68, 48))

Point = tuple[float, float]


class Hand:
    """A fist and a sleeve, the same through a scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.skin = HANDS[rng.integers(len(HANDS))]
        self.sleeve = SLEEVES[rng.integers(len(SLEEVES))]

    def draw(self, canvas: Canvas, at: Point, angle: float, size: float = 1.0) -> None:
        """A fist at ``at``; the arm leaves it towards ``angle`` (radians, clockwise from the right)."""
        canvas.fill(place(points((8, -10), (150, -17), (150, 17), (8, 10)), at, size, angle), self.skin)
        canvas.fill(place(points((34, -15), (150, -20), (150, 20), (34, 15)), at, size, angle), self.sleeve)
        canvas.fill(place(ellipse(15, 13), at, size, angle), self.skin, shade(self.skin, 0.75))
        for y in (-5, 1, 7):
            canvas.line(place(points((-13, y), (-3, y)), at, size, angle), shade(self.skin, 0.75), 1.2)


def knife(canvas: Canvas, tip: Point, angle: float, handle: Colour) -> None:
    """A cook's knife, 118 units from tip to heel, its edge below; the handle lies towards ``angle``."""
    blade = np.concatenate([points((0, 6)), arc(40, 34, np.pi, 1.5 * np.pi, (42, 8), 8), points((118, -26), (118, 8))])
    canvas.fill(place(blade, tip, 1.0, angle), STEEL, (120, 126, 134))
    canvas.fill(place(points((4, 5), (118, 1), (118, 8), (0, 7)), tip, 1.0, angle), (240, 244, 248))
    canvas.fill(place(box(116, -24, 172, -8, 5), tip, 1.0, angle), handle)


def spoon(canvas: Canvas, at: Point, angle: float, wood: Colour) -> None:
    """A wooden spoon whose bowl is at ``at``; the handle goes 130 units towards ``angle``."""
    canvas.line(place(points((0, 0), (130, 0)), at, 1.0, angle), shade(wood, 0.8), 9)
    canvas.line(place(points((0, -1), (130, -1)), at, 1.0, angle), wood, 5)
    canvas.fill(place(ellipse(22, 15), at, 1.0, angle), wood, shade(wood, 0.6))
    canvas.fill(place(ellipse(14, 9), at, 1.0, angle), shade(wood, 0.78))


def peeler(canvas: Canvas, at: Point, handle: Colour) -> None:
    """A Y-shaped peeler whose blade lies at ``at``, its handle upwards to the right."""
    canvas.line(points((-15, -2), (-11, -22), (11, -22), (15, -2)) + at, STEEL, 5)
    canvas.line(points((-16, 0), (16, 0)) + at, (238, 242, 248), 6)
    canvas.line(points((0, -22), (10, -62)) + at, handle, 11)
