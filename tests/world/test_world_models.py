"""World models: what they learn from, the times of rewards and ends, and dreams."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from throughtime.core import ConfigError, NonFiniteError
from throughtime.envs import Box, Discrete, Environment, VectorEnvironment, make
from throughtime.rl import Moments
from throughtime.world import (
    Dream,
    LearningConfig,
    MemoryConfig,
    WorldModelConfig,
    build_model,
    check_finite,
    collect,
    fit,
    kind_of,
    observation_kind,
)
from throughtime.world.heads import OutcomeHeads
from throughtime.world.likelihoods import Bits, GaussianMixture, OneHot, TwoHot
from throughtime.world.measures import open_loop
from throughtime.world.rssm import _kl

pytestmark = pytest.mark.usefixtures("quick_compiler")
MODELS = ("rssm", "mdn-rnn")


class StairsState(NamedTuple):
    step: Any
    time: Any


@dataclass(frozen=True)
class Stairs(Environment[StairsState, tuple]):
    """Four steps up; 1 climbs, 0 stays. Climbing from an odd step pays 1. The top ends the episode, seen only then;
    after five moves the episode is truncated. Whoever shifts rewards, ends or observations predicts wrongly."""

    stochastic_step = False

    name = "stairs"
    default_params = ()
    observation_space = Box(0.0, 1.0, (4,))
    action_space = Discrete(2)
    max_episode_steps = 5

    def reset_env(self, key, params):
        state = StairsState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        return jax.nn.one_hot(state.step, 4), state

    def step_env(self, key, state, action, params):
        climbs = action == 1
        reward = (climbs & (state.step % 2 == 1)).astype(jnp.float32)
        step = state.step + climbs.astype(jnp.int32)
        return jax.nn.one_hot(step, 4), StairsState(step, state.time + 1), reward, step == 3, {}

    def is_truncated(self, state, params):
        return state.time >= 5

    def hidden_state(self, state):
        return state.time


class Wide(Stairs):
    observation_space = Box(0.0, 1.0, (5,))


@pytest.fixture(scope="module")
def sequences():
    return collect(Stairs(), None, batch_size=256, steps=12, key=jax.random.key(0))


def fitted(sequences, **settings):
    config = WorldModelConfig(width=16, latents=2, classes=4, **settings)
    model = build_model(Stairs(), config, jax.random.key(1), MemoryConfig(hidden_size=16))
    return fit(model, sequences, LearningConfig(updates=200, batch_size=32, learning_rate=2e-2), jax.random.key(2))


@pytest.fixture(scope="module", params=MODELS)
def learned(request, sequences):
    return fitted(sequences, model=request.param)


# Compiled once a model: operation by operation they take most of the time.
observe = eqx.filter_jit(lambda model, *inputs: model.observe(*inputs))
imagine = eqx.filter_jit(lambda model, *inputs: model.imagine(*inputs))
loss = eqx.filter_jit(lambda model, *inputs: model.loss(*inputs))


def losses_of(model, sequences):
    return jax.device_get(loss(model, sequences, jax.random.key(3)))


def test_sequences_are_what_happened(sequences):
    """Against a loop in Python that knows the rules."""
    ends = 0
    for b in range(20):
        step = time = 0
        for t in range(12):
            action = int(sequences.actions[t, b])
            assert bool(sequences.resets[t, b]) == (time == 0)
            assert int(sequences.observations[t, b].argmax()) == step
            assert float(sequences.rewards[t, b]) == float(action == 1 and step % 2 == 1)
            step, time = step + action, time + 1
            assert int(sequences.successors[t, b].argmax()) == step  # the final one, where the episode ends
            assert bool(sequences.terminated[t, b]) == (step == 3)
            assert bool(sequences.truncated[t, b]) == (time == 5)
            if step == 3 or time == 5:
                ends, step, time = ends + 1, 0, 0
    assert ends > 20


def test_rewards_and_ends_are_predicted_at_their_times(learned):
    """Every path through the stairs: reward and end with the step that causes them, the top seen at the end."""
    check_paths(learned)


def test_rewards_in_bins_are_predicted_too(sequences):
    check_paths(fitted(sequences, model="mdn-rnn", reward_bins=21))


def check_paths(learned):
    for actions in ((1, 1, 1), (0, 1, 0, 1, 1), (0, 0, 0, 1), (1, 0, 1, 0, 1)):
        state, step = learned.start(1), 0
        reset, before = jnp.ones(1, bool), jnp.zeros(1, jnp.int32)
        for action in actions:
            state = observe(learned, state, before, jax.nn.one_hot(jnp.array([step]), 4), reset)
            reset, before = ~reset & reset, jnp.array([action], jnp.int32)
            imagined, reward, goes_on = imagine(learned, state, before)
            paid, step = float(action == 1 and step % 2 == 1), step + action
            assert float(reward[0]) == pytest.approx(paid, abs=0.15)
            assert float(goes_on[0]) == pytest.approx(float(step < 3), abs=0.1)  # a truncation is no end
            assert int(learned.decode(imagined)[0].argmax()) == step


@pytest.mark.parametrize("weight", [1.0, 20.0])
def test_what_is_said_of_ends_is_their_frequency_whatever_their_weight(weight, sequences):
    """Knowing nothing (features of zeros), the best bias says how often episodes end."""
    ends = float(sequences.terminated.mean())
    heads, features = OutcomeHeads(3, 4, jax.random.key(0), end_weight=weight), jnp.zeros((*sequences.resets.shape, 3))

    def slope(probability):
        """Of the loss in the bias, where the heads say that episodes go on with this probability."""
        bias = jnp.array([np.log(probability / (1 - probability)) - np.log(weight)], jnp.float32)
        at = eqx.tree_at(lambda h: h.continuation.output.bias_y, heads, bias)
        assert float(jax.nn.sigmoid(at(features)[1]).mean()) == pytest.approx(probability, rel=1e-5)
        loss = eqx.filter_grad(lambda h: h.losses(features, sequences, Moments.create(()))[1])
        return float(loss(at).continuation.output.bias_y[0])

    assert slope(1 - ends) == pytest.approx(0.0, abs=1e-6)
    assert slope(0.9 * (1 - ends)) < -1e-3


@pytest.mark.parametrize("name", MODELS)
def test_a_number_that_never_varies_is_known_and_teaches_nothing(name):
    """Positions of CartPole alone are seen: velocities read 0, and must not drown the rest."""
    env = make("cartpole-positions")
    seen = collect(env, None, batch_size=8, steps=12, key=jax.random.key(0))
    model = build_model(env, WorldModelConfig(model=name, width=8), jax.random.key(1), MemoryConfig(hidden_size=8))
    model, head = model.scaled_by(seen), "observation" if name == "rssm" else "density"

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(model):
        return model.loss(seen, jax.random.key(2)).total

    layer = getattr(gradient(model), head).layers.output.bias_y
    K = getattr(model, head).components
    mean, log_std = np.asarray(layer[K:]).reshape(2, K, 4)
    for part in (mean, log_std):
        assert (part[:, [1, 3]] == 0.0).all()
        assert (np.abs(part[:, [0, 2]]).max(axis=0) > 1e-3).all()
    state = observe(model, model.start(8), seen.actions[0], seen.observations[0], seen.resets[0])
    after, _, _ = imagine(model, state, seen.actions[0], jax.random.key(3))
    np.testing.assert_allclose(model.decode(after, jax.random.key(4))[:, [1, 3]], 0.0, atol=1e-4)


def shifted(x, by):
    return jnp.roll(x, by, axis=0)


SHIFTS = {
    "reward one step late": lambda s: s._replace(rewards=shifted(s.rewards, 1)),
    "reward one step early": lambda s: s._replace(rewards=shifted(s.rewards, -1)),
    "end one step late": lambda s: s._replace(terminated=shifted(s.terminated, 1)),
    "end one step early": lambda s: s._replace(terminated=shifted(s.terminated, -1)),
    "truncation taken for an end": lambda s: s._replace(terminated=s.terminated | s.truncated),
    "no final observation": lambda s: s._replace(successors=shifted(s.observations, -1)),
    "action one step late": lambda s: s._replace(actions=shifted(s.actions, 1)),
    "resets one step late": lambda s: s._replace(resets=shifted(s.resets, 1)),
}


def test_each_shift_is_noticed(learned, sequences):
    """What the model learned from `collect` holds for it, and for no data with a shift in it."""
    right = losses_of(learned, sequences)
    assert right.reward < 0.02
    assert right.continuation < 0.05
    for name, shift in SHIFTS.items():
        wrong = losses_of(learned, shift(sequences))
        worse = max(wrong.reward - right.reward, wrong.continuation - right.continuation)
        worse = max(worse, wrong.observation + wrong.dynamics - right.observation - right.dynamics)
        assert worse > 0.1, name


def test_nothing_crosses_a_reset(learned):
    """NaN before, and an action before: neither is in what follows a reset."""
    sick = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), learned.start(2))
    seen, reset = jax.nn.one_hot(jnp.zeros(2, jnp.int32), 4), jnp.array([True, True])
    after = [observe(learned, sick, jnp.full(2, a, jnp.int32), seen, reset) for a in (0, 1)]
    clean = observe(learned, learned.start(2), jnp.zeros(2, jnp.int32), seen, reset)
    for state in after:
        jax.tree.map(np.testing.assert_array_equal, state, clean)


def test_observing_is_what_was_trained(learned, sequences):
    """Filtering step by step gives the reward loss that the unrolled loss reports; stored starts go on from there."""
    half = jax.tree.map(lambda x: x[:, :64], sequences)
    moments, state = learned.reward_moments, learned.start(64)
    total, middle = 0.0, None
    before = jnp.zeros(64, jnp.int32)
    for t in range(12):
        middle = state if t == 6 else middle
        state = observe(learned, state, before, half.observations[t], half.resets[t], jax.random.key(t))
        before = half.actions[t]
        if t == 5:
            carried = state
        _, reward, _ = imagine(learned, state, before, jax.random.key(100 + t))
        total += float(jnp.mean(0.5 * ((reward - half.rewards[t]) * moments.scale()) ** 2)) / 12
    assert total == pytest.approx(float(losses_of(learned, half).reward), abs=0.03)
    # The second half alone, from the memory that had read the first (o_5, a_5 included).
    later = jax.tree.map(lambda x: x[6:], half)
    stepped = observe(learned, carried, half.actions[5], half.observations[6], jnp.zeros(64, bool), jax.random.key(6))
    whole, alone = losses_of(learned, half), loss(learned, later, jax.random.key(3), stepped)
    assert float(alone.reward) == pytest.approx(float(whole.reward), abs=0.03)


def test_dreams_are_stairs_too(learned):
    """A dream of the model has the real one's episodes: lengths, returns and the reason for their ends."""
    dream = VectorEnvironment(Dream(learned, Stairs()), 400)
    assert Dream(learned, Stairs()) != Dream(learned, Stairs())

    def play(env, key):
        def body(carry, key):
            state = carry
            key_act, key_env = jax.random.split(key)
            action = jax.random.randint(key_act, (400,), 0, 2)
            out = env.step(key_env, state, action)
            return out.state, (out.reward, out.terminated, out.truncated)

        _, out = jax.lax.scan(body, env.reset(key)[1], jax.random.split(key, 20))
        return [float(x.mean()) for x in out]

    imagined, real = play(dream, jax.random.key(0)), play(VectorEnvironment(Stairs(), 400), jax.random.key(1))
    assert imagined == pytest.approx(real, abs=0.03)


