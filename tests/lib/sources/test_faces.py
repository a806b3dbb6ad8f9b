"""Faces: the ICT model blended as its packing says, painted in the right places, seen by the right cameras, labelled; light
against integrals over the sphere; the FaceScape layout against a ball of known colours; damaged files refused by name."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from facescape_ball import BALL_PX, CENTRE_MM, RADIUS_MM, ball_seen, write_facescape
from g3d.cameras import CameraPrior
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request, faces
from g3d.sources.faces import Face, Options, collect, light
from g3d.sources.faces import facescape as faces_facescape
from g3d.sources.faces import model as faces_model
from g3d.sources.faces import paint as faces_paint
from g3d.sources.faces.frames import camera_angles_deg, poses, projected
from g3d.sources.faces.model import EXPRESSIONS, INDICES, PACKED, FaceModel
from g3d.sources.faces.regions import regions
from g3d.steps import prepare_data
from PIL import Image

FRONT = poses(np.zeros((1, 2)))[0]
NAMES = list(EXPRESSIONS)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    if not (shared_data / "faces" / PACKED).is_file():
        pytest.skip(f"the face model is not in '{shared_data / 'faces'}'")
    return shared_data / "faces"


@pytest.fixture(scope="module")
def model(folder: Path) -> FaceModel:
    return faces_model.load(folder)


def vertices(model: FaceModel, expression: str, identity: Any = None, gain: float = 1.0) -> Any:
    shape = model.identity(np.zeros(model.modes) if identity is None else identity)
    return model.world(shape + model.expression(expression, gain, shape))


def landmarks(model: FaceModel, expression: str, identity: Any = None) -> Any:
    """[68, 3] model units."""
    return (vertices(model, expression, identity)[model.landmarks] - [0, 0.4, 0]) / 0.175


# --- the model


def test_vertices_are_the_neutral_face_and_weighted_steps(folder: Path, model: FaceModel) -> None:
    weights = np.random.default_rng(3).standard_normal(model.modes)
    with np.load(folder / PACKED, allow_pickle=False) as archive:
        packed = {name: archive[name] for name in archive.files}
    names = packed["expression_names"].tolist()
    found = vertices(model, "brow_lower", weights, gain=0.9)
    for vertex in (0, 1225, 9000, 5518):
        wanted = packed["neutral"][vertex].astype(np.float64)
        for i, weight in enumerate(weights):
            wanted = wanted + weight * packed["identity_scale"][i] * packed["identity_q"][i, vertex]
        for i in (names.index("browDown_L"), names.index("browDown_R")):
            wanted = wanted + 0.9 * packed["expression_scale"][i] * packed["expression_q"][i, vertex]
        np.testing.assert_allclose(found[vertex], wanted * 0.175 + [0, 0.4, 0], atol=1e-4)


def test_the_face_looks_to_plus_z_and_its_surface_is_closed_below(model: FaceModel) -> None:
    marks = model.neutral[model.landmarks]
    assert marks[30, 2] == marks[:, 2].max()  # the tip of the nose
    assert marks[45, 0] > 3 and marks[36, 0] < -3 and marks[27, 1] > marks[8, 1]  # the subject's left eye is at +x
    corners = model.neutral[model.triangles[np.concatenate([model.regions[n] for n in ("face", "head", "cut")])]]
    volume = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 4000 < volume < 9000  # positive: triangles face outwards; litres of a bust, in cubic centimetres
    skin = np.concatenate([model.regions[n] for n in ("face", "head", "cut")])
    edges = np.sort(model.triangles[skin][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    open_edges = edges[count == 1]
    assert (model.neutral[open_edges][..., 1] > -13).any(1).all()  # none is left around the shoulders


@pytest.mark.slow
def test_expressions_do_what_their_names_say(model: FaceModel) -> None:
    rest = landmarks(model, "neutral")
    move = {name: landmarks(model, name) - rest for name in EXPRESSIONS}
    assert move["mouth_stretch"][8, 1] < -1.5  # the chin falls
    assert move["brow_raiser"][[19, 24], 1].min() > 0.3 > 0 > move["brow_lower"][[19, 24], 1].max()
    assert move["smile"][54, 0] > 0.2 and move["smile"][48, 0] < -0.2 and move["smile"][[48, 54], 1].min() > 0.2
    assert move["sadness"][[48, 54], 1].max() < -0.2
    assert move["jaw_left"][8, 0] > 0.3 and move["jaw_right"][8, 0] < -0.3
    assert move["mouth_left"][57, 0] > 0.3 and move["mouth_right"][57, 0] < -0.3
    assert move["jaw_forward"][8, 2] > 0.2
    shapes = {name: vertices(model, name) for name in NAMES}
    for i, a in enumerate(NAMES):
        for b in NAMES[:i]:
            shift = np.abs(shapes[a] - shapes[b]).max() / 0.175
            assert shift > 0.4, f"{a} and {b} are {shift:.2f} cm apart"


def test_lids_close_on_everyone(model: FaceModel) -> None:
    """A weight of 1 leaves wide eyes ajar: in the model's own terms their lids do not meet."""
    ajar = 0
    for subject in range(12):
        weights = faces_paint.stream(0, subject, "identity").standard_normal(model.modes)
        closed = landmarks(model, "eye_closed", weights)
        for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
            assert closed[upper, 1] - closed[lower, 1] < 0.02
        shape = model.identity(weights)
        blink = [model.expression_names.index(f"eyeBlink_{side}") for side in "LR"]
        plain = sum(model.expression_steps[i] * model.expression_scale[i] for i in blink)
        points = (model.neutral + shape)[model.landmarks] + plain[model.landmarks]
        ajar += bool(points[44, 1] - points[46, 1] > 0.05)
    assert ajar > 0


