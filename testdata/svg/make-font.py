#!/usr/bin/env python3
"""Writes blocks.ttf, a font of four letters whose shapes are known: written for fontTools 4.

a is a full square, b the left half of one, c a triangle, and d has two contours, the inner one a hole.
Its only family is "Tintype Blocks".
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen


def glyph(*contours):
    pen = TTGlyphPen(None)
    for first, *rest in contours:
        pen.moveTo(first)
        for point in rest:
            pen.lineTo(point)
        pen.closePath()
    return pen.glyph()


def box(left, bottom, right, top):
    return [(left, bottom), (left, top), (right, top), (right, bottom)]


GLYPHS = {
    ".notdef": glyph(box(100, 0, 900, 800)),
    "space": glyph(),
    "a": glyph(box(100, 0, 900, 800)),
    "b": glyph(box(100, 0, 500, 800)),
    "c": glyph([(100, 0), (500, 800), (900, 0)]),
    "d": glyph(box(100, 0, 900, 800), box(300, 200, 700, 600)[::-1]),
}

builder = FontBuilder(1000, isTTF=True)
builder.setupGlyphOrder(list(GLYPHS))
builder.setupCharacterMap({32: "space", 97: "a", 98: "b", 99: "c", 100: "d"})
builder.setupGlyf(GLYPHS)
builder.setupHorizontalMetrics({name: (1000, 0 if name == "space" else 100) for name in GLYPHS})
builder.setupHorizontalHeader(ascent=800, descent=-200)
builder.setupNameTable({"familyName": "Tintype Blocks", "styleName": "Regular", "psName": "TintypeBlocks"})
builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
builder.setupPost()
builder.font["head"].created = builder.font["head"].modified = 3_800_000_000
builder.save(Path(__file__).with_name("blocks.ttf"))
