#!/usr/bin/env python3
"""Makes the test pictures of tintype.

Every picture under generated/, hostile/ and regressions/ comes from this script, together
with expected.tsv and expected-frames.tsv, which say what a correct decoder
must see in them.  The numbers in those two tables are worked out from the
picture that was meant, never by decoding the file that was written, so they
are a judgement on the decoder and not an echo of one.

    python3 generate.py            write generated/, hostile/, regressions/ and the tables
    python3 generate.py --photos   also write the derived files in photos/
    python3 generate.py --check    read everything back with Pillow and compare

Written for Python 3.11, Pillow 13 (with its usual codecs) and numpy 2.  There
is no randomness beyond one fixed seed; with the same library versions the same
bytes come out.  Other versions of zlib, libjpeg, libtiff or libwebp may write
other bytes for the same picture.
"""

import argparse
import io
import itertools
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

HERE = Path(__file__).resolve().parent
GENERATED = HERE / "generated"
HOSTILE = HERE / "hostile"
REGRESSIONS = HERE / "regressions"
PHOTOS = HERE / "photos"

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 160, 60), (30, 60, 200), (240, 210, 40)
QUARTERS = (RED, GREEN, BLUE, YELLOW)  # top-left, top-right, bottom-left, bottom-right
WHITE = (255, 255, 255)

expected = []  # rows of expected.tsv
expected_frames = []  # rows of expected-frames.tsv


# ---------------------------------------------------------------------------
# Expected pictures
# ---------------------------------------------------------------------------


def as_rgba(pixels):
    """Any of H*W, H*W*2, H*W*3 or H*W*4 as an H*W*4 float array, 0 to 255."""
    p = np.asarray(pixels, dtype=np.float64)
    if p.ndim == 2:
        p = p[:, :, None]
    if p.shape[2] in (1, 2):
        p = np.concatenate([p[:, :, :1]] * 3 + [p[:, :, 1:]], axis=2)
    if p.shape[2] == 3:
        p = np.concatenate([p, np.full(p.shape[:2] + (1,), 255.0)], axis=2)
    return p


def quarter_means(pixels):
    """Mean colour of the four quarters over white, as "TL;TR;BL;BR" in hex.

    The mean is of the encoded sRGB values, not of linear light.
    """
    p = as_rgba(pixels)
    alpha = p[:, :, 3:] / 255.0
    rgb = p[:, :, :3] * alpha + 255.0 * (1.0 - alpha)
    h, w = rgb.shape[0] // 2, rgb.shape[1] // 2
    parts = (rgb[:h, :w], rgb[:h, w:], rgb[h:, :w], rgb[h:, w:])
    means = [np.floor(part.mean(axis=(0, 1)) + 0.5).astype(int) for part in parts]
    return ";".join("%02x%02x%02x" % tuple(m) for m in means)


def expect(path, pixels, frames=1):
    """Notes that `path` must be shown as `pixels` (its first frame, if it moves)."""
    h, w = np.asarray(pixels).shape[:2]
    expected.append((path.relative_to(HERE).as_posix(), w, h, frames, quarter_means(pixels)))


# ---------------------------------------------------------------------------
# The pictures themselves
# ---------------------------------------------------------------------------


def flat_quarters(w, h, colours=QUARTERS):
    """Four flat quarters, as an H*W*N array of bytes."""
    p = np.zeros((h, w, len(colours[0])), np.uint8)
    p[: h // 2, : w // 2] = colours[0]
    p[: h // 2, w // 2 :] = colours[1]
    p[h // 2 :, : w // 2] = colours[2]
    p[h // 2 :, w // 2 :] = colours[3]
    return p


def f_mask(w, h):
    """True where a letter F stands: no turn or mirror image of it equals it."""
    mask = np.zeros((h, w), bool)

    def bar(x0, y0, x1, y1):
        mask[round(y0 * h) : round(y1 * h), round(x0 * w) : round(x1 * w)] = True

    bar(0.40, 0.2, 0.467, 0.8)  # stem
    bar(0.40, 0.2, 0.667, 0.3)  # upper arm
    bar(0.40, 0.4, 0.6, 0.5)  # lower arm
    return mask


def scene(w=120, h=80):
    """The usual test picture: four coloured quarters with a white F on them."""
    p = flat_quarters(w, h)
    p[f_mask(w, h)] = WHITE
    return p


def notched_scene(w, h):
    """The test picture with alpha and a transparent square in its top-left corner."""
    p = np.dstack([scene(w, h), np.full((h, w), 255, np.uint8)])
    side = min(w, h) // 4
    p[:side, :side] = (0, 0, 0, 0)
    return p


def busy_scene(w=240, h=160):
    """The test picture with smooth noise on it, so that its coded data is long."""
    rng = np.random.default_rng(20240229)
    coarse = rng.integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8)
    noise = np.asarray(Image.fromarray(coarse).resize((w, h), Image.Resampling.BICUBIC), np.int16)
    return np.clip(scene(w, h).astype(np.int16) + (noise - 128) // 3, 0, 255).astype(np.uint8)


def indexed(pixels):
    """(indices, palette) of a picture with at most 256 colours."""
    flat = pixels.reshape(-1, pixels.shape[-1])
    palette, index = np.unique(flat, axis=0, return_inverse=True)
    assert len(palette) <= 256
    return index.reshape(pixels.shape[:2]).astype(np.uint8), palette.astype(np.uint8)


# ---------------------------------------------------------------------------
# PNG and APNG, written by hand so that every chunk is known
# ---------------------------------------------------------------------------

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_scanlines(pixels):
    """Filtered and deflated picture data; 16-bit samples become big-endian."""
    p = np.asarray(pixels)
    bpp = (1 if p.ndim == 2 else p.shape[2]) * p.dtype.itemsize
    if p.dtype == np.uint16:
        p = p.astype(">u2")
    rows = np.frombuffer(np.ascontiguousarray(p).tobytes(), np.uint8).reshape(p.shape[0], -1)
    rows = rows.astype(np.int16)
    out = bytearray()
    above = np.zeros_like(rows[0])
    for row in rows:
        left = np.concatenate([np.zeros(bpp, np.int16), row[:-bpp]])
        corner = np.concatenate([np.zeros(bpp, np.int16), above[:-bpp]])
        guess = left + above - corner
        da, db, dc = abs(guess - left), abs(guess - above), abs(guess - corner)
        paeth = np.where((da <= db) & (da <= dc), left, np.where(db <= dc, above, corner))
        tries = [row, row - left, row - above, row - (left + above) // 2, row - paeth]
        tries = [t.astype(np.uint8) for t in tries]
        # the usual guess at the best filter: the smallest sum of signed values
        best = min(range(5), key=lambda i: int(abs(tries[i].view(np.int8).astype(int)).sum()))
        out.append(best)
        out += tries[best].tobytes()
        above = row
    return zlib.compress(bytes(out), 9)


PNG_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}  # samples per pixel: colour type


def png_header(w, h, pixels, palette=None):
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    colour = 3 if palette is not None else PNG_COLOUR[channels]
    depth = pixels.dtype.itemsize * 8
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, 0))


def png_bytes(pixels, palette=None, trns=None, icc=None, exif=None):
    h, w = pixels.shape[:2]
    out = PNG_SIGNATURE + png_header(w, h, pixels, palette)
    if icc is not None:
        out += png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc, 9))
    if palette is not None:
        out += png_chunk(b"PLTE", palette.tobytes())
    if trns is not None:
        out += png_chunk(b"tRNS", bytes(trns))
    if exif is not None:
        out += png_chunk(b"eXIf", exif)
    return out + png_chunk(b"IDAT", png_scanlines(pixels)) + png_chunk(b"IEND")


