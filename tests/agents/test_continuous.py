"""SAC and TD3: the state boundary of docs/architecture.md on their replay, and their gradient steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from boundary import Clock, Tally, quick_jit, serials_and_times
from throughtime.agents import NetworkConfig
from throughtime.agents.continuous import Continuous, ContinuousState
from throughtime.agents.continuous_config import SACConfig, TD3Config, check
from throughtime.agents.off_policy import difference, recompute
from throughtime.agents.preflight import FAULT_INPUT, FAULT_NONE
from throughtime.agents.sac import SAC
from throughtime.agents.td3 import TD3
from throughtime.core import ConfigError
from throughtime.rl import Moments

pytestmark = pytest.mark.usefixtures("quick_compiler")

SIZES = {"num_envs": 3, "rollout_length": 4, "batch_size": 40, "bptt_length": 5, "burn_in": 2, "discount": 0.9}
SIZES |= {"replay_steps": 3 * 32, "learning_starts": 0, "updates": 2, "head": ()}
INPUTS = {"previous_action": True, "previous_reward": True, "separate_critic": True}


def random_weights(agent: Continuous, seed: int = 0):
    """A policy far from its small start, with moments of some observations."""
    rng = np.random.default_rng(seed)
    shapes = eqx.filter_eval_shape(agent.fresh_policy, jax.random.key(0))
    policy = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype), shapes)
    if policy.observation_moments is None:
        return policy
    seen = jnp.asarray(rng.uniform(size=(50, 2)), jnp.float32)
    return eqx.tree_at(lambda p: p.observation_moments, policy, Moments.create((2,)).update(seen))


def tally_policy(agent: Continuous):
    """Both critics add up all inputs since the reset, the episode's serial apart, and count them."""
    policy = random_weights(agent)
    size, A = policy.network.actor.input_size, 2
    weights = jnp.zeros((size + 1 + A, 1)).at[0].set(1.0).at[2 : size + 1].set(1.0)
    actor = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(size + 1, A)), jnp.float32)
    network = eqx.tree_at(lambda n: (n.actor.memory, n.critic.memory), policy.network, (Tally(size), Tally(size)))
    for i in range(2):
        network = eqx.tree_at(
            lambda n, i=i: (n.twins.heads[i].layers[0].weight_hy, n.twins.heads[i].layers[0].bias_y),
            network,
            (weights, jnp.zeros(1)),
        )
    network = eqx.tree_at(lambda n: n.policy.head.layers[0].weight_hy, network, actor)
    return eqx.tree_at(lambda p: p.network, policy, network)


def acted(agent: Continuous, policy, iterations: int) -> tuple[ContinuousState, list]:
    """Real iterations but for the gradient steps."""
    flags = {name: jnp.zeros(1, bool) for name in ("taken", "actor_taken", "skipped")}
    names = ("critic_loss", "actor_loss", "q_value", "entropy", "temperature")
    infos = flags | {n: jnp.zeros(1) for n in (*names, "actor_gradient_norm", "critic_gradient_norm")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agent, "_learn", lambda policy, learned, *rest: (learned, infos))
        iterate = quick_jit(agent.iterate)
        state, faults = quick_jit(agent.around)(policy, jax.random.key(1)), []
        for _ in range(iterations):
            state, _, fault = iterate(state, jnp.int32(100), jnp.int32(0))
            faults.append(fault)
    return state, faults


def draw(agent: Continuous, state: ContinuousState, key):
    """As the gradient steps draw."""

    def one(state):
        drawn = agent.spec.sample(state.replay, key, agent.config.batch_size)
        return agent.batch(state.policy, drawn.states, drawn.steps)

    return quick_jit(one)(state)


@pytest.fixture(scope="module")
def tally():
    """Six rollouts by a policy whose memories and values count: every slip at the boundary is a wrong number."""
    network = NetworkConfig(memory="none", encoder=(), hidden_size=2, **INPUTS)
    agent = TD3(Clock(continuous=True), TD3Config(**SIZES), network)
    policy = tally_policy(agent)
    state, faults = acted(agent, policy, 6)
    sample = agent.spec.sample(state.replay, jax.random.key(2), agent.config.batch_size)
    return agent, state, faults, sample, draw(agent, state, jax.random.key(2))