def test_the_mouth_stays_behind_the_skin(model: FaceModel) -> None:
    """Of subject 0 the model's own shapes put the walls of the mouth, and in a grin the teeth, through the chin."""
    import open3d as o3d

    def seen_through(points: Any) -> int:
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(
            o3d.core.Tensor(points.astype(np.float32)), o3d.core.Tensor(model.triangles.astype(np.uint32))
        )
        chin, lip = points[model.landmarks[8]], points[model.landmarks[57]]
        x, y = np.meshgrid(np.linspace(-0.3, 0.3, 61), np.linspace(chin[1], lip[1] - 0.02, 61))
        rays = np.stack([x, y, np.full_like(x, 16), 0 * x, 0 * x, -np.ones_like(x)], axis=-1).astype(np.float32)
        hit = scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)["primitive_ids"].numpy()
        return int((~np.isin(hit, model.regions["face"])).sum())

    weights = faces_paint.stream(0, 0, "identity").standard_normal(model.modes)
    shape = model.identity(weights)
    for expression in ("neutral", "grin", "mouth_stretch"):
        moved = shape + model.expression(expression, 1.0, shape)
        assert seen_through(model.world(moved)) == 0
        if expression == "grin":
            assert seen_through((model.neutral + moved) * 0.175 + [0, 0.4, 0]) > 20


# --- paint


def test_appearance_is_a_stream_of_its_own() -> None:
    looks = np.array([list(faces_paint.appearance(0, s).as_json().values()) for s in range(300)])
    assert looks.shape == (300, 20) and looks.min() >= 0 and looks.max() <= 1
    shapes = np.array([faces_paint.stream(0, s, "identity").standard_normal(100) for s in range(300)])
    both = np.corrcoef(np.concatenate([looks, shapes], axis=1).T)
    assert np.abs(both[:20, 20:]).max() < 0.27  # of 2,000 correlations over 300 subjects
    assert np.abs(both[:20, :20] - np.eye(20)).max() < 0.25
    assert faces_paint.appearance(0, 7) == faces_paint.appearance(0, 7) != faces_paint.appearance(1, 7)
    skins = [faces_paint.skin_colour(faces_paint.Appearance(**{**dict.fromkeys(
        faces_paint.appearance(0, 0).as_json(), 0.5), "melanin": m})) for m in np.linspace(0, 1, 9)]  # fmt: skip
    assert (np.diff([float(s.mean()) for s in skins]) < -0.02).all() and skins[0].mean() > 0.75 > 0.25 > skins[
        -1
    ].mean()
    assert all(s[0] > s[1] > s[2] for s in skins)


