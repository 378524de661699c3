"""The ledger of faults known from other libraries: each is put into throughtime, and what has to notice it does.

A check that never goes red is worth nothing. So each row of the table names a fault, where it was found, how to put
it in, and the checks of `tests/boundary.py` (the same that hold the state boundary in `tests/agents`) that must go
red; on the unbroken library all of them are green. Faults that concern parts still to come (burn-in, exporters) wait
for them.
"""

import contextlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import boundary
from boundary import Clock
from throughtime.agents import NetworkConfig, Policy
from throughtime.agents import ppo as ppo_module
from throughtime.agents import rollout as rollout_module
from throughtime.agents.network import ActorCritic
from throughtime.core import CheckpointError, select_rows
from throughtime.envs import Discrete, VectorEnvironment
from throughtime.envs.vector import VectorStep
from throughtime.runs import checkpoint as checkpoint_module
from throughtime.runs import evaluation, load_run, recording

CHECKS: dict[str, Callable[[boundary.Iteration], None]] = {
    "point 1: resets": boundary.check_resets,
    "point 2: stored states": boundary.check_starts,
    "point 3: flags": boundary.check_flags,
    "point 3: advantages": boundary.check_advantages,
    "point 4: contiguous": boundary.check_contiguous,
    "point 6: preflight": boundary.check_preflight,
    "point 7: autoreset": boundary.check_autoreset,
    "point 8: previous action and reward": boundary.check_previous,
}


# How each fault is put in: functions of a monkeypatch.


def store_the_state_after_the_observation(patch):
    collect = ppo_module.collect

    def broken(policy, env, actors, key, length, piece, *rest):
        actors, rollout, starts, last = collect(policy, env, actors, key, length, piece, *rest)

        def read(state, x, reset):
            fresh = select_rows(reset, policy.network.initial_state(x.shape[0]), state)
            return policy.network.step(fresh, x)[0]

        return actors, rollout, jax.vmap(read)(starts, rollout.inputs[::piece], rollout.resets[::piece]), last

    patch.setattr(ppo_module, "collect", broken)


def flag_the_last_step_instead_of_the_first(patch):
    collect = ppo_module.collect

    def broken(*args):
        actors, rollout, *rest = collect(*args)
        return actors, rollout._replace(resets=rollout.terminated | rollout.truncated), *rest

    patch.setattr(ppo_module, "collect", broken)


def reset_one_step_late(patch):
    """In acting and in replay alike: the two agree, and the preflight cannot see it."""
    collect = ppo_module.collect

    def broken(policy, env, actors, key, length, piece, *rest):
        actors, rollout, starts, last = collect(policy, env, actors, key, length, piece, *rest)
        late = jnp.concatenate([jnp.zeros_like(rollout.resets[:1]), rollout.resets[:-1]])
        network = policy.network
        first = jax.tree.map(lambda a: a[0], starts)
        _, distribution, values = network.unroll(first, rollout.inputs, late)

        def before(state, inputs):
            x, reset = inputs
            return network.step(select_rows(reset, network.initial_state(x.shape[0]), state), x)[0], state

        states = jax.lax.scan(before, first, (rollout.inputs, late))[1]
        rollout = rollout._replace(resets=late, values=values, log_probs=distribution.log_prob(rollout.actions))
        return actors, rollout, jax.tree.map(lambda a: a[::piece], states), last

    patch.setattr(ppo_module, "collect", broken)


def use_done_one_step_late(patch):
    advantages = ppo_module.generalised_advantages

    def broken(rewards, values, next_values, terminated, truncated, **settings):
        late = [jnp.roll(flag, 1, axis=0) for flag in (terminated, truncated)]
        return advantages(rewards, values, next_values, *late, **settings)

    patch.setattr(ppo_module, "generalised_advantages", broken)


def reshape_into_strided_sequences(patch):
    def broken(rollout, length):
        return jax.tree.map(lambda x: x.reshape(length, -1, *x.shape[2:]), rollout)

    patch.setattr(ppo_module, "cut", broken)


def never_reset_the_memory(patch):
    patch.setattr(Policy, "reset_where", lambda self, reset, state: state)


