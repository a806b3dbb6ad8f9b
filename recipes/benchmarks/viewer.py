"""Frames a second of `g3d view`, a row for each kind of scene: while the camera moves, and of the resting picture.

usage: python recipes/benchmarks/viewer.py [--threads 2] [--size 256] [--seconds 3] [SCENE...]

Each row drives the viewer's own artist as a browser does that always turns: the camera goes on a degree when a picture has
come, and pictures are handed to viser as the viewer hands them, JPEG while it moves. `rows` is the height that a moving picture
settles at; a resting one has --size. W1 is the splat workload of `splat.py`. Fields have the papers' sizes and random weights,
so they are fog and none of their space is empty: the worst case. SCENE files, fitted ones, are measured, too.

A frame's processor time is that of all threads; where it is far below `threads` times the wall time, other work had the cores.
"""

import argparse
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.methods import hypernerfgan, mnif, settings_of
from g3d.methods.hypernerfgan.networks import Generator
from g3d.methods.infamous_nerf.field import Codes
from g3d.methods.infamous_nerf.field import scene as face_of
from g3d.methods.infamous_nerf.networks import FaceModel
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import MixtureOfSirens
from g3d.render import default_settings
from g3d.render.splat.harmonics import C0
from g3d.scenes.scene import Scene, Triplane, World, pick
from g3d.scenes.scene_file import load_scene
from g3d.viewing.artist import Artist, Wish
from g3d.viewing.picture import drawn
from splat import DISTANCE, FOCAL, workload


def splats() -> tuple[Scene, CameraPrior]:
    """W1, in its colours, seen from its distance."""
    scene, colours, _, _ = workload(5, 256)
    fov_deg = 2 * torch.rad2deg(torch.atan(torch.tensor(0.5 / FOCAL))).item()
    return replace(scene, sh=((colours - 0.5) / C0)[:, :, None]), CameraPrior(DISTANCE, fov_deg, 256, 256)


def mixture(signal: str) -> tuple[Scene, CameraPrior]:
    """mNIF-S of radiance (32 samples a ray), or of solids."""
    more: dict[str, Any] = {"signal": "voxel", "latent_dim": 512} if signal == "voxel" else {}
    config = Config(**more)
    model = mnif.unfitted(MixtureOfSirens(config), config)
    scene = pick(mnif.decode(model, torch.randn(1, config.latent_dim)), 0)
    return replace(scene, world=replace(scene.world, samples=32)), CameraPrior(2.6, 45.0, 256, 256)


def carla() -> tuple[Scene, CameraPrior]:
    """HyperNeRFGAN's field of 4 layers at full size."""
    config = settings_of("hypernerfgan", "carla", ["n_samples=32"])
    model = hypernerfgan.unfitted(Generator(config), config)
    scene = hypernerfgan.decode(model, hypernerfgan.draw(model, [0], 0, hypernerfgan.SampleSettings()))
    return scene, hypernerfgan.cameras.prior_of_settings(config, 256, 256)


def face() -> tuple[Scene, CameraPrior]:
    """INFAMOUS-NeRF's two branches at the paper's width, colours by direction."""
    config = settings_of("infamous-nerf", "facescape512", ["hypernetwork=none"])
    dims = (config.identity_dim, config.identity_dim, config.appearance_dim, config.shape_dim, config.expression_dim)
    world = World(((-4.0,) * 3, (4.0,) * 3), 8.0, 26.0, samples=config.points)  # type: ignore[arg-type]
    return face_of(FaceModel(config), Codes(*(torch.randn(1, n) for n in dims)), world), CameraPrior(
        16.0, 24.0, 256, 256
    )


def planes() -> tuple[Scene, CameraPrior]:
    """VQ3D's triplane: 32 channels, 512², 64 samples of the proposal and 32 of the field."""

    def layers(*widths: int) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        return tuple((torch.randn(1, o, i) / i**0.5, torch.randn(1, o)) for i, o in pairwise(widths))

    world = World(near_world=0.5, far_world=10.0, samples=32, proposal_samples=64, spacing="disparity", opaque_end=True)
    scene = Triplane(
        torch.randn(1, 3, 32, 512, 512), layers(32, 32, 4), world, layers(32, 32, 1), "sphere", (0.5, 0.5, 1.0), 2.0
    )
    return scene, CameraPrior(1.0, 50.0, 256, 256)


