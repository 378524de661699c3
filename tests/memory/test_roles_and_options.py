"""Roles, pointers and options against NumPy loops over rows, words, steps and plans. In float64."""

import itertools
import math
from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.memory import Elman, Memoryless
from throughtime.memory.architectures import (
    BOS,
    EOS,
    PAD,
    OptionDecoder,
    Plan,
    RoleReader,
    SyntacticAttention,
    plan_log_prob,
)
from throughtime.memory.architectures.options import _carry_out

pytestmark = pytest.mark.usefixtures("quick_compiler", "float64")

X, E, H, Q, M, V, S, T = 5, 3, 4, 6, 2, 7, 5, 6
WORDS = np.array([[0, 3, 2, 4, 4], [1, 4, -1, -1, -1], [2, 2, 0, -1, -1]])
LENGTHS = np.array([5, 2, 3], np.int32)


def reader(**options):
    key = jax.random.key(0)
    cells = [Elman(E, H, learn_initial_state=True, dtype=jnp.float64, key=key) for _ in range(2)]
    return RoleReader(*cells, X, M, **options, key=key)


def random_weights(module):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda a: jnp.asarray(rng.normal(scale=0.9, size=a.shape)) if eqx.is_inexact_array(a) else a, module
    )


def model(**options):
    key = jax.random.key(0)
    memory = Elman(2 * H, Q, learn_initial_state=True, dtype=jnp.float64, key=key)
    return random_weights(SyntacticAttention(reader(**options), memory, V, key=key))


def one_hot(words=WORDS, padding=0.0):
    return jnp.where(jnp.asarray(words.T >= 0)[..., None], jax.nn.one_hot(words.T, X, dtype=jnp.float64), padding)


def elman(cell, inputs):
    h, out = np.asarray(cell.initial_h), []
    for x in inputs:
        h = np.tanh(x @ np.asarray(cell.weight_xh) + h @ np.asarray(cell.weight_hh) + np.asarray(cell.bias_h))
        out.append(h)
    return out


def numpy_reading(m, words):
    """Roles, meanings and the context vector, from the equations in `RoleReader`."""
    signs, meanings = (np.asarray(a)[words] for a in (m.signs, m.meanings))
    n, zero = len(words), np.zeros(H)
    ahead, back = elman(m.forward, signs), elman(m.backward, signs[::-1])[::-1]
    roles = np.array([np.r_[ahead[j - 1] if j else zero, back[j + 1] if j + 1 < n else zero] for j in range(n)])
    return roles, meanings, np.r_[ahead[-1], back[0]]


def numpy_logits(m, told, roles, meanings, steps):
    """From the equations in `PointerDecoder`."""
    bridge = told @ np.asarray(m.bridge.weight_hy) + np.asarray(m.bridge.bias_y)
    s, c, out, cell = np.asarray(m.memory.initial_h) + np.tanh(bridge), np.zeros(2 * H), [], m.memory
    for _ in range(steps):
        s = np.tanh(c @ np.asarray(cell.weight_xh) + s @ np.asarray(cell.weight_hh) + np.asarray(cell.bias_h))
        scores = np.array([s @ np.asarray(m.weight_query) @ r for r in roles])
        a = np.exp(scores) / np.exp(scores).sum()
        c = a @ roles
        logits = a @ meanings @ np.asarray(m.readout.weight_hy) + np.asarray(m.readout.bias_y)
        logits[[PAD, BOS]] = -np.inf
        out.append(logits)
    return np.array(out)


TARGET = jnp.asarray(np.r_[[[3] * 3] * (T - 1), [[EOS] * 3]].astype(np.int32))
call = eqx.filter_jit(lambda m, xs, lengths, **options: m(xs, lengths, TARGET, **options))


def test_it_is_what_its_equations_say_and_padding_is_nothing():
    m = model(noise=0.3, dropout=0.4)  # neither happens without a key
    rows = [numpy_reading(m.reader, row[:n]) for row, n in zip(WORDS, LENGTHS, strict=True)]
    want = np.stack([numpy_logits(m.decoder, told, *source, T) for *source, told in rows], axis=1)
    for padding in (0.0, np.nan):
        got = call(m, one_hot(padding=padding), jnp.asarray(LENGTHS))
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_nan_in_the_padding_reaches_no_gradient():
    def loss(m, xs):
        return jnp.sum(jnp.where(jnp.isfinite(out := m(xs, jnp.asarray(LENGTHS), TARGET)), out, 0.0) ** 2)

    grads = eqx.filter_jit(eqx.filter_grad(loss))(model(), one_hot(padding=np.nan))
    assert all(np.all(np.isfinite(g)) and np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grads))


