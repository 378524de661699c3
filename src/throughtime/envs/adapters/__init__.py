"""Environments of others: gymnax, Gymnasium, MiniGrid, and the user's own; and ours as Gymnasium's."""

from throughtime.envs.adapters._user import check_trusted as check_trusted
from throughtime.envs.adapters._user import trust as trust
from throughtime.envs.adapters.gym import GymEnvironment as GymEnvironment
from throughtime.envs.adapters.gym import close_environments as close_environments
from throughtime.envs.adapters.gymnax import GymnaxEnvironment as GymnaxEnvironment
from throughtime.envs.adapters.outward import to_gymnasium as to_gymnasium
