"""Behaviour recognition: which policy produced this observation sequence? Many-to-one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, select_rows
from throughtime.envs import Tiger, VectorEnvironment
from throughtime.memory.architectures import ManyToOne, valid_steps
from throughtime.tasks._classifier import Classifier, accuracy, accuracy_of, class_loss
from throughtime.tasks.base import Task, TaskConfig

NEVER = 1_000_000
THRESHOLDS = (1, 2, 4, NEVER)
"""The policies, by how much the evidence for one door has to exceed that for the other before one is opened."""


class Watched(NamedTuple):
    """What an agent observed, and which policy it followed."""

    xs: Float[Array, "T B 3"]  # nothing yet, heard left, heard right
    lengths: Int[Array, " B"]
    policies: Int[Array, " B"]  # into THRESHOLDS


@dataclass(frozen=True)
class Behaviour(Task):
    """An agent in the Tiger problem is watched: what it hears is shown, what it does is not.

    All four policies listen, and open a door as soon as they have heard the tiger on the other side k times more often
    than on this one: k = 1, 2, 4 or never. Then the tiger hides anew, and they begin at zero. By symmetry each single
    observation is left or right with probability ½, whatever the policy: only how observations hang together tells the
    policies apart. `bayes_accuracy`, the score of the exact posterior on the same sequences, is the most that any
    memory can reach.

    Reference: Kaelbling, Littman & Cassandra 1998, "Planning and acting in partially observable stochastic domains".
    """

    name: ClassVar[str] = "behaviour"
    architecture: ClassVar[Any] = "many-to-one"
    summary: ClassVar[str] = "tell which of four policies produced a sequence of observations"
    score: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    length: int = 80
    """Observations of the longest sequence; each has from half as many to all, drawn apart from the policy."""

    def __post_init__(self):
        if self.length < 4:
            raise ConfigError(f"length is {self.length}", "So few observations tell nothing.", "Set it to 4 or more.")

    @property
    def required_lag(self) -> int:
        """Every observation counts: from the first to the last of the longest sequence."""
        return self.length - 1

    @property
    def memoryless_score(self) -> float:
        """Chance: by symmetry the last observation has the same distribution under each policy."""
        return 1 / len(THRESHOLDS)

    def defaults(self, memory: str) -> TaskConfig:
        """A GRU of 64 units."""
        return TaskConfig(memory=memory, hidden_size=64, updates=1200, batch_size=64, learning_rate=5e-3)

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> Classifier:
        """A memory and a linear readout of its last output."""
        del data
        key_memory, key_readout = jax.random.split(key)
        return Classifier(
            ManyToOne(config.build_memory(3, key_memory), len(THRESHOLDS), key=key_readout), config.dropout
        )

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Watched:
        """Fresh sequences; each policy is equally probable."""
        del data
        key_policies, key_lengths, key_watch = jax.random.split(key, 3)
        policies = jax.random.randint(key_policies, (size,), 0, len(THRESHOLDS))
        lengths = jax.random.randint(key_lengths, (size,), self.length // 2, self.length + 1)
        return Watched(watch(policies, self.length, key_watch), lengths, policies)

    def loss(
        self, model: Classifier, batch: Watched, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy."""
        del progress
        return class_loss(model(batch.xs, batch.lengths, key=key), batch.policies)

    def evaluate(self, model: Classifier, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """Accuracy on 2,000 fresh sequences, and that of the exact posterior on the same."""
        test = jax.jit(self.batch, static_argnums=1)(data, 2000, key)
        return {
            "accuracy": accuracy_of(model, test.xs, test.policies, test.lengths),
            "bayes_accuracy": accuracy(log_likelihoods(test.xs, test.lengths), test.policies),
        }


def watch(policies: Int[Array, " B"], steps: int, key: PRNGKeyArray) -> Float[Array, "T B 3"]:
    """What agents that follow `policies` observe in the first `steps` steps of an episode.

    Args:
        policies: indices into `THRESHOLDS`.
        steps: T, the first observation (nothing yet) included.
        key: for the tiger and what is heard of it.
    """
    env = VectorEnvironment(Tiger(time_limit=steps), policies.shape[0])
    thresholds = jnp.asarray(THRESHOLDS)[policies]
    key_reset, key_steps = jax.random.split(key)

    def step(carry, key):
        state, evidence = carry  # how much more often it was heard on the right
        opens = jnp.abs(evidence) >= thresholds
        actions = jnp.where(opens, jnp.where(evidence > 0, 1, 2), 0)
        after = env.step(key, state, actions)
        return (after.state, _evidence(evidence, opens, after.obs)), after.obs

    first, state = env.reset(key_reset)
    start = (state, jnp.zeros_like(thresholds))
    _, rest = jax.lax.scan(step, start, jax.random.split(key_steps, steps - 1))
    return jnp.concatenate([first[None], rest])


@jax.jit
def log_likelihoods(xs: Float[Array, "T B 3"], lengths: Int[Array, " B"]) -> Float[Array, "B K"]:
    """Log p(observations | policy) of each policy: the policies are equally probable, so this is the posterior too.

    Given the observations, a policy's actions are known; the filter carries the belief about the tiger's door.

    Args:
        xs: as `watch` gives them.
        lengths: how many observations of each sequence count.

    Returns:
        `[B, K]`, in nats.
    """
    B, K = xs.shape[1], len(THRESHOLDS)
    heard_well = Tiger().default_params.accuracy
    thresholds = jnp.asarray(THRESHOLDS)[None]

    def step(carry, now):
        total, belief, evidence = carry  # [B, K]; belief: that the tiger is on the right
        x, counts = now
        opens = jnp.abs(evidence) >= thresholds
        right = jnp.broadcast_to(x[:, 2:], (B, K))
        if_right = jnp.where(right > 0, heard_well, 1 - heard_well)
        p = belief * if_right + (1 - belief) * (1 - if_right)
        belief = jnp.where(opens, 0.5, belief * if_right / p)
        total = total + jnp.where(counts[:, None], jnp.log(jnp.where(opens, 0.5, p)), 0.0)
        return (total, belief, _evidence(evidence, opens, x[:, None])), None

    start = (jnp.zeros((B, K)), jnp.full((B, K), 0.5), jnp.zeros((B, K), jnp.int32))
    counts = valid_steps(lengths, xs.shape[0])
    return jax.lax.scan(step, start, (xs[1:], counts[1:]))[0][0]


def _evidence(before: Array, opened: Array, obs: Array) -> Array:
    """How much more often the tiger was heard on the right than on the left since a door was last opened."""
    after = before + (obs[..., 2] - obs[..., 1]).astype(before.dtype)
    return select_rows(opened, jnp.zeros_like(before), after)