def never_reset_the_memory_nor_tell(patch):
    """Also in replay: the two agree, and the preflight cannot see it."""
    never_reset_the_memory(patch)
    collect = ppo_module.collect

    def broken(*args):
        actors, rollout, *rest = collect(*args)
        return actors, rollout._replace(resets=jnp.zeros_like(rollout.resets)), *rest

    patch.setattr(ppo_module, "collect", broken)


def bootstrap_from_the_value_of_the_same_step(patch):
    def broken(values, last_values, final_values, truncated):
        following = jnp.concatenate([values[1:], last_values[None]])
        return jnp.where(truncated, values, following)

    patch.setattr(ppo_module, "true_next_values", broken)


def bootstrap_from_the_next_episode(patch):
    def broken(values, last_values, final_values, truncated):
        return jnp.concatenate([values[1:], last_values[None]])

    patch.setattr(ppo_module, "true_next_values", broken)


def value_the_final_observation_with_a_fresh_memory(patch):
    final_values = rollout_module._final_values

    def broken(policy, state, out):
        return final_values(policy, policy.initial_state(out.reward.shape[0]), out)

    patch.setattr(rollout_module, "_final_values", broken)


def take_truncation_for_termination(patch):
    advantages = ppo_module.generalised_advantages

    def broken(rewards, values, next_values, terminated, truncated, **settings):
        return advantages(rewards, values, next_values, terminated | truncated, truncated, **settings)

    patch.setattr(ppo_module, "generalised_advantages", broken)


def report_truncation_as_termination(patch):
    step = VectorEnvironment.step

    def broken(self, *args):
        out = step(self, *args)
        return out._replace(terminated=out.terminated | out.truncated, truncated=jnp.zeros_like(out.truncated))

    patch.setattr(VectorEnvironment, "step", broken)


def let_the_trace_run_on_after_truncation(patch):
    advantages = ppo_module.generalised_advantages

    def broken(rewards, values, next_values, terminated, truncated, **settings):
        return advantages(rewards, values, next_values, terminated, jnp.zeros_like(truncated), **settings)

    patch.setattr(ppo_module, "generalised_advantages", broken)


def train_on_the_reset_step(patch):
    """Next-step autoreset, as Gymnasium 1.x has it: the step after an end ignores the action and pays 0."""

    def broken(self, key, state, actions):
        env, ended = self.env, jax.vmap(self.env._ended)(state)
        step = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
        obs, after, reward, terminated, _ = step(key, state, actions, None)
        truncated = jax.vmap(env.is_truncated, in_axes=(0, None))(after, None) & ~ended
        first, fresh = self.reset(key)
        obs, after = select_rows(ended, (first, fresh), (obs, after))
        return VectorStep(obs, after, jnp.where(ended, 0.0, reward), terminated & ~ended, truncated, obs)

    patch.setattr(VectorEnvironment, "step", broken)


def let_sequences_run_across_episodes(patch):
    cut = ppo_module.cut

    def broken(rollout, length):
        inputs, resets, *rest = cut(rollout, length)
        return inputs, jnp.zeros_like(resets), *rest

    patch.setattr(ppo_module, "cut", broken)


def feed_the_reward_of_the_last_episode(patch):
    inputs = Policy.inputs
    patch.setattr(
        Policy, "inputs", lambda self, state, obs, reset, r: inputs(self, state, obs, jnp.zeros_like(reset), r)
    )


@dataclass(frozen=True)
class Fault:
    inject: Callable[[pytest.MonkeyPatch], None]
    origin: str
    red: set[str]  # the checks that must notice it; others may too
    acting: bool = False  # whether it changes how the agent acts, not just what is made of it afterwards

    def __str__(self):
        return self.inject.__name__