def test_paint_lies_where_the_parts_are(folder: Path, model: FaceModel) -> None:
    """Seen in the masks' own texels, by distance to landmarks that the masks' edges do not use."""
    found = regions(folder, 256)
    marks = model.neutral[model.landmarks]

    def at(place: Any) -> int:
        return int(np.square(found.points - np.asarray(place)).sum(1).argmin())

    for lip in (51, 57):
        assert found.lips[at(marks[lip] + (0, 0.35 if lip == 57 else -0.35, 0))] > 0.9
    assert found.lips[at(marks[33])] == 0 == found.lips[at(marks[8])] == found.lips[at(marks[30])]
    for brow in (18, 19, 20, 23, 24, 25):
        assert abs(found.brow_across[at(marks[brow])]) < 0.15
    assert abs(found.brow_across[at((0, 8, 11))]) > 1 and abs(found.brow_across[at(marks[30])]) > 1
    assert found.hair_edge[at((0, 14, 1))] > 1 and found.hair_edge[at((0, 4, -9))] > 1  # crown, back
    assert max(found.hair_edge[at(marks[i])] for i in range(68)) < 0
    assert (
        found.ear[at((9.0, 2, -1.5))] > 0.9 and found.ear[at((-9.0, 2, -1.5))] > 0.9 and found.ear[at(marks[36])] == 0
    )


def test_colours_are_in_place_in_the_picture(folder: Path, model: FaceModel) -> None:
    """Iris, white, lips, brow and hair of a fair subject, from the front, the head alone in the picture."""
    from g3d.sources.surfaces.drawing import draw_view
    from g3d.sources.surfaces.raycast import Caster

    face = Face(folder, 0, 0, 0, ((0, 0),), 1, 128, False, False, "train")
    points, k = faces.vertices_of(face), np.array([800, 800, 96, 150], np.float32)
    caster = Caster(faces.surface_of(face, points), light=light.unlit)
    view = draw_view(caster, FRONT, k, 192, 192, faces.DEPTH_SCALE, faces.BACKGROUND)
    rgb = np.asarray(Image.open(io.BytesIO(view.picture))).astype(float) / 255
    marks = points[model.landmarks]

    def colour(place: Any) -> Any:
        x, y = projected(np.asarray(place, np.float32)[None], FRONT, k)[0]
        return rgb[int(y), int(x)]

    eye, corner = marks[36:42].mean(0), marks[36]
    cheek, forehead = colour(marks[[2, 31]].mean(0)), colour((marks[19] + marks[24]) / 2 + (0, 0.25, 0))
    lip = colour((marks[57] + marks[66]) / 2)
    x, y = projected(eye[None], FRONT, k)[0].astype(int)
    pupil = rgb[y - 2 : y + 3, x - 2 : x + 3].mean(-1).min()
    assert pupil < 0.35 and colour(eye * 0.42 + corner * 0.58).mean() > pupil + 0.3  # and the white
    assert lip[0] - lip[1] > cheek[0] - cheek[1] + 0.08
    assert colour(marks[19]).mean() < forehead.mean() - 0.1  # the brow
    assert np.abs(colour((0, 0.4 + 13.2 * 0.175, 0.9)) - forehead).max() > 0.1  # hair
    assert rgb[5, 5].max() == 0  # black around


# --- cameras, labels, splits


def test_poses_are_those_of_the_prior_and_the_grid_is_that_of_the_paper() -> None:
    prior = CameraPrior(16.0, 24.0, 8, 8)
    for yaw, pitch in ((0, 0), (-90, -30), (81, 45), (9, 15)):
        wanted = prior.at(torch.tensor([float(yaw)]), torch.tensor([float(pitch)])).c2w[0].numpy()
        np.testing.assert_allclose(poses(np.array([[yaw, pitch]]))[0], wanted, atol=1e-5)
    np.testing.assert_allclose(FRONT, [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 16], [0, 0, 0, 1]], atol=1e-6)
    everything = camera_angles_deg(116, 4, 0)
    assert len(set(everything)) == 120
    assert {y for y, _ in everything} == set(range(-90, 82, 9)) and {p for _, p in everything} == set(
        range(-30, 46, 15)
    )
    assert camera_angles_deg(16, 4, 0) != camera_angles_deg(16, 4, 1)
    with pytest.raises(G3dError, match="the grid has 120"):
        camera_angles_deg(118, 4, 0)


