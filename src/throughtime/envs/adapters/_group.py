"""Several Gymnasium environments stepped one after another, in whatever thread or process: same-step autoreset."""

import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from throughtime.envs.adapters._arrays import Arrays
from throughtime.envs.adapters._layout import ActionLayout
from throughtime.envs.adapters._sight import Sight


class Failure(NamedTuple):
    """An environment that raised."""

    environment: int  # its index in the whole batch
    trace: str  # the traceback
    lost: bool  # it could not be built anew either


class Group:
    """Environments first … first + n − 1 of a batch.

    One that raises is built anew, and its episode counts as truncated at the last observation it gave: nothing is
    known of the step that raised.

    Args:
        build: makes one Gymnasium environment.
        first: index of the first of them in the batch.
        arrays: theirs, n rows.
        sight: how observations are written.
        actions: how actions are read.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        first: int,
        arrays: Arrays,
        sight: Sight,
        actions: ActionLayout,
    ):
        self._build, self._first, self._arrays = build, first, arrays
        self._write, self._read = sight.write, actions.read
        self._envs: list[Any] = [None] * len(arrays.rewards)
        self.abandoned = False  # set by whoever gave up waiting: nothing may be written from then on

    def run(self, command: str) -> list[Failure]:
        """Resets ("reset") or steps ("step") each environment; the failures among them."""
        one = self._reset if command == "reset" else self._step
        failures = []
        for i in range(len(self._envs)):
            self._arrays.current[0] = self._first + i
            try:
                one(i)
            except Exception:  # whatever the user's code raises is reported, with its traceback
                failures.append(self._rebuild(i, traceback.format_exc()))
            if self.abandoned:
                return []
        self._arrays.current[0] = -1
        return failures

    def close(self) -> None:
        """Closes the environments."""
        for env in self._envs:
            try:
                if env is not None:
                    env.close()
            except Exception:  # it has served its time, and nobody waits for it
                continue

    def _reset(self, i: int) -> None:
        if self._envs[i] is None:
            self._envs[i] = self._build()
        observation, info = self._envs[i].reset(seed=int(self._arrays.seeds[i]))
        self._write(self._envs[i], observation, info, self._arrays.observations[i])

    def _step(self, i: int) -> None:
        arrays, env = self._arrays, self._envs[i]
        final = arrays.final_observations[i]
        try:
            observation, reward, terminated, truncated, info = env.step(self._read(arrays.actions[i]))
            if self.abandoned:
                return
            self._write(env, observation, info, final, asked=not terminated)
            arrays.rewards[i], arrays.terminated[i], arrays.truncated[i] = reward, terminated, truncated
        except Exception:
            cut_off(arrays, i)
            raise
        if terminated or truncated:
            observation, info = env.reset()
            self._write(env, observation, info, arrays.observations[i])
        else:
            arrays.observations[i] = final

    def _rebuild(self, i: int, trace: str) -> Failure:
        try:
            self._envs[i] = None
            self._arrays.seeds[i] += np.uint32(1)  # the same seed might lead to the same end
            self._reset(i)
        except Exception:
            return Failure(self._first + i, trace + "\nBuilding it anew:\n" + traceback.format_exc(), True)
        return Failure(self._first + i, trace, False)


def cut_off(arrays: Arrays, rows: int | slice) -> None:
    """The last step of these environments counts as truncated, after the observation that they gave last."""
    arrays.final_observations[rows] = arrays.observations[rows]
    arrays.rewards[rows], arrays.terminated[rows], arrays.truncated[rows] = 0.0, False, True
