"""Folders and zips of images <=> uint8 arrays; single pictures; contact sheets.

Images are 8-bit sRGB `[H, W, 3]`; masks 8-bit `[H, W]`; depth is 16-bit PNG with its scale recorded beside it. What a file
may be besides (grey, 16-bit, float, palette, CMYK, with alpha, with a colour profile, lying on its side) is made such here.
"""

from g3d.images.arrays import U8, enlarge, resized, resized_map, sheet, to_u8
from g3d.images.decoding import FORMATS, PIXELS_MOST, SUFFIXES, Colour, check_pixels, formats_of
from g3d.images.folders import NOT_PICTURES, ImageSet, image_set
from g3d.images.single import (
    WHITE,
    check_png,
    decode,
    decode_alpha,
    decode_grey,
    decode_mask,
    decode_square,
    encode,
    exif_turns,
    read_grey,
    read_image,
    size_of,
    write_image,
)

__all__ = [
    "FORMATS",
    "NOT_PICTURES",
    "PIXELS_MOST",
    "SUFFIXES",
    "U8",
    "WHITE",
    "Colour",
    "ImageSet",
    "check_pixels",
    "check_png",
    "decode",
    "decode_alpha",
    "decode_grey",
    "decode_mask",
    "decode_square",
    "encode",
    "enlarge",
    "exif_turns",
    "formats_of",
    "image_set",
    "read_grey",
    "read_image",
    "resized",
    "resized_map",
    "sheet",
    "size_of",
    "to_u8",
    "write_image",
]
