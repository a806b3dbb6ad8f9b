"""Sound inputs of every command that reads files, small, from which `fuzz.py` makes unsound ones."""

import json
import shutil
import struct
import zipfile
from pathlib import Path

import fuzz_targets_tables
import numpy as np
from commands import g3d
from fuzz import Target
from PIL import Image
from test_let_in import DATA, OBJ, gltf
from test_tracebacks import write_splats

CPU = ("--device", "cpu")


def targets(room: Path) -> list[Target]:
    """All of them; the sound inputs are made in `room`."""
    made = room / "made"
    made.mkdir(parents=True)
    found = [*_of_scenes(made), *_of_models(made), *_of_pictures(made), *_of_meshes(made), *_of_runs(made)]
    return found + fuzz_targets_tables.targets(made)


def to(out: Path) -> list[object]:
    """Where it goes, and by what it is made."""
    return ["--out", out, *CPU]


def _done(*words: object) -> None:
    result = g3d(*words)
    assert result.code == 0, f"{words}: {result.err}"


def _of_scenes(made: Path) -> list[Target]:
    from g3d.scenes.scene_file import save_scene
    from toy_scenes import every_kind

    found = []
    for name, scene in every_kind().items():
        save_scene(made / f"{name}.safetensors", scene)
        kind = type(scene).__name__
        found.append(
            Target(
                f"render {kind}",
                made / f"{name}.safetensors",
                lambda i, o: ["render", i, "--size", 8, "--out", o, *CPU],
            )
        )
        if name != "000004":
            form = "splats" if name == "000003" else "mesh"
            fine = [] if name == "000003" else ["--resolution", 6]
            found.append(Target(f"export-ply {kind}", made / f"{name}.safetensors",
                                lambda i, o, form=form, fine=fine: ["export-ply", i, "--as", form, *fine, "--out", o, *CPU]))  # type: ignore[misc]  # fmt: skip
    rows = np.random.default_rng(0).normal(size=(20, 14))
    splats = write_splats(made / "splats.ply", rows)
    cameras = made / "cameras.json"
    pose = np.eye(4)
    pose[2, 3] = 3
    frames = [{"file_path": f"{i}.png", "transform_matrix": pose.tolist()} for i in range(2)]
    cameras.write_text(
        json.dumps({"w": 8, "h": 8, "fl_x": 8.0, "fl_y": 8.0, "cx": 4.0, "cy": 4.0, "k1": 0.0, "frames": frames})
    )
    scene_file = made / "000000.safetensors"
    return [
        *found,
        Target("info scene", scene_file, lambda i, o: ["info", i, "--json"]),
        Target("import-ply", splats, lambda i, o: ["import-ply", i, "--out", f"{o}.safetensors"]),
        Target(
            "cameras file", cameras, lambda i, o: ["render", scene_file, "--cameras", f"file:{i}", "--out", o, *CPU]
        ),
    ]


def _of_models(made: Path) -> list[Target]:
    from snapshot import official_state, write_snapshot

    data, model, prior = made / "data", made / "model", made / "prior"
    _done(
        "prepare-data",
        "procedural",
        "cars",
        "--num",
        3,
        "--views",
        2,
        "--test-views",
        1,
        "--size",
        16,
        "--workers",
        1,
        "--out",
        data,
    )
    _done("fit-stage1", "mnif", "--data", data, "--preset", "smoke", "--set", "epochs=1", "--out", model, *CPU)
    _done("fit-prior", model, "--kind", "gaussian", "--out", prior, *CPU)
    write_snapshot(made / "network.pkl", official_state())
    weights, codes = model / "model.safetensors", model / "latents.safetensors"
    data_files = ("dataset.json", "cameras.safetensors", "shapes.safetensors", "images/000001.png")
    there = tuple(name for name in data_files if (data / name).is_file())
    return [
        Target("decode model", weights, lambda i, o: ["decode", i, codes, "--items", 0, "--out", o, *CPU]),
        Target("decode latents", codes, lambda i, o: ["decode", weights, i, "--items", 0, "--out", o, *CPU]),
        Target("sample prior", prior / "prior.safetensors", lambda i, o: ["sample", weights, "--prior", i, "--num", 1, *to(o)]),
        Target("edit", codes, lambda i, o: ["edit", "interpolate", i, "--steps", 3, "--out", o]),
        Target("fit-prior", codes, lambda i, o: ["fit-prior", i, "--kind", "gaussian", "--out", o, *CPU]),
        Target("info model", weights, lambda i, o: ["info", i, "--json"]),
        Target("import-checkpoint", made / "network.pkl", lambda i, o: ["import-checkpoint", "hypernerfgan", i, "--out", o]),
        Target("fit-stage1 data", data, lambda i, o: ["fit-stage1", "mnif", "--data", i, "--preset", "smoke", "--dry-run",
               "--out", o], there),
        Target("sheet data", data, lambda i, o: ["sheet", i, "--out", f"{o}.png"], there),
        Target("eval-recon", data, lambda i, o: ["eval-recon", i, data, *CPU], there),
        Target("eval-shapes", data, lambda i, o: ["eval-shapes", i, data, "--points", 32, *CPU], there),
        Target("info data", data, lambda i, o: ["info", i, "--json"], there),
    ]  # fmt: skip


