"""Laws of what was recorded while acting, of the sequences cut from it, and of advantages."""

from throughtime.proof.memcheck.rollout.advantages_check import advantage_fixtures as advantage_fixtures
from throughtime.proof.memcheck.rollout.advantages_check import check_advantages as check_advantages
from throughtime.proof.memcheck.rollout.check import check_rollout as check_rollout
from throughtime.proof.memcheck.rollout.data import Rollout as Rollout
from throughtime.proof.memcheck.rollout.data import Sequences as Sequences
from throughtime.proof.memcheck.rollout.from_ppo import rollout_from_ppo as rollout_from_ppo
from throughtime.proof.memcheck.rollout.from_sb3 import rollout_from_sb3 as rollout_from_sb3
from throughtime.proof.memcheck.rollout.laws import ROLLOUT_LAWS as ROLLOUT_LAWS
