"""A chair from a random stream: seats, backs, legs, arms and cushions in any combination; a fifth are padded armchairs.

Metres; y = 0 is the floor; it faces +z. No part is thinner than 4 cm, so that a 64^3 grid does not lose it.
"""

from dataclasses import dataclass

import numpy as np

from g3d.sources.procedural.paints import METALS, WOODS, paint, pick, shade
from g3d.sources.procedural.solids import Solids, rounded
from g3d.sources.surfaces.surface import Colour, Surface

BACKS = ("solid", "slats", "rungs", "frame", "padded", "round")
LEGS = ("straight", "splayed", "pedestal", "star", "sled", "panel")


@dataclass(frozen=True)
class Plan:
    """One chair's numbers."""

    width: float
    depth: float
    seat_y: float  # top of the seat
    seat_thick: float
    back: str
    back_height: float  # above the seat
    lean: float  # how far the back's top stands behind its foot
    legs: str
    leg: float  # thickness of a leg
    frame: Colour
    cover: Colour


def build(rng: np.random.Generator) -> Surface:
    """A chair. Every draw comes from `rng`, in a fixed order."""
    if rng.random() < 0.2:
        return _armchair(rng)
    wood = rng.random() < 0.6
    frame = pick(rng, WOODS if wood else METALS) if rng.random() < 0.75 else paint(rng, 0.2)
    chair = Plan(
        width=float(rng.uniform(0.4, 0.56)), depth=float(rng.uniform(0.4, 0.52)), seat_y=float(rng.uniform(0.4, 0.52)),
        seat_thick=float(rng.uniform(0.045, 0.1)), back=str(rng.choice(BACKS)),
        back_height=float(rng.uniform(0.32, 0.68)),
        lean=float(rng.uniform(0.0, 0.14)), legs=str(rng.choice(LEGS)), leg=float(rng.uniform(0.042, 0.065)),
        frame=frame, cover=paint(rng, 0.12) if rng.random() < 0.75 else shade(frame, 1.15),
    )  # fmt: skip
    solids = Solids()
    _seat(solids, chair, rng)
    _back(solids, chair, rng)
    _legs(solids, chair)
    if rng.random() < 0.35:
        _arms(solids, chair, rng)
    return solids.surface({"style": f"{chair.back} back, {chair.legs} legs"})


def _seat(solids: Solids, chair: Plan, rng: np.random.Generator) -> None:
    outline = rounded(chair.depth / 2, chair.width / 2, float(rng.choice([0.08, 0.3, 0.55])))  # z, x
    solids.slab([(z, x) for z, x in outline], chair.seat_y - chair.seat_thick, chair.seat_y, 1, chair.cover)
    if rng.random() < 0.4:
        cushion = outline * 0.88
        solids.slab([(z, x) for z, x in cushion], chair.seat_y, chair.seat_y + 0.05, 1, paint(rng, 0.15))


def _back(solids: Solids, chair: Plan, rng: np.random.Generator) -> None:
    """Between two posts that lean backwards; the solid kinds need no posts."""
    y0, y1, half = chair.seat_y, chair.seat_y + chair.back_height, chair.width / 2 - chair.leg / 2
    z0 = -chair.depth / 2 + chair.leg / 2

    def z(y: float) -> float:
        return z0 - chair.lean * (y - y0) / chair.back_height

    def bar(ya: float, yb: float, x: float, wide: float, thick: float, colour: Colour) -> None:
        low, high = np.array([x, ya, z(ya)]), np.array([x, yb, z(yb)])
        ring = np.array([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)]) * (wide / 2, 0, thick / 2)
        solids.loft([low + ring, high + ring], colour)

    if chair.back in ("solid", "padded"):
        thick = 0.05 if chair.back == "solid" else 0.1
        bar(y0 - 0.05, y1, 0, chair.width * float(rng.uniform(0.8, 1.0)), thick, chair.cover)
        return
    if chair.back == "round":
        middle = (y0 + y1) / 2
        ring = rounded(half, chair.back_height / 2, 0.5)
        front = [(x, middle + y + 0.06, z(middle + y) + 0.025) for x, y in ring]
        solids.loft([np.array(front), np.array(front) - (0, 0, 0.05)], chair.cover)
        for side in (-0.5, 0.5):
            bar(y0 - 0.05, middle, side * half, chair.leg, chair.leg, chair.frame)
        return
    for side in (-1, 1):
        bar(y0 - 0.05, y1, side * half, chair.leg, chair.leg, chair.frame)
    bar(y1 - 0.08, y1, 0, chair.width, chair.leg, chair.frame)
    if chair.back == "slats":
        count = int(rng.integers(3, 6))
        for x in np.linspace(-half, half, count + 2)[1:-1]:
            bar(y0 - 0.02, y1 - 0.04, float(x), 0.042, 0.042, chair.frame)
    elif chair.back == "rungs":
        for share in np.linspace(0.3, 0.75, int(rng.integers(1, 4))):
            y = y0 + float(share) * chair.back_height
            bar(y, y + 0.07, 0, chair.width - chair.leg, 0.042, chair.cover)
    else:  # a frame around a panel of cloth
        bar(y0 + 0.12 * chair.back_height, y1 - 0.06, 0, chair.width - 1.5 * chair.leg, 0.045, chair.cover)


