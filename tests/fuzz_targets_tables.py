"""Further sound inputs for `fuzz.py`: tables and arrays of other programs, refiners, drawn pictures, runs side by side."""

import json
import struct
from pathlib import Path

import h5py
import numpy as np
import torch
from commands import SHARED_DATA, g3d
from fuzz import Target
from g3d import images
from g3d.sources.faces import frames
from g3d.sources.faces.model import INDICES, PACKED
from g3d.sources.portraits.mean_face import MEAN_FACE_WORLD
from posed_scene import alike, scene, write_srn

CPU, ONE = ("--device", "cpu"), ("--workers", 1)


def targets(made: Path) -> list[Target]:
    """All of them; `made` holds a dataset, a model and a prior."""
    return [*_of_posed(made), *_of_arrays(made), *_of_faces(made), *_of_refiners(made), *_of_drawn(made)]


def _done(*words: object) -> None:
    result = g3d(*words)
    assert result.code == 0, f"{words}: {result.err}"


def _of_posed(made: Path) -> list[Target]:
    found = []
    for kind in ("txt", "bin"):
        root = made / f"colmap-{kind}"
        model = root / "sparse" / "0"
        model.mkdir(parents=True)
        cameras, pictures = [(1, "PINHOLE", 8, 8, 8.0, 8.0, 4.0, 4.0)], []
        for i in range(3):
            images.write_image(root / "images" / f"{i}.png", np.full((8, 8, 3), 60 * i, np.uint8))
            pictures.append((i + 1, 1.0, 0.0, 0.1 * i, 0.0, 0.2, 0.1 * i, 3.0, 1, f"{i}.png"))
        if kind == "txt":
            (model / "cameras.txt").write_text("\n".join(" ".join(map(str, row)) for row in cameras) + "\n")
            (model / "images.txt").write_text(
                "\n".join(" ".join(map(str, row)) + "\n1.5 2.5 -1" for row in pictures) + "\n"
            )
        else:
            (model / "cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 1, 1, 8, 8, 8, 8, 4, 4))
            rows = [struct.pack("<i7di", *row[:9]) + row[9].encode() + b"\0" + bytes(8) for row in pictures]
            (model / "images.bin").write_bytes(struct.pack("<Q", 3) + b"".join(rows))
        names = (f"sparse/0/cameras.{kind}", f"sparse/0/images.{kind}", "images/1.png")
        found.append(
            Target(f"colmap {kind}", root, lambda i, o: ["prepare-data", "colmap", i, *ONE, "--out", o], names)
        )
    write_srn(made / "srn" / "car", alike(scene(2, 8, 8)), each=True)
    names = ("car/intrinsics.txt", "car/intrinsics/000000.txt", "car/pose/000001.txt", "car/rgb/000000.png")
    (made / "split.txt").write_text("cars-00001\n")
    few = ("--num", 2, "--views", 1, "--size", 8)
    return [
        *found,
        Target("srn", made / "srn", lambda i, o: ["prepare-data", "srn", i, *ONE, "--out", o], names),
        Target("split text", made / "split.txt",
               lambda i, o: ["prepare-data", "procedural", "cars", *few, *ONE, "--split", i, "--out", o]),
    ]  # fmt: skip


def _of_arrays(made: Path) -> list[Target]:
    from g3d.storage import artifacts

    rng, model = np.random.default_rng(0), made / "model" / "model.safetensors"
    codes = artifacts.read(made / "model" / "latents.safetensors", "latents").values["codes"][:2]
    np.save(made / "codes.npy", codes.numpy())
    np.savez_compressed(made / "codes.npz", w=codes.numpy())
    torch.save({"w": codes}, made / "codes.pt")
    clouds = rng.normal(size=(3, 40, 3)).astype(np.float32)
    np.save(made / "clouds.npy", clouds)
    np.savez_compressed(made / "clouds.npz", points=clouds)
    depth = made / "inverse"
    depth.mkdir()
    views = len(list((made / "data" / "images").iterdir()))
    for i in range(views):
        np.save(depth / f"{i:06d}.npy", rng.random((16, 16)).astype(np.float32))
    with h5py.File(made / "solids.hdf5", "w") as file:
        file["voxels"] = rng.integers(0, 2, (2, 16, 16, 16, 1)).astype(np.uint8)
        file["points_64"] = rng.integers(0, 256, (2, 8, 3)).astype(np.uint8)
        file["values_64"] = rng.integers(0, 2, (2, 8, 1)).astype(np.uint8)
    kept = ("--points", 16, "--no-one-nn", *CPU)
    return [
        *(Target(f"decode {suffix}", made / f"codes.{suffix}", lambda i, o: ["decode", model, i, "--out", o, *CPU])
          for suffix in ("npy", "npz", "pt")),
        *(Target(f"eval-shapes {suffix}", made / f"clouds.{suffix}",
                 lambda i, o: ["eval-shapes", i, made / "clouds.npy", *kept]) for suffix in ("npy", "npz")),
        Target("depth files", depth, lambda i, o: ["prepare-data", "depth", made / "data", "--files", i, *ONE, "--out", o],
               ("000000.npy",)),
        Target("voxels", made / "solids.hdf5", lambda i, o: ["prepare-data", "voxels", i, *ONE, "--out", o]),
    ]  # fmt: skip


def _of_faces(made: Path) -> list[Target]:
    root = made / "portraits"
    poses, k = frames.poses(np.array([[0.0, 0.0], [15.0, 5.0]])), frames.intrinsics_px(64)
    for i, pose in enumerate(poses):
        images.write_image(root / "pictures" / f"{i}.png", np.full((64, 64, 3), 90, np.uint8))
        pixels = frames.projected(MEAN_FACE_WORLD.astype(np.float32), pose, k)
        for name in ("marks", "labels"):
            (root / name).mkdir(exist_ok=True)
        (root / "marks" / f"{i}.txt").write_text("\n".join(f"{x:.3f} {y:.3f}" for x, y in pixels))
        face = {"faceAttributes": {"smile": 0.2, "emotion": {"neutral": 0.9, "anger": 0.1}}}
        (root / "labels" / f"{i}.json").write_text(json.dumps([face]))
    names = ("pictures/0.png", "marks/0.txt", "labels/1.json")
    model, few = SHARED_DATA / "faces", ("--num", 1, "--expressions", 2, "--views", 1, "--test-views", 0, "--size", 16)
    return [
        *(Target("face model", model, lambda i, o: ["prepare-data", "faces", i, *few, *ONE, "--out", o], (PACKED, INDICES))
          for _ in [1] if (model / PACKED).is_file()),
        Target("portraits", root, lambda i, o: ["prepare-data", "portraits", i / "pictures", "--labels", i / "labels",
               "--landmarks", i / "marks", "--size", 64, *ONE, "--out", o], names),
    ]  # fmt: skip


def _of_refiners(made: Path) -> list[Target]:
    for i in range(2):
        true = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        images.write_image(made / "true" / f"{i}.png", true)
        images.write_image(made / "coarse" / f"{i}.png", true // 2)
    small = ("--preset", "smoke", "--set", "steps=1", *CPU)
    _done("fit-refiner", made / "coarse", made / "true", *small, "--out", made / "refiner")
    refiner, quick = made / "refiner" / "refiner.safetensors", ("--set", "ddim_steps=1", *CPU)
    return [
        Target("refiner", refiner, lambda i, o: ["refine", made / "coarse", "--refiner", i, *quick, "--out", o]),
        Target("refine", made / "coarse", lambda i, o: ["refine", i, "--refiner", refiner, *quick, "--out", o], ("0.png",)),
        Target("fit-refiner", made / "coarse", lambda i, o: ["fit-refiner", i, made / "true", *small, "--out", o], ("0.png",)),
        Target("--init", made / "model" / "model.safetensors", lambda i, o: ["fit-stage1", "mnif", "--data", made / "data",
               "--preset", "smoke", "--init", i, "--dry-run", "--out", o]),
    ]  # fmt: skip


def _of_drawn(made: Path) -> list[Target]:
    drawn, scene_file = made / "drawn", made / "000000.safetensors"
    _done(
        "render",
        scene_file,
        "--cameras",
        "orbit:2",
        "--size",
        8,
        "--alpha",
        "--depth",
        "--disparity",
        *CPU,
        "--out",
        drawn,
    )
    names = tuple(str(p.relative_to(drawn)) for p in sorted(drawn.rglob("*")) if p.is_file())
    _done("fit-prior", made / "model", "--kind", "gaussian", "--seed", 1, "--out", made / "prior-2", *CPU)
    path = json.loads((drawn / "transforms.json").read_text())
    (made / "path.json").write_text(json.dumps(path))
    return [
        Target("eval-geometry", drawn, lambda i, o: ["eval-geometry", i], names),
        Target("sheet drawn", drawn, lambda i, o: ["sheet", f"{i}:disparity", "--out", f"{o}.png"], names),
        Target("camera path", made / "path.json",
               lambda i, o: ["render", scene_file, "--cameras", f"path:{i}:2", "--size", 8, "--out", o, *CPU]),
        Target("convert", scene_file,
               lambda i, o: ["convert", i, "--num", 40, "--views", 2, "--size", 8, "--steps", 2, "--out", o]),
        Target("export-html", scene_file, lambda i, o: ["export-html", i, "--resolution", 6, "--out", f"{o}.html"]),
        Target("compare", made / "prior-2", lambda i, o: ["compare", i, made / "prior", "--html", f"{o}.html"],
               ("config.json", "config.json", "prior.safetensors")),
    ]  # fmt: skip
