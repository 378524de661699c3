"""The language aⁿbⁿcⁿ (Gers & Schmidhuber 2001): two counters, learned from short strings and tried on long ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory import LSTM
from throughtime.memory.architectures import ManyToMany
from throughtime.tasks.base import Task, TaskConfig

BLOCK, FARTHEST = 50, 1000


class Strings(NamedTuple):
    """Strings, and which symbols may come next."""

    xs: Float[Array, "T B 4"]  # one-hot: a, b, c, start
    targets: Float[Array, "T B 4"]  # 1 for each symbol that may follow: a, b, c, end
    mask: Bool[Array, "T B"]


@dataclass(frozen=True)
class Counting(Task):
    """After each symbol of aⁿbⁿcⁿ the model says which symbols may follow; a string counts if every step is right.

    After the start an a; after an a another one or a b; after a b another one until there are n, then a c; after the
    last c the end. Right means: above ½ exactly where the target is 1.

    Training: the strings with n = 1 … `longest`, all of them in every gradient step (a `batch_size` other than
    `longest` draws so many), squared error (which asks for equal outputs at equal counts, as cross-entropy does not).
    With an LSTM, W_hh is fixed at zero and the forget bias is 20, so that a cell adds up what its gates let in, symbol
    by symbol; what it counts, and how it is read, is learned. A count that goes up and down again must end where it
    began: steps that miss the balance by 1 % cost little on the training strings, and go wrong near n = 100. Each
    gradient step therefore adds fresh Gaussian noise of deviation `weight_noise` to W_xh (to all its entries, the same
    in all strings). A balance that needs exact weights (a step for a and one for b against a larger one for c) then
    costs much; one of saturated steps, i = 1 and n = ±1, which hardly depend on the weights, costs little. Without a
    key (validation) and in `evaluate` there is no noise.

    References: Gers & Schmidhuber 2001, "LSTM recurrent networks learn simple context-free and context-sensitive
    languages", IEEE Trans. Neural Networks 12(6); Jim, Giles & Horne 1996, "An analysis of noise in recurrent neural
    networks: convergence and generalization", IEEE Trans. Neural Networks 7(6) (noise on the weights).
    """

    name: ClassVar[str] = "counting"
    architecture: ClassVar[Any] = "many-to-many"
    summary: ClassVar[str] = "aⁿbⁿcⁿ: learn to count from n ≤ 10, and go on"
    score: ClassVar[str] = "exact_up_to"
    higher_is_better: ClassVar[bool] = True

    longest: int = 10
    """The largest n of the training strings."""
    weight_noise: float = 0.3
    """Deviation of the noise that a gradient step adds to W_xh of an LSTM of one layer; 0 for none."""

    def __post_init__(self):
        if self.longest < 1:
            raise ConfigError(f"longest is {self.longest}", "Training needs a string.", "Set it to 10.")
        if not 0 <= self.weight_noise < math.inf:
            raise ConfigError(
                f"weight_noise is {self.weight_noise}", "It is a standard deviation, 0 or more.", "Try 0.3."
            )

    @property
    def required_lag(self) -> int:
        """From the first a of the longest training string to its last b, or from the first b to its last c."""
        return 2 * self.longest - 1

    @property
    def memoryless_score(self) -> float:
        """Of the shortest string, abc, the last symbol tells everything; of any other it does not."""
        return 1.0

    def defaults(self, memory: str) -> TaskConfig:
        """Full-batch training; see the class for the LSTM's settings."""
        lstm = memory == "lstm"
        return TaskConfig(
            memory=memory,
            hidden_size=16 if lstm else 32,
            memory_options={"forget_bias": 20.0} if lstm else {},
            recurrent_rate=0.0 if lstm else 1.0,
            updates=20_000,
            batch_size=self.longest,
            learning_rate=3e-2 if lstm else 3e-3,
            validate_every=1000,
        )

    def model(self, data: Any, config: TaskConfig, key: PRNGKeyArray) -> ManyToMany:
        """A memory and a linear readout; W_hh is zero where it is not trained (`recurrent_rate` 0)."""
        del data
        key_memory, key_readout = jax.random.split(key)
        model = ManyToMany(config.build_memory(4, key_memory), 4, key=key_readout)
        if config.recurrent_rate == 0 and hasattr(model.memory, "weight_hh"):
            model = eqx.tree_at(lambda m: m.memory.weight_hh, model, replace_fn=jnp.zeros_like)
        return model

    def batch(self, data: Any, size: int, key: PRNGKeyArray) -> Strings:
        """Each string up to the longest once, where that makes `size`; otherwise as many as that, drawn at random."""
        del data
        each = jnp.arange(1, self.longest + 1)
        return strings(each if size == self.longest else jax.random.choice(key, each, (size,)), self.longest)

    def validation_batch(self, data: Any, key: PRNGKeyArray) -> Strings:
        """The next ten strings, longer than any of the training."""
        del data, key
        return strings(jnp.arange(self.longest + 1, self.longest + 11), self.longest + 10)

    def loss(
        self, model: ManyToMany, batch: Strings, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Squared error, summed over the four outputs, mean over the strings' steps; an LSTM's W_xh with noise."""
        del progress
        if key is not None and self.weight_noise and isinstance(model.memory, LSTM):
            weight = model.memory.weight_xh
            noise = self.weight_noise * jax.random.normal(key, weight.shape, weight.dtype)
            model = eqx.tree_at(lambda m: m.memory.weight_xh, model, weight + noise)
        errors = jnp.sum(jnp.square(model(batch.xs) - batch.targets), axis=-1)
        return jnp.sum(jnp.where(batch.mask, errors, 0.0)) / jnp.sum(batch.mask, dtype=errors.dtype)

    def evaluate(self, model: ManyToMany, data: Any, key: PRNGKeyArray) -> Mapping[str, float]:
        """The largest N ≤ 1000 such that every string with n = 1 … N is right, and the share of those up to 100.

        The strings of the training are among them.
        """
        del data, key

        @eqx.filter_jit
        def right(model: ManyToMany, batch: Strings) -> Bool[Array, " B"]:
            same = jnp.all((model(batch.xs) > 0.5) == (batch.targets > 0.5), axis=-1)
            return jnp.all(same | ~batch.mask, axis=0)

        results: list[bool] = []
        while len(results) < FARTHEST and (all(results) or len(results) < 100):
            first = len(results) + 1
            results += right(model, strings(jnp.arange(first, first + BLOCK), first + BLOCK - 1)).tolist()
        reached = results.index(False) if False in results else len(results)
        return {"exact_up_to": float(reached), "exact_share_up_to_100": sum(results[:100]) / 100}


def strings(counts: Int[Array, " B"], longest: int) -> Strings:
    """The strings with these n, padded to the length of the longest.

    Args:
        counts: n of each string, at least 1.
        longest: the largest n, which sets T = 3·longest + 1.
    """
    t, n = jnp.arange(3 * longest + 1)[:, None], counts[None]
    symbol = jnp.where(t == 0, 3, jnp.clip((t - 1) // n, 0, 2))
    a, b, c = symbol == 0, symbol == 1, symbol == 2
    may_follow = [(t == 0) | a, a | (b & (t < 2 * n)), (b & (t == 2 * n)) | (c & (t < 3 * n)), t == 3 * n]
    return Strings(jax.nn.one_hot(symbol, 4), jnp.stack(may_follow, -1).astype(jnp.float32), t <= 3 * n)
