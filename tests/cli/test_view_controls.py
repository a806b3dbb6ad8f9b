"""`g3d view` in a real browser: what its user clicks and types to change a model's scenes and to move the camera."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import HEIGHT, WIDTH, Page, browser, until
from commands import g3d
from g3d import images, latents
from g3d.latents import Latents
from g3d.methods import hypernerfgan, settings_of, vq3d
from g3d.methods.hypernerfgan.networks import Generator
from g3d.methods.vq3d.networks import Autoencoder
from g3d.methods.vq3d.views import world_of
from g3d.priors import autoregressive, prior
from g3d.scenes.scene import tensors_of
from g3d.scenes.scene_file import save_scene
from g3d.steps import fit_prior
from g3d.steps.view import Options, _subject
from g3d.storage import artifacts
from g3d.viewing.picture import fitted
from g3d.viewing.poses import camera_of
from g3d.viewing.server import shown
from g3d.viewing.session import Session
from toy_scenes import gaussians, world


def press(page: Page, slider: int, key: str) -> None:
    """A key on a slider that is seen, by its number from above."""
    seen = "[...document.querySelectorAll('[role=slider]')].filter(s => s.offsetParent)"
    until(
        lambda: page.run(f"{seen}.length > {slider}"), 120
    )  # the page draws its controls after the server has made them
    page.run(f"{seen}[{slider}].focus()")
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])


KEYS = {"ArrowRight": 39, "Home": 36}


def click(page: Page, label: str) -> None:
    """What says this, innermost: a button, or the name of a folder."""
    found = f"[...document.querySelectorAll('body *')].filter(e => e.textContent.trim() === {json.dumps(label)}).pop()"
    until(lambda: page.run(f"Boolean({found})"), 120)
    page.run(f"{found}.click()")


def numbers(session: Session) -> Any:
    """All numbers of the scene that is seen."""
    scene = session._scene
    assert scene is not None and not isinstance(scene, np.ndarray)
    return np.concatenate([t.detach().numpy().ravel() for t in tensors_of(scene).values()])


def only(server: Any) -> Session:
    """The one browser's session, once its scene is there."""
    until(lambda: len(server.sessions) == 1, 120)
    session: Session = next(iter(server.sessions.values()))
    until(lambda: session._scene is not None and session.name.content, 120)
    return session


@pytest.mark.slow
def test_seed_and_truncation_of_a_gan(tmp_path: Path) -> None:
    """Truncation 0 gives the scene of the mean style, whatever the seed: that of the method itself."""
    torch.manual_seed(0)
    config = settings_of("hypernerfgan", "smoke", [])
    about = hypernerfgan.codec.described(config, world(24))
    artifacts.write(tmp_path / "model.safetensors", "model", Generator(config).state_dict(), about)
    model = hypernerfgan.load(artifacts.read(tmp_path / "model.safetensors", "model"), torch.device("cpu"))

    def made(seed: int, truncation: float) -> Any:
        settings = hypernerfgan.SampleSettings(truncation=truncation)
        scene = hypernerfgan.decode(model, hypernerfgan.draw(model, [seed], 0, settings))
        return np.concatenate([t.detach().numpy().ravel() for t in tensors_of(scene).values()])

    with browser() as program, shown(_subject(Options(tmp_path)), "127.0.0.1", 0) as server:
        page = program.open(server.url)
        session = only(server)
        assert list(session.knobs) == ["Seed", "Second seed", "Between", "Truncation"]
        assert np.allclose(numbers(session), made(0, 1.0), atol=1e-6)
        press(page, 0, "ArrowRight")
        until(lambda: session.knobs["Seed"].value == 1 and np.allclose(numbers(session), made(1, 1.0), atol=1e-6), 120)
        press(page, 3, "Home")
        until(lambda: session.knobs["Truncation"].value == 0, 120)
        until(lambda: np.allclose(numbers(session), made(0, 0.0), atol=1e-6), 120)
        assert not np.allclose(numbers(session), made(1, 1.0), atol=1e-3) and not session.note.content
        page.close()


