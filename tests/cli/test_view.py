"""`g3d view`: what is refused, and, in a real browser without a window, what is seen."""

import json
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser import HEIGHT, WIDTH, Page, browser, until
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.data.opening import open_dataset
from g3d.scenes.scene_file import save_scene
from g3d.steps.view import Options, _subject
from g3d.viewing import server as view_server
from g3d.viewing.server import Shown, shown
from g3d.viewing.session import Session
from g3d.viewing.subject import Subject
from PIL import Image
from toy_scenes import gaussians, image_field, occupancy, radiance, two_branches

FREE = (slice(150, HEIGHT), slice(0, 300))  # of the page, what no panel and no note covers


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = tmp_path / "a.safetensors"
    save_scene(scene, radiance())
    quick = ("--no-browser", "--seconds", 0)
    refused(g3d("view", tmp_path / "none", *quick), "does not exist")
    refused(g3d("view", scene, "--port", 70000, *quick), "--port is 70000")
    refused(g3d("view", scene, "--seconds", -1, "--no-browser"), "--seconds is -1")
    refused(g3d("view", scene, "--prior", pipeline.prior, *quick), "is none; leave it out")
    refused(g3d("view", scene, "--up", "z", *quick), "--up turns a PLY")
    refused(g3d("view", pipeline.model, *quick), "draws its latents from a prior")
    refused(g3d("view", scene, "--host", "203.0.113.9", *quick), "cannot listen on '203.0.113.9'")
    refused(g3d("view", scene, "--host", "", *quick), "--host is empty", "127.0.0.1")  # it would be every address
    with socket.create_server(("127.0.0.1", 65535)):
        refused(g3d("view", scene, "--port", 65535, *quick), "no port from --port 65535 on is free")
    (tmp_path / "empty").mkdir()
    refused(g3d("view", tmp_path / "empty", *quick), "holds no images")
    shutil.copy(pipeline.root / "demo" / "splats.ply", tmp_path / "empty" / "a.ply")
    refused(g3d("view", tmp_path / "empty", *quick), "looked at one by one", "a.ply")
    for name in ("config.json", "state.safetensors"):  # of a run that is still in its first steps
        (tmp_path / "run").mkdir(exist_ok=True)
        shutil.copy(pipeline.model / name, tmp_path / "run" / name)
        refused(g3d("view", tmp_path / "run", *quick), "holds no model.safetensors")


