"""Measures points of `throughtime.bench.scaling` in a process of its own: a job list on stdin, a JSON line for each.

Two figures say how much memory a call takes:

- `xla_bytes`: temporaries and results of the compiled program, as XLA plans them (`memory_analysis`). Arguments are not
  in it (weights and inputs; PPO's state, whose memory its results take over). What the native kernels save for the
  backward pass are XLA's arrays and are in it; their working memory of a call is not.
- `resident_bytes`: by how much the process's resident memory rose at its peak during one call (Linux's VmHWM, counted
  anew for it), which has all of it; None where the system does not say. Memory that the process had and did not give
  back is used again without a rise, so that small figures say little.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.agents import PPO, NetworkConfig, PPOConfig
from throughtime.bench.timing import Work, interleave
from throughtime.envs import make
from throughtime.kernels import kernels
from throughtime.memory import make_memory
from throughtime.runs.train import compile_chunk

PPO_DEFAULTS = {"steps": 128, "width": 64, "epochs": 4, "minibatches": 4}


def main() -> None:
    """Reads the jobs, measures them, and prints a line for each."""
    spec = json.load(sys.stdin)
    for job in spec["jobs"]:
        measured = measure(job["sizes"], spec["implementations"], spec["rounds"], spec["seconds"])
        print(json.dumps(measured), flush=True)


def measure(
    sizes: dict[str, int], implementations: list[str], rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Time and memory of one point, by implementation.

    Args:
        sizes: T, B, I and H of a layer; or envs, and what else `PPO_DEFAULTS` has, of a PPO iteration.
        implementations: "native", "xla".
        rounds: interleaved repeats at the most.
        seconds: time for the repeats.
    """
    work: dict[str, Work] = {}
    measured: dict[str, dict[str, Any]] = {}
    for name in implementations:
        with kernels(name):
            program, work[name] = _iteration(**PPO_DEFAULTS | sizes) if "envs" in sizes else _layer(**sizes)
        analysis = program.memory_analysis()
        xla_bytes = analysis.temp_size_in_bytes + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
        work[name]()  # what is made once is no part of a call's memory
        measured[name] = {"xla_bytes": xla_bytes, "resident_bytes": peak_rise(work[name])}
    timings = interleave(work, rounds=rounds, seconds=seconds)
    return {name: {"seconds": timings[name].as_dict(), **rest} for name, rest in measured.items()}


def _layer(T: int, B: int, I: int, H: int) -> tuple[Any, Work]:  # noqa: E741
    """Outputs of a GRU layer and the gradient of Σ w·y with respect to parameters and input."""
    memory = make_memory("gru", I, H, key=jax.random.key(0))
    arrays, rest = eqx.partition(memory, eqx.is_array)
    xs, w = jax.random.normal(jax.random.key(1), (T, B, I)), jax.random.normal(jax.random.key(2), (T, B, H))
    resets = jnp.zeros((T, B), bool)

    def loss(arrays: Any, xs: Any, w: Any) -> Any:
        memory = eqx.combine(arrays, rest)
        ys = memory.unroll(memory.initial_state(B), xs, resets)[1]
        return jnp.sum(ys * w), ys

    program = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)).lower(arrays, xs, w).compile()
    return program, lambda: jax.block_until_ready(program(arrays, xs, w))


def _iteration(envs: int, steps: int, width: int, epochs: int, minibatches: int) -> tuple[Any, Work]:
    """An iteration of PPO with a GRU on positions-only CartPole."""
    config = PPOConfig(num_envs=envs, rollout_length=steps, epochs=epochs, minibatches=minibatches)
    ppo = PPO(make("cartpole-positions"), config, NetworkConfig(memory="gru", hidden_size=width, encoder=(width,)))
    box = [eqx.filter_jit(ppo.init)(jnp.uint32(0))]
    program = compile_chunk(ppo, box[0])

    def iterate() -> None:
        box[0], *rest = program(box[0], jnp.int32(1), jnp.int32(1000), jnp.int32(0))
        jax.block_until_ready((box[0], rest))

    return program, iterate


def peak_rise(call: Callable[[], object]) -> int | None:
    """By how many bytes the process's resident memory rose, at its peak, in a call; None where Linux does not say."""
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back: reused pages would not be seen to rise
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        before = _kilobytes("VmRSS")
        call()
        return 1024 * max(0, _kilobytes("VmHWM") - before)
    except (OSError, AttributeError, StopIteration):
        return None


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
