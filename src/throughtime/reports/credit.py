"""Where the reward of an episode came, and which steps earned it: a figure, and the page around it."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from throughtime.agents import RudderPPO
from throughtime.credit import (
    DecompositionState,
    Episodes,
    ReturnDecomposition,
    WatchConfig,
    WatchResult,
)
from throughtime.credit.lessons import take
from throughtime.envs import Discrete, PocketWatch
from throughtime.reports.data import CreditEpisode, CreditFound
from throughtime.reports.flow.axes import whole_ticks
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, axes_at, inline_svg, text_at

ORIGINAL, MOVED = ROLE_COLOURS["memoryless"], ROLE_COLOURS["memory"]


def credit_section(found: CreditFound) -> str:
    """The section of a run's report."""
    parts = [paragraph(found.said, lead=True)]
    if found.episode is not None:
        wide, narrow = (credit_figure(found.episode, narrow=narrow) for narrow in (False, True))
        caption = (
            f"{found.label}: of the stored episodes the one in which a step was paid most beyond what it is paid "
            "on average. It is named by the action before it, and what was seen then and at no other step. The first "
            "step is paid what is expected of any episode, beyond the frame where there is an arrow. Both sum to the "
            "same return."
        )
        parts.append(figure(wide, narrow, caption))
    return section("Who earned the reward", *parts)


def credit_found(agent: RudderPPO, state: Any, label: str = "") -> CreditFound:
    """What the agent knows of its rewards, with an episode to show it.

    Args:
        agent: whose.
        state: of its training, a `TrainState`.
        label: what people call it.
    """
    status = agent.status(state)
    return CreditFound(status.said, _telling(agent, state) if status.on else None, label)


def _telling(agent: RudderPPO, state: Any) -> CreditEpisode:
    """The stored episode in which a step was paid most beyond the mean of that step over all of them."""
    known, env = state.credit.decomposition, agent.env
    held = int(known.lessons.held)
    episodes = take(known.lessons.episodes, jnp.arange(held, dtype=jnp.int32))
    moved = np.asarray(agent.decomposition.rewards(known, episodes), float)
    inside = np.asarray(episodes.inside)
    mean = moved.sum(axis=1, keepdims=True) / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    step, column = np.unravel_index(np.where(inside, moved - mean, -np.inf).argmax(), moved.shape)
    length = int(episodes.lengths[column])
    seen = np.asarray(episodes.observations[: length + 1, column])
    only = np.flatnonzero((seen[step] != 0) & ((seen != 0).sum(axis=0) == 1))
    does = np.asarray(episodes.actions[max(step - 1, 0), column])
    name = env.action_labels[int(does.argmax())] if isinstance(env.action_space, Discrete) else "action"
    told = f"after “{name}”" if step else f"“{name}”"
    told += f": {env.observation_labels[only[0]]}" if len(only) else ""
    original = np.asarray(episodes.rewards[:length, column], float)
    return CreditEpisode(original, moved[:length, column], (int(step), told))


