"""`memcheck`: one call for policies, environments and rollouts of any framework."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from throughtime.core import ConfigError
from throughtime.proof.memcheck.adapters import adapt
from throughtime.proof.memcheck.law import Findings, Law
from throughtime.proof.memcheck.policy import Settings, check_policy
from throughtime.proof.memcheck.policy_laws import POLICY_LAWS
from throughtime.proof.memcheck.report import Report

# The modules of the other groups are loaded when they are needed.
_ENVIRONMENT = ("environment", "check_environment", "environment_laws", "ENVIRONMENT_LAWS")
_ROLLOUT = ("rollout_check", "check_rollout", "rollout_laws", "ROLLOUT_LAWS")

GROUPS = ("policy", "environment", "rollout")
_ARGUMENT = {"policy": "policy", "environment": "env", "rollout": "rollout"}


def memcheck(
    policy: Any = None,
    env: Any = None,
    rollout: Any = None,
    *,
    observation_shape: tuple[int, ...] | None = None,
    time: int = 12,
    batch: int = 4,
    seed: int = 0,
    timeout: float = 60.0,
    tolerance: float | None = None,
) -> Report:
    """Checks whether a policy, an environment or a recorded rollout handles memory correctly.

        report = tt.memcheck(policy)
        print(report)               # a table, and each broken law explained
        assert report.passed

    Args:
        policy: three functions (see `throughtime.proof.memcheck.protocol`), or an object that `adapters.adapt` knows:
            a module of PyTorch, flax or Equinox, sb3-contrib's RecurrentPPO, an agent of memorax, a `Memory` or
            `Policy` of this library.
        env: an environment; it also says what the policy's observations look like.
        rollout: a recorded rollout; what it needs of the policy is taken from `policy`.
        observation_shape: of one observation, where neither the policy nor `env` tells.
        time: steps of the sequences that a policy is checked with; an even number of 6 or more.
        batch: rows of its batches; 2 or more.
        seed: of the observations, and of the environment.
        timeout: seconds that a single call may take; 0 for no limit.
        tolerance: relative difference that still counts as equal; by default what the dtypes' rounding explains.

    Returns:
        The report: `passed`, `broken`, `findings`, `json()`.

    Raises:
        ConfigError: nothing to check, or nothing that memcheck knows.
    """
    if policy is None and env is None and rollout is None:
        raise ConfigError("There is nothing to check.", "", "Give memcheck a policy, an env or a rollout.")
    groups: dict[str, Findings] = {}
    if policy is not None:
        policy = adapt(policy, observation_shape)
        settings = Settings(time, batch, seed, timeout, tolerance)
        groups["policy"] = check_policy(policy, env, observation_shape=observation_shape, settings=settings)
    if env is not None:
        groups["environment"] = _function(_ENVIRONMENT)(env, seed=seed, timeout=timeout)
    if rollout is not None:
        groups["rollout"] = _function(_ROLLOUT)(rollout, policy)
    return Report(groups)


def memcheck_any(target: Any, **options: Any) -> Report:
    """`memcheck` of an object by what it is: an environment has reset and step, a rollout is a `Rollout`.

    Args:
        target: a policy, an environment or a rollout.
        **options: of `memcheck`.
    """
    return memcheck(**{_ARGUMENT[group_of(target)]: target}, **options)


def group_of(target: Any) -> str:
    """Which laws speak of an object: "policy", "environment" or "rollout"."""
    if type(target).__name__ == "Rollout":
        return "rollout"
    if callable(getattr(target, "reset", None)) and hasattr(target, "action_space") and hasattr(target, "step"):
        return "environment"
    return "policy"


def all_laws(group: str) -> tuple[Law, ...]:
    """The laws of a group, in the order in which they are checked."""
    if group == "policy":
        return POLICY_LAWS
    names = _ENVIRONMENT if group == "environment" else _ROLLOUT
    return getattr(_module(names[2]), names[3])


def _function(names: tuple[str, str, str, str]) -> Callable[..., Findings]:
    return getattr(_module(names[0]), names[1])


def _module(name: str) -> Any:
    return import_module(f"throughtime.proof.memcheck.{name}")
