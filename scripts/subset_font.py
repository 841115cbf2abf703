"""Makes the font of the contact sheet: what of a font GB 2312 has, without layout tables.

    pip download --no-deps pylopdf-fonts-zh-cn==0.1.1   # a wheel; unpack NotoSansSC-Regular.otf
    python scripts/subset_font.py NotoSansSC-Regular.otf \
        client/lafi_client/fonts/NotoSansSC-GB2312.otf
"""

from __future__ import annotations

import sys

from fontTools import subset


def characters() -> str:
    """Western letters and punctuation, and GB 2312: 6,763 Chinese characters and its signs."""
    rows = (bytes((row, cell)) for row in range(0xA1, 0xF8) for cell in range(0xA1, 0xFF))
    chinese = (pair.decode("gb2312", "ignore") for pair in rows)
    latin = map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x2010, 0x2040), 0x20AC])
    return "".join([*latin, *chinese])


def main(source: str, target: str) -> None:
    """Write the part of `source` to `target`."""
    options = subset.Options(
        layout_features=[],
        hinting=False,
        notdef_outline=True,
        glyph_names=False,
        name_IDs=["*"],
    )
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "BASE", "VORG", "vhea", "vmtx"]
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=characters())
    subsetter.subset(font)
    subset.save_font(font, target, options)


if __name__ == "__main__":
    main(*sys.argv[1:])