def test_free_running_takes_the_most_probable_token_of_each_step():
    m = model()
    said = m.generate(one_hot(), jnp.asarray(LENGTHS), T)
    best = np.argmax(call(m, one_hot(), jnp.asarray(LENGTHS)), axis=-1)
    for b in range(3):
        row = best[:, b].tolist()
        row = row[: row.index(EOS) + 1] if EOS in row else row
        assert np.asarray(said.tokens)[:, b].tolist() == row + [PAD] * (T - len(row))


def test_a_role_is_what_stands_around_a_word_and_meaning_moves_no_attention():
    m = model()
    context = eqx.filter_jit(lambda m, words: m.reader(one_hot(words), jnp.asarray(LENGTHS)))
    other = WORDS.copy()
    other[0, 1] = 1
    roles, changed = (np.asarray(context(m, words).source)[..., : 2 * H] for words in (WORDS, other))
    same = np.all(np.isclose(roles, changed), axis=-1)
    assert same[:, 0].tolist() == [False, True, False, False, False]  # all around word 1, and not itself
    assert same[:, 1:].all()

    dull = eqx.tree_at(lambda m: m.reader.meanings, m, m.reader.meanings.at[3].set(7.0))
    step = eqx.filter_jit(lambda m, told: m.decoder.step(m.decoder.start(told), None, told))
    (state, logits), (usual, before) = step(dull, context(dull, WORDS)), step(m, context(m, WORDS))
    np.testing.assert_array_equal(state.attended, usual.attended)
    np.testing.assert_array_equal(state.memory.h, usual.memory.h)
    assert np.any(np.asarray(logits[0]) != np.asarray(before[0]))


def test_noise_and_dropout_come_with_a_key_and_differ():
    outs = {
        name: np.asarray(call(model(**options), one_hot(), jnp.asarray(LENGTHS), key=jax.random.key(k)))
        for name, options, k in (
            *(("none", {}, 0), ("none again", {}, 1), ("noise", {"noise": 0.5}, 0)),
            *(("other noise", {"noise": 0.5}, 1), ("dropout", {"dropout": 0.5}, 0)),
        )
    }
    np.testing.assert_array_equal(outs["none"], outs["none again"])
    finite = np.isfinite(outs["none"])
    for a, b in (("none", "noise"), ("noise", "other noise"), ("none", "dropout")):
        assert np.any(outs[a][finite] != outs[b][finite])


def test_the_energy_of_the_signs():
    m = eqx.tree_at(lambda m: m.reader.signs, model(), jnp.full((X, E), 2.0))
    np.testing.assert_allclose(m.sign_energy(), 12.0)


def elman_of(inputs, dtype=jnp.float64):
    return Elman(inputs, H, dtype=dtype, key=jax.random.key(0))


def memoryless(inputs):
    return Memoryless(inputs, H, dtype=jnp.float64, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda key: RoleReader(elman_of(E), elman_of(E + 1), X, M, key=key), "Both read the same signs"),
        (lambda key: RoleReader(memoryless(E), elman_of(E), X, M, key=key), "without a state"),
        (lambda key: reader(noise=-0.1), "noise is -0.1"),
        (lambda key: SyntacticAttention(reader(), elman_of(2 * H + 1), V, key=key), f"input_size of {2 * H}"),
        (lambda key: SyntacticAttention(reader(), memoryless(2 * H), V, key=key), "state of 0 numbers"),
        (lambda key: SyntacticAttention(reader(), elman_of(2 * H), 3, key=key), "num_tokens is 3"),
        (
            lambda key: OptionDecoder(reader(), memoryless(2 * H), elman_of(2 * H), V, key=key),
            "planner without a state",
        ),
        (lambda key: OptionDecoder(reader(), *[elman_of(2 * H)] * 2, V, subgoals=0, key=key), "subgoals is 0"),
    ],
    ids=range(8),
)
def test_errors(make, says):
    with pytest.raises(ConfigError, match=says):
        make(jax.random.key(0))


def test_sources_of_another_shape_are_refused():
    with pytest.raises(ConfigError, match=f"expected sequences \\[T, B, {X}\\]"):
        reader()(jnp.zeros((S, 3, X + 1)), jnp.asarray(LENGTHS))


# Options.


def options(subgoals=2, repeats=2, longest=2):
    key, cells = jax.random.key(0), [elman_of(2 * H) for _ in range(2)]
    sizes = {"subgoals": subgoals, "repeats": repeats, "longest": longest}
    return random_weights(OptionDecoder(reader(), *cells, V - 1, **sizes, key=key))


SYMBOLS = list(range(3, V - 1))


def every_sequence(plan, b):
    """The probability of each sequence without its EOS, by carrying out every plan there is."""
    times, tokens = np.exp(np.asarray(plan.times)[:, b]), np.exp(np.asarray(plan.options)[:, :, b])
    (C, N1), L = times.shape, tokens.shape[0]
    found = Counter()

    def carry_out(c, said, p):
        if c == C:
            found[said] += p
            return
        found[said] += p * times[c, 0]
        for size in range(1, L + 1):
            for option in itertools.product(SYMBOLS, repeat=size):
                q = math.prod(tokens[i, c, token] for i, token in enumerate(option))
                q *= tokens[size, c, EOS] if size < L else 1.0
                for n in range(1, N1):
                    carry_out(c + 1, said + option * n, p * q * times[c, n])

    carry_out(0, (), 1.0)
    return found


