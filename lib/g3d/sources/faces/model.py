"""The ICT face model as one packed file: identities and expressions => vertices. No torch here.

ICT-FaceKit (Li et al. 2020, MIT licence): a base mesh, 100 identity modes of weight N(0, 1), expression blend shapes,
68 landmark vertices. The packed file holds the shapes as 16-bit steps: vertex = neutral + sum of weight * steps * scale.

Letters: N vertices, F triangles, M identity modes, E expression shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, existing
from g3d.sources.surfaces.surface import F32
from g3d.storage.arrays import npz
from g3d.storage.files import read_json

PACKED, INDICES = "ict_facekit_deltas_int16.npz", "vertex_indices.json"
SCALE, SHIFT_Y_WORLD = (
    0.175,
    0.4,
)  # world = model * SCALE + shift: at 16 units the head fills a picture of f = 1200 / 512
REGIONS: Mapping[str, tuple[int, int, str]] = {  # polygons [first, last) and their material
    "face": (0, 9230, "M_Face"),
    "head": (9230, 11144, "M_BackHead"),
    "mouth_socket": (11144, 13226, "M_BackHead"),
    "eye_sockets": (13226, 14034, "M_BackHead"),
    "gums": (14034, 17006, "M_GumsTongue"),
    "teeth": (17006, 21496, "M_Teeth"),
    "left_eye": (21496, 22296, "M_ScleraLeft"),
    "right_eye": (23094, 23894, "M_ScleraRight"),
}
"""What is drawn. Left out are the fluids, blends and occluders around the eyes (a shader's helpers), the lashes (solid bands
without a shader's transparency) and the inner irises: the outer shell of an eye is opaque here and carries the iris."""
EXPRESSIONS: Mapping[str, Mapping[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 1, "cheekSquint": 0.3},
    "mouth_stretch": {"jawOpen": 1},
    "anger": {"browDown": 1, "noseSneer": 1, "eyeSquint": 0.5, "mouthPress": 0.4},
    "jaw_left": {"jawLeft": 1},
    "jaw_right": {"jawRight": 1},
    "jaw_forward": {"jawForward": 1},
    "mouth_left": {"mouthLeft": 1},
    "mouth_right": {"mouthRight": 1},
    "dimpler": {"mouthDimple": 1},
    "chin_raiser": {"mouthShrugLower": 1},
    "lip_puckerer": {"mouthPucker": 1},
    "lip_funneler": {"mouthFunnel": 1},
    "sadness": {"mouthFrown": 1, "browInnerUp": 1},
    "lip_roll": {"mouthRollLower": 1, "mouthRollUpper": 1},
    "grin": {"mouthSmile": 0.7, "mouthStretch": 0.5, "mouthUpperUp": 0.5, "mouthLowerDown": 0.5},
    "cheek_blowing": {"cheekPuff": 1},
    "eye_closed": {"eyeBlink": 1},
    "brow_raiser": {"browInnerUp": 1, "browOuterUp": 1},
    "brow_lower": {"browDown": 1},
}
"""The 20 expressions of FaceScape, in its order, as weights of blend shapes; a name without side stands for both sides."""
_LID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))  # landmarks of upper and lower lids
_CLOSING_MORE, _CLOSING_MOST = 1.12, 1.9  # so that the corners close, too; beyond it lids fold over
_SHAPES: Mapping[str, tuple[int, ...]] = {  # -1: any
    "neutral": (26719, 3), "faces": (26384, 4), "uv": (-1, 2), "uv_faces": (26384, 4), "material": (26384,),
    "identity_q": (-1, 26719, 3), "identity_scale": (-1,), "expression_q": (-1, 26719, 3), "expression_scale": (-1,),
    "expression_names": (-1,),
}  # fmt: skip
_NECK_LOOP_BELOW = -13.0  # model units: of the mesh's open edges only that under the shoulders lies below
_UNKNOWN = "this is not the ICT face model that is known here, so pack the light model of ICT-FaceKit"
_AHEAD = np.float32(30)  # model units: in front of every face
_BEHIND = (  # how far behind the skin parts are kept, model units
    (("mouth_socket", "gums", "teeth"), np.float32(0.3)), (("left_eye", "right_eye"), np.float32(0.05)),
)  # fmt: skip