def test_open_loop_errors_go_as_far_as_an_episode_does(learned, sequences):
    """Five steps at most, three at least: beyond five there is nothing to compare, and no NaN to report."""
    found = open_loop(learned, sequences, warmup=1, steps=10, key=jax.random.key(0))
    assert [len(part) for part in found] == [5, 5, 5]
    assert list(found.windows[:3]) == [256, 256, 256]
    assert 256 > found.windows[3] > found.windows[4] > 0
    assert np.isfinite(np.concatenate(found)).all()


def test_densities_are_scipys():
    rng = np.random.default_rng(0)
    weights, mean, log_std = rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=(3, 2)) * 0.3
    mixture = GaussianMixture(*(jnp.asarray(a, jnp.float32) for a in (weights, mean, log_std)))
    x = rng.normal(size=2)
    p = np.exp(weights) / np.exp(weights).sum()
    density = sum(p[k] * scipy.stats.norm.pdf(x, mean[k], np.exp(log_std[k])).prod() for k in range(3))
    assert float(mixture.log_prob(jnp.asarray(x, jnp.float32))) == pytest.approx(np.log(density), rel=1e-4)
    many = jax.tree.map(lambda a: jnp.broadcast_to(a, (20_000, *a.shape)), mixture)
    drawn = np.asarray(many.draw(jax.random.key(0)))
    np.testing.assert_allclose(drawn.mean(0), p @ mean, atol=0.05)
    np.testing.assert_allclose(mixture.draw(None), p @ mean, rtol=1e-4)
    second = p @ (mean**2 + np.exp(2 * log_std))
    np.testing.assert_allclose((drawn**2).mean(0), second, rtol=0.05)
    logits = jnp.asarray([0.3, -1.0, 2.0], jnp.float32)
    q = np.exp(logits) / np.exp(logits).sum()
    one = OneHot(logits)
    assert float(one.log_prob(jnp.array([0.0, 1.0, 0.0]))) == pytest.approx(np.log(q[1]), rel=1e-5)
    np.testing.assert_array_equal(one.draw(None), [0, 0, 1])
    bits, x = Bits(logits), np.array([1, 0, 1])
    expected = scipy.stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-np.asarray(logits)))).sum()
    assert float(bits.log_prob(jnp.asarray(x, jnp.float32))) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(bits.draw(None), [1, 0, 1])


