"""One file per task."""

from throughtime.envs.suite.autoencode import Autoencode as Autoencode
from throughtime.envs.suite.bandit import Bandit as Bandit
from throughtime.envs.suite.battleship import Battleship as Battleship
from throughtime.envs.suite.cartpole import CartPole as CartPole
from throughtime.envs.suite.cartpole_noisy import NoisyCartPole as NoisyCartPole
from throughtime.envs.suite.concentration import Concentration as Concentration
from throughtime.envs.suite.count_recall import CountRecall as CountRecall
from throughtime.envs.suite.discounting_chain import DiscountingChain as DiscountingChain
from throughtime.envs.suite.higher_lower import HigherLower as HigherLower
from throughtime.envs.suite.instructions import Instructions as Instructions
from throughtime.envs.suite.key_to_door import KeyToDoor as KeyToDoor
from throughtime.envs.suite.memory_chain import MemoryChain as MemoryChain
from throughtime.envs.suite.minesweeper import Minesweeper as Minesweeper
from throughtime.envs.suite.mountain_car import MountainCarContinuous as MountainCarContinuous
from throughtime.envs.suite.pendulum import Pendulum as Pendulum
from throughtime.envs.suite.pendulum_noisy import NoisyPendulum as NoisyPendulum
from throughtime.envs.suite.pocket_watch import PocketWatch as PocketWatch
from throughtime.envs.suite.repeat_first import RepeatFirst as RepeatFirst
from throughtime.envs.suite.repeat_previous import RepeatPrevious as RepeatPrevious
from throughtime.envs.suite.rock_sample import RockSample as RockSample
from throughtime.envs.suite.t_maze import TMaze as TMaze
from throughtime.envs.suite.tiger import Tiger as Tiger
from throughtime.envs.suite.tracking import Tracking as Tracking
from throughtime.envs.suite.umbrella import Umbrella as Umbrella
