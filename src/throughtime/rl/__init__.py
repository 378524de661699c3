"""Floor 3: what reinforcement learning computes, as pure functions on arrays."""

from throughtime.rl.distributions import ActionDistribution as ActionDistribution
from throughtime.rl.distributions import Categorical as Categorical
from throughtime.rl.distributions import DiagonalGaussian as DiagonalGaussian
from throughtime.rl.distributions import Distribution as Distribution
from throughtime.rl.distributions import MultiCategorical as MultiCategorical
from throughtime.rl.losses import approximate_kl as approximate_kl
from throughtime.rl.losses import clipped_policy_loss as clipped_policy_loss
from throughtime.rl.losses import standardise as standardise
from throughtime.rl.losses import value_loss as value_loss
from throughtime.rl.moments import Moments as Moments
from throughtime.rl.q_learning import double_q_values as double_q_values
from throughtime.rl.q_learning import n_step_targets as n_step_targets
from throughtime.rl.q_learning import rescale as rescale
from throughtime.rl.q_learning import sequence_priority as sequence_priority
from throughtime.rl.q_learning import unscale as unscale
from throughtime.rl.replay import Replay as Replay
from throughtime.rl.replay import SequenceReplay as SequenceReplay
from throughtime.rl.returns import generalised_advantages as generalised_advantages
from throughtime.rl.returns import true_next_values as true_next_values
from throughtime.rl.sequences import cut as cut
from throughtime.rl.sequences import join_starts as join_starts
