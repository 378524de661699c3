"""Trainings as processes: each one in its own, several at a time, none of them able to take the others along."""

from throughtime.runs.jobs.job import Job as Job
from throughtime.runs.jobs.job import Outcome as Outcome
from throughtime.runs.jobs.job import check_workers as check_workers
from throughtime.runs.jobs.on_ray import run_on_ray as run_on_ray
from throughtime.runs.jobs.pool import Pool as Pool
from throughtime.runs.jobs.pool import run_jobs as run_jobs
from throughtime.runs.jobs.score import Score as Score
from throughtime.runs.jobs.score import read_score as read_score
