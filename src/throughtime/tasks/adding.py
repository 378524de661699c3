"""The adding problem (Hochreiter & Schmidhuber 1997): two marked numbers, far apart, are to be added."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import ManyToOne
from throughtime.tasks.base import Task, TaskConfig, mean_over_batches


class Sums(NamedTuple):
    """Sequences of numbers with two marks, and the sums of the marked ones."""

    xs: Float[Array, "T B 2"]
    targets: Float[Array, " B"]


@dataclass(frozen=True)
class Adding(Task):
    """Each step shows a number drawn from [0, 1) and a mark; one mark lies in each half; the sum is asked at the end.

    Whoever always says 1, the mean, has a squared error of 1/6 = 0.1667; seeing the last step alone helps little.

    References: Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 4; in this form Le, Jaitly & Hinton
    2015, arXiv 1504.00941. Bai, Kolter & Koltun 2018 (arXiv 1803.01271) report at T = 600 an MSE of 0.164 with an LSTM,
    5.3e-5 with a GRU and 0.177 with an Elman network.
    """

    name: ClassVar[str] = "adding"
    architecture: ClassVar[Any] = "many-to-one"
    summary: ClassVar[str] = "add two marked numbers of a long sequence"
    score: ClassVar[str] = "mse"

    length: int = 100
    """T, steps of a sequence."""

    def __post_init__(self):
        if self.length < 2:
            raise ConfigError(f"length is {self.length}", "Each half has a mark.", "Set it to 2 or more.")

    @property
    def required_lag(self) -> int:
        """From the first step, which may hold the first mark, to the last."""
        return self.length - 1

    @property
    def memoryless_score(self) -> float:
        """The variance of the sum; less what the last step tells where it is marked, a share of 2/T of the sequences.

        The last step carries the second mark with probability 2/T (of T/2 places), and then its number is known.
        """
        shown = 1 / (self.length - self.length // 2)
        # Known second number: what remains is the variance 1/12 of the first. Else: both, 1/6.
        return shown / 12 + (1 - shown) / 6

    def defaults(self, memory: str) -> TaskConfig:
        """Gated memories get chrono initialisation for the task's length."""
        options = {"chrono": float(max(self.length, 2))} if memory in ("gru", "lstm") else {}
        return TaskConfig(
            memory=memory,
            hidden_size=32,
            memory_options=dict(options),
            updates=3000,
            batch_size=16 if self.length > 200 else 32,
            learning_rate=1e-2 if memory in ("gru", "lstm") else 1e-3,
            target=4e-4,
        )

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> ManyToOne:
        """A memory and a linear readout of its last output."""
        del data
        key_memory, key_readout = jax.random.split(key)
        return ManyToOne(config.build_memory(2, key_memory), 1, key=key_readout)

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Sums:
        """Fresh sequences."""
        del data
        T = self.length
        key_numbers, key_first, key_second = jax.random.split(key, 3)
        numbers = jax.random.uniform(key_numbers, (T, size))
        first = jax.random.randint(key_first, (size,), 0, T // 2)
        second = jax.random.randint(key_second, (size,), T // 2, T)
        marks = jax.nn.one_hot(first, T, axis=0) + jax.nn.one_hot(second, T, axis=0)
        return Sums(jnp.stack([numbers, marks], axis=-1), jnp.sum(numbers * marks, axis=0))

    def loss(
        self, model: ManyToOne, batch: Sums, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Mean squared error."""
        del key, progress
        return jnp.mean(jnp.square(model(batch.xs)[:, 0] - batch.targets))

    def evaluate(self, model: ManyToOne, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """Mean squared error on 10,000 fresh sequences."""
        return {"mse": mean_over_batches(self, model, data, key, batches=10, size=1000)}
