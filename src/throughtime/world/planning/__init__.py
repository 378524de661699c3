"""Planning in world models: which action to take next, by imagining what comes of it."""

from throughtime.world.planning.belief_model import BeliefModel as BeliefModel
from throughtime.world.planning.belief_model import BeliefState as BeliefState
from throughtime.world.planning.controller import Controller as Controller
from throughtime.world.planning.controller import ControllerState as ControllerState
from throughtime.world.planning.cross_entropy import CategoricalCrossEntropy as CategoricalCrossEntropy
from throughtime.world.planning.cross_entropy import CrossEntropy as CrossEntropy
from throughtime.world.planning.planner import Planned as Planned
from throughtime.world.planning.planner import Planner as Planner
from throughtime.world.planning.planner import TerminalValue as TerminalValue
from throughtime.world.planning.planner import imagined_returns as imagined_returns
from throughtime.world.planning.sparse_sampling import SparseSampling as SparseSampling
from throughtime.world.planning.state_value import StateValue as StateValue
from throughtime.world.planning.state_value import value_targets as value_targets
from throughtime.world.planning.uct import UCT as UCT
