"""Videos decoded back."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from g3d.errors import G3dError, Missing
from g3d.export.video import write_video


def _frame(height: int, width: int, shift: int) -> np.ndarray:
    """Smooth ramps of colour, which survive halved chroma."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 60 + shift)], -1).astype(np.uint8)


def _decode(path: Path) -> tuple[dict[str, object], list[np.ndarray]]:
    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    meta = next(reader)
    width, height = meta["size"]
    return meta, [np.frombuffer(data, np.uint8).reshape(height, width, 3) for data in reader]


def test_frames_come_back(tmp_path: Path) -> None:
    frames = [_frame(48, 64, 20 * i) for i in range(5)]
    assert write_video(tmp_path / "a.mp4", iter(frames), fps=10) == 5
    meta, found = _decode(tmp_path / "a.mp4")
    assert meta["codec"] == "h264" and str(meta["pix_fmt"]).startswith("yuv420p") and meta["fps"] == 10
    assert len(found) == 5
    for i in (0, 4):
        error = np.abs(found[i].astype(int) - frames[i])
        assert error.mean() < 3 and error.max() < 25
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sizes_are_padded_at_the_far_edges(tmp_path: Path) -> None:
    frame = _frame(33, 35, 0)
    write_video(tmp_path / "a.mp4", [frame] * 3, fps=24)
    _, found = _decode(tmp_path / "a.mp4")
    assert found[0].shape == (34, 36, 3)
    assert np.abs(found[0][:33, :35].astype(int) - frame).mean() < 4


def test_refusals_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], fps=10)
    with pytest.raises(G3dError, match=r"not named \.mp4"):
        write_video(tmp_path / "a.avi", [_frame(8, 8, 0)], fps=10)
    with pytest.raises(G3dError, match="frame rate 0"):
        write_video(tmp_path / "a.mp4", [_frame(8, 8, 0)], fps=0)
    with pytest.raises(AssertionError, match="frames are"):
        write_video(tmp_path / "a.mp4", [_frame(16, 16, 0), _frame(8, 8, 0)], fps=10)
    assert list(tmp_path.iterdir()) == []


def test_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(Missing, match="pip install imageio-ffmpeg"):
        write_video(tmp_path / "a.mp4", [_frame(8, 8, 0)], fps=10)
