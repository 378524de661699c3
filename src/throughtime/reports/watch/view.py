"""The view that works for every environment: observation, action, reward, value and memory, step by step."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Real

from throughtime.envs import COLOURS, Box, Discrete, Environment
from throughtime.envs.base import mask_size
from throughtime.reports.numbers import shorten
from throughtime.reports.watch.frame import WIDTH, Frame, Line, Span, bar, signed_bar
from throughtime.runs import EpisodeRecord

BLUE, RED, GREEN, GREY, PALE = "#0072b2", "#d55e00", "#00875f", "#8a939c", "#c9d1d9"
LABEL, NUMBER = 14, 9
BAR = WIDTH - LABEL - NUMBER - 1
MOST_BARS = 8
"""So many numbers get a bar each; more become cells of colour."""
MOST_CELLS = 4 * WIDTH
"""Cells of an array without a shape of its own; of larger ones evenly spread numbers are shown."""


class Shown(NamedTuple):
    """Whose episode it is, for the head of each frame."""

    title: str  # "t-maze · GRU, seed 0"
    episode: int  # which, counted from 1
    episodes: int  # of how many


def episode_frames(record: EpisodeRecord, env: Environment, shown: Shown) -> list[Frame]:
    """One frame a step: what was seen, what was done, and what it brought.

    Args:
        record: the episode, T steps.
        env: where.
        shown: for the head.

    Returns:
        T frames of one height.
    """
    T = len(record.rewards)
    returns = np.cumsum(env.discount ** np.arange(T) * record.rewards)
    hidden = _hidden_states(record, env)
    scales = _Scales(record, env)
    frames = []
    for t in range(T):
        lines: list[Line] = [
            _ends(Span(shown.title, bold=True), Span(f"episode {shown.episode} of {shown.episodes}", GREY)),
            _clock(t, T),
            *_drawn(env, record, t),
            *_section("observation", _observation(record, env, t, scales)),
            *_section("action", _action(record, env, t)),
            (),
            _row("reward", float(record.rewards[t]), scales.reward, RED if record.rewards[t] < 0 else GREEN),
            _row("return", float(returns[t]), float(np.abs(returns).max()), RED if returns[t] < 0 else GREEN),
            _row("value", float(record.values[t]), scales.value, BLUE),
        ]
        if hidden is not None:
            lines += [(), (Span("hidden state, which the agent does not see  ", GREY), Span(_plainly(hidden[t])))]
        if record.hidden is not None and record.hidden.shape[1]:
            lines += _section("memory", _cells(record.hidden[t], scales.memory, f"{record.hidden.shape[1]} numbers"))
        lines += [(), _outcome(record, t, float(returns[t]))]
        frames.append(tuple(lines))
    return frames


def _drawn(env: Environment, record: EpisodeRecord, t: int) -> Iterator[Line]:
    """The environment's own picture, what is hidden included."""
    drawing = None if record.states is None else env.draw(jax.tree.map(lambda x: x[t], record.states))
    if drawing is not None:
        yield ()
        for line in drawing.lines:
            yield tuple(Span(part.text, COLOURS[part.colour] or None) for part in line)


class _Scales:
    """The largest magnitudes of the episode: a bar or a colour means the same in each of its frames."""

    def __init__(self, record: EpisodeRecord, env: Environment):
        flat = np.abs(record.observations.reshape(len(record.rewards), -1))
        self.observation = np.max(flat, axis=0, initial=0.0)
        self.reward = float(np.abs(record.rewards).max())
        self.value = float(np.abs(record.values).max())
        self.memory = 0.0 if record.hidden is None else float(np.abs(record.hidden).max(initial=0.0))


def _observation(record: EpisodeRecord, env: Environment, t: int, scales: _Scales) -> Iterator[Line]:
    seen, labels, largest = record.observations[t], env.observation_labels, scales.observation
    masked = 0 if record.probabilities is None else mask_size(env)
    if masked:  # the probabilities of the actions tell what is allowed
        seen, labels, largest = seen.reshape(-1)[:-masked], labels[:-masked], largest[:-masked]
    if seen.size <= MOST_BARS:
        for label, value, scale in zip(labels, seen.ravel(), largest, strict=True):
            yield _row(label, float(value), float(scale), BLUE)
        return
    limit = float(largest.max())
    if seen.ndim in (2, 3) and seen.shape[0] > 1 and seen.shape[1] > 1:
        yield from _picture(seen, limit)
    else:
        yield from _cells(seen.ravel(), limit, f"{seen.size} numbers")


def _action(record: EpisodeRecord, env: Environment, t: int) -> Iterator[Line]:
    action, space = record.actions[t], env.action_space
    if isinstance(space, Discrete):
        taken = int(action)
        chances = None if record.probabilities is None else record.probabilities[t]
        if chances is None or space.n > MOST_BARS:
            chance = "" if chances is None else f", probability {chances[taken]:.2f}"
            yield _words("taken", env.action_labels[taken] + chance)
            return
        for i, (label, chance) in enumerate(zip(env.action_labels, chances, strict=True)):
            mark, colour = ("▸ ", None) if i == taken else ("  ", GREY)
            text = shorten(label, LABEL - 3)
            yield (
                Span(f"{mark}{text:<{LABEL - 2}}", colour, bold=i == taken),
                Span(bar(float(chance), BAR), BLUE if i == taken else GREY),
                Span(f"{chance:>{NUMBER}.2f}", colour),
            )
    elif isinstance(space, Box):
        limit = max(abs(space.low), abs(space.high))
        for label, value in zip(env.action_labels, np.ravel(action), strict=True):
            yield _row(label, float(value), limit, BLUE)
    else:
        for label, value in zip(env.action_labels, np.ravel(action), strict=True):
            yield _words(label, str(int(value)))