FAULTS = [
    Fault(
        store_the_state_after_the_observation,
        "Acme #259; Stoix",
        {"point 2: stored states", "point 4: contiguous", "point 6: preflight"},
    ),
    Fault(
        flag_the_last_step_instead_of_the_first,
        "JaxMARL #119, Mava #1006, purejaxrl #23",
        {"point 1: resets", "point 4: contiguous", "point 6: preflight"},
    ),
    Fault(reset_one_step_late, "JaxMARL #119, Mava #1006, purejaxrl #23, where acting agrees", {"point 1: resets"}),
    Fault(use_done_one_step_late, "Stoix, rec_ppo", {"point 3: advantages"}),
    Fault(
        reshape_into_strided_sequences,
        "Stoix, Mava",
        {"point 3: advantages", "point 4: contiguous", "point 6: preflight"},
    ),
    Fault(never_reset_the_memory, "PufferLib v3", {"point 1: resets", "point 6: preflight"}, acting=True),
    Fault(never_reset_the_memory_nor_tell, "PufferLib v3, where replay agrees", {"point 1: resets"}, acting=True),
    Fault(bootstrap_from_the_value_of_the_same_step, "skrl, rsl_rl", {"point 3: advantages"}),
    Fault(bootstrap_from_the_next_episode, "the same, by the next episode's first value", {"point 3: advantages"}),
    Fault(value_the_final_observation_with_a_fresh_memory, "the same", {"point 3: advantages"}, acting=True),
    Fault(take_truncation_for_termination, "AMAGO #67", {"point 3: advantages"}),
    Fault(
        report_truncation_as_termination,
        "Memorax's Gymnasium wrapper",
        {"point 3: flags", "point 3: advantages"},
        acting=True,
    ),
    Fault(let_the_trace_run_on_after_truncation, "the trace that truncation does not cut", {"point 3: advantages"}),
    Fault(train_on_the_reset_step, "Gymnasium 1.x; cleanrl #499", {"point 7: autoreset"}, acting=True),
    Fault(
        let_sequences_run_across_episodes,
        "rl-blox #213, mbrl-lib #95",
        {"point 4: contiguous", "point 6: preflight"},
    ),
    Fault(
        feed_the_reward_of_the_last_episode,
        "none: point 8",
        {"point 8: previous action and reward"},
        acting=True,
    ),
]


@pytest.fixture(scope="module")
def unbroken():
    return boundary.tally_iteration()


def test_all_checks_are_green_on_the_unbroken_library(unbroken):
    for check in CHECKS.values():
        check(unbroken)


def test_each_check_is_proven_able_to_fail():
    assert set().union(*(fault.red for fault in FAULTS)) == set(CHECKS)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_that_is_put_in_is_noticed(fault, unbroken, monkeypatch):
    if not fault.acting:  # the unbroken rollout serves, and its program need not be compiled anew
        rollout = (unbroken.after.actors, unbroken.rollout, unbroken.starts, unbroken.last_values)
        monkeypatch.setattr(ppo_module, "collect", lambda *arguments: rollout)
    fault.inject(monkeypatch)
    it = boundary.tally_iteration()
    red = set()
    for name, check in CHECKS.items():
        try:
            check(it)
        except AssertionError:
            red.add(name)
    assert red >= fault.red, f"{fault} ({fault.origin}) passed {fault.red - red}"


# Padding and masks: ray #21392, sb3-contrib #75, pytorch/rl #3711; memax.


def network():
    config = NetworkConfig(memory="gru", hidden_size=3, encoder=(3,))
    return ActorCritic(3, Discrete(2), config, jax.random.key(0))


def test_padding_that_enters_the_loss_is_noticed(monkeypatch):
    """ray #21392, sb3-contrib #75, pytorch/rl #3711: padded steps count. Put in: resets that do not cut."""
    unroll = ActorCritic.unroll
    monkeypatch.setattr(
        ActorCritic, "unroll", lambda self, state, xs, resets: unroll(self, state, xs, jnp.zeros_like(resets))
    )
    with pytest.raises(AssertionError):
        boundary.check_padding(network())


def test_masking_by_multiplication_is_noticed(monkeypatch):
    """memax: 0 · NaN is NaN. Put in: a select that multiplies."""

    def multiply(flag, on_true, on_false):
        def one(a, b):
            mask = flag.reshape(flag.shape + (1,) * (b.ndim - flag.ndim)).astype(b.dtype)
            return a * mask + b * (1 - mask)

        return jax.tree.map(one, on_true, on_false)

    monkeypatch.setattr("throughtime.memory.unroll.select_rows", multiply)
    with pytest.raises(AssertionError):
        boundary.check_padding(network())


