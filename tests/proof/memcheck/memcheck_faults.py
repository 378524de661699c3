"""Seeded faults: small policies, each wrong in one way that was seen in the field, and the law that it breaks.

All are the right policies of `memcheck_policies` (or a small one of PyTorch) with one thing changed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from memcheck_policies import GRU, LSTM, LSTMState, select


def make(cls, **kwargs):
    return cls(np.random.default_rng(7), hidden=8, **kwargs)


# Resets


class NeverReset(GRU):
    def fresh_where(self, reset, state):
        return state


class SequenceIgnoresResets(GRU):
    def sequence(self, state, obs, resets):
        return super().sequence(state, obs, np.zeros_like(resets))


class StepIgnoresResets(GRU):
    def sequence(self, state, obs, resets):
        outs = []
        for x, reset in zip(obs, resets, strict=True):
            state, out = super().step(state, x, reset)
            outs.append(out)
        return state, np.stack(outs)

    def step(self, state, obs, reset):
        return super().step(state, obs, np.zeros_like(reset))


class ResetAfterReading(GRU):
    def step(self, state, obs, reset):
        state, h = self.cell(state, obs)
        return self.fresh_where(reset, state), h @ self.w_y


class FlagOneStepLate(GRU):
    def sequence(self, state, obs, resets):
        return super().sequence(state, obs, np.concatenate([resets[:1] & False, resets[:-1]]))


class FlagOneStepEarly(GRU):
    def sequence(self, state, obs, resets):
        return super().sequence(state, obs, np.concatenate([resets[1:], resets[:1] & False]))


class ResetOfAnyRow(GRU):
    def fresh_where(self, reset, state):
        return self.initial_state(len(reset)) if reset.any() else state


class MultiplicationMask(GRU):
    def fresh_where(self, reset, state):
        keep = (1 - reset[:, None]).astype(self.dtype)
        return {"h": state["h"] * keep + (1 - keep) * self.first}


class CellNotReset(LSTM):
    def fresh_where(self, reset, state):
        return LSTMState(super().fresh_where(reset, state).h, state.c)


class ResetToZero(GRU):
    """The initial state is learned, and a reset writes zeros."""

    def __init__(self, rng, **kwargs):
        super().__init__(rng, **kwargs)
        self.first = rng.normal(size=self.H).astype(self.dtype)

    def fresh_where(self, reset, state):
        return {"h": np.where(reset[:, None], self.dtype(0), state["h"])}


class FirstFlagLost(GRU):
    def sequence(self, state, obs, resets):
        resets = resets.copy()
        resets[0] = False
        return super().sequence(state, obs, resets)


class LastFlagLost(GRU):
    def sequence(self, state, obs, resets):
        resets = resets.copy()
        resets[-1] &= len(resets) == 1
        return super().sequence(state, obs, resets)


class FlagThatToggles(GRU):
    def sequence(self, state, obs, resets):
        rises = resets & ~np.concatenate([resets[:1] & False, resets[:-1]])
        return super().sequence(state, obs, rises)


# State


class StateForgotten(GRU):
    """As an exporter that has no output for the hidden state."""

    def step(self, state, obs, reset):
        return state, super().step(state, obs, reset)[1]


class StepIgnoresState(GRU):
    """As an evaluation that does not pass the state on."""

    def step(self, state, obs, reset):
        return super().step(self.initial_state(len(reset)), obs, reset)


class SequenceIgnoresState(GRU):
    def sequence(self, state, obs, resets):
        return super().sequence(self.initial_state(resets.shape[1]), obs, resets)


class WrongFinalState(GRU):
    """The state of the step before the last."""

    def sequence(self, state, obs, resets):
        outs = []
        for x, reset in zip(obs, resets, strict=True):
            before = self.fresh_where(reset, state)
            state, out = self.step(state, x, reset)
            outs.append(out)
        return before, np.stack(outs)


class CellDropped(LSTM):
    """`sequence` hands on h, and the cell state that it was given."""

    def sequence(self, state, obs, resets):
        after, outs = super().sequence(state, obs, resets)
        return LSTMState(after.h, self.initial_state(resets.shape[1]).c), outs


class CellDroppedEverywhere(CellDropped):
    """The same, and `step` is a sequence of one."""

    def step(self, state, obs, reset):
        if getattr(self, "inside", False):
            return LSTM.step(self, state, obs, reset)
        self.inside = True
        state, outs = self.sequence(state, obs[None], reset[None])
        self.inside = False
        return state, outs[0]

    def sequence(self, state, obs, resets):
        outside, self.inside = getattr(self, "inside", False), True
        answer = super().sequence(state, obs, resets)
        self.inside = outside
        return answer


class WrongDtype(GRU):
    """The carry in float64, the initial state in float32."""

    def cell(self, state, x):
        state, h = super().cell({"h": state["h"].astype(np.float32)}, x)
        return {"h": state["h"].astype(np.float64)}, h


class NoneAtFirst(GRU):
    def initial_state(self, batch):
        return None

    def fresh_where(self, reset, state):
        fresh = super().initial_state(len(reset))
        return fresh if state is None else select(reset, fresh, state)


class HiddenInside(GRU):
    """The memory in the object, not in the state."""

    def initial_state(self, batch):
        return ()

    def step(self, state, obs, reset):
        fresh = super().initial_state(len(reset))
        inside = getattr(self, "inside", fresh)
        inside = inside if len(inside["h"]) == len(reset) else fresh
        self.inside, h = self.cell(select(reset, fresh, inside), obs)
        return (), h @ self.w_y


class InPlace(GRU):
    def step(self, state, obs, reset):
        after, out = super().step(state, obs, reset)
        state["h"][...] = after["h"]
        return state, out


class OneBuffer(GRU):
    def step(self, state, obs, reset):
        after, out = super().step(state, obs, reset)
        if getattr(self, "buffer", np.empty((0, 0))).shape != after["h"].shape:
            self.buffer = np.empty_like(after["h"])
        self.buffer[...] = after["h"]
        return {"h": self.buffer}, out


class SampledActions(GRU):
    """Draws its actions from a generator of its own, and gives them as its output."""

    def step(self, state, obs, reset):
        self.rng = getattr(self, "rng", np.random.default_rng(0))
        state, out = super().step(state, obs, reset)
        return state, np.argmax(out + self.rng.gumbel(size=out.shape), axis=1)


# Batch


class SharedState(GRU):
    """One state for all rows: their mean."""

    def cell(self, state, x):
        state, h = super().cell(state, x)
        return {"h": np.broadcast_to(h.mean(axis=0), h.shape).copy()}, h


class NoRows(GRU):
    """One state for all rows, without a batch axis."""

    def initial_state(self, batch):
        return {"h": self.first}

    def fresh_where(self, reset, state):
        return state

    def cell(self, state, x):
        state, h = super().cell(state, x)
        return {"h": h[-1]}, h


class BatchNorm(GRU):
    """In training mode: the statistics are the batch's."""

    def cell(self, state, x):
        return super().cell(state, (x - x.mean(axis=0)) / (x.std(axis=0) + self.dtype(1e-3)))


