"""Speed of the sources of prepare-data, and the share of decoder and ray caster: `python recipes/benchmarks/prepare_data.py`.

Makes its own input: a textured mesh of about 3,000 triangles, and JPEG photographs of 640 x 480 (smooth noise).
"""

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from g3d import images
from g3d.cameras import CameraPrior
from g3d.sources.surfaces.drawing import draw_view
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.sources.surfaces.raycast import Caster
from g3d.sources.surfaces.surface import normalised
from g3d.steps import prepare_data
from PIL import Image


def ball(folder: Path, rows: int = 40, columns: int = 38) -> Path:
    """A bumpy ball with a texture as OBJ: 2 (rows - 1) columns triangles."""
    stream = np.random.default_rng(0)
    Image.fromarray(stream.integers(0, 256, (256, 256, 3)).astype(np.uint8)).save(folder / "skin.png")
    (folder / "ball.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    lines = ["mtllib ball.mtl", "usemtl skin"]
    for r in range(rows + 1):
        for c in range(columns + 1):
            up, around = np.pi * r / rows, 2 * np.pi * c / columns
            far = 1 + 0.1 * np.sin(5 * up) * np.cos(4 * around)
            x, y, z = far * np.sin(up) * np.cos(around), far * np.cos(up), far * np.sin(up) * np.sin(around)
            lines += [f"v {x:.6f} {y:.6f} {z:.6f}", f"vt {c / columns:.6f} {1 - r / rows:.6f}"]
    for r in range(rows):
        for c in range(columns):
            a, b = r * (columns + 1) + c + 1, (r + 1) * (columns + 1) + c + 1
            lines += [f"f {a}/{a} {b}/{b} {b + 1}/{b + 1}"] if r < rows - 1 else []
            lines += [f"f {a}/{a} {b + 1}/{b + 1} {a + 1}/{a + 1}"] if r > 0 else []
    (folder / "ball.obj").write_text("\n".join(lines) + "\n")
    return folder / "ball.obj"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The least processor time of a few timings of `repeats` calls, for one call: other processes count little."""
    found = []
    for _ in range(3):
        start = time.process_time()
        for _ in range(repeats):
            work()
        found.append((time.process_time() - start) / repeats)
    return min(found)


def meshes(folder: Path, size: int) -> dict[str, float]:
    """Views of a textured mesh: one core, its parts, and the whole command on all cores."""
    surface, _ = normalised(read_surface(ball(folder)))
    caster = Caster(surface)
    cameras = CameraPrior(2.6, 45.5, size, size).sample(0, [0])
    c2w, k = cameras.c2w[0].numpy(), cameras.intrinsics[0].numpy()
    white = (1.0, 1.0, 1.0)
    whole = seconds(lambda: draw_view(caster, c2w, k, size, size, 1e-4, white), 30)
    drawn = seconds(lambda: caster.draw(c2w, k, size, size, white), 30)
    cast = _cast_seconds(caster, lambda: caster.draw(c2w, k, size, size, white))
    occupancy = seconds(caster.occupancy, 2)
    for number in range(8):
        (folder / "many").mkdir(exist_ok=True)
        for name in ("ball.obj", "ball.mtl", "skin.png"):
            (folder / "many" / name.replace("ball.obj", f"ball{number}.obj")).write_bytes((folder / name).read_bytes())
    figures = prepare_data.run(
        prepare_data.Options(
            "meshes", str(folder / "many"), folder / f"views{size}", views=100, test_views=0, size=size
        )
    )
    return {
        "triangles": len(surface.corners), "views_per_cpu_s": 1 / whole, "share_drawing": drawn / whole,
        "share_ray_caster": cast / whole, "views_per_s_command": figures["views_per_s"], "occupancy_s": occupancy,
    }  # fmt: skip


def _cast_seconds(caster: Caster, work: Callable[[], object]) -> float:
    """Time inside open3d's cast_rays in one call of `work`."""
    scene, spent = caster._scene, []

    class Timed:
        def __getattr__(self, name: str) -> object:
            return getattr(scene, name)

        def cast_rays(self, *values: object, **more: object) -> object:
            start = time.process_time()
            answer = scene.cast_rays(*values, **more)
            spent.append(time.process_time() - start)
            return answer

    caster._scene = Timed()
    for _ in range(30):
        work()
    caster._scene = scene
    return float(np.min(spent))


def photographs(folder: Path, size: int, count: int) -> dict[str, float]:
    """JPEGs of 640 x 480 => PNGs: the decoder's and the encoder's shares, and the whole command on all cores."""
    stream = np.random.default_rng(0)
    place = folder / f"photos{size}"
    place.mkdir()
    for number in range(count):
        small = stream.integers(0, 256, (30, 40, 3)).astype(np.uint8)
        Image.fromarray(images.resized(small, 640, 480)).save(place / f"{number:05d}.jpg", quality=90)
    data = (place / "00000.jpg").read_bytes()
    decode = seconds(lambda: Image.open(io.BytesIO(data)).load(), 30)
    square = images.decode_square(data, "x", size)
    encode = seconds(lambda: images.encode(square, photo=True), 30)
    whole = seconds(lambda: images.encode(images.decode_square(data, "x", size), photo=True), 30)
    figures = prepare_data.run(prepare_data.Options("images", str(place), folder / f"set{size}", size=size))
    return {
        "pictures_per_cpu_s": 1 / whole, "share_jpeg_decoder": decode / whole, "share_png_encoder": encode / whole,
        "pictures_per_s_command": figures["views_per_s"],
    }  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--photos", type=int, default=400)
    how = words.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = {"meshes at 128²": meshes(Path(name), 128)}
        found |= {f"images at {size}²": photographs(Path(name), size, how.photos) for size in (64, 256)}
    print(json.dumps(found, indent=1, default=lambda v: round(float(v), 3)))


if __name__ == "__main__":
    main()