def test_plain_autodiff_of_padding_is_noticed(monkeypatch):
    """The same in the backward pass: a cotangent of 0 times a NaN. Put in: heads without their guard."""
    monkeypatch.setattr("throughtime.agents.network.per_row", lambda arguments, function: function(*arguments))
    with pytest.raises(AssertionError):
        boundary.check_padding(network())


# Evaluation without the recurrent state: sb3 #678, huggingface_sb3 #8.


def counting_policy():
    """Takes action 2 from the third observation on, else 0: only its memory tells which that is."""
    policy = boundary.tally_policy(Clock())
    head = policy.network.policy_head.linear
    weights = jnp.zeros_like(head.weight_hy).at[0].set(jnp.array([0.0, -9.0, 2.0]))  # logits 0, −9·count, 2·count − 5
    head = eqx.tree_at(lambda h: (h.weight_hy, h.bias_y), head, (weights, jnp.array([0.0, 0.0, -5.0])))
    return eqx.tree_at(lambda p: p.network.policy_head.linear, policy, head)


def check_evaluation(episodes: int) -> None:
    """Scores by hand: rewards t + 0.1 · action, with action 2 from t = 2 on."""
    score = evaluation.evaluate(counting_policy(), Clock(), episodes=episodes)
    by_length = {2: 0 + 1, 3: 0 + 1 + 2.2, 4: 0 + 1 + 2.2 + 3.2}
    assert set(score.lengths) <= set(by_length)
    assert max(score.lengths) > 2
    assert_allclose(score.returns, [by_length[n] for n in score.lengths], rtol=1e-5)


def test_evaluation_carries_the_memory():
    check_evaluation(20)


def test_evaluation_without_the_state_is_noticed(monkeypatch):
    """sb3 #678: `predict` called without the state of the step before."""
    reset_where = Policy.reset_where
    monkeypatch.setattr(Policy, "reset_where", lambda self, reset, s: reset_where(self, jnp.ones_like(reset), s))
    with pytest.raises(AssertionError):
        check_evaluation(21)  # another number of episodes: another trace


def check_recorded_episode(shortest: int) -> None:
    """Counts every observation of the longest of a few episodes."""
    env = Clock(shortest=shortest)
    episode = recording.record_episode(counting_policy(), env)
    T = len(episode.rewards)
    assert shortest <= T
    assert_array_equal(episode.values, np.arange(1, T + 1))
    assert_array_equal(episode.actions, np.where(np.arange(T) >= 2, 2, 0))


def test_a_recorded_episode_carries_the_memory():
    check_recorded_episode(4)


def test_a_recorded_episode_without_the_state_is_noticed(monkeypatch):
    """huggingface_sb3 #8: the video of an agent that forgot everything at each step."""
    reset_where = Policy.reset_where
    monkeypatch.setattr(Policy, "reset_where", lambda self, reset, s: reset_where(self, jnp.ones_like(reset), s))
    with pytest.raises(AssertionError):
        check_recorded_episode(5)  # another environment: another trace


# Checkpoints that execute code: sb3 #2281.


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def check_runs_no_code(tmp_path):
    """Offers a pickle under the name of a checkpoint."""
    sprung = tmp_path / "sprung"
    file = tmp_path / "step-000000000001.safetensors"
    file.write_bytes(pickle.dumps(Trap(sprung)))
    with contextlib.suppress(Exception):
        load_run(file)
    assert not sprung.exists(), "loading a checkpoint ran its code"
    with pytest.raises(CheckpointError, match="never opens one"):
        load_run(file)


def test_loading_a_checkpoint_runs_no_code(tmp_path):
    check_runs_no_code(tmp_path)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loader_that_unpickles_is_noticed(tmp_path, monkeypatch):
    """sb3 #2281."""
    unpickle = lambda path: pickle.loads(path.read_bytes())  # noqa: E731
    for module in (checkpoint_module, import_module("throughtime.runs.train")):
        monkeypatch.setattr(module, "read_checkpoint", unpickle)
    with pytest.raises(AssertionError, match="ran its code"):
        check_runs_no_code(tmp_path)
