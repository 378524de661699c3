"""Linear-time memories: their two scans against each other and against a GRU, and RTRL's diagonal path.

    python benchmarks/linear.py > linear.json

Loss and gradient (forward and backward) of LRU, minGRU and minLSTM, each with a serial and a parallel scan, beside
a GRU of the same width, for T = 32 to 10,000. Then one RTRL gradient of each linear memory with and without its
diagonal path. What is compared takes turns within one process, and medians are reported, so that a busy machine
slows all alike. Prints tables on stderr and one JSON object on stdout.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from throughtime.gradients import rtrl_gradient
from throughtime.memory import Memory, make_memory

LINEAR = ("lru", "mingru", "minlstm")
INPUTS = 8


def in_turns(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each, in turns until `seconds` have passed, at least three times."""
    for run in runs.values():
        jax.block_until_ready(run())
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds
    while len(next(iter(times.values()))) < 3 or time.perf_counter() < end:
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(of) for name, of in times.items()}


def compiled_gradient(memory: Memory, T: int, B: int) -> Callable[[], object]:
    """The gradient of a loss over all outputs with respect to the parameters, with resets now and then."""
    xs = jax.random.normal(jax.random.key(1), (T, B, INPUTS))
    resets = jax.random.uniform(jax.random.key(2), (T, B)) < 0.01

    def loss(memory, xs, resets):
        return jnp.sum(jnp.square(memory.unroll(memory.initial_state(B), xs, resets)[1]))

    gradient = jax.jit(jax.value_and_grad(loss)).lower(memory, xs, resets).compile()
    return lambda: gradient(memory, xs, resets)


def scans(B: int, H: int, T: int, seconds: float) -> dict[str, float]:
    """Milliseconds of one loss and gradient."""
    key = jax.random.key(0)
    runs = {"gru": compiled_gradient(make_memory("gru", INPUTS, H, key=key), T, B)}
    for name in LINEAR:
        for scan in ("serial", "parallel"):
            runs[f"{name} {scan}"] = compiled_gradient(make_memory(name, INPUTS, H, scan=scan, key=key), T, B)
    return in_turns(runs, seconds)


def rtrl(name: str, H: int, T: int, B: int, seconds: float) -> dict[str, float]:
    """Milliseconds of one RTRL gradient on both paths, and how many derivatives each takes a step."""
    memory = make_memory(name, INPUTS, H, key=jax.random.key(0))
    xs, targets = (jax.random.normal(jax.random.key(k), (T, B, n)) for k, n in ((1, INPUTS), (2, H)))
    args = (memory, memory.initial_state(B), xs, jnp.zeros((T, B), bool), targets)

    def path(diagonal: bool) -> Callable[[], object]:
        def gradient(memory, state, xs, resets, targets):
            loss = lambda y, target: jnp.sum(jnp.square(y - target))  # noqa: E731
            return rtrl_gradient(memory, state, xs, resets, loss, targets, diagonal=diagonal)

        program = jax.jit(gradient).lower(*args).compile()
        return lambda: program(*args)

    times = in_turns({"general": path(False), "diagonal": path(True)}, seconds)
    parameters = sum(a.size for a in jax.tree.leaves(memory))
    return times | {"parameters": parameters, "speedup": times["general"] / times["diagonal"]}


def main() -> None:
    """Measures, prints tables and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each comparison")
    parser.add_argument("--steps", type=int, nargs="*", default=[32, 128, 1_000, 10_000], help="values of T")
    args = parser.parse_args()
    result: dict[str, object] = {"jax": jax.__version__, "python": platform.python_version(), "cores": os.cpu_count()}

    print("ms of one loss and gradient (and how many times a GRU's speed)", file=sys.stderr)
    columns = ["gru", *(f"{name} {scan}" for name in LINEAR for scan in ("serial", "parallel"))]
    print(f"{'B':>3} {'H':>4} {'T':>6}" + "".join(f"{c:>19}" for c in columns), file=sys.stderr)
    rows = []
    for B, H in ((1, 16), (16, 64)):
        for T in args.steps:
            times = scans(B, H, T, args.seconds)
            rows.append({"B": B, "H": H, "T": T, "milliseconds": times})
            cells = "".join(f"{times[c]:>11.2f} ({times['gru'] / times[c]:>4.1f}x)" for c in columns)
            print(f"{B:>3} {H:>4} {T:>6}{cells}", file=sys.stderr)
    result["scans"] = rows

    print("\nms of one RTRL gradient, T=16, B=2", file=sys.stderr)
    result["rtrl"] = {}
    for name in LINEAR:
        for H in (8, 32):
            row = result["rtrl"][f"{name} {H}"] = rtrl(name, H, 16, 2, args.seconds)
            print(
                f"{name:>8} H={H:<3} P={row['parameters']:<6} general {row['general']:8.2f}"
                f"  diagonal {row['diagonal']:8.2f}  {row['speedup']:6.1f}x",
                file=sys.stderr,
            )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
