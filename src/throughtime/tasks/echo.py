"""Echo: say what was shown k steps ago, at every step. The plainest measure of how far a memory reaches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks.base import Task, TaskConfig


class Echoes(NamedTuple):
    """Symbols one-hot, and as numbers."""

    xs: Float[Array, "T B I"]
    symbols: Int[Array, "T B"]


@dataclass(frozen=True)
class Echo(Task):
    """Each step shows a random symbol; the symbol of `lag` steps ago is to be said. The first `lag` steps do not count.

    The memory has to hold `lag` symbols at once: lag · ln(alphabet) nats.
    """

    name: ClassVar[str] = "echo"
    architecture: ClassVar[Any] = "many-to-many"
    summary: ClassVar[str] = "say the symbol of k steps ago"
    score: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    lag: int = 5
    """k, steps from a symbol to its echo."""
    alphabet: int = 4
    """Different symbols."""
    steps: int = 32
    """Echoes in a sequence, which has lag + steps steps."""

    def __post_init__(self):
        if self.lag < 0 or self.alphabet < 2 or self.steps < 1:
            raise ConfigError(
                f"lag is {self.lag}, alphabet is {self.alphabet}, steps is {self.steps}",
                "There is nothing to be told apart, or nothing to be said.",
                "Set lag to 0 or more, alphabet to 2 or more and steps to 1 or more.",
            )

    @property
    def required_lag(self) -> int:
        """`lag`."""
        return self.lag

    @property
    def memoryless_score(self) -> float:
        """A guess, unless the echo is of the present symbol."""
        return 1.0 / self.alphabet if self.lag else 1.0

    def defaults(self, memory: str) -> TaskConfig:
        """64 units; a TDNN just sees far enough."""
        options = {"taps": self.lag + 1} if memory == "tdnn" else {}
        target = 0.01 * math.log(self.alphabet)
        return TaskConfig(memory=memory, memory_options=dict(options), updates=1500, learning_rate=5e-3, target=target)

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> ManyToMany:
        """A memory and a linear readout of its output."""
        del data
        key_memory, key_readout = jax.random.split(key)
        return ManyToMany(config.build_memory(self.alphabet, key_memory), self.alphabet, key=key_readout)

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Echoes:
        """Fresh sequences."""
        del data
        symbols = jax.random.randint(key, (self.lag + self.steps, size), 0, self.alphabet)
        return Echoes(jax.nn.one_hot(symbols, self.alphabet), symbols)

    def loss(
        self, model: ManyToMany, batch: Echoes, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy of the echoes, in nats."""
        del key, progress
        logits = model(batch.xs)[self.lag :]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch.symbols[: self.steps]))

    def evaluate(self, model: ManyToMany, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """Share of right echoes in 1,000 fresh sequences."""

        @eqx.filter_jit
        def accuracy(model: ManyToMany, batch: Echoes) -> Float[Array, ""]:
            said = jnp.argmax(model(batch.xs)[self.lag :], axis=-1)
            return jnp.mean((said == batch.symbols[: self.steps]).astype(jnp.float32))

        return {"accuracy": float(accuracy(model, self.batch(data, 1000, key)))}
