"""`g3d decode`: latents to scenes, item by item; the item's own cameras."""

import json
from pathlib import Path

from commands import Pipeline, g3d, refused
from g3d import images
from g3d.cameras import read_transforms
from g3d.data.opening import open_dataset
from g3d.steps import decode, prepare_data, render
from g3d.storage import artifacts


def test_items_keep_their_numbers_and_names(pipeline: Pipeline, tmp_path: Path) -> None:
    decode.run(decode.Options(pipeline.model, pipeline.model, tmp_path / "s", items="1,3", device="cpu"))
    assert sorted(p.stem for p in (tmp_path / "s").glob("[!.]*")) == ["000001", "000003"]
    names = open_dataset(pipeline.data).object_names
    assert artifacts.header(tmp_path / "s" / "000003.safetensors").config["item"] == names[3]


def test_an_item_is_drawn_from_its_own_views(pipeline: Pipeline, tmp_path: Path) -> None:
    how = render.Drawing(cameras=f"dataset:{pipeline.data}:test")
    decode.run(
        decode.Options(pipeline.model, pipeline.model, None, "2", images=tmp_path / "i", drawing=how, device="cpu")
    )
    data = open_dataset(pipeline.data)
    assert data.cameras is not None
    found = read_transforms(tmp_path / "i" / "transforms.json")
    want = data.cameras[data.views(2, "test")]
    assert (found.c2w - want.c2w).abs().max() < 1e-6 and (found.intrinsics - want.intrinsics).abs().max() < 1e-4
    assert len(images.image_set(tmp_path / "i")) == 2
    # what the step's own figures say of the test views is what the pictures say
    assert images.read_image(tmp_path / "i" / "000000.png").shape == (24, 24, 3)
    judged = ("eval-recon", pipeline.data, tmp_path / "i", "--split", "test", "--device", "cpu", "--json")
    alone = g3d(*judged, "--drawn-from", pipeline.model, "--per-item", tmp_path / "alone.jsonl")
    assert alone.code == 0, alone.err
    names = [json.loads(line)["name"] for line in (tmp_path / "alone.jsonl").read_text().splitlines()]
    assert names == ["000002/000000", "000002/000001"]


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "s"]
    refused(g3d("decode", pipeline.model, pipeline.model), "nothing to write")
    refused(g3d("decode", pipeline.model, pipeline.model, "--items", "4", *out), "no item '4'", "choose from 0-3")
    refused(g3d("decode", pipeline.model, pipeline.model, "--items", "x", *out), "no item 'x'")
    refused(g3d("decode", pipeline.model, pipeline.prior, *out), "no latents.safetensors")
    refused(g3d("decode", pipeline.model, pipeline.model, "--set", "levels=2", *out), "no setting 'levels'")
    refused(g3d("decode", pipeline.model, pipeline.model, "--seed", 3, *out), "--seed", "add --render")
    refused(g3d("decode", pipeline.model, pipeline.model, "--fps", 3, *out), "--fps")
    assert not list(tmp_path.iterdir())


def test_an_item_without_views_in_the_split_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    """Rather than drawn from some other camera."""
    prepare_data.run(
        prepare_data.Options("procedural", "cars", tmp_path / "d", num=4, views=2, test_views=0, size=8, workers=1)
    )
    where = ["--render", tmp_path / "i", "--cameras", f"dataset:{tmp_path / 'd'}:test"]
    refused(g3d("decode", pipeline.model, pipeline.model, *where, "--device", "cpu"), "no views", "split 'test'")
    assert not (tmp_path / "i").exists()
