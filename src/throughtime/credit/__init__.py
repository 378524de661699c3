"""Floor 4: temporal credit assignment, the return decomposed over the steps that earned it."""

from throughtime.credit.decomposition import DecompositionConfig as DecompositionConfig
from throughtime.credit.decomposition import DecompositionState as DecompositionState
from throughtime.credit.decomposition import ReturnDecomposition as ReturnDecomposition
from throughtime.credit.decomposition import Status as Status
from throughtime.credit.episodes import Episodes as Episodes
from throughtime.credit.episodes import differences as differences
from throughtime.credit.episodes import play_episodes as play_episodes
from throughtime.credit.lessons import Lessons as Lessons
from throughtime.credit.predictor import ReturnPredictor as ReturnPredictor
from throughtime.credit.redistribution import redistribute as redistribute
from throughtime.credit.rollouts import Places as Places
from throughtime.credit.rollouts import complete_episodes as complete_episodes
from throughtime.credit.rollouts import put_back as put_back
from throughtime.credit.tabular import ActionValues as ActionValues
from throughtime.credit.tabular import lambda_targets as lambda_targets
from throughtime.credit.tabular import learn_towards as learn_towards
from throughtime.credit.tabular import mean_targets as mean_targets
from throughtime.credit.tabular import no_values as no_values
from throughtime.credit.tabular import returns_to_go as returns_to_go
from throughtime.credit.watches import WatchConfig as WatchConfig
from throughtime.credit.watches import Watches as Watches
from throughtime.credit.watches import WatchResult as WatchResult
from throughtime.rl import action_features as action_features
from throughtime.rl import action_width as action_width
