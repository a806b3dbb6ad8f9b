"""Recipes: every command that they type is one that g3d takes, its settings have an effect, and it says what the paper asks."""

from pathlib import Path

import pytest
from g3d.errors import G3dError
from g3d.methods import settings_of
from recipe_words import Ran, check, parsed, run, table


def test_gsgan_is_trained_and_judged_as_the_paper_does(tmp_path: Path) -> None:
    """FID-50k-full with TensorFlow's resizer; 0 kimg, too; mirrored pictures as EG3D's scripts leave them; times, figure 13."""
    found = run("gsgan-afhq256.sh", tmp_path, "in", "out", fitted="gsgan", PHOTOS="photos")
    start, fit = found.of("fit_stage1")
    assert start.has("--set", "kimg=0") and fit.has("--preset", "afhq256") and fit.has("--checkpoint-every", "2000")
    ended, begun = sorted(found.of("eval_fid"), key=lambda one: not one.has("--protocol", "fid50k"))
    assert ended.has("--resize", "legacy_tensorflow") and begun.has("--resize", "legacy_tensorflow")
    assert all(one.options["mirror"] is None for one in found.of("prepare_data"))
    (consistency,) = found.of("eval_consistency")
    (views,) = (one for one in found.of("render") if one.options["out"].name == "consistency-views")
    assert (
        consistency.options["mask"] == "object" and views.options["drawing"].cameras == consistency.options["cameras"]
    )
    (profile,) = found.of("profile")
    assert profile.has("--sizes", "256,512") and (found.folder / "out/figures/table-1-times.json").is_file()
    assert found.of("encode")[0].has("--set", "camera=found")
    assert found.of("encode")[0].options["data"] == Path("photos")


def test_gsgan_mirrors_only_where_it_is_asked(tmp_path: Path) -> None:
    """And for the authors' weights nothing is trained; without Inception's file there are figures of other names."""
    found = run("gsgan-ffhq512.sh", tmp_path, "in", fitted="gsgan", MIRROR="1", WEIGHTS="network.pkl", NO_INCEPTION="1")
    assert found.of("prepare_data")[0].options["mirror"] is True
    assert not found.of("fit_stage1") and len(found.of("import_checkpoint")) == 1
    assert [one.options["extractor"] for one in found.of("eval_fid")] == ["inception", "efficientnet"]


@pytest.mark.parametrize("recipe", ["gsgan-ffhq256.sh", "gsgan-afhq512.sh"])
def test_the_other_sets_of_gsgan(recipe: str, tmp_path: Path) -> None:
    found = run(recipe, tmp_path, "in", fitted="gsgan")
    assert found.of("fit_stage1")[1].options["preset"] == recipe.removeprefix("gsgan-").removesuffix(".sh")


def test_hypernerfgan_low_memory_baseline(tmp_path: Path) -> None:
    """Table 3: FID-1k at 0 kimg and at the end, on the way, too; eq. 11 in z, ours in w; chairs with gamma 1."""
    found = run("hypernerfgan-shapenet.sh", tmp_path, "chairs", "in", "out", fitted="hypernerfgan", LOW_MEMORY="1")
    for one in found.of("fit_stage1"):
        settings = settings_of("hypernerfgan", one.options["preset"], list(one.options["settings"]))
        assert (settings.r1_gamma, settings.patch_size, settings.augment_p) == (1.0, 32, 0.5)
    fids = found.of("eval_fid")
    assert [one.options["out"].name for one in fids] == ["fid-start.json", "fid-000100.json", "fid-end.json"]
    assert all(one.has("--protocol", "fid1k") and one.has("--resize", "legacy_tensorflow") for one in fids)
    assert [one.options["latents"].name for one in found.of("edit")] == ["z.safetensors", "w.safetensors"]
    assert any(one.has("--set", "space=z") for one in found.of("sample"))
    public = run("hypernerfgan-shapenet.sh", tmp_path, "chairs", "in", "two", fitted="hypernerfgan")
    assert public.of("fit_stage1")[1].options["preset"] == "shapenet-chairs"


def test_hypernerfgan_on_carla_and_on_cars(tmp_path: Path) -> None:
    found = run("hypernerfgan-carla.sh", tmp_path, "in", fitted="hypernerfgan", EXTRACTOR="random")
    assert {one.options["preset"] for one in found.of("fit_stage1")} == {"t4"}
    assert {one.options["extractor"] for one in found.of("eval_fid")} == {"random"}
    cars = run("hypernerfgan-cars.sh", tmp_path, "procedural", fitted="hypernerfgan")
    assert cars.of("eval_fid")[0].has("--extractor", "efficientnet")
    assert run("gsgan-cars.sh", tmp_path, "procedural", fitted="gsgan").of("eval_fid")[0].has("--split", "train")


