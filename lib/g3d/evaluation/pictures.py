"""Pictures as the FID of papers reads them: Pillow's plain conversion to RGB, as clean-fid does, and a digest of their files.

`images.decode` is made for fitting: it turns a picture upright, applies its colour profile and lays it over white. Figures
that are compared with those of clean-fid must not do any of this. What g3d itself writes, plain RGB, is the same to both.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from g3d import distributed, images
from g3d.errors import G3dError
from g3d.images import U8
from g3d.storage import files, named, zips

READING = "pil_rgb"  # what figures call this way of reading
THREADS = min(8, os.cpu_count() or 1)
_ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True)
class Pictures:
    """The pictures of a dataset, a folder or a zip; any thread may read."""

    path: Path
    found: images.ImageSet
    odd: set[int] = field(default_factory=set)  # those seen so far that clean-fid's reading changes

    def __len__(self) -> int:
        return len(self.found)

    def read(self, index: int) -> U8:
        """Picture `index` as [H, W, 3]."""
        where = f"{self.found.path}{'/' if self._zip is None else ':'}{self.found.names[index]}"
        pixels, odd = plain_rgb(self._bytes(index), where)
        if odd:
            self.odd.add(index)
        return pixels

    def digest(self, picked: Sequence[int]) -> str:
        """What the picked pictures are, in their order: of a dataset its own digest, with the sizes and times of its files, which
        may have been changed since; else sha256 over the bytes of each file, so that a zip and its folder agree.

        Several processes share the reading."""
        if (self.path / "dataset.json").is_file():
            return self._digest_of_dataset(picked)
        digests = np.zeros((len(picked), 32), np.uint8)
        ours = [at for at in range(len(picked)) if distributed.mine(at)]

        def one(at: int) -> None:
            digests[at] = np.frombuffer(hashlib.sha256(self._bytes(picked[at])).digest(), np.uint8)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, ours))
        whole = distributed.sum_value(torch.from_numpy(digests)).numpy()
        return f"files:{hashlib.sha256(whole.tobytes()).hexdigest()}"

    def _digest_of_dataset(self, picked: Sequence[int]) -> str:
        stated = files.read_json(self.path / "dataset.json", "the dataset description").get("digest")
        digest = hashlib.sha256(f"{stated}".encode())
        if self._zip is not None:
            stat = self.found.path.stat()
            digest.update(f"|{stat.st_size}|{stat.st_mtime_ns}|{list(picked)}".encode())
        else:
            for i in picked:
                stat = (self.found.path / self.found.names[i]).stat()
                digest.update(f"|{self.found.names[i]}|{stat.st_size}|{stat.st_mtime_ns}".encode())
        return f"dataset:{digest.hexdigest()}"

    def _bytes(self, index: int) -> bytes:
        name = self.found.names[index]
        if self._zip is None:
            try:
                return named.read(self.found.path / name, "the image")
            except OSError as error:
                raise G3dError(f"the image '{self.found.path / name}' cannot be read ({error}); replace it") from error
        return zips.member(self._zip, name, f"{self.found.path}:{name}")

    @cached_property
    def _zip(self) -> zipfile.ZipFile | None:
        return None if self.found.path.is_dir() else zips.opened(self.found.path)


def pictures(path: Path, what: str) -> Pictures:
    """The pictures under `path`: a dataset, a folder (with subfolders) or a zip; `what` names it in messages."""
    return Pictures(path, images.image_set(path, what))


def plain_rgb(data: bytes, where: str) -> tuple[U8, bool]:
    """The bytes of an image file => [H, W, 3] as Pillow converts them, and whether something was left out by it: alpha, bits
    beyond the eighth, or EXIF's turn. `where` names the file in messages."""
    try:
        with Image.open(io.BytesIO(data), formats=images.formats_of(where)) as file:
            images.check_pixels(file, where, len(data))
            deep = file.mode.startswith(("I", "F"))
            turned = file.getexif().get(_ORIENTATION, 1) not in (0, 1)
            odd = deep or turned or file.has_transparency_data
            return np.array(file.convert("RGB")), odd
    except G3dError:
        raise
    except Exception as error:  # decoders raise anything on bad bytes; `decode` has the sentences for them
        images.decode(data, where)
        raise G3dError(f"the image '{where}' cannot be read ({error}); replace it or remove it") from error
