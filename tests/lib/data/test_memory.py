"""Pictures that are kept: the same as those that are read, each decoded once, within the bytes that are allowed."""

from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline
from g3d import images
from g3d.data.memory import Remembered
from g3d.data.opening import open_dataset


def test_each_is_decoded_once_while_it_fits(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_dataset(pipeline.data)
    true, one = data.pictures([0, 1, 2]), data.pictures([0]).nbytes
    decoded: list[str] = []
    decode = images.decode

    def counted(content: bytes, where: str) -> images.U8:
        decoded.append(Path(where).stem)
        return decode(content, where)

    monkeypatch.setattr(images, "decode", counted)
    kept = Remembered(data, most=2 * one)
    for _ in range(3):
        assert (kept.pictures([0, 1, 2]) == true).all()
    assert decoded == ["000000", "000001", "000002", "000002", "000002"]
    assert np.array_equal(Remembered(data, most=0).pictures([2, 0]), true[[2, 0]])