@pytest.fixture(scope="module")
def small(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """2 subjects, one held out, x 2 expressions x 5 cameras at 64."""
    out = tmp_path_factory.mktemp("faces") / "out"
    prepare_data.run(prepare_data.Options(
        "faces", str(folder), out, num=2, views=4, test_views=1, size=64, expressions=2, holdout_subjects=1, normals=True,
        workers=1,
    ))  # fmt: skip
    return open_dataset(out)


def test_the_dataset_says_who_what_and_from_where(small: Dataset) -> None:
    assert small.object_names == [
        "subject-000/neutral",
        "subject-000/smile",
        "subject-001/neutral",
        "subject-001/smile",
    ]
    assert [o["split"] for o in small.info["objects"]] == ["train", "train", "test", "test"]
    assert small.view_split.tolist() == [0, 0, 0, 0, 1] * 4 and small.view_object.tolist() == [
        i // 5 for i in range(20)
    ]
    assert small.labels["subject"].tolist() == [0] * 10 + [1] * 10
    assert small.labels["expression"].tolist() == ([0] * 5 + [1] * 5) * 2
    assert small.cameras is not None
    c2w = small.cameras.c2w.reshape(4, 5, 4, 4)
    assert (c2w == c2w[:1]).all() and len(torch.unique(c2w[0], dim=0)) == 5  # alike for all; train and test differ
    prior = small.camera_prior
    assert prior.default().intrinsics[0, 0] == pytest.approx(float(small.cameras.intrinsics[0, 0]), rel=1e-5) == 150
    assert torch.linalg.norm(c2w[..., :3, 3], dim=-1).sub(prior.radius_world).abs().max() < 1e-4
    low, high = small.bounds
    assert low[1] < -2.5 and high[1] > 2.5 and -4 < low[0] < -1.5 and 1.5 < high[0] < 4
    depth = np.stack([small.depth_world(v) for v in range(20)])
    assert depth[depth > 0].min() > 12 and depth.max() < 20
    assert small.info["background"] == [0, 0, 0] and "MIT" in small.info["licence"]
    looks = [entry["appearance"] for entry in small.info["objects"]]
    assert looks[0] == looks[1] != looks[2]


def test_landmarks_lie_on_the_face_in_every_view(small: Dataset, model: FaceModel) -> None:
    """Rays through a landmark of an object from all of its views meet in one point, which is the vertex."""
    assert small.cameras is not None
    for obj in range(4):
        views = small.views(obj)
        c2w, k = small.cameras.c2w[views].double(), small.cameras.intrinsics[views].double()
        marks = small.labels["landmarks"][views].double()  # [V, 68, 2]
        local = torch.cat([(marks - k[:, None, 2:]) / k[:, None, :2], torch.ones(*marks.shape[:2], 1)], dim=-1)
        rays = torch.nn.functional.normalize(torch.einsum("vij,vkj->vki", c2w[:, :3, :3], local), dim=-1)
        across = torch.eye(3) - rays[..., :, None] * rays[..., None, :]  # [V, 68, 3, 3]
        points = torch.linalg.solve(across.sum(0), torch.einsum("vkij,vj->ki", across, c2w[:, :3, 3]))
        off = torch.einsum("vkij,vkj->vki", across, points - c2w[:, None, :3, 3])
        assert off.abs().max() < 1e-3
        subject, expression = divmod(obj, 2)
        identity = faces_paint.stream(0, subject, "identity").standard_normal(model.modes)
        gain = small.info["objects"][obj]["gain"]
        assert 0.8 <= gain <= 1.1
        wanted = vertices(model, NAMES[expression], identity, gain)[model.landmarks]
        np.testing.assert_allclose(points.numpy(), wanted, atol=2e-3)


def test_a_point_has_one_colour_in_two_views(small: Dataset) -> None:
    """Pixels of one view, taken to the world by their depth, show the same colour and depth where another view sees them."""
    assert small.cameras is not None
    compared = 0
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (5, 6)):
        (pa, pb), k = small.pictures([a, b]).astype(float) / 255, small.cameras.intrinsics[0].double().numpy()
        ca, cb = (small.cameras.c2w[v].double().numpy() for v in (a, b))
        depth, there = small.depth_world(a), small.depth_world(b)
        y, x = np.nonzero(small.mask(a) == 255)
        z = depth[y, x]
        local = np.stack([(x + 0.5 - k[2]) / k[0] * z, (y + 0.5 - k[3]) / k[1] * z, z], axis=1)
        world = local @ ca[:3, :3].T + ca[:3, 3]
        back = (world - cb[:3, 3]) @ cb[:3, :3]
        u, v = k[0] * back[:, 0] / back[:, 2] + k[2], k[1] * back[:, 1] / back[:, 2] + k[3]
        inside = (u >= 0) & (u < 64) & (v >= 0) & (v < 64)
        u, v, back, x, y = u[inside].astype(int), v[inside].astype(int), back[inside], x[inside], y[inside]
        seen = np.abs(there[v, u] - back[:, 2]) < 0.05
        if seen.sum() < 60:
            continue
        compared += 1
        off = np.abs(pa[y, x] - pb[v, u]).max(1)[seen]
        assert np.median(off) < 0.04, (a, b, np.median(off))
    assert compared >= 3


