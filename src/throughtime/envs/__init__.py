"""Floor 2: partially observed environments, as functions on arrays."""

from throughtime.envs.base import Box as Box
from throughtime.envs.base import Discrete as Discrete
from throughtime.envs.base import Environment as Environment
from throughtime.envs.base import Space as Space
from throughtime.envs.base import Tables as Tables
from throughtime.envs.linear_gaussian import LinearGaussian as LinearGaussian
from throughtime.envs.registry import ENVIRONMENTS as ENVIRONMENTS
from throughtime.envs.registry import EnvironmentEntry as EnvironmentEntry
from throughtime.envs.registry import make as make
from throughtime.envs.suite import CartPole as CartPole
from throughtime.envs.suite import Pendulum as Pendulum
from throughtime.envs.suite import Tiger as Tiger
from throughtime.envs.suite import TMaze as TMaze
from throughtime.envs.suite import Tracking as Tracking
from throughtime.envs.vector import VectorEnvironment as VectorEnvironment
from throughtime.envs.vector import VectorStep as VectorStep
