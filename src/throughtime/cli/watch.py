"""`throughtime watch RUN`."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from rich.live import Live

from throughtime.cli._arguments import EnvCode, Json, parse, trust_code
from throughtime.cli._output import Output
from throughtime.core import ConfigError
from throughtime.proof.twins import memory_label
from throughtime.reports.watch import Frame, Shown, as_text, episode_frames, write_gif, write_strip
from throughtime.reports.watch.picture import HOLD
from throughtime.runs import load_run
from throughtime.runs.compilation import enable_compilation_cache


@dataclass(frozen=True)
class Watch:
    """Plays episodes of a trained run, its memory carried through each of them, at the terminal or as pictures.

    They are the very episodes that `throughtime eval` scores with the same --episodes and --seed.
    """

    run: tyro.conf.Positional[Path]
    """A run folder, or one checkpoint."""
    episodes: int = 1
    """How many."""
    seed: int | None = None
    """Of the episodes; by default one that no training uses."""
    speed: float = 8.0
    """Steps a second, at the terminal and in a GIF."""
    stochastic: bool = False
    """Draws the actions instead of taking the most probable ones."""
    gif: Path | None = None
    """Writes an animation to this file instead of playing."""
    png: Path | None = None
    """Writes a strip of frames of the first episode to this file instead of playing."""
    frames: int = 6
    """With --png: how many frames."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the environment to change, as NAME VALUE pairs: split unseen, say, of instructions."""
    env: EnvCode = None
    json: Json = False
    """Prints one JSON object on stdout, all else on stderr."""


def run(argv: list[str]) -> int:
    """Loads, plays, shows."""
    arguments = parse(Watch, "watch", argv)
    trust_code(arguments.env)
    if not (math.isfinite(arguments.speed) and arguments.speed > 0):
        raise ConfigError(f"--speed {arguments.speed:g}", "It is steps a second.", "Give a positive number.")
    output = Output(arguments.json)
    trained = load_run(arguments.run).where(**arguments.options)
    enable_compilation_cache()
    with output.console.status("playing …"):
        records = trained.record_episodes(
            arguments.episodes, seed=arguments.seed, deterministic=not arguments.stochastic
        )
        title = f"{trained.env.name} · {memory_label(trained.config)}, seed {trained.config.seed}"
        films = [
            episode_frames(record, trained.env.scored, Shown(title, i, len(records)))
            for i, record in enumerate(records, 1)
        ]
        gif = None if arguments.gif is None else write_gif(films, arguments.gif, speed=arguments.speed)
        png = None if arguments.png is None else write_strip(films, arguments.png, count=arguments.frames)
    if gif is None and png is None and not arguments.json:
        _play(films, arguments.speed, output)
    for path in (gif, png):
        if path is not None:
            output.console.print(f"Written: {path}", soft_wrap=True, markup=False)
    scores = [record.score for record in records]
    if len(scores) > 1:
        output.console.print(f"{len(scores)} episodes, mean return {np.mean(scores):.4g}")
    output.result(
        {
            "environment": trained.env.name,
            "step": trained.steps,
            "mean_return": float(np.mean(scores)),
            "episodes": [
                {
                    "return": record.score,
                    "length": len(record.rewards),
                    "terminated": record.terminated,
                    "truncated": record.truncated,
                }
                for record in records
            ],
            "gif": None if gif is None else str(gif),
            "png": None if png is None else str(png),
        }
    )
    return 0


def _play(films: Sequence[Sequence[Frame]], speed: float, output: Output) -> None:
    """Frame by frame where there is a terminal; elsewhere each episode's last frame."""
    if not output.console.is_terminal:
        for film in films:
            output.console.print(as_text(film[-1]))
        return
    height = output.console.height - 1
    for number, film in enumerate(films):
        with Live(
            as_text(film[0], height), console=output.console, auto_refresh=False, transient=number < len(films) - 1
        ) as live:
            for frame in film:
                live.update(as_text(frame, height), refresh=True)
                time.sleep(max(1 / speed, HOLD if frame is film[-1] and number < len(films) - 1 else 0.0))
