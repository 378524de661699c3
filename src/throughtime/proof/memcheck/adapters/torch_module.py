"""A recurrent module of PyTorch: `nn.RNN`, `nn.LSTM`, `nn.GRU`, their cells, or a module with `forward(x, state)`.

A module of one's own takes `[T, B, ...]` (`batch_first` is looked up) and returns `(out, state)`. If its forward takes
a third argument (reset, done, episode_starts …), the flags are handed to it; else the state is replaced by `where`
before a step with a flag, as PyTorch itself knows of no resets. Its state is what `initial_state(B)` gives, or zeros
for the one `nn.RNN`, `nn.LSTM` or `nn.GRU` inside it.
"""
# pyright: reportMissingImports=false

import inspect
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from throughtime.core import ConfigError


def wrap(module: Any, observation_shape: tuple[int, ...] | None) -> "TorchPolicy":
    """Observations are the module's inputs.

    Raises:
        ConfigError: no recurrent module inside, or several.
    """
    return TorchPolicy(module, observation_shape)


class TorchPolicy:
    """See the module. The module is used as it is: in training mode if it is in training mode."""

    def __init__(self, module: Any, observation_shape: tuple[int, ...] | None):
        self.module = module
        self._is_cell = isinstance(module, nn.RNNCellBase)
        inner = [m for m in module.modules() if isinstance(m, nn.RNNBase | nn.RNNCellBase)]
        self._inner: Any = inner[0] if len(inner) == 1 else None
        self._own_state = getattr(module, "initial_state", None)
        if self._inner is None and not callable(self._own_state):
            raise ConfigError(
                f"{type(module).__name__} has {len(inner)} recurrent modules inside.",
                "With one of them, memcheck can tell how the state begins.",
                "Give the module an initial_state(batch), or write the three functions around it (docs/memcheck.md).",
            )
        self.batch_axis = getattr(module, "batch_axis", 0 if self._is_cell or self._inner is None else 1)
        self._batch_first = bool(getattr(module, "batch_first", getattr(self._inner, "batch_first", False)))
        plain = isinstance(module, nn.RNNBase | nn.RNNCellBase)
        self._takes_flags = not plain and len(inspect.signature(module.forward).parameters) >= 3
        self.observation_shape = observation_shape or getattr(module, "observation_shape", None) or self._input_shape()
        self._parameter = next(module.parameters())

    def initial_state(self, batch: int) -> Any:
        """Zeros, or what the module says."""
        if callable(self._own_state):
            return self._own_state(batch)
        inner, like = self._inner, {"dtype": self._parameter.dtype, "device": self._parameter.device}
        if isinstance(inner, nn.RNNCellBase):
            zeros = torch.zeros(batch, inner.hidden_size, **like)
            return (zeros, zeros.clone()) if isinstance(inner, nn.LSTMCell) else zeros
        rows = inner.num_layers * (2 if inner.bidirectional else 1), batch
        c = torch.zeros(*rows, inner.hidden_size, **like)
        if not isinstance(inner, nn.LSTM):
            return c
        return torch.zeros(*rows, inner.proj_size or inner.hidden_size, **like), c

    def step(self, state: Any, obs: Any, reset: np.ndarray) -> tuple[Any, Any]:
        """One time step: a sequence of one."""
        state, outs = self.sequence(state, obs[None], reset[None])
        return state, outs[0]

    def sequence(self, state: Any, obs: Any, resets: np.ndarray) -> tuple[Any, Any]:
        """All time steps: one call where no flag has to be acted on, else a call for each piece between flags."""
        with torch.no_grad():
            return self._sequence(state, self._tensor(obs), torch.as_tensor(resets, device=self._parameter.device))

    def gradient(self, state: Any, obs: Any, resets: np.ndarray, weights: Any) -> Any:
        """d(sum of weights · outs)/d(obs), by autograd."""
        x = self._tensor(obs).requires_grad_()
        _, outs = self._sequence(state, x, torch.as_tensor(resets, device=x.device))
        return torch.autograd.grad((outs * torch.as_tensor(weights).to(outs)).sum(), x)[0]

    def _sequence(self, state: Any, x: Any, resets: Any) -> tuple[Any, Any]:
        state = _map(lambda leaf: torch.as_tensor(leaf, device=x.device), state)
        if self._takes_flags:
            return self._call(state, x, resets)
        cuts = [0, *(t for t in range(1, len(x)) if bool(resets[t].any())), len(x)]
        outs = []
        for begin, end in pairwise(cuts):
            if bool(resets[begin].any()):
                state = self._reset(state, resets[begin])
            state, out = self._call(state, x[begin:end])
            outs.append(out)
        return state, torch.cat(outs)

    def _call(self, state: Any, x: Any, flags: Any = None) -> tuple[Any, Any]:
        """The module on `[T, B, ...]`."""
        if self._is_cell:
            outs = []
            for x_t in x:
                state = self.module(x_t, state)
                outs.append(state[0] if isinstance(state, tuple) else state)
            return state, torch.stack(outs)
        if self._batch_first:
            x, flags = x.transpose(0, 1), None if flags is None else flags.transpose(0, 1)
        out, state = self.module(x, state) if flags is None else self.module(x, state, flags)
        return state, out.transpose(0, 1) if self._batch_first else out

    def _reset(self, state: Any, reset: Any) -> Any:
        fresh = iter(_leaves(self.initial_state(len(reset))))

        def choose(leaf: Any) -> Any:
            shape = [1] * leaf.ndim
            shape[self.batch_axis] = len(reset)
            return torch.where(reset.view(shape), next(fresh), leaf)

        return _map(choose, state)

    def _tensor(self, obs: Any) -> Any:
        x = torch.as_tensor(obs, device=self._parameter.device)
        return x.to(self._parameter.dtype) if x.is_floating_point() else x

    def _input_shape(self) -> tuple[int, ...] | None:
        for layer in self.module.modules():
            size = getattr(layer, "input_size", None) or getattr(layer, "in_features", None)
            if isinstance(size, int) and isinstance(layer, nn.RNNBase | nn.RNNCellBase | nn.Linear):
                return (size,)
        return None


def _map(function: Any, state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _map(function, child) for key, child in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_map(function, child) for child in state)
    return function(state)


def _leaves(state: Any) -> list[Any]:
    found: list[Any] = []
    _map(found.append, state)
    return found
