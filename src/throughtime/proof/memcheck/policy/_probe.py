"""Calls a policy under test so that nothing it does can harm the check, and notes what it does wrong at the door."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from throughtime.core.user_code import place_of
from throughtime.proof.memcheck import _trees as trees
from throughtime.proof.memcheck._time_limit import TookTooLong, within
from throughtime.proof.memcheck.law import Finding, Law
from throughtime.proof.memcheck.policy import laws

Path = Literal["step", "sequence"]


class UnansweredError(Exception):
    """A call gave nothing to work with; the message says what happened."""


class RefusedError(UnansweredError):
    """As `UnansweredError`, in a call where the policy may well refuse (NaN in its input)."""


@dataclass(frozen=True)
class Settings:
    """How a policy is checked.

    Args:
        time: T, steps of the sequences; even, at least 6.
        batch: B, rows side by side; at least 2.
        seed: of the observations.
        timeout: seconds that one call may take; 0 for no limit.
        tolerance: relative difference that still counts as equal, on top of what rounding explains; by default from
            the dtypes alone.
    """

    time: int = 12
    batch: int = 4
    seed: int = 0
    timeout: float = 60.0
    tolerance: float | None = None


class Run(NamedTuple):
    """What a policy made of a sequence."""

    outs: list[np.ndarray]  # one for each leaf of the output, [T, B, ...]
    state: Any  # after the last step, as the policy gave it


class Probe:
    """A policy behind guarded calls: inputs and results are copied, errors and hangs become findings.

    Args:
        policy: see `protocol`.
        settings: the time limit is used here.
    """

    def __init__(self, policy: Any, settings: Settings):
        self.policy, self.settings = policy, settings
        self.batch_axis = int(getattr(policy, "batch_axis", 0))
        self.problems: dict[str, Finding] = {}  # by law: answers, shapes
        self._hung: dict[str, str] = {}
        self._template: tuple[str, list[tuple[int, ...]], list[str], str] | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """Which of `step` and `sequence` the policy has."""
        return tuple(p for p in ("step", "sequence") if callable(getattr(self.policy, p, None)))  # pyright: ignore

    @property
    def leaf_names(self) -> list[str]:
        """The paths of the output's leaves."""
        return [] if self._template is None else self._template[2]

    def call(self, name: str, *args: Any, may_refuse: bool = False, where: str = "") -> Any:
        """One guarded call of a function of the policy.

        Raises:
            UnansweredError: it raised, or did not return in time.
        """
        if name in self._hung:
            raise UnansweredError(self._hung[name])
        at = f"{name}{f' ({where})' if where else ''}"
        try:
            return within(self.settings.timeout, getattr(self.policy, name), *args)
        except TookTooLong:
            self._hung[name] = f"{name} did not return within {self.settings.timeout:g} s"
            self._problem(laws.ANSWERS, "an answer", f"none within {self.settings.timeout:g} s (--timeout)", at)
            raise UnansweredError(self._hung[name]) from None
        except (Exception, SystemExit) as error:
            said = _said(error)
            if may_refuse:
                raise RefusedError(f"{at} raised {said}") from None
            self._problem(laws.ANSWERS, "an answer", said, f"{at}, raised at {place_of(error)}")
            raise UnansweredError(f"{at} raised {said}") from None

    def initial(self, B: int) -> Any:
        """`initial_state(B)`, its form checked."""
        state = trees.copied(self.call("initial_state", B, where=f"batch {B}"))
        for leaf in trees.leaves(state):
            axis, shape = self.batch_axis, tuple(getattr(leaf.value, "shape", ()))
            if not trees.is_array(leaf.value):
                self._misshapen(f"an array with {B} rows", f"{_kind(leaf.value)}", f"initial_state({B}), {leaf}")
            if len(shape) <= axis or shape[axis] != B:
                self._misshapen(
                    f"{B} rows on axis {axis}",
                    f"shape {shape}" + self._other_axis(shape, B),
                    f"initial_state({B}), {leaf}",
                )
        return state

    def run(
        self, path: Path, state: Any, obs: Any, resets: np.ndarray | None = None, *, may_refuse: bool = False
    ) -> Run:
        """A whole sequence, by one call of `sequence` or by a call of `step` for each of its steps.

        Args:
            path: which of the two.
            state: of B rows; it is copied.
            obs: `[T, B, ...]`.
            resets: `[T, B]`; none where None.
            may_refuse: whether the policy may raise, for there is NaN in its input.
        """
        T, B = trees.leaves(obs)[0].value.shape[:2]
        resets = np.zeros((T, B), bool) if resets is None else resets
        if path == "sequence":
            where = f"{T} steps, batch {B}"
            given = (trees.copied(state), trees.copied(obs), resets.copy())
            state, outs = self._pair(path, self.call(path, *given, may_refuse=may_refuse, where=where), where)
            return Run(self._outputs(path, outs, (T, B)), trees.copied(state))
        steps: list[list[np.ndarray]] = []
        for t in range(T):
            state, out = self.one_step(state, at(obs, t), resets[t], may_refuse=may_refuse)
            steps.append(out)
        return Run([np.stack(leaf) for leaf in zip(*steps, strict=True)], state)

    def one_step(
        self, state: Any, obs: Any, reset: np.ndarray, *, may_refuse: bool = False
    ) -> tuple[Any, list[np.ndarray]]:
        """One call of `step`, on copies: the next state, and the output's leaves `[B, ...]`."""
        B = reset.shape[0]
        given = (trees.copied(state), trees.copied(obs), reset.copy())
        where = f"batch {B}"
        state, out = self._pair("step", self.call("step", *given, may_refuse=may_refuse, where=where), where)
        return trees.copied(state), self._outputs("step", out, (B,))

    def weights_like_outs(self, arrays: list[np.ndarray]) -> Any:
        """The arrays as a tree like the output, for `gradient`."""
        assert self._template is not None
        return trees.rebuild(self._example, arrays)

    def _pair(self, name: str, answer: Any, where: str) -> tuple[Any, Any]:
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            length = f" of {len(answer)}" if isinstance(answer, tuple | list) else ""
            self._misshapen("a pair (state, out)", f"{_kind(answer)}{length}", f"{name} ({where})")
        return answer[0], answer[1]

    def _outputs(self, name: str, out: Any, front: tuple[int, ...]) -> list[np.ndarray]:
        """The output's leaves in NumPy; they have the axes that they should have."""
        found, where = trees.leaves(out), f"{name} ({' steps, batch '.join(map(str, front))})"
        where = f"{name} (batch {front[-1]})" if len(front) == 1 else where
        axes = "[B, ...]" if len(front) == 1 else "[T, B, ...]"
        if not found:
            self._misshapen("an output", f"{out!r}, which holds no array", where)
        arrays: list[np.ndarray] = []
        for leaf in found:
            if not trees.is_array(leaf.value):
                got = f"{_kind(leaf.value)} inside {_kind(out)}" if leaf.path else _kind(out)
                self._misshapen(f"arrays {axes}", got, where)
            shape = tuple(leaf.value.shape)
            if shape[: len(front)] != front:
                self._misshapen(f"axes {axes} = {front} first", f"shape {shape}", f"{where}, output, {leaf}")
            try:
                arrays.append(trees.to_numpy(leaf.value))
            except (TypeError, ValueError) as error:
                self._misshapen("arrays of numbers", str(error), f"{where}, output, {leaf}")
        form, tails = trees.structure(out), [array.shape[len(front) :] for array in arrays]
        if self._template is None:
            self._template, self._example = (form, tails, [leaf.path for leaf in found], name), out
            self.resolutions = [trees.resolution(leaf.value) for leaf in found]
        elif (form, tails) != self._template[:2]:
            told = f"{self._template[0]} with {self._template[1]} after the batch axis, as {self._template[3]} gave"
            self._misshapen(told, f"{form} with {tails}", where)
        return arrays

    def _other_axis(self, shape: tuple[int, ...], B: int) -> str:
        axis = shape.index(B) if B in shape and shape.count(B) == 1 else None
        return "" if axis is None else f" (the rows may be on axis {axis}: set batch_axis = {axis})"

    def _misshapen(self, expected: str, got: str, where: str) -> None:
        self._problem(laws.SHAPES, expected, got, where)
        raise UnansweredError(f"{where}: expected {expected}, got {got}")

    def _problem(self, law: Law, expected: str, got: str, where: str) -> None:
        self.problems.setdefault(law.id, law.broken(expected, got, where))


