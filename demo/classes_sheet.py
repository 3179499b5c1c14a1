"""A contact sheet: many pictures under one another, each with its name."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

SIDE = 128  # pixels of a picture
GAP, CAPTION = 8, 20  # pixels
WIDEST = 16  # pictures in a row
_FONT = 13


def contact_sheet(pictures: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Lay out pictures with their captions, in rows that make the sheet a little wider than high.

    Args:
        pictures: square pictures and what is written under them; a caption that is too long is shortened.
    """
    columns = min(len(pictures), WIDEST, max(4, round((1.6 * len(pictures)) ** 0.5)))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (GAP + columns * (SIDE + GAP), GAP + rows * (SIDE + CAPTION + GAP)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for number, (picture, caption) in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + CAPTION + GAP)
        sheet.paste(ImageOps.fit(picture, (SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
        draw.text((left, top + SIDE + 2), _fitting(caption, draw, font), fill="black", font=font)
    return sheet


def _fitting(caption: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont) -> str:
    if draw.textlength(caption, font) <= SIDE:
        return caption
    while caption and draw.textlength(caption + "...", font) > SIDE:
        caption = caption[:-1]
    return caption.rstrip() + "..."
