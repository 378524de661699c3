"""What linear-time memories share: a state that is linear in the one before, unit by unit."""

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import equinox as eqx
from jaxtyping import Array, Bool, Float, PyTree

from throughtime.memory._checks import check_sequence
from throughtime.memory.base import Memory
from throughtime.memory.parallel import Number, linear_recurrence, plus, times
from throughtime.memory.unroll import per_row

Scan = Literal["serial", "parallel"]
SCANS = ("serial", "parallel")


class LinearMemory(Memory):
    """A memory with the state h' = a(x) ∘ h + b(x): unit i of h' depends on unit i of h alone.

    A subclass has a state of one array `[B, H]`, or of two, the real and the imaginary part of a complex one. It
    implements `initial_state`, `project` (all that does not need the state), `coefficients` (a and b, picked out
    of the projection without arithmetic), `hidden` (what goes to `read_out`), and no `advance`.

    `scan` says how `unroll` solves the recurrence: "serial" one step after the other, "parallel" all steps at
    once in O(log T) rounds (`memory/parallel.py`). They differ by rounding alone. Serial is the default, for it
    does the least arithmetic and compiles fastest: on two CPU cores it was the faster one in most of what
    `benchmarks/linear.py` measures, at every T from 32 to 10,000. The other is meant for hardware with many lanes.

    `per_unit` names the parameters that determine the state. Each of their elements belongs to one unit: the last
    axis has a place for every unit, or several (then unit i owns places i, H+i, …). No other parameter reaches
    the state. `rtrl_gradient` needs H times fewer derivatives for it.
    """

    per_unit: ClassVar[tuple[str, ...]]
    scan: eqx.AbstractVar[Scan]
    learn_initial_state: eqx.AbstractVar[bool]

    @abstractmethod
    def coefficients(self, projected: PyTree) -> tuple[Number, Number]:
        """The decay a, `[*batch, H]` or constant `[1, …, 1, H]`, and the drive b, `[*batch, H]`."""

    @abstractmethod
    def hidden(self, state: Any, projected: PyTree) -> PyTree:
        """What `read_out` takes, from states and projections over any leading axes."""

    def advance(self, state: Any, projected: PyTree) -> tuple[Any, PyTree]:
        """One time step: h' = a ∘ h + b."""
        a, b = self.coefficients(projected)
        state = type(state)(*plus(times(a, tuple(state)), b))
        return state, self.hidden(state, projected)

    def unroll(
        self, state: Any, xs: Float[Array, "T B I"], resets: Bool[Array, "T B"], taps: Any = None
    ) -> tuple[Any, Float[Array, "T B O"]]:
        """All time steps: one product before the recurrence, and one after it."""
        check_sequence(self, state, xs, resets, taps)
        make = type(state)
        projected = per_row((self, xs), type(self).project)
        a, b = self.coefficients(projected)
        fresh = tuple(self.initial_state(resets.shape[1])) if self.learn_initial_state else None
        starts = (tuple(state), fresh, None if taps is None else tuple(taps))
        final, h = linear_recurrence((a, b, *starts), resets, self.scan == "parallel")
        ys = per_row((self, self.hidden(make(*h), projected)), type(self).read_out)
        return make(*final), ys
