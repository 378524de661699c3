"""Purpose-made environments and memories in which every slip at the state boundary shows as a wrong integer.

`Clock` tells in each observation which episode this is and how many steps it is old; `Tally` counts what it has
read since its last reset. A policy whose value is the tally then says, step by step, where its memory stands.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from throughtime.agents import NetworkConfig, Policy, PPOConfig
from throughtime.agents import ppo as ppo_module
from throughtime.agents.metrics import Metrics
from throughtime.agents.ppo import PPO, TrainState
from throughtime.agents.preflight import FAULT_NONE, FORWARD, PREFLIGHT_TOLERANCE, Fault
from throughtime.agents.rollout import Rollout, Sequences, start
from throughtime.envs import Box, Discrete, Environment
from throughtime.gradients import Guard
from throughtime.memory import Memory
from throughtime.rl import Moments


class ClockState(NamedTuple):
    serial: jax.Array  # of the episode, 0 … 99, drawn anew at each reset
    time: jax.Array  # steps since the reset


@dataclass(frozen=True)
class Clock(Environment[ClockState, None]):
    """Observation `[serial / 100, time / 10]`; reward `time + 0.1 · action` of the step taken.

    An episode has `shortest + serial % 3` steps; it ends by `ends[serial // 3 % len(ends)]`: terminated,
    truncated, or both. With `poison`, the step to `time == poison_time` of an episode with `serial >=
    poison_serial` gives a NaN (or an infinity) in its "reward" or "observation"; or the "first observation" is bad.
    """

    stochastic_step: ClassVar[bool] = False

    continuous: bool = False
    shortest: int = 2
    ends: tuple[str, ...] = ("terminated", "truncated", "both")
    poison: str = ""
    poison_time: int = 5
    poison_serial: int = 50
    poison_value: float = float("nan")

    @property
    def name(self) -> str:
        return "clock"

    @property
    def default_params(self) -> None:
        return None

    @property
    def observation_space(self) -> Box:
        return Box(0.0, 100.0, (2,))

    @property
    def action_space(self) -> Box | Discrete:
        return Box(-2.0, 6.0, (2,)) if self.continuous else Discrete(3)

    @property
    def max_episode_steps(self) -> int:
        return self.shortest + 2

    def reset_env(self, key, params):
        state = ClockState(jax.random.randint(key, (), 0, 100), jnp.zeros((), jnp.int32))
        bad = (self.poison == "first observation") & (state.serial >= self.poison_serial)
        return jnp.where(bad, self.poison_value, self._observe(state)), state

    def step_env(self, key, state, action, params):
        after = state._replace(time=state.time + 1)
        number = jnp.sum(action) if self.continuous else action.astype(jnp.float32)
        reward = state.time.astype(jnp.float32) + 0.1 * number
        obs = self._observe(after)
        bad = (after.time == self.poison_time) & (state.serial >= self.poison_serial)
        if self.poison == "reward":
            reward = jnp.where(bad, self.poison_value, reward)
        if self.poison == "observation":
            obs = jnp.where(bad, self.poison_value, obs)
        return obs, after, reward, self._ended(after) & self._ends_by(after, "terminated"), {}

    def is_truncated(self, state, params):
        return self._ended(state) & self._ends_by(state, "truncated")

    def hidden_state(self, state):
        return state.time

    def _observe(self, state):
        return jnp.stack([state.serial.astype(jnp.float32) / 100, state.time.astype(jnp.float32) / 10])

    def _ended(self, state):
        return state.time >= self.shortest + state.serial % 3

    def _ends_by(self, state, flag):
        chosen = jnp.asarray([end in (flag, "both") for end in self.ends])
        return chosen[state.serial // 3 % len(self.ends)]


class TallyState(NamedTuple):
    count: jax.Array  # [B, 1], inputs read since the reset
    total: jax.Array  # [B, I], their sum


class Tally(Memory):
    """Counts and adds up what it reads: y = [count, sum of the inputs]."""

    input_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)

    def __init__(self, input_size: int):
        self.input_size, self.output_size = input_size, input_size + 1

    def initial_state(self, batch_size: int) -> TallyState:
        return TallyState(jnp.zeros((batch_size, 1)), jnp.zeros((batch_size, self.input_size)))

    def advance(self, state, projected):
        state = TallyState(state.count + 1.0, state.total + projected)
        return state, jnp.concatenate([state.count, state.total], axis=1)


def random_policy(env: Environment, seed: int = 0, **network: Any) -> Policy:
    """A policy with normal weights, far from their small start, and moments of some observations.

    Drawn by NumPy into the shapes that `Policy` says: much faster than compiling the initialisers.
    """
    rng = np.random.default_rng(seed)
    shapes = eqx.filter_eval_shape(Policy, env, NetworkConfig(**network), jax.random.key(0))
    policy = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype), shapes)
    if policy.observation_moments is None:
        return policy
    seen = jnp.asarray(rng.uniform(size=(50, 2)), jnp.float32)
    return eqx.tree_at(lambda p: p.observation_moments, policy, Moments.create((2,)).update(seen))


def tally_policy(env: Environment, **network: Any) -> Policy:
    """A policy whose value is the count of its memory and whose logits depend on all that it has read."""
    policy = random_policy(env, memory="none", encoder=(), hidden_size=2, **network)
    size, net = policy.network.actor.input_size, policy.network
    net = eqx.tree_at(lambda n: n.actor.memory, net, Tally(size))
    weights = 0.1 * np.random.default_rng(0).normal(size=(size + 1, net.policy_head.linear.bias_y.shape[0]))
    net = eqx.tree_at(
        lambda n: (n.policy_head.linear.weight_hy, n.value_head.weight_hy, n.value_head.bias_y),
        net,
        (jnp.asarray(weights, jnp.float32), jnp.zeros((size + 1, 1)).at[0].set(1.0), jnp.zeros(1)),
    )
    return eqx.tree_at(lambda p: p.network, policy, net)


class Iteration(NamedTuple):
    """What one real iteration recorded and handed to the update."""

    env: Environment
    config: PPOConfig
    before: TrainState
    after: TrainState
    fault: Fault
    rollout: Rollout
    starts: Any  # [T/k, B, ...], as stored
    last_values: jax.Array  # V(obs_T)
    rewards: np.ndarray  # as the advantages see them
    sequences: Sequences


NO_LOSSES = ("ratio_error", *Metrics._fields[3:9])


def initial(ppo: PPO, policy: Policy, seed: int = 0, optimiser: Any = None) -> TrainState:
    """As `PPO.init`, around a policy of one's own; without an optimiser (to `record`) unless it is given."""
    actors = quick_jit(lambda key: start(policy, ppo.environments, key))(jax.random.key(seed))
    normalise = ppo.config.normalise_returns
    return TrainState(
        policy,
        None if optimiser is None else optimiser.init(policy.network),
        Guard.create(policy.network, len(FORWARD)),
        actors,
        jnp.zeros(ppo.config.num_envs) if normalise else None,
        Moments.create(()) if normalise else None,
        jax.random.key(seed + 1),
        jnp.zeros((), jnp.int32),
    )