def history_values(agent, steps):
    """By a loop over each environment's steps, inputs put together by hand: Q there, Q of the true successor, r, ends.

    Times and endings come from the clock's rules, never from the flags that are in question.
    """
    env, serial_time = agent.env, serials_and_times(steps.observation)
    serial, time = (np.asarray(a)[:24] for a in serial_time)
    actions = np.asarray(steps.action)[:24]
    here, after, rewards = np.zeros((3, 24, 3))
    last = time + 1 == env.shortest + serial % 3
    kinds = np.asarray(env.ends)[serial // 3 % len(env.ends)]
    terminated, truncated = last & np.isin(kinds, ["terminated", "both"]), last & np.isin(kinds, ["truncated", "both"])
    rewards = time + 0.1 * (4.0 + 4.0 * actions.sum(-1))  # the range is [-2, 6]

    def seen(time, action, reward):
        return 1.0 + time / 10 + action.sum() + reward

    for b in range(3):
        for t in range(24):
            if time[t, b] == 0:
                total, action, reward = 0.0, np.zeros(2), 0.0
            total += seen(time[t, b], action, reward)
            action, reward = actions[t, b], rewards[t, b]
            here[t, b], after[t, b] = total, total + seen(time[t, b] + 1, action, reward)
    return here, after, rewards, terminated, truncated


def test_the_replay_holds_what_happened(tally):
    agent, state, faults, _, _ = tally
    steps = jax.tree.map(np.asarray, state.replay.steps)
    _, _, rewards, terminated, truncated = history_values(agent, steps)
    serial, time = serials_and_times(steps.observation[:24])
    next_serial, next_time = serials_and_times(steps.final_observation[:24])
    assert_array_equal(steps.reset[:24], time == 0)
    assert_array_equal(steps.terminated[:24], terminated)
    assert_array_equal(steps.truncated[:24], truncated)
    assert_array_equal((next_serial, next_time), (serial, time + 1))  # the final one, never the next episode's first
    assert_allclose(steps.reward[:24], rewards, rtol=1e-5)
    assert (truncated & ~terminated).any()
    assert (terminated & ~truncated).any()
    counts = np.asarray(state.replay.states.policy.network.critic.count)[:6, :, 0]
    inside = time[::4] > 0
    assert inside.any()
    assert_array_equal(counts[inside], time[::4][inside])  # before the piece's first observation was read
    assert [int(f.kind) for f in faults] == [FAULT_NONE] * 6
    assert all(float(f.replay_error) <= 1e-5 for f in faults)


def test_targets_value_the_true_successor_with_the_memory_carried_into_it(tally):
    """Inside episodes, at truncations within a sequence, and at its end; nothing beyond a termination."""
    agent, state, _, sample, batch = tally
    here, after, rewards, terminated, truncated = history_values(agent, state.replay.steps)
    learned = state.learned._replace(network=state.policy.network)
    goal = quick_jit(agent.update.targets)(learned, batch, jnp.zeros((5, 40, 2)))
    _, (_, q) = quick_jit(agent.update.critic_loss)(state.policy.network.twins, batch, goal)
    expected = rewards + 0.9 * np.where(terminated, 0.0, after)
    at = np.asarray(sample.drawn.piece) * 4 + 2 + np.arange(5)[:, None], np.asarray(sample.drawn.environment)[None]
    assert_allclose(goal, expected[at], rtol=1e-4)
    assert_allclose(q, np.stack([here[at]] * 2), rtol=1e-4)
    only = truncated & ~terminated
    assert only[at][:-1].any()
    assert only[at][-1].any()


@pytest.mark.parametrize("kind", ["sac", "td3"])
def test_preflight_fails_where_the_stored_state_is_not_the_one_before(kind):
    network = NetworkConfig(memory="lstm", encoder=(3,), hidden_size=3, normalise_observations=True, **INPUTS)
    env = Clock(continuous=True)
    agent = SAC(env, SACConfig(**SIZES), network) if kind == "sac" else TD3(env, TD3Config(**SIZES), network)
    policy = random_weights(agent)
    state, faults = acted(agent, policy, 2)
    assert [int(f.kind) for f in faults] == [FAULT_NONE] * 2
    assert max(float(f.replay_error) for f in faults) <= 1e-5
    _, played, _ = quick_jit(agent.act)(state.policy, state.actors, None, jax.random.key(0), jnp.zeros((), bool))
    error = quick_jit(lambda policy, played: difference(played.said, recompute(policy, played, 4)))
    assert float(error(state.policy, played)) <= 1e-5
    for side in ("actor", "critic"):  # each side's state counts
        start = played.starts.policy
        moved = jax.tree.map(lambda x: x + 0.1, getattr(start.network, side))
        start = start._replace(network=start.network._replace(**{side: moved}))
        assert float(error(state.policy, played._replace(starts=played.starts._replace(policy=start)))) > 1e-3


def soft_agent(**inputs):
    """SAC on LSTMs, what it has learned with targets that differ from it, and a batch of real sequences."""
    network = NetworkConfig(memory="lstm", encoder=(3,), hidden_size=3, **inputs)
    agent = SAC(
        Clock(continuous=True, shortest=4), SACConfig(**SIZES | {"batch_size": 6, "reward_scale": 0.1}), network
    )
    state, _ = acted(agent, random_weights(agent), 6)
    batch = draw(agent, state, jax.random.key(2))
    learned = state.learned._replace(network=state.policy.network)
    slow = jax.tree.map(lambda x: 0.9 * x, learned.targets)  # targets that differ from what is learned
    return agent, learned._replace(targets=slow), batch


@pytest.fixture(scope="module")
def soft():
    """A memory for each side."""
    return soft_agent(**INPUTS)


@pytest.fixture(scope="module")
def shared():
    """One memory for both."""
    return soft_agent(separate_critic=False)


@pytest.mark.parametrize("memories", ["soft", "shared"])
def test_soft_targets_by_stepping_the_networks(memories, request):
    """With one memory the policy reads it as it is learned, and the targets their slow copy of it."""
    agent, learned, batch = request.getfixturevalue(memories)
    noise = jax.random.normal(jax.random.key(3), (5, 6, 2))
    policy, twins = learned.network.policy, learned.targets.twins
    step = quick_jit(lambda tower, state, x: tower.step(state, x))
    said = quick_jit(
        lambda h, k, e: (lambda a, p: (p, twins.values(k, a)))(*policy.distribution(h).sample_with_log_prob(e))
    )
    expected = np.zeros((5, 6))
    for n in range(6):
        starts = batch.starts.actor, batch.starts.actor if memories == "shared" else batch.starts.critic
        states = [jax.tree.map(lambda x, n=n: x[n : n + 1], s) for s in starts]
        towers = learned.network.twins.tower if memories == "shared" else policy.tower, twins.tower
        for t in range(7):
            if batch.resets[t, n]:
                states = [tower.initial_state(1) for tower in towers]
            x, following = batch.inputs[t, n : n + 1], batch.next_inputs[t, n : n + 1]
            states = [step(tower, s, x)[0] for tower, s in zip(towers, states, strict=True)]
            if t < 2:
                continue
            h, k = (step(tower, s, following)[1] for tower, s in zip(towers, states, strict=True))
            log_prob, q = said(h, k, noise[t - 2, n : n + 1])
            value = float(q.min()) - 0.2 * float(log_prob[0])
            reward = 0.1 * float(batch.rewards[t, n])
            expected[t - 2, n] = reward + (0.0 if batch.terminated[t, n] else 0.9 * value)
    assert_allclose(quick_jit(agent.update.targets)(learned, batch, noise), expected, rtol=1e-4, atol=1e-5)


def test_no_gradient_flows_through_burn_in(soft):
    """The losses are those of the learned steps alone, begun from the state that the burn-in leaves."""
    agent, learned, batch = soft
    noise, features = jnp.zeros((5, 6, 2)), jnp.zeros((5, 6, 3))
    goal, alpha, network = jnp.ones((5, 6)), jnp.float32(0.2), learned.network

    def losses(network, inputs, starts, update):
        b = batch._replace(inputs=inputs, starts=starts)
        critic = update.critic_loss(network.twins, b, goal)[0]
        return critic + update.actor_loss(network.policy, network.twins, features, b, noise, alpha)[0]

    gradient = quick_jit(jax.grad(lambda *a: losses(*a, agent.update), argnums=(0, 1, 2)))
    weights, inputs, starts = gradient(network, batch.inputs, batch.starts)
    assert_array_equal(inputs[:2], 0)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(starts))
    assert (jnp.abs(inputs[2:]).sum(axis=(1, 2)) > 0).all()

    # The same weights' gradient from sequences that begin where the burn-in ended.
    after = quick_jit(lambda n: n.unroll(batch.starts, batch.inputs[:2], batch.resets[:2])[0])(network)
    short = SAC(agent.env, SACConfig(**SIZES | {"burn_in": 0}), agent.network_config)
    tail = jax.tree.map(lambda x: x[2:], tuple(batch[1:]))
    cut = type(batch)(after, *tail)

    def of_short(network):
        critic = short.update.critic_loss(network.twins, cut, goal)[0]
        return critic + short.update.actor_loss(network.policy, network.twins, features, cut, noise, alpha)[0]

    for a, b in zip(jax.tree.leaves(weights), jax.tree.leaves(quick_jit(jax.grad(of_short))(network)), strict=True):
        assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_sequences_begin_with_the_stored_state_or_with_an_episodes_first(soft):
    agent, learned, batch = soft
    stored, fresh = agent, SAC(agent.env, SACConfig(**SIZES | {"start": "zero"}), agent.network_config)
    state, _ = acted(fresh, random_weights(fresh), 3)
    assert jax.tree.leaves(state.replay.states.policy.network) == []  # they are not kept
    zeros = draw(fresh, state, jax.random.key(0)).starts
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(zeros))
    goal, network = jnp.ones((5, 6)), learned.network
    loss = quick_jit(lambda starts: stored.update.critic_loss(network.twins, batch._replace(starts=starts), goal)[0])
    assert float(loss(batch.starts)) != float(loss(network.initial_state(6)))


