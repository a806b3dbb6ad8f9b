"""What lies beside FaceScape's photographs: meshes become coverage and depth, masks and landmarks follow lens and crop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facescape_ball import BALL_PX, CENTRE_MM, RADIUS_MM, ball_mesh, write_facescape
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request
from g3d.sources.faces import Options, beside, collect
from g3d.steps import prepare_data
from PIL import Image

NAMES = ("1_neutral", "4_anger")


def marks_mm() -> Any:
    """[68, 3] on the side of the ball that the cameras see."""
    i = np.arange(68)
    yaw, pitch = np.radians(50 * np.sin(2.4 * i)), np.radians(40 * np.cos(1.7 * i + 0.3))
    return CENTRE_MM + RADIUS_MM * np.stack(
        [np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)], 1
    )


def photographed(params: Any, view: int) -> Any:
    """[68, 2] pixels of the photograph, through its lens."""
    k, rt = (np.array(params[f"{view}_{key}"]) for key in ("K", "Rt"))
    local = marks_mm() @ rt[:, :3].T + rt[:, 3]
    x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    k1, k2, p1, p2, k3 = params[f"{view}_distortion"]
    r2 = x * x + y * y
    d = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    bent = np.stack([x * d + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * d + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], 1)
    return bent * k[[0, 1], [0, 1]] + k[:2, 2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Dataset]:
    """The folder, that of landmarks (of views 0, 3 and 4 alone), and the dataset of both with meshes."""
    pytest.importorskip("open3d")
    root = tmp_path_factory.mktemp("beside")
    folder = write_facescape(root / "in", ("2",))
    for name in NAMES:
        ball_mesh(folder / "2" / f"{name}.ply")
        params = json.loads((folder / "2" / name / "params.json").read_text())
        (root / "marks" / "2" / name).mkdir(parents=True)
        for view in (0, 3, 4):
            np.save(root / "marks" / "2" / name / f"{view}.npy", photographed(params, view))
    prepare_data.run(prepare_data.Options(
        "faces", str(folder), root / "out", size=BALL_PX, test_views=2, landmarks=root / "marks", workers=1
    ))  # fmt: skip
    return folder, root / "marks", open_dataset(root / "out")


def test_a_mesh_gives_coverage_and_depth_of_every_view(made: tuple[Path, Path, Dataset]) -> None:
    """Against rays and the ball itself, in our world; within a pixel of the rim nothing is asked."""
    _, _, data = made
    assert data.cameras is not None and data.info["provenance"]["settings"]["beside"] == ["meshes"]
    for view in range(len(data.view_object)):
        place = data.info["objects"][int(data.view_object[view])]["placement"]
        rotation, scale = np.array(place["rotation"]), place["scale"]
        centre, radius = scale * rotation @ (CENTRE_MM - place["centre"]), RADIUS_MM * scale
        c2w, k = data.cameras.c2w[view].double().numpy(), data.cameras.intrinsics[view].double().numpy()
        y, x = np.mgrid[:BALL_PX, :BALL_PX] + 0.5
        rays = np.stack([(x - k[2]) / k[0], (y - k[3]) / k[1], np.ones_like(x)], -1) @ c2w[:3, :3].T
        away = centre - c2w[:3, 3]
        a, b, c = (rays * rays).sum(-1), rays @ away, away @ away - radius**2
        z = (b - np.sqrt(np.maximum(b * b - a * c, 0))) / a  # of the near side
        off = np.sqrt(np.maximum(away @ away - b * b / a, 0)) - radius  # of the ray from the ball
        pixel = 16 / k[0]
        mask, depth = data.mask(view), data.depth_world(view)
        assert (mask[off < -1.5 * pixel] == 255).all() and (mask[off > pixel] == 0).all()
        inner = off < -0.25 * radius
        assert inner.sum() > 500 and np.abs(depth - z)[inner].max() < 0.02
        assert (depth[off > pixel] == 0).all()


def test_landmarks_of_some_views_become_those_of_all(made: tuple[Path, Path, Dataset]) -> None:
    """By two lenses and a crop: every view has the points that the files were pictures of, the upright one (view 1) too."""
    _, _, data = made
    hidden = 0
    assert data.cameras is not None
    for view in range(len(data.view_object)):
        place = data.info["objects"][int(data.view_object[view])]["placement"]
        points = place["scale"] * (marks_mm() - place["centre"]) @ np.array(place["rotation"]).T
        c2w, k = data.cameras.c2w[view].double().numpy(), data.cameras.intrinsics[view].double().numpy()
        local = (points - c2w[:3, 3]) @ c2w[:3, :3]
        wanted = local[:, :2] / local[:, 2:] * k[:2] + k[2:]
        np.testing.assert_allclose(data.labels["landmarks"][view].numpy(), wanted, atol=0.02)
        x0, y0, x1, y1 = data.labels["face_box"][view].tolist()
        inside = np.clip(wanted, 0, BALL_PX)
        assert (
            x0 <= inside[:, 0].min()
            and x1 >= inside[:, 0].max()
            and y0 <= inside[:, 1].min()
            and y1 >= inside[:, 1].max()
        )
        ball = place["scale"] * np.array(place["rotation"]) @ (CENTRE_MM - place["centre"])
        cosine = ((points - ball) * (c2w[:3, 3] - points)).sum(1) / (RADIUS_MM * place["scale"] * 14)
        seen = data.labels["landmarks_visible"][view].bool().numpy()
        assert seen[cosine > 0.1].all() and not seen[cosine < -0.3].any()
        hidden += int((cosine < -0.3).sum())
    assert hidden > 3
    entry = data.info["objects"][0]
    assert entry["landmarks_of_views"] == 3 and entry["landmarks_off_px"] < 0.02


def test_masks_beside_the_photographs_stand_before_the_mesh(made: tuple[Path, Path, Dataset], tmp_path: Path) -> None:
    folder = write_facescape(tmp_path / "in", ("2",))
    for name in NAMES:
        (folder / "2" / name / "masks").mkdir()
        for view in range(6):
            size = Image.open(folder / "2" / name / f"{view}.png").size
            mask = np.zeros((size[1], size[0]), np.uint8)
            mask[:, : size[0] // 2] = 255  # the left half
            Image.fromarray(mask).save(folder / "2" / name / "masks" / f"{view}.png")
    ball_mesh(folder / "2" / "1_neutral.ply")
    items = collect(Request(str(folder), Options(size=BALL_PX, test_views=2))).items
    with pytest.raises(G3dError, match=r"no 4_anger\.ply beside it"):
        items[1].make()
    neutral = items[0].make()
    assert neutral.views[0].mask is not None and neutral.views[0].depth is not None
    (folder / "2" / "1_neutral.ply").unlink()
    first = collect(Request(str(folder), Options(size=BALL_PX, test_views=2))).items[0].make()
    assert first.views[0].depth is None and first.views[0].mask == neutral.views[0].mask
    (folder / "2" / "1_neutral" / "masks" / "0.png").unlink()
    with pytest.raises(G3dError, match=r"masks/0\.png"):
        collect(Request(str(folder), Options(size=BALL_PX, test_views=2))).items[0].make()


def test_landmarks_of_one_view_are_no_points(made: tuple[Path, Path, Dataset], tmp_path: Path) -> None:
    folder, marks, _ = made
    own = tmp_path / "2" / "1_neutral"
    own.mkdir(parents=True)
    (own / "0.npy").write_bytes((marks / "2" / "1_neutral" / "0.npy").read_bytes())
    item = collect(Request(str(folder), Options(size=BALL_PX, test_views=2, landmarks=tmp_path))).items[0]
    with pytest.raises(G3dError, match="of 1 of its 5 views"):
        item.make()
    with pytest.raises(G3dError, match="is no folder"):
        collect(Request(str(folder), Options(landmarks=tmp_path / "nowhere")))


def test_landmarks_may_be_found_in_the_pictures(
    made: tuple[Path, Path, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finder of the test's own in dlib's place, which finds a face in three of five views."""
    folder, _, data = made
    known = [data.labels["landmarks"][view].double().numpy() for view in range(5)]
    answers = iter([known[0], None, known[2], None, known[4]])
    monkeypatch.setattr(beside, "dlib_finder", lambda otherwise: lambda picture: next(answers))
    monkeypatch.chdir(tmp_path)
    found = collect(Request(str(folder), Options(size=BALL_PX, test_views=2, landmarks=Path("dlib"))))
    assert found.settings["landmarks"] == "dlib"
    made_again = found.items[0].make()
    np.testing.assert_allclose(made_again.columns["landmarks"], np.stack(known), atol=0.05)
    assert made_again.entry["landmarks_of_views"] == 3