def fit_prior_of_tokens(tmp_path: Path, classes: int, names: Sequence[str] = ()) -> None:
    """A model of VQ3D without training, and a prior of tokens of so many classes that hardly learnt."""
    torch.manual_seed(0)
    config = settings_of("vq3d", "smoke", [])
    about = vq3d.codec.described(config, world_of(config, (0.0, 0.0, 0.0)))
    artifacts.write(tmp_path / "model" / "model.safetensors", "model", Autoencoder(config).state_dict(), about)
    tokens = torch.randint(config.codes, (24, config.tokens), generator=torch.Generator().manual_seed(0))
    known = Latents(
        vq3d.codec.latent_space(config), {"tokens": tokens}, [str(i) for i in range(24)], torch.arange(24) % classes,
        about={"class_names": list(names)} if names else {},
    )  # fmt: skip
    latents.write(tmp_path / "l.safetensors", known)
    how = fit_prior.Options(
        tmp_path / "l.safetensors", tmp_path / "prior", "autoregressive", device="cpu", preset="smoke"
    )
    fit_prior.run(how)


@pytest.mark.slow
def test_a_prior_of_one_class_asks_for_none(tmp_path: Path) -> None:
    fit_prior_of_tokens(tmp_path, 1)
    subject = _subject(Options(tmp_path / "model", tmp_path / "prior"))
    assert [knob.name for knob in subject.knobs] == ["Seed"]
    assert not isinstance(subject.load(0, {"Seed": 0}), np.ndarray)


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_the_class_of_a_prior_of_tokens(tmp_path: Path, named: bool) -> None:
    fit_prior_of_tokens(tmp_path, 3, ("a", "b", "b") if named else ())
    file = tmp_path / "prior" / "prior.safetensors"
    found = artifacts.read(file, "prior")
    told = {
        n: 30 * t if n.endswith(("start.weight", "logits.weight")) else t for n, t in found.values.items()
    }  # so little was learnt of classes
    artifacts.write(file, "prior", told, found.config)
    kind, where = prior("autoregressive"), torch.device("cpu")
    loaded = kind.load(artifacts.read(file, "prior"), where)
    model = vq3d.load(artifacts.read(tmp_path / "model" / "model.safetensors", "model"), where)

    def made(number: int) -> Any:
        drawn = kind.sample(loaded, [0], 0, autoregressive.SampleSettings(), [number])
        scene = vq3d.decode(model, drawn, vq3d.DecodeSettings())
        return np.concatenate([t.detach().numpy().ravel() for t in tensors_of(scene).values()])

    subject = _subject(Options(tmp_path / "model", tmp_path / "prior"))
    with browser() as program, shown(subject, "127.0.0.1", 0) as server:
        page = program.open(server.url)
        session = only(server)
        assert list(session.knobs) == ["Seed", "Class"]
        assert np.allclose(numbers(session), made(0), atol=1e-6)
        control = session.knobs["Class"]
        if named:
            assert list(control.options) == ["0 a", "1 b", "2 b"]
            control.value = "1 b"
        else:
            assert control.max == 2
            press(page, 1, "ArrowRight")
        until(lambda: control.value in (1, "1 b") and np.allclose(numbers(session), made(1), atol=1e-6), 120)
        assert not np.allclose(made(0), made(1), atol=1e-3) and not session.note.content
        page.close()


