"""Decoders against a NumPy loop over rows and steps, and the rules of EOS, PAD and beam search. In float64."""

import itertools
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import GRU, LSTM, TDNN, Elman, Memoryless
from throughtime.memory.architectures import (
    BOS,
    EOS,
    PAD,
    Context,
    Decoder,
    EncoderDecoder,
    OneToMany,
    ScheduledSampling,
    context_size,
    counted,
    exact_match,
    token_accuracy,
    token_loss,
)

V, C, E, H, B, T = 6, 3, 2, 4, 3, 5
TARGET = np.array([[3, 4, 5, 3, EOS], [EOS, PAD, PAD, PAD, PAD], [5, 5, EOS, PAD, PAD]]).T.astype(np.int32)


pytestmark = pytest.mark.usefixtures("quick_compiler", "float64")


def random_weights(module, seed=0, scale=0.9):
    """The same structure with random numbers in all parameters: no bias is zero and no matrix special."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda a: jnp.asarray(rng.normal(scale=scale, size=a.shape)) if eqx.is_inexact_array(a) else a, module
    )


def elman_decoder(*, source_size=None, seed=0, num_tokens=V, feed=True, bridge=True, dropout=0.0):
    key = jax.random.key(0)
    memory = Elman(E + C * feed, H, learn_initial_state=True, dtype=jnp.float64, key=key)
    options = {"context_size": C, "source_size": source_size, "feed_context": feed, "bridge": bridge}
    options["dropout"] = dropout
    return random_weights(Decoder(memory, num_tokens, **options, key=key), seed)


def context(*, source_size=None, rows=B, seed=1):
    rng = np.random.default_rng(seed)
    vector = jnp.asarray(rng.normal(size=(rows, C)))
    if source_size is None:
        return Context(vector)
    lengths = jnp.asarray(np.arange(rows) % 3 + 2, jnp.int32)
    return Context(vector, jnp.asarray(rng.normal(size=(4, rows, source_size))), lengths)


@eqx.filter_jit
def forced(decoder, told, tokens=TARGET, **options):
    """`teacher_forced`, compiled as one."""
    return decoder.teacher_forced(told, jnp.asarray(tokens), **options)


class NumpyDecoder:
    """One row at a time, one step at a time, from the equations in `Decoder` and `Attention`."""

    def __init__(self, decoder):
        self.of, self.memory = decoder, decoder.memory

    def array(self, value):
        return np.asarray(value, np.float64)

    def start(self, context, b):
        h = self.array(self.memory.initial_h)
        if self.of.bridge is not None:
            bridge = self.of.bridge
            h = h + np.tanh(self.array(context.vector[b]) @ self.array(bridge.weight_hy) + self.array(bridge.bias_y))
        return h

    def step(self, h, token, context, b):
        m, of = self.memory, self.of
        x = self.array(of.embedding)[token]
        if of.feed_context:
            x = np.concatenate([x, self.array(context.vector[b])])
        h = np.tanh(x @ self.array(m.weight_xh) + h @ self.array(m.weight_hh) + self.array(m.bias_h))
        out = h
        if of.attention is not None:
            a = of.attention
            source = [self.array(context.source[s, b]) for s in range(int(context.lengths[b]))]
            scores = np.array([h @ self.array(a.weight_hs) @ s for s in source])
            weights = np.exp(scores) / np.exp(scores).sum()
            c = sum(w * s for w, s in zip(weights, source, strict=True))
            out = np.tanh(np.concatenate([c, h]) @ self.array(a.weight_c) + self.array(a.bias_c))
        logits = out @ self.array(of.readout.weight_hy) + self.array(of.readout.bias_y)
        logits[[PAD, BOS]] = -np.inf
        return h, logits

    def log_p(self, logits):
        return logits - np.log(np.exp(logits[2:]).sum())

    def greedy(self, context, b, length):
        h, token, tokens = self.start(context, b), BOS, []
        while len(tokens) < length and token != EOS:
            h, logits = self.step(h, token, context, b)
            token = int(np.argmax(logits))
            tokens.append(token)
        return tokens

    def every_sequence(self, context, b, length, tokens):
        """All sequences that end within `length` steps, or are cut there, with their log-probabilities."""
        found = {}

        def extend(prefix, h, total):
            h, logits = self.step(h, prefix[-1] if prefix else BOS, context, b)
            log_p = self.log_p(logits)
            for token in range(EOS, tokens):
                longer = (*prefix, token)
                if token == EOS or len(longer) == length:
                    found[longer] = total + log_p[token]
                else:
                    extend(longer, h, total + log_p[token])

        extend((), self.start(context, b), 0.0)
        return found


def said(generated, b, beam=None):
    tokens, lengths = (a if beam is None else a[beam] for a in (generated.tokens, generated.lengths))
    assert np.all(np.asarray(tokens)[int(lengths[b]) :, b] == PAD)
    return tuple(np.asarray(tokens)[: int(lengths[b]), b].tolist())


@pytest.mark.parametrize("options", [{}, {"source_size": 3, "feed": False}, {"bridge": False}], ids=str)
def test_teacher_forcing_equals_numpy(options):
    decoder, told = elman_decoder(**options), context(source_size=options.get("source_size"))
    logits = np.asarray(forced(decoder, told))
    reference = NumpyDecoder(decoder)
    for b in range(B):
        h, token = reference.start(told, b), BOS
        for t in range(T):
            h, expected = reference.step(h, token, told, b)
            np.testing.assert_allclose(logits[t, b], expected, rtol=1e-10)
            token = TARGET[t, b]


@pytest.mark.parametrize("source_size", [None, 3])
def test_free_running_equals_numpy(source_size):
    ended = set()
    for seed in range(3):
        decoder, told = elman_decoder(source_size=source_size, seed=seed), context(source_size=source_size)
        generated, reference = decoder.generate(told, 7), NumpyDecoder(decoder)
        for b in range(B):
            expected = reference.greedy(told, b, 7)
            assert said(generated, b) == tuple(expected)
            assert len(expected) == generated.lengths[b]
            log_p = reference.every_sequence(told, b, len(expected), V)[tuple(expected)] if len(expected) < 5 else None
            if log_p is not None:
                np.testing.assert_allclose(generated.log_prob[b], log_p, rtol=1e-10)
            ended.add(expected[-1] == EOS)
    assert ended == {True, False}  # both ways to end were seen


def test_a_drawn_sequence_follows_the_model_and_the_temperature():
    decoder, rows = elman_decoder(num_tokens=5), 4000
    told = Context(jnp.broadcast_to(context().vector[:1], (rows, C)))
    exact = NumpyDecoder(decoder).every_sequence(told, 0, 2, 5)
    drawn = decoder.generate(told, 2, key=jax.random.key(3))
    seen = Counter(map(tuple, np.asarray(drawn.tokens).T.tolist()))
    assert set(seen) <= {(*sequence, PAD)[:2] for sequence in exact}
    for sequence, log_p in exact.items():
        p, share = np.exp(log_p), seen[(*sequence, PAD)[:2]] / rows
        assert abs(share - p) < 4 * np.sqrt(p * (1 - p) / rows) + 1e-9
    cold = decoder.generate(told, 2, key=jax.random.key(3), temperature=1e-3)
    np.testing.assert_array_equal(cold.tokens, decoder.generate(told, 2).tokens)


@pytest.mark.parametrize(("source_size", "penalty"), [(None, 1.0), (3, 0.0)])
def test_a_wide_beam_is_exhaustive(source_size, penalty):
    tokens, length = 5, 3  # EOS and two symbols: 1 + 2 + 4·3 = 15 sequences
    decoder = elman_decoder(source_size=source_size, num_tokens=tokens)
    told, reference = context(source_size=source_size), NumpyDecoder(decoder)
    beams = decoder.beam_search(told, tokens**length, length, length_penalty=penalty)
    for b in range(B):
        exact = reference.every_sequence(told, b, length, tokens)
        ranked = sorted(exact, key=lambda s: -exact[s] / ((5 + len(s)) / 6) ** penalty)
        assert len(ranked) == 15
        for w, sequence in enumerate(ranked):
            assert said(beams, b, w) == sequence
            np.testing.assert_allclose(beams.log_prob[w, b], exact[sequence], rtol=1e-10)
        assert np.all(np.asarray(beams.log_prob)[15:, b] == -np.inf)


def test_a_length_penalty_can_change_the_winner():
    """Otherwise the exhaustive test would not see it."""
    winners = set()
    decoder = elman_decoder(num_tokens=5, seed=2)
    told = context(rows=16)
    for penalty in (0.0, 3.0):
        beams = decoder.beam_search(told, 27, 3, length_penalty=penalty)
        winners.add(tuple(said(beams, b, 0) for b in range(16)))
    assert len(winners) == 2


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_of_one_is_greedy_and_a_wider_one_is_no_worse(penalty):
    decoder, told = elman_decoder(seed=4), context(rows=8)
    greedy, one = decoder.generate(told, 6), decoder.beam_search(told, 1, 6, length_penalty=penalty)
    np.testing.assert_array_equal(one.tokens[0], greedy.tokens)
    np.testing.assert_allclose(one.log_prob[0], greedy.log_prob, rtol=1e-12)
    everything = decoder.beam_search(told, 4**6, 6)
    assert np.all(np.asarray(everything.log_prob[0]) >= np.asarray(greedy.log_prob) - 1e-12)
    assert np.any(np.asarray(everything.log_prob[0]) > np.asarray(greedy.log_prob) + 1e-3)


def test_scheduled_sampling_at_its_ends():
    """At p = 0 it is teacher forcing; at p = 1 it is the free-running decoder, greedy or drawn."""
    decoder, told, key = elman_decoder(seed=1), context(), jax.random.key(7)
    plain = forced(decoder, told)
    np.testing.assert_allclose(forced(decoder, told, own=jnp.asarray(0.0), key=key), plain, rtol=1e-12)
    half = forced(decoder, told, own=jnp.asarray(0.5), key=key)
    assert not np.allclose(half[1:], plain[1:])
    np.testing.assert_allclose(half[0], plain[0])  # the first step reads BOS, whatever the coin says
    for greedy in (True, False):
        logits = forced(decoder, told, own=jnp.asarray(1.0), greedy=greedy, key=key)
        free = decoder.generate(told, T, key=None if greedy else key)
        for b in range(B):
            for t in range(int(free.lengths[b])):
                choose = logits[t] if greedy else jax.random.gumbel(jax.random.fold_in(key, t), (B, V)) + logits[t]
                assert int(jnp.argmax(choose[b])) == free.tokens[t, b]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_the_schedule_rises_from_teacher_forcing():
    for shape in ("linear", "exponential", "sigmoid"):
        p = [float(ScheduledSampling(0.4, shape, rate=4.0)(u)) for u in np.linspace(0, 1, 11)]
        np.testing.assert_allclose([p[0], p[-1]], [0.0, 0.4], atol=1e-7)
        assert np.all(np.diff(p) > 0)
        closed = {
            "linear": 0.12,
            "exponential": 0.4 * (1 - np.exp(-1.2)) / (1 - np.exp(-4)),
            "sigmoid": 0.4
            * (logistic(-1.6) - logistic(-4))
            / (logistic(4) - logistic(-4)),  # of rate·(2u − 1), u = 0.3
        }
        np.testing.assert_allclose(p[3], closed[shape], rtol=1e-5)


def test_dropout_acts_in_training_alone_and_keeps_its_features_through_time():
    decoder, told = elman_decoder(dropout=0.5), context()
    plain = forced(elman_decoder(), told)
    np.testing.assert_array_equal(forced(decoder, told), plain)
    assert not np.allclose(forced(decoder, told, key=jax.random.key(0)), plain)
    drop, _ = decoder._dropout(jax.random.key(0), B)
    ones = np.asarray(drop(jnp.ones((T, B, E + C))))
    assert set(np.unique(ones)) == {0.0, 2.0}
    np.testing.assert_array_equal(ones, np.broadcast_to(ones[:1], ones.shape))


# What counts.


def test_the_steps_that_count():
    np.testing.assert_array_equal(
        np.asarray(counted(jnp.asarray(TARGET))).T,
        [[True] * 5, [True] + [False] * 4, [True, True, True, False, False]],
    )
    after = jnp.asarray([[3, EOS, 4, EOS]]).T  # rubbish after the EOS
    np.testing.assert_array_equal(counted(after)[:, 0], [True, True, False, False])


def test_the_loss_counts_the_eos_and_nothing_after_it():
    logits = np.random.default_rng(0).normal(size=(T, B, V))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.mean([log_p[t, b, TARGET[t, b]] for b, n in enumerate((5, 1, 3)) for t in range(n)])
    np.testing.assert_allclose(token_loss(jnp.asarray(logits), jnp.asarray(TARGET)), expected, rtol=1e-12)
    value, grad = jax.value_and_grad(token_loss)(jnp.asarray(logits), jnp.asarray(TARGET))
    padded = logits.copy()
    for b, n in enumerate((5, 1, 3)):
        padded[n:, b] = np.nan
        assert np.all(np.asarray(grad)[n:, b] == 0.0)
        assert np.any(np.asarray(grad)[n - 1, b] != 0.0)
    nan_value, nan_grad = jax.value_and_grad(token_loss)(jnp.asarray(padded), jnp.asarray(TARGET))
    assert nan_value == value
    np.testing.assert_array_equal(nan_grad, grad)
    assert token_loss(jnp.asarray(logits), jnp.zeros((T, B), jnp.int32)) == 0.0


def test_accuracy_and_exact_match():
    predicted = jnp.asarray([[3, 4, EOS, PAD], [EOS, 3, 3, 3], [5, 5, 4, EOS]]).T.astype(jnp.int32)
    target = jnp.asarray(TARGET)
    # 3 4 right, 5 3 EOS wrong (the last one missing); EOS right; 5 5 right, EOS wrong
    np.testing.assert_allclose(token_accuracy(predicted, target), 5 / 9, rtol=1e-6)
    np.testing.assert_array_equal(exact_match(predicted, target), [False, True, False])
    np.testing.assert_array_equal(exact_match(target[:3], target), [False, True, True])
    np.testing.assert_array_equal(exact_match(target, target[:3]), [False, True, True])


def test_what_follows_an_eos_changes_neither_loss_nor_gradient():
    decoder, told = elman_decoder(), context()
    other = TARGET.copy()
    other[3:, 2], other[1:, 1] = 4, EOS  # instead of PAD

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(diff, tokens):
        decoder, vector = diff
        return token_loss(decoder.teacher_forced(Context(vector), tokens), tokens)

    (a, grads), (b, others) = (loss((decoder, told.vector), jnp.asarray(tokens)) for tokens in (TARGET, other))
    assert a == b
    for x, y in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        assert np.all(np.isfinite(x))
        np.testing.assert_allclose(x, y, atol=1e-15)


# Sources.

S, I, LENGTHS = 4, 2, np.array([2, 4, 1], np.int32)  # noqa: E741


def encoder_decoder(kind=LSTM, attention=True):
    key = jax.random.key(0)
    encoder = kind(I, 3, dtype=jnp.float64, key=key)
    memory = GRU(E + context_size(encoder), H, dtype=jnp.float64, key=key)
    model = EncoderDecoder(encoder, memory, V, attention=attention, feed_context=True, key=key)
    return random_weights(model, scale=0.6)


def test_an_encoder_decoder_reads_each_source_alone_and_to_its_end():
    model, b, n = encoder_decoder(), 0, LENGTHS[0]
    xs = np.random.default_rng(5).normal(size=(S, B, I))
    everything = eqx.filter_jit(
        lambda xs, lengths, tokens: (
            model(xs, lengths, tokens),
            model.beam_search(xs, lengths, 3, 4).tokens,
            model.generate(xs, lengths, 4).tokens,
        )
    )
    together = everything(jnp.asarray(xs), jnp.asarray(LENGTHS), jnp.asarray(TARGET))
    alone = everything(jnp.asarray(xs[:n, b : b + 1]), None, jnp.asarray(TARGET[:, b : b + 1]))
    np.testing.assert_allclose(together[0][:, b], alone[0][:, 0], rtol=1e-10)
    np.testing.assert_array_equal(together[1][:, :, b], alone[1][:, :, 0])
    np.testing.assert_array_equal(together[2][:, b], alone[2][:, 0])


@pytest.mark.parametrize("kind", [TDNN, Memoryless])
def test_the_context_of_an_encoder_is_its_state_or_else_its_output(kind):
    model, xs = encoder_decoder(kind, attention=False), np.random.default_rng(5).normal(size=(S, B, I))
    vector = np.asarray(model.context(jnp.asarray(xs), LENGTHS).vector)
    for b, n in enumerate(LENGTHS):
        before = np.concatenate([np.zeros((9, I)), xs[:n, b]])
        if kind is TDNN:  # the window of past inputs
            expected = before[-vector.shape[1] // I :].ravel()
        else:
            expected = np.tanh(xs[n - 1, b] @ np.asarray(model.encoder.weight_xh) + np.asarray(model.encoder.bias_h))
        np.testing.assert_allclose(vector[b], expected, rtol=1e-12)


def test_nan_in_the_padding_of_a_source_changes_nothing():
    model = encoder_decoder()
    xs = np.random.default_rng(5).normal(size=(S, B, I))
    padded = xs.copy()
    for b, n in enumerate(LENGTHS):
        padded[n:, b] = np.nan

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(diff, tokens):
        model, xs = diff
        return token_loss(model(xs, jnp.asarray(LENGTHS), tokens), tokens)

    (a, grads), (b, others) = (loss((model, jnp.asarray(x)), jnp.asarray(TARGET)) for x in (xs, padded))
    assert a == b
    for x, y in zip(jax.tree.leaves(grads), jax.tree.leaves(others), strict=True):
        assert np.all(np.isfinite(x))
        np.testing.assert_array_equal(x, y)
    for b, n in enumerate(LENGTHS):
        assert np.all(np.asarray(grads[1])[n:, b] == 0.0)
        assert np.any(np.asarray(grads[1])[n - 1, b] != 0.0)


def test_attention_looks_at_valid_source_steps_alone():
    model = encoder_decoder()
    attention = model.decoder.attention
    h, source = (jnp.asarray(np.random.default_rng(i).normal(size=s)) for i, s in enumerate([(T, B, H), (S, B, 3)]))
    mask = np.arange(S)[:, None] < LENGTHS
    weights = np.asarray(attention.weights(h, source, jnp.asarray(mask)))
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    assert np.all(weights[:, ~mask.T] == 0.0)
    assert np.all(weights[:, mask.T] > 0.0)


def test_finite_differences_through_attention_and_bridge():
    model, xs = encoder_decoder(), jnp.asarray(np.random.default_rng(5).normal(size=(S, B, I)))
    value = eqx.filter_jit(eqx.filter_value_and_grad(lambda m: token_loss(m(xs, LENGTHS, TARGET), jnp.asarray(TARGET))))
    _, grads = value(model)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    rng = np.random.default_rng(6)
    along = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)
    plus, minus = (
        value(eqx.combine(jax.tree.map(lambda p, d, s=s: p + s * 1e-6 * d, params, along), static))[0] for s in (1, -1)
    )
    expected = sum(float(jnp.sum(g * d)) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(along), strict=True))
    np.testing.assert_allclose((plus - minus) / 2e-6, expected, rtol=1e-6)


def test_one_to_many_is_a_decoder_told_its_features():
    key = jax.random.key(0)
    memory = GRU(E + C, H, dtype=jnp.float64, key=key)
    model = OneToMany(memory, V, C, features=lambda image: image.reshape(B, -1)[:, :C], key=key)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(B, 2, 2)))
    told = Context(images.reshape(B, 4)[:, :C])
    np.testing.assert_allclose(eqx.filter_jit(model)(images, TARGET), forced(model.decoder, told), rtol=1e-12)
    np.testing.assert_array_equal(model.generate(images, 4).tokens, model.decoder.generate(told, 4).tokens)
    np.testing.assert_array_equal(model.beam_search(images, 2, 4).tokens, model.decoder.beam_search(told, 2, 4).tokens)


def test_generation_compiles_once_for_all_temperatures_and_contexts():
    traces = []

    class Counted(Elman):
        def advance(self, state, projected):
            traces.append(None)
            return super().advance(state, projected)

    key = jax.random.key(0)
    decoder = Decoder(Counted(E + C, H, dtype=jnp.float64, key=key), V, context_size=C, key=key)
    decoder.generate(context(), 4, key=key)
    before = len(traces)
    decoder.generate(context(seed=9), 4, key=jax.random.key(1), temperature=0.5)
    assert len(traces) == before


def errors():
    told, key = (lambda **more: context(**more)), jax.random.key(0)
    memory = Elman(E + C, H, key=key)
    yield "3 tokens", lambda d: Decoder(memory, 3, key=key), "num_tokens is 3"
    yield "no room", lambda d: Decoder(memory, V, context_size=5, key=key), "input_size of 6"
    yield "one-hot", lambda d: Decoder(memory, V, embed=False, key=key), "input_size of 6"
    yield "dropout", lambda d: Decoder(memory, V, dropout=1.0, key=key), "dropout is 1.0"
    yield "context width", lambda d: d.generate(Context(jnp.zeros((B, 2))), 4), r"expected a context float64\[B, 3\]"
    yield "context dtype", lambda d: d.generate(Context(jnp.zeros((B, 3), jnp.float32)), 4), "got float32"
    yield "max_length", lambda d: d.generate(told(), 0), "max_length is 0"
    yield "width", lambda d: d.beam_search(told(), 0, 4), "width is 0"
    yield "penalty", lambda d: d.beam_search(told(), 2, 4, length_penalty=-1.0), "length_penalty is -1.0"
    yield "temperature", lambda d: d.generate(told(), 4, temperature=0.0), "temperature is 0.0"
    yield "no key", lambda d: d.teacher_forced(told(), TARGET, own=0.5), "without a key"
    yield "rows", lambda d: d.teacher_forced(told(rows=2), TARGET), "3 targets and 2 contexts"
    yield "BOS", lambda d: d.teacher_forced(told(), np.full((T, B), BOS, np.int32)), "holds BOS"
    yield "empty", lambda d: d.teacher_forced(told(), np.full((T, B), PAD, np.int32)), "target 0 has no tokens"
    yield "token", lambda d: d.teacher_forced(told(), np.full((T, B), V, np.int32)), r"in 0 … 5, got 6 … 6"
    yield "no steps", lambda d: d.teacher_forced(told(), np.zeros((0, B), np.int32)), "T = 0"


@pytest.mark.parametrize(("make", "match"), [pytest.param(*e[1:], id=e[0]) for e in errors()])
def test_errors_say_what_was_expected(make, match):
    with pytest.raises(ConfigError, match=match):
        make(elman_decoder())


def test_a_decoder_that_attends_wants_a_source():
    decoder = elman_decoder(source_size=3)
    for told in (context(), Context(context().vector, jnp.zeros((4, B, 2)))):
        with pytest.raises(ConfigError, match=r"expected a source \[S, 3, 3\]"):
            decoder.generate(told, 4)


def test_all_sequences_of_the_exhaustive_test_are_different():
    found = NumpyDecoder(elman_decoder(num_tokens=5)).every_sequence(context(), 0, 3, 5)
    assert np.isclose(sum(np.exp(list(found.values()))), 1.0)
    assert len(found) == sum(1 for n in range(1, 4) for s in itertools.product((2, 3, 4), repeat=n) if legal(s, 3))


def legal(sequence, length):
    return EOS not in sequence[:-1] and (sequence[-1] == EOS or len(sequence) == length)
