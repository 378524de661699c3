"""Frames as pictures: a GIF that plays the episodes, or one PNG with a strip of their frames."""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8, UInt32
from PIL import Image, ImageDraw, ImageFont

from throughtime.core import ConfigError, RunFolderError
from throughtime.reports.svg import INK
from throughtime.reports.watch.frame import EIGHTHS, Frame, width_of
from throughtime.runs.atomic import atomic_write

CELL = (9, 18)
"""Width and height of a character, in px."""
MARGIN = 16
PAGE = "#ffffff"
PER_ROW = 3
"""Frames side by side in a strip."""
HOLD = 1.2
"""Seconds for which an episode's last frame stays."""


def write_gif(episodes: Sequence[Sequence[Frame]], path: str | os.PathLike[str], *, speed: int | float) -> Path:
    """Writes an animation that plays the episodes one after another, and again.

    Args:
        episodes: the frames of each.
        path: the file.
        speed: steps a second, up to 50 (viewers slow down what is faster).

    Raises:
        ConfigError: an impossible speed.
        RunFolderError: the file cannot be written.
    """
    if not 0 < speed <= 50:
        raise ConfigError(
            f"speed = {speed:g}", "A GIF shows at most 50 frames a second.", "Give more than 0, up to 50."
        )
    frames = [frame for episode in episodes for frame in episode]
    pictures = [_draw(frame, *_size(frames)) for frame in frames]
    palette = _palette(pictures, frames)
    pictures = [_indexed(picture, palette) for picture in pictures]
    step = round(1000 / speed)
    durations = [
        max(step, round(1000 * HOLD)) if frame is episode[-1] else step for episode in episodes for frame in episode
    ]
    return _save(pictures[0], path, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def write_strip(episodes: Sequence[Sequence[Frame]], path: str | os.PathLike[str], *, count: int = 6) -> Path:
    """Writes one picture with frames of the first episode, evenly spread, its first and its last among them.

    Args:
        episodes: the frames of each.
        path: the file.
        count: how many, at most.

    Raises:
        ConfigError: no frames.
        RunFolderError: the file cannot be written.
    """
    if count < 1:
        raise ConfigError(f"frames = {count}", "A strip needs at least one.", "Give 1 or more.")
    frames = episodes[0]
    chosen = [
        frames[i] for i in np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    ]
    width, height = _size(chosen)
    columns = min(len(chosen), PER_ROW)
    strip = Image.new("RGB", (columns * width, -(-len(chosen) // columns) * height), PAGE)
    for i, frame in enumerate(chosen):
        strip.paste(_draw(frame, width, height), (i % columns * width, i // columns * height))
    return _save(strip, path, "PNG", optimize=True)


def _palette(pictures: Sequence[Image.Image], frames: Sequence[Frame]) -> UInt8[np.ndarray, "colours 3"]:
    """256 colours: those of words and bars, then those that are there most often.

    One palette for all frames, so that no colour flickers. What a colour of words means must not be lost among the many
    shades of a memory, however few pixels show it.
    """
    meant = {span.colour for frame in frames for line in frame for span in line if span.colour} | {INK, PAGE}
    kept = np.array(sorted(int(colour[1:], 16) for colour in meant), np.uint32)
    chosen = np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), 16)).astype(int))
    colours, counts = np.unique(np.concatenate([_packed(pictures[i]).ravel() for i in chosen]), return_counts=True)
    mixed = np.random.default_rng(0).permutation(len(colours))  # of colours as frequent, not always the bluest
    others = colours[mixed][np.argsort(-counts[mixed], kind="stable")]
    return _unpacked(np.concatenate([kept, others[~np.isin(others, kept)]])[:256])


def _indexed(picture: Image.Image, palette: UInt8[np.ndarray, "colours 3"]) -> Image.Image:
    """The picture in the palette's nearest colours. Pillow's own search rounds, and makes white a little green."""
    packed = _packed(picture)
    colours, where = np.unique(packed, return_inverse=True)
    difference = _unpacked(colours)[:, None].astype(int) - palette[None].astype(int)
    nearest = np.argmin(np.sum(difference**2, axis=2), axis=1).astype(np.uint8)
    indexed = Image.fromarray(nearest[where].reshape(packed.shape))
    indexed.putpalette(palette.tobytes())
    return indexed


def _packed(picture: Image.Image) -> UInt32[np.ndarray, "height width"]:
    """Each pixel as one number."""
    return np.asarray(picture).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)


def _unpacked(colours: UInt32[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8)


def _size(frames: Sequence[Frame]) -> tuple[int, int]:
    """Width and height in px of the largest."""
    columns, rows = max(map(width_of, frames)), max(map(len, frames))
    return columns * CELL[0] + 2 * MARGIN, rows * CELL[1] + 2 * MARGIN


def _draw(frame: Frame, width: int, height: int) -> Image.Image:
    picture = Image.new("RGB", (width, height), PAGE)
    draw = ImageDraw.Draw(picture)
    fonts = _fonts()
    for row, line in enumerate(frame):
        column, top = 0, MARGIN + row * CELL[1]
        for span in line:
            for character in span.text:
                left = MARGIN + column * CELL[0]
                if span.ground is not None:
                    draw.rectangle((left, top, left + CELL[0] - 1, top + CELL[1] - 1), fill=span.ground)
                _character(draw, character, left, top, span.colour or INK, fonts[span.bold])
                column += 1
    return picture


def _character(
    draw: ImageDraw.ImageDraw, character: str, left: int, top: int, colour: str, font: ImageFont.FreeTypeFont
) -> None:
    """One character on the grid. Blocks are drawn, not set: a font's leave seams between them."""
    if character == " ":
        return
    if character in EIGHTHS:
        width = CELL[0] * EIGHTHS.index(character) / 8
        draw.rectangle((left, top + 2, left + max(round(width), 1) - 1, top + CELL[1] - 3), fill=colour)
    elif character in "━─":
        middle = top + CELL[1] // 2
        draw.rectangle(
            (left, middle - (character == "━"), left + CELL[0] - 1, middle + (character == "━")), fill=colour
        )
    elif character == "│":
        draw.rectangle((left + CELL[0] // 2, top, left + CELL[0] // 2, top + CELL[1] - 1), fill=colour)
    else:
        draw.text((left, top + CELL[1] - 5), character, fill=colour, font=font, anchor="ls")


def _fonts() -> tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont]:
    """Plain and bold; matplotlib brings them, so every machine has the same."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf")
    plain, bold = (ImageFont.truetype(str(folder / name), 14) for name in names)
    return plain, bold


def _save(picture: Image.Image, path: str | os.PathLike[str], kind: str, **options: object) -> Path:
    path = Path(path)
    try:
        with atomic_write(path) as file:
            picture.save(file, kind, **options)
    except OSError as error:
        raise RunFolderError(
            f"The picture {str(path)!r} cannot be written.",
            f"{error.strerror or error}.",
            "Name a file in a writable folder.",
        ) from error
    return path
