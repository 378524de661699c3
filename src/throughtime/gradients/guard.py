"""What becomes of a gradient that is not finite: the update is skipped and counted, and its source is kept.

One bad gradient in a long run is worth skipping; many in a row mean that the run is lost. A `Guard` is a part of the
training state, arrays only, so that a run that goes on from a checkpoint goes on counting:

    ok, guard = guard.check(grads, forward=[loss])
    params, optimiser = select_rows(ok, (new_params, new_optimiser), (params, optimiser))
    ...
    if guard.in_row >= limit: raise guard.error(parameter_names(params), ["loss"])
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from throughtime.core import NonFiniteError, named_arrays
from throughtime.gradients.clipping import global_norm


class Guard(NamedTuple):
    """Counts updates and skipped ones; of those skipped in a row it keeps where the first came from."""

    updates: Int[Array, ""]  # checked so far
    skipped: Int[Array, ""]  # of them, in all
    in_row: Int[Array, ""]  # of them, since the last good one
    # Of the first update of the row that is under way, or of the latest row:
    first: Int[Array, ""]  # its number, from 1; 0 where none was ever skipped
    first_iteration: Int[Array, ""]  # the iteration that it belongs to, as the caller counts
    gradients: Bool[Array, " P"]  # which parameters' gradients were not finite
    forward: Bool[Array, " F"]  # which quantities of the forward pass were not finite

    @classmethod
    def create(cls, params: PyTree, forward: int = 0) -> "Guard":
        """Nothing checked yet.

        Args:
            params: the tree whose gradients will be checked; its floating-point arrays count.
            forward: F, how many quantities of the forward pass will be given to `check`.
        """
        zero = jnp.zeros((), jnp.int32)
        return cls(zero, zero, zero, zero, zero, jnp.zeros(len(_leaves(params)), bool), jnp.zeros(forward, bool))

    def check(
        self, grads: PyTree, forward: Sequence[Array] = (), iteration: Int[Array, ""] | None = None
    ) -> tuple[Bool[Array, ""], "Guard"]:
        """Whether an update may be made with these gradients, and the guard after it.

        Args:
            grads: the gradients before clipping, a tree like the parameters.
            forward: what the forward pass computed (losses, log-probabilities), F arrays of any shape: if the first
                bad gradient comes from there, the error can say so.
            iteration: what the caller counts beside updates; default: the number of the update.

        Returns:
            Whether the global norm of the gradients is finite, `[]`, and the guard.
        """
        ok = jnp.isfinite(global_norm(grads))
        bad = [~jnp.all(jnp.isfinite(g)) for g in _leaves(grads)]
        bad_forward = [~jnp.all(jnp.isfinite(a)) for a in forward]
        number = self.updates + 1
        begins = ~ok & (self.in_row == 0)

        def first(new: Array, old: Array) -> Array:
            return jnp.where(begins, new, old)

        return ok, Guard(
            number,
            self.skipped + (~ok).astype(jnp.int32),
            jnp.where(ok, 0, self.in_row + 1),
            first(number, self.first),
            first(number if iteration is None else iteration.astype(jnp.int32), self.first_iteration),
            first(jnp.asarray(bad, bool), self.gradients),
            first(jnp.asarray(bad_forward, bool), self.forward),
        )

    def first_source(self, parameters: Sequence[str], forward: Sequence[str] = ()) -> str:
        """Where the first gradient of the row came from, in words.

        Args:
            parameters: the parameters' names, `parameter_names(params)`.
            forward: names of the F quantities of the forward pass.
        """
        bad = [name for name, flag in zip(parameters, self.gradients.tolist(), strict=True) if flag]
        ahead = [name for name, flag in zip(forward, self.forward.tolist(), strict=True) if flag]
        if not bad:
            where = "All elements were finite, but their squares overflowed."
        elif len(bad) == len(parameters):
            where = f"The gradients of all {len(bad)} parameters were not finite: {_listed(bad)}."
        else:
            where = f"Not finite were the gradients of {_listed(bad)} ({len(bad)} of {len(parameters)} parameters)."
        if ahead:
            where += f" The forward pass was not finite already: {_listed(ahead)}."
        elif forward:
            where += f" The forward pass was finite ({_listed(forward)}): it happened in backpropagation."
        return where

    def error(self, parameters: Sequence[str], forward: Sequence[str] = (), when: str = "") -> NonFiniteError:
        """What to raise once `in_row` has reached the limit.

        Args:
            parameters: as for `first_source`.
            forward: as for `first_source`.
            when: a further word on when the first one was, for example "iteration 3".
        """
        return NonFiniteError(
            f"{int(self.in_row)} updates in a row had a NaN or infinite gradient and were skipped; the first of them "
            f"was update {int(self.first)}{f' ({when})' if when else ''}.",
            self.first_source(parameters, forward),
            "Lower the learning rate, clip gradients, or bring losses and rewards to a smaller scale.",
        )


def parameter_names(params: PyTree) -> list[str]:
    """Dotted names of a tree's floating-point arrays, in the order in which a `Guard` keeps them."""
    return list(named_arrays(eqx.filter(params, eqx.is_inexact_array)))


def _leaves(tree: PyTree) -> list[Array]:
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
