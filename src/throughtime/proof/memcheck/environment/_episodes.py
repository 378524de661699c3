"""Laws of ends: which flags tell them, how the environment resets after them, what it shows of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from throughtime.proof.memcheck.environment import laws
from throughtime.proof.memcheck.environment._probe import Probe, Trace
from throughtime.proof.memcheck.environment._returned import final_of
from throughtime.proof.memcheck.environment._values import row, same
from throughtime.proof.memcheck.law import Finding


class End(NamedTuple):
    """The end of one episode."""

    t: int
    b: int
    length: int  # steps of the episode, fake ones left out
    terminated: bool
    truncated: bool


class Episodes:
    """The episodes of one trace.

    Args:
        probe: the environment.
        trace: its main run.
        limit: the time limit, where one is known.
        firsts: first observations of many seeds.
        ignores_action: tells of an end (t, row) whether the step after it ignores its action; None where unknown.
        sure: the limit is known to be a time limit, not the horizon of the task, which terminates.
    """

    def __init__(
        self,
        probe: Probe,
        trace: Trace,
        limit: int | None,
        firsts: list[Any],
        ignores_action: Callable[[int, int], bool | None],
        sure: bool = True,
    ):
        self.probe, self.trace, self.limit, self.firsts = probe, trace, limit, firsts
        self.ignores_action, self.sure = ignores_action, sure
        self.ends: list[End] = []
        self.running = [0] * probe.B  # the lengths of the unfinished ones
        fake = np.zeros(probe.B, bool)
        for t, step in enumerate(trace.steps):
            for b in range(probe.B):
                self.running[b] += not fake[b]
                if step.over[b]:
                    terminated, truncated = map(bool, step.ends[b])
                    self.ends.append(End(t, b, self.running[b], terminated, truncated))
                    self.running[b] = 0
            fake = step.over & (probe.mode == "next-step")

    def episodes_end(self) -> Finding:
        """At the limit at the latest."""
        longest = max([end.length for end in self.ends] + self.running, default=0)
        if self.limit is not None and longest > self.limit:
            got = f"an episode of {longest} steps or more"
            return laws.ENDS.broken(f"an end after {self.limit} steps, the declared limit", got, "the longest episode")
        if not self.ends:
            return laws.ENDS.not_checked(f"no episode ended within {len(self.trace.steps)} steps: give more `steps`")
        return laws.ENDS.held(f"{len(self.ends)} episodes, the longest of {longest} steps")

    def flags_apart(self) -> Finding:
        """Not both up at every end (unless each is at the limit, where both may be true)."""
        if len(self.ends) < 3:
            return laws.FLAGS_APART.not_checked(f"needs three ends, and {len(self.ends)} came: give more `steps`")
        both = [end.terminated and end.truncated for end in self.ends]
        if all(both) and any(end.length != self.limit for end in self.ends):
            got = f"both flags at each of {len(both)} ends"
            return laws.FLAGS_APART.broken("terminated or truncated", got, _at(self.ends[0]))
        return laws.FLAGS_APART.held(f"{len(both)} ends")

    def time_limit(self) -> Finding:
        """At the limit, `truncated` is up."""
        law, limit = laws.TIME_LIMIT, self.limit
        if limit is None:
            return law.not_checked("needs time_limit: the environment declares none")
        at_limit = [end for end in self.ends if end.length == limit]
        if not at_limit:
            return law.not_checked(
                f"no episode reached the limit of {limit} steps: give actions, more steps, or a lower limit"
            )
        if not any(end.truncated for end in at_limit):
            if not self.sure and len(at_limit) == len(self.ends):
                return law.not_checked(f"every episode terminates after {limit} steps: that may be the task's horizon")
            got = f"terminated, at each of the {len(at_limit)} episodes that reached {limit} steps"
            return law.broken("truncated", got, _at(at_limit[0]))
        return law.held(f"{len(at_limit)} episodes reached {limit} steps")

    def autoreset(self) -> Finding:
        """What the metadata say against what was seen at the ends."""
        law, told = laws.AUTORESET, self.probe.mode
        if not self.ends:
            return law.not_checked("no episode ended")
        given = [end for end in self.ends if self._final(end) is not None]
        if not self.probe.vector and not told:
            if given:
                got = "a final observation in the info: the environment has reset itself"
                return law.broken("an environment that resets when asked to", got, _at(given[0]))
            return law.held("a single environment, reset by hand")
        followed = [end for end in self.ends if end.t + 1 < len(self.trace.steps)]
        ignored = {end: self.ignores_action(end.t, end.b) for end in followed[:2]}
        quiet = bool(followed) and all(self._quiet(end) for end in followed)
        takes = next((end for end, ignores in ignored.items() if ignores is False), None)
        seen = "same-step" if given else "next-step" if quiet and takes is None else ""
        if not told:
            return law.not_checked(f"the metadata tell no autoreset_mode; what was seen: {seen or 'no sign of one'}")
        if told == "next-step" and takes is not None:
            got = "a step that takes its action" + ("; a final observation in the infos: same-step" if given else "")
            return law.broken("a step after each end that only resets", got, f"after {_at(takes)}")
        if told != "same-step" and given:
            return law.broken(told, "a final observation in the infos: same-step", _at(given[0]))
        if told == "same-step" and not given and seen == "next-step":
            got = "the step after an end pays nothing and ignores its action: next-step"
            return law.broken(told, got, f"after {_at(followed[0])}")
        return law.held(f"{told}, {len(self.ends)} ends")

    def final_observation(self) -> Finding:
        """Delivered, and the true one."""
        law = laws.FINAL
        if not self.ends:
            return law.not_checked("no episode ended")
        finals = [self._final(end) if self.probe.mode == "same-step" else self._seen(end.t, end.b) for end in self.ends]
        for end, final in zip(self.ends, finals, strict=True):
            if final is None:
                return law.broken("info['final_obs']", "none", _at(end))
        if self._always(
            [self._is_first(end, final) for end, final in zip(self.ends, finals, strict=True)], self._starts
        ):
            return law.broken("the episode's last observation", "the first one of the next episode", _at(self.ends[0]))
        stale = [same(final, self._seen(end.t - 1, end.b)) for end, final in zip(self.ends, finals, strict=True)]
        if self._always(stale, self._repeats):
            return law.broken("the observation after the last step", "the one before it", _at(self.ends[0]))
        told = "" if self.probe.vector else ", none of them seen as a first observation"
        return law.held(f"{len(finals)} ends{told}")

    def fake_step(self) -> Finding:
        """No reward, no end."""
        law = laws.FAKE_STEP
        if self.probe.mode != "next-step":
            return law.not_checked("only next-step autoreset has fake steps")
        followed = [end for end in self.ends if end.t + 1 < len(self.trace.steps)]
        if not followed:
            return law.not_checked("no episode ended before the last step")
        for end in followed:
            if not self._quiet(end):
                step = self.trace.steps[end.t + 1]
                got = f"a reward of {step.rewards[end.b]:g}" + (", and an end" if step.over[end.b] else "")
                return law.broken("a reward of 0 and no end", got, f"step {end.t + 1}, row {end.b}")
        total = len(self.trace.steps) * self.probe.B
        return law.held(f"{len(followed)} of {total} steps only reset: leave them out of training")

    def _quiet(self, end: End) -> bool:
        step = self.trace.steps[end.t + 1]
        return bool(step.rewards[end.b] == 0 and not step.over[end.b])

    def _final(self, end: End) -> Any:
        return final_of(self.trace.steps[end.t].info, end.b, self.probe.vector)

    def _seen(self, t: int, b: int) -> Any:
        """The observation returned by step t, that of the reset for −1."""
        step = self.trace.steps[t] if t >= 0 else None
        value = self.trace.first if step is None else step.observation
        return row(value, b) if self.probe.vector else value

    def _is_first(self, end: End, final: Any) -> bool:
        if self.probe.mode == "same-step":
            return same(final, self._seen(end.t, end.b))
        return any(same(final, first) for first in self.firsts)

    def _always(self, hits: list[bool], usual: Callable[[], float]) -> bool:
        """At every one of three ends or more, where it is unusual within episodes."""
        return len(hits) >= 3 and all(hits) and usual() < 0.5

    def _repeats(self) -> float:
        """How often an observation within an episode is the one before once more."""
        inner = [(t, 0) for t, step in enumerate(self.trace.steps) if not step.over[0]]
        return float(np.mean([same(self._seen(t, b), self._seen(t - 1, b)) for t, b in inner] or [1.0]))

    def _starts(self) -> float:
        """How often an observation within an episode is one that episodes begin with."""
        inner = [t for t, step in enumerate(self.trace.steps) if not step.over[0]]
        hits = [any(same(self._seen(t, 0), first) for first in self.firsts) for t in inner[:200]]
        return float(np.mean(hits or [1.0]))


def _at(end: End) -> str:
    return f"step {end.t}, row {end.b}"