# ---------------------------------------------------------------------------
# Animation: one list of frames, composed here and stored as GIF and APNG
# ---------------------------------------------------------------------------

KEEP, CLEAR, RESTORE = "keep", "clear", "restore"  # what happens after a frame is shown


@dataclass
class Frame:
    x: int
    y: int
    pixels: np.ndarray  # H*W*4, alpha 0 or 255
    delay: int  # milliseconds
    disposal: str


def disc(size, colour):
    """A filled circle on transparent ground."""
    c = np.arange(size) - (size - 1) / 2
    inside = c[:, None] ** 2 + c[None, :] ** 2 <= (size / 2) ** 2
    p = np.zeros((size, size, 4), np.uint8)
    p[inside] = colour + (255,)
    return p


def animation():
    """Five frames that use each kind of disposal, partial areas and transparency."""
    frame_bar = np.zeros((16, 32, 4), np.uint8)
    frame_bar[:] = (0, 200, 200, 255)
    frame_bar[6:10] = 0
    return [
        Frame(0, 0, notched_scene(96, 64), 50, KEEP),
        Frame(12, 20, disc(24, (255, 255, 255)), 100, RESTORE),
        Frame(60, 8, disc(24, (200, 0, 200)), 150, CLEAR),
        Frame(56, 12, frame_bar, 200, KEEP),
        Frame(40, 36, disc(24, (10, 10, 10)), 250, KEEP),
    ]


def composed(frames):
    """The whole canvas as it is shown during each frame."""
    canvas = np.zeros_like(frames[0].pixels)
    shown = []
    for f in frames:
        h, w = f.pixels.shape[:2]
        area = (slice(f.y, f.y + h), slice(f.x, f.x + w))
        before = canvas.copy()
        solid = f.pixels[:, :, 3] == 255
        canvas[area][solid] = f.pixels[solid]
        shown.append(canvas.copy())
        if f.disposal == CLEAR:
            canvas[area] = 0
        elif f.disposal == RESTORE:
            canvas = before
    return shown


def expect_animation(path, frames, plays):
    """`plays`: how often the animation runs in all; 0 means for ever."""
    shown = composed(frames)
    expect(path, shown[0], frames=len(frames))
    name = path.relative_to(HERE).as_posix()
    for i, (f, canvas) in enumerate(zip(frames, shown, strict=True)):
        expected_frames.append((name, plays, i, f.delay, quarter_means(canvas)))


def gif_lzw(indices, bits):
    """GIF's LZW, cut into sub-blocks."""
    clear, stop = 1 << bits, (1 << bits) + 1
    acc = filled = 0
    out = bytearray()

    def emit(code, size):
        nonlocal acc, filled
        acc |= code << filled
        filled += size
        while filled >= 8:
            out.append(acc & 255)
            acc >>= 8
            filled -= 8

    size = bits + 1
    table = {(i,): i for i in range(clear)}
    following = stop + 1
    emit(clear, size)
    prefix = ()
    for i in indices:
        longer = prefix + (int(i),)
        if longer in table:
            prefix = longer
            continue
        emit(table[prefix], size)
        if following < 4096:
            table[longer] = following
            if following == 1 << size:
                size += 1
            following += 1
        else:  # the table is full: start again
            emit(clear, size)
            size = bits + 1
            table = {(i,): i for i in range(clear)}
            following = stop + 1
        prefix = longer[-1:]
    emit(table[prefix], size)
    emit(stop, size)
    if filled:
        out.append(acc & 255)
    blocks = b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255))
    return bytes([bits]) + blocks + b"\0"


