"""Random right policies of all kinds, for counting false alarms: NumPy, the registry's memories, PyTorch."""

from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from memcheck_policies import right_policy

from throughtime.memory import MEMORIES, make_memory
from throughtime.proof.memcheck import adapt

DTYPES = (jnp.float32, jnp.float32, jnp.float64, jnp.bfloat16)
SCALES = (0.3, 1.0, 1.0, 3.0, 10.0)


def random_policy(seed: int) -> tuple[str, Any]:
    """A kind and a policy. Of ten, six are NumPy's, three the registry's, one PyTorch's (where it is installed)."""
    place = seed % 10
    if place < 6:
        policy = right_policy(seed)
        return f"NumPy {type(policy).__name__}", policy
    if place == 9 and find_spec("torch") is not None:
        return torch_policy(seed)
    return registry_policy(seed)


def registry_policy(seed: int) -> tuple[str, Any]:
    """A memory of the registry: kind, options, sizes, layers, dtype and size of the weights at random."""
    rng = np.random.default_rng(seed)
    name = sorted(MEMORIES)[seed // 10 * 3 % len(MEMORIES) + seed % 3 - len(MEMORIES)]
    options = MEMORIES[name].variants[rng.integers(len(MEMORIES[name].variants))]
    layers, dtype, scale = int(rng.integers(1, 4)), DTYPES[rng.integers(4)], float(rng.choice(SCALES))
    with jax.enable_x64(dtype == jnp.float64):
        memory = make_memory(
            name,
            int(rng.integers(1, 6)),
            int(rng.integers(2, 32)),
            num_layers=layers,
            residual=bool(rng.integers(2)),
            dtype=dtype,
            key=jax.random.key(seed),
            **options,
        )
        memory = jax.tree.map(lambda w: w * jnp.asarray(scale, w.dtype), memory)
    return f"{name} {jnp.dtype(dtype).name}", Wide(adapt(memory)) if dtype == jnp.float64 else adapt(memory)


class Wide:
    """Calls a policy of JAX with 64-bit numbers turned on."""

    def __init__(self, policy: Any):
        self._policy, self.observation_shape = policy, policy.observation_shape

    def initial_state(self, *args):
        with jax.enable_x64(True):
            return self._policy.initial_state(*args)

    def step(self, *args):
        with jax.enable_x64(True):
            return self._policy.step(*args)

    def sequence(self, *args):
        with jax.enable_x64(True):
            return self._policy.sequence(*args)

    def gradient(self, *args):
        with jax.enable_x64(True):
            return self._policy.gradient(*args)


def torch_policy(seed: int) -> tuple[str, Any]:
    """A recurrent layer of PyTorch, or a small network around one."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    kind = ("RNN", "GRU", "LSTM")[rng.integers(3)]
    inputs, hidden, layers = (int(n) for n in rng.integers((1, 2, 1), (6, 40, 4)))
    dtype = (torch.float32, torch.float64)[rng.integers(2)]
    layer = getattr(torch.nn, kind)(inputs, hidden, layers, batch_first=bool(rng.integers(2)), dtype=dtype)
    scale = float(rng.choice(SCALES))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(scale)
    return f"torch {kind}", adapt(layer)
