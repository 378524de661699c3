"""Laws of an environment: Gymnasium's interface, single or vector, and throughtime's own."""

from throughtime.proof.memcheck.environment.check import check_environment as check_environment
from throughtime.proof.memcheck.environment.laws import ENVIRONMENT_LAWS as ENVIRONMENT_LAWS
from throughtime.proof.memcheck.environment.stateful import StatefulEnvironments as StatefulEnvironments
