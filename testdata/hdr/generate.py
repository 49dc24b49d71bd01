#!/usr/bin/env python3
"""Makes the PNG charts of this folder: light from 0.1 to 1000 cd/m2 from left to right, times a
factor, in eight hues from top to bottom.  Python 3.11 without libraries; the other files are made
of these, see ../README.md."""

import math
import struct
import zlib
from pathlib import Path

WIDTH, HEIGHT = 256, 192
# hue and saturation of each band
BANDS = [(0, 0), (0, 1), (1 / 3, 1), (2 / 3, 1), (1 / 6, 0.6), (1 / 2, 0.6), (5 / 6, 0.6), (0.08, 0.3)]


def pq(light):
    """The PQ signal of light in cd/m2 (ITU-R BT.2100, table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (light / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg(light):
    """The HLG signal of captured light, 1000 for the peak (ITU-R BT.2100, table 5)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * math.log(4 * a)
    e = light / 1000
    return math.sqrt(3 * e) if e <= 1 / 12 else a * math.log(12 * e - b) + c


def srgb(light):
    e = min(1, light / 1000)
    return e * 12.92 if e <= 0.0031308 else 1.055 * e ** (1 / 2.4) - 0.055


def pixel(x, y):
    light = 10 ** (-1 + x / (WIDTH - 1) * 4)
    hue, saturation = BANDS[y * len(BANDS) // HEIGHT]

    def channel(n):
        k = (n + hue * 6) % 6
        return light * (1 - saturation * max(0, min(k, 4 - k, 1)))

    return channel(5), channel(3), channel(1)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write(name, code_points, encode, metadata=b"", factor=1.0):
    rows = b""
    for y in range(HEIGHT):
        levels = [round(min(1, encode(light * factor)) * 65535) for x in range(WIDTH) for light in pixel(x, y)]
        rows += b"\0" + struct.pack(f">{len(levels)}H", *levels)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    primaries, transfer = code_points
    parts = [chunk(b"IHDR", header), chunk(b"cICP", bytes([primaries, transfer, 0, 1])), metadata]
    parts += [chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")]
    (Path(__file__).parent / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


write("pq.png", (9, 16), pq)
write("pq-p3.png", (12, 16), pq)
write("pq-4000.png", (9, 16), pq, chunk(b"cLLI", struct.pack(">II", 4000 * 10000, 400 * 10000)), 4.0)
display = struct.pack(">8HII", 34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 600 * 10000, 1)
write("pq-mdcv.png", (9, 16), pq, chunk(b"mDCV", display), 0.6)
write("hlg.png", (9, 18), hlg)
write("p3.png", (12, 13), srgb)
