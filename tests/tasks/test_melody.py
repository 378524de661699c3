"""Melodies: reading scores, splitting by tune, the trigram baselines, MIDI, and what the model hears."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib.util import find_spec

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.cli import main
from throughtime.core import ConfigError
from throughtime.gradients.flow import gate_saturation
from throughtime.memory import GRU, Memoryless
from throughtime.memory.architectures import BOS, EOS
from throughtime.tasks import Progress, TaskResult
from throughtime.tasks.melody import Melody, Note, chorales, continue_melody, midi_file
from throughtime.tasks.melody.corpus import LOWEST, SIXTEENTHS, read_soprano, split_by_melody
from throughtime.tasks.melody.listener import (
    FIRST_DURATION,
    FIRST_PITCH,
    MOST_NOTES,
    NUM_TOKENS,
    PITCHES,
    Listener,
    NoteReadout,
    heard_size,
)
from throughtime.tasks.melody.trigram import Interpolated, trigram_bits

pytestmark = pytest.mark.usefixtures("quick_compiler")


needs_chorales = pytest.mark.skipif(find_spec("music21") is None, reason="the chorales ship inside music21")


def note(midi, sixteenths):
    return Note(0 if midi is None else midi - LOWEST + 1, SIXTEENTHS.index(sixteenths))


def score(notes, *, fifths=0, part="Soprano"):
    return ET.fromstring(
        "<score-partwise><part-list><score-part id='P0'><part-name>Violin</part-name></score-part>"
        f"<score-part id='P1'><part-name>{part}</part-name></score-part></part-list>"
        "<part id='P0'><measure/></part><part id='P1'><measure><attributes><divisions>2</divisions>"
        f"<key><fifths>{fifths}</fifths><mode>major</mode></key></attributes>{notes}</measure></part></score-partwise>"
    )


def xml(step, octave, duration, more="", alter=0):
    head = f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>" if step else "<rest/>"
    return f"<note>{head}<duration>{duration}</duration>{more}</note>"


def test_a_soprano_is_read_with_ties_and_without_ornaments():
    notes = (
        xml(None, 0, 2)  # a rest before the first note
        + xml("C", 5, 2)
        + "<note><grace/><pitch><step>D</step><octave>5</octave></pitch></note>"
        + xml("F", 4, 3, alter=1)
        + "<note><chord/><pitch><step>A</step><octave>3</octave></pitch><duration>3</duration></note>"
        + xml("B", 4, 2, "<tie type='start'/>")
        + "</measure><measure>"
        + xml("B", 4, 2, "<tie type='stop'/>")
        + "<note><pitch><step>E</step><octave>4</octave></pitch><duration>2</duration><voice>2</voice></note>"
        + xml(None, 0, 1)
        + xml("B", 4, 8)
    )
    read, moved = read_soprano(score(notes))
    assert moved == 0
    assert read == (note(72, 4), note(66, 6), note(71, 8), note(None, 2), note(71, 16))


@pytest.mark.parametrize(("fifths", "tonic"), [(0, "C"), (1, "G"), (2, "D"), (3, "A"), (-1, "F"), (4, "E")])
def test_every_tonic_becomes_c(fifths, tonic):
    read, moved = read_soprano(score(xml(tonic, 4, 2) * 2, fifths=fifths))
    assert (read[0].pitch - 1 + LOWEST) % 12 == 0
    assert -6 <= moved < 6


def test_what_is_no_chorale_is_left_out():
    assert read_soprano(score(xml("C", 5, 2), part="Alto")) is None
    assert read_soprano(score((xml("C", 5, 2) + xml(None, 0, 2)) * 10 + xml("C", 5, 2))) is None
    assert read_soprano(score(xml(None, 0, 2))) is None


def test_variants_of_a_tune_share_a_split():
    rng = np.random.default_rng(0)
    tunes = [rng.integers(1, 13, size=40).tolist() for _ in range(60)]
    variants = [[p + 3 for p in tune[:20]] + [0] + [p + 3 for p in tune[20:30]] for tune in tunes]
    splits = split_by_melody([(str(i), tune) for i, tune in enumerate(tunes + variants)])
    assert splits[:60] == splits[60:]
    assert set(splits) == {"train", "valid", "test"}


@needs_chorales
def test_the_chorales():
    found = chorales()
    assert len(found) > 380
    by = {split: [c for c in found if c.split == split] for split in ("train", "valid", "test")}
    assert len(by["test"]) > 50
    assert len(by["valid"]) > 30

    def runs(chorale):
        steps = np.diff([n.pitch for n in chorale.notes if n.pitch]).tolist()
        return {tuple(steps[i : i + 7]) for i in range(len(steps) - 6)}

    trained = [runs(c) for c in by["train"]]
    for chorale in by["test"]:
        mine = runs(chorale)
        assert all(len(mine & other) < 0.2 * min(len(mine), len(other)) for other in trained)


def test_the_interpolated_model_against_its_formula_and_it_sums_to_one():
    events = [((0, "a"), "x"), ((0, "a"), "y"), ((0, "b"), "x")]
    model = Interpolated(events, symbols=3)
    model.alphas = [2.0, 0.5]
    p_x = (2 + 2 / 3) / (3 + 2)  # unigram: two x of three
    expected = (1 + 0.5 * p_x) / (2 + 0.5)  # after a: one x of two
    np.testing.assert_allclose(model.bits([((0, "a"), "x")]), -np.log2(expected))
    for context in "abc":
        total = sum(2 ** -model.bits([((0, context), y)]) for y in ("x", "y", "z"))
        np.testing.assert_allclose(total, 1.0)


def test_tuning_finds_the_better_alphas():
    rng = np.random.default_rng(0)
    events = [((0, int(c)), int(c)) for c in rng.integers(3, size=200)]  # the context tells all
    model = Interpolated(events[:100], symbols=3)
    model.alphas = [1.0, 1000.0]
    before = model.bits(events[100:])
    model.tune(events[100:])
    assert model.bits(events[100:]) < 0.1 * before


def test_trigrams_know_a_melody_that_two_notes_determine_and_guess_a_random_one():
    cycle = [note(60, 4), note(62, 2), note(64, 2), note(60, 8)]
    melodies = [(cycle * 6)[i : i + 12] for i in range(4)]  # seeds differ, ends do not
    known = trigram_bits(melodies * 5, melodies, melodies)
    assert max(known[:2]) < 0.5
    rng = np.random.default_rng(0)

    def random(count):
        return [[note(int(60 + rng.integers(4)), 4) for _ in range(21)] for _ in range(count)]

    guessed = trigram_bits(random(200), random(50), random(100))
    # Two bits a note; where a melody ends is a matter of chance too (1 of 21): 0.28 bits, and a little for learning.
    for bits in guessed:
        assert 2.2 < bits < 2.4


def test_without_memory_a_melody_is_what_the_present_symbol_tells():
    """By hand: the second note follows from the first, a pitch tells its duration; later pitches go by duration."""
    a, b, c = note(60, 4), note(62, 4), note(64, 2)
    melodies = [[a, b, c, a, b, b, c, a, a], [b, a]] * 200
    after_quarters, after_eighths = [c, b, b, c, a, None, None], [a, a]  # from the third note on; None is the end
    by_hand = -sum(np.log2(came.count(n) / len(came)) for came in (after_quarters, after_eighths) for n in came)
    bits = trigram_bits(melodies, melodies, melodies)
    np.testing.assert_allclose(bits.memoryless, by_hand / 9, atol=0.02)
    assert bits.whole < 0.7 * bits.memoryless


def test_midi_is_byte_for_byte_the_standard():
    notes = [note(60, 4), note(None, 2), note(67, 16)]
    track = bytes.fromhex(
        "00 ff 51 03 07 a1 20"  # 500,000 microseconds a quarter
        "00 90 3e 50 83 60 80 3e 00"  # D4 (moved down by 2, so 2 higher), 480 ticks
        "81 70 90 45 50 8f 00 80 45 00"  # after 240 ticks of rest A4, 1920 ticks
        "00 ff 2f 00"
    )
    header = bytes.fromhex("4d 54 68 64 00 00 00 06 00 00 00 01 01 e0 4d 54 72 6b 00 00 00 1e")
    assert midi_file(notes, quarters_per_minute=120.0, moved=-2) == header + track


# What the model hears.

P, D = FIRST_PITCH, FIRST_DURATION
TOKENS = np.array(
    [
        [BOS, P + 9, D + 2, P, D + 1, P + 12, D + 5, P + 9, D + 2, P, D + 3, P + 12, D + 5, P + 9, D + 2, P, D + 1],
        [BOS, P + 7, D + 6, P + 7, D + 6, P + 4, D + 3, P + 7, D + 6, P + 7, D + 6, P + 4, EOS, 0, 0, 0, 0],
    ]
).T
T, B = TOKENS.shape
SEEDS = [(5, 3), (7, 6)]  # pitch, duration


def heard_by_hand(tokens, seed):
    """Clock, phrase, last pitch, the one before, length of the repetition and what followed, after each token."""
    clock = phrase = 0
    sung, notes, pending = [], [], None
    for token in tokens:
        length, whole = 0, False
        if token == BOS:
            sung, length = [seed[0], seed[0]], SIXTEENTHS[seed[1]]
            whole, pending = seed, seed[0]
        elif token >= D:
            length = SIXTEENTHS[token - D]
            whole = (pending, token - D)
        elif token >= P:
            pending = token - P
            if token > P:
                sung.append(token - P)
        clock += length
        phrase = 0 if length >= 8 else phrase + length
        if whole:
            notes.append(whole)
        best, followed = 0, None
        for end in range(1, min(len(notes), MOST_NOTES)):  # the repetition ends before note `end`
            k = 0
            while k < end and notes[end - 1 - k] == notes[-1 - k]:
                k += 1
            if k >= best and k > 0:
                best, followed = k, notes[end]
        said = -1
        if followed is not None and whole:
            said = P + followed[0]
        elif followed is not None and followed[0] == pending:
            said = D + followed[1]
        yield clock, phrase, sung[-1], sung[-2], best if said >= 0 else 0, said


def inputs():
    seeds = np.zeros((B, NUM_TOKENS))
    for b, (pitch, duration) in enumerate(SEEDS):
        seeds[b, [FIRST_PITCH + pitch, FIRST_DURATION + duration]] = 1.0
    tokens = np.eye(NUM_TOKENS)[TOKENS]
    return jnp.asarray(np.concatenate([tokens, np.broadcast_to(seeds, tokens.shape)], axis=-1), jnp.float32)


@pytest.fixture(scope="module")
def listener():
    key = jax.random.key(0)
    return Listener(GRU(heard_size() + 4, 3, key=key), key=key)


def test_a_listener_counts(listener):
    step, state = eqx.filter_jit(lambda s, x: listener.step(s, x)), listener.initial_state(B)
    by_hand = [list(heard_by_hand(TOKENS[:, b], SEEDS[b])) for b in range(B)]
    xs, ys = inputs(), []
    for t in range(T):
        state, y = step(state, xs[t])
        ys.append(y)
        for b in range(B):
            assert tuple(int(count[b]) for count in state.heard.signals) == by_hand[b][t]
        assert np.argmax(np.asarray(y)[:, 3 : 3 + PITCHES], axis=-1).tolist() == [by_hand[b][t][2] for b in range(B)]
    assert max(by_hand[1], key=lambda heard: heard[4])[4] == 2
    last, together = listener.unroll(listener.initial_state(B), xs, jnp.zeros((T, B), bool))
    np.testing.assert_allclose(together, ys, atol=1e-6)
    for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_beyond_the_notes_that_are_kept_a_listener_finds_what_is_among_them(listener):
    """Notes 129 to 132 repeat 125 to 128, the last ones kept; what followed the last of them is not known."""
    rng = np.random.default_rng(0)
    drawn = rng.integers((1, 0), (PITCHES, len(SIXTEENTHS)), (MOST_NOTES - 1, 2))
    kept = [(5, 3), *map(tuple, drawn.tolist())]
    notes = kept + kept[-4:] + kept[:3]
    tokens = [BOS, *(token for pitch, duration in notes[1:] for token in (P + pitch, D + duration))]
    seed = np.eye(NUM_TOKENS)[[P + 5, D + 3]].sum(axis=0)
    one_hot = np.eye(NUM_TOKENS)[tokens]
    xs = np.concatenate([one_hot, np.broadcast_to(seed, one_hot.shape)], axis=-1)[:, None]
    _, ys = listener.unroll(listener.initial_state(1), jnp.asarray(xs, jnp.float32), jnp.zeros((len(xs), 1), bool))
    repeated = np.asarray(ys)[:, 0, 3 + PITCHES :]
    said = [int(row.argmax()) if row.any() else -1 for row in repeated]
    assert said == [heard[-1] for heard in heard_by_hand(tokens, (5, 3))]
    assert said[2 * MOST_NOTES :: 2] == [
        *(P + kept[n][0] for n in (125, 126, 127)),
        -1,
        *(P + kept[n][0] for n in (1, 2, 3)),
    ]


def test_the_gates_of_a_listener_are_its_memorys(listener):
    """Against those of the GRU on what it is told: a closed update gate lets only the candidate through."""
    closed = eqx.tree_at(lambda m: m.memory.bias_h, listener, listener.memory.bias_h.at[3:6].set(-30.0))
    xs, resets = inputs(), jnp.zeros((T, B), bool)
    assert gate_saturation(closed, closed.initial_state(B), xs, resets)["update"] == (1.0, 0.0)
    state, _ = listener.unroll(listener.initial_state(B), xs[:5], resets[:5])
    gates = listener.gate_activations(state, listener.project(xs[5]))
    after, _ = listener.step(state, xs[5])
    h, z = np.asarray(state.memory.h), np.asarray(gates["update"])
    candidate = (np.asarray(after.memory.h) - z * h) / (1 - z)  # h' = (1 − z) n + z h
    assert np.all(np.abs(candidate) < 1)
    without, _ = closed.step(state, xs[5])  # z = 0
    np.testing.assert_allclose(without.memory.h, candidate, atol=1e-5)


def test_a_listener_that_is_reset_has_heard_nothing(listener):
    xs, resets = inputs(), np.zeros((T, B), bool)
    resets[3, 1] = True
    _, ys = listener.unroll(listener.initial_state(B), xs, jnp.asarray(resets))
    _, alone = listener.unroll(listener.initial_state(1), xs[3:, 1:], jnp.zeros((T - 3, 1), bool))
    np.testing.assert_allclose(ys[3:, 1], alone[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("hears", "counts", "repeats"), [("all", 1, 1), ("beats", 1, 0), ("notes", 0, 0), ("nothing", 0, 0)]
)
def test_a_listener_hears_what_it_is_to_hear(listener, hears, counts, repeats):
    """The repeated token is the end of an output; the beat is heard where two seeds differ in length alone."""
    other, xs = Listener(listener.memory, hears, key=jax.random.key(0)), inputs()
    silent = eqx.tree_at(lambda model: model.embedding, other, jnp.zeros_like(other.embedding))
    _, ys = other.unroll(other.initial_state(B), xs, jnp.zeros((T, B), bool))
    assert np.any(np.asarray(ys)[..., -NUM_TOKENS:]) == repeats
    longer = xs.at[:, 0, NUM_TOKENS + D + SEEDS[0][1]].set(0.0).at[:, 0, NUM_TOKENS + D].set(1.0)
    first, second = (silent.unroll(silent.initial_state(B), x[:1], jnp.zeros((1, B), bool))[1] for x in (xs, longer))
    assert np.any(np.asarray(first) != np.asarray(second)) == counts


def test_a_listener_that_hears_nothing_sees_the_present_token_alone(listener):
    """With no memory, equal tokens give equal outputs whatever came before; with the last step heard they do not."""
    xs, resets = inputs(), jnp.zeros((T, B), bool)
    for hears, equal in (("nothing", True), ("notes", False)):
        deaf = Listener(Memoryless(heard_size() + 4, 3, key=jax.random.key(0)), hears, key=jax.random.key(0))
        ys = np.asarray(deaf.unroll(deaf.initial_state(B), xs, resets)[1])
        seen = {}
        for token, y in zip(TOKENS[1:].ravel(), ys[1:].reshape(-1, ys.shape[-1]), strict=True):
            seen.setdefault(int(token), []).append(y)
        assert all(np.array_equal(y, same[0]) for same in seen.values() for y in same) is equal
        assert len({tuple(same[0]) for same in seen.values()}) == len(seen)


def test_relative_logits_move_with_the_last_pitch_and_a_repetition_gets_more():
    readout, rng = NoteReadout(3, key=jax.random.key(0)), np.random.default_rng(0)
    h, last, repeated = rng.normal(size=(4, 3)), [1, 5, 20, PITCHES - 1], [P, P + 3, D, D + 7]
    y = np.concatenate([h, np.eye(PITCHES)[last], np.eye(NUM_TOKENS)[repeated]], axis=-1)
    logits = readout(jnp.asarray(y, jnp.float32))
    absolute = h @ np.asarray(readout.absolute.weight_hy)
    relative = h @ np.asarray(readout.relative.weight_hy)
    expected = absolute.copy()
    for row, (pitch, token) in enumerate(zip(last, repeated, strict=True)):
        expected[row, token] += h[row] @ np.asarray(readout.copy.weight_hy)[:, 0]
        for other in range(1, PITCHES):
            expected[row, FIRST_PITCH + other] += relative[row, other - pitch + PITCHES - 1]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@needs_chorales
def test_bits_per_note_of_a_model_that_knows_nothing(tmp_path):
    task = Melody(midi=str(tmp_path / "melody.mid"))
    data, config = jax.tree.map(jnp.asarray, task.load()), replace(task.defaults("gru"), hidden_size=4)
    data = data._replace(test=jax.tree.map(lambda a: a[:5], data.test))
    model = task.model(data, config, jax.random.key(0))
    blank = jax.tree.map(lambda a: jnp.zeros_like(a) if eqx.is_inexact_array(a) else a, model)
    scores = task.evaluate(blank, data, jax.random.key(0))
    melodies = [c.notes for c in chorales() if c.split == "test"][:5]
    notes = sum(len(m) - 1 for m in melodies)
    uniform = np.log2(NUM_TOKENS - 2)  # a pitch and a duration for each note after the first, and the end
    np.testing.assert_allclose(scores["bits_per_note"], uniform * (2 * notes + len(melodies)) / notes, rtol=1e-4)
    assert 3.0 < scores["factored_trigram_bits_per_note"] < scores["trigram_bits_per_note"] < 4.0
    assert 4.0 < scores["memoryless_bits_per_note"] < 6.0
    assert (tmp_path / "melody.mid").read_bytes()[:4] == b"MThd"
    made = continue_melody(blank, melodies[0][0], jax.random.key(1), longest=5)
    assert made[0] == melodies[0][0]

    batch = task.batch(data, 4, jax.random.key(0))
    loss = eqx.filter_jit(task.loss)
    plain, thinned = (loss(model, batch, key, jnp.zeros(())) for key in (None, jax.random.key(0)))
    assert plain != thinned


def test_without_the_chorales_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("throughtime.tasks.melody.corpus.find_spec", lambda name: None)
    chorales.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'throughtime\[music\]'"):
        Melody().load()
    chorales.cache_clear()


def test_each_of_several_seeds_writes_a_file_of_its_own(monkeypatch, tmp_path):
    files = []

    def train(task, config, *, seed, flow_every, progress):
        files.append((seed, task.midi))
        point = Progress(1, 1, 0.0, 1.0, 1.0)
        return TaskResult(task, config, seed, None, {"bits_per_note": 3.0}, (point,), (), 0, 1, 0.0)

    monkeypatch.setattr("throughtime.cli.task.train_task", train)
    midi, out = str(tmp_path / "new.tune.mid"), tmp_path / "out"
    argv = ["task", "melody", "--midi", midi, "--out", str(out), "--overwrite"]
    assert main([*argv, "--seed", "7", "--seeds", "2"]) == 0
    assert files == [(seed, str(tmp_path / f"new.tune-seed-{seed}.mid")) for seed in (7, 8)]
    assert json.loads((out / "results.json").read_text())["options"]["midi"] == midi
    files.clear()
    assert main(argv) == 0
    assert files == [(0, midi)]
    assert Melody().for_seed(1) == Melody()


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match="temperature is 0"):
        Melody(temperature=0.0)
    with pytest.raises(ConfigError, match="there is no folder"):
        Melody(midi=str(tmp_path / "nowhere" / "melody.mid"))