def credit_figure(episode: CreditEpisode, *, narrow: bool = False) -> str:
    """The reward as it came above, redistributed below, on one scale of each their own; what happened is named.

    Args:
        episode: at least one step.
        narrow: for windows about as wide as a phone.

    Returns:
        An `<svg>` element.
    """
    width, panel = (NARROW, 128) if narrow else (WIDE, 132)
    left, right, top, gap = (44, 10, 44, 74) if narrow else (60, 20, 44, 74)
    height = top + 2 * panel + gap + 42
    L = len(episode.original)
    parts = (("reward as it came", episode.original, ORIGINAL), ("redistributed", episode.redistributed, MOVED))

    def draw(figure: Figure) -> None:
        for i, (name, rewards, colour) in enumerate(parts):
            y = top + i * (panel + gap)
            axes = axes_at(figure, left, y, width - left - right, panel)
            axes.axhline(0, color=GREY, linewidth=0.8)
            axes.bar(np.arange(L), rewards, width=0.8, color=colour, linewidth=0)
            # What is expected of any episode is paid at the first step: beside it all else would be flat.
            framed = rewards[1:] if episode.action[0] else rewards
            low, high = min(0.0, float(framed.min())), max(0.0, float(framed.max()))
            room = 0.12 * (high - low) or 1.0
            axes.set(xlim=(-1, L), ylim=(low - room, high + room))
            axes.grid(axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines.left.set_visible(False)
            axes.spines.bottom.set_visible(False)
            axes.xaxis.set_major_locator(whole_ticks(5 if narrow else 10))
            axes.yaxis.set_major_locator(whole_ticks(4))
            total = f"{rewards.sum():.2f}".replace("-", "−")
            text_at(figure, 0, y - 26, name, color=colour, weight="bold")
            text_at(figure, width - right, y - 26, f"sum {total}", ha="right", color=GREY, size=12)
            if i == 0:
                continue
            if float(rewards[0]) > high + room:
                text_at(figure, left + 16, y + 10, f"{rewards[0]:.1f} ↑", color=GREY, size=11)
            marks = [(*episode.action, INK), *((t, text, GREY) for t, text in episode.events)]
            for t, text, ink in marks:
                x = left + (t + 1) / (L + 1) * (width - left - right)
                side, place = ("left", x - 3) if t < 0.8 * L else ("right", x + 3)
                text_at(figure, place, y - 6, text, ha=side, color=ink, size=11)
        text_at(figure, width - right, height - 4, "step", ha="right", color=GREY, size=12)

    step, action = episode.action
    earned = f"{episode.redistributed[step]:.2f} of {episode.original.sum():.2f}"
    said = f"Of the return, {earned} is given to step {step}: {action}."
    return inline_svg(draw, f"credit-{'narrow' if narrow else 'wide'}", width, height, "Who earned the reward", said)


def shown_episode(
    decomposition: ReturnDecomposition, state: DecompositionState, played: Episodes, env: PocketWatch
) -> CreditEpisode | None:
    """The last repaired watch that met two flat tyres or more, as the predictor explains it; None if there is none."""
    observations = np.asarray(played.observations)  # [T1, N, 8]: repaired, jams, flat tyres, …
    fit = np.flatnonzero((observations[-1, :, 0] == 1) & (observations[-1, :, 2] >= 2))
    if not len(fit):
        return None
    column = int(fit[-1])
    one = take(played, jnp.array([column], jnp.int32))
    flats = np.flatnonzero(np.diff(observations[:, column, 2]) > 0) + 1  # seen one step later
    last = len(observations) - 2
    events = [(min(int(t), last), "flat tyre") for t in flats]
    brand = int(observations[0, column, 3:7].argmax())
    return CreditEpisode(
        np.asarray(one.rewards[:, 0], float),
        np.asarray(decomposition.rewards(state, one)[:, 0], float),
        (0, f"repair brand {brand} (worth {env.action_values()[brand, 0]:.1f})".replace("-", "−")),
        events,
    )


def credit_page(
    config: WatchConfig,
    seeds: Sequence[int],
    results: Sequence[WatchResult],
    env: PocketWatch,
    episode: CreditEpisode | None,
    command: str,
) -> str:
    """The page of `throughtime credit pocket-watch`.

    Args:
        config: the learner.
        seeds: of the trainings.
        results: one for each seed.
        env: the task.
        episode: as `shown_episode` gives it.
        command: that made all this.
    """
    scores = [np.inf if r.episodes is None else r.episodes for r in results]
    middle = float(np.median(scores))
    told = f"after {middle:,.0f} episodes in the median" if np.isfinite(middle) else "not for good in the median"
    rows = []
    for seed, result in zip(seeds, results, strict=True):
        values = [f"{v:.2f}".replace("-", "−") for v in result.values[-1, :, 0]]
        score = "never" if result.episodes is None else f"{result.episodes:,}"
        rows.append([f"seed {seed}", score, *values, f"{result.seconds:.1f}"])
    exact = [f"{v:.2f}".replace("-", "−") for v in env.action_values()[:, 0]]
    rows.append(["exact", "", *exact, ""])
    head = ["", "episodes until right", *(f"brand {b}" for b in range(4)), "seconds"]
    parts = [
        section(
            "How soon the policy was right",
            paragraph(
                f"{config.method}: the greedy policy was right for all four brands, and stayed so up to episode "
                f"{config.episodes:,}, {told} over {len(seeds)} seed{'s' if len(seeds) > 1 else ''}. Values are those "
                "of repairing, at the end.",
                lead=True,
            ),
            table(head, rows, "Episodes and values of each seed"),
            bullets([f"Seed {seed}: {r.status.said}" for seed, r in zip(seeds, results, strict=True) if r.status]),
        )
    ]
    if episode is not None:
        wide, narrow = (credit_figure(episode, narrow=narrow) for narrow in (False, True))
        caption = (
            "One episode of the first seed. The repair is paid for at once, the sale pays at the end; redistributed, "
            "the decision gets what it is worth by the predictor, and each flat tyre what it cost. Both sum to the "
            "same return."
        )
        parts.append(section("Who earned the reward", figure(wide, narrow, caption)))
    parts.append(section("Command", command_line(command)))
    return page("The pocket watch", "One decision, its return after a long, noisy delivery.", parts)