@pytest.mark.slow
def test_frusta_training_cameras_and_play(tmp_path: Path) -> None:
    """A click on a frustum goes to its camera and shows its picture; the button goes to the next; Play turns, and stops."""
    save_scene(tmp_path / "s" / "a.safetensors", gaussians(32))
    assert g3d("render", tmp_path / "s", "--cameras", "orbit:3", "--out", tmp_path / "i").code == 0
    subject = _subject(Options(tmp_path / "i"))
    assert subject.photographs is not None
    eyes = subject.photographs.cameras.c2w[:, :3, 3].numpy()
    forward = subject.photographs.cameras.c2w[:, :3, 2].numpy()
    with browser() as program, shown(subject, "127.0.0.1", 0) as server:
        page = program.open(server.url)
        session = only(server)

        def stands(number: int) -> bool:
            seen = session._client.camera
            return bool(max(np.abs(seen.position - eyes[number]).max(), np.abs(seen.look_at).max()) < 1e-3)

        def arrives(number: int) -> None:
            """Also in the browser, which may still say where it stood before."""
            for _ in range(2):
                until(lambda: stands(number), 120)
                time.sleep(1)

        arrives(0)
        assert [frustum.visible for frustum in session._frusta] == [False, True, True]
        session.number.value = 2  # the picture itself is seen, not the thumbnail of the place where the camera stands
        true = fitted(images.read_image(tmp_path / "i" / "000002.png"), WIDTH, HEIGHT)[150:, :300].astype(int)
        session.height.value = HEIGHT
        until(lambda: np.abs(page.picture()[150:, :300].astype(int) - true).max() <= 10, 30)
        assert session.way.options == ("picture",) and session.show.disabled
        session.number.value = 0
        # Behind the first one, which else covers the others, and wider, so that they come out of the way of panels and notes.
        session.fov.value = 90.0
        session._client.camera.position = 1.5 * eyes[0]
        session._client.camera.look_at = np.zeros(3)
        until(lambda: np.abs(session._client.camera.position - 1.5 * eyes[0]).max() < 1e-3, 120)
        time.sleep(1)
        left = min((1, 2), key=lambda n: _pixel(session, eyes[n])[0])
        for away in (0.75, 0.7, 0.8, 0.65, 0.9, 1.0):  # somewhere on its thumbnail
            x, y = _pixel(session, eyes[left] + away * forward[left])
            page.drag(int(x), int(y), 0, 0)
            try:
                until(lambda: stands(left), 2)
                break
            except AssertionError:
                continue
        arrives(left)
        assert session.number.value == left and not session._frusta[left].visible and session._frusta[0].visible
        click(page, "Next training camera")
        arrives((left + 1) % 3)
        assert session.number.value == (left + 1) % 3
        before = session._client.camera.position.copy()
        radius = np.linalg.norm(before)
        click(page, "Play")
        until(lambda: np.linalg.norm(session._client.camera.position - before) > 1, 120)
        assert abs(np.linalg.norm(session._client.camera.position) - radius) < 0.02 * radius  # about what it looks at
        click(page, "Stop")
        until(lambda: not session.player.plays and session.play.label == "Play", 120)
        click(page, "Default camera")
        arrives(0)
        _play_a_path(session, page, arrives)
        assert not [line for line in page.log if "exception" in line], page.log
        page.close()


def _play_a_path(session: Session, page: Page, arrives: Callable[[int], None]) -> None:
    """Two key frames: it flies from the one to the other, and ends there by itself."""
    click(page, "Camera path")
    click(page, "Add key frame")
    until(lambda: len(session._keys) == 1, 120)
    session._to_photograph(1)
    arrives(1)
    click(page, "Add key frame")
    until(lambda: len(session._keys) == 2, 120)
    session.round_s.value = 2
    session._to_default()
    arrives(0)
    click(page, "Play")
    until(lambda: session.play.label == "Stop", 120)
    until(lambda: not session.player.plays and session.play.label == "Play", 120)
    arrives(1)


def _pixel(session: Session, point: Any) -> Any:
    """Where a point of the world is seen in the page."""
    camera = camera_of(session._client.camera, HEIGHT)
    c2w, (fx, fy, cx, cy) = camera.c2w[0].numpy(), camera.intrinsics[0].tolist()
    x, y, z = (point - c2w[:3, 3]) @ c2w[:3, :3]
    return fx * x / z + cx, fy * y / z + cy
