"""`--drawn-from`: the latents that pictures were drawn from, whose names say which object of a dataset each folder shows."""

from pathlib import Path

from g3d import latents
from g3d.errors import G3dError


def item_names(path: Path | None) -> list[str] | None:
    """The names of the latents in a file (or a run), in the order in which `decode --render` numbers its folders."""
    return None if path is None else list(latents.read(latents.check(path)).names)


def check_drawn_from(path: Path | None, true: Path | None) -> tuple[Path, ...]:
    """The file of the latents, if there are any; refuses them where there is no dataset whose objects they could name."""
    if path is None:
        return ()
    head = latents.check(path)
    if true is None:
        raise G3dError(
            "--drawn-from names objects of a true dataset, and none is given; give it, or leave --drawn-from out"
        )
    if not (true / "dataset.json").is_file():
        raise G3dError(f"--drawn-from names objects of a true dataset, and '{true}' is none; leave it out")
    return (head.path,)