def at(obs: Any, t: int | slice, rows: Any = slice(None)) -> Any:
    """Steps (and rows) of a tree of observations."""
    return trees.map_leaves(lambda x: x[t, rows] if isinstance(t, int) else x[t][:, rows], obs)


def joined(*parts: Any) -> Any:
    """Trees of observations one after the other in time."""
    arrays = [[leaf.value for leaf in trees.leaves(part)] for part in parts]
    return trees.rebuild(parts[0], [np.concatenate(leaf) for leaf in zip(*arrays, strict=True)])


def with_rows(obs: Any, other: Any, rows: Any) -> Any:
    """The observations, with those of `other` in some rows."""

    def mix(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[:, rows] = y[:, rows]
        return x

    pairs = zip(trees.leaves(obs), trees.leaves(other), strict=True)
    return trees.rebuild(obs, [mix(x.value, y.value) for x, y in pairs])


def poisoned(tree: Any) -> Any:
    """NaN in every float of the tree."""

    def poison(leaf: Any) -> Any:
        if not trees.floating(leaf):
            return leaf
        return trees.like(leaf, np.full(tuple(leaf.shape), np.nan, np.float32))

    return trees.map_leaves(poison, tree)


def has_floats(tree: Any) -> bool:
    """Whether a NaN can lie in it."""
    return any(trees.floating(leaf.value) for leaf in trees.leaves(tree))


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return (
        f"a {name} of {len(value)}"
        if isinstance(value, list | dict)
        else f"{'an' if name[0] in 'aeio' else 'a'} {name}"
    )


def _said(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
