"""A melody as a Standard MIDI File, format 0 (MIDI 1.0 specification, RP-001)."""

from collections.abc import Sequence

from throughtime.tasks.melody.corpus import LOWEST, SIXTEENTHS, Note

TICKS = 480
"""Ticks of a quarter note."""


def midi_file(notes: Sequence[Note], *, quarters_per_minute: float = 80.0, moved: int = 0) -> bytes:
    """The bytes of a file that plays a melody.

    Args:
        notes: the melody, in C major or A minor.
        quarters_per_minute: the tempo.
        moved: semitones by which the melody was moved there; it is played in its own key.
    """
    track = bytearray(b"\x00\xff\x51\x03" + round(60e6 / quarters_per_minute).to_bytes(3, "big"))
    silence = 0  # ticks since the last event
    for note in notes:
        ticks = SIXTEENTHS[note.duration] * TICKS // 4
        if note.pitch == 0:
            silence += ticks
            continue
        number = note.pitch - 1 + LOWEST - moved
        track += _variable(silence) + bytes((0x90, number, 80)) + _variable(ticks) + bytes((0x80, number, 0))
        silence = 0
    track += _variable(silence) + b"\xff\x2f\x00"
    header = b"MThd" + (6).to_bytes(4, "big") + b"".join(n.to_bytes(2, "big") for n in (0, 1, TICKS))
    return header + b"MTrk" + len(track).to_bytes(4, "big") + bytes(track)


def _variable(number: int) -> bytes:
    """Seven bits a byte, the highest first; all but the last byte have their top bit set."""
    out = [number & 0x7F]
    while number := number >> 7:
        out.append(number & 0x7F | 0x80)
    return bytes(reversed(out))
