"""What the guard against gradients that are not finite costs a training step.

    python benchmarks/guard.py > guard.json

The same step three times: with nothing, with the guard, and with the guard while every gradient is NaN, so that each
update is skipped. GRU 64, 64 sequences of 128 steps, Adam, clipping by norm; ten steps a call, the three in turn, so
that a busy machine slows all alike. Prints a table on stderr and one JSON object on stdout.
"""

import argparse
import json
import platform
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax

from throughtime.core import select_rows
from throughtime.gradients import Guard, clip
from throughtime.memory import GRU

STEPS, BATCH, WIDTH, INPUTS, UPDATES = 128, 64, 64, 8, 10
BAR = 1.05  # of the plain step's time


def trainer(guarded: bool):
    """Ten steps of training as one program."""
    optimiser = optax.adam(1e-3)
    xs = jax.random.normal(jax.random.key(1), (STEPS, BATCH, INPUTS))
    resets = jnp.zeros((STEPS, BATCH), bool)

    def loss(memory, scale):
        return scale * jnp.mean(jnp.square(memory.unroll(memory.initial_state(BATCH), xs, resets)[1] - xs[..., :1]))

    def update(carry, scale):
        memory, state, guard = carry
        value, grads = jax.value_and_grad(loss)(memory, scale)
        clipped, _ = clip(grads, memory, "norm", 0.5)
        updates, next_state = optimiser.update(clipped, state)
        after = (optax.apply_updates(memory, updates), next_state)
        if guarded:
            ok, guard = guard.check(grads, [value])
            after = select_rows(ok, after, (memory, state))
        return (*after, guard), value

    memory = GRU(INPUTS, WIDTH, key=jax.random.key(0))
    carry = (memory, optimiser.init(memory), Guard.create(memory, 1))
    return jax.jit(lambda carry, scales: jax.lax.scan(update, carry, scales)), carry


def main() -> None:
    """Interleaved repeats; the median of the ratios within each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    good = jnp.ones(UPDATES)
    scales = {"plain": good, "guarded": good, "all skipped": jnp.nan * good}
    work = {name: (*trainer(name != "plain"), scales[name]) for name in scales}
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 1):
        for name, (run, carry, given) in work.items():
            start = time.perf_counter()
            (_, _, guard), _ = jax.block_until_ready(run(carry, given))
            if repeat:  # the first compiles
                seconds[name].append((time.perf_counter() - start) / UPDATES)
        assert int(guard.skipped) == UPDATES
    rows = {}
    for name in work:
        ratios = [a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)]
        rows[name] = {"milliseconds": 1e3 * statistics.median(seconds[name]), "ratio": statistics.median(ratios)}
        rows[name]["all_seconds"] = seconds[name]
        print(f"{name:12} {rows[name]['milliseconds']:8.3f} ms a step  {rows[name]['ratio']:.3f}x", file=sys.stderr)
    reached = max(rows["guarded"]["ratio"], rows["all skipped"]["ratio"]) <= BAR
    print(json.dumps({"benchmark": "guard", "machine": platform.machine(), "reached": reached, "rows": rows}))


if __name__ == "__main__":
    main()