@dataclass(frozen=True)
class FaceModel:
    """The model as it is drawn, and what is blended into it. Model units (about a centimetre), y up, +z ahead."""

    neutral: F32  # [N, 3]; the last vertex is the middle of the cut under the shoulders
    triangles: NDArray[np.int64]  # [F, 3] vertices
    uvs: F32  # [F, 3, 2] as the model states them: v up, a unit tile a material
    regions: Mapping[str, NDArray[np.int64]]  # its triangles, for each of REGIONS and for "cut"
    landmarks: NDArray[np.int64]  # [68] vertices
    identity_steps: NDArray[np.int16]  # [M, N - 1, 3]
    identity_scale: NDArray[np.float64]  # [M]
    expression_steps: NDArray[np.int16]  # [E, N - 1, 3]
    expression_scale: NDArray[np.float64]  # [E]
    expression_names: tuple[str, ...]  # E, with _L or _R where there are sides
    neck_loop: NDArray[np.int64]  # vertices around the cut

    @property
    def modes(self) -> int:
        """How many numbers an identity has."""
        return len(self.identity_steps)

    def identity(self, weights: NDArray[np.float64]) -> F32:
        """[M] weights => displacements [N, 3] of a person from the mean."""
        return self._sum(self.identity_steps, weights * self.identity_scale, range(self.modes))

    def expression(self, name: str, gain: float, identity: F32) -> F32:
        """Displacements [N, 3] of one of EXPRESSIONS, all of its weights times `gain`, for the person `identity` [N, 3].

        Lids close whole, however wide the person's eyes are: a linear model would leave some ajar."""
        weights = np.zeros(len(self.expression_names))
        for shape, weight in EXPRESSIONS[name].items():
            for i in self._sides(shape):
                weights[i] = weight * gain
                if shape == "eyeBlink":
                    weights[i] = self._closing(i, identity)
        return self._sum(self.expression_steps, weights * self.expression_scale, np.nonzero(weights)[0])

    def _closing(self, shape: int, identity: F32) -> float:
        """The weight at which the lids that `shape` moves meet."""
        move = self.expression_steps[shape] * np.float32(self.expression_scale[shape])
        found = 1.0
        for upper, lower in _LID_PAIRS:
            up, down = self.landmarks[upper], self.landmarks[lower]
            closed_by = float(move[down, 1] - move[up, 1])
            if closed_by > 0.1:  # the pairs of the other eye do not move
                open_by = self.neutral[up, 1] + identity[up, 1] - self.neutral[down, 1] - identity[down, 1]
                found = max(found, float(open_by) / closed_by)
        return min(found * _CLOSING_MORE, _CLOSING_MOST)

    def world(self, displacements: F32) -> F32:
        """Displacements [N, 3] from the mean => vertices [N, 3], world units."""
        vertices = self.neutral + displacements
        self._keep_inside(vertices)
        vertices[-1] = vertices[self.neck_loop].mean(0)
        placed: F32 = vertices * np.float32(SCALE) + np.array([0, SHIFT_Y_WORLD, 0], np.float32)
        return placed

    def _keep_inside(self, vertices: F32) -> None:
        """Push mouth and eyes back behind the skin, in place: where shapes add up, they come through chin and lids."""
        import open3d as o3d

        skin = self.triangles[self.regions["face"]]
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(skin.astype(np.uint32)))
        for names, behind in _BEHIND:
            inner = np.setdiff1d(np.concatenate([self.triangles[self.regions[name]] for name in names]), skin)
            rays = np.zeros((len(inner), 6), np.float32)
            rays[:, :2], rays[:, 2], rays[:, 5] = vertices[inner, :2], _AHEAD, -1
            skin_z = _AHEAD - scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)["t_hit"].numpy()
            known = np.isfinite(skin_z)
            vertices[inner[known], 2] = np.minimum(vertices[inner[known], 2], skin_z[known] - behind)

    def _sides(self, shape: str) -> list[int]:
        return [i for i, n in enumerate(self.expression_names) if n in (shape, f"{shape}_L", f"{shape}_R")]

    def _sum(self, steps: NDArray[np.int16], weights: NDArray[np.float64], which: Any) -> F32:
        total = np.zeros((len(self.neutral), 3), np.float32)
        for i in which:
            total[:-1] += steps[i] * np.float32(weights[i])
        return total


@lru_cache(maxsize=1)
def load(folder: Path) -> FaceModel:
    """The packed model in `folder`, checked; once a process."""
    where = existing(folder / PACKED, "the face model")
    arrays = _arrays(where)
    names = _shape_names(arrays, where)
    landmarks = _landmarks(folder / INDICES, len(arrays["neutral"]))
    _check_polygons(arrays, where)
    quads, uv_quads = arrays["faces"], arrays["uv_faces"]
    neutral = np.concatenate([arrays["neutral"], np.zeros((1, 3), np.float32)]).astype(np.float32)
    triangles, uvs, regions = [], [], {}
    count = 0
    for name, (first, last, _) in REGIONS.items():
        triangles.append(_split(quads[first:last], quads[first:last]))
        uvs.append(arrays["uv"][_split(uv_quads[first:last], quads[first:last])])
        regions[name] = np.arange(count, count + len(triangles[-1]))
        count += len(triangles[-1])
    edges = _open_edges(np.concatenate(triangles[:2]), neutral)
    if not len(edges):
        raise G3dError(f"'{where}' has no open edge under the shoulders; {_UNKNOWN}")
    triangles.append(np.concatenate([edges[:, ::-1], np.full((len(edges), 1), len(neutral) - 1)], axis=1))
    uvs.append(np.zeros((len(edges), 3, 2)))
    regions["cut"] = np.arange(count, count + len(edges))
    loop = np.unique(edges)
    neutral[-1] = neutral[loop].mean(0)
    return FaceModel(
        neutral, np.concatenate(triangles).astype(np.int64), np.concatenate(uvs).astype(np.float32), regions, landmarks,
        arrays["identity_q"], arrays["identity_scale"], arrays["expression_q"], arrays["expression_scale"], names, loop,
    )  # fmt: skip