def record(ppo: PPO, state: TrainState) -> Iteration:
    """One iteration by the real `PPO.iterate`, but for the gradient steps: these are left out."""
    return record_all(ppo, [state])[0]


def record_all(ppo: PPO, states: list[TrainState]) -> list[Iteration]:
    """`record` for each of several states, by one program."""
    seen: dict[str, Any] = {}
    real_collect, real_advantages = ppo_module.collect, ppo_module.generalised_advantages

    def collect(*args):
        seen["collect"] = real_collect(*args)
        return seen["collect"]

    def advantages(rewards, *args, **kwargs):
        seen["rewards"] = rewards
        return real_advantages(rewards, *args, **kwargs)

    def update(policy, optimiser, guard, sequences, *rest):
        seen["sequences"] = sequences
        none = {name: jnp.zeros(1) for name in NO_LOSSES} | {name: jnp.zeros(1, bool) for name in ("taken", "skipped")}
        return policy, optimiser, guard, none

    def iterate(state):
        after, _, fault = ppo.iterate(state, jnp.int32(10), state.iteration)
        _, *collected = seen["collect"]
        return after, fault, *collected, seen["rewards"], seen["sequences"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo_module, "collect", collect)
        patch.setattr(ppo_module, "generalised_advantages", advantages)
        patch.setattr(ppo, "_update", update, raising=True)
        program = quick_jit(iterate)
        return [Iteration(ppo.env, ppo.config, state, *program(state)) for state in states]


