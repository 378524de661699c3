"""Recurrent PPO end to end, beside sb3-contrib's RecurrentPPO in the same call.

    python benchmarks/ppo.py > ppo.json

Positions-only CartPole, Dense 64 → memory 64 → two heads, 64 environments × 128 steps, 4 epochs × 4 minibatches, BPTT
over all 128 steps. sb3-contrib has an LSTM only, so both ours are measured. Each repeat times one training iteration
(acting, advantages, all updates) of each in turn, so that a busy machine slows all alike; compilation is timed apart.
Prints a table on stderr and one JSON object on stdout.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv

from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.envs import make
from throughtime.runs.train import compile_chunk

ENVS, STEPS, EPOCHS, MINIBATCHES, WIDTH = 64, 128, 4, 4, 64


class Dense(BaseFeaturesExtractor):
    """Dense 64 with tanh, as ours."""

    def __init__(self, space: gymnasium.Space):
        super().__init__(space, WIDTH)
        self.net = torch.nn.Sequential(torch.nn.Linear(space.shape[0], WIDTH), torch.nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of a batch of observations."""
        return self.net(x)


class NoVelocities(gymnasium.ObservationWrapper):
    """sb3's mask: velocities times zero."""

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """The observation as the agent sees it."""
        return observation * np.array([1, 0, 1, 0], np.float32)


def ours(memory: str) -> tuple[Callable[[], None], float]:
    """One iteration as a function, and the seconds that compiling took."""
    config = PPOConfig(num_envs=ENVS, rollout_length=STEPS, epochs=EPOCHS, minibatches=MINIBATCHES)
    network = NetworkConfig(memory=memory, hidden_size=WIDTH, encoder=(WIDTH,))
    ppo = PPO(make("cartpole-positions"), config, network)
    box = [ppo.init(0)]
    start = time.perf_counter()
    chunk = compile_chunk(ppo, box[0])
    seconds = time.perf_counter() - start

    def iterate() -> None:
        box[0], _, _, fault = chunk(box[0], jnp.int32(1), jnp.int32(1000), jnp.int32(0))
        assert int(fault.kind) == 0

    return iterate, seconds


def theirs() -> Callable[[], None]:
    """One iteration of sb3-contrib's RecurrentPPO on the same work."""
    envs = DummyVecEnv([lambda: NoVelocities(gymnasium.make("CartPole-v1"))] * ENVS)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=STEPS,
        batch_size=ENVS * STEPS // MINIBATCHES,
        n_epochs=EPOCHS,
        policy_kwargs={
            "features_extractor_class": Dense,
            "net_arch": [],
            "lstm_hidden_size": WIDTH,
            "shared_lstm": True,
            "enable_critic_lstm": False,
        },
        seed=0,
    )
    return lambda: model.learn(ENVS * STEPS, reset_num_timesteps=False) and None


def main() -> None:
    """Interleaved repeats, medians, ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    gru, compile_gru = ours("gru")
    lstm, compile_lstm = ours("lstm")
    work = {"throughtime gru": gru, "throughtime lstm": lstm, "sb3-contrib lstm": theirs()}
    speeds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 1):
        for name, iterate in work.items():
            start = time.perf_counter()
            iterate()
            if repeat:  # the first warms up
                speeds[name].append(ENVS * STEPS / (time.perf_counter() - start))
    peer = statistics.median(speeds["sb3-contrib lstm"])
    rows = {
        name: {
            "steps_per_second": round(statistics.median(values)),
            "lowest": round(min(values)),
            "highest": round(max(values)),
            "ratio_to_sb3": round(statistics.median(values) / peer, 2),
        }
        for name, values in speeds.items()
    }
    for name, row in rows.items():
        print(
            f"{name:<18} {row['steps_per_second']:>8,} steps/s  ({row['lowest']:,} to {row['highest']:,})  "
            f"{row['ratio_to_sb3']:>6.1f} x",
            file=sys.stderr,
        )
    print(
        json.dumps(
            {
                "benchmark": "ppo",
                "repeats": repeats,
                "rows": rows,
                "compile_seconds": {"gru": round(compile_gru, 1), "lstm": round(compile_lstm, 1)},
                "versions": {"jax": jax.__version__, "torch": torch.__version__, "python": platform.python_version()},
            }
        )
    )


if __name__ == "__main__":
    main()