def _legs(solids: Solids, chair: Plan) -> None:
    top, t = chair.seat_y - chair.seat_thick + 0.01, chair.leg
    x, z = chair.width / 2 - t / 2, chair.depth / 2 - t / 2
    if chair.legs in ("straight", "splayed"):
        out = 1.0 if chair.legs == "straight" else 1.28
        for sx in (-1, 1):
            for sz in (-1, 1):
                inner = 1.0 if chair.legs == "straight" else 0.8
                end_radius = t * (0.62 if chair.legs == "straight" else 0.4)
                solids.rod(
                    (sx * x * inner, top, sz * z * inner), (sx * x * out, 0, sz * z * out), t * 0.62, chair.frame,
                    end_radius, sides=6,
                )  # fmt: skip
        if chair.legs == "straight":
            for sx in (-1, 1):
                solids.box((sx * x, top * 0.4, 0), (0.042, 0.042, 2 * z), chair.frame)
    elif chair.legs == "pedestal":
        solids.rod((0, top, 0), (0, 0.02, 0), t * 0.7, chair.frame, sides=10)
        solids.rod((0, 0.05, 0), (0, 0, 0), 0.16, chair.frame, 0.5 * chair.width, sides=16)
    elif chair.legs == "star":
        solids.rod((0, top, 0), (0, 0.1, 0), t * 0.75, chair.frame, sides=10)
        for k in range(5):
            a = 2 * np.pi * (k + 0.25) / 5
            end = (0.3 * float(np.cos(a)), 0.06, 0.3 * float(np.sin(a)))
            solids.rod((0, 0.11, 0), end, 0.032, chair.frame, 0.026, sides=6)
            solids.ellipsoid((end[0], 0.03, end[2]), (0.035, 0.035, 0.035), (0.12, 0.12, 0.13), rows=4, sides=8)
    elif chair.legs == "sled":
        for sx in (-1, 1):
            solids.box((sx * x, top / 2, z), (t, top, t), chair.frame)
            solids.box((sx * x, top / 2, -z), (t, top, t), chair.frame)
            solids.box((sx * x, t / 2, 0), (t, t, 2 * z + t), chair.frame)
    else:  # side panels
        for sx in (-1, 1):
            solids.box((sx * x, top / 2, 0), (max(t, 0.05), top, 2 * z), chair.frame)


def _arms(solids: Solids, chair: Plan, rng: np.random.Generator) -> None:
    height, x = float(rng.uniform(0.18, 0.26)), chair.width / 2 + 0.01
    for side in (-1, 1):
        solids.box((side * x, chair.seat_y + height, -0.02), (0.06, 0.045, chair.depth), chair.frame)
        low, z = chair.seat_y - 0.04, chair.depth / 2 - 0.08
        solids.rod((side * x, low, z), (side * x, chair.seat_y + height, z), 0.025, chair.frame, sides=6)


def _armchair(rng: np.random.Generator) -> Surface:
    """Upholstered blocks on short feet; some are wide enough for two."""
    solids, cover = Solids(), paint(rng, 0.2)
    cushion = shade(cover, 1.2) if rng.random() < 0.5 else paint(rng, 0.3)
    seats = 1 if rng.random() < 0.75 else 2
    inner, depth = seats * float(rng.uniform(0.5, 0.62)), float(rng.uniform(0.68, 0.85))
    seat, arm_y, back_y = float(rng.uniform(0.36, 0.44)), float(rng.uniform(0.52, 0.66)), float(rng.uniform(0.75, 1.05))
    arm, back, foot = float(rng.uniform(0.1, 0.2)), float(rng.uniform(0.14, 0.22)), float(rng.uniform(0.06, 0.16))
    body = inner + 2 * arm
    solids.box((0, (foot + seat - 0.12) / 2 + 0.03, 0), (body, seat - 0.12 - foot + 0.06, depth), cover)
    solids.box((0, (foot + back_y) / 2, -depth / 2 + back / 2), (body, back_y - foot, back), cover, top=(0.94, 0.8))
    for side in (-1, 1):
        place = (side * (inner + arm) / 2, (foot + arm_y) / 2, 0.01)
        solids.box(place, (arm, arm_y - foot, depth), cover, top=(0.9, 0.96))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * inner / seats
        solids.box((x, seat - 0.06, back / 2), (inner / seats - 0.02, 0.14, depth - back), cushion, top=(0.94, 0.94))
        if rng.random() < 0.5:
            solids.box((x, seat + 0.18, -depth / 2 + back + 0.06), (0.36, 0.32, 0.12), paint(rng, 0.2), top=(0.9, 0.7))
    legs = pick(rng, WOODS)
    for sx in (-1, 1):
        for sz in (-1, 1):
            end = (sx * (body / 2 - 0.06), 0.0, sz * (depth / 2 - 0.06))
            solids.rod((end[0], foot + 0.02, end[2]), end, 0.035, legs, 0.025, sides=6)
    return solids.surface({"style": "armchair" if seats == 1 else "sofa"})