def moved(a, b) -> bool:
    return any((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_each_loss_trains_its_own_side_and_targets_follow_slowly(soft):
    agent, learned, batch = soft
    after, info = quick_jit(agent.update.step)(learned, batch, jax.random.key(4), jnp.int32(0))
    assert bool(info["taken"])
    for name in ("policy", "twins"):  # memories of both sides
        assert moved(getattr(after.network, name).tower, getattr(learned.network, name).tower)
    for new, old, online in zip(
        *(jax.tree.leaves(t) for t in (after.targets.twins, learned.targets.twins, after.network.twins)), strict=True
    ):
        assert_allclose(new, 0.995 * old + 0.005 * online, rtol=1e-5, atol=1e-7)
    assert float(after.temperature.log_value) != float(learned.temperature.log_value)


def test_one_shared_memory_is_trained(shared):
    agent, learned, batch = shared
    after, info = quick_jit(agent.update.step)(learned, batch, jax.random.key(4), jnp.int32(0))
    assert bool(info["taken"])
    assert after.network.policy.tower is None
    assert moved(after.network.policy.head, learned.network.policy.head)
    assert moved(after.network.twins.tower, learned.network.twins.tower)


def test_the_microscope_gets_both_losses_of_the_steps_that_come_next(soft):
    agent, _, _ = soft
    state = quick_jit(agent.around)(random_weights(agent), jax.random.key(0))

    def look(state):
        network, seen = state.policy.network, agent.learning(state)
        features = [
            tower.unroll(start, seen.inputs, seen.resets)[1]
            for tower, start in zip((network.actor, network.critic), seen.starts, strict=True)
        ]
        return seen.inputs, jax.grad(lambda f: seen.loss(*f))(features)

    inputs, gradients = quick_jit(look)(state)
    _, time = serials_and_times(inputs)
    assert_array_equal(time[0], 2)  # two steps of burn-in
    for gradient in gradients:
        assert gradient.shape == (5, 3, 3)
        assert np.isfinite(gradient).all()
        assert (np.abs(gradient).sum(axis=(1, 2)) > 0).all()


def test_td3_delays_actor_and_targets():
    network = NetworkConfig(memory="gru", encoder=(), hidden_size=2, separate_critic=True)
    agent = TD3(Clock(continuous=True), TD3Config(**SIZES | {"batch_size": 3, "burn_in": 0}), network)
    state, _ = acted(agent, random_weights(agent), 6)
    learned = state.learned._replace(network=state.policy.network)
    batch = draw(agent, state, jax.random.key(0))
    step = quick_jit(agent.update.step)
    for due in (True, False, True):
        after, info = step(learned, batch, jax.random.key(1), jnp.int32(0))
        assert bool(info["actor_taken"]) == due
        assert moved(after.network.twins, learned.network.twins)
        for changed in (
            moved(after.network.policy, learned.network.policy),
            moved(after.targets.twins, learned.targets.twins),
            moved(after.targets.policy, learned.targets.policy),
            moved(after.actor_optimiser, learned.actor_optimiser),
        ):
            assert changed == due
        learned = after
    bad = batch._replace(rewards=batch.rewards.at[0, 0].set(jnp.nan))
    after, info = step(learned, bad, jax.random.key(1), jnp.int32(0))
    assert not bool(info["taken"])
    assert int(after.guard.in_row) == 1
    assert not moved(after._replace(guard=None), learned._replace(guard=None))


def test_a_run_is_the_same_in_any_chunks_and_stops_at_bad_input():
    env = Clock(continuous=True, shortest=6)
    network = NetworkConfig(memory="elman", encoder=(), hidden_size=2, normalise_observations=True, **INPUTS)
    agent = SAC(env, SACConfig(**SIZES | {"batch_size": 2, "learning_starts": 40}), network)
    run = jax.jit(lambda state, n: agent.run(state, n, jnp.int32(8), jnp.int32(0), 8))
    start = jax.jit(agent.init)(0)
    once, metrics, done, fault = run(start, jnp.int32(8))
    assert (int(done), int(fault.kind)) == (8, FAULT_NONE)
    assert metrics.updates.tolist() == [0, 0, 0, 2, 2, 2, 2, 2]  # 12 steps an iteration, and two rollouts a sequence
    early = run(start, jnp.int32(3))[0]
    assert not moved(early.policy.network, start.policy.network)
    assert moved(once.policy.network, start.policy.network)
    uniform = np.asarray(early.replay.steps.action)[:12].ravel()
    assert abs(uniform.mean()) < 0.2 < uniform.std()
    twice = run(early, jnp.int32(5))[0]
    same = jax.tree.map(lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, once)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(twice), strict=True):
        assert_array_equal(a, jax.random.key_data(b) if jnp.issubdtype(b.dtype, jax.dtypes.prng_key) else b)

    bad = twice._replace(actors=twice.actors._replace(observation=twice.actors.observation.at[1].set(jnp.nan)))
    after, _, done, fault = run(bad, jnp.int32(8))
    assert (int(done), int(fault.kind), int(fault.environment)) == (0, FAULT_INPUT, 1)
    assert not moved(after.policy.network, twice.policy.network)
    assert int(after.replay.pieces) == 8


def test_correlated_noise_goes_on_across_rollouts():
    """With φ = 0.999 no step's noise is far from the one before, in a rollout or at its edges."""
    network = NetworkConfig(memory="none", encoder=(), hidden_size=2, separate_critic=True)
    config = SACConfig(**SIZES | {"learning_starts": 10_000, "noise_correlation": 0.999})
    agent = SAC(Clock(continuous=True), config, network)
    state, _ = acted(agent, random_weights(agent), 6)
    uniform = np.asarray(state.replay.steps.action)[:24]  # 2 Φ(noise) − 1
    noise = np.asarray(jax.scipy.special.erfinv(uniform)) * 2**0.5
    assert noise[0].std() > 0.3
    assert np.abs(np.diff(noise, axis=0)).max() < 0.25  # of standard deviation 0.045
    assert_allclose(noise[-1], state.noise, rtol=1e-3, atol=1e-3)


BAD = [
    (SACConfig(noise_correlation=1.0), {}, r"noise_correlation = 1\.0"),
    (TD3Config(noise_correlation=-0.1), {}, r"noise_correlation = -0\.1"),
    (SACConfig(batch_size=0), {}, "batch_size = 0"),
    (SACConfig(burn_in=-1), {}, "burn_in = -1"),
    (SACConfig(replay_steps=100, bptt_length=50), {}, "Raise replay_steps to 448"),
    (SACConfig(discount=1.5), {}, "discount = 1.5"),
    (SACConfig(temperature=0.0), {}, "temperature = 0.0"),
    (TD3Config(target_noise=float("nan")), {}, "target_noise = nan"),
    (TD3Config(exploration_noise=0.0), {}, "exploration_noise = 0.0"),
    (TD3Config(gradient_clip=0.0), {}, "gradient_clip = 0.0"),
    (TD3Config(head=(0,)), {}, r"head = \[0\]"),
    (TD3Config(), {"activation": "gelu"}, "activation = 'gelu'"),
]


@pytest.mark.parametrize(("config", "network", "what"), BAD, ids=[what for *_, what in BAD])
def test_impossible_settings_are_refused(config, network, what):
    with pytest.raises(ConfigError, match=what):
        check(config, NetworkConfig(**network))


def test_discrete_actions_are_refused():
    with pytest.raises(ConfigError, match="discrete"):
        SAC(Clock(), SACConfig(), NetworkConfig())
