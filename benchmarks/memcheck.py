"""memcheck measured: false alarms over random right policies, seeded faults found, seconds on a GRU of 128 units.

python benchmarks/memcheck.py [--policies 200] [--seed 0]
python benchmarks/memcheck.py --tables           # the tables of docs/memcheck.md, as Markdown
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "proof" / "memcheck"))

import jax
from memcheck_faults import FAULTS
from memcheck_zoo import random_policy

from throughtime.memory import make_memory
from throughtime.proof.memcheck import POLICY_LAWS, memcheck


def tables() -> None:
    """The laws, and the faults with the law that names each."""
    print("| law | what it says | usual cause where it is broken |\n|---|---|---|")
    for law in POLICY_LAWS:
        print(f"| `{law.id}` | {law.statement} | {law.usual_cause} |")
    print("\n| fault | seen in | law that breaks |\n|---|---|---|")
    for fault in FAULTS:
        print(f"| {fault.name} | {fault.seen} | `policy/{fault.law}` |")


def false_alarms(count: int, seed: int) -> int:
    """Checks random right policies; how many broke a law."""
    kinds: Counter[str] = Counter()
    alarms = 0
    start = time.perf_counter()
    for number in range(seed, seed + count):
        kind, policy = random_policy(number)
        kinds[kind] += 1
        for finding in memcheck(policy).broken:
            alarms += 1
            print(
                f"false alarm: {kind} (seed {number}) {finding.law.id}: {finding.expected}; {finding.got}; {finding.where}"
            )
        if number % 10 == 9:
            jax.clear_caches()
            print(f"{number - seed + 1} checked", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    print(f"false alarms: {alarms} in {count} right policies ({seconds:.0f} s): {dict(sorted(kinds.items()))}")
    return alarms


def faults() -> int:
    """Checks each seeded fault; how many were missed or misnamed."""
    wrong = 0
    for fault in FAULTS:
        found = [finding.law.id for finding in memcheck(fault.make()).broken]
        if found != [f"policy/{fault.law}"]:
            wrong += 1
            print(f"misnamed: {fault.name}: {found}, expected policy/{fault.law}")
    print(f"seeded faults: {len(FAULTS) - wrong} of {len(FAULTS)} named by exactly their law")
    return wrong


def speed() -> None:
    """Seconds of all laws on a GRU of 128 units, compilation included."""
    start = time.perf_counter()
    report = memcheck(make_memory("gru", 16, 128, key=jax.random.key(0)))
    print(f"GRU of 128 units (throughtime): {time.perf_counter() - start:.1f} s, {report.summary}")
    try:
        import torch
    except ImportError:
        return
    start = time.perf_counter()
    report = memcheck(torch.nn.GRU(16, 128))
    print(f"GRU of 128 units (torch.nn.GRU): {time.perf_counter() - start:.1f} s, {report.summary}")


def main() -> int:
    """All three, or the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # NaN in NumPy, which is asked for
    if args.tables:
        tables()
        return 0
    speed()
    wrong = faults()
    return 1 if false_alarms(args.policies, args.seed) + wrong else 0


if __name__ == "__main__":
    sys.exit(main())
