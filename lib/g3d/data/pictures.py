"""The pictures of a dataset where they lie: files of a folder, or members of one stored zip."""

import os
import struct
import zipfile
from pathlib import Path

from g3d import images
from g3d.data.columns import FORMAT as FORMAT
from g3d.data.columns import SPLITS as SPLITS
from g3d.errors import G3dError
from g3d.storage import foreign, named


class Folder:
    """Pictures as files."""

    def __init__(self, path: Path):
        self.path = path

    def names(self) -> set[str]:
        return {
            p.name
            for p in self.path.iterdir()
            if p.suffix.lower() in images.SUFFIXES and not foreign.is_foreign(p.name)
        }

    def read(self, name: str) -> bytes:
        return named.read(self.path / name, "the image")


class Zip:
    """Pictures in a stored zip, read where they lie: safe for threads and for processes that share the handle."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise G3dError(f"'{path}' is not a zip that can be read ({error}); prepare the dataset again") from error
        packed = next((m.filename for m in members if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1), None)
        if packed is not None:
            raise G3dError(
                f"'{path}' holds '{packed}' compressed; a dataset's zip is stored (zip -0), so write it again"
            )
        self._where = {m.filename: (m.header_offset, m.file_size) for m in members}
        self._handle = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)

    def names(self) -> set[str]:
        return {name for name in self._where if name.lower().endswith(images.SUFFIXES)}

    def read(self, name: str) -> bytes:
        if name not in self._where:
            raise G3dError(f"'{self.path}' holds no '{name}'; prepare the dataset again")
        start, size = self._where[name]
        head = os.pread(self._handle, 30, start)  # a local file header: 26 fixed bytes, then two lengths
        if len(head) < 30:
            raise G3dError(f"'{self.path}' is truncated before '{name}'; prepare the dataset again")
        return os.pread(self._handle, size, start + 30 + sum(struct.unpack("<HH", head[26:])))
