"""Checkpointed against full BPTT: peak memory and time of one gradient.

    python benchmarks/checkpointing.py > checkpointing.json

GRU 128, batch 16, sequences of 1,000, 10,000 and 100,000 steps. The segment is the longest that `segment_for_budget`
finds for 64 MiB. Each measurement is a process of its own, for its peak resident memory; the two methods take turns,
so that a busy machine slows both. `temp` is what XLA sets aside for the compiled gradient, `rss` by how much the
process's resident memory rises, at its peak, while gradients are taken: what the compiler used before is not in it.
Where full BPTT does not fit into the memory that is free, its figures are extrapolated from a tenth of T, and marked.
Needs Linux. Prints a table on stderr and one JSON object on stdout.
"""

import argparse
import ctypes
import gc
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp

from throughtime.gradients import checkpointed_bytes, checkpointed_loss, segment_for_budget
from throughtime.memory import GRU

BATCH, WIDTH, INPUTS, BUDGET = 16, 128, 8, 64 * 2**20
METHODS = ("full", "checkpointed")
MEMORY_BAR, TIME_BAR = 0.10, 1.5


def squared_error(y: jax.Array, target: jax.Array) -> jax.Array:
    """Of one step."""
    return jnp.sum(jnp.square(y - target))


@contextmanager
def peak_rise() -> Iterator[list[int]]:
    """Puts into the list by how many bytes the process's resident memory rose, at its peak, in the block.

    Linux counts the peak (VmHWM) from the last time that 5 was written to clear_refs. What was used and freed before is
    given back first: reused pages would not be seen to rise.
    """
    rise: list[int] = []
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("/proc/self/status", "VmRSS")
    yield rise
    rise.append(1024 * (kilobytes("/proc/self/status", "VmHWM") - before))


def kilobytes(path: str, name: str) -> int:
    """A number of a table that Linux keeps."""
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def measure(method: str, T: int, run: bool) -> dict:
    """Compiles the gradient, and takes it twice: the second time counts."""
    memory = GRU(INPUTS, WIDTH, key=jax.random.key(0))
    segment = segment_for_budget(memory, BATCH, T, BUDGET)

    def loss(memory, state, xs, resets, targets):
        if method == "full":
            _, ys = memory.unroll(state, xs, resets)
            return jnp.sum(jax.vmap(squared_error)(ys, targets))
        return checkpointed_loss(memory, state, xs, resets, squared_error, targets, segment)[0]

    xs = jax.random.normal(jax.random.key(1), (T, BATCH, INPUTS))
    given = (memory, memory.initial_state(BATCH), xs, jnp.zeros((T, BATCH), bool), jnp.zeros(T))
    gradient = jax.jit(jax.value_and_grad(loss)).lower(*given).compile()
    result = {"temp": gradient.memory_analysis().temp_size_in_bytes}
    if method == "checkpointed":
        result |= {"segment": segment, "counted": checkpointed_bytes(memory, BATCH, T, segment)}
    if run:
        with peak_rise() as rise:
            for _ in range(2 if T <= 10_000 else 1):
                start = time.perf_counter()
                value, grads = jax.block_until_ready(gradient(*given))
                result["seconds"] = time.perf_counter() - start
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(eqx.filter(grads, eqx.is_array))))
        result |= {"rss": rise[0], "loss": float(value), "gradient_norm": float(norm)}
    return result


def child(method: str, T: int, run: bool) -> dict:
    """`measure` in a process of its own."""
    words = [sys.executable, __file__, "--child", method, str(T), str(int(run))]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def available() -> int:
    """Free memory in bytes, as Linux counts it."""
    return 1024 * kilobytes("/proc/meminfo", "MemAvailable")


def compare(T: int, repeats: int) -> dict:
    """Both methods at one length."""
    fits = child("full", T, False)["temp"] * 1.2 < available()
    runs: dict[str, list[dict]] = {name: [] for name in METHODS}
    for _ in range(repeats):
        for name in METHODS:
            extrapolate = name == "full" and not fits
            runs[name].append(child(name, T // 10 if extrapolate else T, True))
            if extrapolate:
                runs[name][-1] |= {key: 10 * runs[name][-1][key] for key in ("temp", "rss", "seconds", "loss")}
    row = {"T": T, "full_is_extrapolated": not fits}
    for name in METHODS:
        first = runs[name][0]
        seconds = [run["seconds"] for run in runs[name]]
        row[name] = first | {"rss": max(run["rss"] for run in runs[name])}
        row[name] |= {"seconds": statistics.median(seconds), "all_seconds": seconds}
    full, ours = row["full"], row["checkpointed"]
    row |= {f"{key}_ratio": ours[key] / full[key] for key in ("temp", "rss", "seconds")}
    if fits:
        row["gradient_norm_ratio"] = ours["gradient_norm"] / full["gradient_norm"]
    return row


def main() -> None:
    """All lengths; the bar is on the longest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        method, T, run = arguments.child
        print(json.dumps(measure(method, int(T), run == "1")))
        return
    rows = []
    for T in arguments.lengths:
        rows.append(row := compare(T, arguments.repeats))
        for name in METHODS:
            mark = " (extrapolated)" if name == "full" and row["full_is_extrapolated"] else ""
            figures = "  ".join(f"{key} {row[name][key] / 2**20:9.1f} MiB" for key in ("temp", "rss"))
            print(f"T={T:<7} {name:13} {figures}  {row[name]['seconds']:8.3f} s{mark}", file=sys.stderr)
        ratios = "  ".join(f"{key} {row[f'{key}_ratio']:.4f}" for key in ("temp", "rss", "seconds"))
        print(f"T={T:<7} ratios        {ratios}", file=sys.stderr, flush=True)
    last = rows[-1]
    reached = max(last["temp_ratio"], last["rss_ratio"]) <= MEMORY_BAR and last["seconds_ratio"] <= TIME_BAR
    print(json.dumps({"benchmark": "checkpointing", "machine": platform.machine(), "reached": reached, "rows": rows}))


if __name__ == "__main__":
    main()
