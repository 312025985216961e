"""What is cooked: eight ingredients that differ in shape and colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.video.kitchen.canvas import Canvas, Colour, arc, ellipse, mix, place, points, shade, vary

LEAF: Colour = (74, 142, 58)


@dataclass(frozen=True)
class Ingredient:
    """An ingredient of one scene: its colours, varied a little, and how it is drawn within a unit circle."""

    name: str
    skin: Colour
    flesh: Colour
    _shapes: Callable[[Colour], list[tuple[np.ndarray, Colour]]]

    def draw(self, canvas: Canvas, at: tuple[float, float], size: float, angle: float = 0.0) -> None:
        """The whole thing, ``size`` units from its middle to its rim."""
        shapes = self._shapes(self.skin)
        outline = place(shapes[0][0], at, size, angle)
        for k, (shape, colour) in enumerate(shapes):
            canvas.fill(place(shape, at, size, angle), colour, shade(colour, 0.6) if k == 0 else None)
        canvas.line(np.concatenate([outline, outline[:1]]), shade(self.skin, 0.6), 1.2)

    def slice(
        self, canvas: Canvas, at: tuple[float, float], size: float, angle: float = 0.0, flat: float = 1.0
    ) -> None:
        """A round slice: a rim of skin around the flesh; ``flat`` below 1 where it is seen from the side."""
        canvas.fill(place(ellipse(flat, 1, n=18), at, size, angle), self.skin)
        canvas.fill(place(ellipse(flat * 0.74, 0.74, n=14), at, size, angle), self.flesh)
        canvas.fill(place(ellipse(flat * 0.3, 0.3, n=8), at, size, angle), mix(self.flesh, self.skin, 0.35))


def ingredient(name: str, rng: np.random.Generator) -> Ingredient:
    """The ingredient called ``name``, in a colour near its usual one."""
    skin, flesh, shapes = INGREDIENTS[name]
    return Ingredient(name, vary(skin, rng), vary(flesh, rng), shapes)


Shapes = list[tuple[np.ndarray, Colour]]


def _tomato(skin: Colour) -> Shapes:
    turn = np.linspace(0, 2 * np.pi, 11)[:-1]
    star = np.stack([np.cos(turn), np.sin(turn) * 0.6], 1) * np.where(np.arange(10) % 2, 0.14, 0.48)[:, None]
    return [
        (ellipse(1.0, 0.9), skin),
        (ellipse(0.8, 0.6, (0.1, 0.2)), shade(skin, 1.08)),
        (ellipse(0.2, 0.12, (-0.45, -0.35), 12), mix(skin, (255, 255, 255), 0.6)),
        (star + (0, -0.66), LEAF),
    ]


def _carrot(skin: Colour) -> Shapes:
    body = np.concatenate([arc(0.32, 0.46, np.pi / 2, 3 * np.pi / 2, (-0.75, 0)), points((1.5, -0.06), (1.5, 0.06))])
    leaves = [(place(ellipse(0.5, 0.14, (-0.45, 0), 12), (-0.95, 0), 1.0, a), LEAF) for a in (-0.6, 0.0, 0.6)]
    rings = [
        (points((x, -h), (x + 0.07, -h), (x + 0.12, h * 0.2), (x + 0.03, h * 0.2)), shade(skin, 0.8))
        for x, h in ((-0.6, 0.4), (-0.15, 0.3), (0.3, 0.22), (0.75, 0.15))
    ]
    return [(body, skin), *leaves, *rings]


def _pepper(skin: Colour) -> Shapes:
    body = np.concatenate(
        [arc(0.4, 0.44, np.pi / 2, 3 * np.pi / 2, (-1.1, 0)), arc(0.4, 0.44, -np.pi / 2, np.pi / 2, (1.1, 0))]
    )
    light = mix(skin, (200, 230, 140), 0.45)
    stripes = [
        (points((-1.2, y), (1.2, y + 0.03), (1.2, y + 0.09), (-1.2, y + 0.07)), light) for y in (-0.26, -0.03, 0.2)
    ]
    return [(body, skin), *stripes, (ellipse(0.09, 0.16, (-1.42, 0), 10), light)]


def _lemon(skin: Colour) -> Shapes:
    left = arc(0.95, 0.78, np.pi * 0.58, np.pi * 1.42)
    right = arc(0.95, 0.78, -np.pi * 0.42, np.pi * 0.42)
    body = np.concatenate([left[:6], points((-1.2, 0.12), (-1.2, -0.12)), left[10:], right[:6]])
    body = np.concatenate([body, points((1.2, -0.12), (1.2, 0.12)), right[10:]])
    pores = [(ellipse(0.05, 0.05, at, 6), shade(skin, 0.86)) for at in ((0.3, 0.3), (0.55, 0), (0, 0.45), (-0.2, 0.1))]
    return [(body, skin), (ellipse(0.34, 0.16, (-0.35, -0.36), 12), mix(skin, (255, 255, 255), 0.65)), *pores]


def _mushroom(skin: Colour) -> Shapes:
    cap = np.concatenate([arc(1.05, 0.95, np.pi, 2 * np.pi), arc(1.05, 0.22, 0, np.pi)])
    stem = points((-0.3, 0.1), (0.3, 0.1), (0.4, 0.85), (0.2, 0.98), (-0.2, 0.98), (-0.4, 0.85))
    spots = [(ellipse(rx, 0.1, at, 10), shade(skin, 0.8)) for rx, at in ((0.2, (-0.4, -0.5)), (0.14, (0.35, -0.6)))]
    return [
        (stem, mix(skin, (255, 250, 240), 0.5)),
        (cap, skin),
        (ellipse(0.8, 0.13, (0, 0.07)), shade(skin, 0.55)),
        *spots,
    ]


def _onion(skin: Colour) -> Shapes:
    round_part = arc(0.95, 0.85, -np.pi * 0.36, np.pi * 1.36, (0, 0.1), 26)
    body = np.concatenate([round_part, points((-0.12, -1.05), (0.12, -1.05))])
    light = mix(skin, (255, 235, 250), 0.45)
    veins = [
        (
            np.concatenate(
                [
                    arc(r, 0.8, -np.pi / 2, np.pi / 2, (0, 0.1), 9),
                    arc(r - 0.09, 0.8, np.pi / 2, -np.pi / 2, (0, 0.1), 9),
                ]
            )
            * (s, 1),
            light,
        )
        for r, s in ((0.7, 1), (0.36, 1), (0.7, -1), (0.36, -1))
    ]
    roots = [
        (points((-0.15, 0.9), (0.15, 0.9), (0.2, 1.12), (0.05, 1.0), (-0.05, 1.13), (-0.2, 1.08)), (214, 196, 150))
    ]
    return [(body, skin), *veins, *roots]


def _potato(skin: Colour) -> Shapes:
    turn = np.linspace(0, 2 * np.pi, 29)[:-1]
    radius = 1 + 0.1 * np.sin(2 * turn + 0.6) + 0.06 * np.sin(3 * turn)
    body = np.stack([radius * np.cos(turn) * 1.12, radius * np.sin(turn) * 0.78], 1)
    eyes = [
        (ellipse(0.1, 0.05, at, 8), shade(skin, 0.6)) for at in ((-0.5, -0.2), (0.1, 0.25), (0.55, -0.1), (-0.15, -0.4))
    ]
    return [(body, skin), (ellipse(0.6, 0.3, (-0.1, -0.2)), shade(skin, 1.1)), *eyes]


def _plum(skin: Colour) -> Shapes:
    crease = np.concatenate([arc(0.3, 0.92, -np.pi / 2, np.pi / 2, n=10), arc(0.2, 0.92, np.pi / 2, -np.pi / 2, n=10)])
    return [
        (ellipse(0.88, 0.98), skin),
        (crease, shade(skin, 0.65)),
        (ellipse(0.22, 0.4, (-0.45, -0.25), 14), mix(skin, (230, 230, 255), 0.45)),
        (points((-0.05, -0.9), (0.05, -0.9), (0.18, -1.25), (0.08, -1.28)), (104, 72, 40)),
    ]


INGREDIENTS: dict[str, tuple[Colour, Colour, Callable[[Colour], Shapes]]] = {
    "tomato": ((216, 40, 32), (246, 120, 96), _tomato),
    "carrot": ((244, 128, 22), (255, 176, 84), _carrot),
    "pepper": ((30, 112, 44), (190, 228, 150), _pepper),
    "lemon": ((252, 222, 36), (255, 246, 160), _lemon),
    "mushroom": ((226, 206, 184), (246, 236, 222), _mushroom),
    "onion": ((176, 46, 122), (244, 206, 232), _onion),
    "potato": ((166, 108, 40), (240, 216, 140), _potato),
    "plum": ((62, 50, 150), (180, 150, 210), _plum),
}
"""Name -> usual colour of the skin, of the flesh, and the shape."""
