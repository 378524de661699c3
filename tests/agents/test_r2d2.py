"""R2D2 at the state boundary: all that is learned from, against loops over single steps and the clock's rules.

`boundary.Clock` says in each observation which episode this is and how old; the oracle reads the truth off it, never
off the stored flags, and steps the networks one input at a time. Each fault makes one of the checks fail.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from boundary import Clock, quick_jit
from throughtime.agents import DRQNConfig, NetworkConfig, R2D2Config, q_loss, r2d2
from throughtime.agents.off_policy import at_finals, break_off, difference, recompute, sequence_inputs, store, undo
from throughtime.agents.r2d2 import R2D2, explore
from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.rl import Categorical, Moments, SequenceReplay

pytestmark = pytest.mark.usefixtures("quick_compiler")

NETWORK = {"memory": "gru", "hidden_size": 3, "encoder": (), "previous_action": True, "previous_reward": True}
NETWORK |= {"normalise_observations": True}
SIZES = {"num_envs": 3, "rollout_length": 8, "period": 4, "burn_in": 4, "bptt_length": 6, "batch_size": 12}
SIZES |= {"replay_steps": 3 * 24, "n_step": 3, "discount": 0.9, "head_size": 4, "learning_starts": 0, "updates": 1}
ENV = Clock(shortest=5)
TOTAL = jnp.int32(10)


def random_agent(**settings: Any):
    """An agent with normal weights, far from their small start, in its online and (others) in its target network."""
    agent = R2D2(ENV, R2D2Config(**SIZES | settings), NetworkConfig(**NETWORK))
    rng = np.random.default_rng(0)
    state = quick_jit(agent.init)(0)

    def drawn(tree):
        return jax.tree.map(lambda x: jnp.asarray(0.7 * rng.normal(size=x.shape), x.dtype), tree)

    seen = Moments.create((2,)).update(jnp.asarray(rng.uniform(size=(50, 2)), jnp.float32))
    policy = eqx.tree_at(lambda p: (p.network, p.observation_moments), state.policy, (drawn(state.target), seen))
    return agent, state._replace(policy=policy, target=drawn(state.target))


class Drawn(NamedTuple):
    """Sequences drawn from a replay that has been written over once."""

    agent: R2D2
    state: Any
    actors: Any
    replay: Any
    sample: Any
    replay_error: float


def draw(agent: R2D2, state: Any) -> Drawn:
    """Acts for five iterations without learning, then draws."""

    @quick_jit
    def program(state):
        epsilon = jnp.full(3, 0.7)

        def one(carry, key):
            actors, replay = carry
            actors, played = agent.act(state.policy, actors, key, epsilon)
            error = r2d2.difference(played.said, r2d2.recompute(state.policy, played, agent.config.period))
            return (actors, r2d2.store(agent.spec, replay, played, True)), error

        keys = jax.random.split(jax.random.key(0), 5)
        (actors, replay), errors = jax.lax.scan(one, (state.actors, state.replay), keys)
        return actors, replay, agent.spec.sample(replay, jax.random.key(9), agent.config.batch_size), jnp.max(errors)

    return Drawn(agent, state, *program(state))


def learned(drawn: Drawn, what: str) -> Any:
    """What the agent makes of the sequences: its "targets" h(G) [k, N], "errors" |δ| [k, N], or the "gradient"."""
    agent, state, sample = drawn.agent, drawn.state, drawn.sample

    @quick_jit
    def program(online, target, sample):
        policy = eqx.tree_at(lambda p: p.network, state.policy, online)
        batch = r2d2.burn_in(policy, online, target, sample.states, sample.steps, agent.config.burn_in)
        _, q = online.unroll_q(batch.start, batch.inputs, batch.steps.reset)
        if what == "targets":
            return q_loss.targets(q, online, target, batch, agent.config)
        arguments = online, target, batch, sample.weights, agent.config
        if what == "errors":
            return r2d2.td_loss(*arguments)[1][0]
        return jax.grad(r2d2.td_loss, has_aux=True)(*arguments)[0]

    return program(state.policy.network, state.target, sample)


@pytest.fixture(scope="module")
def drawn():
    return draw(*random_agent())


class Walk(NamedTuple):
    """One drawn sequence, walked through step by step; all NumPy."""

    time: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    q: list  # of each step
    q_final: list  # after it, at the final observation; None where the episode goes on


def walk(drawn: Drawn, network: Any, n: int, step: Any) -> Walk:
    policy, sample = drawn.state.policy, drawn.sample
    mean, var = (np.asarray(a, np.float64) for a in policy.observation_moments[1:])
    observation = np.asarray(sample.steps.observation)[:, n]
    serial, time = np.rint(100 * observation[:, 0]).astype(int), np.rint(10 * observation[:, 1]).astype(int)
    last = time + 1 == ENV.shortest + serial % 3
    kinds = np.asarray(ENV.ends)[serial // 3 % 3]
    terminated, truncated = last & np.isin(kinds, ["terminated", "both"]), last & np.isin(kinds, ["truncated", "both"])
    actions = np.asarray(sample.steps.action)[:, n]
    rewards = time + 0.1 * actions

    def read(serial, time, action, reward):
        obs = (np.array([serial / 100, time / 10]) - mean) / np.sqrt(var + 1e-8)
        one_hot = np.eye(3)[action] if action >= 0 else np.zeros(3)
        return jnp.asarray(np.concatenate([obs, one_hot, [reward]])[None], jnp.float32)

    state = jax.tree.map(lambda x: x[n : n + 1], sample.states.policy.network)
    action, reward = int(sample.states.policy.previous_action[n]), float(sample.states.reward[n])
    q, q_final = [], []
    for t in range(len(time)):
        if time[t] == 0:
            state, action, reward = network.initial_state(1), -1, 0.0
        state, said = step(network, state, read(serial[t], time[t], action, reward))
        q.append(np.asarray(said[0]))
        action, reward = actions[t], rewards[t]
        end = step(network, state, read(serial[t], time[t] + 1, action, reward))[1] if last[t] else None
        q_final.append(None if end is None else np.asarray(end[0]))
    return Walk(time, terminated, truncated, actions, rewards, q, q_final)


def one_step(network, state, x):
    state, distribution, _ = network.step(state, x)
    return state, distribution.logits * network.temperature


def expected_targets(drawn: Drawn) -> np.ndarray:
    """h(G) by the definition: sums of discounted rewards up to the end of the episode, n steps, or the sequence."""
    config, step = drawn.agent.config, eqx.filter_jit(one_step)
    b, k, N = config.burn_in, config.bptt_length, config.batch_size

    def h(x):
        return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + 1e-3 * x

    def h_inverse(y):
        return np.sign(y) * (((np.sqrt(1 + 4e-3 * (abs(y) + 1 + 1e-3)) - 1) / 2e-3) ** 2 - 1)

    expected = np.zeros((k, N))
    for n in range(N):
        online = walk(drawn, drawn.state.policy.network, n, step)
        target = walk(drawn, drawn.state.target, n, step)
        for t in range(k):
            total, weight = 0.0, 1.0
            for i in range(b + t, b + k):
                total, weight = total + weight * online.rewards[i], weight * config.discount
                if online.terminated[i]:
                    break
                if online.truncated[i] or i == b + t + config.n_step - 1 or i == b + k - 1:
                    cut = online.truncated[i]
                    choice = np.argmax(online.q_final[i] if cut else online.q[i + 1])
                    value = (target.q_final[i] if cut else target.q[i + 1])[choice]
                    total += weight * h_inverse(np.float64(value))
                    break
            expected[t, n] = h(total)
    return expected


def check_targets(drawn: Drawn) -> None:
    """n-step double-Q targets: bootstrapped at truncation from the true final observation, never past an end."""
    assert_allclose(learned(drawn, "targets"), expected_targets(drawn), rtol=2e-4, atol=2e-4)


def check_errors(drawn: Drawn) -> None:
    """|δ| = |h(G) − Q(x_t, a_t)|, each sequence walked from its stored state through its burn-in."""
    config, step = drawn.agent.config, eqx.filter_jit(one_step)
    errors, targets = learned(drawn, "errors"), expected_targets(drawn)
    for n in range(config.batch_size):
        online = walk(drawn, drawn.state.policy.network, n, step)
        at = range(config.burn_in, config.burn_in + config.bptt_length)
        taken = [online.q[t][online.actions[t]] for t in at]
        assert_allclose(errors[:, n], np.abs(targets[:, n] - taken), rtol=2e-4, atol=5e-4)


def check_gradient(drawn: Drawn) -> None:
    """The gradient is that of the sequences after burn-in alone, the state at its end held constant."""
    targets = jnp.asarray(expected_targets(drawn), jnp.float32)
    expected, through = (_gradient(drawn, targets, cut) for cut in (True, False))
    leaves = [jax.tree.leaves(g) for g in (learned(drawn, "gradient"), expected, through)]
    scale = max(float(jnp.max(jnp.abs(leaf))) for leaf in leaves[1])
    apart = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(leaves[1], leaves[2], strict=True))
    assert apart > 1e-2 * scale, "the burn-in would not show"
    for a, b in zip(leaves[0], leaves[1], strict=True):
        assert_allclose(a, b, atol=1e-3 * scale)


def _gradient(drawn: Drawn, targets: Any, cut: bool) -> Any:
    """Of ½ mean w δ² with fixed targets, by a plain loop over `step`."""
    config, sample, policy = drawn.agent.config, drawn.sample, drawn.state.policy
    inputs, _ = sequence_inputs(policy, sample.states, sample.steps)

    def loss(network):
        state, errors = sample.states.policy.network, []
        for t in range(config.burn_in + config.bptt_length):
            if t == config.burn_in and cut:
                state = jax.lax.stop_gradient(state)
            fresh = network.initial_state(config.batch_size)
            reset = sample.steps.reset[t]
            state = jax.tree.map(lambda a, b, reset=reset: jnp.where(reset[:, None], a, b), fresh, state)
            state, q = one_step(network, state, inputs[t])
            if t >= config.burn_in:
                chosen = q[jnp.arange(config.batch_size), sample.steps.action[t]]
                errors.append(targets[t - config.burn_in] - chosen)
        return 0.5 * jnp.mean(sample.weights[None] * jnp.square(jnp.stack(errors)))

    return quick_jit(jax.grad(loss))(policy.network)


def check_preflight(drawn: Drawn) -> None:
    """Q-values recomputed from each stored state equal those of acting."""
    assert float(drawn.replay_error) <= 1e-5


CHECKS = {"targets": check_targets, "errors": check_errors, "gradient": check_gradient, "preflight": check_preflight}


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_learned_from_is_right(drawn, check):
    CHECKS[check](drawn)


def test_the_checks_have_something_to_check(drawn):
    """All kinds of endings, within sequences, and sequences that begin within an episode."""
    steps = jax.tree.map(lambda x: np.asarray(x)[4:10], drawn.sample.steps)
    for kind in (steps.terminated & ~steps.truncated, steps.truncated & ~steps.terminated):
        assert kind.any()
    assert not np.asarray(drawn.sample.steps.reset)[0].all()


def store_the_state_after_the_observation(patch):
    play = r2d2.play

    def broken(policy, env, actors, *args, **kwargs):
        actors, played = play(policy, env, actors, *args, **kwargs)
        first = jax.tree.map(lambda x: x[:: kwargs["period"]], played.steps)

        def read(start, step):
            inputs, _ = sequence_inputs(policy, start, jax.tree.map(lambda x: x[None], step))
            fresh = policy.reset_where(step.reset, start.policy)
            return policy.network.step(fresh.network, inputs[0])[0]

        network = jax.vmap(read)(played.starts, first)
        starts = played.starts._replace(policy=played.starts.policy._replace(network=network))
        return actors, played._replace(starts=starts)

    patch.setattr(r2d2, "play", broken)


def bootstrap_through_termination(patch):
    targets = q_loss.n_step_targets

    def broken(rewards, values, terminated, truncated, **settings):
        return targets(rewards, values, jnp.zeros_like(terminated), truncated | terminated, **settings)

    patch.setattr(q_loss, "n_step_targets", broken)


def take_truncation_for_termination(patch):
    targets = q_loss.n_step_targets

    def broken(rewards, values, terminated, truncated, **settings):
        return targets(rewards, values, terminated | truncated, truncated, **settings)

    patch.setattr(q_loss, "n_step_targets", broken)


def run_on_across_episodes(patch):
    targets = q_loss.n_step_targets

    def broken(rewards, values, terminated, truncated, **settings):
        never = jnp.zeros_like(terminated)
        return targets(rewards, values, never, never, **settings)

    patch.setattr(q_loss, "n_step_targets", broken)


def value_the_next_episodes_first_observation(patch):
    """… in place of the final one."""

    def broken(unroll, start, inputs, finals, resets, truncated):
        return unroll(start, inputs, resets)[1:]

    patch.setattr(q_loss, "at_finals", broken)


def value_final_observations_with_a_fresh_memory(patch):
    def broken(unroll, start, inputs, finals, resets, truncated):
        return unroll(start, finals, jnp.ones_like(resets))[:-1]

    patch.setattr(q_loss, "at_finals", broken)


def carry_the_memory_across_episodes(patch):
    """In replay alone."""
    burn_in = r2d2.burn_in

    def broken(policy, network, target, stored, steps, length):
        batch = burn_in(policy, network, target, stored, steps, length)
        return batch._replace(steps=batch.steps._replace(reset=jnp.zeros_like(batch.steps.reset)))

    patch.setattr(r2d2, "burn_in", broken)


def let_gradient_through_burn_in(patch):
    burn_in, loss = r2d2.burn_in, r2d2.td_loss
    seen = {}

    def keep(*arguments):
        seen["arguments"] = arguments
        return burn_in(*arguments)

    def broken(network, target, batch, weights, config):
        policy, _, _, *rest = seen["arguments"]
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(jax.lax, "stop_gradient", lambda x: x)
            through = burn_in(policy, network, target, *rest)
        return loss(network, target, batch._replace(start=through.start), weights, config)

    patch.setattr(r2d2, "burn_in", keep)
    patch.setattr(r2d2, "td_loss", broken)


def start_from_zero_states(patch):
    burn_in = r2d2.burn_in

    def broken(policy, network, target, stored, *rest):
        zero = policy.network.initial_state(stored.reward.shape[0])
        return burn_in(policy, network, target, stored._replace(policy=stored.policy._replace(network=zero)), *rest)

    patch.setattr(r2d2, "burn_in", broken)


FAULTS = [
    (store_the_state_after_the_observation, "preflight"),
    (bootstrap_through_termination, "targets"),
    pytest.param(take_truncation_for_termination, "targets", marks=pytest.mark.slow),
    (run_on_across_episodes, "targets"),
    (value_the_next_episodes_first_observation, "targets"),
    pytest.param(value_final_observations_with_a_fresh_memory, "targets", marks=pytest.mark.slow),
    (carry_the_memory_across_episodes, "errors"),
    (let_gradient_through_burn_in, "gradient"),
    (start_from_zero_states, "errors"),
]


@pytest.mark.parametrize(("fault", "check"), FAULTS, ids=lambda x: getattr(x, "__name__", x))
def test_faults_are_seen(drawn, monkeypatch, fault, check):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        CHECKS[check](draw(*random_agent()) if check == "preflight" else drawn)


def test_final_observations_are_read_with_the_memory_carried_into_them():
    """A memory that adds up what it reads, episodes of one step among them: cumulative sums say it all."""
    rng = np.random.default_rng(0)
    L, N = 12, 6
    xs, finals = (rng.normal(size=(L, N, 1)).astype(np.float32) for _ in range(2))
    ended, kind = rng.random((L, N)) < 0.5, rng.random((L, N)) < 0.7
    resets, truncated = np.concatenate([np.zeros((1, N), bool), ended[:-1]]), ended & kind
    start = rng.normal(size=(N, 1)).astype(np.float32)

    def unroll(state, xs, resets):
        def body(s, step):
            s = jnp.where(step[1][:, None], 0.0, s) + step[0]
            return s, s

        return jax.lax.scan(body, state, (xs, resets))[1]

    out = at_finals(unroll, *(jnp.asarray(a) for a in (start, xs, finals, resets, truncated)))
    assert truncated[:-1].sum(axis=0).max() >= 4
    for n in range(N):
        total = start[n, 0]
        for t in range(L - 1):
            total = (0.0 if resets[t, n] else total) + xs[t, n, 0]
            if truncated[t, n]:
                assert_allclose(out[t, n, 0], total + finals[t, n, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("memory", ["lstm", *(pytest.param(m, marks=pytest.mark.slow) for m in ("tdnn", "none"))])
def test_preflight_passes_for_other_memories(memory):
    network = NetworkConfig(memory, 3, encoder=(), previous_action=True)
    agent = R2D2(Clock(), R2D2Config(**SIZES), network)

    @quick_jit
    def program(state):
        actors, _ = agent.act(state.policy, state.actors, jax.random.key(1), jnp.ones(3))
        _, played = agent.act(state.policy, actors, jax.random.key(2), jnp.ones(3))
        return difference(played.said, recompute(state.policy, played, 4))

    assert float(program(quick_jit(agent.init)(0))) <= 1e-5


def test_a_bad_step_is_undone_and_never_replayed():
    """After a fault the priorities and the count are those from before; what was overwritten is never drawn."""
    spec = SequenceReplay(capacity=12, period=2, length=3)
    step, state = jnp.zeros((2, 3)), jnp.zeros(3)
    replay = spec.empty(step[0], state)
    for i in range(6):
        replay = spec.add(replay, step + i, state)
    before = replay._replace(priorities=replay.priorities * jnp.arange(1.0, 19.0).reshape(6, 3))
    after = spec.add(spec.add(before, step + 6, state), step + 7, state)
    bad = undo(spec, jnp.asarray(False), after, before)
    assert (int(before.pieces), int(after.pieces), int(bad.pieces)) == (6, 8, 6)
    assert_array_equal(bad.priorities[:2], np.zeros((2, 3)))
    assert_array_equal(bad.priorities[2:], before.priorities[2:])
    sample = spec.sample(bad, jax.random.key(0), 64)
    assert np.asarray(sample.drawn.piece).min() >= 2
    assert np.asarray(sample.steps).max() < 6
    jax.tree.map(assert_array_equal, undo(spec, jnp.asarray(True), after, before), after)


def test_episodes_that_are_broken_off_are_truncated_with_their_true_successor(drawn):
    before, actors = drawn.replay, drawn.actors
    after = break_off(drawn.agent.spec, before, actors)
    slot = 40 % 24 - 1  # the last of 40 steps in a ring of 24
    assert_array_equal(after.steps.reset, before.steps.reset)
    under_way = ~np.asarray(actors.reset)
    assert under_way.any()
    assert_array_equal(after.steps.truncated[slot], np.asarray(before.steps.truncated[slot]) | under_way)
    final = np.where(under_way[:, None], actors.observation, before.steps.final_observation[slot])
    assert_array_equal(after.steps.final_observation[slot], final)
    seen = np.rint(10 * np.asarray(before.steps.observation)[slot, :, 1])
    assert_array_equal(np.rint(10 * final[:, 1]), seen + 1)  # the step after the last that is stored
    others = [np.delete(replay.steps.truncated, slot, 0) for replay in (after, before)]
    assert_array_equal(*others)


@pytest.mark.slow
def test_refresh_stores_what_burn_in_reaches():
    """After one update the stored state at the end of a drawn burn-in is that of today's weights; else as acted."""
    agent, state = random_agent(refresh=True)
    other = jax.tree.map(lambda x: x + 0.3, state.target)

    @quick_jit
    def program(state):
        actors, replay = state.actors, state.replay
        for i in range(3):
            actors, played = agent.act(state.policy, actors, jax.random.key(i), jnp.ones(3))
            replay = store(agent.spec, replay, played, True)
        policy = eqx.tree_at(lambda p: p.network, state.policy, other)  # weights have moved on since
        learner = r2d2.Learner(
            r2d2.Updated(other, state.optimiser, state.guard), state.target, replay.priorities, replay.states
        )
        args = (policy, replay, learner, jnp.float32(1e-3), jnp.int32(0), jax.random.key(5))
        learner, _ = agent._step(*args)
        sample = agent.spec.sample(replay, jax.random.key(5), agent.config.batch_size)
        inputs, _ = sequence_inputs(policy, sample.states, sample.steps)
        reached, _ = other.unroll_q(sample.states.policy.network, inputs[:4], sample.steps.reset[:4])
        return replay.states, learner.states, sample, reached

    before, after, sample, reached = program(state)
    rows, columns = np.asarray(sample.drawn.piece) + 1, np.asarray(sample.drawn.environment)
    h_before, h_after = (np.asarray(jax.tree.leaves(s.policy.network)[0]) for s in (before, after))
    assert_allclose(h_after[rows, columns], jax.tree.leaves(reached)[0], atol=1e-5)
    touched = np.zeros(h_before.shape[:2], bool)
    touched[rows, columns] = True
    assert_array_equal(h_after[~touched], h_before[~touched])
    assert np.abs(h_after - h_before)[touched].max() > 1e-3
    # Previous action and reward belong to the same step, and stay.
    assert_array_equal(after.policy.previous_action, before.policy.previous_action)
    assert_array_equal(after.reward, before.reward)