def test_posed_pictures_that_are_named_oddly(tmp_path: Path) -> None:
    """Without an ending, by a link, or not: a sentence."""
    save_scene(tmp_path / "s" / "a.safetensors", gaussians())
    folder = tmp_path / "i"
    assert g3d("render", tmp_path / "s", "--cameras", "orbit:2", "--out", folder).code == 0
    Image.open(folder / "000000.png").save(tmp_path / "elsewhere.jpg")
    (folder / "linked.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    told = json.loads((folder / "transforms.json").read_text())

    def seen(name: Any) -> Any:
        told["frames"][0]["file_path"] = name
        (folder / "transforms.json").write_text(json.dumps(told))
        return g3d("view", folder, "--no-browser", "--seconds", 0, "--port", 0)

    for name in ("./000000", "linked", "linked.jpg"):
        assert seen(name).code == 0, name
        assert _subject(Options(folder)).names[1] == "000001.png"
    for name, words in (
        (None, "frame 0 of"),
        ("", "has no file_path"),
        ("a\0b", "outside"),
        ("../elsewhere.jpg", "outside"),
    ):
        refused(seen(name), words)
    refused(seen("gone"), "does not exist")


def test_a_browser_that_goes_before_it_is_served_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Made:
        def __init__(self, client: Any, _: Any):
            made.append(self)
            self.closed = False
            shown_server._gone(client)  # while it is made

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(view_server, "Session", Made)
    with shown(Subject("t", [], lambda *_: radiance()), "127.0.0.1", 0) as shown_server:
        shown_server._connected(SimpleNamespace(client_id=7))
        assert not shown_server.sessions and [one.closed for one in made] == [True]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    save_scene(tmp_path / "a.safetensors", radiance())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = g3d("view", tmp_path, "--port", port, "--no-browser", "--seconds", 0, "--json")
    assert done.code == 0 and int(done.json["url"].rpartition(":")[2]) > port


def test_it_serves_this_machine_alone_and_ends(tmp_path: Path) -> None:
    save_scene(tmp_path / "a.safetensors", radiance())
    done = g3d("view", tmp_path, "--no-browser", "--seconds", 0, "--json")
    assert done.code == 0, done.err
    assert done.json["url"].startswith("http://127.0.0.1:") and done.json["url"] in done.err
    shown_settings = g3d("view", tmp_path, "--dry-run")
    assert json.loads(shown_settings.out)["host"] == "127.0.0.1"


def test_what_is_seen_of_what(pipeline: Pipeline, tmp_path: Path) -> None:
    """By kind: scenes, a PLY, posed pictures, a model with its prior."""
    assert list(_subject(Options(pipeline.scenes)).names) == ["000000", "000001", "000002"]
    assert len(_subject(Options(pipeline.root / "demo" / "splats.ply")).names) == 1
    save_scene(tmp_path / "s" / "a.safetensors", gaussians())
    assert g3d("render", tmp_path / "s", "--cameras", "orbit:3", "--out", tmp_path / "i").code == 0
    shots = _subject(Options(tmp_path / "i")).photographs
    assert shots is not None and len(shots.pictures) == len(shots.cameras) == 3
    assert list(_subject(Options(tmp_path / "i" / "000000.png")).names) == ["000000.png"]  # one picture
    for name in "ab":  # folders of folders: by both names
        shutil.copytree(tmp_path / "i", tmp_path / "n" / name)
    assert list(_subject(Options(tmp_path / "n")).names)[2:4] == ["a/000002.png", "b/000000.png"]
    data = _subject(Options(pipeline.data))
    assert len(data.names) == 32 and data.names[9] == f"000009, {open_dataset(pipeline.data).object_names[1]}"
    assert np.array_equal(data.load(9, {}), images.read_image(pipeline.data / "images" / "000009.png"))
    assert data.photographs is not None and len(data.photographs.pictures) == len(data.photographs.cameras) == 8
    subject = _subject(Options(pipeline.model, pipeline.prior))
    values: dict[str, Any] = {knob.name: knob.value for knob in subject.knobs}
    one, same, other = (subject.load(0, values | more) for more in ({}, {}, {"Seed": 1}))
    middle, end = (subject.load(0, values | {"Between": b}) for b in (0.5, 1.0))
    codes = [_first_weight(s) for s in (one, same, other, middle, end)]
    assert np.array_equal(codes[0], codes[1]) and not np.array_equal(codes[0], codes[2])
    assert np.allclose(codes[2], codes[4]) and not np.array_equal(codes[0], codes[3])


def _first_weight(scene: Any) -> Any:
    return np.concatenate([t.numpy().ravel() for pair in scene.weights.values() for t in pair])


def _resting(session: Session) -> None:
    until(lambda: session.fine and session.artist.idle(), 120)


def _changed(session: Session, change: Callable[[], object]) -> None:
    """Do it, and wait until what is seen is another picture, at rest."""
    before = session.picture
    change()
    until(lambda: session.picture is not before, 120)
    _resting(session)


def _seen(page: Page, wanted: Callable[[Any], bool]) -> Any:
    """The page's picture once it is as wanted: the browser takes its time."""
    found: list[Any] = []

    def look() -> bool:
        found[:] = [page.picture()]
        return wanted(found[0])

    until(look, 120)
    return found[0]


@pytest.mark.slow
def test_in_a_browser(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Canvas, resting picture, scenes by the keyboard, depth, splats and mesh, three browsers, a scene that is deleted."""
    scenes = tmp_path / "scenes"
    for number, scene in enumerate((two_branches(), gaussians(), occupancy(), image_field())):
        save_scene(scenes / f"{number:06d}.safetensors", scene)
    with browser() as program, shown(_subject(Options(scenes)), "127.0.0.1", 0) as server:
        page = program.open(server.url)
        until(lambda: len(server.sessions) == 1)
        session = next(iter(server.sessions.values()))
        _resting(session)
        _changed(session, lambda: setattr(session.height, "value", HEIGHT))
        _check_resting_picture(session, page, scenes, tmp_path)
        _check_controls(session, page)
        _check_shapes(session, page)
        _check_three(program, server, scenes)
        page.close()
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


def _check_resting_picture(session: Session, page: Page, scenes: Path, tmp_path: Path) -> None:
    """The page shows, pixel by pixel, what `render` draws from the path that the viewer saves."""
    session._add_key()
    (tmp_path / "path.json").write_bytes(session.path_bytes())
    words = ("--cameras", f"file:{tmp_path / 'path.json'}", "--set", "skip_empty=on", "--out", tmp_path / "drawn")
    assert g3d("render", scenes / "000000.safetensors", *words).code == 0
    true = images.read_image(tmp_path / "drawn" / "000000.png").astype(int)
    assert session.picture is not None and true.shape == session.picture.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(true - session.picture).max() <= 1
    assert true[FREE].std() > 10  # there is something to see
    _seen(page, lambda found: _same(found, true))
    assert not _same(np.roll(true, 1, axis=1), true)  # a pixel aside would be noticed
    shot = session.screenshot(WIDTH, HEIGHT)()
    assert shot is not None and shot.shape == true.shape


def _same(page: Any, true: Any) -> bool:
    """Pixel by pixel, up to what the browser's own way from sRGB to light and back loses: up to 8 levels in dark places."""
    apart = np.abs(page[FREE].astype(int) - true[FREE])
    return bool(apart.max() <= 10 and apart.mean() < 0.5)


def _check_controls(session: Session, page: Page) -> None:
    """The slider by a key, depth, background, field of view; a setting; the camera by the mouse."""
    before = session.picture
    focus = "document.querySelector('[role=slider]').focus()"
    page.run(focus)
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    until(lambda: session.number.value == 1 and session.name.content == "000001")
    until(lambda: session.picture is not before, 120)
    _resting(session)
    _changed(session, lambda: setattr(session.show, "value", "depth"))
    assert session.picture is not None
    grey = session.picture
    assert np.ptp(grey, axis=2).max() == 0 and grey.max() > 200 and grey[0, 0].max() == 0
    _seen(page, lambda found: bool(np.percentile(np.abs(found[FREE].astype(int) - grey[FREE]), 98) <= 10))
    _changed(session, lambda: setattr(session.show, "value", "colour"))
    _changed(session, lambda: setattr(session.background, "value", (255, 0, 0)))
    assert session.picture[0, 0].tolist() == [255, 0, 0]
    wide = (session.picture != [255, 0, 0]).any(axis=2).sum()
    _changed(session, lambda: setattr(session.fov, "value", 90.0))
    assert 0 < (session.picture != [255, 0, 0]).any(axis=2).sum() < wide
    eye = session._client.camera.position.copy()
    page.drag(100, 250, 60, 20)
    until(lambda: np.abs(session._client.camera.position - eye).max() > 0.01)
    _changed(session, lambda: session._to_default())


def _check_shapes(session: Session, page: Page) -> None:
    """Splats and a mesh, drawn by the browser: more than the background is seen."""
    for number in (1, 2):
        session.way.value = "picture"
        session.number.value = number
        until(lambda n=number: session.name.content == f"{n:06d}")  # type: ignore[misc]
        session.way.value = session.way.options[1]
        until(lambda: session._shape is not None)
        _seen(page, lambda found: found[FREE].std() > 5)
        assert not session.note.content
    session.way.value = "picture"


def _check_three(program: Any, server: Shown, scenes: Path) -> None:
    """Each browser has a scene of its own; one goes away, one asks for a scene that is deleted, the others go on."""
    more = []
    for count in (2, 3):
        more.append(program.open(server.url))
        more[-1].call("Page.bringToFront")  # a hidden tab draws nothing, and does not say where its camera is
        until(lambda n=count: len(server.sessions) == n, 120)  # type: ignore[misc]
    first, second, third = (server.sessions[n] for n in sorted(server.sessions))
    second.number.value, third.number.value = 3, 0
    until(lambda: second.name.content == "000003" and third.name.content == "000000")
    _resting(second)
    assert first.name.content == "000002"
    program.end(more[1])
    until(lambda: len(server.sessions) == 2)
    (scenes / "000001.safetensors").unlink()
    second.number.value = 1
    until(lambda: "does not exist" in second.note.content)
    second.number.value = 0
    until(lambda: second.name.content == "000000" and not second.note.content)
    _resting(second)
    time.sleep(0.2)
    more[0].close()
