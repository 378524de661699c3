"""One file per task."""

from throughtime.envs.suite.cartpole import CartPole as CartPole
from throughtime.envs.suite.discounting_chain import DiscountingChain as DiscountingChain
from throughtime.envs.suite.key_to_door import KeyToDoor as KeyToDoor
from throughtime.envs.suite.memory_chain import MemoryChain as MemoryChain
from throughtime.envs.suite.mountain_car import MountainCarContinuous as MountainCarContinuous
from throughtime.envs.suite.pendulum import Pendulum as Pendulum
from throughtime.envs.suite.repeat_previous import RepeatPrevious as RepeatPrevious
from throughtime.envs.suite.rock_sample import RockSample as RockSample
from throughtime.envs.suite.t_maze import TMaze as TMaze
from throughtime.envs.suite.tiger import Tiger as Tiger
from throughtime.envs.suite.tracking import Tracking as Tracking
from throughtime.envs.suite.umbrella import Umbrella as Umbrella
