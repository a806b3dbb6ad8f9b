"""`g3d view` in a real browser, of a folder whose scenes differ: one is damaged, one is empty, each has its own background.

What is typed into the settings, and what the buttons save."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import HEIGHT, WIDTH, Page, browser, until
from commands import g3d, unchecked
from g3d import images
from g3d.cameras import read_transforms
from g3d.scenes.scene import Scene
from g3d.scenes.scene_file import save_scene
from g3d.steps.view import Options, _subject
from g3d.viewing import shapes
from g3d.viewing.server import shown
from g3d.viewing.session import Session
from test_view_controls import click
from toy_scenes import gaussians, image_field, occupancy, radiance, two_branches

FREE = (slice(150, HEIGHT), slice(0, 300))  # of the page, what no panel and no note covers
BOXES = "[...document.querySelectorAll('input')].filter(e => e.offsetParent)"


def scenes(folder: Path) -> Path:
    """0 is damaged; 1 stands before blue, 2 before green; 3 is empty; 4 has two levels; 5 is a picture."""
    nothing = replace(radiance(), weights={"a": (torch.zeros(1, 4, 3), torch.zeros(1, 4))})
    broken = replace(radiance(), weights={"a": (torch.full((1, 4, 3), torch.nan), torch.zeros(1, 4))})
    levels = replace(gaussians(32), level=torch.tensor([[0, 1]], dtype=torch.uint8))
    levels = replace(levels, opacity_logits=torch.tensor([[5.0, -5.0]]))
    before = [(two_branches(), (0.0, 0.0, 1.0)), (occupancy(), (0.0, 1.0, 0.0))]
    coloured: list[Scene] = [replace(s, world=replace(s.world, background=b)) for s, b in before]
    with unchecked():
        for number, scene in enumerate((broken, *coloured, nothing, levels, image_field())):
            save_scene(folder / f"{number}.safetensors", scene)
    return folder


def typed(page: Page, shows: str, text: str) -> None:
    """Type into the box that shows this."""
    box = f"{BOXES}.find(e => e.value === {json.dumps(shows)})"
    until(lambda: page.run(f"Boolean({box})"), 120)
    page.run(f"{box}.focus(); document.activeElement.select()")
    page.call("Input.insertText", text=text)
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)


def seen(session: Session, true: Callable[[Any], object]) -> None:
    """Wait for a fine picture of which this is so."""
    until(lambda: session.fine and session.picture is not None and true(session.picture), 120)


def goes_to(session: Session, number: int) -> None:
    session.number.value = number
    until(lambda: session.name.content == str(number), 120)


@pytest.mark.slow
def test_scenes_that_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with browser() as program, shown(_subject(Options(scenes(tmp_path / "s"))), "127.0.0.1", 0) as server:
        page = program.open(server.url)
        until(lambda: len(server.sessions) == 1, 120)
        session = next(iter(server.sessions.values()))
        until(lambda: "holds NaN or infinity" in session.note.content, 120)
        goes_to(session, 5)
        seen(session, lambda p: p[0, 0].tolist() == [64, 64, 64])  # a picture, which has no camera
        goes_to(session, 1)
        until(
            lambda: abs(np.linalg.norm(session._client.camera.position) - 3) < 0.01
        )  # where the scene is looked at from
        seen(session, lambda p: p[0, 0].tolist() == [0, 0, 255])
        _mesh_colours(session, page)
        goes_to(session, 2)
        seen(session, lambda p: p[0, 0].tolist() == [0, 255, 0])
        session.background.value = (255, 0, 0)  # from now on the user's
        goes_to(session, 1)
        seen(session, lambda p: p[0, 0].tolist() == [255, 0, 0])
        _no_surface(session, page, monkeypatch)
        _settings(session, page)
        _saved(session, page, tmp_path)
        _splats(session, page)
        page.close()
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


def _mesh_colours(session: Session, page: Page) -> None:
    """A mesh shows the colours of the picture, but for the tone curve that the browser lays over it."""
    assert session.picture is not None
    here = (slice(180, 220), slice(280, 310))  # of the page, on the ball, which the panel leaves free
    time.sleep(1)
    true = page.picture()[here].astype(int).mean(axis=(0, 1))
    session.way.value = "mesh"
    until(lambda: session._shape is not None, 120)
    until(lambda: 3 < np.abs(page.picture()[here].astype(int).mean(axis=(0, 1)) - true).max() < 30, 30)
    session.way.value = "picture"


def _no_surface(session: Session, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is none is said, and looked for once, however the camera moves."""
    looked: list[Any] = []
    surface = shapes.surface_mesh
    monkeypatch.setattr(shapes, "surface_mesh", lambda *words: [looked.append(words), surface(*words)][1])
    goes_to(session, 3)
    session.way.value = "mesh"
    until(lambda: "no --level finds a surface" in session.note.content)
    assert session.show.disabled and not session.background.disabled  # a mesh has no depth to show
    eye = session._client.camera.position.copy()
    page.drag(100, 250, 60, 20)
    until(lambda: np.abs(session._client.camera.position - eye).max() > 0.01)
    time.sleep(0.5)
    assert len(looked) == 1 and "no --level finds a surface" in session.note.content
    session.way.value = "picture"
    session._to_default()
    until(lambda: not session.note.content)
    assert not session.show.disabled


