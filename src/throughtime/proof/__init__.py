"""Floor 7: evidence that the memory works."""

from throughtime.proof.evidence import Evidence as Evidence
from throughtime.proof.evidence import prove as prove
from throughtime.proof.twins import Comparison as Comparison
from throughtime.proof.twins import ComparisonConfig as ComparisonConfig
from throughtime.proof.twins import Entry as Entry
from throughtime.proof.twins import compare as compare
from throughtime.proof.twins import is_comparison as is_comparison
from throughtime.proof.twins import load_comparison as load_comparison
from throughtime.proof.twins import resume_comparison as resume_comparison
from throughtime.proof.twins import train_twins as train_twins
from throughtime.proof.twins import twins_of as twins_of