def gif_bytes(frames, repeats=None):
    """An animated GIF.

    `repeats` is the number in the NETSCAPE2.0 block: 0 for ever, n for n more
    times after the first.  None leaves the block out: the GIF plays once.
    """
    solid = np.concatenate([f.pixels[f.pixels[:, :, 3] == 255] for f in frames])
    colours = np.unique(solid[:, :3], axis=0)
    bits = max(2, int(np.ceil(np.log2(len(colours) + 1))))
    clear_index = len(colours)  # the transparent entry follows the colours
    lookup = {tuple(int(v) for v in c): i for i, c in enumerate(colours)}
    palette = colours.astype(np.uint8).tobytes().ljust(3 << bits, b"\0")
    h, w = frames[0].pixels.shape[:2]
    out = b"GIF89a" + struct.pack("<HHBBB", w, h, 0x80 | (bits - 1) << 4 | (bits - 1), 0, 0) + palette
    if repeats is not None:
        out += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0"
    disposals = {KEEP: 1, CLEAR: 2, RESTORE: 3}
    for f in frames:
        fh, fw = f.pixels.shape[:2]
        flags = disposals[f.disposal] << 2 | 1
        out += b"\x21\xf9\x04" + struct.pack("<BHBB", flags, f.delay // 10, clear_index, 0)
        out += b"\x2c" + struct.pack("<HHHHB", f.x, f.y, fw, fh, 0)
        indices = [
            lookup[tuple(int(v) for v in p[:3])] if p[3] else clear_index for p in f.pixels.reshape(-1, 4)
        ]
        out += gif_lzw(indices, bits)
    return out + b"\x3b"


def apng_bytes(frames, plays):
    h, w = frames[0].pixels.shape[:2]
    out = PNG_SIGNATURE + png_header(w, h, frames[0].pixels)
    out += png_chunk(b"acTL", struct.pack(">II", len(frames), plays))
    disposals = {KEEP: 0, CLEAR: 1, RESTORE: 2}
    sequence = 0
    for i, f in enumerate(frames):
        fh, fw = f.pixels.shape[:2]
        control = struct.pack(
            ">IIIIIHHBB", sequence, fw, fh, f.x, f.y, f.delay, 1000, disposals[f.disposal], 1
        )
        out += png_chunk(b"fcTL", control)
        sequence += 1
        if i == 0:
            out += png_chunk(b"IDAT", png_scanlines(f.pixels))
        else:
            out += png_chunk(b"fdAT", struct.pack(">I", sequence) + png_scanlines(f.pixels))
            sequence += 1
    return out + png_chunk(b"IEND")


# ---------------------------------------------------------------------------
# EXIF orientation
# ---------------------------------------------------------------------------

# how to turn the upright picture into the stored one, for each EXIF value
STORED_AS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, 1),  # counter-clockwise; shown by turning it clockwise
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def exif_orientation(value, big_endian):
    """A TIFF header with one directory with one entry: Orientation (0x0112, SHORT)."""
    e = ">" if big_endian else "<"
    return (
        struct.pack(e + "2sHI", b"MM" if big_endian else b"II", 42, 8)
        + struct.pack(e + "HHHIHH", 1, 0x0112, 3, 1, value, 0)
        + struct.pack(e + "I", 0)
    )


# ---------------------------------------------------------------------------
# ICC profiles, built from the primaries and the curve of each colour space
# ---------------------------------------------------------------------------

D65 = (0.3127, 0.3290)
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256
D50_XYZ = np.array([0.9642, 1.0, 0.8249])  # the profile connection space's white


def xyz_of(xy):
    return np.array([xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]])


def rgb_to_xyz(primaries):
    """Linear RGB to XYZ, both relative to D65."""
    m = np.array([xyz_of(p) for p in primaries]).T
    return m * np.linalg.solve(m, xyz_of(D65))


def d65_to_d50():
    """Bradford chromatic adaptation."""
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = np.diag((cone @ D50_XYZ) / (cone @ xyz_of(D65)))
    return np.linalg.inv(cone) @ scale @ cone


def s15f16(values):
    return b"".join(struct.pack(">i", round(float(v) * 65536)) for v in np.ravel(values))


def text_v2(text):
    """A textDescriptionType: ASCII, then empty Unicode and Macintosh parts."""
    ascii_part = text.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(ascii_part)) + ascii_part + bytes(4 + 4 + 2 + 1 + 67)


def text_v4(text):
    """A multiLocalizedUnicodeType with one English record."""
    utf16 = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(utf16), 28) + utf16


def matrix_profile(name, primaries, curve, v4):
    """A display profile: three colorants and one curve for all channels."""
    adapt = d65_to_d50()
    colorants = adapt @ rgb_to_xyz(primaries)

    def xyz(v):
        return b"XYZ \0\0\0\0" + s15f16(v)

    owner = "No copyright, use freely"
    tags = [
        (b"desc", text_v4(name) if v4 else text_v2(name)),
        (b"cprt", text_v4(owner) if v4 else b"text\0\0\0\0" + owner.encode("ascii") + b"\0"),
        (b"wtpt", xyz(D50_XYZ)),
        (b"chad", b"sf32\0\0\0\0" + s15f16(adapt)),
        (b"rXYZ", xyz(colorants[:, 0])),
        (b"gXYZ", xyz(colorants[:, 1])),
        (b"bXYZ", xyz(colorants[:, 2])),
        (b"rTRC", curve),
        (b"gTRC", curve),
        (b"bTRC", curve),
    ]
    start = 128 + 4 + 12 * len(tags)
    table, body, placed = struct.pack(">I", len(tags)), b"", {}
    for signature, data in tags:
        if data not in placed:  # the three curves share one place
            placed[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", signature, placed[data], len(data))
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI",
        start + len(body),
        b"\0\0\0\0",  # no preferred colour engine
        0x04200000 if v4 else 0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        *(2024, 2, 29, 0, 0, 0),
        b"acsp",
        b"\0\0\0\0",
        0,
        b"\0\0\0\0",
        b"\0\0\0\0",
        0,
        0,  # perceptual intent
    )
    header += s15f16(D50_XYZ)
    return header.ljust(128, b"\0") + table + body


