"""Contact sheets: a work and those that are near to it, or two works and why, as one picture with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from artatlas.fonts import Font, font

TILE = 180  # px, the longer side of a neighbour's picture; the query's is TILE + STEP wide
GAP = 18  # px between tiles
LINE = 18  # px, of a caption
CAPTION = 3 * LINE + 8  # px below a tile
MARGIN = 28  # px around everything
HEADING = 48  # px for the heading
COLUMNS = 6
STEP = TILE + GAP  # px from one column to the next
ROW = TILE + CAPTION + GAP  # px from one row to the next
MOST = 98  # neighbours on a sheet: 17 rows; a JPEG has an end at 65,500 px, and a reader's patience before
QUERY = TILE + STEP  # px, side of the query's square: two columns and a little less than two rows
FULL_RANKS = 2 * (COLUMNS - 2)  # neighbours beside the query; the others stand in full rows below it

LARGE = 300  # px, the longer side of the pictures of a pair
BAR = 26  # px, height of palettes and of the bar of shares

SHADES = ((52, 84, 120), (150, 84, 56), (84, 110, 66))  # of the sources in the bar, dark enough for light text
PAPER, INK, GREY, RED = (250, 249, 246), (30, 30, 30), (120, 118, 112), (168, 40, 32)


@dataclass(frozen=True)
class Tile:
    """A picture (RGB) and what stands below it: up to three lines, and a remark beside the first. One line each."""

    picture: Image.Image
    lines: Sequence[str]
    remark: str = ""


def shortened(text: str, width: int, of_font: Font) -> str:
    """As much of `text` as is at most `width` px wide, with an ellipsis where it is cut."""
    if of_font.getlength(text) <= width:
        return text
    while text and of_font.getlength(text.rstrip() + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def place(rank: int) -> tuple[int, int]:
    """(left, top) in px of the square that holds the picture of the neighbour of a rank, the first being 0."""
    if rank < FULL_RANKS:
        row, column = divmod(rank, COLUMNS - 2)
        column += 2
    else:
        row, column = divmod(rank - FULL_RANKS, COLUMNS)
        row += 2
    return MARGIN + column * STEP, MARGIN + HEADING + row * ROW


def contact_sheet(heading: str, query: Tile, neighbours: Sequence[Tile]) -> Image.Image:
    """The query large in the corner, then its neighbours from left to right and top to bottom, nearest first."""
    n_rows = max(2, 2 + -(-(len(neighbours) - FULL_RANKS) // COLUMNS))
    size = 2 * MARGIN + COLUMNS * STEP - GAP, 2 * MARGIN + HEADING + n_rows * ROW - GAP
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    large = font(20, bold=True)
    draw.text((MARGIN, MARGIN - 6), shortened(heading, size[0] - 2 * MARGIN, large), INK, large)
    # The query's caption ends where that of the second row does.
    _paste(sheet, draw, query, (MARGIN, MARGIN + HEADING), QUERY, ROW + TILE)
    for rank, tile in enumerate(neighbours):
        _paste(sheet, draw, tile, place(rank), TILE, TILE)
    return sheet


def group_sheet(heading: str, groups: Sequence[tuple[str, str, Sequence[Tile]]], columns: int) -> Image.Image:
    """A row of at most `columns` tiles for each group, headed by its name and what else there is to say of it."""
    left = MARGIN + 90  # room for the name
    row = TILE + CAPTION + GAP
    size = left + columns * STEP - GAP + MARGIN, 2 * MARGIN + HEADING + max(1, len(groups)) * row - GAP
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    large = font(20, bold=True)
    draw.text((MARGIN, MARGIN - 6), shortened(heading, size[0] - 2 * MARGIN, large), INK, large)
    for i, (name, remark, tiles) in enumerate(groups):
        top = MARGIN + HEADING + i * row
        draw.text((MARGIN, top + TILE // 2 - 16), name, INK, large)
        draw.text((MARGIN, top + TILE // 2 + 12), remark, GREY, font(13))
        for column, tile in enumerate(tiles):
            _paste(sheet, draw, tile, (left + column * STEP, top), TILE, TILE)
    return sheet


def fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """As large as it can be in width x height px, aspect kept."""
    scale = min(width / picture.width, height / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _paste(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], width: int, height: int
) -> None:
    """The picture stands at the lower left of width x height px, so that captions of a row are level."""
    left, top = corner
    picture = fitted(tile.picture, width, height)
    sheet.paste(picture, (left, top + height - picture.height))
    for i, text in enumerate(tile.lines):
        style = font(13, bold=i == 0, text=text)
        at = left, top + height + 6 + i * LINE
        line = shortened(text, width, style)
        draw.text(at, line, GREY if i > 1 else INK, style)
        if i == 0 and tile.remark:
            draw.text((left + style.getlength(line + "  "), at[1]), tile.remark, RED, font(13))


PAIRS_ACROSS = 3  # of a sheet of pairs
PAIR = 2 * TILE + 8  # px, the two pictures of one side by side


def pairs_sheet(sections: Sequence[tuple[str, Sequence[tuple[Sequence[Tile], str]]]]) -> Image.Image:
    """Sections of pairs below each other: (heading, [(two tiles, remark of the pair)])."""
    wide, high = PAIR + 2 * GAP, ROW + LINE
    rows = [-(-len(shown) // PAIRS_ACROSS) for _, shown in sections]
    height = sum(HEADING + n_rows * high for n_rows in rows) + 2 * MARGIN
    sheet = Image.new("RGB", (2 * MARGIN + PAIRS_ACROSS * wide - 2 * GAP, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for (heading, shown), n_rows in zip(sections, rows, strict=True):
        draw.text((MARGIN, top - 6), heading, INK, font(20, bold=True))
        top += HEADING
        for i, (tiles, remark) in enumerate(shown):
            row, column = divmod(i, PAIRS_ACROSS)
            left, above = MARGIN + column * wide, top + row * high
            for k, tile in enumerate(tiles):
                _paste(sheet, draw, tile, (left + k * (TILE + 8), above), TILE, TILE)
            draw.text((left, above + TILE + 6 + 2 * LINE), remark, RED, font(13))
        top += n_rows * high
    return sheet


@dataclass(frozen=True)
class Side:
    """One of two works that are compared: its picture, its caption, its palette, and the picture lit up in places."""

    picture: Image.Image
    lines: Sequence[str]
    palette: Sequence[tuple[tuple[int, int, int], float]]  # colour and share
    lit: Sequence[Image.Image]


def pair_sheet(
    heading: str, shares: dict[str, float], sides: Sequence[Side], headings: Sequence[tuple[str, str]]
) -> Image.Image:
    """Two works in a row each, with the palette below the picture and, right of it, what `headings` tell in two lines.

    A bar above tells what each source adds to their distance.
    """
    columns = max(2, 1 + len(headings))
    heights = [fitted(side.picture, LARGE, LARGE).height for side in sides]
    top = MARGIN + HEADING + BAR + GAP
    below = 8 + BAR + 6 + 3 * LINE + GAP  # of a picture
    size = 2 * MARGIN + columns * (LARGE + GAP) - GAP, top + 3 * LINE + sum(heights) + len(sides) * below + MARGIN - GAP
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    width = size[0] - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 6), shortened(heading, width, font(20, bold=True)), INK, font(20, bold=True))
    _bar(draw, (MARGIN, MARGIN + HEADING), width, shares)
    for column, lines in enumerate(headings, start=1):
        _lines(draw, lines, (MARGIN + column * (LARGE + GAP), top), LARGE)
    top += 3 * LINE
    for side, height in zip(sides, heights, strict=True):
        for column, picture in enumerate([side.picture, *side.lit]):
            sheet.paste(fitted(picture, LARGE, height), (MARGIN + column * (LARGE + GAP), top))
        _palette(draw, (MARGIN, top + height + 8), side.palette)
        _lines(draw, side.lines, (MARGIN, top + height + 8 + BAR + 6), LARGE)
        top += height + below
    return sheet


def _lines(draw: ImageDraw.ImageDraw, lines: Sequence[str], corner: tuple[int, int], width: int) -> None:
    for i, text in enumerate(lines):
        style = font(13, bold=i == 0, text=text)
        draw.text((corner[0], corner[1] + i * LINE), shortened(text, width, style), GREY if i else INK, style)


def _palette(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], palette: Sequence[tuple[tuple[int, int, int], float]]
) -> None:
    left, top = float(corner[0]), corner[1]
    for colour, share in palette:
        right = left + share * LARGE
        draw.rectangle((round(left), top, max(round(left), round(right) - 1), top + BAR), colour)
        left = right
    draw.rectangle((corner[0], top, corner[0] + LARGE - 1, top + BAR), outline=GREY)  # near-white would have no end


def _bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int, shares: dict[str, float]) -> None:
    left, top = float(corner[0]), corner[1]
    for i, (name, share) in enumerate(shares.items()):
        right = left + share * width
        if share > 0:
            draw.rectangle((round(left), top, round(right) - 1, top + BAR), SHADES[i % len(SHADES)])
            text = shortened(f"{name} {share:.0%} of the squared distance", round(right - left) - 12, font(13))
            draw.text((left + 6, top + 4), text, PAPER, font(13))
        left = right
