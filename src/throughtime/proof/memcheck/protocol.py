"""What memcheck asks of a policy: three functions on arrays, in any framework.

A policy under test is any object with `initial_state` and at least one of `step` and `sequence`. Axes: T time, B rows
(episodes running side by side). Observations and resets come as NumPy arrays, time before batch.

    state       = initial_state(B)                  # the state before an episode's first observation, B rows
    state, out  = step(state, obs, reset)           # obs [B, ...], reset [B] bool -> out [B, ...]
    state, outs = sequence(state, obs, resets)      # obs [T, B, ...], resets [T, B] bool -> outs [T, B, ...]

`reset[b]` is true where `obs[b]` is the first observation of a new episode: row b then starts afresh *before* it
reads the observation, whatever its state was. `step` is what acting runs, `sequence` what training runs; where one is
missing the laws that need it are "not checked", and say so.

**state** is any nesting of dicts, lists, tuples, NamedTuples and dataclasses of arrays, each with the batch as its
first axis (an LSTM of PyTorch keeps it second: set `batch_axis = 1`). All memory has to be in it. No state at all is
`()`.

**out** is any nesting of arrays that depends on the memory: logits, means, values. Give these and not sampled actions,
for the same call must give the same result twice.

Arrays may be NumPy's, PyTorch's or JAX's; a state is handed back as the kind of array that it came as.

Optional attributes:

- `observation_shape`: of one observation, such as `(4,)` for float32 vectors; or `observation_space`: a Gymnasium,
  gymnax or throughtime space; or a function `observations(rng, T, B)` that draws `[T, B, ...]` (an array, or a nesting
  of arrays) with a `numpy.random.Generator`. One of the three has to be there, unless `memcheck` is told.
- `gradient(state, obs, resets, weights)`: d(sum of weights · outs)/d(obs), `[T, B, ...]`, where `weights` is built like
  `outs`. With it the laws on gradients are checked.
- `batch_axis`: the axis of the rows in the state's arrays; 0 unless said otherwise.

In PyTorch that is, for a module with an LSTM inside:

    class Checked:
        observation_shape, batch_axis = (4,), 1            # nn.LSTM keeps its states as [layers, B, H]

        def initial_state(self, batch):
            return torch.zeros(1, batch, 64), torch.zeros(1, batch, 64)

        def step(self, state, obs, reset):
            keep = torch.as_tensor(~reset).view(1, -1, 1)
            state = tuple(torch.where(keep, s, torch.zeros_like(s)) for s in state)
            out, state = net.lstm(torch.as_tensor(obs)[None], state)
            return state, net.head(out[0])

        def sequence(self, state, obs, resets):
            return net.evaluate_sequence(state, obs, resets)   # whatever your training calls

`memcheck` takes the objects of some libraries as they are, and wraps them so by itself (`proof/memcheck/adapters`).
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class StatefulPolicy(Protocol):
    """The least that memcheck can work with; see the module for `step`, `sequence` and the optional parts."""

    def initial_state(self, batch: int, /) -> Any:
        """The state of `batch` rows before their first observation."""
        ...


def example(shape: tuple[int, ...], rng: np.random.Generator, T: int, B: int) -> np.ndarray:
    """Ordinary observations of a shape: standard normal, float32, `[T, B, ...]`."""
    return rng.normal(size=(T, B, *shape)).astype(np.float32)
