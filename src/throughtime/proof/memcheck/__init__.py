"""memcheck: does a policy, a rollout or an environment, in any framework, handle its state correctly?"""

from throughtime.proof.memcheck.law import Finding as Finding
from throughtime.proof.memcheck.law import Findings as Findings
from throughtime.proof.memcheck.law import Law as Law
from throughtime.proof.memcheck.policy import Settings as Settings
from throughtime.proof.memcheck.policy import check_policy as check_policy
from throughtime.proof.memcheck.policy_laws import POLICY_LAWS as POLICY_LAWS
