"""What a musician hears besides the notes: where the beat is, how long the phrase is, the last step, a repetition.

All of it follows from the tokens that were read, so it is no information that a longer memory would not have. It is
counted, not learned: a few hundred melodies are too few to learn to count sixteenths from.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num, PRNGKeyArray

from throughtime.core import pad_right, select_rows
from throughtime.memory import Memory, Readout
from throughtime.memory.architectures import BOS, FIRST_SYMBOL
from throughtime.tasks.melody.corpus import HIGHEST, LOWEST, SIXTEENTHS

PITCHES = HIGHEST - LOWEST + 2  # a rest is the first one
FIRST_PITCH, FIRST_DURATION = FIRST_SYMBOL, FIRST_SYMBOL + PITCHES
NUM_TOKENS = FIRST_DURATION + len(SIXTEENTHS)
LONG = 8
"""Sixteenths of a note that ends a phrase: a half."""

Hears = Literal["all", "beats", "notes", "nothing"]

MOST_NOTES = 128
"""Notes of a melody that are kept. Later ones are compared with these, but not kept: what they repeat is heard where it
is among the first 128, with the note that followed it."""

_LENGTH_OF = np.zeros(NUM_TOKENS, np.int32)
_LENGTH_OF[FIRST_DURATION:] = SIXTEENTHS
_CYCLES = (4, 8, 12, 16, 32, 64)  # sixteenths: a beat, two, a bar of three, one of four, two and four of them
_PHRASE_CYCLES = (16, 32, 64)
_MATCHES = 9  # repetitions of 0 … 7, and of 8 or more notes
_HEARD = 2 * len(_CYCLES) + 2 * len(_PHRASE_CYCLES) + 2 + 2 * PITCHES - 1 + _MATCHES


class Signals(NamedTuple):
    """What was counted up to a token, whole numbers."""

    clock: Num[Array, "*batch"]  # sixteenths since the melody began
    phrase: Num[Array, "*batch"]  # sixteenths since the last long note
    pitch: Num[Array, "*batch"]  # the last pitch that was no rest
    before: Num[Array, "*batch"]  # the one before that
    match: Num[Array, "*batch"]  # how many of the last notes came before in the same order
    repeated: Num[Array, "*batch"]  # the token that followed then; −1 where there is none


class Heard(NamedTuple):
    """The signals, and the notes that they are counted from, each as pitch · durations + duration.

    All of it is whole numbers, kept as floats: every leaf of a state is one to which a gradient can be taken (here 0).
    """

    signals: Signals
    pending: Float[Array, " B"]  # the pitch whose duration has not been read yet
    read: Float[Array, " B"]  # notes that were read
    notes: Float[Array, "B N"]  # −1 where none was read
    runs: Float[Array, "B N"]  # how many notes up to each equal the last ones


class ListenerState(NamedTuple):
    """What a listener remembers."""

    heard: Heard
    memory: Any


class Listener(Memory):
    """Any memory, which reads the tokens of a melody together with what is counted of them.

    Inputs are one-hot tokens beside the seed note (its two tokens, read at BOS). Outputs are the memory's, beside the
    last pitch and the repeated token one-hot, which `NoteReadout` needs.
    """

    embedding: Float[Array, "V E"]
    memory: Memory
    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    hears: Hears = eqx.field(static=True)

    def __init__(self, memory: Memory, hears: Hears = "all", *, key: PRNGKeyArray):
        """Wraps a memory.

        Args:
            memory: its inputs are an embedding of the tokens, E wide, and `heard_size()` features.
            hears: what is counted for it: "all", no repetitions ("beats"), the last step alone ("notes"), or nothing,
                the last pitch neither: then the memory sees the present token alone.
            key: for the embedding.
        """
        self.memory, self.hears = memory, hears
        self.embedding = jax.random.normal(key, (NUM_TOKENS, memory.input_size - _HEARD)) * 0.3
        self.input_size, self.output_size = 2 * NUM_TOKENS, memory.output_size + PITCHES + NUM_TOKENS

    def initial_state(self, batch_size: int) -> ListenerState:
        """Nothing heard yet."""
        nothing, line = jnp.zeros(batch_size), jnp.zeros((batch_size, MOST_NOTES))
        signals = Signals(nothing, nothing, nothing, nothing, nothing, nothing - 1)
        return ListenerState(Heard(signals, nothing, nothing, line - 1, line), self.memory.initial_state(batch_size))

    def advance(self, state: ListenerState, projected: Float[Array, "B I"]) -> tuple[ListenerState, Array]:
        """One token."""
        heard = _hear(state.heard, *_tokens(projected))
        inner, h = self.memory.step(state.memory, self._inputs(projected, heard.signals))
        return ListenerState(heard, inner), self._outputs(h, heard.signals)

    def gate_activations(self, state: ListenerState, projected: Float[Array, "B I"]) -> dict[str, Float[Array, "B H"]]:
        """The memory's."""
        heard = _hear(state.heard, *_tokens(projected))
        return self.memory.gate_activations(state.memory, self.memory.project(self._inputs(projected, heard.signals)))

    def unroll(
        self, state: ListenerState, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[ListenerState, Float[Array, "T B O"]]:
        """Counts all tokens first, and then runs the memory's own unroll."""
        fresh = self.initial_state(xs.shape[1]).heard

        def count(heard, inputs):
            *tokens, reset = inputs
            heard = _hear(select_rows(reset, fresh, heard), *tokens)
            return heard, heard.signals

        last, signals = jax.lax.scan(count, state.heard, (*_tokens(xs), resets))
        inner_taps = None if taps is None else taps.memory
        inner, hs = self.memory.unroll(state.memory, self._inputs(xs, signals), resets, inner_taps)
        return ListenerState(last, inner), self._outputs(hs, signals)

    def _inputs(self, x: Float[Array, "*batch I"], signals: Signals) -> Float[Array, "*batch F"]:
        token, seed = jnp.split(x, 2, axis=-1)
        token = token + jnp.where(pad_right(token[..., BOS] > 0, token.ndim), seed, 0.0)
        return jnp.concatenate([token @ self.embedding, _features(self._told(signals))], axis=-1)

    def _outputs(self, h: Float[Array, "*batch H"], signals: Signals) -> Float[Array, "*batch O"]:
        told = self._told(signals)
        one_hot = jax.nn.one_hot(told.pitch, PITCHES), jax.nn.one_hot(told.repeated, NUM_TOKENS)
        return jnp.concatenate([h, *one_hot], axis=-1)

    def _told(self, signals: Signals) -> Signals:
        """The signals, but for those that are not to be heard."""
        signals = jax.tree.map(lambda count: count.astype(jnp.int32), signals)
        zero = jnp.zeros_like(signals.clock)
        if self.hears != "all":
            signals = signals._replace(match=zero, repeated=zero - 1)
        if self.hears in ("notes", "nothing"):
            signals = signals._replace(clock=zero, phrase=zero)
        return signals._replace(pitch=zero, before=zero) if self.hears == "nothing" else signals


class NoteReadout(eqx.Module):
    """Logits of a token: absolute ones of all tokens, relative ones of each step from the last pitch, and a copy.

    An interval is then the same thing wherever it begins (as in the "multiple viewpoints" of Conklin & Witten 1995,
    Journal of New Music Research 24(1)), and has its weights to itself once instead of once for each pitch. The token
    that followed when the same notes came before gets a logit more (a pointer, as in Vinyals et al. 2015, arXiv
    1506.03134).
    """

    absolute: Readout
    relative: Readout
    copy: Readout

    def __init__(self, hidden_size: int, *, key: PRNGKeyArray):
        """Builds the three layers."""
        key_absolute, key_relative, key_copy = jax.random.split(key, 3)
        self.absolute = Readout(hidden_size, NUM_TOKENS, key=key_absolute)
        self.relative = Readout(hidden_size, 2 * PITCHES - 1, key=key_relative)
        self.copy = Readout(hidden_size, 1, key=key_copy)

    def __call__(self, y: Float[Array, "*batch O"]) -> Float[Array, "*batch V"]:
        """The logits of what a `Listener` put out."""
        size = y.shape[-1] - PITCHES - NUM_TOKENS
        h, last, repeated = jnp.split(y, (size, size + PITCHES), axis=-1)
        pitches = jnp.broadcast_to(jnp.arange(PITCHES), last.shape)
        steps = pitches - jnp.argmax(last, axis=-1, keepdims=True) + PITCHES - 1
        moved = jnp.take_along_axis(self.relative(h), steps, axis=-1)
        moved = jnp.where(pitches > 0, moved, 0.0)  # a rest is no step
        before, after = (jnp.zeros((*y.shape[:-1], n)) for n in (FIRST_PITCH, NUM_TOKENS - FIRST_DURATION))
        return self.absolute(h) + jnp.concatenate([before, moved, after], axis=-1) + self.copy(h) * repeated


def heard_size() -> int:
    """The features that a `Listener` puts beside the embedding."""
    return _HEARD


def _tokens(x: Float[Array, "*batch I"]) -> tuple[Array, Array, Array]:
    """The token that was read, and pitch and duration tokens of the seed."""
    token, seed = jnp.split(x, 2, axis=-1)
    pitch = FIRST_PITCH + jnp.argmax(seed[..., FIRST_PITCH:FIRST_DURATION], axis=-1)
    return jnp.argmax(token, axis=-1), pitch, FIRST_DURATION + jnp.argmax(seed[..., FIRST_DURATION:], axis=-1)


def _hear(heard: Heard, token: Array, seed_pitch: Array, seed_duration: Array) -> Heard:
    heard = jax.tree.map(lambda count: count.astype(jnp.int32), heard)
    begins = token == BOS
    pitch_token, duration_token = (jnp.where(begins, seed, token) for seed in (seed_pitch, seed_duration))
    pitch, duration = pitch_token - FIRST_PITCH, duration_token - FIRST_DURATION
    length = jnp.asarray(_LENGTH_OF)[duration_token]
    is_pitch = (pitch >= 0) & (pitch < PITCHES)
    sung = is_pitch & (pitch > 0)
    now = jnp.where(sung, pitch, heard.signals.pitch)
    before = jnp.where(begins, now, jnp.where(sung, heard.signals.pitch, heard.signals.before))
    pending = jnp.where(is_pitch, pitch, heard.pending)

    # With a duration a note is complete: it is compared with all before it, and then kept.
    complete = duration >= 0
    note = (pending * len(SIXTEENTHS) + duration)[:, None]
    runs = jnp.where(heard.notes == note, jnp.pad(heard.runs, ((0, 0), (1, 0)))[:, :-1] + 1, 0)
    here = jnp.arange(MOST_NOTES)[None] == heard.read[:, None]
    kept = jnp.where(here, note, heard.notes)
    notes, runs = select_rows(complete, (kept, runs), (heard.notes, heard.runs))

    # The note that followed the longest run, the latest of equals; what followed the last note kept is not known.
    ends = runs[:, :-1]
    where = jnp.argmax(ends * MOST_NOTES + jnp.arange(MOST_NOTES - 1)[None], axis=1)[:, None]
    match = jnp.max(ends, axis=1)
    followed = jnp.take_along_axis(notes, where + 1, axis=1)[:, 0]
    then_pitch, then_duration = jnp.divmod(followed, len(SIXTEENTHS))
    repeated = jnp.where(complete, FIRST_PITCH + then_pitch, FIRST_DURATION + then_duration)
    known = (match > 0) & (followed >= 0) & (complete | (then_pitch == pending))
    signals = Signals(
        heard.signals.clock + length,
        jnp.where(length >= LONG, 0, heard.signals.phrase + length),
        now,
        before,
        jnp.where(known, match, 0),
        jnp.where(known, repeated, -1),
    )
    after = Heard(signals, pending, heard.read + complete.astype(jnp.int32), notes, runs)
    return jax.tree.map(lambda count: count.astype(jnp.float32), after)


def _features(heard: Signals) -> Float[Array, "*batch F"]:
    def waves(count: Array, cycles: tuple[int, ...]) -> list[Array]:
        angles = [2.0 * np.pi / cycle * count.astype(jnp.float32) for cycle in cycles]
        return [wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)]

    clock, phrase = (count.astype(jnp.float32) for count in (heard.clock, heard.phrase))
    numbers = [
        *waves(heard.clock, _CYCLES),
        *waves(heard.phrase, _PHRASE_CYCLES),
        clock / 128.0,
        jnp.minimum(phrase, 96.0) / 32.0,
    ]
    step = jax.nn.one_hot(heard.pitch - heard.before + PITCHES - 1, 2 * PITCHES - 1)
    match = jax.nn.one_hot(jnp.minimum(heard.match, _MATCHES - 1), _MATCHES)
    return jnp.concatenate([jnp.stack(numbers, axis=-1), step, match], axis=-1)
