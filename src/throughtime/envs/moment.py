"""One step of an episode, drawn for any environment: its picture where it has one, and what was seen, done and paid."""

from typing import Any, NamedTuple

import numpy as np

from throughtime.envs.base import Discrete, Environment, mask_labels, mask_size
from throughtime.envs.drawing import Drawing, Span

ROOM = 70  # columns for what was seen, beside its title


class Moment(NamedTuple):
    """What happened at step `time` of one episode: arrays of one environment, without a batch."""

    time: int  # steps since the reset
    state: Any  # at which the agent was; not read where the environment draws no pictures
    observation: Any  # what it saw there
    action: Any = None  # what it did then; None after the last step
    reward: float | None = None  # what that paid; None after the last step
    total: float = 0.0  # the rewards of the episode before this one
    ended: str = ""  # "terminated" or "truncated" where no step follows


def draw_moment(env: Environment, moment: Moment) -> Drawing:
    """The drawing of one step: `env.draw(state)` where there is one, then observation, action and reward.

    Works for every environment: numbers of the observation are named by `observation_labels`. One of zeros
    and ones is told by the names of the ones; of more than four numbers those that are not 0, as many as fit.

    Args:
        env: whose episode it is.
        moment: the step.

    Returns:
        The picture, an empty line, and four lines of words; with an action mask five, the third tells what is allowed.
    """
    ended = f", {moment.ended}" if moment.ended else ""
    observation, masked = np.asarray(moment.observation, np.float64).reshape(-1), mask_size(env)
    seen, mask = observation[: len(observation) - masked], observation[len(observation) - masked :]
    words = Drawing.of(
        [("step    ", "faint"), f"{moment.time}{ended}"],
        [("sees    ", "faint"), *_seen(env, seen)],
        *([[("may     ", "faint"), *_joined(_allowed(env, mask))]] if masked else []),
        [("does    ", "faint"), _done(env, moment.action)],
        [("earns   ", "faint"), *_earned(moment)],
    )
    picture = env.draw(moment.state)
    return words if picture is None else picture.above(Drawing.of([])).above(words)


def _seen(env: Environment, observation: np.ndarray) -> list[Span]:
    labels, space = env.observation_labels, env.observation_space
    flags = space.low == 0 and space.high == 1 and np.isin(observation, (0, 1)).all()
    if flags:
        parts = [labels[i] for i in np.flatnonzero(observation)]
    else:
        shown = range(len(observation)) if len(observation) <= 4 else np.flatnonzero(observation)
        parts = [f"{labels[i]} = {observation[i] + 0.0:.3g}" for i in shown]  # + 0.0: no negative zero
    return _joined(parts) if parts else [Span("all 0")]


def _allowed(env: Environment, mask: np.ndarray) -> list[str]:
    labels = [label.removeprefix("may ") for label in mask_labels(env)]
    return [label for label, allowed in zip(labels, mask, strict=True) if allowed] or ["–"]


def _joined(parts: list[str]) -> list[Span]:
    """As many as fit, and how many more there are."""
    text = parts[0]
    for count, part in enumerate(parts[1:], 1):
        rest = f", … {len(parts) - count} more"
        if len(text) + 2 + len(part) + len(rest) > ROOM:
            return [Span(text), Span(rest, "faint")]
        text = f"{text}, {part}"
    return [Span(text)]


def _done(env: Environment, action: Any) -> str:
    if action is None:
        return "–"
    labels = env.action_labels
    if isinstance(env.action_space, Discrete):
        return labels[int(action)]
    values = np.asarray(action, np.float64).reshape(-1)
    return ", ".join(f"{label} = {value:.3g}" for label, value in zip(labels, values, strict=True))


def _earned(moment: Moment) -> list[Span]:
    if moment.reward is None:
        return [Span(f"– ({moment.total:.4g} in all)")]
    colour = "goal" if moment.reward > 0 else "danger" if moment.reward < 0 else "plain"
    return [Span(f"{moment.reward:+.3g}", colour), Span(f" ({moment.total + moment.reward:.4g} so far)")]
