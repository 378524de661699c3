"""Does an agent use its memory, how far back, and what is it worth?"""

from throughtime.proof.evidence.ablations import Ablations as Ablations
from throughtime.proof.evidence.ablations import ablate as ablate
from throughtime.proof.evidence.discrepancy import Discrepancy as Discrepancy
from throughtime.proof.evidence.discrepancy import exact_lambda_discrepancy as exact_lambda_discrepancy
from throughtime.proof.evidence.discrepancy import lambda_discrepancy as lambda_discrepancy
from throughtime.proof.evidence.evidence import Evidence as Evidence
from throughtime.proof.evidence.intervention import MemoryHorizon as MemoryHorizon
from throughtime.proof.evidence.intervention import memory_horizon as memory_horizon
from throughtime.proof.evidence.parity import Parity as Parity
from throughtime.proof.evidence.parity import replay_parity as replay_parity
from throughtime.proof.evidence.prove import load_subject as load_subject
from throughtime.proof.evidence.prove import prove as prove
from throughtime.proof.evidence.recording import Recording as Recording
from throughtime.proof.evidence.recording import record as record
from throughtime.proof.evidence.saliency import Saliency as Saliency
from throughtime.proof.evidence.saliency import saliency as saliency
from throughtime.proof.evidence.share import Share as Share
from throughtime.proof.evidence.share import memory_share as memory_share
from throughtime.proof.evidence.verdict import Reach as Reach
from throughtime.proof.evidence.verdict import Verdict as Verdict
from throughtime.proof.evidence.verdict import evidence_verdict as evidence_verdict