def test_normals_are_those_of_the_depth(small: Dataset) -> None:
    assert small.cameras is not None
    normals, depth, k = small.normals(0), small.depth_world(0), small.cameras.intrinsics[0].numpy()
    c2w = small.cameras.c2w[0].numpy()
    y, x = np.mgrid[:64, :64] + 0.5
    world = np.stack([(x - k[2]) / k[0] * depth, (y - k[3]) / k[1] * depth, depth], axis=-1) @ c2w[:3, :3].T
    across, down = np.gradient(world, axis=(1, 0))
    flat = np.cross(down, across)
    flat /= np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-9)
    slope = np.abs(np.gradient(depth)).max(0)  # a pixel is 0.1 wide
    smooth = (slope < 0.1) & (small.mask(0) == 255)
    agree = (normals * flat).sum(-1)[smooth]
    assert smooth.sum() > 200 and np.median(agree) > 0.97 and np.quantile(agree, 0.1) > 0.8


def test_the_same_seed_gives_the_same_bytes_and_items_travel(folder: Path) -> None:
    options = Options(num=2, views=1, test_views=1, size=32, expressions=3)
    item = collect(Request(str(folder), options, 5)).items[4]
    first = item.make()
    for cached in (faces._identity, faces._textures, faces._layout, faces.openness, faces.regions):
        cached.cache_clear()
    again = pickle.loads(pickle.dumps(item)).make()  # as a worker process gets it
    assert [v.files() for v in first.views] == [v.files() for v in again.views] and first.entry == again.entry
    other = collect(Request(str(folder), options, 6)).items[4]
    assert other.name == item.name == "subject-001/smile" and other.make().views[0].picture != first.views[0].picture


def test_the_lit_set_has_light_and_jitter_of_its_own(folder: Path) -> None:
    plain = collect(Request(str(folder), Options(num=1, views=3, test_views=1, size=32, expressions=1))).items[0].make()
    lit = (
        collect(Request(str(folder), Options(num=1, views=3, test_views=1, size=32, expressions=1, lit=True)))
        .items[0]
        .make()
    )
    turn = np.einsum("vij,vij->v", plain.columns["c2w"][:, :3, :3], lit.columns["c2w"][:, :3, :3])
    turned_deg = np.degrees(np.arccos(np.clip((turn - 1) / 2, -1, 1)))
    assert (turned_deg > 0.05).all() and (turned_deg < 7.2).all()
    assert np.asarray(lit.entry["light"]).shape == (4, 9, 3)
    mean = [np.asarray(Image.open(io.BytesIO(v.picture))).mean() for v in lit.views]
    assert min(mean) > 4 and np.ptp(mean) > 1


# --- light


def sphere(steps: int = 200) -> tuple[Any, Any]:
    """Directions [N, 3] all over the sphere and the solid angle of each."""
    height = (np.arange(steps) + 0.5) / steps * 2 - 1
    turn = (np.arange(2 * steps) + 0.5) / (2 * steps) * 2 * np.pi
    h, t = (a.reshape(-1) for a in np.meshgrid(height, turn))
    r = np.sqrt(1 - h * h)
    return np.stack([r * np.cos(t), r * np.sin(t), h], axis=1), np.full(len(h), 4 * np.pi / len(h))


