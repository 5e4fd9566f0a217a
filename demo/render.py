#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Render the demo's pictures: one coloured, distorted glyph per 32 x 32 picture, twelve classes.

Used by train.py, which draws the training set from it in memory and writes the calibration and test pictures.
Needs numpy and Pillow. The same seed gives the same pictures (with the same versions of the two libraries).

The glyph is an outline in the unit disc. Its points, not its pixels, are rotated, scaled, sheared and bent, so the
edge stays sharp until the blur. Then come a textured background, occluding bars, blur, noise, and last the rounding
to RGB565, the pixel format of the small cameras that microcontrollers read (it also makes the files small).
"""
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 32
OVERSAMPLING = 4
CLASSES = ("arrow", "crescent", "cross", "disc", "drop", "heart",
           "hexagon", "pentagon", "ring", "square", "star", "triangle")  # sorted: class index = folder order


# ---- outlines: lists of closed rings of points [n, 2]; the first is filled, the others are holes ----

def polygon(points, per_edge=6):
    """The closed polygon through points, with per_edge points on each edge so that bending curves it."""
    points = np.asarray(points, float)
    t = np.arange(per_edge)[:, None] / per_edge
    ends = np.roll(points, -1, axis=0)
    return np.concatenate([a + (b - a) * t for a, b in zip(points, ends)])


def regular(n, radius=1.0):
    angle = np.arange(n) * 2 * math.pi / n - math.pi / 2
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def star():
    points = regular(10)
    points[1::2] *= 0.45
    return polygon(points, 3)


def crescent():
    outer = np.linspace(0.25 * math.pi, 1.75 * math.pi, 24)
    inner = np.linspace(1.62 * math.pi, 0.38 * math.pi, 20)
    return np.concatenate([np.stack([np.cos(outer), np.sin(outer)], 1),
                           np.stack([0.42 + 0.78 * np.cos(inner), 0.78 * np.sin(inner)], 1)])


def drop():
    arc = np.linspace(-0.15 * math.pi, 1.15 * math.pi, 24)
    round_part = np.stack([0.68 * np.cos(arc), 0.32 + 0.68 * np.sin(arc)], 1)
    return np.concatenate([round_part, [[-0.3, -0.5], [0, -1.0], [0.3, -0.5]]])


def heart():
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y - 2], 1) / 17


OUTLINES = {
    "arrow": [polygon([(-1, -.28), (.1, -.28), (.1, -.75), (1, 0), (.1, .75), (.1, .28), (-1, .28)])],
    "crescent": [crescent()],
    "cross": [polygon([(-.3, -.95), (.3, -.95), (.3, -.3), (.95, -.3), (.95, .3), (.3, .3), (.3, .95), (-.3, .95),
                       (-.3, .3), (-.95, .3), (-.95, -.3), (-.3, -.3)], 3)],
    "disc": [regular(40, 0.9)],
    "drop": [drop()],
    "heart": [heart()],
    "hexagon": [polygon(regular(6, 0.95))],
    "pentagon": [polygon(regular(5))],
    "ring": [regular(40, 0.95), regular(40, 0.5)],
    "square": [polygon(regular(4, 1.1), 8)],
    "star": [star()],
    "triangle": [polygon(regular(3, 1.1), 10)],
}


# ---- one picture ----

GRID = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
GRID_X, GRID_Y = np.meshgrid(GRID, GRID)


def distortion(rng):
    """A function that bends, shears, scales, rotates and moves points [n, 2] of the unit disc."""
    angle = rng.uniform(-0.6, 0.6)
    scale = rng.uniform(0.52, 0.82) * np.exp(rng.uniform(-0.13, 0.13, 2))
    shear = rng.uniform(-0.22, 0.22)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = rotation @ np.array([[1, shear], [0, 1]]) @ np.diag(scale)
    centre = rng.uniform(-1, 1, 2) * max(0.0, 0.92 - scale.max())
    frequency = rng.uniform(1.2, 3.2, (2, 2))
    phase = rng.uniform(0, 2 * math.pi, 2)
    amplitude = rng.uniform(0, 0.08)

    def apply(points):
        bent = points + amplitude * np.sin(points @ frequency + phase)
        return bent @ matrix.T + centre

    return apply


def fill(rings):
    """Coverage [SIZE, SIZE] in 0..1 of the first ring less the others; coordinates in -1..1."""
    side = SIZE * OVERSAMPLING
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    for i, ring in enumerate(rings):
        draw.polygon([tuple(p) for p in ((ring + 1) * (side / 2)).tolist()], fill=0 if i else 255)
    return np.asarray(mask.reduce(OVERSAMPLING), np.float32) / 255


def clouds(rng, cells):
    """Smooth noise [SIZE, SIZE], about -1..1."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), "F")
    return np.asarray(coarse.resize((SIZE, SIZE), Image.BICUBIC))


