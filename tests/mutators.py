"""Changes bytes into others that readers may stumble over: blindly, or knowing the form of a file so that the change lies deeper.

Everything comes from one seeded stream, so that a number names an input for ever.
"""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

Stream = random.Random
NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"nan",
    b"inf",
    b"-1",
    b"1e39",
    b"1e400",
    b"9" * 6000,
    b"..",
    b"/",
    b"\0",
    b"\xff\xfe",
    b"../../../etc/passwd",
    b"{",
    b"[" * 3000,
)
FLOATS = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e30, 1e-45, 0.0, -0.0, -1.0)


def odd(stream: Stream) -> Any:
    """A JSON value that nobody expects; an `int` of thousands of digits among them."""
    deep: Any = 1
    for _ in range(stream.choice((1, 5, 300))):
        deep = [deep]
    return stream.choice([
        None, True, False, -1, 0, 1, 2**31, 2**63, 2**200, 1e308, 1e-308, float("nan"), float("inf"), -float("inf"),
        int("9" * 4000), "", "x", "a" * 5000, "../../../../etc/passwd", "/dev/zero", "/dev/stdin", "\0", "nan", "\ud7ff",
        [], {}, [[]], [0] * 4000, deep, {"a": deep}, [1, [2, "3"]], "data:application/octet-stream;base64,AAAA", "data:,", "file:///etc/passwd",
    ])  # fmt: skip


def blind(data: bytes, stream: Stream) -> bytes:
    """Bits, bytes and stretches: changed, cut, doubled, put elsewhere."""
    found = bytearray(data)
    for _ in range(stream.choice((1, 1, 2, 4, 16))):
        at, length = stream.randrange(len(found) + 1), stream.choice((1, 1, 2, 4, 8, 64))
        match stream.randrange(9):
            case 0 if at < len(found):
                found[at] ^= 1 << stream.randrange(8)
            case 1:
                found[at : at + length] = stream.randbytes(length)
            case 2:
                del found[at : at + length * stream.choice((1, 10))]
            case 3:
                found[at:at] = stream.choice(WORDS)
            case 4:
                form = stream.choice(("<I", ">I", "<H", "<Q", ">Q", "B"))
                number = struct.pack(form, stream.choice(NUMBERS) % (1 << (8 * struct.calcsize(form))))
                found[at : at + len(number)] = number
            case 5:
                found[at : at + 4] = struct.pack("<f", stream.choice(FLOATS))
            case 6:
                found = found[:at]
            case 7:
                found[at:at] = found[at : at + length * 10]
            case _:
                found[at : at + length] = bytes(length)
    return bytes(found)


def in_json(data: bytes, stream: Stream) -> bytes:
    """A value somewhere in the tree becomes another one, goes, or comes twice."""
    try:
        tree = json.loads(data)
    except ValueError:
        return blind(data, stream)
    for _ in range(stream.choice((1, 1, 1, 2, 4))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = stream.choice(places)
        match stream.randrange(6):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, list):
                del holder[key]
            case 2:
                holder[key] = stream.choice(places)[0] if stream.randrange(2) else [holder[key], holder[key]]
            case 3 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
                holder[key] = stream.choice(
                    (-holder[key], max(-1e290, min(holder[key], 1e290)) * 1e9, holder[key] + 1, 0, 2**31, 1e308, -1)
                )
            case _:
                holder[key] = odd(stream)
    try:
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):  # it holds itself
        return json.dumps(odd(stream)).encode()


def _places(tree: Any, most: int = 3000) -> Any:
    waiting = [tree]
    while waiting and most:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            most -= 1
            if most <= 0:
                return
            yield holder, key
            waiting.append(holder[key])


def in_safetensors(data: bytes, stream: Stream) -> bytes:
    """The header's JSON, our own JSON inside it, or numbers; lengths fit again, so that the reader goes on."""
    length = struct.unpack_from("<Q", data)[0]
    head, body = data[8 : 8 + length], bytearray(data[8 + length :])
    match stream.randrange(4):
        case 0:
            head = in_json(head, stream)
        case 1 if b"__metadata__" in head:
            table = json.loads(head)
            table["__metadata__"]["g3d"] = in_json(table["__metadata__"]["g3d"].encode(), stream).decode()
            head = json.dumps(table).encode()
        case _:
            for _ in range(stream.choice((1, 3, 50))):
                at = stream.randrange(0, max(1, len(body) - 3)) // 4 * 4
                body[at : at + 4] = struct.pack("<f", stream.choice(FLOATS))
    return struct.pack("<Q", len(head)) + head + bytes(body)


