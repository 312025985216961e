"""Flat shapes on a picture of the kitchen, in units of the finished frame."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240
SMOOTHING = 2
"""Pictures are drawn at so many times their size; the reduction smooths the edges."""

Colour = tuple[int, ...]
"""Red, green, blue and, where something shows through, opacity; each 0 … 255."""


@dataclass(frozen=True)
class View:
    """Where the camera stands: a zoom, a shift in units and whether left and right are exchanged."""

    zoom: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    mirrored: bool = False

    def pixels(self, points_N2: np.ndarray) -> np.ndarray:
        """Units of the scene -> pixels of the enlarged picture."""
        zoom = np.array([-self.zoom if self.mirrored else self.zoom, self.zoom])
        centre = np.array([WIDTH / 2, HEIGHT / 2])
        pixels: np.ndarray = ((points_N2 - centre) * zoom + centre + (self.dx, self.dy)) * SMOOTHING
        return pixels


class Canvas:
    """A picture and a pen. Shapes are arrays of points (x to the right, y down) in 320 × 240 units."""

    def __init__(self, view: View, picture: Image.Image | None = None) -> None:
        self.view = view
        self.picture = picture or Image.new("RGB", (WIDTH * SMOOTHING, HEIGHT * SMOOTHING))
        self._pen = ImageDraw.Draw(self.picture, "RGBA")

    def copy(self) -> Canvas:
        return Canvas(self.view, self.picture.copy())

    def frame(self) -> np.ndarray:
        """The finished frame, uint8 (240, 320, 3)."""
        return np.asarray(self.picture.reduce(SMOOTHING))

    def fill(self, points_N2: np.ndarray, colour: Colour, edge: Colour | None = None) -> None:
        """A filled shape, with a thin edge where one is given."""
        flat = self.view.pixels(points_N2).ravel().tolist()
        self._pen.polygon(flat, fill=colour)
        if edge is not None:
            self._pen.line(flat + flat[:2], fill=edge, width=SMOOTHING)

    def line(self, points_N2: np.ndarray, colour: Colour, width: float) -> None:
        """An open line, ``width`` units thick."""
        pixels = max(1, round(width * self.view.zoom * SMOOTHING))
        joint = "curve" if pixels > 2 * SMOOTHING else None
        self._pen.line(self.view.pixels(points_N2).ravel().tolist(), fill=colour, width=pixels, joint=joint)

    def dots(self, centres_N2: np.ndarray, radii: np.ndarray | float, colour: Colour) -> None:
        """Filled circles."""
        centres = self.view.pixels(np.atleast_2d(centres_N2))
        radii_N = np.broadcast_to(np.asarray(radii) * self.view.zoom * SMOOTHING, len(centres))
        for (x, y), radius in zip(centres.tolist(), radii_N.tolist(), strict=True):
            self._pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def place(shape_N2: np.ndarray, at: tuple[float, float], size: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """``shape`` enlarged by ``size``, turned clockwise by ``angle`` (radians) and moved to ``at``."""
    cos, sin = np.cos(angle), np.sin(angle)
    placed: np.ndarray = shape_N2 @ (np.array([[cos, sin], [-sin, cos]]) * size) + np.asarray(at)
    return placed


def ellipse(rx: float, ry: float, at: tuple[float, float] = (0.0, 0.0), n: int = 28) -> np.ndarray:
    return arc(rx, ry, 0.0, 2 * np.pi * (1 - 1 / n), at, n)


def arc(
    rx: float, ry: float, start: float, end: float, at: tuple[float, float] = (0.0, 0.0), n: int = 16
) -> np.ndarray:
    """Points of an ellipse from angle ``start`` to ``end`` (radians, clockwise from the right)."""
    turn = np.linspace(start, end, n)
    points: np.ndarray = np.stack([rx * np.cos(turn), ry * np.sin(turn)], 1) + np.asarray(at)
    return points


def box(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> np.ndarray:
    """A rectangle, with round corners of radius ``corner``."""
    if corner == 0:
        return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    quarter = np.pi / 2
    centres = [(right, bottom, 0), (left, bottom, 1), (left, top, 2), (right, top, 3)]
    corners = []
    for x, y, k in centres:
        inside = (x - corner if x == right else x + corner, y - corner if y == bottom else y + corner)
        corners.append(arc(corner, corner, k * quarter, (k + 1) * quarter, inside, 6))
    return np.concatenate(corners)


def points(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, float)


def shade(colour: Colour, factor: float) -> Colour:
    """Darker for factors below 1, lighter above; opacity stays."""
    return (*(min(255, max(0, round(c * factor))) for c in colour[:3]), *colour[3:])


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """``share`` of ``b`` in ``a``, opaque."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a[:3], b[:3], strict=True))


def vary(colour: Colour, rng: np.random.Generator, hue: float = 0.012, light: float = 0.06) -> Colour:
    """A colour near ``colour``: hue turned by up to ``hue`` of the circle, light changed by up to ``light``."""
    turned, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour[:3]))
    turned = (turned + rng.uniform(-hue, hue)) % 1
    value = min(1.0, value * (1 + rng.uniform(-light, light)))
    rgb = colorsys.hsv_to_rgb(turned, saturation, value)
    return (*(round(255 * c) for c in rgb), *colour[3:])
