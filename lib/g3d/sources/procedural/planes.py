"""An aeroplane from a random stream: airliner, propeller plane, jet fighter, glider or biplane. It flies towards +z.

Units: the fuselage's length is about 1; y is up. Positions along it are shares, 0 at the nose and 1 at the tail.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from g3d.sources.procedural.paints import DARK, TYRE, neutral, paint, shade, vivid
from g3d.sources.procedural.solids import Solids
from g3d.sources.surfaces.surface import Colour, Surface


@dataclass(frozen=True)
class Style:
    """Ranges of a kind of aeroplane; lengths are shares of the fuselage's."""

    radius: tuple[float, float]  # of the fuselage
    span: tuple[float, float]  # of one wing
    chord: tuple[float, float]  # at the root
    taper: tuple[float, float]  # tip chord / root chord
    sweep: tuple[float, float]  # how far the tip stands behind the root, share of the span
    wing_at: tuple[float, float]  # leading edge at the root


STYLES: Mapping[str, Style] = {
    "airliner":  Style((0.050, 0.068), (0.40, 0.52), (0.17, 0.22), (0.28, 0.40), (0.40, 0.62), (0.33, 0.40)),
    "propeller": Style((0.060, 0.080), (0.50, 0.66), (0.15, 0.20), (0.60, 1.00), (0.00, 0.08), (0.24, 0.30)),
    "fighter":   Style((0.045, 0.060), (0.26, 0.36), (0.34, 0.46), (0.10, 0.30), (0.70, 1.00), (0.36, 0.46)),
    "glider":    Style((0.036, 0.046), (0.62, 0.78), (0.11, 0.14), (0.45, 0.70), (0.00, 0.06), (0.28, 0.33)),
    "biplane":   Style((0.065, 0.085), (0.48, 0.62), (0.17, 0.22), (0.85, 1.00), (0.00, 0.05), (0.18, 0.24)),
}  # fmt: skip
_SHARES = {"airliner": 0.34, "propeller": 0.24, "fighter": 0.2, "glider": 0.08, "biplane": 0.14}


@dataclass(frozen=True)
class Plan:
    """One aeroplane's numbers."""

    name: str
    radius: float
    span: float
    chord: float
    taper: float
    sweep: float
    wing_at: float
    wing_y: float
    dihedral: float
    body: Colour
    accent: Colour
    wings: Colour


def build(rng: np.random.Generator) -> Surface:
    """An aeroplane. Every draw comes from `rng`, in a fixed order."""
    name = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    style = STYLES[name]
    radius = float(rng.uniform(*style.radius))
    span, chord, taper, sweep, wing_at = (
        float(rng.uniform(*r)) for r in (style.span, style.chord, style.taper, style.sweep, style.wing_at)
    )
    body = paint(rng, 0.65 if name == "airliner" else 0.25)
    wings = body if rng.random() < 0.45 else (neutral(rng) if rng.random() < 0.6 else vivid(rng))
    high = rng.random() < (0.5 if name in ("propeller", "glider") else 0.15)  # where the wing sits on the fuselage
    wing_y = 0.0 if name == "fighter" else (0.8 if high else -0.55) * radius
    dihedral = 0.02 if high else float(rng.uniform(-0.02, 0.12))
    accent = vivid(rng)
    plane = Plan(name, radius, span, chord, taper, sweep, wing_at, wing_y, dihedral, body, accent, wings)
    solids = Solids()
    _fuselage(solids, plane, rng)
    _wings(solids, plane, rng)
    _tail(solids, plane, rng)
    _engines(solids, plane, rng)
    return solids.surface({"style": name})


def _z(share: float) -> float:
    return 0.5 - share


