"""What `prove` measured, as a section of a report."""

from throughtime.reports.evidence.ablations import ablation_curves as ablation_curves
from throughtime.reports.evidence.horizon import horizon_curves as horizon_curves
from throughtime.reports.evidence.saliency import saliency_strip as saliency_strip
from throughtime.reports.evidence.section import NOTES as NOTES
from throughtime.reports.evidence.section import evidence_section as evidence_section
from throughtime.reports.evidence.section import facts as facts
