"""Recurrent PPO end to end, beside sb3-contrib's RecurrentPPO and memorax's PPO in the same call.

Positions-only CartPole, Dense → memory → two heads, BPTT over whole rollouts. A sample is one training iteration:
acting, advantages, all updates. All are measured in turn, so that a busy machine slows all alike; compilation is timed
apart. sb3-contrib has an LSTM that actor and critic share, as in our "lstm". memorax has separate networks for the two
(its GRU is measured), as in our "gru, separate critic"; other differences are listed in the result.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.bench.machine import facts
from throughtime.bench.ppo_peers import MEMORAX_INSTALL, SB3_INSTALL, Load, Memorax, memorax_python, sb3_here, sb3_lstm
from throughtime.bench.timing import Timing, Work, interleave
from throughtime.core import ConfigError
from throughtime.envs import make
from throughtime.runs.train import compile_chunk

OURS = {"gru": ("gru", False), "lstm": ("lstm", False), "gru, separate critic": ("gru", True)}
SB3, MEMORAX = "sb3-contrib lstm", "memorax gru"
EQUALS = {SB3: "lstm", MEMORAX: "gru, separate critic"}  # which of ours has a peer's network
INSTALL = {SB3: SB3_INSTALL, MEMORAX: MEMORAX_INSTALL}


@dataclass(frozen=True)
class Contest:
    """All contestants at one width."""

    width: int
    load: Load
    timings: dict[str, Timing]  # seconds of an iteration
    compile_seconds: dict[str, float]  # ours
    memorax: dict[str, Any] | None = None  # what its worker says of itself
    torch_threads: int | None = None  # of sb3-contrib

    @property
    def peers(self) -> list[str]:
        """Those that were measured."""
        return [name for name in EQUALS if name in self.timings]

    def speeds(self, name: str) -> tuple[float, float, float]:
        """Environment steps a second: the median and the quartiles, lower first."""
        steps, t = self.load.envs * self.load.steps, self.timings[name]
        return steps / t.median, steps / t.high, steps / t.low

    def ratio(self, name: str, peer: str) -> float:
        """How many times as fast as a peer."""
        return self.timings[peer].median / self.timings[name].median

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = {}
        for name, timing in self.timings.items():
            speed, low, high = self.speeds(name)
            rows[name] = {
                "seconds": timing.as_dict(),
                "steps_per_second": speed,
                "steps_per_second_quartiles": [low, high],
                "ratios": {peer: self.ratio(name, peer) for peer in self.peers},
                "compile_seconds": self.compile_seconds.get(name),
            }
        return {
            "width": self.width,
            "load": asdict(self.load),
            "rows": rows,
            "memorax": self.memorax,
            "torch_threads": self.torch_threads,
        }


def bench_ppo(
    widths: Sequence[int] = (64, 128),
    *,
    rounds: int = 15,
    seconds: float = 60.0,
    memorax: str | None = None,
    load: Load | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Contest]:
    """Measures iterations of ours and of the peers that are here.

    Args:
        widths: units of the dense layer and of the memory.
        rounds: interleaved repeats at the most.
        seconds: time for a width's repeats.
        memorax: the interpreter that has it; by default the environment's, else this one if it has it.
        load: the sizes of an iteration.
        tell: called with what is done next.

    Raises:
        ConfigError: impossible sizes, or an interpreter for memorax that does not run it.
    """
    load, python, contests = load or Load(), memorax_python(memorax), []
    if any(width < 1 for width in widths):
        raise ConfigError(f"widths = {list(widths)}", "A layer has at least one unit.", "Give widths of 1 or more.")
    for width in widths:
        _agent("gru", False, width, load)  # impossible sizes are told before a peer stumbles over them
    for width in widths:
        with ExitStack() as stack:
            worker = None
            if python is not None:  # first: a wrong interpreter is told at once
                tell(f"width {width}: memorax compiles")
                worker = stack.enter_context(Memorax(python, width, load))
            work: dict[str, Work] = {}
            threads = None
            compile_seconds: dict[str, float] = {}
            for name, (memory, separate) in OURS.items():
                tell(f"width {width}: {name} compiles")
                work[name], compile_seconds[name] = ours(memory, separate, width, load)
            if sb3_here():
                tell(f"width {width}: sb3-contrib tries its threads")
                work[SB3], threads = sb3_lstm(width, load)
            if worker is not None:
                work[MEMORAX] = worker.iterate
            tell(f"width {width}: {', '.join(work)} in turn")
            timings = interleave(work, rounds=rounds, seconds=seconds)
            contests.append(Contest(width, load, timings, compile_seconds, worker and worker.about, threads))
    return contests


def ours(memory: str, separate: bool, width: int, load: Load) -> tuple[Work, float]:
    """One iteration as a function, and the seconds that compiling took."""
    ppo = _agent(memory, separate, width, load)
    # Compiled: `init` by itself lets arrays of the state share a buffer, which cannot be donated twice.
    box = [eqx.filter_jit(ppo.init)(jnp.uint32(0))]
    start = time.perf_counter()
    chunk = compile_chunk(ppo, box[0])
    seconds = time.perf_counter() - start

    def iterate() -> None:
        box[0], _, _, fault = chunk(box[0], jnp.int32(1), jnp.int32(1000), jnp.int32(0))
        assert int(fault.kind) == 0, f"iteration ended with fault {int(fault.kind)}"

    return iterate, seconds


def _agent(memory: str, separate: bool, width: int, load: Load) -> PPO:
    config = PPOConfig(num_envs=load.envs, rollout_length=load.steps, epochs=load.epochs, minibatches=load.minibatches)
    network = NetworkConfig(memory=memory, hidden_size=width, encoder=(width,), separate_critic=separate)
    return PPO(make("cartpole-positions"), config, network)


def left_out(contests: Sequence[Contest]) -> dict[str, str]:
    """The peers that were not measured, each with how to install it."""
    return {peer: how for peer, how in INSTALL.items() if all(peer not in contest.timings for contest in contests)}


def report(contests: Sequence[Contest]) -> dict[str, Any]:
    """The contests as one JSON object."""
    return {
        "benchmark": "ppo",
        "machine": facts("torch", "sb3-contrib", "gymnasium"),
        "left_out": left_out(contests),
        "equals": EQUALS,
        "summary": {
            peer: {str(c.width): c.ratio(EQUALS[peer], peer) for c in contests if peer in c.timings} for peer in EQUALS
        },
        "contests": [contest.as_dict() for contest in contests],
    }