def _fuselage(solids: Solids, plane: Plan, rng: np.random.Generator) -> None:
    """A loft of round rings: the nose in one colour, the rest in another, a band of windows or a canopy."""
    r, name = plane.radius, plane.name
    blunt = 0.62 if name in ("propeller", "biplane") else 0.42
    waist = float(rng.uniform(0.42, 0.6)) if name in ("glider", "propeller") else 0.85
    profile = [  # share, radius, lift of the middle
        (0.0, 0.12 if name != "biplane" else 0.5, -0.2), (0.03, blunt, -0.12), (0.09, 0.86, -0.03), (0.16, 1.0, 0.0),
        (0.5, 1.0, 0.0), (0.7, waist, 0.08), (0.88, 0.45 * waist + 0.06, 0.35), (1.0, 0.14, 0.5),
    ]  # fmt: skip
    if name == "fighter":
        shares, radii = (0.0, 0.1, 0.25, 0.45, 0.8, 1.0), (0.06, 0.5, 0.9, 1.0, 0.95, 0.62)
        profile = [(share, radius, 0.0) for share, radius in zip(shares, radii, strict=True)]
    angle = (np.arange(12) + 0.5) * 2 * np.pi / 12
    rings = np.array([
        [(r * s * np.cos(a), r * (s * np.sin(a) + lift), _z(t)) for a in angle] for t, s, lift in profile
    ])  # fmt: skip
    nose = 3 if rng.random() < 0.5 else 0
    if nose:
        solids.loft(rings[: nose + 1], plane.accent)
    solids.loft(rings[nose:], plane.body)
    glass: Colour = (0.13, 0.17, 0.24)
    if name == "airliner":
        for side in (-1, 1):
            solids.box((side * r * 0.965, 0.28 * r, _z(0.42)), (0.1 * r, 0.24 * r, 0.52), glass)
            if rng.random() < 0.7:
                solids.box((side * r * 0.94, -0.12 * r, _z(0.42)), (0.16 * r, 0.18 * r, 0.54), plane.accent)
        solids.box((0, 0.5 * r, _z(0.075)), (0.9 * r, 0.34 * r, 0.035), glass, top=(0.8, 0.3))
    else:
        at = {"fighter": 0.27, "glider": 0.18, "propeller": 0.3, "biplane": 0.45}[name]
        long = {"fighter": 0.1, "glider": 0.1, "propeller": 0.11, "biplane": 0.05}[name]
        solids.ellipsoid((0, 0.75 * r, _z(at)), (0.62 * r, 0.75 * r, long), glass)


def _wing(
    solids: Solids, plane: Plan, y: float, at: float, scale: float, colour: Colour, tip: Colour | None, rise: float
) -> None:
    """Both halves of a wing: a six-cornered profile from root to tip, the last part in the tip's colour."""
    span, chord = plane.span * scale, plane.chord * scale
    cuts = (0.0, 0.82, 1.0)
    for side in (-1, 1):
        rings = []
        for s in cuts:
            c = chord * (1 - s * (1 - plane.taper))
            lead, thick = _z(at) - plane.sweep * span * s, max(0.11 * c, 0.016)
            x, h = side * span * s, y + rise * span * s
            rings.append([
                (x, h, lead), (x, h + 0.5 * thick, lead - 0.2 * c), (x, h + 0.4 * thick, lead - 0.6 * c), (x, h, lead - c),
                (x, h - 0.4 * thick, lead - 0.6 * c), (x, h - 0.5 * thick, lead - 0.2 * c),
            ])  # fmt: skip
        solids.loft(rings[:2], colour)
        solids.loft(rings[1:], tip or colour)


def _wings(solids: Solids, plane: Plan, rng: np.random.Generator) -> None:
    tip = plane.accent if rng.random() < 0.5 else None
    if plane.name != "biplane":
        _wing(solids, plane, plane.wing_y, plane.wing_at, 1.0, plane.wings, tip, plane.dihedral)
        return
    gap = float(rng.uniform(2.4, 3.2)) * plane.radius
    _wing(solids, plane, -0.7 * plane.radius, plane.wing_at + 0.03, 0.94, plane.wings, tip, 0.03)
    _wing(solids, plane, gap - 0.7 * plane.radius, plane.wing_at, 1.0, plane.wings, tip, 0.03)
    for side in (-1, 1):
        for share in (0.18, 0.72):
            x = side * share * plane.span
            for back in (0.2, 0.7):
                z = _z(plane.wing_at + 0.02) - back * plane.chord
                low, top = (x, -0.7 * plane.radius, z), (x, gap - 0.68 * plane.radius, z)
                solids.rod(low, top, 0.009, shade(plane.body, 0.6), sides=5)


