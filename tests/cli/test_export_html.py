"""`g3d export-html`: one page, nothing to fetch, opened from a disk in a real browser."""

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Page, browser, until
from commands import g3d, refused
from g3d.cameras import focal_from_fov
from g3d.render import render_scene
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import Gaussians, MlpField, World
from g3d.scenes.scene_file import save_scene
from toy_scenes import gaussians, image_field, occupancy, radiance, triplane, two_branches, world


def crowd() -> Gaussians:
    """Long, turned Gaussians of several colours, one behind the other."""
    g = torch.Generator().manual_seed(1)
    n = 12
    means = torch.rand(1, n, 3, generator=g) * 1.6 - 0.8
    log_scales = torch.rand(1, n, 3, generator=g) * 1.8 - 3.0
    sh = torch.rand(1, n, 1, 3, generator=g) * 3 - 1.5
    quats, logits = torch.randn(1, n, 4, generator=g), torch.rand(1, n, generator=g) * 4 - 1
    return Gaussians(means, log_scales, quats, logits, sh, world(64))


def ball() -> MlpField:
    """A solid that is nearly round."""
    fog, sine = two_branches(), Activation("sin")
    layers = (Layer("shape", ("x",), sine), Layer("in", ("shape",), Activation("linear")))
    network = Network(layers, {"occupancy": Output("in", 0, 1, Activation("sigmoid"))}, {"x": Encoding()})
    weights = {"shape": fog.weights["shape"], "in": (torch.full((1, 1, 3), 40.0), torch.full((1, 1), -88.0))}
    return MlpField(weights, network, world(64), "occupancy")


def data_of(path: Path) -> Any:
    found = re.search(r'<script type="application/json" id="scenes">(.*?)</script>', path.read_text(), re.S)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_numbers_and_fetches_nothing(tmp_path: Path) -> None:
    scene = crowd()
    save_scene(tmp_path / "a.safetensors", scene)
    words = ("export-html", tmp_path / "a.safetensors", "--title", "<b>&", "--out")
    assert g3d(*words, tmp_path / "p.html").code == 0
    text = (tmp_path / "p.html").read_text()
    assert "<title>&lt;b&gt;&amp;</title>" in text and "{{" not in text
    assert not re.search(r"https?://|//cdn|src=|@import|url\(", text) and "default-src 'none'" in text
    (found,) = data_of(tmp_path / "p.html")
    means = np.frombuffer(gzip.decompress(base64.b64decode(found["arrays"]["means"]["data"])), np.float32)
    assert np.array_equal(means.reshape(-1, 3), scene.means[0].numpy())
    assert found["kind"] == "splats" and found["radius_world"] == 3.0 and found["name"] == "a"
    assert g3d(*words, tmp_path / "q.html").code == 0
    assert (tmp_path / "q.html").read_bytes() == (tmp_path / "p.html").read_bytes()


@pytest.mark.parametrize("title", ["{{DATA}}", "{{SCRIPT}}", "a\udcffb"])
def test_a_title_is_a_title(title: str, tmp_path: Path) -> None:
    """Whatever it says: also what the page's own parts are called, and the name of a folder that is no UTF-8."""
    save_scene(tmp_path / "a.safetensors", gaussians())
    done = g3d("export-html", tmp_path / "a.safetensors", "--title", title, "--out", tmp_path / "p.html")
    assert done.code == 0, done.err
    shown = title.replace("\udcff", "?")
    assert f"<title>{shown}</title>" in (tmp_path / "p.html").read_text() and len(data_of(tmp_path / "p.html")) == 1


