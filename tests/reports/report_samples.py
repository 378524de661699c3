"""Reports with made-up but realistic numbers, for the tests of this folder."""

from dataclasses import replace

import numpy as np

from throughtime.reports import Ceilings, Curve, Episode, Report, Row

ENVIRONMENT = {
    "throughtime": "0.1.0",
    "jax": "0.10.2",
    "Python": "3.11.2",
    "CPUs": "2",
    "date": "2025-01-31 12:00 UTC",
}
CONFIG = 'seed = 0\n\n[environment]\nname = "t-maze"\nlength = 50\n\n[agent]\nmemory = "gru"\nhidden_size = 64\n'


def maze_curves(seeds: int, points: int = 120) -> list[Curve]:
    random = np.random.default_rng(0)
    steps = np.linspace(8_192, 1_000_000, points)
    noise = random.normal(0, 0.02, (3, seeds, points))
    rise = random.uniform(0.25, 0.45, (seeds, 1)) * 1e6
    learned = 0.5 + 0.498 / (1 + np.exp(-(steps[None] - rise) / 3e4))
    returns = np.minimum(learned + noise[0] * (learned < 0.98), 1.0)
    returns[:, 0] = np.nan  # no episode has finished yet
    return [
        Curve("GRU", "memory", steps, returns),
        Curve("no memory", "memoryless", steps, 0.5 + noise[1]),
        Curve("TDNN, window 16", "window", steps, 0.5 + noise[2]),
    ]


def maze_rows(seeds: int) -> list[Row]:
    common: dict = {"episodes": 1000 * seeds, "seeds": seeds, "env_steps": 1_000_000}
    return [
        Row("GRU", "memory", 0.998, (0.9952, 1.0), parameters=38_275, steps_per_second=41_230.5,
            seconds=26.41, **common),
        Row("no memory", "memoryless", 0.502, (0.471, 0.533), parameters=9_411, steps_per_second=88_000.0,
            seconds=12.93, **common),
        Row("TDNN, window 16", "window", 0.497, (0.466, 0.528), parameters=42_691, steps_per_second=61_954.1,
            seconds=17.9, **common),
    ]  # fmt: skip


def maze_episode() -> Episode:
    """Length 50: the goal shows at the first step only; 51 steps, 64 units of which some keep the goal."""
    random, T, H = np.random.default_rng(1), 51, 64
    time = np.arange(T)
    observations = np.zeros((T, 3))
    observations[0, 0], observations[-1, 1], observations[:, 2] = 1, 1, time / T
    probabilities = np.full((T, 4), 0.005)
    probabilities[:, 0] = 0.985
    probabilities[-1] = (0.004, 0.99, 0.003, 0.003)
    keep = random.uniform(-1, 1, H) * (random.random(H) < 0.5)
    drift = random.uniform(-0.6, 0.6, H) * np.tanh(time[:, None] / random.uniform(5, 40, H)[None])
    hidden = np.tanh(keep[None] * (1 + 0.2 * np.sin(time / 9))[:, None] + drift + random.normal(0, 0.03, (T, H)))
    actions = np.zeros(T, int)
    actions[-1] = 1
    rewards = np.zeros(T)
    rewards[-1] = 1
    return Episode(
        "GRU, seed 0", observations, ["goal sign", "junction", "position"], actions,
        ["right", "up", "left", "down"], probabilities, rewards, 0.97 + 0.03 * time / T, hidden,
        "hidden state h of the GRU",
    )  # fmt: skip


def cartpole_episode(T: int = 500, H: int = 64) -> Episode:
    random, time = np.random.default_rng(2), np.arange(T)
    observations = np.stack([0.4 * np.sin(time / 60), 0.05 * np.sin(time / 7) + 0.01 * random.normal(size=T)], 1)
    right = 1 / (1 + np.exp(-80 * observations[:, 1]))
    phase = random.uniform(0, 7, H)
    hidden = np.tanh(np.sin(time[:, None] / random.choice([7, 60], H)[None] + phase[None]))
    return Episode(
        "LSTM, seed 3", observations, ["cart position", "pole angle"], (random.random(T) < right).astype(int),
        ["push left", "push right"], np.stack([1 - right, right], 1), np.ones(T),
        99 * (1 - 0.99 ** (T - time)), hidden, "cell state c of the LSTM",
    )  # fmt: skip


def pendulum_episode(T: int = 200, H: int = 32) -> Episode:
    random, time = np.random.default_rng(3), np.arange(T)
    angle = 3 * np.exp(-time / 30) * np.cos(time / 8)
    hidden = np.tanh(np.sin(angle[:, None] * random.uniform(0.5, 2, H)[None] + random.uniform(0, 6, H)[None]))
    return Episode(
        "GRU, seed 0", np.stack([np.cos(angle), np.sin(angle)], 1), ["cos θ", "sin θ"],
        np.clip(-2 * angle[:, None], -2, 2), None, None, -(angle**2), -30 * np.exp(-time / 40), hidden,
        "hidden state h of the GRU",
    )  # fmt: skip


def maze_report(seeds: int = 1) -> Report:
    return Report(
        title="t-maze, length 50",
        task_description="At the first step a sign tells where the goal will be; 50 steps later, at the "
        "junction, the agent has to turn towards it. Only a policy that remembers the sign beats a coin.",
        command="throughtime train t-maze --environment.length 50 --steps 1000000 --seed 0",
        config_toml=CONFIG,
        environment=ENVIRONMENT,
        rows=maze_rows(seeds),
        curves=maze_curves(seeds),
        ceilings=Ceilings(optimal_return=1.0, memoryless_return=0.5),
        episode=maze_episode(),
        notes=["The window of the TDNN is 16 steps, shorter than the 50 that the task asks for."],
    )


def pendulum_report() -> Report:
    random, steps = np.random.default_rng(4), np.linspace(4096, 400_000, 90)
    risen = 1 - np.exp(-steps[None] / 8e4)

    def curve(end: float) -> np.ndarray:
        return -1400 + (end + 1400) * risen + random.normal(0, 40, (3, 90))

    common: dict = {"episodes": 300, "seeds": 3, "parameters": 20_000, "env_steps": 400_000}
    return replace(
        maze_report(),
        title="pendulum, positions only",
        task_description="The pole has to be swung up and held; its angular velocity is hidden.",
        rows=[
            Row("GRU", "memory", -171.3, (-180.2, -162.4), steps_per_second=12_000.0, seconds=66.2, **common),
            Row("LSTM", "memory", -188.9, (-199.2, -178.6), steps_per_second=9_100.0, seconds=81.0, **common),
            Row(
                "no memory",
                "memoryless",
                -905.2,
                (-960.7, -849.7),
                steps_per_second=31_000.0,
                seconds=20.1,
                **common,
            ),
        ],
        curves=[
            Curve("GRU", "memory", steps, curve(-170)),
            Curve("LSTM", "memory", steps, curve(-190)),
            Curve("no memory", "memoryless", steps, curve(-900)),
        ],
        ceilings=Ceilings(),
        episode=pendulum_episode(),
        notes=[],
    )
