"""Airflow 3: a DAG that runs the Meltano project every night. Copy it to the DAGs folder, and set PROJECT."""

import datetime as dt

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = "/path/to/the/project"

with DAG(
    dag_id="kissmetrics",
    schedule="15 3 * * *",
    start_date=dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,  # never two runs at once
) as dag:
    BashOperator(
        task_id="load",
        bash_command="meltano run tap-kissmetrics target-postgres",
        cwd=PROJECT,
        retries=2,
        retry_delay=dt.timedelta(minutes=30),
    )
