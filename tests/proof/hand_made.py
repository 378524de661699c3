"""Policies whose memory is known by construction, and an environment of coins to try them on."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.agents import NetworkConfig, Policy, PolicyState
from throughtime.core import select_rows
from throughtime.envs import Box, Discrete, Environment, make
from throughtime.memory import TDNN, Memory


class CoinState(NamedTuple):
    coins: jax.Array  # [length], ±1
    time: jax.Array


@dataclass(frozen=True)
class Coins(Environment[CoinState, None]):
    """A fair coin is seen at each step; 1 is paid for naming the one of `lag` steps before."""

    stochastic_step: ClassVar[bool] = False

    lag: int = 3
    length: int = 12

    @property
    def name(self) -> str:
        return "coins"

    @property
    def default_params(self) -> None:
        return None

    @property
    def observation_space(self) -> Box:
        return Box(-1.0, 1.0, (1,))

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def max_episode_steps(self) -> int:
        return self.length

    @property
    def required_lag(self) -> int:
        return self.lag

    def reset_env(self, key, params):
        coins = 2.0 * jax.random.bernoulli(key, shape=(self.length + 1,)).astype(jnp.float32) - 1.0
        state = CoinState(coins, jnp.zeros((), jnp.int32))
        return coins[:1], state

    def step_env(self, key, state, action, params):
        told = state.coins[jnp.maximum(state.time - self.lag, 0)]
        right = ((action == 1) == (told > 0)) & (state.time >= self.lag)
        state = state._replace(time=state.time + 1)
        return state.coins[state.time][None], state, right.astype(jnp.float32), state.time >= self.length, {}

    def is_truncated(self, state, params):
        return jnp.zeros((), bool)

    def hidden_state(self, state):
        return (state.coins[jnp.maximum(state.time - self.lag, 0)] > 0).astype(jnp.int32)


class Latch(NamedTuple):
    cue: jax.Array  # [B, 1]


class CueReader(Memory):
    """Keeps the first cue of a T-maze; puts out [junction, cue kept]."""

    input_size: int = eqx.field(static=True, default=2)
    output_size: int = eqx.field(static=True, default=2)

    def initial_state(self, batch_size: int) -> Latch:
        return Latch(jnp.zeros((batch_size, 1)))

    def advance(self, state: Any, projected: Any) -> tuple[Any, Any]:
        at_junction, cue = projected[:, :1], projected[:, 1:]
        kept = jnp.where((state.cue == 0) & (at_junction == 0), cue, state.cue)
        return Latch(kept), jnp.concatenate([at_junction, kept], axis=1)


class Turn(NamedTuple):
    z: jax.Array  # [B, 1], complex


class Turning(Memory):
    """Its complex state turns by a quarter at each step: i, −1, −i, 1, …"""

    input_size: int = eqx.field(static=True, default=1)
    output_size: int = eqx.field(static=True, default=1)

    def initial_state(self, batch_size: int) -> Turn:
        return Turn(jnp.ones((batch_size, 1), jnp.complex64))

    def advance(self, state: Any, projected: Any) -> tuple[Any, Any]:
        return Turn(state.z * 1j), projected


def policy_of(env: Environment, memory: Memory, weights, bias, **network: Any) -> Policy:
    """Logits = memory's output · weights + bias; value 0."""
    policy = Policy(env, NetworkConfig(memory="none", encoder=(), hidden_size=2, **network), jax.random.key(0))
    weights, bias = jnp.asarray(weights, jnp.float32), jnp.asarray(bias, jnp.float32)
    return eqx.tree_at(
        lambda p: (
            p.network.actor.memory,
            p.network.policy_head.linear.weight_hy,
            p.network.policy_head.linear.bias_y,
            p.network.value_head.weight_hy,
        ),
        policy,
        (memory, weights, bias, jnp.zeros((len(weights), 1))),
    )


def lag_reader(env: Environment, k: int, strength: float = 3.0) -> Policy:
    """Its action is exactly the observation k steps back."""
    memory = TDNN(1, 1, taps=k + 1, f="identity", key=jax.random.key(0))
    memory = eqx.tree_at(lambda m: m.weight_xh, memory, jnp.zeros((k + 1, 1, 1)).at[k].set(1.0))
    return policy_of(env, memory, [[-strength, strength]], [0.0, 0.0])


def maze(length: int) -> Environment:
    return make("t-maze", length=length)


def maze_solver(length: int, use: float = 8.0) -> Policy:
    """Right in the corridor; at the junction up or down by the cue, as strongly as `use` (0: it ignores it)."""
    # Logits of right, up, left, down.
    weights = [[-40.0, 0.0, -40.0, 0.0], [0.0, use, 0.0, -use]]
    return policy_of(maze(length), CueReader(), weights, [20.0, 0.0, 0.0, 0.0])


class Forgetting(Policy):
    """A fault: the state is never carried."""

    def remember(self, network: Any, action: Any) -> PolicyState:
        return PolicyState(jax.tree.map(jnp.zeros_like, network), None)


class ResettingAlways(Policy):
    """A fault: the state is reset at every step."""

    def reset_where(self, reset: Any, state: Any) -> PolicyState:
        return select_rows(jnp.ones_like(reset), self.initial_state(reset.shape[0]), state)


class ResettingNever(Policy):
    """A fault: the reset flag is off; each episode begins with the last one's state."""

    def reset_where(self, reset: Any, state: Any) -> PolicyState:
        return state


def with_fault(policy: Policy, fault: type[Policy]) -> Policy:
    """The same policy, with a method that is wrong."""
    faulty = object.__new__(fault)
    for name, value in vars(policy).items():
        object.__setattr__(faulty, name, value)
    return faulty
