"""The appearance of a subject: some twenty numbers => textures of skin, hair and eyes. No torch here.

The ICT model has no albedo, so that one is drawn: appearance depends on (seed, subject) alone and knows nothing of shape.

Letters: P painted texels, R texels a side, F triangles.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from g3d.sources.faces.model import FaceModel
from g3d.sources.faces.regions import Atlas, Regions
from g3d.sources.surfaces.surface import F32, Colour

# Light to dark skin, sRGB; between them lies the range that `melanin` runs through.
_SKINS = ((0.95, 0.80, 0.72), (0.91, 0.73, 0.62), (0.84, 0.64, 0.51), (0.73, 0.52, 0.39), (0.57, 0.38, 0.28),
          (0.42, 0.27, 0.20), (0.29, 0.18, 0.14))  # fmt: skip
_HAIRS = ((0.86, 0.74, 0.52), (0.62, 0.46, 0.28), (0.38, 0.25, 0.15), (0.21, 0.14, 0.10), (0.09, 0.07, 0.06))
_IRISES = ((0.42, 0.58, 0.72), (0.45, 0.56, 0.48), (0.50, 0.42, 0.24), (0.36, 0.22, 0.11), (0.17, 0.10, 0.06))
_IRIS_RADIUS, _PUPIL_SHARE = 0.57, 0.36  # model units; of the iris' radius
_NOISE_CELLS = 32


@dataclass(frozen=True)
class Appearance:
    """What a subject looks like, each number in [0, 1]."""

    melanin: float  # light to dark skin
    undertone: float  # cool (rosy) to warm (olive)
    saturation: float
    blush: float  # of cheeks, nose and ears
    mottling: float  # low-frequency unevenness
    freckles: float  # none below 0.5
    lip_red: float
    lip_dark: float
    brow_thickness: float
    brow_density: float
    brow_height: float
    hair_dark: float
    hair_red: float
    hair_grey: float  # none below 0.8
    hair_cover: float  # shaved to full
    hairline: float  # low to receding
    beard: float  # none below 0.55
    iris: float  # blue, green, hazel, brown, dark
    iris_light: float
    lid_shade: float

    def as_json(self) -> dict[str, float]:
        """Plain JSON values."""
        return {f.name: round(getattr(self, f.name), 4) for f in fields(self)}


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random stream `name` of item `index`."""
    digest = hashlib.sha256(f"{seed}|{index}|faces|{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def appearance(seed: int, subject: int) -> Appearance:
    """The appearance of a subject."""
    rng = stream(seed, subject, "appearance")
    return Appearance(**{f.name: float(rng.random()) for f in fields(Appearance)})


def paint(look: Appearance, regions: Regions, noise_seed: int) -> dict[str, NDArray[np.uint8]]:
    """Textures [R, R, 3] of "face", "head", "left_eye" and "right_eye"."""
    noise = np.random.default_rng(noise_seed).random((4, _NOISE_CELLS, _NOISE_CELLS, _NOISE_CELLS)).astype(np.float32)
    colour = _skin(look, regions, noise)
    _features(look, regions, noise, colour)
    _hair(look, regions, noise, colour)
    _lay(colour, regions.inside, np.array((0.42, 0.17, 0.16), np.float32))
    textures = {}
    for name, start in regions.starts.items():
        atlas = regions.atlases[name]
        textures[name] = _texture(colour[start : start + len(atlas.points)], atlas)
    for name in ("left_eye", "right_eye"):
        textures[name] = _texture(_eye(look, regions.atlases[name].points, noise[3]), regions.atlases[name])
    return textures


def corner_colours(model: FaceModel, openness: F32) -> F32:
    """[F, 3, 3] what the textures are multiplied with: how open a place is, and the colour of parts without a texture."""
    shade = 0.25 + 0.75 * np.clip(openness, 0, 1) ** 0.7
    colours = np.repeat(shade[model.triangles][..., None], 3, axis=2).astype(np.float32)
    deep = np.clip(openness[model.triangles], 0, 1)[..., None]
    plain: Mapping[str, Colour] = {"teeth": (0.93, 0.90, 0.82), "gums": (0.74, 0.38, 0.37)}
    for name, base in plain.items():
        ids = model.regions[name]
        colours[ids] = np.array(base, np.float32) * (0.15 + 0.85 * deep[ids])
    colours[model.regions["cut"]] = (0.16, 0.13, 0.12)
    colours[model.regions["mouth_socket"]] *= 0.25 + 0.75 * deep[model.regions["mouth_socket"]]
    return colours


def skin_colour(look: Appearance) -> F32:
    """[3] the plain colour of the skin."""
    base = _between(_SKINS, look.melanin)
    warm = (look.undertone - 0.5) * np.array([0.02, 0.035, -0.035], np.float32)
    grey = base.mean()
    tinted: F32 = (grey + (base + warm - grey) * np.float32(0.8 + 0.4 * look.saturation)).astype(np.float32)
    return tinted


def _skin(look: Appearance, regions: Regions, noise: F32) -> F32:
    """[P, 3] skin with its unevenness, blush, freckles and the shade around the eyes."""
    skin = skin_colour(look)
    uneven = _noise(noise[0], regions.points, 2.6) - 0.5 + 0.5 * (_noise(noise[1], regions.points, 0.9) - 0.5)
    fine = _noise(noise[2], regions.points, 0.22) - 0.5
    colour = skin * (1 + np.float32(0.05 + 0.13 * look.mottling) * uneven + np.float32(0.05) * fine)[:, None]
    flush = skin * np.array([1.0, 0.80, 0.79], np.float32) + np.array([0.03, 0, 0], np.float32)
    _lay(colour, regions.cheek * np.float32(0.1 + 0.45 * look.blush), flush)
    _lay(colour, regions.lid * np.float32(0.12 + 0.4 * look.lid_shade), skin * np.array([0.72, 0.62, 0.64], np.float32))
    strength = max(0.0, look.freckles - 0.5) * 2 * min(1.0, 1.6 * float(skin.mean()))
    if strength > 0:
        at = np.nonzero(regions.freckled > 0.05)[0]
        share = np.zeros(len(colour), np.float32)
        for layer, cell in ((0, 0.28), (1, 0.2)):
            share[at] = np.maximum(share[at], _spots(noise[layer : layer + 3], regions.points[at] + layer, cell))
        share *= regions.freckled * np.float32(0.7 * strength)
        _lay(colour, share, skin * np.array([0.70, 0.55, 0.45], np.float32))
    return colour


def _features(look: Appearance, regions: Regions, noise: F32, colour: F32) -> None:
    """Lips, the edges of the lids, beard and brows, onto `colour` [P, 3]."""
    skin, hair = skin_colour(look), _hair_colour(look)
    red = np.array([0.72, 0.30, 0.30], np.float32) * np.float32(0.45 + 0.75 * float(skin.mean()))
    natural = skin * np.array([0.88, 0.66, 0.66], np.float32)
    lips = (natural + (red - natural) * np.float32(0.8 * look.lip_red)) * np.float32(1.05 - 0.3 * look.lip_dark)
    at = np.nonzero(regions.lips > 1e-3)[0]
    streaks = 0.9 + 0.2 * _noise(noise[2], regions.points[at] * np.array([4, 0.6, 0.6], np.float32), 0.5)
    _lay_at(colour, at, regions.lips[at] * np.float32(0.85), lips * streaks[:, None])
    _lay(colour, regions.seam * np.float32(0.6), lips * np.float32(0.45))
    _lay(colour, regions.lid_edge * np.float32(0.7), hair * np.float32(0.4) + skin * np.float32(0.12))
    stubble = max(0.0, look.beard - 0.55) / 0.45
    if stubble > 0:
        at = np.nonzero(regions.beard > 1e-3)[0]
        grain = 0.55 + 0.9 * (_noise(noise[1], regions.points[at], 0.12) - 0.5)
        grain += 0.5 * (_noise(noise[0], regions.points[at], 0.5) - 0.5)
        share = regions.beard[at] * np.clip(grain, 0, 1) * np.float32(0.2 + 0.6 * stubble)
        _lay_at(colour, at, share, hair * np.float32(0.8))
    _brows(look, regions, noise[3], colour, hair * np.float32(0.8))


def _brows(look: Appearance, regions: Regions, noise: F32, colour: F32, hair: F32) -> None:
    at = np.nonzero(np.abs(regions.brow_across) < 1.2)[0]
    along, across = regions.brow_along[at], regions.brow_across[at] - np.float32(0.3 * (look.brow_height - 0.5))
    half = (0.22 + 0.26 * look.brow_thickness) * np.interp(along, [0, 0.12, 0.4, 0.7, 1], [0.75, 1.05, 1, 0.75, 0.25])
    inside = np.clip((half - np.abs(across)) / 0.16 + 0.5, 0, 1) * np.clip(along / 0.05, 0, 1)
    inside *= np.clip((1.002 - along) / 0.05, 0, 1)
    slanted = np.stack([along * 75 - across * 9, across * 1.2, 0 * along], axis=1).astype(np.float32)
    strands = np.clip(0.75 + 1.1 * (_noise(noise, slanted, 0.9) - 0.5), 0, 1)
    _lay_at(colour, at, (inside * strands * (0.5 + 0.5 * look.brow_density)).astype(np.float32), hair)


def _hair(look: Appearance, regions: Regions, noise: F32, colour: F32) -> None:
    """Short hair on the scalp, onto `colour` [P, 3]."""
    at = np.nonzero(regions.hair_edge > -1.2)[0]
    points = regions.points[at]
    ahead = np.clip((points[:, 2] - 2) / 4, 0, 1)  # hair recedes at the forehead, not at the nape
    edge = regions.hair_edge[at] - np.float32(1.6 * max(0.0, look.hairline - 0.3)) * ahead
    ragged = edge + 0.7 * (_noise(noise[0], points, 0.55) - 0.5) + 0.35 * (_noise(noise[2], points, 0.2) - 0.5)
    cover = np.clip(ragged / np.float32(0.8) + 0.5, 0, 1) * (1 - regions.ear[at])
    strands = _noise(noise[3], points * np.array([1, 0.35, 1], np.float32), 0.25)
    clumps = _noise(noise[1], points, 1.2)
    density = np.float32(0.55 + 0.45 * min(1.0, 1.4 * look.hair_cover))
    hair = _hair_colour(look) * (0.62 + 0.5 * strands + 0.28 * clumps)[:, None]
    _lay_at(colour, at, cover * density * (0.8 + 0.2 * strands), hair)


def _hair_colour(look: Appearance) -> F32:
    base = _between(_HAIRS, 0.35 * look.hair_dark + 0.65 * min(1.0, look.hair_dark + 0.75 * look.melanin))
    red = np.array([0.10, -0.01, -0.04], np.float32) * np.float32(max(0.0, look.hair_red - 0.5) * 2 * base.mean() * 1.6)
    grey = np.float32(max(0.0, look.hair_grey - 0.8) * 4.5)
    mixed: F32 = ((base + red) * (1 - grey) + np.array([0.62, 0.61, 0.60], np.float32) * grey).astype(np.float32)
    return mixed


def _eye(look: Appearance, points: F32, noise: F32) -> F32:
    """[P, 3] white, iris and pupil by the distance from the front of the eye."""
    apex = points[points[:, 2].argmax()]
    offset = points - apex
    distance = np.linalg.norm(offset, axis=1)
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    fibres = np.stack([np.cos(angle) * 3, np.sin(angle) * 3, distance * 0.8], axis=1).astype(np.float32)
    white = np.array([0.88, 0.86, 0.84], np.float32) - np.clip((distance - 1.0) / 1.2, 0, 1)[:, None] * np.array(
        [0.04, 0.16, 0.16], np.float32
    )
    base = _between(_IRISES, look.iris) * np.float32(0.8 + 0.4 * look.iris_light)
    share = distance / np.float32(_IRIS_RADIUS)
    ring = 1 - 0.55 * np.clip((share - 0.78) / 0.2, 0, 1)  # the limbus is darker
    inner = 1.18 - 0.3 * np.clip((share - 0.45) / 0.3, 0, 1)
    iris = base * (ring * inner * (0.8 + 0.4 * _noise(noise, fibres, 0.35)))[:, None]
    colour = np.array(white, np.float32)
    _lay(colour, np.clip((1 - share) / 0.09 + 0.5, 0, 1).astype(np.float32), iris)
    pupil = np.clip((_PUPIL_SHARE - share) / 0.08 + 0.5, 0, 1).astype(np.float32)
    _lay(colour, pupil, np.full(3, 0.03, np.float32))
    lid = 1 - 0.3 * np.clip((offset[:, 1] - 0.05) / 0.75, 0, 1) - 0.25 * np.clip((distance - 0.9) / 0.7, 0, 1)
    shaded: F32 = colour * lid[:, None].astype(np.float32)  # lids shade the eye
    return shaded


def _texture(colour: F32, atlas: Atlas) -> NDArray[np.uint8]:
    return (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)[atlas.place]


def _lay(under: F32, share: F32, over: F32) -> None:
    """`over`, one colour [3] or a colour for each [P, 3], onto `under` [P, 3] in place, by `share` [P]."""
    at = np.nonzero(share > 1e-3)[0]
    _lay_at(under, at, share[at], over if over.ndim == 1 else over[at])


def _lay_at(under: F32, at: NDArray[np.int64], share: F32, over: F32) -> None:
    """The same for the texels `at` alone; share [len(at)], over [3] or [len(at), 3]."""
    under[at] += share[:, None].astype(np.float32) * (over - under[at])


def _between(stops: tuple[Colour, ...], where: float) -> F32:
    """[3] the colour at `where` in [0, 1] along evenly spaced stops."""
    table, at = np.array(stops, np.float32), where * (len(stops) - 1)
    first = min(int(at), len(stops) - 2)
    mixed: F32 = table[first] + (table[first + 1] - table[first]) * np.float32(at - first)
    return mixed


def _noise(grid: F32, points: F32, cell: float) -> F32:
    """[P] smooth noise in [0, 1], mean 1/2, that changes over lengths of `cell`; `grid` [G, G, G] of random numbers repeats."""
    cells = grid.shape[0]
    at = points * np.float32(1 / cell)
    low = np.floor(at)
    f = at - low
    f = f * f * (3 - 2 * f)
    i = low.astype(np.int64) % cells
    j = (i + 1) % cells
    flat = grid.reshape(-1)
    fx, fy, fz = f.T
    value = np.zeros(len(points), np.float32)
    for x, wx in ((i[:, 0], 1 - fx), (j[:, 0], fx)):
        for y, wy in ((i[:, 1], 1 - fy), (j[:, 1], fy)):
            row = (x * cells + y) * cells
            value += wx * wy * (flat[row + i[:, 2]] * (1 - fz) + flat[row + j[:, 2]] * fz)
    return value


def _spots(grids: F32, points: F32, cell: float) -> F32:
    """[P] one soft ball of random size in each cell of space; `grids` [3, G, G, G]."""
    cells = grids.shape[1]
    at = points * np.float32(1 / cell)
    low = np.floor(at)
    x, y, z = (low.astype(np.int64) % cells).T
    key = (x * cells + y) * cells + z
    middle = 0.35 + 0.3 * np.stack([grid.reshape(-1)[key] for grid in grids], axis=1)
    size = 0.34 * np.square(grids[0].reshape(-1)[(key * 7 + 3) % cells**3])
    distance = np.linalg.norm(at - low - middle, axis=1)
    soft: F32 = np.clip((size - distance) / np.float32(0.12) + 0.5, 0, 1) * (size > 0.08)
    return soft
