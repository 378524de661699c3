"""Right policies in plain NumPy, to be checked, broken and compared with."""

from typing import Any, NamedTuple

import numpy as np


def sigmoid(x):
    return 0.5 * np.tanh(0.5 * x) + 0.5


class LSTMState(NamedTuple):
    h: Any
    c: Any


class Cell:
    """A policy whose `sequence` is a loop over `cell`. Subclasses say how the state begins and goes on."""

    def __init__(self, rng, inputs=3, hidden=5, outputs=2, scale=1.0, dtype=np.float32):
        self.observation_shape, self.H, self.dtype = (inputs,), hidden, dtype
        self.w_x = self.weight(rng, inputs, scale)
        self.w_h = self.weight(rng, hidden, scale)
        self.b = (scale * rng.normal(size=self.w_x.shape[1])).astype(dtype)
        self.w_y = (rng.normal(size=(hidden, outputs)) / np.sqrt(hidden)).astype(dtype)
        self.first = rng.normal(size=hidden).astype(dtype) if rng.random() < 0.5 else np.zeros(hidden, dtype)

    gates = 1

    def weight(self, rng, rows, scale):
        return (scale * rng.normal(size=(rows, self.gates * self.H)) / np.sqrt(rows)).astype(self.dtype)

    def initial_state(self, batch):
        return {"h": np.tile(self.first, (batch, 1))}

    def cell(self, state, x):
        raise NotImplementedError

    def fresh_where(self, reset, state):
        fresh = self.initial_state(len(reset))
        return select(reset, fresh, state)

    def step(self, state, obs, reset):
        state, h = self.cell(self.fresh_where(reset, state), np.asarray(obs, self.dtype))
        return state, h @ self.w_y

    def sequence(self, state, obs, resets):
        outs = []
        for x, reset in zip(obs, resets, strict=True):
            state, out = self.step(state, x, reset)
            outs.append(out)
        return state, np.stack(outs)


class Elman(Cell):
    def cell(self, state, x):
        h = np.tanh(x @ self.w_x + state["h"] @ self.w_h + self.b)
        return {"h": h}, h


class GRU(Cell):
    gates = 3

    def cell(self, state, x):
        h = state["h"]
        xr, xz, xn = np.split(x @ self.w_x + self.b, 3, axis=-1)
        hr, hz, hn = np.split(h @ self.w_h, 3, axis=-1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        h = (1 - z) * np.tanh(xn + r * hn) + z * h
        return {"h": h}, h


class LSTM(Cell):
    gates = 4

    def initial_state(self, batch):
        return LSTMState(np.tile(self.first, (batch, 1)), np.tile(self.first[::-1], (batch, 1)))

    def cell(self, state, x):
        i, f, o, g = np.split(x @ self.w_x + state.h @ self.w_h + self.b, 4, axis=-1)
        c = sigmoid(f + 1) * state.c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return LSTMState(h, c), h


class ProjectedGRU(GRU):
    """`sequence` with the input projection of all steps in one product, as fast code has it."""

    def sequence(self, state, obs, resets):
        projected = np.asarray(obs, self.dtype) @ self.w_x + self.b
        outs = []
        for x, reset in zip(projected, resets, strict=True):
            h = self.fresh_where(reset, state)["h"]
            xr, xz, xn = np.split(x, 3, axis=-1)
            hr, hz, hn = np.split(h @ self.w_h, 3, axis=-1)
            r, z = sigmoid(xr + hr), sigmoid(xz + hz)
            state = {"h": (1 - z) * np.tanh(xn + r * hn) + z * h}
            outs.append(state["h"])
        return state, np.stack(outs) @ self.w_y


class Integrator(Cell):
    """A leaky sum, linear in its state."""

    def __init__(self, rng, **kwargs):
        super().__init__(rng, **kwargs)
        self.decay = sigmoid(rng.normal(size=self.H)).astype(self.dtype)

    def cell(self, state, x):
        h = self.decay * state["h"] + x @ self.w_x
        return {"h": h}, h


class Window(Cell):
    """A delay line of three observations, with a clock of whole numbers beside it."""

    def initial_state(self, batch):
        return [np.zeros((batch, 2, *self.observation_shape), self.dtype), np.zeros(batch, np.int32)]

    def cell(self, state, x):
        line = np.concatenate([state[0], x[:, None]], axis=1)
        h = np.tanh(line[:, 0] @ self.w_x - line[:, 1] @ self.w_x + line[:, 2] @ self.w_x + self.b)
        late = (state[1] > 4).astype(self.dtype)[:, None]
        return [line[:, 1:], state[1] + 1], h * (1 - late / 2)


class Memoryless(Cell):
    def initial_state(self, batch):
        return ()

    def cell(self, state, x):
        return (), np.tanh(x @ self.w_x + self.b)


class TwoHeads(GRU):
    """Outputs in a dict, whole numbers among them; masked logits are minus infinity."""

    @staticmethod
    def heads(out):
        masked = np.where(np.arange(out.shape[-1] + 1) > 0, np.pad(out, [(0, 0)] * (out.ndim - 1) + [(1, 0)]), -np.inf)
        return {"logits": masked, "more": (out[..., 0] * 100, out.argmax(axis=-1))}

    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, self.heads(out)

    def sequence(self, state, obs, resets):
        outs = []
        for x, reset in zip(obs, resets, strict=True):
            state, out = GRU.step(self, state, x, reset)
            outs.append(out)
        return state, self.heads(np.stack(outs))


class Symbols(GRU):
    """Reads whole numbers."""

    def __init__(self, rng, **kwargs):
        super().__init__(rng, **kwargs)
        self.size = self.observation_shape[0]
        del self.observation_shape

    def observations(self, rng, T, B):
        return rng.integers(0, self.size, (T, B))

    def step(self, state, obs, reset):
        return super().step(state, np.eye(self.size, dtype=self.dtype)[obs], reset)


def select(flag, on_true, on_false):
    """By row, through dicts, lists and tuples."""
    if isinstance(on_false, dict):
        return {key: select(flag, on_true[key], on_false[key]) for key in on_false}
    if isinstance(on_false, tuple) and hasattr(on_false, "_fields"):
        return type(on_false)(*(select(flag, a, b) for a, b in zip(on_true, on_false, strict=True)))
    if isinstance(on_false, list | tuple):
        return type(on_false)(select(flag, a, b) for a, b in zip(on_true, on_false, strict=True))
    return np.where(flag.reshape(-1, *(1,) * (on_false.ndim - 1)), on_true, on_false)


RIGHT = (Elman, GRU, LSTM, ProjectedGRU, Integrator, Window, Memoryless, TwoHeads, Symbols)


def right_policy(seed):
    """A right policy: kind, sizes, dtype and size of the weights at random."""
    rng = np.random.default_rng(seed)
    kind = RIGHT[seed % len(RIGHT)]
    sizes = dict(zip(("inputs", "hidden", "outputs"), map(int, rng.integers((1, 2, 1), (8, 40, 5))), strict=True))
    scale = float(rng.choice([0.1, 1.0, 1.0, 3.0, 10.0, 30.0]))
    return kind(rng, scale=scale, dtype=rng.choice([np.float32, np.float64]), **sizes)