ENVIRONMENTS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "order 2": (lambda d: 0.5 + 0.3 * d[:, 0] + 0.2 * d[:, 1] * d[:, 2] + 0.1 * (3 * d[:, 2] ** 2 - 1), 2e-3),
    "sky and ground": (lambda d: np.where(d[:, 1] > 0, 1.0, 0.2), 0.03),
    "a lamp": (lambda d: 0.2 + 8 * np.maximum(0, d @ [0.6, 0.0, 0.8]) ** 20, 0.05),
}


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_harmonic_light_is_the_integral_over_the_sphere(name: str) -> None:
    environment, tolerance = ENVIRONMENTS[name]
    directions, solid = sphere()
    radiance = environment(directions)
    coefficients = (radiance * solid) @ light.harmonics(directions)
    normals, _ = sphere(6)
    wanted = np.array([(radiance * solid * np.maximum(directions @ n, 0)).sum() / np.pi for n in normals])
    found = light.SphericalHarmonicLight(tuple(coefficients.tolist()))(normals.astype(np.float32))
    assert np.ptp(wanted) > 0.1
    np.testing.assert_allclose(found, wanted, atol=tolerance * wanted.max())
    coloured = light.SphericalHarmonicLight(tuple((c, 0.5 * c, 0.0) for c in coefficients.tolist()))(normals)
    np.testing.assert_allclose(coloured, found[:, None] * [1, 0.5, 0], atol=1e-6)


def test_harmonics_are_orthonormal_and_light_is_never_negative() -> None:
    directions, solid = sphere(100)
    basis = light.harmonics(directions)
    np.testing.assert_allclose((basis * solid[:, None]).T @ basis, np.eye(9), atol=2e-3)
    dark = light.SphericalHarmonicLight((0.2, 0.0, 3.0, *[0.0] * 6))(directions.astype(np.float32))
    assert dark.min() == 0 and dark.max() > 0.5
    assert (light.unlit(np.zeros((4, 3), np.float32)) == 1).all()
    drawn = [light.drawn(np.random.default_rng(i)) for i in range(20)]
    peaks = [float(found(directions.astype(np.float32)).max()) for found in drawn]
    assert min(peaks) > 0.84 and max(peaks) < 1.12 and len(set(peaks)) == 20
    assert light.drawn(np.random.default_rng(3)) == drawn[3]


# --- damaged models and wrong options


def hand_made(**changed: Any) -> dict[str, Any]:
    """Arrays of the model's shapes, and nothing in them."""
    quads = np.zeros((26384, 4), np.int32)
    quads[:, 1], quads[:, 2], quads[:, 3] = 1, 2, -1
    material = np.full(26384, "M_Other", "<U15")
    for first, last, name in faces_model.REGIONS.values():
        material[first:last] = name
    names = sorted({s for weights in EXPRESSIONS.values() for s in weights})
    arrays = {
        "neutral": np.zeros((26719, 3), np.float32), "faces": quads, "uv": np.zeros((28911, 2), np.float32),
        "uv_faces": quads, "material": material, "identity_q": np.zeros((1, 26719, 3), np.int16),
        "identity_scale": np.ones(1), "expression_q": np.zeros((len(names), 26719, 3), np.int16),
        "expression_scale": np.ones(len(names)), "expression_names": np.array(names),
    }  # fmt: skip
    for key, change in changed.items():
        arrays[key] = change(arrays[key].copy())
    return {k: v for k, v in arrays.items() if v is not None}


