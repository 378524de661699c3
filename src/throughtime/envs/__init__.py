"""Floor 2: partially observed environments, as functions on arrays."""

from throughtime.envs.adapters import close_environments as close_environments
from throughtime.envs.adapters import to_gymnasium as to_gymnasium
from throughtime.envs.adapters import trust as trust
from throughtime.envs.base import Box as Box
from throughtime.envs.base import Discrete as Discrete
from throughtime.envs.base import Environment as Environment
from throughtime.envs.base import MultiDiscrete as MultiDiscrete
from throughtime.envs.base import Space as Space
from throughtime.envs.base import Tables as Tables
from throughtime.envs.host import HostEnvironment as HostEnvironment
from throughtime.envs.host import raise_error_of as raise_error_of
from throughtime.envs.host import release as release
from throughtime.envs.registry import ENVIRONMENTS as ENVIRONMENTS
from throughtime.envs.registry import EnvironmentEntry as EnvironmentEntry
from throughtime.envs.registry import entry_of as entry_of
from throughtime.envs.registry import make as make
from throughtime.envs.registry import make_from_file as make_from_file
from throughtime.envs.registry import name_of as name_of
from throughtime.envs.suite import CartPole as CartPole
from throughtime.envs.suite import Pendulum as Pendulum
from throughtime.envs.suite import Tiger as Tiger
from throughtime.envs.suite import TMaze as TMaze
from throughtime.envs.vector import VectorEnvironment as VectorEnvironment
from throughtime.envs.vector import VectorStep as VectorStep
