"""A classifier of whole inputs or sequences, with dropout between its memory and its readout."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.memory import Memory
from throughtime.memory.architectures import ManyToOne, OneToOne


class Classifier(eqx.Module):
    """An architecture of which training leaves out a share of the features."""

    architecture: OneToOne | ManyToOne
    dropout: float = eqx.field(static=True)

    @property
    def memory(self) -> Memory:
        """The architecture's."""
        return self.architecture.memory

    def __call__(
        self, x: Array, lengths: Int[Array, " B"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "B C"]:
        """Logits.

        Args:
            x: what the architecture reads, `[B, I]` or `[T, B, I]`.
            lengths: of ragged sequences.
            key: for dropout; None for none.
        """
        architecture = self.architecture
        if key is not None and self.dropout > 0:
            drop = eqx.nn.Dropout(self.dropout)
            readout = architecture.readout
            architecture = eqx.tree_at(lambda a: a.readout, architecture, lambda h: readout(drop(h, key=key)))
        return architecture(x) if isinstance(architecture, OneToOne) else architecture(x, lengths)


def class_loss(logits: Float[Array, "*batch C"], labels: Int[Array, "*batch"]) -> Float[Array, ""]:
    """Mean cross-entropy over all leading axes, in nats."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def accuracy(logits: Float[Array, "*batch C"], labels: Int[Array, "*batch"]) -> float:
    """Share of the rows whose largest logit is the label's."""
    return float(jnp.mean((jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)))


def accuracy_of(
    model: Callable[..., Array], x: Array, labels: Int[Array, " B"], lengths: Int[Array, " B"] | None = None
) -> float:
    """The accuracy of a classifier, compiled."""
    return accuracy(eqx.filter_jit(lambda model, x, lengths: model(x, lengths))(model, x, lengths), labels)