def _tail(solids: Solids, plane: Plan, rng: np.random.Generator) -> None:
    fin_height, fin_chord = float(rng.uniform(0.13, 0.2)), float(rng.uniform(0.11, 0.16))
    high = plane.name in ("airliner", "glider") and rng.random() < 0.4  # a T tail
    root, lean = 0.25 * plane.radius, float(rng.uniform(0.3, 0.9)) * fin_height
    colour = plane.accent if rng.random() < 0.7 else plane.body
    xs = (-0.45 * plane.span, 0.45 * plane.span) if plane.name == "fighter" and rng.random() < 0.5 else (0.0,)
    for x in xs:  # two fins on some fighters
        x *= 0.45
        base, z = (_z(0.84), root), _z(0.84)
        outline = [base, (z - fin_chord, root), (z - fin_chord - lean * 0.6, root + fin_height)]
        outline.append((z - lean, root + fin_height))
        solids.slab([(v, w) for w, v in outline][::-1], x - 0.009, x + 0.009, 0, colour)
    y = root + fin_height if high else 0.3 * plane.radius
    at = 0.86 + (lean if high else 0.0)
    scale = float(rng.uniform(0.34, 0.42)) * (1.0 if plane.name != "glider" else 0.6)
    _wing(solids, plane, y, at, scale, plane.wings, None, 0.02)


def _engines(solids: Solids, plane: Plan, rng: np.random.Generator) -> None:
    """Jets under the wings or at the tail, nozzles, propellers, wheels."""
    r = plane.radius
    metal = neutral(rng)
    if plane.name == "airliner":
        size, count = float(rng.uniform(0.026, 0.036)), int(rng.choice([1, 1, 2]))
        rear = rng.random() < 0.25
        for side in (-1, 1):
            for k in range(1 if rear else count):
                share = 0.33 + 0.28 * k
                x = side * (share * plane.span if not rear else r + size)
                z = _z(plane.wing_at) - plane.sweep * plane.span * share + 0.03 if not rear else _z(0.74)
                y = 0.35 * r if rear else plane.wing_y - size * 1.1 + plane.dihedral * plane.span * share
                cowl = plane.accent if rng.random() < 0.4 else metal
                solids.rod((x, y, z), (x, y, z - 0.11), size, cowl, 0.7 * size, sides=10)
                solids.rod((x, y, z + 0.002), (x, y, z - 0.01), 0.8 * size, DARK, sides=10)
    elif plane.name == "fighter":
        solids.rod((0, 0, _z(0.97)), (0, 0, _z(1.03)), 0.66 * r, DARK, 0.5 * r, sides=10)
        for side in (-1, 1):
            solids.box((side * r, -0.1 * r, _z(0.42)), (0.9 * r, 1.1 * r, 0.26), plane.body, top=(0.8, 1.0))
            solids.box((side * r, -0.1 * r, _z(0.289)), (0.7 * r, 0.8 * r, 0.01), DARK)
    elif plane.name in ("propeller", "biplane"):
        twin = plane.name == "propeller" and rng.random() < 0.35
        for x in (-0.36 * plane.span, 0.36 * plane.span) if twin else (0.0,):
            z = _z(plane.wing_at) + 0.1 if twin else _z(-0.01)
            if twin:
                solids.rod((x, -0.3 * r, z), (x, -0.3 * r, z - 0.2), 0.5 * r, plane.body, 0.3 * r, sides=10)
            _propeller(solids, (x, -0.3 * r if twin else -0.15 * r, z + 0.01), 0.15 if not twin else 0.11, rng)
        for side in (-1, 1):
            x, y = side * 1.5 * r, -2.1 * r
            solids.rod((side * 0.5 * r, -0.7 * r, _z(0.3)), (x, y, _z(0.28)), 0.012, metal, sides=5)
            solids.rod((x - 0.014, y, _z(0.28)), (x + 0.014, y, _z(0.28)), 0.036, TYRE, sides=10)


def _propeller(solids: Solids, hub: tuple[float, float, float], length: float, rng: np.random.Generator) -> None:
    blades, start = int(rng.integers(2, 5)), float(rng.uniform(0, np.pi))
    solids.rod(hub, (hub[0], hub[1], hub[2] + 0.035), 0.022, (0.8, 0.15, 0.12), 0.006, sides=8)
    for k in range(blades):
        a = start + 2 * np.pi * k / blades
        end = (hub[0] + length * float(np.cos(a)), hub[1] + length * float(np.sin(a)), hub[2] + 0.01)
        solids.rod((hub[0], hub[1], hub[2] + 0.01), end, 0.013, DARK, 0.011, sides=4)
