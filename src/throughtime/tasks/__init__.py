"""Floor 4: supervised sequence tasks, one file each, for every input-output architecture."""

from throughtime.tasks.base import Task as Task
from throughtime.tasks.base import TaskConfig as TaskConfig
from throughtime.tasks.registry import TASKS as TASKS
from throughtime.tasks.registry import make_task as make_task
from throughtime.tasks.train import Progress as Progress
from throughtime.tasks.train import TaskResult as TaskResult
from throughtime.tasks.train import train_task as train_task
from throughtime.tasks.train import training_step as training_step