def best_is_used(found: Ran) -> None:
    """What is judged is the best model of the run (A.2), which checkpoints make."""
    (fit,) = found.of("fit_stage1")
    assert fit.options["checkpoint_every"] > 0
    used = {one.options["model"] for name in ("encode", "decode", "sample") for one in found.of(name)}
    assert used == {fit.options["out"] / "best"}


def test_mnif_on_celebahq(tmp_path: Path) -> None:
    found = run("mnif-celebahq64.sh", tmp_path, "in", "list.txt", "out", fitted="mnif")
    best_is_used(found)
    assert [one.options["out"].name for one in found.of("eval_fid")] == [
        "rfid_train.json",
        "rfid_test.json",
        "fid.json",
    ]
    assert all(one.has("--resize", "clean") for one in found.of("eval_fid"))
    sheets = {one.options["out"].name for one in found.of("sheet")}
    assert sheets == {"figure-2a-5a-samples.png"} and len(found.of("edit")) == 3
    assert found.of("profile")[0].options["similarity"].name == "figure-4-similarity.png"


def test_mnif_on_shapenet(tmp_path: Path) -> None:
    found = run("mnif-shapenet64.sh", tmp_path, "in", "out", "s", fitted="mnif")
    best_is_used(found)
    grids, sets = found.of("eval_shapes")
    assert grids.options["grids"] and sets.has("--skip-empty") and sets.has("--no-one-nn")
    assert found.of("profile")[0].options["grid"] == 64
    assert [one.options["items"] for one in found.of("edit")] == ["0,1,2,3", "0,9000,18000,27000"]


def test_mnif_on_srn_cars(tmp_path: Path) -> None:
    """A.1.3: every sample from the 251 views of the test split, which rendering one of its objects writes down."""
    found = run("mnif-srncars.sh", tmp_path, "in", "out", fitted="mnif")
    best_is_used(found)
    views = next(one for one in found.of("decode") if one.has("--cameras", "dataset:out/data:test"))
    assert views.options["items"] == "0" and views.has("--render", "out/test_views")
    judged = next(one for one in found.of("sample") if one.has("--num", "704"))
    assert judged.has("--cameras", "file:out/test_views/transforms.json")
    assert any(one.has("--cameras", "spiral:9") and one.has("--num", "25") for one in found.of("sample"))  # figure 6


def test_mnif_on_cifar10(tmp_path: Path) -> None:
    found = run("mnif-cifar10.sh", tmp_path, "in", "list.txt", fitted="mnif")
    best_is_used(found)
    assert [one.options["kind"] for one in found.of("fit_prior")] == ["interpolation", "diffusion"]


@pytest.mark.parametrize("recipe", ["mnif-flowers.sh", "mnif-cars.sh", "mnif-cars-voxels.sh"])
def test_our_own_sets_of_mnif(recipe: str, tmp_path: Path) -> None:
    run(recipe, tmp_path, "in", fitted="mnif")


def test_the_other_recipes(tmp_path: Path) -> None:
    """Those of no special protocol, whose words and settings are read all the same."""
    demo = run("demo.sh", tmp_path, "demo", fitted="mnif")
    assert demo.of("sample")[0].options["out"] == Path("demo/scenes") and demo.said.endswith("g3d view demo/scenes\n")
    for recipe in ("vq3d-compcars.sh", "vq3d-imagenet.sh"):
        out = recipe.partition(".")[0]
        found = run(recipe, tmp_path, "in", "estimator.pt", out, fitted="vq3d", HELD_OUT="val", HOW="--top-k 100")
        assert [one.options["num"] for one in found.of("sample")] == [50000, 1000]
        assert all("top_k=100" in one.options["settings"] or one.has("--top-k", "100") for one in found.of("sample"))
        assert found.of("eval_fid")[-1].has(f"{out}/held_out", f"{out}/reconstructed")


