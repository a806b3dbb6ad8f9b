"""GSGAN through the commands: scenes and their cameras, anchors, levels, backdrop, points, latents, splats, import."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.cameras import CameraPrior, camera_conditioning
from g3d.methods import gsgan as g
from g3d.methods.gsgan import official
from g3d.methods.gsgan.networks import Generator
from g3d.scenes.scene import Gaussians
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts
from safetensors.torch import save_file
from snapshot import write_snapshot
from torch import Tensor

pytestmark = pytest.mark.slow


def scene(path: Path) -> Gaussians:
    found = load_scene(path)
    assert isinstance(found, Gaussians)
    return found


@pytest.fixture(scope="module")
def sampled(splat_gan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("splats")
    found = g3d("sample", splat_gan, "--num", 2, "--out", out / "scenes", "--device", "cpu")
    assert found.code == 0, found.err
    return out / "scenes"


def test_a_scene_records_the_camera_that_it_was_baked_at(splat_gan: Path, sampled: Path) -> None:
    world = scene(sampled / "000000.safetensors").world
    assert world.camera_prior is not None
    wanted = world.camera_prior.default().c2w.flatten().tolist()
    assert world.condition_camera is not None and world.condition_camera[:16] == pytest.approx(wanted)


def test_sample_pairs_scene_and_camera(splat_gan: Path, tmp_path: Path) -> None:
    """Scene i is baked at the camera that picture i is drawn by, whether drawn at once, later, or from its latents."""
    base = ["sample", splat_gan, "--num", 2, "--cameras", "prior", "--device", "cpu"]
    assert g3d(*base, "--render", tmp_path / "at-once").code == 0
    assert g3d(*base, "--out", tmp_path / "scenes", "--latents", tmp_path / "codes.safetensors").code == 0
    later = ["--cameras", "prior", "--device", "cpu"]
    assert g3d("render", tmp_path / "scenes", *later, "--out", tmp_path / "later").code == 0
    decoded = g3d("decode", splat_gan, tmp_path / "codes.safetensors", *later, "--render", tmp_path / "decoded")
    assert decoded.code == 0, decoded.err
    a, b = (scene(tmp_path / "scenes" / f"00000{i}.safetensors").world for i in range(2))
    assert a.condition_camera != b.condition_camera and a.camera_prior is not None
    drawn_by = a.camera_prior.sample(0, [1], "new camera").c2w.flatten().tolist()
    assert b.condition_camera is not None and b.condition_camera[:16] == pytest.approx(drawn_by)
    for name in ("000000.png", "000001.png"):
        wanted = (tmp_path / "at-once" / name).read_bytes()
        assert (tmp_path / "later" / name).read_bytes() == wanted == (tmp_path / "decoded" / name).read_bytes()
    codes = artifacts.read(tmp_path / "codes.safetensors", "latents")
    assert codes.config["space"] == "w+" and codes.values["condition_camera"].shape == (2, 25)


def test_a_scene_does_not_depend_on_its_company(splat_gan: Path, sampled: Path, tmp_path: Path) -> None:
    assert g3d("sample", splat_gan, "--seeds", 1, "--out", tmp_path / "one", "--device", "cpu").code == 0
    one, two = scene(tmp_path / "one" / "000001.safetensors"), scene(sampled / "000001.safetensors")
    torch.testing.assert_close(one.means, two.means, atol=1e-5, rtol=0)
    assert (
        g3d("sample", splat_gan, "--num", 2, "--truncation", 0, "--out", tmp_path / "mean", "--device", "cpu").code == 0
    )
    means = [scene(tmp_path / "mean" / f"00000{i}.safetensors").means for i in range(2)]
    torch.testing.assert_close(means[0], means[1], atol=1e-6, rtol=0)


def test_anchors_are_scenes_of_their_own(splat_gan: Path, tmp_path: Path) -> None:
    words = ["sample", splat_gan, "--num", 1, "--set", "anchors=true", "--out", tmp_path / "a", "--device", "cpu"]
    assert g3d(*words).code == 0
    found = scene(tmp_path / "a" / "000000.safetensors")
    assert found.means.shape[1] == 16 + 64 and found.background is not None and not found.background.any()


def test_statistics_of_levels(sampled: Path, pipeline: Pipeline) -> None:
    """By hand, over both scenes; the background apart."""
    found = g3d("info", sampled, "--levels", "--json").json
    both = [scene(sampled / f"00000{i}.safetensors") for i in range(2)]
    for level, count in ((0, 16), (1, 64), (2, 256)):
        of_level = []
        for one in both:
            assert one.level is not None and one.background is not None
            of_level.append(one.log_scales[0][(one.level[0] == level) & (one.background[0] == 0)])
        assert found[f"mean_log_scale_level_{level}"] == pytest.approx(float(torch.cat(of_level).mean()), abs=1e-3)
        assert found[f"gaussians_level_{level}"] == count
    assert found["scenes"] == 2 and found["gaussians_all"] == 336 and found["gaussians_background"] == 500
    refused(g3d("info", pipeline.scenes, "--levels"), "holds no 3D Gaussians")


def drawn(scenes: Path, out: Path, *pairs: str) -> Tensor:
    words = [
        "render",
        scenes / "000000.safetensors",
        "--out",
        out,
        "--size",
        32,
        "--overwrite",
        "--alpha",
        "--device",
        "cpu",
    ]
    found = g3d(*words, *(word for pair in pairs for word in ("--set", pair)))
    assert found.code == 0, found.err
    masks = sorted((out / "masks").glob("*.png"))
    return torch.from_numpy(np.array(images.read_image(masks[0]))).float()[..., 0]


def test_parts_of_a_scene_are_drawn(sampled: Path, tmp_path: Path) -> None:
    """Levels, without the background, smaller or opaque Gaussians, positions as points: all change what is covered."""
    out = tmp_path / "d"
    whole, front = drawn(sampled, out), drawn(sampled, out, "backdrop=off")
    assert front.sum() < whole.sum()
    coarse = drawn(sampled, out, "backdrop=off", "levels=0")
    both = drawn(sampled, out, "backdrop=off", "levels=0,1-2")
    assert coarse.sum() < both.sum() and torch.equal(both, front)
    assert drawn(sampled, out, "backdrop=off", "scale_modifier=0.3").sum() < 0.8 * front.sum()
    assert drawn(sampled, out, "backdrop=off", "opacity_one=true").sum() > front.sum()
    points = drawn(sampled, out, "backdrop=off", "point_radius=0.02")
    assert points.max() > 250 and points.sum() > 0
    refused(g3d("render", sampled, "--set", "levels=7", "--out", tmp_path / "x"), "levels 0 to 2")
    refused(g3d("render", sampled, "--set", "levels=a", "--out", tmp_path / "x"), "list of levels")


def test_levels_of_a_scene_without_any(tmp_path: Path, sampled: Path) -> None:
    from dataclasses import replace

    from g3d.scenes.scene_file import save_scene

    save_scene(tmp_path / "s.safetensors", replace(scene(sampled / "000000.safetensors"), level=None, background=None))
    refused(
        g3d("render", tmp_path / "s.safetensors", "--set", "levels=0", "--out", tmp_path / "x"), "records no levels"
    )


def test_a_scene_becomes_a_splat_file_and_a_path_of_scenes(splat_gan: Path, sampled: Path, tmp_path: Path) -> None:
    found = g3d("export-ply", sampled / "000000.safetensors", "--as", "splats", "--out", tmp_path / "ply")
    assert found.code == 0, found.err
    back = g3d("import-ply", next((tmp_path / "ply").glob("*.ply")), "--out", tmp_path / "back.safetensors")
    assert back.code == 0, back.err
    count = scene(tmp_path / "back.safetensors").means.shape[1]
    assert count == scene(sampled / "000000.safetensors").means.shape[1] == 336 + 500
    words = ["sample", splat_gan, "--num", 2, "--latents", tmp_path / "c.safetensors", "--device", "cpu"]
    assert g3d(*words).code == 0
    path = ["edit", "interpolate", tmp_path / "c.safetensors", "--steps", 3, "--out", tmp_path / "p.safetensors"]
    assert g3d(*path).code == 0
    decoded = g3d("decode", splat_gan, tmp_path / "p.safetensors", "--out", tmp_path / "s", "--device", "cpu")
    assert decoded.code == 0 and len(list((tmp_path / "s").glob("*.safetensors"))) == 3, decoded.err


def test_cameras_without_pictures_mean_nothing_to_other_methods(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--num", 1]
    refused(g3d(*base, "--cameras", "prior", "--out", tmp_path / "s"), "add --render")


def public_state() -> dict[str, Tensor]:
    """A small state under the public names, from our own random weights."""
    config = g.Config(
        z_dim=8, w_dim=8, points=8, channels=(16, 16, 8), transformers=1, heads=8, modulated=2, background_points=6,
        background_channels=8, camera_channels=4, table="middle",
    )  # fmt: skip
    state = Generator(config).state_dict()
    blocks = [f"block_{4 << i}" for i in range(3)]
    named = {theirs: state[ours] for ours, theirs in official.name_pairs(config, blocks).items()}
    shaped = {}
    for name, value in named.items():
        value = value[:, :, None, None] if ".conv_" in name and name.endswith("weight") else value
        value = value[:, :, None] if name.endswith("const_pe.const_pe") else value
        shaped[name] = (value[None, None] if name.endswith("layerscale") else value).clone()
    shaped["point_gen.scale_init"] = torch.zeros(3)  # buffers that nothing needs
    return shaped


def test_a_checkpoint_of_the_public_code_is_imported_and_sampled(tmp_path: Path) -> None:
    write_snapshot(tmp_path / "network.pkl", public_state())
    save_file(public_state(), tmp_path / "state.safetensors")
    for source, out in (("network.pkl", "a"), ("state.safetensors", "b")):
        done = g3d("import-checkpoint", "gsgan", tmp_path / source, "--size", 32, "--out", tmp_path / out)
        assert done.code == 0, done.err
    a, b = (artifacts.read(tmp_path / n / "model.safetensors", "model") for n in ("a", "b"))
    assert a.digest == b.digest
    world = a.config["world"]
    assert (
        world["fixed_fov_deg"] == pytest.approx(22.5533, abs=1e-4)
        and world["negate_tx"]
        and world["background"] == [0, 0, 0]
    )
    at_default = camera_conditioning(CameraPrior.from_json(world["camera_prior"], "test").default())[0]
    assert at_default[16] == pytest.approx(4.2647) and at_default[18] == 0.5  # what the mapping was trained on
    assert a.config["settings"]["table"] == "middle" and a.config["settings"]["channels"] == [16, 16, 8]
    shown = g3d(
        "sample", tmp_path / "a", "--num", 2, "--cameras", "prior", "--render", tmp_path / "i", "--device", "cpu"
    )
    assert shown.code == 0 and len(list((tmp_path / "i").glob("*.png"))) == 2, shown.err
    words = ["import-checkpoint", "gsgan", tmp_path / "network.pkl", "--size", 32, "--out", tmp_path / "c"]
    plain = g3d(*words, "--set", "fixed_fov_deg=0", "--set", "negate_tx=false")
    assert plain.code == 0, plain.err
    world = artifacts.header(tmp_path / "c" / "model.safetensors").config["world"]
    assert (
        "fixed_fov_deg" not in world
        and not world["negate_tx"]
        and world["camera_prior"]["fov_deg"] == pytest.approx(13.37, abs=0.01)
    )


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    state = public_state()
    base = ["import-checkpoint", "gsgan", tmp_path / "s.safetensors", "--out", tmp_path / "m"]
    save_file({"a": torch.zeros(1)}, tmp_path / "s.safetensors")
    refused(g3d(*base), "holds no generator of GSGAN")
    save_file({**state, "point_gen.more": torch.zeros(1)}, tmp_path / "s.safetensors")
    refused(g3d(*base, "--size", 32), "'point_gen.more' that is not known")
    save_file(
        {n: v for n, v in state.items() if n != "point_gen.blocks.block_8.0.ls.weight"}, tmp_path / "s.safetensors"
    )
    refused(g3d(*base, "--size", 32), "lacks the tensor 'point_gen.blocks.block_8.0.ls.weight'")
    save_file(state, tmp_path / "s.safetensors")
    refused(g3d(*base), "3 levels", "give --size")
    base += ["--size", 32]
    refused(g3d(*base, "--set", "table=linear"), "have table=middle")
    refused(g3d(*base, "--set", "points=99"), "have points=8; leave --set points=99 out")
    refused(g3d(*base, "--set", "negate=1"), "no setting 'negate'")
    assert not (tmp_path / "m").exists()


def test_profile_counts_gaussians() -> None:
    found = g3d("profile", "gsgan", "--preset", "smoke", "--size", 8, "--repeats", 1, "--json", "--device", "cpu")
    assert found.code == 0, found.err
    assert found.json["gaussians"] == 336 and found.json["background_gaussians"] == 0


def test_cameras_that_give_no_scene_one_of_its_own(splat_gan: Path, sampled: Path, tmp_path: Path) -> None:
    """Refused where nothing is drawn; where it is, scenes are baked at the default camera."""
    base = ["sample", splat_gan, "--num", 1, "--device", "cpu"]
    for words in ("orbit:4", "far"):
        refused(g3d(*base, "--cameras", words, "--out", tmp_path / "s"), words, "use prior or dataset:DIR")
        refused(g3d(*base, "--cameras", words, "--out", tmp_path / "s", "--dry-run"), words)
    refused(g3d(*base, "--cameras", "pror", "--out", tmp_path / "s"), "did you mean 'prior'")
    drawn = ["--cameras", "far", "--out", tmp_path / "s", "--render", tmp_path / "i"]
    assert g3d(*base, *drawn).code == 0
    far, near = (scene(path / "000000.safetensors").world for path in (tmp_path / "s", sampled))
    assert far.condition_camera == near.condition_camera


def test_a_model_without_anchors_has_none_to_show(pipeline: Pipeline, tmp_path: Path) -> None:
    settings = [word for pair in ("anchors=false", "kimg=0.004", "background=true") for word in ("--set", pair)]
    fitted = ["fit-stage1", "gsgan", "--data", pipeline.data, "--preset", "smoke", *settings, "--out", tmp_path / "run"]
    assert g3d(*fitted, "--device", "cpu").code == 0
    base = ["sample", tmp_path / "run", "--num", 1, "--device", "cpu"]
    refused(g3d(*base, "--set", "anchors=true", "--out", tmp_path / "a"), "has no anchors", "leave anchors out")
    assert not (tmp_path / "a").exists()
    # the background was not drawn yet when this training ended, so it is not drawn now
    assert g3d(*base, "--out", tmp_path / "s").code == 0
    found = scene(tmp_path / "s" / "000000.safetensors")
    assert found.background is not None and not found.background.any() and found.means.shape[1] == 336


def test_a_model_without_cameras_is_refused(splat_gan: Path, tmp_path: Path) -> None:
    """Its scenes are baked at a camera of its own; a file that records none is not ours."""
    file = artifacts.read(splat_gan / "model.safetensors", "model")
    about = {**file.config, "world": {**file.config["world"], "camera_prior": None}}
    artifacts.write(tmp_path / "m.safetensors", "model", file.values, about)
    words = ["sample", tmp_path / "m.safetensors", "--num", 1, "--out", tmp_path / "s", "--device", "cpu"]
    refused(g3d(*words), "records no cameras", "fit or import it again")