def _check_polygons(arrays: Mapping[str, NDArray[Any]], where: Path) -> None:
    """Every polygon that is drawn has three or four vertices and texture coordinates that exist, and its region's material."""
    for name, (first, last, material) in REGIONS.items():
        if set(arrays["material"][first:last].tolist()) != {material}:
            raise G3dError(f"'{where}' has polygons {first} to {last - 1} ({name}) not all of {material}; {_UNKNOWN}")
    chosen = np.concatenate([np.arange(first, last) for first, last, _ in REGIONS.values()])
    for polygons, values, what in (("faces", "neutral", "vertices"), ("uv_faces", "uv", "texture coordinates")):
        index = arrays[polygons]
        if not (index[chosen, :3] >= 0).all() or index.max() >= len(arrays[values]) or index.min() < -1:
            raise G3dError(f"'{where}' has polygons of {what} that it does not hold; pack it again")
    if ((arrays["faces"][:, 3] < 0) != (arrays["uv_faces"][:, 3] < 0)).any():
        raise G3dError(f"'{where}' has triangles with four texture coordinates, or the reverse; pack it again")


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array that the model needs, of the right shape and finite."""
    arrays = npz(path, list(_SHAPES), "the face model")
    missing = [name for name in _SHAPES if name not in arrays]
    if missing:
        raise G3dError(f"'{path}' lacks {', '.join(missing)}; pack the ICT face model again")
    for name, shape in _SHAPES.items():
        found = arrays[name].shape
        if len(found) != len(shape) or any(w not in (-1, f) for w, f in zip(shape, found, strict=True)):
            raise G3dError(
                f"'{path}' has {name} of shape {list(found)}; wanted is {list(shape)} (-1: any); pack it again"
            )
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise G3dError(f"'{path}' has numbers in {name} that are not finite; pack it again")
    for steps, scale in (("identity_q", "identity_scale"), ("expression_q", "expression_scale")):
        if len(arrays[steps]) != len(arrays[scale]) or arrays[steps].dtype.kind != "i":
            raise G3dError(f"'{path}' has {len(arrays[steps])} {steps} ({arrays[steps].dtype}) and {len(arrays[scale])} "
                           f"{scale}; wanted are whole numbers and a scale for each; pack it again")  # fmt: skip
    return arrays


def _shape_names(arrays: Mapping[str, NDArray[Any]], where: Path) -> tuple[str, ...]:
    names = tuple(str(name) for name in arrays["expression_names"])
    used = {shape for weights in EXPRESSIONS.values() for shape in weights}
    missing = sorted(s for s in used if s not in names and not {f"{s}_L", f"{s}_R"} <= set(names))
    if missing or len(names) != len(arrays["expression_q"]):
        raise G3dError(f"'{where}' lacks the blend shapes {', '.join(missing) or 'of some names'}; pack it again")
    return names


def _landmarks(path: Path, vertices: int) -> NDArray[np.int64]:
    found = read_json(existing(path, "the landmark list"), "the landmark list")
    index = found.get("idx_to_landmark_verts") if isinstance(found, dict) else None
    whole = isinstance(index, list) and all(isinstance(i, int) and 0 <= i < vertices for i in index)
    if not whole or len(index or []) != 68:
        raise G3dError(f"'{path}' has no idx_to_landmark_verts of 68 vertex numbers below {vertices}; fetch it again")
    return np.array(index, np.int64)


def _split(values: NDArray[np.int64], quads: NDArray[np.int64]) -> NDArray[np.int64]:
    """Quads [P, 4], a triangle where the last vertex is -1 => triangles: all first halves, then the second halves."""
    return np.concatenate([values[:, :3], values[quads[:, 3] >= 0][:, [0, 2, 3]]])


def _open_edges(triangles: NDArray[np.int64], neutral: F32) -> NDArray[np.int64]:
    """[K, 2] edges around the cut under the shoulders, each in the direction of its only triangle."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    single = edges[first[count == 1]]
    around: NDArray[np.int64] = single[(neutral[single][..., 1] < _NECK_LOOP_BELOW).all(1)]
    return around
