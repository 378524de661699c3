"""The soprano lines of the Bach chorales that ship inside music21, read from their MusicXML files.

The files are zipped XML and are read as such: music21 itself, whose own cache of parsed scores is made of pickles, is
never imported.

Many chorales share a tune, in other keys and rhythms. Those that have at least a fifth of their runs of seven intervals
in common are one group, and a group lies in one split as a whole: no tune of the test split was heard in training.
"""

import hashlib
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from throughtime.core import ConfigError

SIXTEENTHS = (1, 2, 3, 4, 6, 8, 12, 16)
"""The durations that are told apart; others count as the nearest."""
LOWEST, HIGHEST = 55, 86
"""The pitches of all chorales as MIDI numbers, once they are moved to C major or A minor."""
MOST_RESTS = 8
"""Lines with more rests than this accompany an orchestra rather than sing a chorale."""

Split = Literal["train", "valid", "test"]


class Note(NamedTuple):
    """A note of a melody."""

    pitch: int  # 0 for a rest, else 1 + its MIDI number − LOWEST
    duration: int  # index into SIXTEENTHS


@dataclass(frozen=True)
class Chorale:
    """One soprano line, moved to C major or A minor by its key signature."""

    name: str
    notes: tuple[Note, ...]
    moved: int
    """Semitones by which it was moved."""
    split: Split


@cache
def chorales() -> tuple[Chorale, ...]:
    """All soprano lines, sorted by name.

    Raises:
        ConfigError: music21 is not installed.
    """
    found = find_spec("music21")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "the melodies are not here",
            "They are the Bach chorales that ship inside the package music21.",
            "Install it with: pip install 'throughtime[music]'",
        )
    folder = Path(found.submodule_search_locations[0]) / "corpus" / "bach"
    lines = [(path.stem, read_soprano(_open(path))) for path in sorted(folder.glob("*.mxl"))]
    named = [(name, line) for name, line in lines if line is not None]
    splits = split_by_melody([(name, [note.pitch for note in notes]) for name, (notes, _) in named])
    return tuple(
        Chorale(name, notes, moved, split) for (name, (notes, moved)), split in zip(named, splits, strict=True)
    )


def read_soprano(score: ET.Element) -> tuple[tuple[Note, ...], int] | None:
    """The notes of the first part that is called soprano, and by how many semitones they were moved.

    Ties are one note; grace notes, the lower notes of a chord and rests at both ends are left out.

    Args:
        score: the root of a MusicXML score.

    Returns:
        None where the score has no soprano, no mode or too many rests.
    """
    names = [(part.findtext("part-name") or "").lower() for part in score.iter("score-part")]
    part = next((p for p, name in zip(score.iter("part"), names, strict=False) if name.startswith("soprano")), None)
    key = None if part is None else part.find("measure/attributes/key")
    if part is None or key is None or key.find("mode") is None:
        return None
    moved = (-7 * _number(key, "fifths") + 6) % 12 - 6
    line: list[tuple[int | None, Fraction]] = []  # MIDI number or None for a rest; quarters
    divisions = 1
    for measure in part.iter("measure"):
        voice = None
        for element in measure:
            if element.tag == "attributes" and element.find("divisions") is not None:
                divisions = _number(element, "divisions")
            if element.tag != "note" or element.find("grace") is not None or element.find("chord") is not None:
                continue
            voice = voice or element.findtext("voice", "1")
            if element.findtext("voice", "1") != voice:
                continue
            pitch, length = _pitch(element), Fraction(_number(element, "duration"), divisions)
            tied = any(tie.get("type") == "stop" for tie in element.iter("tie"))
            if tied and line and line[-1][0] == pitch:
                line[-1] = (pitch, line[-1][1] + length)
            else:
                line.append((pitch, length))
    sung = [i for i, (pitch, _) in enumerate(line) if pitch is not None]
    line = line[sung[0] : sung[-1] + 1] if sung else []
    if not line or sum(pitch is None for pitch, _ in line) > MOST_RESTS:
        return None
    return tuple(_note(pitch, length, moved) for pitch, length in line), moved


def split_by_melody(lines: list[tuple[str, list[int]]]) -> list[Split]:
    """A split for each line: about 68% training, 12% validation, 20% test, by a checksum of the group's name.

    Args:
        lines: names, and pitches with 0 for a rest.
    """
    runs = []
    for _, pitches in lines:
        steps = np.diff([p for p in pitches if p]).tolist()
        runs.append({tuple(steps[i : i + 7]) for i in range(len(steps) - 6)})
    group = list(range(len(lines)))  # of a line: the number of one line of its group

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for i in range(len(lines)):
        for j in range(i):
            if runs[i] and runs[j] and len(runs[i] & runs[j]) >= 0.2 * min(len(runs[i]), len(runs[j])):
                group[root(i)] = root(j)

    def split(name: str) -> Split:
        percent = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
        return "test" if percent < 20 else "valid" if percent < 32 else "train"

    return [split(lines[root(i)][0]) for i in range(len(lines))]


def _open(path: Path) -> ET.Element:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith((".xml", ".musicxml")) and not n.startswith("META-INF"))
        return ET.fromstring(archive.read(name))


def _number(element: ET.Element, tag: str) -> int:
    return int(element.findtext(tag, "0"))


def _pitch(note: ET.Element) -> int | None:
    pitch = note.find("pitch")
    if pitch is None:
        return None
    step = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[pitch.findtext("step", "")]
    return 12 * (_number(pitch, "octave") + 1) + step + _number(pitch, "alter")


def _note(pitch: int | None, length: Fraction, moved: int) -> Note:
    duration = int(np.argmin([abs(float(4 * length) - n) for n in SIXTEENTHS]))
    if pitch is None:
        return Note(0, duration)
    return Note(1 + min(max(pitch + moved, LOWEST), HIGHEST) - LOWEST, duration)