def test_the_probability_of_a_sequence_is_the_sum_over_all_plans_that_come_to_it():
    m = options()
    plan = eqx.filter_jit(lambda m: m.plan(one_hot(), jnp.asarray(LENGTHS)))(m)
    log_prob = eqx.filter_jit(plan_log_prob)
    rng = np.random.default_rng(0)
    for b in range(2):
        found = every_sequence(plan, b)
        np.testing.assert_allclose(sum(found.values()), 1.0)
        likely = [said for said, _ in found.most_common(40)]
        chosen = [*likely, *(list(found)[i] for i in rng.choice(len(found), 40, replace=False))]
        target = np.full((9, len(chosen)), PAD, np.int32)
        for column, said in enumerate(chosen):
            target[: len(said) + 1, column] = [*said, EOS]
        target[-1, :5] = SYMBOLS[0]  # behind an EOS nothing counts
        target[-1, [len(said) == 8 for said in chosen]] = EOS
        one = Plan(*(jnp.repeat(a[..., b : b + 1, :], len(chosen), axis=-2) for a in plan))
        got = log_prob(one, jnp.asarray(target))
        np.testing.assert_allclose(got, [np.log(found[said]) for said in chosen], rtol=1e-6)
    impossible = jnp.asarray([[SYMBOLS[0], SYMBOLS[1]] * 4 + [SYMBOLS[0], EOS]] * 3).T  # nine, and at most eight
    assert np.all(np.asarray(log_prob(plan, impossible)) < -1e8)


def test_a_plan_is_what_its_equations_say():
    m = options(subgoals=3)
    plan = eqx.filter_jit(lambda m: m.plan(one_hot(padding=np.nan), jnp.asarray(LENGTHS)))(m)
    for b, (row, n) in enumerate(zip(WORDS, LENGTHS, strict=True)):
        roles, meanings, told = numpy_reading(m.reader, row[:n])
        s = np.tanh(told @ np.asarray(m.bridge.weight_hy) + np.asarray(m.bridge.bias_y))
        k, cell = np.zeros(2 * H), m.planner
        for c in range(3):
            s = np.tanh(k @ np.asarray(cell.weight_xh) + s @ np.asarray(cell.weight_hh) + np.asarray(cell.bias_h))
            a = np.exp([s @ np.asarray(m.weight_query) @ r for r in roles])
            k = a / a.sum() @ roles
            times = np.r_[s, k] @ np.asarray(m.times.weight_hy) + np.asarray(m.times.bias_y)
            np.testing.assert_allclose(plan.times[c, b], times - np.log(np.exp(times).sum()), rtol=1e-8)
            option = eqx.tree_at(lambda d: d.memory.initial_h, m.option, np.zeros(H), is_leaf=lambda x: x is None)
            logits = numpy_logits(option, np.r_[s, k], roles, meanings, 2)
            logits[0, EOS] = -np.inf
            want = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
            np.testing.assert_allclose(plan.options[:, c, b], np.maximum(want, -1e9), rtol=1e-8)


def test_a_plan_is_carried_out():
    """Two options, the first twice, and what the third would be is not done."""

    def sure(picks, size):
        return jnp.where(jax.nn.one_hot(jnp.asarray(picks), size, dtype=bool), 0.0, -50.0)

    times = sure([[2, 0, 1], [1, 2, 2], [0, 1, 1]], 3)
    first, second, third = (3, 4, EOS), (5, EOS, 3), (4, 4, 4)
    tokens = np.moveaxis(np.array([[first, second, third]] * 3), 0, -1)  # [C, L, B]
    plan = Plan(times, sure(np.moveaxis(tokens, 1, 0), 6))
    said = _carry_out(plan, 9)
    assert [np.asarray(said.tokens)[:n, b].tolist() for b, n in enumerate(said.lengths)] == [
        [3, 4, 3, 4, 5, EOS],
        [EOS],
        [3, 4, 5, 5, 4, 4, 4, EOS],
    ]
    np.testing.assert_allclose(said.log_prob, plan_log_prob(plan, said.tokens), atol=1e-9)


def test_learning_options_reaches_every_parameter():
    target = jnp.asarray([[3, 4, 3, 4, EOS], [5, 5, EOS, PAD, PAD], [3, EOS, PAD, PAD, PAD]], jnp.int32).T

    def loss(m, xs):
        return -jnp.sum(m.log_prob(xs, jnp.asarray(LENGTHS), target))

    grads = eqx.filter_jit(eqx.filter_grad(loss))(options(), one_hot(padding=np.nan))
    assert all(np.all(np.isfinite(g)) and np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grads))
