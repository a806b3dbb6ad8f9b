"""`g3d eval-recon` and `eval-identity` on faces: boxes as regions, subjects, two sets in pairs, the floor, input pictures."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import g3d, refused
from face_pictures import CAMERAS, EXPRESSIONS, FACE, HELD_OUT, PAIR, PEOPLE, SIZE, pictures, write_drawn, write_faces
from g3d import latents
from g3d.evaluation.identity import pixel_embedder
from g3d.latents import Latents, LatentSpace, Part
from g3d.steps import eval_identity
from g3d.steps.eval_recon import Options, run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any, Path]:
    """True pictures, two drawn sets (the second one is worse), and the folder of all three."""
    root = tmp_path_factory.mktemp("recon")
    true, rng = pictures(), np.random.default_rng(1)
    drawn = [np.clip(true + rng.normal(0, sigma, true.shape), 0, 255).astype(np.uint8) for sigma in (8, 16)]
    write_faces(root / "data", true)
    write_drawn(root / "a", drawn[0])
    write_drawn(root / "b", drawn[1])
    return true, drawn[0], drawn[1], root


def db(a: Any, b: Any) -> float:
    return float(-10 * np.log10((((a.astype(float) - b) / 255) ** 2).mean()))


def test_means_and_deviations_over_subjects(made: tuple[Any, Any, Any, Path]) -> None:
    true, drawn, _, root = made
    found = run(Options(root / "data", root / "a", by="subject", masks=True, device="cpu"))
    by_subject = []
    for who in range(PEOPLE):
        pairs = [(true[who, e, c, 3:36, 6:35], drawn[who, e, c, 3:36, 6:35]) for e in range(3) for c in range(CAMERAS)]
        by_subject.append(np.mean([db(a, b) for a, b in pairs]))
    assert found["subjects"] == PEOPLE and found["psnr_db_over_subjects"] == pytest.approx(np.mean(by_subject))
    assert found["psnr_db_over_subjects_std"] == pytest.approx(np.std(by_subject))
    assert 0 < found["ssim_over_subjects_std"] < 0.1
    refused(g3d("eval-recon", root / "data", root / "a", "--by", "sex"), "--by 'sex' is unknown")
    refused(
        g3d("eval-recon", root / "data", root / "a", "--by", "class"), "no label 'class'", "object, subject, expression"
    )
    refused(g3d("eval-recon", root / "a", root / "a", "--by", "subject"), "needs a true dataset")


def test_the_face_of_each_view_as_region(made: tuple[Any, Any, Any, Path]) -> None:
    true, drawn, _, root = made
    rows, columns = slice(4, math.ceil(FACE[3])), slice(math.floor(FACE[0]), 33)
    found = run(Options(root / "data", root / "a", region="face", device="cpu"))
    wanted = [
        db(x[rows, columns], y[rows, columns])
        for x, y in zip(*(s.reshape(-1, SIZE, SIZE, 3) for s in (true, drawn)), strict=True)
    ]
    assert found["psnr_db"] == pytest.approx(np.mean(wanted)) and found["region"] == "face"
    refused(g3d("eval-recon", root / "a", root / "a", "--region", "face"), "no face_box in its labels")
    refused(
        g3d("eval-recon", root / "data", root / "a", "--region", "eye"), "'eye' is not understood", "or face or mouth"
    )


def test_gradient_energy_in_a_mask_without_its_rim(made: tuple[Any, Any, Any, Path]) -> None:
    true, drawn, _, root = made
    found = run(Options(root / "data", root / "a", masks=True, erode=4, device="cpu"))
    inside = np.zeros((SIZE, SIZE), bool)
    inside[7:32, 10:31] = True  # the mask is [3:36, 6:35]
    energy = {"true": 0.0, "test": 0.0}
    for name, side in (("true", true), ("test", drawn)):
        for picture in side.reshape(-1, SIZE, SIZE, 3).astype(float) / 255:
            for y in range(SIZE):
                for x in range(SIZE):
                    for dy, dx in ((0, 1), (1, 0)):
                        if y + dy < SIZE and x + dx < SIZE and inside[y, x] and inside[y + dy, x + dx]:
                            energy[name] += float(np.square(picture[y + dy, x + dx] - picture[y, x]).sum())
    assert found["gradient_energy"] == pytest.approx(energy["test"] / energy["true"]) and found["mask"].endswith(
        "4 px of its rim left out"
    )
    kept = [
        db(x[7:32, 10:31], y[7:32, 10:31])
        for x, y in zip(*(s.reshape(-1, SIZE, SIZE, 3) for s in (true, drawn)), strict=True)
    ]
    assert found["psnr_db"] == pytest.approx(np.mean(kept))
    refused(g3d("eval-recon", root / "data", root / "a", "--erode", 4), "--erode 4", "with --masks or --mask")
    refused(g3d("eval-recon", root / "data", root / "a", "--masks", "--erode", 20, "--device", "cpu"), "covers nothing")


def test_two_sets_pair_by_pair(made: tuple[Any, Any, Any, Path]) -> None:
    true, first, second, root = made
    found = run(Options(root / "data", root / "a", by="subject", against=root / "b", device="cpu"))
    each = np.array([
        [db(true[w, e, c], first[w, e, c]) - db(true[w, e, c], second[w, e, c]) for e in range(3) for c in range(CAMERAS)]
        for w in range(PEOPLE)
    ])  # fmt: skip
    row = found["differences"]["psnr_db"]
    assert row["difference"] == pytest.approx(each.mean()) and row["std"] == pytest.approx(each.std())
    assert (
        row["error"] == pytest.approx(each.mean(1).std(ddof=1) / math.sqrt(PEOPLE))
        and row["error_over"] == "4 subjects"
    )
    assert row["larger_share"] == 1 and found["differences"]["mse"]["larger_share"] == 0
    alone = run(Options(root / "data", root / "a", against=root / "b", device="cpu"))["differences"]["psnr_db"]
    assert alone["error"] == pytest.approx(each.std(ddof=1) / 6) and alone["error_over"] == "36 pairs"
    same = run(Options(root / "data", root / "a", against=root / "a", device="cpu"))["differences"]["ssim"]
    assert same["difference"] == 0 == same["error"]


def test_the_floor_stands_beside_the_figures(made: tuple[Any, Any, Any, Path]) -> None:
    true, _, _, root = made
    found = run(Options(root / "data", root / "a", device="cpu"))
    trained = [(w, e) for w in range(PEOPLE) for e in range(3) if w != HELD_OUT and (w, e) != PAIR]
    mean = np.rint(np.mean([true[k].astype(float) for k in trained], axis=0)).astype(np.uint8)
    wanted = [db(true[w, e, c], mean[c]) for w in range(PEOPLE) for e in range(3) for c in range(CAMERAS)]
    assert found["floor_psnr_db"] == pytest.approx(np.mean(wanted)) and 0 < found["floor_ssim"] < found["ssim"]
    assert "floor" not in run(Options(root / "a", root / "b", device="cpu"))


def test_identity_of_novel_views_against_the_input_picture(made: tuple[Any, Any, Any, Path]) -> None:
    """The cosine of each view with the first view of its object, by landmarks of its own; the input itself is left out."""
    true, drawn, _, root = made
    found = eval_identity.run(eval_identity.Options(root / "data", root / "a", "pixels", input_view=0, device="cpu"))
    embedder = pixel_embedder()
    marks = np.stack([np.full(2, 20.0) + k * 0.1 for k in range(68)])
    wanted = []
    for who in range(PEOPLE):
        for e in range(3):
            for camera in (1, 2):
                crops = [embedder.crop(true[who, e, 0], marks), embedder.crop(drawn[who, e, camera], marks)]
                a, b = (torch.as_tensor(v).double() for v in embedder.embed(crops))
                wanted.append(float(a @ b / a.norm() / b.norm()))
    assert found["n"] == 24 and found["pixel_cosine"] == pytest.approx(np.mean(wanted), abs=1e-5)
    assert found["input_view"] == 0 and found["alignment"].startswith("5 points")
    test = eval_identity.run(
        eval_identity.Options(root / "data", root / "data", "pixels", split="test", input_view=0, device="cpu")
    )
    assert test["n"] == 12  # the input is of the other split, and found all the same
    with_itself = eval_identity.run(
        eval_identity.Options(root / "data", root / "data", "pixels", split="test", device="cpu")
    )
    assert with_itself["pixel_cosine"] == pytest.approx(1) and test["pixel_cosine"] < 0.9
    words = ("eval-identity", root / "data", root / "a", "--network", "pixels")
    refused(g3d(*words, "--input-view", 3), "has 3 views, 0 to 2")
    refused(g3d(*words, "--input-view", -1), "--input-view -1 is no view")


def test_identity_against_the_view_that_encode_wrote_down(made: tuple[Any, Any, Any, Path], tmp_path: Path) -> None:
    """Another view of each object; the fit is judged on these views alone, by eval-recon and by eval-identity."""
    true, drawn, _, root = made
    objects = [(who, e) for who in range(PEOPLE) for e in range(3)]
    seen = {f"person-{who}/{EXPRESSIONS[e]}": [3 * (3 * who + e) + (who + e) % 3] for who, e in objects}
    path = tmp_path / "e.safetensors"
    space, about = LatentSpace("toy", {"codes": Part((1,))}), {"input_views": seen}
    latents.write(path, Latents(space, {"codes": torch.zeros(len(seen), 1)}, list(seen), about=about))
    for who, e in objects:
        write_drawn(tmp_path / "drawn" / f"{3 * who + e:06d}", drawn[who, e])
    embedder, marks = pixel_embedder(), np.stack([np.full(2, 20.0) + k * 0.1 for k in range(68)])

    def cosine(who: int, e: int, camera: int, of: int) -> float:
        crops = [embedder.crop(true[who, e, of], marks), embedder.crop(drawn[who, e, camera], marks)]
        a, b = (torch.as_tensor(v).double() for v in embedder.embed(crops))
        return float(a @ b / a.norm() / b.norm())

    words = {"drawn_from": path, "device": "cpu"}
    found = eval_identity.run(
        eval_identity.Options(root / "data", tmp_path / "drawn", "pixels", input_view=f"latents:{path}", **words)
    )
    wanted = [cosine(w, e, c, (w + e) % 3) for w, e in objects for c in range(3) if c != (w + e) % 3]
    assert found["n"] == 24 and found["pixel_cosine"] == pytest.approx(np.mean(wanted), abs=1e-5)
    fit = eval_identity.run(eval_identity.Options(root / "data", tmp_path / "drawn", "pixels", inputs=True, **words))
    wanted = [cosine(w, e, (w + e) % 3, (w + e) % 3) for w, e in objects]
    assert fit["n"] == 12 and fit["pixel_cosine"] == pytest.approx(np.mean(wanted), abs=1e-5)
    recon = run(Options(root / "data", tmp_path / "drawn", inputs=True, **words))
    wanted = [db(true[w, e, (w + e) % 3], drawn[w, e, (w + e) % 3]) for w, e in objects]
    assert recon["n"] == 12 and recon["psnr_db"] == pytest.approx(np.mean(wanted)) and recon["inputs"] is True


def test_one_item_that_was_drawn_alone_has_no_folder(made: tuple[Any, Any, Any, Path], tmp_path: Path) -> None:
    """As render and decode lay its views down."""
    true, drawn, _, root = made
    space = LatentSpace("toy", {"codes": Part((1,))})
    latents.write(tmp_path / "e.safetensors", Latents(space, {"codes": torch.zeros(1, 1)}, ["person-2/grin"]))
    write_drawn(tmp_path / "drawn", drawn[2, 1])
    found = run(Options(root / "data", tmp_path / "drawn", drawn_from=tmp_path / "e.safetensors", device="cpu"))
    wanted = [db(true[2, 1, c], drawn[2, 1, c]) for c in range(CAMERAS)]
    assert found["n"] == 3 and found["psnr_db"] == pytest.approx(np.mean(wanted))


def test_views_that_nobody_wrote_down_are_refused(made: tuple[Any, Any, Any, Path], tmp_path: Path) -> None:
    *_, root = made
    path, space = tmp_path / "e.safetensors", LatentSpace("toy", {"codes": Part((1,))})
    words = ("eval-identity", root / "data", root / "a", "--network", "pixels")
    refused(g3d(*words, "--input-view", "first"), "give a number, or latents:FILE")
    refused(g3d(*words, "--inputs"), "give --drawn-from FILE")
    latents.write(path, Latents(space, {"codes": torch.zeros(1, 1)}, ["person-0/neutral"]))
    refused(g3d(*words, "--input-view", f"latents:{path}"), "does not say which views")
    for views, sentence in (([1], "do not say which views 'person-0/grin'"), ([4], "which are others'")):
        about = {"input_views": {"person-0/neutral": views}}
        latents.write(path, Latents(space, {"codes": torch.zeros(1, 1)}, ["person-0/neutral"], about=about))
        refused(g3d(*words, "--input-view", f"latents:{path}"), sentence)


def test_identity_in_folders_takes_the_folder_as_the_object(made: tuple[Any, Any, Any, Path], tmp_path: Path) -> None:
    true, drawn, _, _ = made
    for name, found in (("x", true), ("y", drawn)):
        for who in range(2):
            write_drawn(tmp_path / name / f"{who:06d}", found[who, 0])
    result = eval_identity.run(
        eval_identity.Options(tmp_path / "x", tmp_path / "y", "pixels", input_view=1, device="cpu")
    )
    assert result["n"] == 4
    one = tmp_path / "one"
    write_drawn(one / "000000", true[0, 0, :1])
    refused(g3d("eval-identity", one, one, "--network", "pixels", "--input-view", 0), "are the input view 0")