def test_a_solid_has_normals_and_a_fog_has_none(tmp_path: Path) -> None:
    """A light at the camera shows the form of what has no colours; they point away from the middle of a ball."""
    for name, scene in {"solid": ball(), "fog": two_branches()}.items():
        save_scene(tmp_path / "s" / f"{name}.safetensors", scene)
    assert g3d("export-html", tmp_path / "s", "--resolution", 24, "--out", tmp_path / "p.html").code == 0
    fog, solid = (shape["arrays"] for shape in data_of(tmp_path / "p.html"))
    assert "normals" not in fog
    raw = {n: gzip.decompress(base64.b64decode(solid[n]["data"])) for n in ("vertices", "normals")}
    vertices = np.frombuffer(raw["vertices"], np.float32).reshape(-1, 3)
    normals = (np.frombuffer(raw["normals"], np.uint8).reshape(-1, 3).astype(float) - 128) / 127
    outward = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert len(vertices) > 100 and (normals * outward).sum(axis=1).min() > 0.9


def test_refusals(tmp_path: Path) -> None:
    for name, scene in {"flat": image_field(), "splats": gaussians(), "fog": radiance()}.items():
        save_scene(tmp_path / f"{name}.safetensors", scene)
    page = ("--out", tmp_path / "p.html")
    refused(g3d("export-html", tmp_path / "flat.safetensors", *page), "image field", "nothing to turn")
    refused(g3d("export-html", tmp_path / "splats.safetensors", "--resolution", 9, *page), "--resolution has no effect")
    refused(g3d("export-html", tmp_path / "fog.safetensors", "--resolution", 1, *page), "--resolution is 1")
    refused(g3d("export-html", tmp_path / "fog.safetensors", "--out", tmp_path / "p.pdf"), "ends in .html")
    (tmp_path / "p.html").write_text("mine")
    refused(g3d("export-html", tmp_path / "fog.safetensors", *page), "exists")


def test_options_of_the_other_form_are_refused(tmp_path: Path) -> None:
    fog, splats, blind = (tmp_path / f"{name}.safetensors" for name in ("fog", "splats", "blind"))
    save_scene(fog, radiance())
    save_scene(splats, gaussians())
    save_scene(blind, replace(radiance(), world=World()))
    page = ("--out", tmp_path / "p.html")
    refused(g3d("export-html", fog, "--as", "splat", *page), "--as splat is unknown", "splats")
    refused(g3d("export-html", fog, "--num", 9, *page), "--num has no effect: a mesh is not fitted")
    refused(g3d("export-html", fog, "--as", "splats", "--level", 9, *page), "--level has no effect")
    refused(g3d("export-html", fog, "--as", "splats", "--views", 0, *page), "--views is 0; it must lie between")
    refused(g3d("export-html", splats, "--as", "splats", "--seed", 1, *page), "--seed has no effect", "are not fitted")
    refused(g3d("export-html", splats, "--as", "mesh", *page), "no surface to mesh; leave --as out")
    refused(g3d("export-html", blind, "--as", "splats", *page), "records no cameras", "--as mesh")
    asked = g3d("export-html", fog, "--as", "splats", "--num", 7, *page, "--dry-run")
    assert json.loads(asked.out) | {"as": "splats", "num": 7, "steps": 1000} == json.loads(asked.out)
    plain = json.loads(g3d("export-html", fog, *page, "--dry-run").out)
    assert plain["as"] == "mesh" and plain["resolution"] == 96 and "num" not in plain


FEW = ("--num", 60, "--views", 3, "--size", 16, "--steps", 12, "--seed", 3)


@pytest.mark.parametrize("kind", ["two_branches", "triplane"])
def test_fields_become_the_splats_that_convert_makes(kind: str, tmp_path: Path) -> None:
    """The page of a field with --as splats is, but for its name, that of the scene that `convert` makes with the same words."""
    made = {"two_branches": two_branches, "triplane": triplane}[kind]()
    save_scene(tmp_path / "a" / "car.safetensors", made)
    done = g3d(
        "export-html", tmp_path / "a", "--as", "splats", *FEW, "--title", "t", "--out", tmp_path / "p.html", "--json"
    )
    assert done.code == 0, done.err
    assert done.json["fitted"]["car"]["steps"] == 12 and "dB of 20 held-out views" in done.err
    assert g3d("convert", tmp_path / "a", *FEW, "--out", tmp_path / "b").code == 0
    assert g3d("export-html", tmp_path / "b", "--title", "t", "--out", tmp_path / "q.html").code == 0
    assert (tmp_path / "p.html").read_bytes() == (tmp_path / "q.html").read_bytes()
    (found,) = data_of(tmp_path / "p.html")
    assert found["kind"] == "splats" and 1 <= found["arrays"]["means"]["shape"][0] <= 60