KINDS: dict[str, Callable[[], tuple[Scene, CameraPrior]]] = {
    "splats, W1": splats,
    "mNIF-S, radiance": lambda: mixture("radiance"),
    "mNIF-S, solid": lambda: mixture("voxel"),
    "HyperNeRFGAN, 4 layers of 128": carla,
    "INFAMOUS-NeRF, two branches": face,
    "triplane, 3 x 32 x 512²": planes,
}


def rows(files: list[Path]) -> Iterator[tuple[str, Scene, CameraPrior]]:
    """The kinds, then the files."""
    for name, make in KINDS.items():
        with torch.no_grad():
            yield name, *make()
    for file in files:
        scene = load_scene(file)
        assert scene.world.camera_prior is not None, f"{file} records no cameras"
        yield str(Path(*file.parts[-3:])), scene, scene.world.camera_prior


def moving(scene: Scene, around: Cameras, seconds: float, send: Any) -> tuple[float, float, int, Artist]:
    """Frames a second, milliseconds of processors a frame, rows of the last frame; and the artist, still there."""
    settings, came, count, height = default_settings(scene), threading.Event(), 0, 0

    def deliver(picture: Any, fine: bool) -> None:
        nonlocal count, height
        send(picture, format="png" if fine else "jpeg")
        count, height = count + 1, len(picture)
        came.set()

    def complain(error: Exception) -> None:
        raise error

    artist = Artist(deliver, complain)
    start, used, first = 0.0, 0.0, 0
    warm = True
    begun = time.perf_counter()
    for number in range(10**9):
        artist.ask(Wish(scene, settings, around[number % len(around)], "colour"))
        came.wait()
        came.clear()
        now = time.perf_counter()
        if warm and number >= 8 and now - begun > seconds / 2:  # compiled, grid found, size settled
            warm, start, used, first = False, now, time.process_time(), count
        elif not warm and now - start > seconds:
            break
    took, processors = time.perf_counter() - start, time.process_time() - used
    artist.ask(None)
    return (count - first) / took, 1e3 * processors / (count - first), height, artist


def resting(scene: Scene, around: Cameras, artist: Artist, send: Any) -> tuple[float, float]:
    """The least milliseconds of a resting picture, sent as PNG, and of processors; of 5, or of as many as 3 seconds allow."""
    walls: list[float] = []
    processors: list[float] = []
    while len(walls) < 5 and sum(walls) < 3:
        start, used = time.perf_counter(), time.process_time()
        picture = drawn(scene, around[len(walls)], default_settings(scene), artist._grid, "colour")
        send(picture, format="png")
        walls.append(time.perf_counter() - start)
        processors.append(time.process_time() - used)
    return 1e3 * min(walls), 1e3 * min(processors)


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("scenes", nargs="*", type=Path)
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--size", type=int, default=256)
    words.add_argument("--seconds", type=float, default=3.0, help="of each row, after half as many to warm up")
    words.add_argument("--rest", action=argparse.BooleanOptionalAction, default=True, help="draw resting pictures, too")
    words.add_argument("--only", default="", help="rows whose name contains this")
    how = words.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(how.threads)
    import viser

    chosen = [row for row in rows(how.scenes) if how.only in row[0]]
    with redirect_stdout(io.StringIO()):  # it draws a box around its address
        server = viser.ViserServer("127.0.0.1", 0, verbose=False)
    print(f"{how.threads} threads, {how.size}², load {os.getloadavg()[0]:.1f} at the start")
    columns = ["scene", "moving, frames/s", "rows", "processors a frame, ms"]
    columns += ["at rest, ms", "frames/s", "processors, ms"] if how.rest else []
    print(f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|", flush=True)
    for name, scene, prior in chosen:
        around = prior.orbit(360).resized(how.size, how.size)
        rate, used, height, artist = moving(scene, around, how.seconds, server.scene.set_background_image)
        cells = [name, f"{rate:.1f}", f"{height}", f"{used:.0f}"]
        if how.rest:
            ms, processors = resting(scene, around, artist, server.scene.set_background_image)
            cells += [f"{ms:.1f}", f"{1e3 / ms:.2f}", f"{processors:.1f}"]
        artist.close()
        print(f"| {' | '.join(cells)} |", flush=True)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    with redirect_stdout(io.StringIO()):
        server.stop()


if __name__ == "__main__":
    main()
