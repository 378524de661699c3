"""Floor 4: world models, memories that predict what an environment shows and pays, and what can be done in them."""

from throughtime.world.model import Rollout as Rollout
from throughtime.world.model import WorldModel as WorldModel
from throughtime.world.model import check_finite as check_finite
