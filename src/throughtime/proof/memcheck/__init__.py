"""memcheck: does a policy, a rollout or an environment, in any framework, handle its state correctly?"""

from throughtime.proof.memcheck.adapters import adapt as adapt
from throughtime.proof.memcheck.check import LAWS as LAWS
from throughtime.proof.memcheck.check import group_of as group_of
from throughtime.proof.memcheck.check import memcheck as memcheck
from throughtime.proof.memcheck.check import memcheck_any as memcheck_any
from throughtime.proof.memcheck.environment import StatefulEnvironments as StatefulEnvironments
from throughtime.proof.memcheck.environment import check_environment as check_environment
from throughtime.proof.memcheck.law import Finding as Finding
from throughtime.proof.memcheck.law import Findings as Findings
from throughtime.proof.memcheck.law import Law as Law
from throughtime.proof.memcheck.policy import POLICY_LAWS as POLICY_LAWS
from throughtime.proof.memcheck.policy import Settings as Settings
from throughtime.proof.memcheck.policy import check_policy as check_policy
from throughtime.proof.memcheck.report import Report as Report
from throughtime.proof.memcheck.report import explain as explain
from throughtime.proof.memcheck.rollout import Rollout as Rollout
from throughtime.proof.memcheck.rollout import Sequences as Sequences
from throughtime.proof.memcheck.rollout import advantage_fixtures as advantage_fixtures
from throughtime.proof.memcheck.rollout import check_advantages as check_advantages
from throughtime.proof.memcheck.rollout import check_rollout as check_rollout
from throughtime.proof.memcheck.rollout import rollout_from_ppo as rollout_from_ppo
from throughtime.proof.memcheck.rollout import rollout_from_sb3 as rollout_from_sb3