def in_glb(data: bytes, stream: Stream) -> bytes:
    """The JSON chunk, with the lengths of both made right."""
    size = struct.unpack_from("<I", data, 12)[0]
    head = in_json(data[20 : 20 + size].rstrip(b" "), stream)
    head += b" " * (-len(head) % 4)
    rest = data[20 + size :]
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(head) + len(rest), len(head), 0x4E4F534A) + head + rest


def in_png(data: bytes, stream: Stream) -> bytes:
    """A chunk, with its sum made right: sizes and modes that the pixels do not have."""
    parts, at = [], 8
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        parts.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    place = stream.randrange(len(parts))
    kind, body = parts[place]
    parts[place] = (kind, blind(body, stream) if body else b"\1")
    if stream.randrange(3) == 0:
        parts.insert(
            place,
            stream.choice(
                ((b"tRNS", b"\0\1"), (b"eXIf", stream.randbytes(40)), (b"iCCP", b"a\0\0" + zlib.compress(bytes(99))))
            ),
        )
    return data[:8] + b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(b, zlib.crc32(k))) for k, b in parts
    )


def in_zip(data: bytes, stream: Stream) -> bytes:
    """A member of another name or other bytes, packed again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        chosen = stream.choice(names)
        for name in names:
            body = old.read(name)
            if name == chosen:
                match stream.randrange(4):
                    case 0:
                        name = stream.choice(
                            ("../a.png", "/a.png", "a\\b.png", "", "a/", "x" * 300, "C:a.png", "\u00e9.png")
                        )
                    case 1:
                        continue
                    case _:
                        body = (in_json if name.endswith(".json") else blind)(body, stream)
            new.writestr(zipfile.ZipInfo(name or "x", (1980, 1, 1, 0, 0, 0)), body, stream.choice((0, 8)))
    return buffer.getvalue()


def in_text(data: bytes, stream: Stream) -> bytes:
    """Lines and words: another number, another word, a line twice or not at all."""
    lines = data.split(b"\n")
    for _ in range(stream.choice((1, 1, 3, 10))):
        at = stream.randrange(len(lines))
        words = lines[at].split(b" ")
        match stream.randrange(4):
            case 0:
                words[stream.randrange(len(words))] = stream.choice((*WORDS, str(stream.choice(NUMBERS)).encode(), b""))
                lines[at] = b" ".join(words)
            case 1:
                lines[at:at] = [lines[at]] * stream.choice((1, 100))
            case 2 if len(lines) > 1:
                del lines[at]
            case _:
                lines[at] = blind(lines[at], stream)
    return b"\n".join(lines)


def in_head(data: bytes, stream: Stream) -> bytes:
    """Where binary tables say what they hold."""
    return blind(data[:128], stream) + data[128:]


BY_FORM: dict[str, Callable[[bytes, Stream], bytes]] = {
    ".json": in_json, ".gltf": in_json, ".safetensors": in_safetensors, ".glb": in_glb, ".png": in_png, ".zip": in_zip,
    ".obj": in_text, ".mtl": in_text, ".off": in_text, ".ply": in_text, ".txt": in_text, ".jsonl": in_text, ".stl": in_text,
    ".pts": in_text, ".bin": in_head, ".npy": in_head, ".hdf5": in_head, ".npz": in_zip, ".pt": in_zip,
}  # fmt: skip


def mutated(data: bytes, suffix: str, stream: Stream) -> bytes:
    """Other bytes in the place of a file: by its form, three times in four, else blindly."""
    change = BY_FORM.get(suffix, blind) if stream.randrange(4) else blind
    try:
        return change(data, stream)
    except (
        struct.error,
        zipfile.BadZipFile,
        IndexError,
        UnicodeDecodeError,
        RecursionError,
        ValueError,
        NotImplementedError,
    ):
        return blind(data, stream)
