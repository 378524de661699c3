"""The copy problem (Arjovsky et al. 2016): symbols are to be repeated after a long gap."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks.base import Task, TaskConfig, mean_over_batches


class Copies(NamedTuple):
    """What is shown and what is to be said, one-hot and as numbers."""

    xs: Float[Array, "T B I"]
    targets: Int[Array, "T B"]


@dataclass(frozen=True)
class CopyMemory(Task):
    """Ten symbols out of eight, `gap` − 1 blanks, a go signal; then the ten symbols are to be said in their order.

    At all steps before, the blank is to be said. The loss is the mean cross-entropy over all T = gap + 2·symbols
    steps, in nats. Without memory the best is blanks and then a guess: symbols · ln(alphabet) / T, which is 0.0204 at
    gap 1000, and is what the recurrent networks of Bai, Kolter & Koltun 2018 (arXiv 1803.01271) reached.

    Reference: Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks", arXiv 1511.06464.
    """

    name: ClassVar[str] = "copy-memory"
    architecture: ClassVar[Any] = "many-to-many"
    summary: ClassVar[str] = "repeat ten symbols after a long gap"
    score: ClassVar[str] = "loss"

    gap: int = 1000
    """Steps from a symbol to its repetition, less the number of symbols."""
    symbols: int = 10
    """How many are to be remembered."""
    alphabet: int = 8
    """How many different ones there are."""

    def __post_init__(self):
        for field in ("gap", "symbols", "alphabet"):
            if getattr(self, field) < 1:
                raise ConfigError(
                    f"{field} is {getattr(self, field)}", "There is at least one.", "Set it to 1 or more."
                )

    @property
    def length(self) -> int:
        """T, steps of a sequence."""
        return self.gap + 2 * self.symbols

    @property
    def required_lag(self) -> int:
        """From a symbol to its repetition."""
        return self.gap + self.symbols

    @property
    def memoryless_score(self) -> float:
        """A guess at each of the symbols, known to be due: nothing tells a memoryless model when, so it is a bound."""
        return self.symbols * math.log(self.alphabet) / self.length

    def defaults(self, memory: str) -> TaskConfig:
        """An Elman network is linear here: an orthogonal W_hh then keeps everything, and is hardly to be moved."""
        linear = memory == "elman"
        return TaskConfig(
            memory=memory,
            hidden_size=128,
            memory_options={"f": "identity"} if linear else {},
            updates=2000,
            batch_size=16,
            learning_rate=1e-2 if linear else 3e-3,
            recurrent_rate=1e-3 if linear else 1.0,
            validate_every=25,
            target=5e-4,
        )

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> ManyToMany:
        """A memory and a linear readout of its output."""
        del data
        key_memory, key_readout = jax.random.split(key)
        return ManyToMany(config.build_memory(self.alphabet + 2, key_memory), self.alphabet + 1, key=key_readout)

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Copies:
        """Fresh sequences."""
        del data
        blank, go = self.alphabet, self.alphabet + 1
        said = jax.random.randint(key, (self.symbols, size), 0, self.alphabet)

        def run(symbol: int, steps: int) -> Int[Array, "steps B"]:
            return jnp.full((steps, size), symbol, said.dtype)

        xs = jnp.concatenate([said, run(blank, self.gap - 1), run(go, 1), run(blank, self.symbols)])
        targets = jnp.concatenate([run(blank, self.gap + self.symbols), said])
        return Copies(jax.nn.one_hot(xs, self.alphabet + 2), targets)

    def validation_batch(self, data: Any, key: PRNGKeyArray) -> Copies:
        """64 sequences."""
        return self.batch(data, 64, key)

    def loss(
        self, model: ManyToMany, batch: Copies, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy, mean over all steps, in nats."""
        del key, progress
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(model(batch.xs), batch.targets))

    def evaluate(self, model: ManyToMany, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """The loss on 1,000 fresh sequences."""
        return {"loss": mean_over_batches(self, model, data, key, batches=10, size=100)}