class Strided(GRU):
    """Time-major data reshaped into rows, not transposed."""

    def sequence(self, state, obs, resets):
        T, B = resets.shape
        rows = obs.reshape(B, T, -1).swapaxes(0, 1)
        return super().sequence(state, rows, resets.reshape(B, T).swapaxes(0, 1))


class StridedAndBack(Strided):
    """The same, and the outputs reshaped back."""

    def sequence(self, state, obs, resets):
        state, outs = super().sequence(state, obs, resets)
        return state, outs.swapaxes(0, 1).reshape(outs.shape)


class BatchFirst(GRU):
    """A batch_first recurrence on time-major data: the rows are read as time."""

    def sequence(self, state, obs, resets):
        T, B = resets.shape
        state = super().initial_state(T)
        _, outs = super().sequence(state, obs.swapaxes(0, 1), resets.swapaxes(0, 1) & False)
        state, _ = super().sequence(super().initial_state(B), obs, resets)
        return state, outs.swapaxes(0, 1)


class SortedRows(GRU):
    """Rows sorted by how much they hold, as for packing, and not put back."""

    def sequence(self, state, obs, resets):
        state, outs = super().sequence(state, obs, resets)
        return state, outs[:, np.argsort(np.abs(obs).sum(axis=(0, 2)))]