def texture(rng):
    """One of four patterns [SIZE, SIZE], about -1..1."""
    kind = rng.integers(4)
    if kind == 0:
        return clouds(rng, int(rng.integers(3, 9)))
    angle = rng.uniform(0, math.pi)
    u = GRID_X * math.cos(angle) + GRID_Y * math.sin(angle)
    v = GRID_Y * math.cos(angle) - GRID_X * math.sin(angle)
    f, phase = rng.uniform(6, 16), rng.uniform(0, 6)
    if kind == 1:
        return np.sin(f * u + phase)                                # stripes
    if kind == 2:
        return np.sin(f * u + phase) * np.sin(f * v)                # checks
    return np.clip(3 * np.sin(f * u + phase) * np.sin(f * v) - 1, -1, 1)   # dots


def colour(rng, away_from=None, distance=0.0):
    """A colour in 20..235, at least distance (Euclidean, in grey levels) from another."""
    while True:
        c = rng.uniform(20, 235, 3)
        if away_from is None or np.linalg.norm(c - away_from) >= distance:
            return c


def occluders(rng):
    """Rings of bars and specks that cover a part of the picture."""
    rings = []
    for _ in range(rng.integers(0, 3)):
        angle, length, width = rng.uniform(0, math.pi), rng.uniform(0.3, 1.2), rng.uniform(0.05, 0.11)
        direction = np.array([math.cos(angle), math.sin(angle)])
        normal = np.array([-direction[1], direction[0]]) * width
        middle = rng.uniform(-0.8, 0.8, 2)
        a, b = middle - direction * length, middle + direction * length
        rings.append(np.array([a - normal, b - normal, b + normal, a + normal]))
    return rings


def render(rng, name):
    """One picture of class name: uint8 [SIZE, SIZE, 3], RGB."""
    warp = distortion(rng)
    mask = fill([warp(ring) for ring in OUTLINES[name]])[:, :, None]

    ground = colour(rng)
    slope = rng.uniform(-22, 22, 3) * (GRID_X * rng.uniform(-1, 1) + GRID_Y * rng.uniform(-1, 1))[:, :, None]
    picture = ground + slope + texture(rng)[:, :, None] * rng.uniform(-24, 24, 3)
    glyph = colour(rng, ground, 80) + clouds(rng, 4)[:, :, None] * rng.uniform(-24, 24, 3)
    picture += (glyph - picture) * mask
    for ring in occluders(rng):
        picture += (colour(rng) - picture) * fill([ring])[:, :, None]

    picture = Image.fromarray(np.clip(picture + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9)))
    noisy = np.asarray(picture, np.float32) + rng.normal(0, rng.uniform(1, 8), (SIZE, SIZE, 3))
    return rgb565(noisy)


def rgb565(picture):
    """Round to 5, 6 and 5 bits per channel, widened again to 0..255 by repeating the high bits."""
    pixels = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    five, six = pixels >> 3, pixels >> 2
    out = (five << 3) | (five >> 2)
    out[:, :, 1] = (six[:, :, 1] << 2) | (six[:, :, 1] >> 4)
    return out


def render_set(seed, per_class):
    """Pictures uint8 [12 * per_class, SIZE, SIZE, 3] and classes int64, the classes taking turns."""
    rng = np.random.default_rng(seed)
    labels = np.arange(len(CLASSES) * per_class) % len(CLASSES)
    return np.stack([render(rng, CLASSES[k]) for k in labels]), labels
