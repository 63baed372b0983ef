"""The fonts of figures: DejaVu Sans, upright and oblique, with the characters that figures use.

python scripts/figure_fonts.py --write    make them anew from the fonts that matplotlib brings

A PDF embeds the characters that it shows. To cut them out of the whole of DejaVu Sans takes longer than
drawing the figure, as its tables for all scripts are read each time. Other characters come from the whole
font. The licence (Bitstream Vera, DejaVu) allows changed fonts under another name; it stands in each file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
from fontTools import subset

FOLDER = Path(__file__).resolve().parents[1] / "src" / "mlproject" / "report" / "figures"
FAMILY = "Figure Sans"
FILES = {"DejaVuSans.ttf": "FigureSans.ttf", "DejaVuSans-Oblique.ttf": "FigureSans-Oblique.ttf"}
SHAPING = ("GDEF", "GPOS", "GSUB", "MATH")
"""Tables that are not needed: the spacing of pairs of letters is in ``kern`` too."""
RANGES = (
    (0x20, 0x7E),
    (0xA0, 0x17F),  # Latin with accents
    (0x370, 0x3FF),  # Greek
    (0x2010, 0x2026),  # dashes, quotation marks
    (0x2070, 0x209C),  # raised and lowered
    (0x2190, 0x2193),  # arrows
)
SIGNS = "‰′″€∂∆∏∑−∗∙√∝∞∣≈≠≤≥⋅"
NAMES = {1: FAMILY, 3: FAMILY, 4: FAMILY, 16: FAMILY}


def write() -> None:
    """Write both fonts."""
    characters = [code for low, high in RANGES for code in range(low, high + 1)] + [
        ord(sign) for sign in SIGNS
    ]
    options = subset.Options(name_IDs=["*"], notdef_outline=True, glyph_names=True, legacy_kern=True)
    options.drop_tables += [*SHAPING, "FFTM"]
    for source, target in FILES.items():
        with subset.load_font(f"{matplotlib.get_data_path()}/fonts/ttf/{source}", options) as font:
            cut = subset.Subsetter(options)
            cut.populate(unicodes=characters)
            cut.subset(font)
            for record in font["name"].names:
                if record.nameID == 6:
                    record.string = target.removesuffix(".ttf")
                elif record.nameID in NAMES:
                    record.string = NAMES[record.nameID]
            font.save(FOLDER / target)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