class RowNumber(GRU):
    """A bias per number of the environment."""

    def step(self, state, obs, reset):
        return super().step(state, obs + np.arange(len(obs), dtype=self.dtype)[:, None], reset)


class DividedByBatch(GRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, out / self.dtype(len(out))


class FixedBatch(GRU):
    """Works for four rows, raises for another number."""

    def step(self, state, obs, reset):
        return super().step(state, obs.reshape(4, -1), reset)


class Squeezed(GRU):
    """`squeeze` for the axis of time also drops a batch of one."""

    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, out[None].squeeze()


# Time


class Bidirectional(GRU):
    def sequence(self, state, obs, resets):
        after, outs = super().sequence(state, obs, resets)
        return after, outs + super().sequence(state, obs[::-1], resets[::-1])[1][::-1]


class DividedByLength(GRU):
    """A mean over the padded length: padding moves it."""

    def sequence(self, state, obs, resets):
        state, outs = super().sequence(state, obs, resets)
        return state, outs / self.dtype(len(outs))


class PaddingMultiplied(GRU):
    """A causal mask by multiplication: zero weight for what comes later, and 0 · NaN."""

    def sequence(self, state, obs, resets):
        later = np.triu(np.ones((len(obs), len(obs)), self.dtype), 1) * 0
        state, outs = super().sequence(state, obs, resets)
        return state, outs + np.einsum("ts,sbi->tb", later, obs)[..., None]


class AnotherActivation(GRU):
    """`sequence` and `step` drifted apart."""

    def sequence(self, state, obs, resets):
        state, outs = super().sequence(state, obs, resets)
        return state, np.tanh(outs)


class NotANumber(GRU):
    def step(self, state, obs, reset):
        state, out = super().step(state, obs, reset)
        return state, out / np.where(out > 0, self.dtype(1), self.dtype(np.nan))


# In PyTorch: what concerns gradients, and the layers of a real library


def torch_policy(behind_gradient=False, batch_norm=False):
    import torch

    torch.manual_seed(0)
    rnn, norm = torch.nn.GRU(3, 8), torch.nn.BatchNorm1d(3)

    class Policy:
        observation_shape, batch_axis = (3,), 1

        def initial_state(self, batch):
            return torch.zeros(1, batch, 8)

        def step(self, state, obs, reset):
            state, outs = self.sequence(state, obs[None], reset[None])
            return state, outs[0]

        def sequence(self, state, obs, resets):
            outs = []
            for x, reset in zip(torch.as_tensor(obs), torch.as_tensor(resets), strict=True):
                if behind_gradient:
                    state = state.clone()
                    state.data[:, reset] = 0.0
                else:
                    state = torch.where(reset[None, :, None], torch.zeros_like(state), state)
                out, state = rnn((norm(x) if batch_norm else x)[None], state)
                outs.append(out[0])
            return state, torch.stack(outs)

        def gradient(self, state, obs, resets, weights):
            obs = torch.as_tensor(obs).requires_grad_()
            _, outs = self.sequence(state, obs, resets)
            return torch.autograd.grad((outs * torch.as_tensor(weights)).sum(), obs)[0]

    return Policy()


class Fault(NamedTuple):
    """A fault, where it was seen, how to make it, and the one law it breaks."""

    name: str
    seen: str
    make: Callable[[], Any]
    law: str


def _numpy(cls, **kwargs):
    return lambda: make(cls, **kwargs)


FAULTS = (
    Fault("state never reset on done", "PufferLib v3", _numpy(NeverReset), "reset-acts"),
    Fault("`sequence` ignores resets", "PufferLib v3", _numpy(SequenceIgnoresResets), "reset-acts"),
    Fault("`step` ignores resets", "", _numpy(StepIgnoresResets), "reset-acts"),
    Fault(
        "reset after reading instead of before", "Acme #259, Stoix", _numpy(ResetAfterReading), "reset-before-reading"
    ),
    Fault("reset flag one step late", "JaxMARL #119, Mava #1006", _numpy(FlagOneStepLate), "reset-before-reading"),
    Fault("reset flag one step early", "purejaxrl #23", _numpy(FlagOneStepEarly), "reset-is-not-early"),
    Fault("one row's reset resets all", "", _numpy(ResetOfAnyRow), "reset-is-per-row"),
    Fault("reset by multiplication keeps NaN", "memax", _numpy(MultiplicationMask), "reset-drops-nan"),
    Fault("h reset, c not", "", _numpy(CellNotReset), "reset-is-a-fresh-start"),
    Fault("learned initial state, reset to zeros", "", _numpy(ResetToZero), "reset-is-a-fresh-start"),
    Fault("flag of the first step lost", "", _numpy(FirstFlagLost), "reset-at-first-step"),
    Fault("flag of the last step lost", "", _numpy(LastFlagLost), "reset-at-last-step"),
    Fault("second of two flags lost", "", _numpy(FlagThatToggles), "reset-twice-in-a-row"),
    Fault(
        "state overwritten behind the gradient's back",
        "Acme R2D2",
        lambda: torch_policy(behind_gradient=True),
        "reset-stops-gradient",
    ),
    Fault("exporter forgets the state", "rl_games #316", _numpy(StateForgotten), "state-changes"),
    Fault("acting without the state", "sb3 #678, huggingface_sb3 #8", _numpy(StepIgnoresState), "state-matters"),
    Fault("`sequence` starts from zeros", "", _numpy(SequenceIgnoresState), "state-matters"),
    Fault("`sequence` returns the state before the last step", "", _numpy(WrongFinalState), "chunked-is-whole"),
    Fault("`sequence` returns h without c", "", _numpy(CellDropped), "chunked-is-whole"),
    Fault("the same, `step` a sequence of one", "", _numpy(CellDroppedEverywhere), "chunked-is-whole"),
    Fault("state of another dtype", "", _numpy(WrongDtype), "state-keeps-form"),
    Fault("None as the initial state", "", _numpy(NoneAtFirst), "state-keeps-form"),
    Fault("memory kept in the object", "", _numpy(HiddenInside), "deterministic"),
    Fault("sampled actions as output", "", _numpy(SampledActions), "deterministic"),
    Fault("state changed in place", "", _numpy(InPlace), "state-is-a-value"),
    Fault("one buffer for all states", "", _numpy(OneBuffer), "state-is-a-value"),
    Fault("one state shared by all rows", "", _numpy(SharedState), "rows-are-independent"),
    Fault("state without a batch axis", "", _numpy(NoRows), "shapes"),
    Fault("batch normalisation in training mode", "", _numpy(BatchNorm), "rows-are-independent"),
    Fault("the same in PyTorch", "", lambda: torch_policy(batch_norm=True), "rows-are-independent"),
    Fault("time-major data reshaped, not transposed", "Stoix, Mava", _numpy(Strided), "time-stays-time"),
    Fault("the same, and the outputs reshaped back", "Stoix, Mava", _numpy(StridedAndBack), "time-stays-time"),
    Fault("batch-first recurrence on time-major data", "", _numpy(BatchFirst), "time-stays-time"),
    Fault("rows sorted and not put back", "", _numpy(SortedRows), "batch-order"),
    Fault("a bias per environment number", "", _numpy(RowNumber), "batch-order"),
    Fault("output divided by the batch size", "", _numpy(DividedByBatch), "batch-size"),
    Fault("batch size written into the code", "", _numpy(FixedBatch), "answers"),
    Fault("squeeze drops a batch of one", "", _numpy(Squeezed), "shapes"),
    Fault("bidirectional recurrence", "", _numpy(Bidirectional), "causal"),
    Fault("mean over the padded length", "ray #21392, sb3-contrib #75", _numpy(DividedByLength), "padding-is-ignored"),
    Fault("padding masked by multiplication", "pytorch/rl #3711", _numpy(PaddingMultiplied), "padding-is-ignored"),
    Fault("`step` and `sequence` drifted apart", "", _numpy(AnotherActivation), "step-is-sequence"),
    Fault("NaN on ordinary observations", "", _numpy(NotANumber), "finite"),
)
