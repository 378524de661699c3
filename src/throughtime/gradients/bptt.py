"""Truncated backpropagation through time, BPTT(k1, k2).

After every k1 steps, and after the last one, the loss of the steps since is backpropagated through the last k2 ≥ k1
steps (Williams & Peng 1990: BPTT(h; h') with h = k2, h' = k1); the state itself is carried on. It is biased: nothing
that lies k2 steps before the end of its piece is learned from it. With k2 ≥ T it is full BPTT, whatever k1.

References: Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network
trajectories", Neural Computation 2(4); Williams & Zipser 1995, "Gradient-based learning algorithms for recurrent
networks and their computational complexity".
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from throughtime.core import ConfigError
from throughtime.memory import Memory, check_sequence


def unroll_truncated(
    memory: Memory,
    state: Any,
    xs: Float[Array, "T B I"],
    resets: Bool[Array, "T B"],
    k1: int,
    k2: int | None = None,
) -> tuple[Any, Float[Array, "T B O"]]:
    """`memory.unroll` with the gradient of BPTT(k1, k2).

    Window after window, each computed again for its backward pass: beside the outputs it needs the memory of one
    window of k2 steps, T/k1 states, and k2/k1 copies of `xs`. The backward pass has T·k2/k1 steps: k1 = 1 is k2 times
    as slow as k1 = k2.

    Args:
        memory: any memory.
        state: the state before `xs[0]`; the gradient of the first k2 steps' losses reaches it.
        xs: inputs, `[T, B, I]`.
        resets: `[T, B]`.
        k1: steps between two backward passes, at least 1; T need not be divisible by it.
        k2: steps that each of them goes back, at least k1; default k1.

    Returns:
        The state after `xs[T-1]`, whose gradient goes back k2 steps too, and all outputs `[T, B, O]`.

    Raises:
        ConfigError: k1 is below 1, or above k2, or arrays that do not fit each other.
    """
    check_sequence(memory, state, xs, resets)
    k2 = k1 if k2 is None else k2
    if k1 < 1:
        raise ConfigError(f"k1 is {k1}", "A piece of a sequence has at least one step.", "Set k1 to 1 or more.")
    if k1 > k2:
        raise ConfigError(
            f"k1 is {k1}, and k2 is {k2}",
            "The loss of k1 steps is backpropagated through k2: steps that it comes from would not be among them.",
            f"Set k2 to {k1} or more, or k1 to {k2} or less." if k2 > 0 else f"Set k2 to {k1} or more.",
        )
    T = resets.shape[0]
    if k2 >= T:
        return memory.unroll(state, xs, resets)
    head = k2 // k1 * k1  # the pieces that see their whole past: one window for all of them
    whole, rest = divmod(T - head, k1)  # pieces after it, and the steps of the last, shorter one
    first = head + k1 - k2 if whole else T - k2  # where the next window begins
    constant, inputs = _constant(memory), (xs, resets)

    def part(begin: int, end: int) -> list[Array]:
        return [a[begin:end] for a in inputs]

    def advance(state: Any, xs: Array, resets: Array) -> Any:
        return constant.unroll(_constant(state), _constant(xs), resets)[0]

    @partial(jax.checkpoint, prevent_cse=False)
    def window(state, inputs):
        xs, resets = inputs
        final, ys = memory.unroll(state, xs, resets)
        after = _constant(final) if k1 == k2 else advance(state, xs[:k1], resets[:k1])
        return after, (state, final, ys[k2 - k1 :])

    final, ys_head = memory.unroll(state, *part(0, head))
    ys = [ys_head]
    state = advance(state, *part(0, first))
    if whole:
        rows = first + k1 * np.arange(whole)[:, None] + np.arange(k2)  # [whole, k2]
        _, (befores, finals, pieces) = jax.lax.scan(window, state, [a[rows] for a in inputs])
        state, final = (jax.tree.map(lambda a: a[-1], tree) for tree in (befores, finals))
        ys.append(pieces.reshape(whole * k1, *ys_head.shape[1:]))
    if rest:
        state = advance(state, *part(T - rest - k2, T - k2)) if whole else state
        final, last = memory.unroll(state, *part(T - k2, T))
        ys.append(last[k2 - rest :])
    return final, jnp.concatenate(ys)


def _constant(tree: Any) -> Any:
    return jax.tree.map(lambda a: jax.lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, tree)