def test_exploration_is_epsilon_greedy_by_a_ladder_or_annealed():
    noise = jnp.linspace(0.0, 1.0, 4001)[:-1]
    logits = jnp.broadcast_to(jnp.array([0.0, 0.0, 5.0, 0.0]), (4000, 4))
    counts = np.bincount(explore(Categorical(logits), noise, epsilon=jnp.full(4000, 0.4)), minlength=4) / 4000
    assert_allclose(counts, [0.1, 0.1, 0.7, 0.1], atol=1e-3)
    greedy = explore(Categorical(logits), noise, epsilon=jnp.zeros(4000))
    assert (np.asarray(greedy) == 2).all()
    ladder = R2D2(Clock(), R2D2Config(), NetworkConfig()).epsilon(jnp.int32(7), TOTAL)
    assert_allclose(ladder, 0.4 ** (1 + 7 * np.arange(16) / 15), rtol=1e-5)
    drqn = R2D2(Clock(), DRQNConfig(epsilon_fraction=0.5), NetworkConfig())
    assert_allclose([drqn.epsilon(jnp.int32(i), TOTAL)[0] for i in (0, 1, 5, 9)], [1.0, 0.81, 0.05, 0.05], atol=1e-6)


def test_drqn_draws_from_any_step_alike_and_stores_no_states():
    config = DRQNConfig(num_envs=2, rollout_length=4, bptt_length=3, replay_steps=48)
    agent = R2D2(Clock(), config, NetworkConfig("gru", 3, encoder=()))
    assert (agent.spec.period, agent.spec.length, agent.spec.capacity) == (1, 4, 24)
    assert (agent.spec.exponent, agent.spec.correction) == (0.0, 0.0)
    replay = eqx.filter_eval_shape(agent.init, 0).replay
    assert [leaf.shape for leaf in jax.tree.leaves(replay.states)] == [(24, 2)]  # the rewards before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rollout_length": 10}, "not divisible by period"),
        ({"replay_steps": 30}, "Raise replay_steps to 36"),
        ({"refresh": True, "burn_in": 2}, "multiple of 4"),
        ({"priority_exponent": 1.5}, "between 0.0 and 1.0"),
        ({"learning_rate": 0.0}, "positive"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        R2D2(Clock(), R2D2Config(**SIZES | settings), NetworkConfig())


def test_actions_that_cannot_be_counted_are_refused():
    with pytest.raises(ConfigError, match="no Q-head"):
        R2D2(make("pendulum-positions"), R2D2Config(), NetworkConfig())
    with pytest.raises(ConfigError, match="separate_critic"):
        R2D2(Clock(), R2D2Config(), NetworkConfig(separate_critic=True))


def test_inputs_made_when_drawing_are_those_of_acting(drawn):
    """Point 8: each carries the last action and reward, and neither at an episode's first step."""
    sample = drawn.sample
    inputs, _ = sequence_inputs(drawn.state.policy, sample.states, sample.steps)
    time = np.rint(10 * np.asarray(sample.steps.observation)[..., 1]).astype(int)
    assert_array_equal(sample.steps.reset, time == 0)
    one_hot = np.eye(3)[np.asarray(sample.steps.action)[:-1]] * (time[1:, :, None] > 0)
    assert_array_equal(inputs[1:, :, 2:5], one_hot)
    assert_array_equal(inputs[1:, :, 5], np.where(time[1:] > 0, sample.steps.reward[:-1], 0.0))
    first = np.eye(3)[np.maximum(sample.states.policy.previous_action, 0)] * (time[0, :, None] > 0)
    assert_array_equal(inputs[0, :, 2:5], first)