def test_the_ablations_of_hypernerfgan_print_fid(tmp_path: Path) -> None:
    found = run("ablations/hypernerfgan.sh", tmp_path, "data", "out", "0", fitted="hypernerfgan")
    rows = {one.options["out"].parent.name: one for one in found.of("fit_stage1")}
    assert list(rows) == ["baseline", "start", "few-samples", "small-patch", "no-augment", "half-gamma"]
    settings = {n: settings_of("hypernerfgan", "t4", list(one.options["settings"])) for n, one in rows.items()}
    assert (settings["baseline"].augment_p, settings["no-augment"].augment) == (0.5, "none")
    assert settings["half-gamma"].r1_gamma == 0.5 and settings["start"].kimg == 0
    assert all(one.has("--num", "1000") for one in found.of("sample"))
    assert (
        "| fid |" in table(found)
        and "_std" not in table(found)
        and "table 4, fid" in table(found)
        and "loss_spread" in table(found)
    )
    other = run("ablations/hypernerfgan.sh", tmp_path, "data", "out2", "0", fitted="hypernerfgan", EXTRACTOR="random")
    assert {one.options["extractor"] for one in other.of("eval_fid")} == {"random"}
    assert "kernel_random" in (other.folder / "out2/table.md").read_text()


def test_the_ablations_of_gsgan_print_fid(tmp_path: Path) -> None:
    found = run("ablations/gsgan.sh", tmp_path, "data", "out", "0", fitted="gsgan")
    assert len(found.of("fit_stage1")) == 6 and len(found.of("eval_fid")) == 6
    assert "table 3, fid" in table(found)
    (compared,) = found.of("compare")
    assert len(compared.options["runs"]) == 6 and compared.options["curves"] == ["fake_logit", "fake_logit_std"]
    assert set(compared.options["runs"]) == {one.options["out"] for one in found.of("fit_stage1")}


def test_the_ablations_of_mnif_small(tmp_path: Path) -> None:
    found = run("ablations/mnif.sh", tmp_path, "in", "out", "0", fitted="mnif", PSNR_ONLY="1", EPOCHS="0.5")
    rows = {one.options["out"].parent.name for one in found.of("fit_stage1")}
    assert {"latent", "shared", "layer", "m4", "m16", "h1024", "autodecode", "inner5", "epochs3", "start_even"} <= rows
    assert any(one.has("--set", "epochs=1.5") for one in found.of("fit_stage1"))
    assert not found.of("eval_fid") and len(found.of("encode")) == 1  # the held-out pictures of auto-decoding


@pytest.mark.parametrize(("extractor", "leads"), [("efficientnet", "kernel_efficientnet"), ("auto", "fid")])
def test_the_ablations_of_mnif_judge_sets(extractor: str, leads: str, tmp_path: Path) -> None:
    """Reconstructions of training and held-out pictures, and in table 6 samples (generation over epochs)."""
    found = run("ablations/mnif.sh", tmp_path, "in", "out", "0", fitted="mnif", EXTRACTOR=extractor, TABLES="6")
    for name in (f"| r{leads} |", f"| r{leads}_test |", f"| {leads} |", "| rrecall_test |"):
        assert name in table(found)
    assert len(found.of("fit_prior")) == 3 and all(one.options["kind"] == "diffusion" for one in found.of("fit_prior"))


def test_the_ablations_of_mnif_at_the_sizes_of_the_paper(tmp_path: Path) -> None:
    """Tables 4 to 6: (L, W, M, H) and epochs."""
    more = {"PAPER": "1", "LIST": "list.txt", "PSNR_ONLY": "1"}
    found = run("ablations/mnif.sh", tmp_path, "in", "out", "0", fitted="mnif", **more)
    assert found.of("prepare_data")[0].options["size"] == 64
    rows = {
        one.options["out"].parent.name: settings_of("mnif", one.options["preset"], list(one.options["settings"]))
        for one in found.of("fit_stage1")
    }
    sizes = {n: (s.hidden_layers, s.width, s.bases, s.latent_dim) for n, s in rows.items()}
    assert {sizes[n] for n in ("m16", "latent", "m256", "m1024")} == {(2, 64, m, 256) for m in (16, 64, 256, 1024)}
    assert [sizes[f"h{h}"] for h in (256, 512, 1024)] == [(5, 128, 256, h) for h in (256, 512, 1024)]
    assert {n: rows[f"epochs{n}"].epochs for n in (400, 800, 1200)} == {400: 400, 800: 800, 1200: 1200}
    assert sizes["epochs800"] == (5, 128, 256, 512) and rows["inner5"].inner_steps == 5
    assert rows["m16"].latent_std == pytest.approx((3 / 16) ** 0.5, abs=1e-4)


def test_the_check_sees_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["eval-shapes", "a", "b", "--skip-emty"])
    wrong = parsed(["fit-stage1", "mnif", "--data", "d", "--set", "base=3", "--out", "o"])
    with pytest.raises(G3dError, match="did you mean"):
        check(wrong, "mnif")
    with pytest.raises(G3dError, match="unknown"):
        check(parsed(["render", "s", "--cameras", "spirall:3", "--out", "o"]), "mnif")
