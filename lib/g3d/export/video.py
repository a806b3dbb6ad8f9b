"""Frames => an MP4 that every player opens: H.264, yuv420p, constant quality."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from g3d.errors import Failure, G3dError, Missing, require_module
from g3d.images import U8
from g3d.storage import files

# Without a matrix that is both applied and named, players guess one by the size of the picture and colours shift.
_COLOURS = ("-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_primaries", "bt709",
            "-color_trc", "bt709", "-color_range", "tv")  # fmt: skip


def write_video(path: Path, frames: Iterable[U8], fps: float, crf: int = 16) -> int:
    """Write frames [H, W, 3] of one size to `path` (.mp4), whole or not at all; return how many there were.

    `crf` is x264's constant quality: 0 without loss, 18 hardly visible, 51 the worst. Odd sizes are padded to even."""
    if path.suffix.lower() != ".mp4":
        raise G3dError(f"the video '{path}' is not named .mp4; g3d writes H.264 in MP4, so give it that ending")
    if not fps > 0:
        raise G3dError(f"the frame rate {fps} is not positive; give frames per second, such as 30")
    install = "pip install imageio-ffmpeg, or write images without a video"
    require_module("imageio_ffmpeg", "writing videos", install)
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise Missing(
            f"writing videos needs the program ffmpeg, which imageio-ffmpeg does not find; {install}"
        ) from error
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise G3dError(f"the video '{path}' would have no frames; give one or more")
    with files.atomic(path) as temporary:
        count = _encode(temporary, first, stream, fps, crf)
        try:  # a writer that is closed does not tell whether ffmpeg ended well
            complete = imageio_ffmpeg.count_frames_and_secs(str(temporary))[0] == count
        except RuntimeError:
            complete = False
        if not complete:
            raise Failure(
                f"writing {path} failed: ffmpeg could not finish it (is the disk full?); what was there is untouched"
            )
    return count


def _encode(target: Path, first: U8, rest: Iterable[U8], fps: float, crf: int) -> int:
    import imageio_ffmpeg

    height, width = first.shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(target),
        (width + width % 2, height + height % 2),
        fps=fps,
        codec="libx264",
        quality=None,  # its own scale; -crf below instead
        macro_block_size=2,
        output_params=["-crf", str(crf), *_COLOURS, "-movflags", "+faststart", "-f", "mp4"],
    )
    count = 0
    try:
        writer.send(None)
        for frame in chain([first], rest):
            writer.send(_even(frame, first))
            count += 1
    finally:
        writer.close()
    return count


def _even(frame: U8, first: U8) -> U8:
    """A frame whose sides are even, the last row and column repeated where needed."""
    assert frame.shape == first.shape and frame.dtype == np.uint8, (
        f"frames are {first.shape} uint8, not {frame.shape} {frame.dtype}"
    )
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))