def quick_jit(function):
    """`jax.jit` that compiles in half the time, for programs that run once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def tally_iteration(B: int = 3, T: int = 24, k: int = 4, seed: int = 0, **clock: Any) -> Iteration:
    """A recorded iteration in which every memory counts: see the module."""
    env = Clock(**clock)
    config = PPOConfig(num_envs=B, rollout_length=T, bptt_length=k, minibatches=1, discount=0.9, gae_lambda=0.8)
    network = NetworkConfig(memory="none", encoder=(), previous_action=True, previous_reward=True)
    policy = tally_policy(env, previous_action=True, previous_reward=True)
    ppo = PPO(env, config, network)
    return record(ppo, initial(ppo, policy, seed))


# What has to hold. Each check reads the truth off the observations (the episode's serial, its time), never off the
# flags and values that are in question, and fails with an AssertionError. `tests/faults` proves that each can.


def serials_and_times(inputs) -> tuple[np.ndarray, np.ndarray]:
    """Which episode each input belongs to, and its step in it: whole numbers."""
    inputs = np.asarray(inputs)
    return np.rint(100 * inputs[..., 0]).astype(int), np.rint(10 * inputs[..., 1]).astype(int)


def truth(it: Iteration) -> tuple[np.ndarray, ...]:
    """Times, and which steps end their episode by termination and by truncation: `[T, B]`, from the clock's rules."""
    serial, time = serials_and_times(it.rollout.observations)
    last = time + 1 == it.env.shortest + serial % 3
    kinds = np.asarray(it.env.ends)[serial // 3 % len(it.env.ends)]
    return time, last & np.isin(kinds, ["terminated", "both"]), last & np.isin(kinds, ["truncated", "both"])


def check_resets(it: Iteration) -> None:
    """Point 1: the flag is up exactly at first observations, and the memory holds this episode's inputs only."""
    time, _, _ = truth(it)
    assert_array_equal(it.rollout.resets, time == 0)
    assert_array_equal(it.rollout.values, time + 1)


def check_starts(it: Iteration) -> None:
    """Point 2: what is stored for a step was there before its observation was read."""
    k = it.sequences.resets.shape[0]
    time, _, _ = truth(it)
    first = time[::k]
    counts = np.asarray(it.starts.actor.count)[..., 0]
    # Where a sequence begins with an episode, the stored state is of the one before: the replay's reset drops it.
    assert_array_equal(np.where(it.rollout.resets[::k], 0, counts), first)
    assert (first > 0).any(), "no sequence starts within an episode"
    assert_array_equal(np.ravel(it.sequences.starts.actor.count), counts.ravel())


def check_flags(it: Iteration) -> None:
    """Point 3: termination and truncation stay apart."""
    _, terminated, truncated = truth(it)
    assert_array_equal(it.rollout.terminated, terminated)
    assert_array_equal(it.rollout.truncated, truncated)
    for kind in (terminated & ~truncated, truncated & ~terminated, terminated & truncated):
        assert kind.any() or len(it.env.ends) < 3, "a kind of ending is missing"


def check_advantages(it: Iteration) -> None:
    """Point 3: GAE by its definition, with the count of all inputs, the final observation included, as V(final)."""
    time, terminated, truncated = truth(it)
    actions = np.asarray(it.rollout.actions)
    T, B = time.shape
    expected = np.zeros((T, B))
    for b in range(B):
        trace = 0.0
        for t in reversed(range(T)):
            reward, value = time[t, b] + 0.1 * actions[t, b], time[t, b] + 1
            following = 0.0 if terminated[t, b] else time[t, b] + 2  # one more input read, final or not
            if terminated[t, b] or truncated[t, b]:
                trace = 0.0
            trace = reward + 0.9 * following - value + 0.9 * 0.8 * trace
            expected[t, b] = trace
    order = np.concatenate(
        [expected[s : s + len(it.sequences.resets)] for s in range(0, T, len(it.sequences.resets))], 1
    )
    assert_allclose(it.sequences.advantages, order, rtol=1e-5, atol=1e-5)
    assert_allclose(it.sequences.targets, order + np.asarray(it.sequences.values), rtol=1e-5, atol=1e-5)


def check_contiguous(it: Iteration) -> None:
    """Point 4: down each sequence time goes on by one within one episode, or a flagged reset begins another."""
    serial, time = serials_and_times(it.sequences.inputs)
    resets = np.asarray(it.sequences.resets)
    assert_array_equal(resets, time == 0)
    goes_on = (time[1:] == time[:-1] + 1) & (serial[1:] == serial[:-1])
    assert (goes_on | resets[1:]).all()
    # A reset comes where the episode before it was over, not in its middle.
    assert_array_equal((time[:-1] + 1 == it.env.shortest + serial[:-1] % 3), resets[1:])
    counts = np.asarray(it.sequences.starts.actor.count)[:, 0]
    assert_array_equal(np.where(resets[0], 0, counts), time[0])


def check_preflight(it: Iteration) -> None:
    """Point 6: the iteration's own verdict."""
    assert int(it.fault.kind) == FAULT_NONE, f"fault {int(it.fault.kind)}, replay error {float(it.fault.replay_error)}"
    assert float(it.fault.replay_error) <= PREFLIGHT_TOLERANCE


def check_autoreset(it: Iteration) -> None:
    """Point 7: no step is spent on resetting, and no final observation is ever acted on."""
    serial, time = serials_and_times(it.rollout.observations)
    length = it.env.shortest + serial % 3
    assert (time < length).all()
    assert_array_equal(time[1:], np.where(time[:-1] + 1 == length[:-1], 0, time[:-1] + 1))
    assert_allclose(it.rollout.rewards, time + 0.1 * np.asarray(it.rollout.actions), rtol=1e-6)


def check_previous(it: Iteration) -> None:
    """Point 8: each input carries the last action and reward, and neither at an episode's first step."""
    time, _, _ = truth(it)
    inputs, actions = np.asarray(it.rollout.inputs), np.asarray(it.rollout.actions)
    one_hot = np.eye(3)[actions[:-1]] * (time[1:, :, None] > 0)
    assert_array_equal(inputs[1:, :, 2:5], one_hot)
    assert_array_equal(inputs[1:, :, 5], np.where(time[1:] > 0, it.rollout.rewards[:-1], 0.0))
    assert_array_equal(inputs[0, :, 2:], 0)


def check_padding(network: Any) -> None:
    """Point 5: what lies before a reset, even NaN, changes neither outputs nor gradients of what lies after it."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(6, 2, network.actor.input_size)).astype(np.float32)
    resets = np.zeros((6, 2), bool)
    resets[3] = True
    state = network.initial_state(2)

    def loss(network, xs, padded):
        _, distribution, values = network.unroll(state, xs, jnp.asarray(resets))
        outputs = jnp.concatenate([distribution.logits, values[..., None]], axis=-1)
        outputs = jnp.where(jnp.broadcast_to(padded, outputs.shape), 0.0, outputs)
        return jnp.sum(jnp.sin(outputs + 1.0)), outputs[3:]

    padded = jnp.arange(6).reshape(6, 1, 1) < 3
    value_and_grad = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
    (_, outputs), (grads, _) = value_and_grad(network, jnp.asarray(xs), padded)
    for padding in (rng.normal(size=xs[:3].shape), np.full(xs[:3].shape, np.nan)):
        other = jnp.asarray(np.concatenate([padding, xs[3:]]), jnp.float32)
        (_, other_outputs), (other_grads, other_xs) = value_and_grad(network, other, padded)
        assert_array_equal(other_outputs, outputs)
        assert_array_equal(other_xs[:3], np.zeros_like(xs[:3]))
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(other_grads), jax.tree.leaves(grads), strict=True):
            assert_allclose(a, b, rtol=1e-6, err_msg=jax.tree_util.keystr(path))
