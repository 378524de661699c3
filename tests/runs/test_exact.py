"""Exact values of policies on tiger, against the solver of the tests, closed forms, and all histories enumerated."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pomdp_solver import optimal_value

from throughtime.agents import NetworkConfig, Policy
from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.runs import exact_value


class Count(NamedTuple):
    """Heard right minus heard left since the last opened door, and the last action."""

    count: Any
    action: Any


class Threshold:
    """Listens until one side leads by `lead`, then opens the other door: optimal at the right lead."""

    reads_previous_reward = False

    def __init__(self, lead: int):
        self.lead = lead

    def initial_state(self, batch_size: int) -> Count:
        return Count(jnp.zeros(batch_size, jnp.int32), jnp.zeros(batch_size, jnp.int32))

    def act(self, state: Count, observation: jax.Array, reset: jax.Array) -> tuple[Count, jax.Array]:
        heard = (observation[:, 2] - observation[:, 1]).astype(jnp.int32)
        fresh = reset | (state.action > 0)  # after opening, what is heard tells nothing
        count = jnp.where(fresh, 0, state.count + heard)
        action = jnp.where(count >= self.lead, 1, jnp.where(count <= -self.lead, 2, 0))
        return Count(count, action), action


# Where opening ends the episode, the optimum waits for a lead of 3: only one treasure is to be had.
@pytest.mark.parametrize(("name", "lead"), [("tiger", 2), ("tiger-ends-on-open", 3)])
def test_the_optimal_policy_is_worth_the_optimum_of_the_solver(name, lead):
    env = make(name)
    optimum = optimal_value(env.tables(), env.discount)  # a lower and an upper bound
    score = exact_value(Threshold(lead), env)
    assert score.stretched == 0.0
    assert score.value == pytest.approx(float(np.mean(optimum)), abs=1e-6)


class Imaginary(Threshold):
    """The same, its count kept in the imaginary part of a complex number."""

    def initial_state(self, batch_size: int) -> Count:
        state = super().initial_state(batch_size)
        return state._replace(count=jnp.zeros(batch_size, jnp.complex64))

    def act(self, state: Count, observation: jax.Array, reset: jax.Array) -> tuple[Count, jax.Array]:
        state = state._replace(count=jnp.round(state.count.imag).astype(jnp.int32))
        state, action = super().act(state, observation, reset)
        return state._replace(count=1j * state.count.astype(jnp.complex64)), action


def test_complex_memory_states_are_told_apart_by_both_parts():
    assert exact_value(Imaginary(2), make("tiger")) == exact_value(Threshold(2), make("tiger"))


def test_listening_for_ever_costs_one_a_step():
    assert exact_value(Threshold(10**6), make("tiger"), max_nodes=500).value == pytest.approx(-1 / (1 - 0.95), rel=1e-9)


def test_a_worse_threshold_is_worth_less():
    env = make("tiger")
    assert exact_value(Threshold(1), env).value < exact_value(Threshold(3), env).value < env.optimal_return


def history_value(policy: Policy, env: Any, depth: int) -> float:
    """The discounted return of the first `depth` steps: every history by itself, no merging, plain Python."""
    tables = env.tables()

    def value(state, joint, observation, first, left):
        state, action = policy.act(
            state, jnp.asarray(tables.observations[observation], jnp.float32)[None], jnp.array([first])
        )
        a = int(action[0])
        total = float(joint @ tables.reward[:, a])
        if left == 1:
            return total
        moved = np.where(tables.terminal[:, a], 0.0, joint) @ tables.transition[:, a]
        for o in range(tables.observation.shape[2]):
            after = moved * tables.observation[a, :, o]
            if after.sum() > 0:
                total += env.discount * value(state, after, o, False, left - 1)
        return total

    start = tables.initial[:, None] * tables.first_observation
    return sum(
        value(policy.initial_state(1), start[:, o], o, True, depth)
        for o in range(start.shape[1])
        if start[:, o].sum() > 0
    )


def test_a_gru_is_worth_what_all_its_histories_are():
    # The tail beyond depth 8 is bounded, so a policy that opens at once is used: its episode is over by then.
    env = make("tiger-ends-on-open")
    for seed in range(20):
        policy = Policy(env, NetworkConfig(hidden_size=4, encoder=(), previous_action=True), jax.random.key(seed))
        # Louder heads, so that random weights do different things after different histories.
        policy = jax.tree.map(lambda x: 3 * x if x.dtype == jnp.float32 else x, policy)
        score = exact_value(policy, env, tolerance=1e-5, max_nodes=2_000)
        brute = history_value(policy, env, 8)
        tail = 0.95**8 * 20  # forever listening: −1 a step
        if abs(score.value - brute) < 1e-6:
            return
        assert abs(score.value - brute) <= tail
    pytest.fail("no random policy finished its episodes within eight steps")


def test_environments_without_tables_are_refused():
    with pytest.raises(ConfigError, match="no tables"):
        exact_value(Threshold(2), make("t-maze"))


class Explorer:
    """Stays for one step to see the cue of tmaze2, walks right twice, and turns to where the cue said."""

    reads_previous_reward = False

    def initial_state(self, batch_size: int) -> Count:
        return Count(jnp.zeros(batch_size, jnp.int32), jnp.zeros(batch_size, jnp.int32))

    def act(self, state: Count, observation: jax.Array, reset: jax.Array) -> tuple[Count, jax.Array]:
        time = jnp.where(reset, 0, state.action)  # here `action` counts the steps, `count` holds the cue
        seen = jnp.argmax(observation, axis=1).astype(jnp.int32)  # 1 or 2: the cue
        cue = jnp.where((seen == 1) | (seen == 2), seen, state.count)
        action = jnp.where(time == 0, 0, jnp.where(seen == 4, cue - 1, 2))
        return Count(cue, time + 1), action


def test_memory_states_that_cannot_be_reached_take_no_place():
    # Five steps and two cues need no more than nine memory states; after every impossible observation there would be
    # dozens. The reward is 4 after a step to look, two to walk and one to turn: by hand.
    env = make(f"pomdp:{Path(__file__).parents[1] / 'data' / 'tmaze2.POMDP'}")
    score = exact_value(Explorer(), env, max_nodes=12)
    assert score.value == pytest.approx(4 * 0.9**4, rel=1e-9)
    assert score.stretched == 0.0
    assert score.nodes <= 12