def _outcome(record: EpisodeRecord, t: int, total: float) -> Line:
    if t < len(record.rewards) - 1:
        return (Span(""),)
    how = "truncated" if record.truncated and not record.terminated else "ended"
    return (Span(f"{how} after {t + 1} steps, return {_number(total)}", GREEN if total > 0 else RED, bold=True),)


def _hidden_states(record: EpisodeRecord, env: Environment) -> np.ndarray | None:
    """`[T, …]`, where the environment has one that can be told in a line."""
    if record.states is None:
        return None
    try:
        hidden = np.asarray(jax.vmap(env.hidden_state)(record.states))
    except NotImplementedError:
        return None
    return hidden if hidden[0].size <= 6 else None


def _plainly(hidden: Any) -> str:
    return (
        f"{int(hidden)}"
        if hidden.ndim == 0 and hidden.dtype.kind in "iub"
        else "  ".join(_number(float(value)) for value in hidden.ravel())
    )


def _clock(t: int, T: int) -> Line:
    room = len(f"  step {T} of {T}")
    done = round((t + 1) / T * (WIDTH - room))
    step = f"step {t + 1} of {T}"
    return (Span("━" * done, BLUE), Span("━" * (WIDTH - room - done), PALE), Span(f"{step:>{room}}", GREY))


def _ends(left: Span, right: Span) -> Line:
    room = WIDTH - len(right.text) - 1
    left = left._replace(text=shorten(left.text, room))
    return (left, Span(" " * (WIDTH - len(left.text) - len(right.text))), right)


def _section(name: str, lines: Iterator[Line]) -> Iterator[Line]:
    yield ()
    yield (Span(name, GREY),)
    yield from lines


def _row(label: str, value: float, scale: float, colour: str) -> Line:
    share = float(value) / scale if scale > 0 and np.isfinite(value) else 0.0
    text = shorten(label, LABEL - 3)
    width = BAR - (BAR + 1) % 2
    left, axis, right = signed_bar(share, width).partition("│")
    return (
        Span(f"  {text:<{LABEL - 2}}"),
        Span(left, colour),
        Span(axis, PALE),
        Span(right.ljust(BAR - len(left) - 1), colour),
        Span(f"{_number(float(value)):>{NUMBER}}"),
    )


def _words(label: str, text: str) -> Line:
    return (Span(f"  {shorten(label, LABEL - 3):<{LABEL - 2}}"), Span(shorten(text, WIDTH - LABEL)))


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _cells(values: Real[np.ndarray, " N"], limit: float, about: str) -> Iterator[Line]:
    """A cell of colour for each number: blue below zero, red above."""
    count = len(values)
    if count > MOST_CELLS:
        values = values[np.linspace(0, count - 1, MOST_CELLS).astype(int)]
        about = f"{MOST_CELLS} of {about}"
    size = 1 if len(values) > (WIDTH - 2) // 2 else 2
    lines = max(-(-len(values) * size // (WIDTH - 2)), 1)
    per_line = max(-(-len(values) // lines), 1)  # lines as even as can be: a last one of two cells looks like a fault
    for begin in range(0, len(values), per_line):
        part = values[begin : begin + per_line]
        yield (Span("  "), *(Span(" " * size, ground=_diverging(float(v) / (limit or 1.0))) for v in part))
    yield (Span(f"  {about}, from {_number(-limit)} (blue) to {_number(limit)} (red)", GREY),)


def _picture(seen: Real[np.ndarray, "..."], limit: float) -> Iterator[Line]:
    """An array with rows and columns: two characters a cell; of three channels red, green and blue."""
    if seen.ndim == 3 and seen.shape[2] == 3 and seen.shape[0] > 8:
        colours = np.clip(seen / (limit or 1.0), 0, 1)
    else:
        layer = seen if seen.ndim == 2 else seen.mean(axis=2)
        colours = layer / (limit or 1.0)
    step = max(-(-colours.shape[0] // 24), -(-colours.shape[1] // ((WIDTH - 2) // 2)))
    for row in colours[::step, ::step]:
        cells = [_rgb(cell) if np.ndim(cell) else _diverging(float(cell)) for cell in row]
        yield (Span("  "), *(Span("  ", ground=cell) for cell in cells))


def _diverging(share: float) -> str:
    """Blue for −1, white for 0, red for 1; in 101 shades, of which a GIF's palette has room for every one."""
    share = round(50 * float(np.clip(share, -1.0, 1.0))) / 50
    end = np.array([178, 24, 43]) if share > 0 else np.array([33, 102, 172])
    return _rgb((np.array([245, 245, 245]) * (1 - abs(share)) + end * abs(share)) / 255)


def _rgb(colour: Any) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)
