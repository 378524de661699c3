"""memcheck: does a policy, a rollout or an environment, in any framework, handle its state correctly?"""

from throughtime.proof.memcheck.adapters import adapt as adapt
from throughtime.proof.memcheck.check import GROUPS as GROUPS
from throughtime.proof.memcheck.check import all_laws as all_laws
from throughtime.proof.memcheck.check import group_of as group_of
from throughtime.proof.memcheck.check import memcheck as memcheck
from throughtime.proof.memcheck.check import memcheck_any as memcheck_any
from throughtime.proof.memcheck.law import Finding as Finding
from throughtime.proof.memcheck.law import Findings as Findings
from throughtime.proof.memcheck.law import Law as Law
from throughtime.proof.memcheck.policy import Settings as Settings
from throughtime.proof.memcheck.policy import check_policy as check_policy
from throughtime.proof.memcheck.policy_laws import POLICY_LAWS as POLICY_LAWS
from throughtime.proof.memcheck.report import Report as Report
from throughtime.proof.memcheck.report import explain as explain