def _settings(session: Session, page: Page) -> None:
    """As `--set`: what is wrong is a sentence, and the picture stays; what is right is drawn."""
    goes_to(session, 4)
    time.sleep(2)  # the page replaces the settings of a field by those of Gaussians
    click(page, "Settings")
    seen(session, lambda p: p[..., 1].max() > 120)  # grey balls before red
    both = session.picture
    for text, words in (
        ("7", "levels is 7, but the scene has the levels 0 to 1"),
        ("x", "'x' is not a list of levels"),
    ):
        typed(page, "all" if text == "7" else "7", text)
        until(lambda words=words: words in session.note.content)  # type: ignore[misc]
        assert session.picture is both
    typed(page, "x", "1")  # the thin one alone
    until(lambda: not session.note.content)
    seen(session, lambda p: 0 < p[..., 1].max() < 5)
    session._panel._controls["opacity_one"].value = True  # type: ignore[union-attr]
    seen(session, lambda p: 80 < p[..., 1].max() < 100)  # sigmoid(1) = 0.73


def _splats(session: Session, page: Page) -> None:
    """Splats that the browser draws obey the settings and the background as `render` does."""
    controls = session._panel._controls  # type: ignore[union-attr]
    session.way.value = "splats"
    before = np.zeros((HEIGHT, WIDTH, 3))
    changes: tuple[tuple[Any, Any], ...] = (
        (controls["levels"], "0"), (controls["opacity_one"], True), (controls["scale_modifier"], 0.5),
        (controls["point_radius"], 0.9), (session.background, (0, 0, 200)),
    )  # fmt: skip
    for control, value in changes:
        control.value = value
        true = session.screenshot(WIDTH, HEIGHT)()
        assert true is not None and np.abs(true[FREE] - before[FREE]).mean() > 2  # it is another picture
        until(lambda true=true: np.abs(page.picture()[FREE].astype(int) - true[FREE]).mean() < 1, 60)  # type: ignore[misc]
        before = true.astype(float)
    session.way.value = "picture"


def _until_it_lies_there(page: Page, button: str, file: Path) -> None:
    """Click, and again where a busy browser has let the first saved file fall."""
    for _ in range(3):
        click(page, button)
        with suppress(AssertionError):
            until(file.is_file, 20)
            return
    raise AssertionError(f"'{button}' saves no '{file.name}'")


def _saved(session: Session, page: Page, tmp_path: Path) -> None:
    """The screenshot is what `render` draws from the key frame that was added at the same place, at the size that was typed."""
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
    session._panel._controls["opacity_one"].value = False  # type: ignore[union-attr]
    click(page, "Camera path")
    click(page, "Save path")
    until(lambda: "there are no key frames yet" in session.note.content)
    click(page, "Add key frame")
    until(lambda: session.note.content == "1 key frame")
    path, picture = tmp_path / "saved" / "path.json", tmp_path / "saved" / "picture.png"
    _until_it_lies_there(page, "Save path", path)
    click(page, "Screenshot")
    size = int(session.height.value)
    session.shot.value = (float(size), float(size))
    session.shot.value = (200.0, float(size))
    _until_it_lies_there(page, "Save picture", picture)
    assert len(read_transforms(path)) == 1
    words = ("--cameras", f"file:{path}", "--set", "levels=1", "--set", "background=1,0,0", "--out", tmp_path / "r")
    assert g3d("render", tmp_path / "s" / "4.safetensors", *words).code == 0
    true, found = images.read_image(tmp_path / "r" / "000000.png").astype(int), images.read_image(picture)
    left = (true.shape[1] - 200) // 2  # its middle
    assert found.shape == (size, 200, 3) and found.std() > 1
    assert np.abs(true[:, left : left + 200] - found).max() <= 1
