"""Floor 4: world models, memories that predict what an environment shows and pays, and what can be done in them."""

from throughtime.world.build import build_model as build_model
from throughtime.world.build import observation_kind as observation_kind
from throughtime.world.config import MemoryConfig as MemoryConfig
from throughtime.world.config import WorldModelConfig as WorldModelConfig
from throughtime.world.data import BEHAVIOURS as BEHAVIOURS
from throughtime.world.data import Behaviour as Behaviour
from throughtime.world.data import Sequences as Sequences
from throughtime.world.data import collect as collect
from throughtime.world.data import kind_of as kind_of
from throughtime.world.data import random_behaviour as random_behaviour
from throughtime.world.data import varied_behaviour as varied_behaviour
from throughtime.world.learning import LearningConfig as LearningConfig
from throughtime.world.learning import fit as fit
from throughtime.world.learning import parameters_of as parameters_of
from throughtime.world.mdn_rnn import MDNRNN as MDNRNN
from throughtime.world.model import LearnedModel as LearnedModel
from throughtime.world.model import Losses as Losses
from throughtime.world.model import Rollout as Rollout
from throughtime.world.model import WorldModel as WorldModel
from throughtime.world.model import check_finite as check_finite
from throughtime.world.rssm import RSSM as RSSM
from throughtime.world.simulation import Dream as Dream
from throughtime.world.simulation import Simulation as Simulation
