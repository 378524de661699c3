"""What the gradient microscope costs, and whether it measures what was made to order.

    python benchmarks/flow.py [--seeds 5] [--repeats 200] > flow.json

*Made to order*: an Elman network whose recurrent matrix is ρ times an orthogonal one, inputs so small that tanh is
linear: the growth of the gradient per step has to be ρ within 5%, in every seed. *Cost*: a training step's loss and
gradient with taps on every state, against the same without, interleaved in one process. Prints progress on stderr and
one JSON object on stdout; the exit status is 1 where a bar is missed.
"""

import argparse
import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from throughtime.gradients.flow import measure_flow
from throughtime.memory import make_memory

RADII, STEPS = (0.9, 1.0, 1.1), 100
COST_BAR, GROWTH_BAR = 0.05, 0.05
TIMED = [(name, rows) for name in ("elman", "gru", "lstm") for rows in (16, 64)]


def growths(radius: float, f: str, seeds: int) -> dict:
    """The measured growth per step, seed by seed."""
    measured = []
    for seed in range(seeds):
        key_memory, key_xs, key_loss = jax.random.split(jax.random.key(seed), 3)
        memory = make_memory("elman", 8, 64, key=key_memory, f=f, spectral_radius=radius)
        xs = 1e-7 * jax.random.normal(key_xs, (STEPS, 16, 8))
        d_ys = jax.random.normal(key_loss, (STEPS, 16, 64))
        state, resets = memory.initial_state(16), jnp.zeros((STEPS, 16), bool)
        flow = measure_flow(memory, state, xs, resets, d_ys, jacobian_rows=1)
        measured.append(flow.horizon.growth)
    worst = max(abs(growth / radius - 1) for growth in measured)
    result = {"radius": radius, "f": f, "growth_per_step": measured, "largest_error": worst}
    print(result, file=sys.stderr, flush=True)
    return result


def cost(name: str, rows: int, repeats: int) -> dict:
    """Median seconds of loss and gradient without and with taps: T=128, 64 inputs, 64 units."""
    T, size = 128, 64
    memory = make_memory(name, size, size, key=jax.random.key(0))
    state = memory.initial_state(rows)
    xs = jax.random.normal(jax.random.key(1), (T, rows, size))
    resets = jax.random.bernoulli(jax.random.key(2), 0.02, (T, rows))

    def loss(diff):
        memory, taps = diff
        return jnp.mean(jnp.square(memory.unroll(state, xs, resets, taps)[1]))

    def without(memory):
        return eqx.filter_value_and_grad(loss)((memory, None))

    def tapped(memory):
        taps = jax.tree.map(lambda a: jnp.zeros((T, *a.shape), a.dtype), state)
        return eqx.filter_value_and_grad(loss)((memory, taps))

    ways = [eqx.filter_jit(without), eqx.filter_jit(tapped)]
    seconds = np.zeros((repeats, 2))
    for step in ways:
        jax.block_until_ready(step(memory))
    for n in range(repeats):
        for way in (0, 1) if n % 2 else (1, 0):  # each goes first as often as the other
            start = time.perf_counter()
            jax.block_until_ready(ways[way](memory))
            seconds[n, way] = time.perf_counter() - start
    medians, ratios = np.median(seconds, axis=0), np.sort(seconds[:, 1] / seconds[:, 0])
    result = {
        "memory": name,
        "rows": rows,
        "milliseconds_without": round(1e3 * float(medians[0]), 3),
        "milliseconds_with": round(1e3 * float(medians[1]), 3),
        "overhead": round(float(np.median(ratios)) - 1, 4),  # the median over pairs, which a loaded machine moves least
    }
    print(result, file=sys.stderr, flush=True)
    return result


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description="Cost and truth of the gradient microscope.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=200)
    arguments = parser.parse_args()
    made = [growths(radius, f, arguments.seeds) for f in ("identity", "tanh") for radius in RADII]
    costs = [cost(name, rows, arguments.repeats) for name, rows in TIMED]
    reached = all(row["largest_error"] <= GROWTH_BAR for row in made) and all(r["overhead"] <= COST_BAR for r in costs)
    result = {
        "benchmark": "flow",
        "reached": reached,
        "bars": {"growth_error": GROWTH_BAR, "overhead": COST_BAR},
        "made_to_order": made,
        "cost_of_taps": costs,
    }
    print(json.dumps(result))
    sys.exit(not reached)


if __name__ == "__main__":
    main()
