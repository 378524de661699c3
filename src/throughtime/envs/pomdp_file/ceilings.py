"""What the best policies for a file return: solved once, then kept on disk beside the compiled programs."""

import json
import math
from typing import NamedTuple

from throughtime.core.cache import read_cached, write_cached
from throughtime.envs.pomdp_file.model import Model
from throughtime.envs.solver import Bounds, solve, solve_memoryless

VERSION = 1  # of the solver: a better one solves anew
SECONDS = 10.0  # for policies with memory
SECONDS_MEMORYLESS = 5.0

_SOLVED: dict[str, "Ceilings"] = {}


class Ceilings(NamedTuple):
    """Bounds of the best returns from the start of an episode, discounted by the file's discount, no time limit."""

    optimum: Bounds  # of policies with memory
    memoryless: Bounds  # of policies that see the present observation only, random ones among them


def ceilings_of(model: Model, checksum: str) -> Ceilings | None:
    """The ceilings of a file's POMDP.

    They are sound whatever the machine's speed, but on a slow one they may lie further apart.

    Args:
        model: the POMDP.
        checksum: the file's sha256, under which they are kept in `cache_folder()`.

    Returns:
        The ceilings; None where the discount is 1, for which the solver has no bounds.
    """
    if model.discount >= 1.0:
        return None
    if checksum not in _SOLVED:
        name = f"pomdp-{checksum[:32]}.json"
        known = _from_json(read_cached(name))
        if known is None:
            tables = model.tables()
            optimum = solve(tables, model.discount, seconds=SECONDS)
            memoryless = solve_memoryless(tables, model.discount, seconds=SECONDS_MEMORYLESS, upper=optimum.upper)
            known = Ceilings(optimum, memoryless)
            write_cached(name, json.dumps({"version": VERSION, **known._asdict()}))
        _SOLVED[checksum] = known
    return _SOLVED[checksum]


def _from_json(text: str | None) -> Ceilings | None:
    """The ceilings that the cache holds; None where they are missing, damaged or of another version."""
    try:
        found = json.loads(text or "")
        if found["version"] != VERSION:
            return None
        parts = [Bounds(*map(float, found[name])) for name in Ceilings._fields]
    except (ValueError, TypeError, KeyError):
        return None
    if any(not all(map(math.isfinite, part)) or part.lower > part.upper for part in parts):
        return None
    return Ceilings(*parts)
