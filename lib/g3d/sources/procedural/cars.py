"""A car from a random stream: seven body styles, proportions, windows, wheels, lights, paint. It drives towards +z.

Metres; y = 0 is the ground. Positions along the car are shares of its length, 0 at the nose and 1 at the tail.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from g3d.sources.procedural.paints import DARK, HUBS, TYRE, neutral, paint, pick, shade, vivid
from g3d.sources.procedural.solids import F64, Point, Solids, rounded
from g3d.sources.surfaces.surface import Colour, Surface


@dataclass(frozen=True)
class Style:
    """A body style: ranges in metres, then where the glass begins and ends (shares of the length) and how high."""

    length: tuple[float, float]
    width: tuple[float, float]
    height: tuple[float, float]
    clearance: float
    cowl: float  # foot of the windscreen
    roof_front: float
    roof_rear: float
    rear_foot: float  # foot of the rear window
    belt: float  # lower edge of the windows, share of the height
    nose: float  # height of the bonnet's front, share of the height
    tail: float  # height of the tail, share of the height
    windows: int  # on each side


STYLES: Mapping[str, Style] = {
    #                    length      width         height      clear  cowl  roof        foot  belt  nose  tail  windows
    "sedan":     Style((4.3, 5.1), (1.72, 1.90), (1.38, 1.50), 0.20, 0.29, 0.43, 0.69, 0.83, 0.62, 0.50, 0.60, 2),
    "hatchback": Style((3.4, 4.2), (1.60, 1.78), (1.42, 1.58), 0.19, 0.26, 0.41, 0.84, 0.97, 0.60, 0.49, 0.60, 2),
    "suv":       Style((4.2, 5.0), (1.82, 2.02), (1.65, 1.95), 0.30, 0.28, 0.38, 0.90, 0.98, 0.60, 0.52, 0.60, 3),
    "pickup":    Style((4.9, 5.7), (1.82, 2.05), (1.68, 1.90), 0.33, 0.27, 0.36, 0.54, 0.59, 0.60, 0.53, 0.60, 2),
    "van":       Style((4.4, 5.6), (1.80, 2.02), (1.90, 2.45), 0.22, 0.13, 0.25, 0.97, 0.99, 0.50, 0.38, 0.50, 3),
    "coupe":     Style((4.0, 4.7), (1.76, 1.94), (1.18, 1.34), 0.15, 0.35, 0.49, 0.67, 0.89, 0.63, 0.47, 0.66, 1),
    "wagon":     Style((4.4, 4.9), (1.72, 1.88), (1.42, 1.56), 0.20, 0.28, 0.41, 0.87, 0.98, 0.61, 0.50, 0.60, 3),
}  # fmt: skip
_SHARES = {"sedan": 0.2, "hatchback": 0.18, "suv": 0.18, "pickup": 0.13, "van": 0.12, "coupe": 0.13, "wagon": 0.06}


@dataclass(frozen=True)
class Plan:
    """One car: a style with its numbers drawn."""

    name: str
    length: float
    half_width: float
    height: float
    clearance: float
    cowl: float
    roof_front: float
    roof_rear: float
    rear_foot: float
    belt_y: float
    nose_y: float
    tail_y: float
    windows: int
    roof_narrowing: float  # half width of the roof, share of the body's
    wheel_radius: float
    axles: tuple[float, float]  # shares of the length
    body: Colour
    roof: Colour
    glass: Colour
    trim: Colour  # bumpers and sills

    def z(self, share: float) -> float:
        """Position along the car: 0 the nose, 1 the tail."""
        return self.length * (0.5 - share)


def build(rng: np.random.Generator) -> Surface:
    """A car. Every draw comes from `rng`, in a fixed order."""
    car = _plan(rng)
    solids = Solids()
    top = _body(solids, car)
    _cabin(solids, car, rng)
    _wheels(solids, car, rng)
    _ends(solids, car, rng)
    if car.name == "pickup":
        _bed(solids, car, rng)
    _extras(solids, car, top, rng)
    return solids.surface({"style": car.name})


def _plan(rng: np.random.Generator) -> Plan:
    name = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    style = STYLES[name]
    length, width, height = (float(rng.uniform(*r)) for r in (style.length, style.width, style.height))
    shift = float(rng.uniform(-0.025, 0.025))
    body = paint(rng)
    other = neutral(rng) if rng.random() < 0.7 else vivid(rng)
    trim = body if rng.random() < 0.45 else shade(neutral(rng), 0.55)
    tint = float(rng.uniform(0.1, 0.3))
    low_car = name in ("coupe", "sedan")
    radius = height * float(rng.uniform(0.2, 0.225) if low_car else rng.uniform(0.185, 0.215))
    return Plan(
        name, length, width / 2, height, style.clearance * float(rng.uniform(0.85, 1.15)),
        style.cowl + shift, style.roof_front + shift, style.roof_rear + float(rng.uniform(-0.03, 0.02)),
        style.rear_foot, style.belt * height * float(rng.uniform(0.95, 1.04)),
        style.nose * height * float(rng.uniform(0.92, 1.06)), style.tail * height * float(rng.uniform(0.96, 1.05)),
        style.windows, float(rng.uniform(0.74, 0.86)),
        min(radius, 0.42), (float(rng.uniform(0.17, 0.2)), float(rng.uniform(0.78, 0.83))),
        body, other if rng.random() < 0.3 else body, (tint * 0.8, tint * 0.95, tint * 1.15), trim,
    )  # fmt: skip


def _body(solids: Solids, car: Plan) -> list[tuple[float, float]]:
    """The lower body, a loft from nose to tail; returns the upper edge as (z, y)."""
    w, low, deck = car.half_width, car.clearance, car.belt_y
    tail = car.tail_y if car.name != "pickup" else car.belt_y * 0.97
    stations = [  # share, width, bottom, top
        (0.0, 0.78, low + 0.14, car.nose_y - 0.12), (0.025, 0.92, low + 0.03, car.nose_y),
        (0.1, 0.99, low, car.nose_y + 0.04), (car.cowl, 1.0, low, deck), (car.rear_foot - 0.03, 1.0, low, max(deck, tail)),
        (0.965, 0.96, low + 0.03, tail), (1.0, 0.84, low + 0.14, tail - 0.1),
    ]  # fmt: skip
    if car.name == "pickup":  # the bed is cut out of the body
        bed = low + 0.45 * (deck - low)
        stations[4:] = [(car.rear_foot, 1.0, low, deck), (car.rear_foot + 0.001, 1.0, low, bed), (0.99, 1.0, low, bed)]
    if car.name == "van":
        stations[4:] = [(0.985, 1.0, low, deck), (1.0, 0.94, low + 0.05, deck)]
    rings = [_section(w * s, y0, y1, car.z(t)) for t, s, y0, y1 in stations]
    solids.loft(rings, car.body)
    return [(car.z(t), y1) for t, _, _, y1 in stations]


def _section(w: float, low: float, high: float, z: float) -> list[Point]:
    """A ring [10, 3] across the body: tucked in below, widest at a third, rounded at the shoulder."""
    h = high - low
    side = [(0.9 * w, low), (w, low + 0.28 * h), (w, low + 0.66 * h), (0.96 * w, low + 0.9 * h), (0.82 * w, high)]
    return [(x, y, z) for x, y in side] + [(-x, y, z) for x, y in reversed(side)]


def _cabin(solids: Solids, car: Plan, rng: np.random.Generator) -> None:
    """Pillars and roof as one tapered block, dark panes lifted off its faces."""
    foot, roof = 0.93 * car.half_width, car.roof_narrowing * car.half_width
    y0, y1, y2 = car.belt_y - 0.03, car.height - 0.07, car.height
    levels = [(foot, car.cowl, car.rear_foot, y0), (roof, car.roof_front, car.roof_rear, y1)]
    levels.append((0.9 * roof, car.roof_front + 0.03, car.roof_rear - 0.025, y2))
    rings = [_outline(car, *level) for level in levels]
    solids.loft(rings[:2], car.body)
    solids.loft(rings[1:], car.roof)
    (xa, fa, ra, ya), (xb, fb, rb, yb) = levels[:2]
    corners = {
        name: np.array([(sx * x, y, car.z(t)) for sx, x, y, t in points])
        for name, points in {
            "front": [(-1, xa, ya, fa), (1, xa, ya, fa), (1, xb, yb, fb), (-1, xb, yb, fb)],
            "rear": [(1, xa, ya, ra), (-1, xa, ya, ra), (-1, xb, yb, rb), (1, xb, yb, rb)],
            "left": [(1, xa, ya, fa), (1, xa, ya, ra), (1, xb, yb, rb), (1, xb, yb, fb)],
            "right": [(-1, xa, ya, ra), (-1, xa, ya, fa), (-1, xb, yb, fb), (-1, xb, yb, rb)],
        }.items()
    }
    solids.panel(corners["front"], (0.09, 0.91), (0.12, 0.92), 0.012, car.glass)
    closed = car.name == "van" and rng.random() < 0.5  # a delivery van: panes at the front seats alone
    solids.panel(corners["rear"], (0.14, 0.86), (0.3 if not closed else 0.45, 0.9), 0.012, car.glass)
    pillar = 0.025 + 0.02 * float(rng.random())
    for side in ("left", "right"):
        cuts = np.linspace(0.07, 0.95, car.windows + 1)
        for i in range(1 if closed else car.windows):
            a, b = (float(cuts[i]) + pillar, float(cuts[i + 1]) - pillar * 0.2)
            span = (a, b) if side == "left" else (1 - b, 1 - a)
            solids.panel(corners[side], span, (0.14, 0.9), 0.012, car.glass)


def _outline(car: Plan, half_x: float, front: float, rear: float, y: float) -> F64:
    """A level ring [8, 3] with cut corners."""
    flat = rounded(half_x, (car.z(front) - car.z(rear)) / 2, 0.06)
    middle = (car.z(front) + car.z(rear)) / 2
    return np.stack([flat[:, 0], np.full(len(flat), y), flat[:, 1] + middle], axis=1)


def _wheels(solids: Solids, car: Plan, rng: np.random.Generator) -> None:
    r, thick = car.wheel_radius, 0.13 * car.half_width + 0.1
    hub, hub_share, arch = pick(rng, HUBS), float(rng.uniform(0.55, 0.72)), float(rng.uniform(1.12, 1.22))
    guard = DARK if rng.random() < 0.6 else shade(car.body, 0.6)
    bend = np.linspace(-0.25, np.pi + 0.25, 11)  # the arch ends above the ground
    for share in car.axles:
        for side in (-1, 1):
            x, z = side * car.half_width, car.z(share)
            rim = [(r * (1.05 + arch * float(np.sin(a))), z + r * arch * float(np.cos(a))) for a in bend]
            inner, outer = x * 0.75, x + side * 0.006
            solids.slab(rim, min(inner, outer), max(inner, outer), 0, guard)
            solids.rod((x - side * thick, r, z), (x + side * 0.03, r, z), r, TYRE, sides=14)
            solids.rod((x, r, z), (x + side * 0.045, r, z), r * hub_share, hub, sides=10)
            solids.rod((x, r, z), (x + side * 0.055, r, z), r * 0.16, shade(hub, 0.45), sides=6)


def _ends(solids: Solids, car: Plan, rng: np.random.Generator) -> None:
    """Lights, grille, bumpers, number plates, mirrors."""
    w, front, rear = car.half_width, car.z(0.0), car.z(1.0)
    tail = car.tail_y if car.name not in ("pickup", "van") else car.belt_y
    lamp_w, lamp_h = float(rng.uniform(0.2, 0.34)), float(rng.uniform(0.1, 0.17))
    tail_w, tail_h = float(rng.uniform(0.12, 0.34)), float(rng.uniform(0.1, 0.3))
    lamp: Colour = (1.0, 0.97, 0.82) if rng.random() < 0.7 else (1.0, 0.82, 0.35)
    y_lamp, y_tail = car.nose_y - 0.17, tail - 0.08 - tail_h / 2
    for side in (-1, 1):
        solids.box((side * (0.9 * w - lamp_w / 2), y_lamp, front - 0.05), (lamp_w, lamp_h, 0.14), lamp)
        solids.box((side * (0.93 * w - tail_w / 2), y_tail, rear + 0.05), (tail_w, tail_h, 0.14), (0.78, 0.07, 0.07))
        solids.box((side * (w + 0.07), car.belt_y + 0.06, car.z(car.cowl + 0.09)), (0.16, 0.12, 0.1), car.body)
    solids.box((0, y_lamp - 0.02, front - 0.04), (0.95 * w, lamp_h * float(rng.uniform(0.8, 1.5)), 0.1), DARK)
    low = car.clearance + 0.12
    height = float(rng.uniform(0.14, 0.24))
    for z, sign in ((front, 1), (rear, -1)):
        solids.box((0, low + height / 2, z - sign * 0.09), (1.84 * w, height, 0.24), car.trim, top=(0.97, 0.9))
        solids.box((0, low + height / 2 + 0.02, z + sign * 0.035), (0.46, 0.11, 0.02), (0.93, 0.92, 0.85))


def _bed(solids: Solids, car: Plan, rng: np.random.Generator) -> None:
    """Side walls and tailgate of a pickup, sometimes covered or loaded."""
    w, top, low = car.half_width, car.belt_y * 0.99, car.clearance + 0.2
    front, rear = car.z(car.rear_foot), car.z(0.99)
    middle, length, height = (front + rear) / 2, front - rear, top - low
    for side in (-1, 1):
        solids.box((side * (w - 0.05), low + height / 2, middle), (0.1, height, length), car.body)
    solids.box((0, low + height / 2, rear + 0.05), (2 * w - 0.02, height, 0.1), car.body)
    choice = rng.random()
    if choice < 0.3:
        solids.box((0, top, middle), (2 * w - 0.06, 0.06, length), shade(neutral(rng), 0.5))
    elif choice < 0.55:
        for k in range(2):
            size = float(rng.uniform(0.4, 0.6))
            place = (0.35 * (2 * k - 1), low + 0.25 + size / 2, middle + 0.3 * (1 - 2 * k))
            solids.box(place, (size, size, size), paint(rng, 0.1))
    else:
        solids.box((0, low + 0.26, middle), (2 * w - 0.2, 0.06, length - 0.1), DARK)


def _extras(solids: Solids, car: Plan, top: list[tuple[float, float]], rng: np.random.Generator) -> None:
    """Stripes, sills, rack, spoiler: what makes two cars of a style and a colour differ."""
    w, z_roof = car.half_width, (car.z(car.roof_front) + car.z(car.roof_rear)) / 2
    roof_length, accent, chance = car.z(car.roof_front) - car.z(car.roof_rear), paint(rng, 0.5), rng.random(5)
    if chance[0] < 0.16:  # stripes along bonnet, roof and tail
        for x in (-0.16, 0.16):
            roof = [(z_roof + 0.4 * roof_length, car.height), (z_roof - 0.4 * roof_length, car.height)]
            for start, end in (top[1:3], top[2:4], roof, *([top[4:6]] if car.name in ("sedan", "coupe") else [])):
                _ribbon(solids, x, *start, *end, accent)
    if chance[1] < 0.35 or (car.name == "suv" and chance[1] < 0.7):  # sills
        band, height = car.trim if car.trim != car.body else accent, 0.16 * car.height
        _sides(solids, car, car.clearance + 0.02, height, 0.012, band)
    if chance[2] < 0.2:  # a band along the side
        _sides(solids, car, car.clearance + 0.45 * (car.belt_y - car.clearance), 0.07 * car.height, 0.008, accent)
    if car.name in ("suv", "wagon", "van", "hatchback") and chance[3] < 0.35:
        for side in (-1, 1):
            x = side * 0.62 * w * car.roof_narrowing / 0.8
            solids.box((x, car.height + 0.06, z_roof), (0.05, 0.05, 0.75 * roof_length), DARK)
            for share in (-0.3, 0.3):
                solids.box((x, car.height + 0.02, z_roof + share * roof_length), (0.05, 0.08, 0.08), DARK)
        if chance[4] < 0.5:
            solids.box((0, car.height + 0.2, z_roof), (0.8 * w, 0.26, 0.55 * roof_length), accent, top=(0.85, 0.85))
    elif car.name in ("coupe", "sedan", "hatchback") and chance[3] < 0.35:
        hatch = car.name == "hatchback"
        y, z = (car.height, car.z(car.roof_rear + 0.03)) if hatch else (car.tail_y + 0.2, car.z(0.95))
        solids.box((0, y, z), (1.6 * w, 0.05, 0.26), accent if chance[4] < 0.4 else car.body)
        for side in (-1, 1):
            solids.box((side * 0.6 * w, y - 0.11, z), (0.05, 0.2, 0.14), DARK)
    elif car.name == "sedan" and chance[3] > 0.92:
        solids.box((0, car.height + 0.08, z_roof), (0.5, 0.18, 0.22), (0.98, 0.85, 0.2))


def _ribbon(solids: Solids, x: float, za: float, ya: float, zb: float, yb: float, colour: Colour) -> None:
    half, lift = 0.09, 0.012
    a, b = (x - half, ya + lift, za), (x + half, ya + lift, za)
    solids.quad(a, b, (x + half, yb + lift, zb), (x - half, yb + lift, zb), colour)


def _sides(solids: Solids, car: Plan, low: float, height: float, lift: float, colour: Colour) -> None:
    """A band on both sides between the wheels."""
    margin = 1.25 * car.wheel_radius
    front, rear = car.z(car.axles[0]) - margin, car.z(car.axles[1]) + margin
    for side in (-1, 1):
        x = side * (car.half_width - 0.05 + lift)
        solids.box((x, low + height / 2, (front + rear) / 2), (0.1, height, front - rear), colour)
