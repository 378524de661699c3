"""Laws of a policy: three functions, in any framework."""

from throughtime.proof.memcheck.policy.check import Settings as Settings
from throughtime.proof.memcheck.policy.check import check_policy as check_policy
from throughtime.proof.memcheck.policy.laws import POLICY_LAWS as POLICY_LAWS