def _frames(page: Page) -> int:
    return int(page.run("document.getElementById('view').dataset.drawn || 0"))


@pytest.mark.slow
def test_it_turns_scenes_in_a_browser_from_the_disk(tmp_path: Path) -> None:
    """Splats agree with our own rasteriser; a mesh is seen; keys and mouse turn them; no errors, no network."""
    scene = crowd()
    for number, kind in enumerate((scene, two_branches(), occupancy())):
        save_scene(tmp_path / "s" / f"{number:06d}.safetensors", kind)
    done = g3d("export-html", tmp_path / "s", "--resolution", 24, "--out", tmp_path / "p.html")
    assert done.code == 0, done.err
    with browser() as program:
        page = program.open((tmp_path / "p.html").as_uri())
        until(lambda: page.run("document.readyState") == "complete" and _frames(page) > 0)
        seen = page.picture()
        assert _matches(seen, scene)
        before = _frames(page)
        page.drag(300, 200, 80, 0)
        until(lambda: _frames(page) > before)
        assert np.abs(page.picture().astype(int) - seen).max() > 20
        for number, name in ((1, "000001"), (2, "000002")):
            before = _frames(page)
            page.run("document.getElementById('after').click()")
            until(lambda b=before: _frames(page) > b)  # type: ignore[misc]
            assert page.run("document.getElementById('name').textContent") == f"{name} ({number + 1} of 3)"
            assert page.picture()[:300].std() > 5
        assert not [line for line in page.log if '"error"' in line or "exception" in line], page.log
        page.close()


@pytest.mark.slow
def test_solids_are_lit_and_each_scene_is_looked_at_where_it_is(tmp_path: Path) -> None:
    """A solid is the picture that `render` draws, and so is what comes after it from elsewhere."""
    scene = crowd()
    prior = scene.world.camera_prior
    assert prior is not None
    aside = replace(scene.world, camera_prior=replace(prior, target=(1.0, 0.5, 0.0)))
    scenes = [ball(), scene, replace(scene, world=aside)]
    for number, kind in enumerate(scenes):
        save_scene(tmp_path / "s" / f"{number}.safetensors", kind)
    assert g3d("export-html", tmp_path / "s", "--out", tmp_path / "p.html").code == 0
    with browser() as program:
        page = program.open((tmp_path / "p.html").as_uri())
        for kind in scenes:
            until(lambda: page.run("document.readyState") == "complete" and _frames(page) > 0)
            assert _matches(page.picture(), kind)
            before = _frames(page)
            page.run("document.getElementById('after').click()")
            until(lambda b=before: _frames(page) > b)  # type: ignore[misc]
        page.close()


def _matches(seen: Any, scene: Gaussians | MlpField) -> bool:
    """The page's square middle, but for the bar below, against our rasteriser from the default camera."""
    height, width = seen.shape[:2]
    prior = scene.world.camera_prior
    assert prior is not None
    camera = prior.default().resized(height, height)
    assert abs(float(camera.intrinsics[0, 0]) - focal_from_fov(prior.fov_deg, height)) < 1e-3
    drawn = (render_scene(scene, camera).rgb[0].numpy() * 255).round()
    left = (width - height) // 2
    apart = np.abs(seen[:, left : left + height].astype(int) - drawn)[: height - 70]
    # The edge of a mesh is smooth, that of a first hit is not.
    most = 99.5 if isinstance(scene, Gaussians) else 97
    return bool(np.percentile(apart, most) <= 6 and drawn[: height - 70].std() > 20)
