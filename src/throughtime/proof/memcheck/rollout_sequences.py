"""Laws of the sequences that training unrolls: where they come from, which episodes they hold, how they start."""

from typing import Any

import numpy as np

from throughtime.proof.memcheck import rollout_laws as laws
from throughtime.proof.memcheck.law import Finding
from throughtime.proof.memcheck.rollout import Rollout, Sequences
from throughtime.proof.memcheck.rollout_arrays import (
    PER_STEP,
    MissingError,
    at,
    leaves,
    need,
    row_errors,
)
from throughtime.proof.memcheck.rollout_policy import Replayer, stored_states

Places = set[tuple[int, int]]  # (step, row) pairs


class Pieces:
    """The sequence laws of one rollout; each sequence's place in it is looked up once.

    Args:
        rollout: in NumPy arrays.
        policy: for the initial state, and states that are not stored.
        tolerance: the largest difference of states taken for rounding.
    """

    def __init__(self, rollout: Rollout, policy: Replayer, tolerance: float):
        if rollout.sequences is None:
            raise MissingError("needs sequences")
        self.rollout, self.policy, self.tolerance = rollout, policy, tolerance
        self.sequences: Sequences = rollout.sequences
        names = [name for name in ("observations", *PER_STEP) if self._has(name)]
        if self.sequences.steps is None and not names:
            raise MissingError("needs sequences.observations, or sequences.steps with sequences.rows")
        self.cells = {name: _Cells(getattr(rollout, name), getattr(self.sequences, name)) for name in names}
        lead = self.sequences.steps if not names else next(iter(self.cells.values())).sequences
        self.L, self.N = lead.shape
        mask = self.sequences.mask
        self.real = np.ones((self.L, self.N), bool) if mask is None else mask
        self.places = [self._place(n) for n in range(self.N)]
        self.bad = [name for name, cells in self.cells.items() if any(not self._runs(cells, n) for n in range(self.N))]

    def _has(self, name: str) -> bool:
        return getattr(self.rollout, name) is not None and getattr(self.sequences, name) is not None

    def contiguous(self) -> Finding:
        """Every sequence is a stretch of one row."""
        if self.sequences.steps is not None:
            need(self.sequences, "rows")
            return self._contiguous_indices()
        lost = [n for n, place in enumerate(self.places) if not place]
        if not lost or not self._strays():
            return laws.CONTIGUOUS.held(f"{self.N} sequences of up to {self.L} steps")
        n = next(n for n in lost if any(not self._runs(self.cells[name], n) for name in self.bad))
        return laws.CONTIGUOUS.broken("steps t, t + 1, t + 2, … of one row", self._story(n), f"sequence {n}")

    def _strays(self) -> bool:
        """Whether it is the sequences that stray, rather than some of their arrays beside the others."""
        if not self.bad:
            return False
        if "observations" not in self.cells or "observations" in self.bad:
            return True
        return len(self.bad) == len(self.cells) - 1 and self.cells["observations"].repeats

    def _contiguous_indices(self) -> Finding:
        steps, rows = self.sequences.steps, self.sequences.rows
        both = self.real[1:] & self.real[:-1]
        jumps = both & ((steps[1:] != steps[:-1] + 1) | (rows[1:] != rows[:-1]))
        if not jumps.any():
            return laws.CONTIGUOUS.held(f"{self.N} sequences of up to {self.L} steps, by their indices")
        i, n = map(int, np.argwhere(jumps)[0])
        got = f"(step {steps[i, n]}, row {rows[i, n]}), then (step {steps[i + 1, n]}, row {rows[i + 1, n]})"
        return laws.CONTIGUOUS.broken("steps t, t + 1, t + 2, … of one row", got, f"sequence {n}, position {i}")

    def aligned(self) -> Finding:
        """All arrays of a sequence come from the same place."""
        if len(self.cells) + (self.sequences.steps is not None) < 2:
            raise MissingError("needs two arrays of the sequences that the rollout has too")
        lost = [n for n, place in enumerate(self.places) if not place]
        if not lost:
            return laws.ALIGNED.held(", ".join(self.cells))
        n = lost[0]
        place = self._runs(self.cells["observations"], n) if "observations" in self.cells else set()
        place = self._indexed(n) if self.sequences.steps is not None else place
        wrong = [name for name, cells in self.cells.items() if not self._runs(cells, n) & (place or set())]
        got = f"{', '.join(wrong or self.cells)} from other steps than the rest"
        return laws.ALIGNED.broken("every array from the same steps and rows", got, f"sequence {n}")

    def apart(self) -> Finding:
        """Reset flags and masks keep episodes apart."""
        expected = self._source(self.rollout.resets)
        flags = self.sequences.resets
        if flags is None:
            crossing = (expected & self.real)[1:]
            if not crossing.any():
                return laws.APART.held("no sequence holds more than one episode")
            i, n = (int(x) for x in np.argwhere(crossing)[0] + (1, 0))
            got = "a next episode's first observation, and the sequences carry no resets"
            return laws.APART.broken("one episode, or a reset flag where the next begins", got, self._at(i, n))
        wrong = self.real & (flags != expected)
        wrong[0] &= expected[0]  # a flag too many at the start is a matter of the start state
        if not wrong.any():
            return laws.APART.held(f"{int((expected & self.real)[1:].sum())} episodes begin within sequences")
        i, n = map(int, np.argwhere(wrong)[0])
        if expected[i, n]:
            return laws.APART.broken("a reset flag: another episode begins here", "none", self._at(i, n))
        return laws.APART.broken("no reset flag: the episode goes on", "one", self._at(i, n))

    def start_states(self) -> Finding:
        """Each sequence starts from what was stored for its first step."""
        first = self._source(self.rollout.resets)[0]
        flagged = np.zeros(self.N, bool) if self.sequences.resets is None else self.sequences.resets[0]
        wiped = flagged & ~first
        if wiped.any():
            n = int(np.argmax(wiped))
            got = "a reset flag in the middle of an episode: a fresh memory"
            return laws.START_STATES.broken("the state stored for its first step", got, self._at(0, n))
        needed = ~(first & flagged)
        if not needed.any():
            return laws.START_STATES.held("every sequence begins with an episode")
        need(self.sequences, "states")
        expected = {n: self._state_at(self._start(n)) for n in map(int, np.flatnonzero(needed))}
        initial = None
        for n, state in expected.items():
            if first[n]:
                continue  # an episode begins here without a flag: `sequences-keep-episodes-apart`
            if state is None:
                raise MissingError("needs states, stored or replayed, for the first steps of the sequences")
            given = at(self.sequences.states, slice(n, n + 1))
            error = float(row_errors(given, state)[0])
            if error <= self.tolerance:
                continue
            got, zero = f"a difference of {error:.3g}", all(not a.any() for a in leaves(given))
            if self.policy.policy is not None:
                initial = self.policy.initial(1) if initial is None else initial
                zero = zero or row_errors(given, initial)[0] <= self.tolerance
            others = [m for m in range(self.N) if m != n and self._same(given, self._state_at(self._start(m)))]
            if zero:
                got += ": it starts from a fresh memory"
            elif others:
                got += f": it starts from the state of sequence {others[0]}"
            return laws.START_STATES.broken("the state stored for its first step", got, self._at(0, n))
        return laws.START_STATES.held(f"{len(expected)} sequences from within an episode")

    def _same(self, given: Any, state: Any) -> bool:
        return state is not None and float(row_errors(given, state)[0]) <= self.tolerance

    def _state_at(self, place: tuple[int, int]) -> Any:
        """The state before a step of a row, leaves `[1, ...]`: as stored, or replayed from the last one stored."""
        t, row = place
        stored = stored_states(self.rollout)
        if not stored and self.policy.policy is not None:
            resets = np.flatnonzero(self.rollout.resets[: t + 1, row])
            if not len(resets):
                return None
            stored = {int(resets[-1]): self.policy.initial(self.rollout.resets.shape[1])}
        before = [u for u in stored if u <= t]
        if not before or (max(before) < t and self.policy.policy is None):
            return None
        state = stored[max(before)]
        for u in range(max(before), t):
            state, _ = self.policy.step(state, at(self.rollout.observations, u), self.rollout.resets[u])
        return at(state, slice(row, row + 1))

    def _source(self, array: np.ndarray) -> np.ndarray:
        """The rollout's `[T, B]` values at the sequences' places, `[L, N]`; False at padding."""
        made = np.zeros((self.L, self.N), array.dtype)
        for n in range(self.N):
            t, row = self._start(n)
            for i in map(int, np.flatnonzero(self.real[:, n])):
                made[i, n] = array[t + i, row]
        return made

    def _start(self, n: int) -> tuple[int, int]:
        return min(self.places[n])

    def _at(self, i: int, n: int) -> str:
        t, row = self._start(n)
        return f"sequence {n}, position {i} (step {t + i}, row {row})"

    def _indexed(self, n: int) -> Places:
        i = int(np.argmax(self.real[:, n]))
        return {(int(self.sequences.steps[i, n]) - i, int(self.sequences.rows[i, n]))}

    def _place(self, n: int) -> Places:
        """Every (step, row) at which sequence n may begin."""
        places: Places | None = None if self.sequences.steps is None else self._indexed(n)
        for cells in self.cells.values():
            runs = self._runs(cells, n)
            places = runs if places is None else places & runs
        return places or set()

    def _runs(self, cells: "_Cells", n: int) -> Places:
        """Where one array of sequence n runs through the rollout step by step."""
        positions = [int(i) for i in np.flatnonzero(self.real[:, n])]
        if not positions:
            return {(0, 0)}
        starts = {(t - positions[0], row) for t, row in cells.found(positions[0], n)}
        for i in positions[1:]:
            starts &= {(t - i, row) for t, row in cells.found(i, n)}
        return {(int(t), int(row)) for t, row in starts if t >= 0}

    def _story(self, n: int) -> str:
        """Where the first steps of a sequence come from."""
        name = "observations" if "observations" in self.bad else self.bad[0]
        cells = self.cells[name]
        places = [cells.found(int(i), n) for i in np.flatnonzero(self.real[:, n])[:4]]
        if not all(places):
            return f"{name} that the rollout does not have"
        first = [min(place) for place in places]
        story = ", ".join(f"(step {t}, row {row})" for t, row in first)
        if cells.strided:
            return story + ": a `reshape` of [T, B] that strides over rows and time; move the axes first"
        return story