def _of_pictures(made: Path) -> list[Target]:
    folder = made / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (12, 10, 4), np.uint8)
    picture = Image.fromarray(pixels)
    for suffix in ("png", "webp", "tiff"):
        picture.save(folder / f"{suffix}.{suffix}")
    for suffix in ("jpg", "bmp", "ppm"):
        picture.convert("RGB").save(folder / f"{suffix}.{suffix}")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(folder / "deep.png")
    names = tuple(sorted(p.name for p in folder.iterdir()))
    with zipfile.ZipFile(made / "pictures.zip", "w") as archive:
        for name in names:
            archive.write(folder / name, name)
        archive.writestr("dataset.json", json.dumps({"labels": [[name, i % 2] for i, name in enumerate(names)]}))
    posed = made / "posed"
    posed.mkdir()
    for i in range(2):
        Image.fromarray(pixels[:8, :8, :3]).save(posed / f"{i}.png")
    shutil.copy(made / "cameras.json", posed / "transforms.json")
    with zipfile.ZipFile(made / "eg3d.zip", "w") as archive:
        label = [1.0, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1, 4.26, 0, 0.5, 0, 4.26, 0.5, 0, 0, 1]
        archive.writestr("dataset.json", json.dumps({"labels": [[f"{i}.png", label] for i in range(2)]}))
        for i in range(2):
            archive.write(posed / f"{i}.png", f"{i}.png")
    (made / "split.json").write_text(json.dumps({"test": ["cars-00001"]}))
    size, one = ("--size", 8, "--workers", 1), ("--workers", 1)
    uncached = ("--extractor", "random", "--cache", "none", *CPU)
    return [
        Target("images folder", folder, lambda i, o: ["prepare-data", "images", i, *size, "--out", o], names),
        Target("images zip", made / "pictures.zip", lambda i, o: ["prepare-data", "images", i, *size, "--out", o]),
        Target("sheet folder", folder, lambda i, o: ["sheet", i, "--out", f"{o}.png"], names),
        Target("sheet zip", made / "pictures.zip", lambda i, o: ["sheet", i, "--out", f"{o}.png"]),
        Target("eval-fid", made / "pictures.zip", lambda i, o: ["eval-fid", i, folder, *uncached]),
        Target("transforms", posed, lambda i, o: ["prepare-data", "transforms", i, *one, "--out", o],
               ("transforms.json", "0.png")),
        Target("transforms tables", posed, lambda i, o: ["prepare-data", "transforms", i, *one, "--out", o],
               ("transforms.json",)),
        Target("eg3d", made / "eg3d.zip", lambda i, o: ["prepare-data", "eg3d", i, *size, "--out", o]),
        Target("split", made / "split.json",
               lambda i, o: ["prepare-data", "procedural", "cars", "--num", 2, "--views", 1, *size, "--split", i, "--out", o]),
    ]  # fmt: skip


def _of_meshes(made: Path) -> list[Target]:
    folder = made / "meshes"
    folder.mkdir()
    Image.new("RGB", (4, 4), (200, 100, 50)).save(folder / "t.png")
    gltf(folder / "a.gltf", DATA, "t.png")
    document = json.loads((folder / "a.gltf").read_text())
    body = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    document["buffers"] = [{"byteLength": len(body)}]
    head = json.dumps(document).encode()
    head += b" " * (-len(head) % 4)
    (folder / "b.glb").write_bytes(
        struct.pack("<4sIIII", b"glTF", 2, 28 + len(head) + len(body), len(head), 0x4E4F534A) + head
        + struct.pack("<II", len(body), 0x004E4942) + body
    )  # fmt: skip
    (folder / "c.mtl").write_text("newmtl a\nKd 1 0 0\nmap_Kd -s 2 2 1 t.png\n")
    (folder / "c.obj").write_text(OBJ.format(library="c.mtl"))
    (folder / "d.off").write_text("OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n")
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    header += "property uchar red\nproperty uchar green\nproperty uchar blue\nelement face 1\n"
    (folder / "e.ply").write_text(
        header + "property list uchar int vertex_indices\nend_header\n0 0 0 1 2 3\n1 0 0 4 5 6\n0 1 0 7 8 9\n3 0 1 2\n"
    )
    corner = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    (folder / "f.stl").write_text(f"solid x\n{corner}endsolid x\n")
    found = []
    for name in ("a.gltf", "b.glb", "c.obj", "c.mtl", "d.off", "e.ply", "f.stl"):
        found.append(Target(
            f"meshes {name}", folder,
            lambda i, o: ["prepare-data", "meshes", i, "--views", 1, "--test-views", 0, "--size", 8, "--workers", 1, "--out", o],
            (name,) * 3 + ("t.png",) * (name[0] in "abc"),
        ))  # fmt: skip
    return found


def _of_runs(made: Path) -> list[Target]:
    run = made / "prior"
    names = ("log.jsonl", "config.json", "metrics.json")
    there = tuple(name for name in names if (run / name).is_file())
    return [
        Target("report", made / "model", lambda i, o: ["report", i, "--out", f"{o}.html"], names),
        Target("info run", run, lambda i, o: ["info", i, "--json"], ("prior.safetensors", *there)),
        Target("resume", made / "model", lambda i, o: ["fit-stage1", "mnif", "--data", made / "data", "--preset", "smoke",
               "--set", "epochs=1", "--resume", "--out", i, *CPU], ("config.json", "state.safetensors", "log.jsonl")),
    ]  # fmt: skip
