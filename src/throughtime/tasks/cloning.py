"""Behavioural cloning: the action of a scripted expert at every step, from observations alone. Many-to-many."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.envs import CartPole, TMaze, VectorEnvironment
from throughtime.envs.suite.cartpole import CartPoleState
from throughtime.envs.suite.t_maze import TMazeState
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks._classifier import accuracy, class_loss
from throughtime.tasks.base import Task, TaskConfig


class Demonstrations(NamedTuple):
    """Streams of episodes, one after the other, as the agent would see them, and what the expert does."""

    obs: Float[Array, "T B I"]
    resets: Bool[Array, "T B"]  # whether the observation is an episode's first
    actions: Int[Array, "T B"]


class Scale(NamedTuple):
    """What observations are normalised with."""

    mean: Float[Array, " I"]
    deviation: Float[Array, " I"]


def maze_expert(state: TMazeState, env: TMaze) -> Int[Array, " B"]:
    """Fetches the cue where it is not there already, walks straight on, and turns to the goal, whose side it knows."""
    turn = jnp.where(state.goal_y > 0, 1, 3)
    return jnp.where(state.oracle_visited, jnp.where(state.x == env.oracle_length + env.length, turn, 0), 2)


def cartpole_expert(state: CartPoleState, env: CartPole) -> Int[Array, " B"]:
    """A linear controller of positions and velocities, pushing as hard as it can to one side or the other."""
    del env
    return (0.4 * state.x + 0.8 * state.velocity + 9 * state.angle + 2 * state.angular_velocity > 0).astype(jnp.int32)


EXPERTS: Mapping[str, Callable[[Any, Any], Array]] = MappingProxyType(
    {"t-maze": maze_expert, "t-maze-active": maze_expert, "cartpole-positions": cartpole_expert}
)
"""What the expert does, by environment: its actions `[B]` in states with leaves `[B]`."""


@dataclass(frozen=True)
class Cloning(Task):
    """A policy with memory imitates an expert that sees the environment's whole state.

    The expert acts in a POMDP of the suite, episode after episode; the model sees what an agent would see, with the
    reset where an episode begins, and is to say what the expert does. It is then let loose: `return` is the mean of
    what it earns by itself, always choosing its most probable action. The environment tells the return of the best
    policy, and of the best one without memory.

    Reference: Pomerleau 1989, "ALVINN: An autonomous land vehicle in a neural network".
    """

    name: ClassVar[str] = "cloning"
    architecture: ClassVar[Any] = "many-to-many"
    summary: ClassVar[str] = "clone an expert that sees the whole state, from what an agent sees"
    score: ClassVar[str] = "return"
    higher_is_better: ClassVar[bool] = True

    env: str = "t-maze"
    """Where: t-maze, t-maze-active or cartpole-positions."""
    corridor: int = 20
    """Cells of the T-maze's corridor; the other environment has none."""
    steps: int = 64
    """T, steps of a stream; an episode that ends is followed by the next."""
    noise: float = 0.0
    """Share of the demonstration's steps in which a random action is taken instead of the expert's (which stays the one
    to be said), so that it is seen how mistakes are mended."""

    def __post_init__(self):
        if self.env not in EXPERTS:
            raise ConfigError(f"There is no expert for {self.env!r}.", "", did_you_mean(self.env, EXPERTS))
        for field in ("corridor", "steps"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", "", f"Set {field} to 1 or more.")
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"noise is {self.noise}", "It is a share of the steps.", "Set it in [0, 1].")

    @property
    def environment(self) -> TMaze | CartPole:
        """Where the expert acts."""
        return CartPole() if self.env == "cartpole-positions" else TMaze(self.corridor, self.env == "t-maze-active")

    @property
    def required_lag(self) -> int | None:
        """The environment's."""
        return self.environment.required_lag

    @property
    def memoryless_score(self) -> float | None:
        """The return of the environment's best policy without memory, where it is known."""
        return self.environment.memoryless_return

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 64 units; the loss in the T-maze goes down to 0."""
        return TaskConfig(memory=memory, hidden_size=64, updates=1000, learning_rate=3e-3, target=1e-3)

    def load(self) -> Scale:
        """Mean and standard deviation of what is observed in the expert's demonstrations."""
        obs = eqx.filter_jit(lambda key: self.demonstrate(64, key).obs)(jax.random.key(0))
        deviation = jnp.std(obs, axis=(0, 1))
        return Scale(jnp.mean(obs, axis=(0, 1)), jnp.where(deviation > 1e-6, deviation, 1.0))

    def model(self, data: Scale, config: TaskConfig, key: PRNGKeyArray) -> ManyToMany:
        """A memory and a linear readout of its output."""
        key_memory, key_readout = jax.random.split(key)
        memory = config.build_memory(data.mean.shape[0], key_memory)
        return ManyToMany(memory, self.environment.action_space.n, key=key_readout)

    def demonstrate(self, size: int, key: PRNGKeyArray) -> Demonstrations:
        """The expert's streams, observations as the environment gives them."""
        env, choices = VectorEnvironment(self.environment, size), self.environment.action_space.n
        key_reset, key_steps = jax.random.split(key)

        def step(carry, key):
            obs, state, reset = carry
            key_env, key_noise, key_action = jax.random.split(key, 3)
            wanted = EXPERTS[self.env](state, env.env)
            others = jax.random.randint(key_action, (size,), 0, choices)
            taken = jnp.where(jax.random.bernoulli(key_noise, self.noise, (size,)), others, wanted)
            after = env.step(key_env, state, taken)
            return (after.obs, after.state, after.terminated | after.truncated), Demonstrations(obs, reset, wanted)

        start = (*env.reset(key_reset), jnp.ones(size, bool))
        return jax.lax.scan(step, start, jax.random.split(key_steps, self.steps))[1]

    def batch(self, data: Scale, size: int, key: PRNGKeyArray) -> Demonstrations:
        """Fresh demonstrations, observations normalised."""
        shown = self.demonstrate(size, key)
        return shown._replace(obs=_normalise(shown.obs, data))

    def loss(
        self, model: ManyToMany, batch: Demonstrations, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy of the expert's action, mean over all steps."""
        del key, progress
        return class_loss(model(batch.obs, None, batch.resets), batch.actions)

    def evaluate(self, model: ManyToMany, data: Scale, key: PRNGKeyArray) -> Mapping[str, float]:
        """The mean return of 500 episodes of its own, and its accuracy on 500 fresh demonstrations."""
        key_shown, key_act = jax.random.split(key)

        @eqx.filter_jit
        def answer(model, key):
            shown = self.batch(data, 500, key)
            return model(shown.obs, None, shown.resets), shown.actions

        scores = {"return": float(jnp.mean(self.act(model, data, 500, key_act)))}
        scores["accuracy"] = accuracy(*answer(model, key_shown))
        return scores | {"optimal_return": self.environment.optimal_return}

    def act(self, model: ManyToMany, data: Scale, episodes: int, key: PRNGKeyArray) -> Float[Array, " B"]:
        """The returns of whole episodes in which the model acts by itself, each from a fresh memory."""
        env, steps = VectorEnvironment(self.environment, episodes), self.environment.max_episode_steps

        @eqx.filter_jit
        def run(model, data, key):
            key_reset, key_steps = jax.random.split(key)

            def step(carry, key):
                obs, state, memory_state, total, going = carry
                memory_state, hidden = model.memory.step(memory_state, _normalise(obs, data))
                after = env.step(key, state, jnp.argmax(model.readout(hidden), axis=-1))
                total = total + jnp.where(going, after.reward, 0.0)
                going = going & ~(after.terminated | after.truncated)
                return (after.obs, after.state, memory_state, total, going), None

            start = (*env.reset(key_reset), model.memory.initial_state(episodes))
            start = (*start, jnp.zeros(episodes), jnp.ones(episodes, bool))
            return jax.lax.scan(step, start, jax.random.split(key_steps, steps))[0][3]

        return run(model, data, key)


def _normalise(obs: Float[Array, "*batch I"], data: Scale) -> Float[Array, "*batch I"]:
    rows = (1,) * (obs.ndim - 1)
    return (obs - data.mean.reshape(*rows, -1)) / data.deviation.reshape(*rows, -1)