def put(index: Any, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[index] = value
        return array

    return change


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"uv": lambda a: None}, "lacks uv"),
    "shape": ({"neutral": lambda a: a[:-1]}, "neutral of shape [26718, 3]"),
    "nan": ({"neutral": put((5, 1), np.nan)}, "neutral that are not finite"),
    "vertex": ({"faces": put((10, 2), 26719)}, "vertices that it does not hold"),
    "hole": ({"faces": put((10, 2), -1)}, "vertices that it does not hold"),
    "uv": ({"uv_faces": put((10, 2), 99999)}, "texture coordinates that it does not hold"),
    "material": ({"material": put(17500, "M_Face")}, "polygons 17006 to 21495 (teeth)"),
    "scale": ({"identity_scale": lambda a: a[:0]}, "1 identity_q (int16) and 0 identity_scale"),
    "float steps": ({"identity_q": lambda a: a.astype(np.float32)}, "identity_q (float32)"),
    "half": ({"uv_faces": put((10, 3), 0)}, "triangles with four"),
    "no edge": ({}, "no open edge"),
    "names": ({"expression_names": put(0, "nothing")}, "lacks the blend shapes browDown"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_damaged_model_is_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, words = BAD[case]
    np.savez(tmp_path / PACKED, **hand_made(**changes))
    (tmp_path / INDICES).write_text(json.dumps({"idx_to_landmark_verts": list(range(68))}))
    refused(tmp_path, words, PACKED)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(G3dError) as caught:
        faces_model.load.__wrapped__(folder)
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and caught.value.exit_code == 2


def test_a_truncated_model_and_wrong_landmarks_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / PACKED, **hand_made())
    whole = (tmp_path / PACKED).read_bytes()
    for content in ({"idx_to_landmark_verts": [1, 2]}, {"idx_to_landmark_verts": [26719] * 68}, {}):
        (tmp_path / INDICES).write_text(json.dumps(content))
        refused(tmp_path, "68 vertex numbers below 26719", INDICES)
    (tmp_path / PACKED).write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "cannot be read", PACKED)
    np.savez(tmp_path / PACKED, **{**hand_made(), "material": np.array([{"a": 1}] * 26384, object)})
    refused(tmp_path, "cannot be read", PACKED)  # objects would have to be unpickled
    (tmp_path / PACKED).write_text("no archive")
    refused(tmp_path, "cannot be read", PACKED)


def test_wrong_folders_and_options_are_refused(tmp_path: Path) -> None:
    for options, place, words in (
        (Options(), None, "needs a folder"),
        (Options(), tmp_path / "no", "does not exist"),
        (Options(), tmp_path, "holds neither"),
        (Options(expressions=21), tmp_path, "give 1 to 20"),
        (Options(num=0), tmp_path, "--num is 0"),
    ):
        with pytest.raises(G3dError, match=words):
            collect(Request(None if place is None else str(place), options))
    (tmp_path / PACKED).write_text("x")
    for options, words in (
        (Options(num=2, holdout_subjects=2), "leave at least one"),
        (Options(views=120, test_views=1), "the grid has 120"),
        (Options(), f"lacks {INDICES}"),
    ):
        with pytest.raises(G3dError, match=words):
            collect(Request(str(tmp_path), options))


# --- the FaceScape layout, hand-made


@pytest.fixture(scope="module")
def facescape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_facescape(tmp_path_factory.mktemp("facescape"))


def test_facescape_pictures_and_cameras_agree(facescape: Path, tmp_path: Path) -> None:
    """Every picture is what its recorded camera sees of the ball, moved to our world: distortion, crop and scale are right."""
    prepare_data.run(prepare_data.Options(
        "faces", str(facescape), tmp_path / "out", size=BALL_PX, test_views=2, holdout_subjects=1, workers=1
    ))  # fmt: skip
    data = open_dataset(tmp_path / "out")
    assert data.object_names == ["2/neutral", "2/anger", "10/neutral", "10/anger"]
    assert [o["split"] for o in data.info["objects"]] == ["train", "train", "test", "test"]
    assert data.view_split.tolist() == [0, 0, 0, 1, 1] * 4
    assert data.labels["subject"].tolist() == [0] * 10 + [1] * 10
    assert data.labels["expression"].tolist() == ([0] * 5 + [3] * 5) * 2
    assert data.cameras is not None
    entry = data.info["objects"][1]
    assert sorted(entry["camera_numbers"]) == [0, 1, 2, 3, 4]  # 5 is not valid
    rotation, scale = np.array(entry["placement"]["rotation"]), entry["placement"]["scale"]
    centre = scale * rotation @ (CENTRE_MM - entry["placement"]["centre"])
    assert np.abs(centre).max() < 0.05 and scale == pytest.approx(16 / 700, rel=1e-3)
    np.testing.assert_allclose(
        rotation @ [0, -1, 0], [0, 1, 0], atol=0.3
    )  # the mean up of cameras that look down a little
    assert (rotation @ [0, 0, -1])[2] > 0.9  # the front
    for place, view in enumerate(data.views(1).tolist()):
        c2w, k = data.cameras.c2w[view].double().numpy(), data.cameras.intrinsics[view].double().numpy()
        y, x = np.mgrid[:BALL_PX, :BALL_PX] + 0.5
        rays = np.stack([(x - k[2]) / k[0], (y - k[3]) / k[1], np.ones_like(x)], axis=-1) @ c2w[:3, :3].T
        wanted = ball_seen(c2w[:3, 3], rays, centre, RADIUS_MM * scale, rotation.T)
        found = data.pictures([view])[0].astype(float)
        inner = np.square(x - BALL_PX / 2) + np.square(y - BALL_PX / 2) < (0.2 * BALL_PX) ** 2
        off = np.abs(found - wanted).max(-1)
        assert np.median(off[inner]) < 2 and np.quantile(off[inner], 0.98) < 12, (place, entry["camera_numbers"][place])
        assert wanted[inner].std() > 20
    assert data.camera_prior.radius_world == pytest.approx(16, rel=0.01)


