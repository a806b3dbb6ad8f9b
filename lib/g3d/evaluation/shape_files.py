"""Files that hold shapes => surfaces or points, one shape at a time: PLY, NumPy arrays, datasets' and fields' occupancy grids.

Letters: V vertices, F triangles, P points, G cells a side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from g3d import polygons
from g3d.data.opening import open_dataset
from g3d.errors import G3dError, existing, require_module
from g3d.scenes.scene import MlpField, query_output
from g3d.scenes.scene_file import load_scene
from g3d.storage import arrays, artifacts, foreign, impostors, ply_files

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bounds = tuple[Sequence[float], Sequence[float]]  # low and high corner, world units
NORMALISATIONS = ("none", "unit-sphere", "unit-box")
CELLS = 64  # a side of a field's grid, where no dataset says it
_CHUNK = 1 << 17  # points asked of a field at a time


class Surface(NamedTuple):
    """Triangles, or points alone where `faces` is None."""

    vertices: F32  # [V, 3]
    faces: I64 | None  # [F, 3]


@dataclass(frozen=True)
class Lattice:
    """Cells of an occupancy grid: `bounds` (None: the field's own) divided into `cells` a side; values are at their centres."""

    bounds: Bounds | None = None
    cells: int = CELLS


class Grid(NamedTuple):
    """Occupancy in [0, 1] at the centres of cells."""

    values: F32  # [G, G, G], axes x, y, z
    bounds: Bounds


class Empty(G3dError):
    """A shape without a surface, as generators make now and then."""


@dataclass(frozen=True)
class ShapeSet:
    """The shapes of one side, by name; each is read when asked for."""

    path: Path
    kind: str  # meshes_or_points, arrays, grids, fields
    names: tuple[str, ...]
    read: Callable[[int], Surface] | None = None  # of files of surfaces
    grid: Callable[[int, Lattice, torch.device], Grid] | None = None
    lattice: Lattice | None = None  # of grids that are stored


def open_shapes(path: Path, what: str, split: str | None = None) -> ShapeSet:
    """What lies at `path`: a dataset with solids, a folder of PLY, NPY or scene files, or one NPY or NPZ of clouds."""
    existing(path, what)
    if path.is_file():
        if path.suffix.lower() not in (".npy", ".npz"):
            raise G3dError(
                f"{what} '{path}' are no shapes; give a folder of PLY meshes, a dataset with solids, a folder of occupancy "
                "scenes, or a .npy or .npz file of point clouds [N, P, 3]"
            )
        clouds = _array(path)
        if clouds.ndim != 3 or clouds.shape[2] != 3:
            raise G3dError(f"'{path}' holds an array {list(clouds.shape)}; wanted are point clouds [N, P, 3]")
        names = tuple(f"{i:06d}" for i in range(len(clouds)))
        return ShapeSet(path, "arrays", names, lambda i: Surface(np.asarray(clouds[i], np.float32), None))
    if (path / "dataset.json").is_file():
        return _dataset(path, split)
    found = {suffix: foreign.inside(path, f"*{suffix}") for suffix in (".ply", ".npy", ".safetensors")}
    kinds = [suffix for suffix, places in found.items() if places]
    if len(kinds) != 1:
        has = f"has both *{kinds[0]} and *{kinds[1]}" if kinds else "has none"
        raise G3dError(
            f"{what} '{path}' are no folder of shapes: it {has}; give one with PLY, NPY or scene files, and one kind alone"
        )
    places = found[kinds[0]]
    stems = tuple(place.stem for place in places)
    if kinds[0] == ".safetensors":
        return _scenes(path, places)
    read = read_ply if kinds[0] == ".ply" else _cloud
    return ShapeSet(path, "meshes_or_points" if kinds[0] == ".ply" else "arrays", stems, lambda i: read(places[i]))


def read_ply(path: Path) -> Surface:
    """A mesh (polygons are cut into triangles), or points where there are no faces."""
    require_module("plyfile", "reading PLY files", "pip install plyfile")
    import plyfile

    impostors.refuse_file(path)
    triangles = {"face": {"vertex_indices": 3, "vertex_index": 3}}
    try:
        try:  # all triangles, as export-ply writes them: read as one block
            file = ply_files.read(path, known_list_len=triangles)
        except plyfile.PlyElementParseError:
            file = ply_files.read(path)
        vertices = np.stack([file["vertex"][axis] for axis in "xyz"], axis=1).astype(np.float32)
        faces = _triangles(file["face"], vertices) if "face" in file and len(file["face"]) else None
        if faces is None and "tristrips" in file:
            faces = np.concatenate([polygons.strip(row) for row in file["tristrips"]["vertex_indices"]])
    except (plyfile.PlyParseError, ValueError, LookupError, TypeError, EOFError, OSError) as error:
        raise G3dError(f"'{path}' is not a PLY file that can be read ({error}); write it again") from error
    if faces is not None and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise G3dError(
            f"'{path}' has a face with vertex {int(faces.max())}, but {len(vertices)} vertices; write it again"
        )
    return Surface(vertices, faces)


def grid_surface(grid: Grid) -> Surface:
    """The surface at 1/2 between the centres of cells; outside the bounds nothing is occupied, so it is closed."""
    require_module("skimage", "the surface of a grid", "pip install scikit-image")
    from skimage.measure import marching_cubes

    padded = np.pad(grid.values, 1)
    if not padded.max() > 0.5:
        raise Empty("it is empty: no cell is occupied by more than 1/2")
    indices, faces, _, _ = marching_cubes(padded, 0.5, gradient_direction="ascent")  # node 1 is the first cell's centre
    low, high = np.asarray(grid.bounds, np.float64)
    vertices = low + (indices.astype(np.float64) - 0.5) * (high - low) / np.array(grid.values.shape)
    return Surface(vertices.astype(np.float32), faces.astype(np.int64))


def field_grid(scene: MlpField, lattice: Lattice, device: torch.device) -> Grid:
    """An occupancy field at the centres of cells."""
    bounds = lattice.bounds or scene.world.bounds
    low, high = np.asarray(bounds, np.float64)
    axes = [a + (np.arange(lattice.cells) + 0.5) / lattice.cells * (b - a) for a, b in zip(low, high, strict=True)]
    x, y, z = (torch.from_numpy(axis).float().to(device) for axis in axes)
    values = []
    with torch.inference_mode():
        for index in torch.arange(lattice.cells**3, device=device).split(_CHUNK):
            i, j, k = index // lattice.cells**2, index // lattice.cells % lattice.cells, index % lattice.cells
            points = torch.stack([x[i], y[j], z[k]], dim=-1)
            values.append(query_output(scene, points[None], "occupancy")[0, :, 0].clamp(0, 1).cpu())
    return Grid(torch.cat(values).reshape([lattice.cells] * 3).numpy(), bounds)


def _dataset(path: Path, split: str | None) -> ShapeSet:
    data = open_dataset(path)
    place = path / "shapes.safetensors"
    head = artifacts.check(place, "shapes", role="the shapes") if place.is_file() else None
    if head is None or "occupancy_bits" not in head.tensors:
        raise G3dError(
            f"the dataset '{path}' holds no occupancy grids; prepare it from solids (g3d prepare-data voxels), or compare meshes"
        )
    count = head.tensors["occupancy_bits"][1][0]
    if count != len(data.object_names):
        raise G3dError(
            f"'{place}' holds {count} shapes, but dataset.json {len(data.object_names)} objects; prepare it again"
        )
    picked = list(range(count)) if split in (None, "all") else data.objects(str(split))
    if not picked:
        raise G3dError(
            f"the dataset '{path}' has no objects in the split '{split}'; give --split all, or another dataset"
        )
    low, high = head.config["bounds"]
    lattice = Lattice((tuple(low), tuple(high)), int(head.config["cells"]))

    def grid(i: int, wanted: Lattice, _: torch.device) -> Grid:
        assert wanted == lattice, "a stored grid has its own cells"
        return Grid(data.occupancy(picked[i]).astype(np.float32), (low, high))

    return ShapeSet(path, "grids", tuple(data.object_names[i] for i in picked), grid=grid, lattice=lattice)


def _scenes(path: Path, places: Sequence[Path]) -> ShapeSet:
    names = []
    for place in places:
        head = artifacts.check(place, "scene", role="the scene")
        if head.config.get("signal") != "occupancy":
            raise G3dError(
                f"'{place}' is {head.kind} and no occupancy field; write its surface first "
                f"(g3d export-ply {path} --as mesh --out PLYS) and give that folder"
            )
        names.append(str(head.config.get("item") or place.stem))

    def grid(i: int, lattice: Lattice, device: torch.device) -> Grid:
        scene = load_scene(places[i], device)
        assert isinstance(scene, MlpField)
        return field_grid(scene, lattice, device)

    return ShapeSet(path, "fields", tuple(names), grid=grid)


def _triangles(face: Any, vertices: F32) -> I64:
    names = {p.name for p in face.properties}
    name = next((n for n in ("vertex_indices", "vertex_index") if n in names), None)
    if name is None:
        raise ValueError("its faces have no vertex_indices")
    rows = face[name]
    if rows.dtype != object:  # one block [F, 3]
        return np.asarray(rows, np.int64).reshape(len(rows), -1)
    return polygons.triangles(vertices.astype(np.float64), rows)


def _cloud(path: Path) -> Surface:
    points = _array(path)
    if points.ndim != 2 or points.shape[1] != 3:
        raise G3dError(f"'{path}' holds an array {list(points.shape)}; a file of a folder holds one point cloud [P, 3]")
    return Surface(np.asarray(points, np.float32), None)


def _array(path: Path) -> NDArray[Any]:
    """The array of an .npy file, mapped and not read; of an .npz file the one called `points`, or its only one."""
    with existing(path, "the points").open("rb") as stream:
        zipped = stream.read(2) == b"PK"
    if zipped:
        found = arrays.npz(path)
        if len(found) != 1 and "points" not in found:
            raise G3dError(
                f"'{path}' holds the arrays {', '.join(found) or 'none'}; wanted is one, or one called points"
            )
        array = found["points" if "points" in found else next(iter(found))]
    else:
        array = arrays.mapped(path)
    if array.dtype.kind not in "fiu":
        raise G3dError(f"'{path}' holds {array.dtype}; wanted are numbers, x y z of points")
    return np.asarray(array)


def lattice_of(shapes: ShapeSet, other: ShapeSet, cells: int | None) -> Lattice:
    """Where the grids of `shapes` are taken: on their own cells, else on those of `other`; `cells` a side, if given."""
    if shapes.lattice is not None:
        return shapes.lattice
    stored = other.lattice or Lattice()
    return Lattice(stored.bounds, cells or stored.cells)


def normalised(points: F32, how: str) -> F32:
    """Points [P, 3] as they are; or with the middle of their box at 0 and the farthest at 1; or with a box of side 1."""
    if how == "none":
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    centred = points - (low + high) / 2
    size = float((high - low).max() if how == "unit-box" else np.linalg.norm(centred, axis=1).max())
    if not size > 0:
        raise Empty("all its points are one point, which has no size to normalise")
    return np.asarray(centred / size, np.float32)


def partners(true: ShapeSet, test: ShapeSet) -> dict[str, int]:
    """Name => number of the test shape; the names of both sides are the same, each once."""
    sides = {"true": true, "test": test}
    for role, one in sides.items():
        twice = next((name for i, name in enumerate(one.names) if name in one.names[:i]), None)
        if twice is not None:
            raise G3dError(
                f"the {role} shapes '{one.path}' hold '{twice}' twice; pairs are made by name, so give one of them"
            )
    for (role, one), (other_role, other) in ((("true", true), ("test", test)), (("test", test), ("true", true))):
        lacking = sorted(set(one.names) - set(other.names))
        if lacking:
            raise G3dError(
                f"{len(lacking)} of the {role} shapes '{one.path}' have no partner in the {other_role} shapes '{other.path}', "
                f"the first is '{lacking[0]}' (there: {', '.join(other.names[:3])}, ...); give sets with the same names"
            )
    return {name: i for i, name in enumerate(test.names)}
