"""Colours of the procedural shapes, sRGB in [0, 1], drawn from a shape's own random stream."""

import colorsys

import numpy as np

from g3d.sources.surfaces.surface import Colour

WOODS: tuple[Colour, ...] = (
    (0.55, 0.36, 0.2), (0.72, 0.53, 0.33), (0.36, 0.22, 0.13), (0.83, 0.69, 0.48), (0.46, 0.3, 0.22),
)  # fmt: skip
METALS: tuple[Colour, ...] = (
    (0.72, 0.73, 0.75), (0.3, 0.31, 0.33), (0.13, 0.13, 0.14), (0.86, 0.86, 0.85), (0.66, 0.55, 0.33),
)  # fmt: skip
HUBS: tuple[Colour, ...] = (
    (0.78, 0.79, 0.8), (0.6, 0.61, 0.64), (0.3, 0.31, 0.33), (0.88, 0.88, 0.87), (0.72, 0.6, 0.3),
)  # fmt: skip
TYRE: Colour = (0.1, 0.1, 0.11)
DARK: Colour = (0.16, 0.16, 0.18)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """One of a table, slightly varied."""
    return shade(colours[int(rng.integers(len(colours)))], float(rng.uniform(0.92, 1.08)))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above."""
    r, g, b = (min(1.0, max(0.0, c * factor)) for c in colour)
    return r, g, b


def vivid(rng: np.random.Generator) -> Colour:
    """Any hue, strong."""
    return colorsys.hsv_to_rgb(float(rng.random()), float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.5, 0.95)))


def neutral(rng: np.random.Generator) -> Colour:
    """White, silver, grey or nearly black, a little tinted."""
    value = float(rng.choice([0.95, 0.8, 0.62, 0.42, 0.22])) * float(rng.uniform(0.93, 1.0))
    return colorsys.hsv_to_rgb(float(rng.random()), float(rng.uniform(0.0, 0.07)), value)


def paint(rng: np.random.Generator, neutral_share: float = 0.3) -> Colour:
    """The main colour of a shape."""
    return neutral(rng) if rng.random() < neutral_share else vivid(rng)
