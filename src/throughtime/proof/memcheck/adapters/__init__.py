"""Objects of other libraries as policies that memcheck can check. Each library is imported only where it is in use."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def adapt(policy: Any, observation_shape: tuple[int, ...] | None = None) -> Any:
    """A policy with `initial_state` and `step` or `sequence`; the object itself where it has them already.

    Known are: a `Memory` and a `Policy` of throughtime, a recurrent module of PyTorch, RecurrentPPO of sb3-contrib or
    its policy, a cell or RNN of flax (nnx; or linen, as a pair (module, variables)), an Equinox cell, and an agent of
    memorax (alone, or as a pair (agent, state)).

    Args:
        policy: any object.
        observation_shape: of one observation, for modules that do not tell it.

    Returns:
        The wrapped object, or `policy` where nothing is known of it.
    """
    for is_one, module in _KNOWN:
        if is_one(policy):
            return import_module(f"{__name__}.{module}").wrap(policy, observation_shape)
    return policy


def _instance_of(module: str, *names: str) -> Callable[[Any], bool]:
    """Whether an object is of a class that a module has; False where the module was never imported."""

    def check(value: Any) -> bool:
        loaded = sys.modules.get(module)
        return loaded is not None and isinstance(value, tuple(getattr(loaded, n) for n in names if hasattr(loaded, n)))

    return check


def _first_of_pair(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and len(value) == 2 and check(value[0])


def _is_protocol(value: Any) -> bool:
    return callable(getattr(value, "initial_state", None)) and (
        callable(getattr(value, "sequence", None)) or callable(getattr(value, "step", None))
    )


def _is_memorax(value: Any) -> bool:
    return type(value).__module__.startswith("memorax.") and hasattr(value, "init")


def _is_sb3(value: Any) -> bool:
    return hasattr(getattr(value, "policy", value), "lstm_actor")


_linen = _instance_of("flax.linen.module", "Module")
_KNOWN: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_instance_of("throughtime.memory.base", "Memory"), "throughtime_memory"),
    (_instance_of("throughtime.agents.policy", "Policy"), "throughtime_policy"),
    (lambda value: _is_memorax(value) or _first_of_pair(_is_memorax)(value), "memorax_agent"),
    (_is_sb3, "sb3_recurrent"),
    (_is_protocol, "as_it_is"),
    (_instance_of("torch.nn", "Module"), "torch_module"),
    (_first_of_pair(_linen), "flax_module"),
    (_instance_of("flax.nnx", "Module"), "flax_module"),
    (_instance_of("equinox", "Module"), "equinox_cell"),
)