def srgb_curve_tag():
    """The sRGB curve as a parametric curve of type 3."""
    return (
        b"para\0\0\0\0"
        + struct.pack(">HH", 3, 0)
        + s15f16([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
    )


def gamma_curve_tag(gamma):
    """A pure power curve as a curveType with one u8Fixed8 number."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


P3_PROFILE = matrix_profile("tintype test P3 D65", P3_PRIMARIES, srgb_curve_tag(), v4=True)
ADOBE_PROFILE = matrix_profile(
    "tintype test RGB, Adobe RGB (1998) compatible", ADOBE_PRIMARIES, gamma_curve_tag(ADOBE_GAMMA), v4=False
)
SRGB_PROFILE = matrix_profile("tintype test sRGB", SRGB_PRIMARIES, srgb_curve_tag(), v4=True)


def srgb_decode(v):
    v = np.asarray(v, float)
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_encode(v):
    v = np.asarray(v, float)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


def convert(colour, source, decode, target, encode):
    """One 8-bit colour from one space to another, unrounded, which must be in gamut."""
    linear = np.linalg.solve(rgb_to_xyz(target), rgb_to_xyz(source) @ decode(np.array(colour) / 255))
    assert linear.min() > 0 and linear.max() < 1, (colour, linear)
    return encode(linear) * 255


def through_ycbcr(colour):
    """A colour as JPEG can hold it: rounded as Y, Cb and Cr, then back to RGB."""
    r, g, b = colour
    y = np.rint(0.299 * r + 0.587 * g + 0.114 * b)
    cb = np.rint(-0.168736 * r - 0.331264 * g + 0.5 * b)
    cr = np.rint(0.5 * r - 0.418688 * g - 0.081312 * b)
    rgb = (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)
    return tuple(int(np.clip(np.rint(v), 0, 255)) for v in rgb)


def wide_quarters(primaries, decode, encode):
    """(values to store, sRGB values to be shown) of four colours in another space.

    The colours shown are picked first, then stored as the nearest values that
    a JPEG can hold; what is expected is then worked out again from those.
    """
    wanted = ((240, 70, 60), (70, 220, 80), (70, 80, 230), (240, 230, 80))
    stored, shown = [], []
    for colour in wanted:
        stored.append(through_ycbcr(convert(colour, SRGB_PRIMARIES, srgb_decode, primaries, encode)))
        shown.append(tuple(convert(stored[-1], primaries, decode, SRGB_PRIMARIES, srgb_encode)))
    return stored, shown


# ---------------------------------------------------------------------------
# Other small formats
# ---------------------------------------------------------------------------


def qoi_bytes(pixels):
    """QOI, three channels, with every kind of chunk that RGB pictures use."""
    h, w = pixels.shape[:2]
    out = bytearray(b"qoif" + struct.pack(">IIBB", w, h, 3, 0))
    seen = [(0, 0, 0, 0)] * 64
    last, run = (0, 0, 0), 0
    for p in (tuple(int(v) for v in q) for q in pixels.reshape(-1, 3)):
        if p == last:
            run += 1
            if run == 62:
                out.append(0xC0 | 61)
                run = 0
            continue
        if run:
            out.append(0xC0 | run - 1)
            run = 0
        slot = (p[0] * 3 + p[1] * 5 + p[2] * 7 + 255 * 11) % 64
        if seen[slot] == p + (255,):
            out.append(slot)
        else:
            seen[slot] = p + (255,)
            dr, dg, db = ((p[i] - last[i] + 128) % 256 - 128 for i in range(3))
            if all(-2 <= d <= 1 for d in (dr, dg, db)):
                out.append(0x40 | dr + 2 << 4 | dg + 2 << 2 | db + 2)
            elif -32 <= dg <= 31 and -8 <= dr - dg <= 7 and -8 <= db - dg <= 7:
                out += bytes([0x80 | dg + 32, dr - dg + 8 << 4 | db - dg + 8])
            else:
                out += bytes([0xFE, *p])
        last = p
    if run:
        out.append(0xC0 | run - 1)
    return bytes(out) + bytes(7) + b"\1"


def ico_bytes(sizes, png_sizes):
    """An icon file: 32-bit bitmaps for `sizes`, PNG for `png_sizes`."""
    images = []
    for n in sizes:
        p = notched_scene(n, n)
        header = struct.pack("<IiiHHIIiiII", 40, n, n * 2, 1, 32, 0, 0, 0, 0, 0, 0)
        mask = np.zeros((n, (n + 31) // 32 * 32), np.uint8)
        mask[:, :n] = p[:, :, 3] == 0
        mask = np.packbits(mask[::-1], axis=1).tobytes()
        images.append((n, header + p[::-1][:, :, [2, 1, 0, 3]].tobytes() + mask))
    images += [(n, png_bytes(notched_scene(n, n))) for n in png_sizes]
    out = struct.pack("<HHH", 0, 1, len(images))
    at = 6 + 16 * len(images)
    for n, data in images:
        out += struct.pack("<BBBBHHII", n % 256, n % 256, 0, 0, 1, 32, len(data), at)
        at += len(data)
    return out + b"".join(data for _, data in images)


def saved(image, kind, **options):
    """What Pillow writes for an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_bytes(pixels, **options):
    options = {"quality": 92, "subsampling": 0} | options
    return saved(Image.fromarray(np.ascontiguousarray(pixels)), "JPEG", **options)


def put(path, data):
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------------------
# generated/
# ---------------------------------------------------------------------------


def make_oriented():
    upright = scene()
    for value, turn in STORED_AS.items():
        # even values are written big-endian, odd ones little-endian
        exif = exif_orientation(value, big_endian=value % 2 == 0)
        data = jpeg_bytes(turn(upright), exif=b"Exif\0\0" + exif)
        expect(put(GENERATED / f"orient-{value}.jpg", data), upright)

    turned = np.ascontiguousarray(STORED_AS[6](upright))
    exif = exif_orientation(6, big_endian=True)
    expect(put(GENERATED / "orient-6.png", png_bytes(turned, exif=exif)), upright)
    data = saved(Image.fromarray(turned), "WEBP", lossless=True, exif=b"Exif\0\0" + exif)
    expect(put(GENERATED / "orient-6.webp", data), upright)
    data = saved(Image.fromarray(turned), "TIFF", compression="tiff_lzw", tiffinfo={0x0112: 6})
    expect(put(GENERATED / "orient-6.tif", data), upright)


def make_alpha_and_depths():
    w, h = 120, 80
    across = np.rint(np.linspace(0, 255, w))[None, :].repeat(h, 0).astype(np.uint8)
    down = np.rint(np.linspace(0, 255, h))[:, None].repeat(w, 1).astype(np.uint8)

    # fully transparent pixels keep their colour: careless resizing lets it bleed
    ramp = np.dstack([scene(w, h), across])
    expect(put(GENERATED / "alpha.png", png_bytes(ramp)), ramp)
    data = saved(Image.fromarray(ramp, "RGBA"), "WEBP", lossless=True, exact=True)
    expect(put(GENERATED / "alpha.webp", data), ramp)

    opaque = np.dstack([scene(w, h), np.full((h, w), 255, np.uint8)])
    expect(put(GENERATED / "opaque-rgba.png", png_bytes(opaque)), opaque)

    # a palette whose entries have alpha of their own; the F is a hole
    index, palette = indexed(scene(w, h))
    alpha_of = {RED: 255, GREEN: 170, BLUE: 85, YELLOW: 255, WHITE: 0}
    trns = np.array([alpha_of[tuple(int(v) for v in c)] for c in palette], np.uint8)
    data = png_bytes(index, palette=palette, trns=trns)
    expect(put(GENERATED / "palette-trns.png", data), np.dstack([palette[index], trns[index]]))

    grey_alpha = np.dstack([down, across])
    expect(put(GENERATED / "grey-alpha.png", png_bytes(grey_alpha)), grey_alpha)
    expect(put(GENERATED / "grey.png", png_bytes(down)), down)

    # red runs across, green runs down, blue runs along the diagonal, in steps
    # much finer than eight bits can hold
    x = np.linspace(0, 65535, w)[None, :].repeat(h, 0)
    y = np.linspace(0, 65535, h)[:, None].repeat(w, 1)
    deep = np.rint(np.dstack([x, y, (x + y) / 2])).astype(np.uint16)
    expect(put(GENERATED / "rgb16.png", png_bytes(deep)), deep / 257)


def make_lossy_webps():
    """What a VP8 decoder is compared with another by: whole and half macroblocks, and alpha beside them."""
    usual, odd = scene(), scene(121, 81)
    data = saved(Image.fromarray(usual), "WEBP", quality=90)
    expect(put(GENERATED / "lossy.webp", data), usual)
    data = saved(Image.fromarray(odd), "WEBP", quality=75, method=6)
    expect(put(GENERATED / "lossy-odd.webp", data), odd)
    across = np.rint(np.linspace(0, 255, 120))[None, :].repeat(80, 0).astype(np.uint8)
    ramp = np.dstack([usual, across])
    data = saved(Image.fromarray(ramp, "RGBA"), "WEBP", quality=90, exact=True)
    expect(put(GENERATED / "lossy-alpha.webp", data), ramp)


def make_animations():
    frames = animation()
    name = GENERATED / "animated.gif"
    expect_animation(put(name, gif_bytes(frames, repeats=0)), frames, plays=0)
    # without a NETSCAPE2.0 block a GIF is shown once
    name = GENERATED / "animated-once.gif"
    expect_animation(put(name, gif_bytes(frames)), frames, plays=1)
    # the number in the block is 3: shown once, then repeated three times
    name = GENERATED / "animated-3.gif"
    expect_animation(put(name, gif_bytes(frames, repeats=3)), frames, plays=4)
    name = GENERATED / "animated.png"
    expect_animation(put(name, apng_bytes(frames, plays=0)), frames, plays=0)

    # WebP is given whole canvases; libwebp finds the changed areas by itself
    canvases = [Image.fromarray(c, "RGBA") for c in composed(frames)]
    data = saved(
        canvases[0],
        "WEBP",
        save_all=True,
        append_images=canvases[1:],
        duration=[f.delay for f in frames],
        loop=0,
        lossless=True,
        background=(0, 0, 0, 0),
    )
    expect_animation(put(GENERATED / "animated.webp", data), frames, plays=0)


def make_other_formats():
    # 118 pixels: rows of both bitmaps need padding to four bytes
    padded = scene(118, 78)
    expect(put(GENERATED / "bmp24.bmp", saved(Image.fromarray(padded), "BMP")), padded)
    index, palette = indexed(padded)
    image = Image.fromarray(index, "P")
    image.putpalette(palette.tobytes())
    expect(put(GENERATED / "bmp8.bmp", saved(image, "BMP")), padded)

    p = scene()
    grey = np.asarray(Image.fromarray(p).convert("L"))
    expect(put(GENERATED / "rgb.tif", saved(Image.fromarray(p), "TIFF", compression="tiff_lzw")), p)
    # 317 is the Predictor tag; 2 is horizontal differencing
    data = saved(Image.fromarray(p), "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 2})
    expect(put(GENERATED / "rgb-deflate.tif", data), p)
    expect(put(GENERATED / "grey.tif", saved(Image.fromarray(grey), "TIFF")), grey)

    # inks without a profile: shown as (255 - ink) * (255 - black) / 255
    inks = ((0, 220, 220, 20), (200, 0, 200, 60), (220, 180, 0, 0), (0, 20, 200, 0))
    cmyk = flat_quarters(128, 96, inks)
    plain = (255.0 - cmyk[:, :, :3]) * (255.0 - cmyk[:, :, 3:]) / 255.0
    image = Image.fromarray(cmyk, "CMYK")
    expect(put(GENERATED / "cmyk.tif", saved(image, "TIFF", compression="tiff_lzw")), plain)
    # Pillow, like Photoshop, stores the inks inverted and adds an Adobe marker
    expect(put(GENERATED / "cmyk.jpg", saved(image, "JPEG", quality=95)), plain)

    data = ico_bytes(sizes=(16, 32, 48), png_sizes=(256,))
    expect(put(GENERATED / "ico.ico", data), notched_scene(256, 256))
    expect(put(GENERATED / "rgb.ppm", b"P6\n120 80\n255\n" + p.tobytes()), p)
    expect(put(GENERATED / "grey.pgm", b"P5\n120 80\n255\n" + grey.tobytes()), grey)
    # noise on the scene, so that QOI's difference chunks occur too
    busy = busy_scene(120, 80)
    expect(put(GENERATED / "qoi.qoi", qoi_bytes(busy)), busy)


def make_wide_gamut():
    # 128 by 96: the quarters end on the 16-pixel blocks of JPEG
    w, h = 128, 96
    stored, shown = wide_quarters(P3_PRIMARIES, srgb_decode, srgb_encode)
    picture = flat_quarters(w, h, stored)
    wanted = np.empty((h, w, 3))
    wanted[:] = flat_quarters(w, h, np.rint(shown).astype(int))
    expect(put(GENERATED / "p3.png", png_bytes(picture, icc=P3_PROFILE)), wanted)
    data = jpeg_bytes(picture, quality=100, icc_profile=P3_PROFILE)
    expect(put(GENERATED / "p3.jpg", data), wanted)

    stored, shown = wide_quarters(ADOBE_PRIMARIES, lambda v: v**ADOBE_GAMMA, lambda v: v ** (1 / ADOBE_GAMMA))
    wanted[:] = flat_quarters(w, h, np.rint(shown).astype(int))
    data = jpeg_bytes(flat_quarters(w, h, stored), quality=100, icc_profile=ADOBE_PROFILE)
    expect(put(GENERATED / "adobe-rgb.jpg", data), wanted)


def make_resampling_targets():
    # rings whose frequency reaches half the sampling rate at the middle of each edge
    n = 512
    c = np.arange(n) - (n - 1) / 2
    zone = 127.5 + 127.5 * np.cos(np.pi * (c[:, None] ** 2 + c[None, :] ** 2) / n)
    zone = np.rint(zone).astype(np.uint8)
    expect(put(GENERATED / "zone-plate.png", png_bytes(zone)), zone)

    # one-pixel lines at ever wider distances: gamma-blind resizing darkens them
    lines = np.zeros((300, 400, 3), np.uint8)
    x = y = step = 4
    while x < 400:
        lines[:, x] = WHITE
        x, step = x + step, step + 1
    step = 4
    while y < 300:
        lines[y, :] = (255, 220, 120)
        y, step = y + step, step + 1
    expect(put(GENERATED / "thin-lines.png", png_bytes(lines)), lines)

    # half of the light: a resizer that works in linear light gives 188, one
    # that does not gives 128; expected.tsv holds the plain mean of the bytes
    checker = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    expect(put(GENERATED / "checker.png", png_bytes(checker)), checker)


SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="120" height="80" viewBox="0 0 120 80">
  <path fill="#dc1e1e" d="M0 0h60v40H0z"/>
  <path fill="#1ea03c" d="M60 0h60v40H60z"/>
  <path fill="#1e3cc8" d="M0 40h60v40H0z"/>
  <path fill="#f0d228" d="M60 40h60v40H60z"/>
{script}  <path fill="#fff" d="M48 16h32v8H56v8h16v8H56v24h-8z"/>
</svg>
"""


def make_svgs():
    """Not in expected.tsv: tintype passes SVG through and never draws it."""
    put(GENERATED / "svg.svg", SVG.format(script="").encode())
    script = '  <script>document.documentElement.setAttribute("data-script", "ran")</script>\n'
    put(GENERATED / "svg-script.svg", SVG.format(script=script).encode())


# ---------------------------------------------------------------------------
# hostile/
# ---------------------------------------------------------------------------


def cut(data):
    return data[: len(data) * 60 // 100]


def make_hostile():
    put(HOSTILE / "empty.jpg", b"")
    put(HOSTILE / "one-byte.png", b"\x89")
    page = b"<!DOCTYPE html>\n<title>Not a picture</title>\n<script>alert(1)</script>\n<p>Not a picture\n"
    put(HOSTILE / "html-named.jpg", page)
    put(HOSTILE / "text.txt", b"This is plain text and not a picture.\n")

    busy = busy_scene()
    put(HOSTILE / "truncated.jpg", cut(jpeg_bytes(busy, quality=85, subsampling=2)))
    put(HOSTILE / "truncated.png", cut(png_bytes(busy)))
    put(HOSTILE / "truncated.webp", cut(saved(Image.fromarray(busy), "WEBP", quality=85)))
    # one frame, cut inside its data
    few = busy & 0xC0  # few enough colours for a palette
    still = Frame(0, 0, np.dstack([few, np.full(few.shape[:2], 255, np.uint8)]), 0, KEEP)
    put(HOSTILE / "truncated.gif", cut(gif_bytes([still])))
    # several frames, of which the first is whole
    put(HOSTILE / "truncated-animated.gif", gif_bytes(animation(), repeats=0)[:-150])

    # a header that asks for 30 GB of pixels, and two rows' worth of nothing
    huge = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    data = PNG_SIGNATURE + huge + png_chunk(b"IDAT", zlib.compress(bytes(600_002), 9)) + png_chunk(b"IEND")
    put(HOSTILE / "png-header-100000.png", data)

    put(HOSTILE / "png-named.jpg", png_bytes(scene()))

    # a sound sRGB profile followed by zeros up to 64 MiB, its size field agreeing
    size = 64 * 1024 * 1024
    bomb = (struct.pack(">I", size) + SRGB_PROFILE[4:]).ljust(size, b"\0")
    put(HOSTILE / "icc-bomb.png", png_bytes(scene(), icc=bomb))

    rubbish = bytes((i * 73 + 41) % 256 for i in range(600))
    put(HOSTILE / "bad-icc.jpg", jpeg_bytes(scene(), icc_profile=rubbish))


# ---------------------------------------------------------------------------
# regressions/: faults that files in the wild have; regressions/table.tsv says how each is answered
# ---------------------------------------------------------------------------


def grey_profile():
    """A profile of a grey device: white point and one curve."""
    body = b"XYZ \0\0\0\0" + s15f16(D50_XYZ) + gamma_curve_tag(2.2)
    start = 128 + 4 + 12 * 2
    table = struct.pack(">I4sII4sII", 2, b"wtpt", start, 20, b"kTRC", start + 20, 14)
    header = SRGB_PROFILE[4:16] + b"GRAY" + SRGB_PROFILE[20:128]
    body += bytes(-len(body) % 4)
    return struct.pack(">I", start + len(body)) + header + table + body


def webp_chunk(kind, data):
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_file(*chunks):
    body = b"WEBP" + b"".join(webp_chunk(kind, data) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_chunks(data):
    """The chunks of a WebP file by their names; each is there once."""
    found, at = {}, 12
    while at < len(data):
        length = struct.unpack("<I", data[at + 4 : at + 8])[0]
        found[data[at : at + 4]] = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return found


def vp8x(flags, w, h):
    """The header of an extended WebP; flags: 0x20 profile, 0x10 alpha, 0x08 EXIF."""
    return struct.pack("<I", flags) + struct.pack("<I", w - 1)[:3] + struct.pack("<I", h - 1)[:3]


def make_regressions():
    usual = scene()
    sound = jpeg_bytes(usual)
    put(REGRESSIONS / "no-eoi.jpg", sound[:-2])
    # the scan header of a sequential JPEG says 0, 63, 0; some writers leave it zero
    at = sound.index(b"\xff\xda")
    length = struct.unpack(">H", sound[at + 2 : at + 4])[0]
    put(REGRESSIONS / "spectral-selection-zero.jpg", sound[: at + length - 1] + b"\0\0\0" + sound[at + 2 + length :])
    restarts = jpeg_bytes(usual, restart_marker_rows=2)
    last = max(restarts.rfind(bytes((0xFF, 0xD0 + number))) for number in range(8))
    put(REGRESSIONS / "last-restart-missing.jpg", restarts[:last] + b"\xff\xd9")
    put(REGRESSIONS / "rgb-with-grey-profile.jpg", jpeg_bytes(usual, icc_profile=grey_profile()))

    put(REGRESSIONS / "no-iend.png", png_bytes(usual)[:-12])

    # the graphic control extension and the descriptor of the last frame stay, its codes are rubbish
    moving = gif_bytes(animation(), repeats=0)
    codes = moving.rindex(b"\x21\xf9\x04") + 8 + 10 + 1
    rubbish = bytes((i * 73 + 41) % 256 for i in range(len(moving) - codes))
    put(REGRESSIONS / "last-frame-rubbish.gif", moving[:codes] + rubbish)

    # lossy and lossless pictures behind the header of an extended file
    h, w = usual.shape[:2]
    lossy = webp_chunks(saved(Image.fromarray(usual), "WEBP", quality=90))[b"VP8 "]
    across = np.rint(np.linspace(0, 255, w))[None, :].repeat(h, 0).astype(np.uint8)
    ramp = Image.fromarray(np.dstack([usual, across]), "RGBA")
    lossless = webp_chunks(saved(ramp, "WEBP", lossless=True, exact=True))[b"VP8L"]
    put(REGRESSIONS / "exif-flag-without-exif.webp", webp_file((b"VP8X", vp8x(0x08, w, h)), (b"VP8 ", lossy)))
    chunks = (b"VP8X", vp8x(0x20, w, h)), (b"VP8 ", lossy), (b"ICCP", SRGB_PROFILE)
    put(REGRESSIONS / "profile-behind-the-picture.webp", webp_file(*chunks))
    chunks = (b"XYZW", b"unknown"), (b"VP8X", vp8x(0, w, h)), (b"VP8 ", lossy)
    put(REGRESSIONS / "unknown-chunk-first.webp", webp_file(*chunks))
    chunks = (b"VP8X", vp8x(0, w, h)), (b"VP8L", lossless)
    put(REGRESSIONS / "alpha-without-flag.webp", webp_file(*chunks))


# ---------------------------------------------------------------------------
# photos/: files derived from the photographs
# ---------------------------------------------------------------------------


def photo(name):
    """A photograph as an sRGB array, through its embedded profile if it has one."""
    image = Image.open(PHOTOS / name)
    profile = image.info.get("icc_profile")
    image = image.convert("RGB")
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), srgb)
    return np.asarray(image)


def mosaic(w, h):
    """A large picture tiled from the photographs' own pixels, none of them scaled.

    Each free rectangle takes the photograph (turned or mirrored for variety)
    that fills it best, cropped where it is too large; what is left beside and
    below it is filled in the same way.  Photographs that already cover much of
    the picture stand back, so that no single one rules it.
    """
    names = (
        "retina.jpg",
        "hubble_deep_field.jpg",
        "astronaut.png",
        "coffee.png",
        "rocket.jpg",
        "chelsea.png",
    )
    photos = [photo(n) for n in names]
    used = [0] * len(photos)  # how often
    taken = [0] * len(photos)  # how many pixels in all
    canvas = np.zeros((h, w, 3), np.uint8)
    spaces = [(0, 0, w, h)]
    while spaces:
        x, y, sw, sh = spaces.pop()
        if sw <= 0 or sh <= 0:
            continue
        best = None
        for i, turned in itertools.product(range(len(photos)), (False, True)):
            ph, pw = photos[i].shape[1::-1] if turned else photos[i].shape[:2]
            covered = min(pw, sw) * min(ph, sh)
            score = covered**0.5 / (100_000 + taken[i])
            if best is None or score > best[0]:
                best = (score, i, turned)
        _, i, turned = best
        tile = np.rot90(photos[i]) if turned else photos[i]
        tile = tile[:, :: -1 if used[i] & 1 else 1][:: -1 if used[i] & 2 else 1]
        used[i] += 1
        th, tw = min(sh, tile.shape[0]), min(sw, tile.shape[1])
        # the middle of the photograph, where it has to be cropped
        oy, ox = (tile.shape[0] - th) // 2, (tile.shape[1] - tw) // 2
        taken[i] += th * tw
        canvas[y : y + th, x : x + tw] = tile[oy : oy + th, ox : ox + tw]
        spaces.append((x + tw, y, sw - tw, th))
        spaces.append((x, y + th, sw, sh - th))
    return canvas


def make_photos():
    put(PHOTOS / "large-12mp.jpg", jpeg_bytes(mosaic(4032, 3024), quality=85, subsampling=2, optimize=True))
    data = jpeg_bytes(photo("astronaut.png"), quality=85, subsampling=2, progressive=True)
    put(PHOTOS / "astronaut-progressive.jpg", data)
    put(PHOTOS / "coffee-444.jpg", jpeg_bytes(photo("coffee.png"), quality=90, subsampling=0))


# ---------------------------------------------------------------------------
# Writing and checking
# ---------------------------------------------------------------------------


def write_tables():
    lines = ["# path\twidth\theight\tframes\tquarters"]
    lines += ["\t".join(map(str, row)) for row in expected]
    (HERE / "expected.tsv").write_text("\n".join(lines) + "\n")
    lines = ["# path\tplays\tframe\tdelay_ms\tquarters"]
    lines += ["\t".join(map(str, row)) for row in expected_frames]
    (HERE / "expected-frames.tsv").write_text("\n".join(lines) + "\n")


def shown_by_pillow(image):
    """The current frame as Pillow shows it: upright, in sRGB, 8 bits, with alpha."""
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if profile:
        srgb = ImageCms.createProfile("sRGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, source, srgb, renderingIntent=1)
    return np.asarray(image.convert("RGBA"))


def distance(a, b):
    """The largest difference between two lists of quarters."""

    def numbers(quarters):
        return np.array([list(bytes.fromhex(part)) for part in quarters.split(";")], int)

    return int(abs(numbers(a) - numbers(b)).max())


def check(tolerance=3):
    """Compares what Pillow sees with the tables; returns the number of faults."""
    faults = 0

    def rows(name):
        lines = (HERE / name).read_text().splitlines()
        return [line.split("\t") for line in lines if not line.startswith("#")]

    for path, w, h, frames, quarters in rows("expected.tsv"):
        with Image.open(HERE / path) as image:
            n = getattr(image, "n_frames", 1)
            seen = shown_by_pillow(image)
        off = distance(quarter_means(seen), quarters)
        good = (seen.shape[1], seen.shape[0], n) == (int(w), int(h), int(frames)) and off <= tolerance
        faults += not good
        print(
            "ok " if good else "BAD", path, f"{seen.shape[1]}x{seen.shape[0]}", f"frames={n}", f"off by {off}"
        )
    for path, _, frame, delay, quarters in rows("expected-frames.tsv"):
        with Image.open(HERE / path) as image:
            image.seek(int(frame))
            seen = shown_by_pillow(image)
            duration = image.info.get("duration")
        off = distance(quarter_means(seen), quarters)
        good = off <= tolerance and round(duration) == int(delay)
        faults += not good
        print("ok " if good else "BAD", path, f"frame {frame}", f"{duration} ms", f"off by {off}")
    return faults


def main():
    parser = argparse.ArgumentParser(description="Makes the test pictures of tintype.")
    parser.add_argument("--photos", action="store_true", help="also make the derived files in photos/")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; compare the files with the tables"
    )
    options = parser.parse_args()
    if options.check:
        sys.exit(1 if check() else 0)
    GENERATED.mkdir(exist_ok=True)
    HOSTILE.mkdir(exist_ok=True)
    REGRESSIONS.mkdir(exist_ok=True)
    make_oriented()
    make_alpha_and_depths()
    make_lossy_webps()
    make_animations()
    make_other_formats()
    make_wide_gamut()
    make_resampling_targets()
    make_svgs()
    make_hostile()
    make_regressions()
    write_tables()
    if options.photos:
        make_photos()


if __name__ == "__main__":
    main()