BAD_PARAMS: dict[str, tuple[dict[str, Any], str]] = {
    "no K": ({"0_K": None}, "no K of 9 or 16 numbers"),
    "size of Rt": ({"0_Rt": [1, 2, 3]}, "no Rt of 12 or 16 numbers"),
    "words": ({"0_Rt": [["a"] * 4] * 3}, "no Rt of 12"),
    "nan": ({"0_Rt": [[float("nan")] * 4] * 3}, "not finite"),
    "singular": ({"0_Rt": [[0.0] * 4] * 3}, "singular"),
    "mirror": ({"0_Rt": [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5]]}, "left-handed"),
    "focal length": ({"0_K": [[-5, 0, 1], [0, 5, 1], [0, 0, 1]]}, "focal lengths"),
    "distortion": ({"0_distortion": [0.1, 0.2]}, "k1 k2 p1 p2 k3"),
    "none valid": ({f"{i}_valid": False for i in range(6)}, "0 valid views"),
    "width": ({"0_width": 0}, "whole numbers above 0"),
}


@pytest.mark.parametrize("case", sorted(BAD_PARAMS))
def test_facescape_cameras_that_are_none_are_refused_by_name(facescape: Path, tmp_path: Path, case: str) -> None:
    changes, words = BAD_PARAMS[case]
    place = tmp_path / "7" / "2_smile"
    place.mkdir(parents=True)
    for path in (facescape / "2" / "1_neutral").glob("*.png"):
        (place / path.name).write_bytes(path.read_bytes())
    params = json.loads((facescape / "2" / "1_neutral" / "params.json").read_text())
    (place / "params.json").write_text(json.dumps({**params, **changes}))
    item = collect(Request(str(tmp_path), Options(size=16, test_views=1))).items[0]
    with pytest.raises(G3dError) as caught:
        item.make()
    assert words in str(caught.value) and "params.json" in str(caught.value) and "\n" not in str(caught.value)


def test_facescape_folders_that_are_none_are_refused(facescape: Path, tmp_path: Path) -> None:
    for options, words in (
        (Options(lit=True), "--lit is for the face model"),
        (Options(holdout_subjects=2), "leave at least one"),
    ):
        with pytest.raises(G3dError, match=words):
            collect(Request(str(facescape), options))
    with pytest.raises(G3dError, match="5 valid views"):
        collect(Request(str(facescape), Options(views=5, test_views=1, size=16))).items[0].make()
    place = tmp_path / "3" / "4_smile"
    place.mkdir(parents=True)
    (place / "params.json").write_text("{}")
    with pytest.raises(G3dError, match="no expression of FaceScape"):
        collect(Request(str(tmp_path), Options()))
    place.rename(place.with_name("2_smile"))
    with pytest.raises(G3dError, match="hold no pictures"):
        collect(Request(str(tmp_path), Options()))
    rotation, centre, scale = faces_facescape.placement(np.tile(np.eye(4), (2, 1, 1)))
    assert np.isfinite([*rotation.ravel(), *centre, scale]).all()  # cameras in one place
