"""Dagster: a job that runs the Meltano project every night. Add it to your definitions, and set PROJECT."""

import subprocess

import dagster as dg

PROJECT = "/path/to/the/project"


@dg.op(retry_policy=dg.RetryPolicy(max_retries=2, delay=30 * 60))
def load() -> None:
    """Load what is new; a failure raises `CalledProcessError`."""
    subprocess.run(["meltano", "run", "tap-kissmetrics", "target-postgres"], cwd=PROJECT, check=True)


@dg.job
def kissmetrics() -> None:
    """Run the extractor and the loader."""
    load()


defs = dg.Definitions(
    jobs=[kissmetrics],
    schedules=[dg.ScheduleDefinition(job=kissmetrics, cron_schedule="15 3 * * *", execution_timezone="UTC")],
)
