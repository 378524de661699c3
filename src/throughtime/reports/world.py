"""How good a world model is: figures, and the page around them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from throughtime.reports.flow.axes import whole_ticks
from throughtime.reports.page import bullets, command_line, figure, page, paragraph, section, table
from throughtime.reports.svg import GREY, INK, NARROW, ROLE_COLOURS, WIDE, axes_at, inline_svg, text_at
from throughtime.world.measures import Calibration, OpenLoop, SideBySide

MODEL, FEED_FORWARD, PERSISTENCE = ROLE_COLOURS["memory"], ROLE_COLOURS["memoryless"], GREY
LEAST_SPAN = 0.1  # of an axis: what differs by less is the same to the eye
SHOWN = 4  # numbers of an observation in the figure of an episode


@dataclass(frozen=True)
class Exploited:
    """What a policy that was trained in the dream gets there, and in the real environment."""

    name: str
    dream: tuple[float, tuple[float, float]]  # mean return, 95% interval
    real: tuple[float, tuple[float, float]]

    @property
    def difference(self) -> float:
        """Dream minus real: above 0 where the policy exploits what the model has wrong."""
        return self.dream[0] - self.real[0]


@dataclass(frozen=True)
class WorldReport:
    """All that the page shows."""

    environment: str
    model: str  # e.g. "mdn-rnn on gru"
    parameters: tuple[int, int]  # of the model, of the feed-forward one
    ahead: OpenLoop
    feed_forward: OpenLoop
    reward: Calibration
    continuation: Calibration
    episode: SideBySide
    observation_labels: Sequence[str]
    exploited: Sequence[Exploited]
    command: str

    def record(self) -> dict[str, Any]:
        """The same as plain values."""

        def plain(calibration: Calibration) -> dict[str, Any]:
            rows = zip(calibration.said.tolist(), calibration.came.tolist(), calibration.steps.tolist(), strict=True)
            return {"error": calibration.error, "bins": [{"said": s, "came": c, "steps": n} for s, c, n in rows]}

        return {
            "environment": self.environment,
            "model": self.model,
            "parameters": {"model": self.parameters[0], "feed_forward": self.parameters[1]},
            "open_loop": {
                "steps": len(self.ahead.model),
                "model": self.ahead.model.tolist(),
                "feed_forward": self.feed_forward.model.tolist(),
                "persistence": self.ahead.persistence.tolist(),
                "windows": self.ahead.windows.tolist(),
            },
            "reward": plain(self.reward),
            "continuation": plain(self.continuation),
            "policies": [
                {"name": e.name, "dream": e.dream[0], "real": e.real[0], "dream_minus_real": e.difference}
                for e in self.exploited
            ],
        }


def open_loop_figure(ahead: OpenLoop, feed_forward: OpenLoop, *, narrow: bool = False) -> str:
    """Error by steps ahead: the model, the feed-forward model, and persistence."""
    width, height = (NARROW, 260) if narrow else (WIDE, 300)
    left, right, top = (44, 12, 56) if narrow else (60, 20, 44)
    K = np.arange(1, len(ahead.model) + 1)
    lines = (
        ("world model", ahead.model, MODEL, "-"),
        ("feed-forward, same size", feed_forward.model, FEED_FORWARD, "-"),
        ("persistence", ahead.persistence, PERSISTENCE, "--"),
    )

    def draw(fig: Figure) -> None:
        axes = axes_at(fig, left, top, width - left - right, height - top - 48)
        for name, values, colour, style in lines:
            axes.plot(K, values, style, color=colour, linewidth=2, label=name)
        axes.set(xlim=(1, max(2, K[-1])), ylim=(0, None))
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(whole_ticks(5 if narrow else 10))
        axes.tick_params(axis="both", length=0)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=1 if narrow else 3, frameon=False, fontsize=12)
        text_at(fig, width - right, height - 6, "steps ahead", ha="right", color=GREY, size=12)

    said = f"After {K[-1]} steps: world model {ahead.model[-1]:.2f}, feed-forward {feed_forward.model[-1]:.2f}."
    return inline_svg(draw, _name("open-loop", narrow), width, height, "Open-loop error", said)


def calibration_figure(reward: Calibration, continuation: Calibration, *, narrow: bool = False) -> str:
    """What was said one step ahead against what came: on the line is calibrated."""
    width, size = (NARROW, 230) if narrow else (WIDE, 260)
    left, gap, top = 60, 110, 34
    height = 2 * (size + 80) if narrow else size + 84

    def panel(axes: Axes, found: Calibration, colour: str) -> None:
        low, high = min(found.said.min(), found.came.min()), max(found.said.max(), found.came.max())
        middle, span = 0.5 * (low + high), max(high - low, LEAST_SPAN)
        low, high, room = middle - 0.5 * span, middle + 0.5 * span, 0.08 * span
        axes.plot([low - room, high + room], [low - room, high + room], color=GREY, linewidth=1, linestyle="--")
        axes.scatter(found.said, found.came, s=12 + 120 * found.steps / found.steps.sum(), color=colour, zorder=3)
        axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room))
        axes.grid()
        axes.tick_params(axis="both", length=0)

    def draw(fig: Figure) -> None:
        for i, (name, found) in enumerate((("reward", reward), ("continuation", continuation))):
            x, y = (left, top + i * (size + 80)) if narrow else (left + i * (size + gap), top)
            panel(axes_at(fig, x, y, size, size), found, MODEL)
            text_at(fig, x - 40, y - 12, f"{name} that came", color=INK, weight="bold")
            text_at(fig, x + size, y + size + 36, "said one step before", ha="right", color=GREY, size=12)

    said = f"Calibration error: reward {reward.error:.3g}, continuation {continuation.error:.3g}."
    return inline_svg(draw, _name("calibration", narrow), width, height, "Calibration", said)


def episode_figure(episode: SideBySide, labels: Sequence[str], *, narrow: bool = False) -> str:
    """One episode, real and imagined: the numbers of the observation that vary most, the reward, the continuation."""
    vary = np.argsort(-episode.observations.std(axis=0), kind="stable")[:SHOWN]
    vary = [int(i) for i in sorted(vary) if episode.observations[:, i].std() > 1e-6]
    panels: list[tuple[str, Float[np.ndarray, " L"], Float[np.ndarray, " L"]]] = [
        (labels[i], episode.observations[:, i], episode.imagined[:, i]) for i in vary
    ]
    panels += [("reward", episode.rewards, episode.imagined_rewards)]
    goes_on = np.ones(len(episode.rewards))
    goes_on[-1] = 0.0 if episode.terminated else 1.0
    panels += [("goes on", goes_on, episode.continuations)]
    width, each, gap = (NARROW, 70, 42) if narrow else (WIDE, 74, 42)
    left, right, top = 60, 20, 64
    height = top + len(panels) * (each + gap) + 10
    steps = np.arange(1, len(episode.rewards) + 1)

    def draw(fig: Figure) -> None:
        for i, (name, real, imagined) in enumerate(panels):
            y = top + i * (each + gap)
            axes = axes_at(fig, left, y, width - left - right, each)
            axes.plot(steps, real, color=INK, linewidth=1.6, label="real")
            axes.plot(steps, imagined, color=MODEL, linewidth=1.6, label="imagined (mean of 16)")
            axes.set_xlim(1, max(2, len(steps)))
            if name == "goes on":
                axes.set_ylim(-0.05, 1.05)
            axes.grid(axis="y")
            axes.tick_params(axis="both", length=0)
            axes.xaxis.set_major_locator(whole_ticks(5 if narrow else 10))
            axes.yaxis.set_major_locator(whole_ticks(3) if np.ptp(real) > 4 else _few())
            text_at(fig, 0, y - 8, name, color=INK, weight="bold", size=12)
            if i == 0:
                handles, names = axes.get_legend_handles_labels()
                fig.legend(handles, names, loc="upper left", ncols=2, frameon=False, fontsize=12)
        text_at(fig, width - right, height - 2, "step", ha="right", color=GREY, size=12)

    said = f"{len(steps)} steps, imagined from the first observation and the actions alone."
    return inline_svg(draw, _name("episode", narrow), width, height, "One episode, real and imagined", said)


def world_page(report: WorldReport) -> str:
    """The page of `throughtime world`."""
    K = len(report.ahead.model)
    share = report.ahead.model[-1] / report.feed_forward.model[-1]
    rows = [
        [
            "1 step" if k == 1 else f"{k} steps",
            *(f"{x[k - 1]:.3f}" for x in _curves(report)),
            f"{report.ahead.windows[k - 1]:,}",
        ]
        for k in sorted({1, 5, 10, 20, K})
        if k <= K
    ]
    parts = [
        section(
            "How far ahead it sees",
            paragraph(
                f"{K} steps ahead without looking, the error of {report.model} is {share:.0%} of a feed-forward "
                f"model's of the same size ({report.parameters[0]:,} and {report.parameters[1]:,} parameters), on "
                "fresh episodes. Errors are root mean squares in standard deviations of the observation.",
                lead=True,
            ),
            _both(
                lambda narrow: open_loop_figure(report.ahead, report.feed_forward, narrow=narrow), "Open-loop error."
            ),
            table(["", "world model", "feed-forward", "persistence", "windows"], rows, "Errors by steps ahead"),
        ),
        section(
            "Whether it means what it says",
            _both(
                lambda narrow: calibration_figure(report.reward, report.continuation, narrow=narrow),
                "One step ahead, everything before it read. A dot is a tenth of the steps, its size their number; on "
                "the dashed line what was said is what came in the mean.",
            ),
            bullets(
                [
                    f"Reward: {report.reward.error:.3g} off in the mean.",
                    f"Continuation: {report.continuation.error:.3g} off in the mean.",
                ]
            ),
        ),
    ]
    if report.exploited:
        cells = [
            [e.name, _interval(*e.dream), _interval(*e.real), f"{e.difference:+.2f}".replace("-", "−")]
            for e in report.exploited
        ]
        parts.append(
            section(
                "What a policy from the dream is worth",
                paragraph(
                    "Returns with 95% intervals. What the dream pays and the real environment does not is exploited."
                ),
                table(["policy", "in the dream", "in the real one", "dream − real"], cells, "Dream and real returns"),
            )
        )
    parts += [
        section(
            "One episode, real and imagined",
            _both(
                lambda narrow: episode_figure(report.episode, report.observation_labels, narrow=narrow),
                "A fresh episode of random actions, and what the model imagines of the same actions after the first "
                "observation. Where chance decides, a mean of many futures is flat.",
            ),
        ),
        section("Command", command_line(report.command)),
    ]
    return page(f"World model of {report.environment}", f"{report.model}, learned from random actions.", parts)


def _curves(report: WorldReport) -> tuple[Float[np.ndarray, " K"], ...]:
    return report.ahead.model, report.feed_forward.model, report.ahead.persistence


def _both(draw: Callable[[bool], str], caption: str) -> str:
    return figure(draw(False), draw(True), caption)


def _interval(mean: float, interval: tuple[float, float]) -> str:
    return f"{mean:.2f} ± {(interval[1] - interval[0]) / 2:.2f}".replace("-", "−")


def _name(figure: str, narrow: bool) -> str:
    return f"{figure}-{'narrow' if narrow else 'wide'}"


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3)
