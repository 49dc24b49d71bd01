"""Originals of the soak: the test pictures, a PNG of 60 MB, and the corpus where there is one."""

import os
import random
import shutil
import struct
import zlib

PHOTOGRAPHS = ["rocket.jpg", "retina.jpg", "coffee.png", "chelsea.png", "astronaut-progressive.jpg", "hubble_deep_field.jpg"]


def build(folder, testdata, corpus):
    """Fills the folder; names of photographs, of all others, and of the large one, as paths."""
    folder.mkdir()
    for part in ("photos", "generated", "hostile"):
        shutil.copytree(testdata / part, folder / part)
    (folder / "large.png").write_bytes(png(4480, 4480))
    if corpus is not None:
        for part in ("gif", "apng", "webp", "avif", "jxl", "svg", "png", "colour", "hostile", "svg-hostile", "cases"):
            if (corpus / part).is_dir():
                shutil.copytree(corpus / part, folder / "corpus" / part)
    photographs = [f"photos/{name}" for name in PHOTOGRAPHS]
    others = []
    for place, _, names in os.walk(folder):
        place = os.path.relpath(place, folder)
        # names with other characters than these are a subject of their own
        others += [f"{place}/{name}" for name in names if name.isascii() and not set(name) & set("%?#\\ \"<>")]
    others = sorted(name for name in others if not name.startswith(("./", "photos/")))
    return photographs, others, "large.png"


def png(width, height):
    """A PNG of noise, which is as large as its pixels: width × height × 3 bytes."""
    numbers = random.Random(7)
    packed = zlib.compressobj(0)
    data = bytearray()
    for _ in range(height):
        data += packed.compress(b"\0" + numbers.randbytes(width * 3))
    data += packed.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", bytes(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, body) for name, body in chunks)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