class _Cells:
    """One array of rollout and sequences, each step's contents as bytes, so that places can be looked up."""

    def __init__(self, rollout: Any, sequences: Any):
        pairs = list(zip(leaves(rollout), leaves(sequences), strict=True))
        for a, b in pairs:
            if a.shape[2:] != b.shape[2:]:
                raise MissingError(f"the sequences' steps have shape {b.shape[2:]}, the rollout's {a.shape[2:]}")
        self.rollout = _contents([a for a, _ in pairs])
        self.sequences = _contents([b.astype(a.dtype) for a, b in pairs])
        self.places: dict[bytes, list[tuple[int, int]]] = {}
        for place in np.ndindex(self.rollout.shape):
            self.places.setdefault(self.rollout[place], []).append((place[0], place[1]))

    def found(self, i: int, n: int) -> list[tuple[int, int]]:
        """The steps and rows with the contents of position i of sequence n."""
        return self.places.get(self.sequences[i, n], [])

    @property
    def repeats(self) -> bool:
        """Whether the contents hardly tell one step from another."""
        return len(self.places) < 0.5 * self.rollout.size

    @property
    def strided(self) -> bool:
        """Whether the sequences are a bare reshape of the rollout."""
        if self.rollout.size != self.sequences.size:
            return False
        L, N = self.sequences.shape
        bare = (self.rollout.reshape(L, N), self.rollout.reshape(N, L).T, self.rollout.T.reshape(L, N))
        return any((reshaped == self.sequences).all() for reshaped in bare)


def _contents(arrays: list[np.ndarray]) -> np.ndarray:
    shape = arrays[0].shape[:2]
    made = np.empty(shape, object)
    for place in np.ndindex(shape):
        made[place] = b"|".join(a[place].tobytes() for a in arrays)
    return made
