"""Recurrent PPO in other libraries, on the work of `throughtime.bench.ppo`: one iteration per call.

sb3-contrib runs in this process. memorax pins old packages, so it runs in a worker process with an interpreter of its
own (`memorax_worker.py`), which is told over a pipe when to run an iteration.
"""
# pyright: reportMissingImports=false

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from throughtime.bench.timing import Work
from throughtime.core import ConfigError

MEMORAX_VARIABLE = "THROUGHTIME_MEMORAX_PYTHON"
MEMORAX_INSTALL = (
    'in a virtual environment of its own: pip install "jax==0.10.2" memorax==1.0.1 gymnax==0.0.9; '
    f"then --memorax-python PATH or ${MEMORAX_VARIABLE} names its interpreter"
)
SB3_INSTALL = "pip install torch sb3-contrib gymnasium"
WORKER = Path(__file__).with_name("memorax_worker.py")


@dataclass(frozen=True)
class Load:
    """The sizes of one iteration."""

    envs: int = 64
    steps: int = 128
    epochs: int = 4
    minibatches: int = 4


def sb3_here() -> bool:
    """Whether sb3-contrib can be imported."""
    return all(find_spec(package) is not None for package in ("torch", "sb3_contrib", "gymnasium"))


def sb3_lstm(width: int, load: Load) -> tuple[Work, int]:
    """sb3-contrib's RecurrentPPO, whose LSTM actor and critic share.

    Returns:
        An iteration, and its number of torch threads: one or torch's default, whichever was faster in a trial. (Beside
        other work torch's threads wait for each other so long that one is often several times as fast.)
    """
    import gymnasium
    import torch
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import DummyVecEnv

    class Dense(BaseFeaturesExtractor):
        """Dense with tanh, as ours."""

        def __init__(self, space: Any):
            super().__init__(space, width)
            self.net = torch.nn.Sequential(torch.nn.Linear(space.shape[0], width), torch.nn.Tanh())

        def forward(self, observations: Any) -> Any:
            return self.net(observations)

    class NoVelocities(gymnasium.ObservationWrapper):
        """Velocities times zero."""

        def observation(self, observation: Any) -> Any:
            return observation * np.array([1, 0, 1, 0], np.float32)

    envs = DummyVecEnv([lambda: NoVelocities(gymnasium.make("CartPole-v1"))] * load.envs)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=load.steps,
        batch_size=load.envs * load.steps // load.minibatches,
        n_epochs=load.epochs,
        policy_kwargs={
            "features_extractor_class": Dense,
            "net_arch": [],
            "lstm_hidden_size": width,
            "shared_lstm": True,
            "enable_critic_lstm": False,
        },
        seed=0,
    )

    def iterate(threads: int) -> float:
        torch.set_num_threads(threads)
        start = time.perf_counter()
        model.learn(load.envs * load.steps, reset_num_timesteps=False)
        return time.perf_counter() - start

    default = torch.get_num_threads()
    iterate(1)  # warms up
    threads = min({1, default}, key=iterate)
    torch.set_num_threads(default)
    return lambda: iterate(threads), threads


def memorax_python(chosen: str | None) -> str | None:
    """The interpreter to run memorax with: the chosen one, the environment's, this one, or None where there is none.

    Raises:
        ConfigError: a chosen interpreter that is not there.
    """
    named = chosen or os.environ.get(MEMORAX_VARIABLE)
    if not named:
        return sys.executable if find_spec("memorax") is not None else None
    if not os.access(named, os.X_OK) or not os.path.isfile(named):
        raise ConfigError(
            f"The Python for memorax, {named}, cannot be run.",
            "No executable file is there.",
            f"Install memorax {MEMORAX_INSTALL}.",
        )
    return named


class Memorax:
    """A worker process with memorax's PPO, compiled; `iterate` runs one iteration in it.

    Args:
        python: its interpreter.
        width: units of each layer.
        load: the sizes.

    Raises:
        ConfigError: the worker did not come up, for example because memorax is not installed there.
    """

    def __init__(self, python: str, width: int, load: Load):
        sizes = [word for name, value in asdict(load).items() for word in (f"--{name}", str(value))]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        self._python = python
        self._process = subprocess.Popen(
            # -P: this folder's modules are no business of an interpreter that reads a script from it
            [python, "-P", str(WORKER), "--serve", "--cell", "gru", "--width", str(width), *sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.about: dict[str, Any] = json.loads(self._line())
        except BaseException:
            self.close()
            raise

    def iterate(self) -> float:
        """One iteration; its seconds as the worker saw them."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker has died, and what it said is told below
        return float(self._line())

    def close(self) -> None:
        """Ends the worker."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            raise ConfigError(
                f"memorax's worker ended with status {self._process.returncode}.",
                said[-1] if said else "It said nothing.",
                f"Its interpreter was {self._python}. Install memorax {MEMORAX_INSTALL}.",
            )
        return line

    def __enter__(self) -> "Memorax":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