def test_two_hot_rewards_keep_their_mean():
    """What minimises the loss over any outcomes has their mean, wherever they lie between the support's numbers."""
    u = np.linspace(-5, 5, 21)
    support = np.sign(u) * (np.exp(np.abs(u)) - 1)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=21), jnp.float32)
    p = np.exp(logits) / np.exp(logits).sum()
    assert float(TwoHot(logits).mean) == pytest.approx(p @ support, rel=1e-4)
    middle = 0.25 * support[12] + 0.75 * support[13]
    many = TwoHot(jnp.broadcast_to(logits, (5, 21)))
    found = many.log_prob(jnp.asarray([middle, support[4], 0.0, 1e9, -1e9], jnp.float32))
    expected = [0.25 * np.log(p[12]) + 0.75 * np.log(p[13]), *np.log(p[[4, 10, 20, 0]])]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    outcomes = jnp.asarray([-60.3, 0.31, 0.47, 0.47, 2.0], jnp.float32)
    # The gradient of Σ w log p is w − p: from it the weights w, and from their mean the best distribution.
    weights = p + jax.grad(lambda y: jnp.sum(TwoHot(y).log_prob(outcomes)) / 5)(many.logits).sum(0)
    assert float(TwoHot(jnp.log(jnp.maximum(weights, 1e-9))).mean) == pytest.approx(float(outcomes.mean()), rel=1e-3)


def test_latents_are_mixed_drawn_and_differentiable():
    model: Any = build_model(Stairs(), WorldModelConfig(latents=2, classes=3, unimix=0.3), jax.random.key(0))
    y = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    soft = np.exp(y.reshape(5, 2, 3)) / np.exp(y.reshape(5, 2, 3)).sum(-1, keepdims=True)
    mixed = 0.7 * soft + 0.1
    np.testing.assert_allclose(np.exp(model._log_probs(y)), mixed, rtol=1e-5)
    other = np.full_like(mixed, 1 / 3)
    expected = (mixed * np.log(mixed / other)).sum((-2, -1))
    np.testing.assert_allclose(_kl(jnp.log(mixed), jnp.log(other)), expected, rtol=1e-4)
    z = model._draw(model._log_probs(y), jax.random.key(1))
    np.testing.assert_allclose(z.reshape(5, 2, 3).sum(-1), 1, rtol=1e-6)
    assert set(np.unique(np.round(z, 5))) == {0.0, 1.0}
    w = jnp.arange(6.0)
    through = jax.grad(lambda y: jnp.sum(model._draw(model._log_probs(y), jax.random.key(1)) @ w))(y)
    straight = jax.grad(lambda y: jnp.sum(jnp.exp(model._log_probs(y)).reshape(5, 6) @ w))(y)
    np.testing.assert_allclose(through, straight, rtol=1e-5, atol=1e-6)


def test_kinds_of_observations():
    assert observation_kind(Stairs()) == "categorical"
    assert observation_kind(Stairs(), "binary") == "binary"
    assert kind_of(jnp.array([[1.0, 1.0], [0.0, 1.0]])) == "binary"
    assert kind_of(jnp.array([[1.0, 0.5]])) == "continuous"


def test_wrong_use_is_refused(learned, sequences):
    with pytest.raises(ConfigError, match="takes actions of"):
        Dream(learned, make("tiger"))
    with pytest.raises(ConfigError, match="reads 4 numbers"):
        Dream(learned, Wide())
    with pytest.raises(ConfigError, match="horizon = -1"):
        Dream(learned, Stairs(), -1)
    with pytest.raises(ConfigError, match="classes = 1"):
        WorldModelConfig(classes=1)
    with pytest.raises(ConfigError, match="reward_bins = 1"):
        WorldModelConfig(reward_bins=1)
    state = observe(
        learned, learned.start(2), jnp.zeros(2, jnp.int32), sequences.observations[0, :2], jnp.ones(2, bool)
    )
    _, rollout = learned.open_loop(state, jnp.zeros((3, 2), jnp.int32), jax.random.key(0))
    check_finite(rollout)
    assert rollout.observations.shape == (3, 2, 4)
    with pytest.raises(NonFiniteError, match=r"rewards that are not finite, first at step 2"):
        check_finite(rollout._replace(rewards=rollout.rewards.at[1, 0].set(jnp.inf)))
    sick = sequences._replace(rewards=sequences.rewards * jnp.nan)
    with pytest.raises(NonFiniteError, match="20 updates in a row"):
        fit(learned, sick, LearningConfig(updates=20), jax.random.key(0))
