# /// script
# requires-python = ">=3.11"
# dependencies = ["dlt[filesystem]==1.31.0", "orjson==3.13.0"]
# ///
"""dlt: its REST API source, loaded into JSONL files in the working directory.

Usage: `dlt_rest_api.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import os
import sys
from pathlib import Path

import dlt
from dlt.sources.rest_api import rest_api_source

page_size, streams = int(sys.argv[1]), sys.argv[2:]
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
source = rest_api_source(
    {
        "client": {
            "base_url": os.environ["TAP_KISSMETRICS_API_URL"] + "/",
            "auth": {"type": "bearer", "token": os.environ["TAP_KISSMETRICS_API_TOKEN"]},
            "paginator": {"type": "offset", "limit": page_size, "total_path": "pagination.total"},
        },
        "resources": [
            {"name": stream, "endpoint": {"path": stream, "data_selector": "data"}, "max_table_nesting": 0}
            for stream in streams
        ],
    }
)
here = Path.cwd()
pipeline = dlt.pipeline(
    "benchmark",
    pipelines_dir=str(here / "state"),
    destination=dlt.destinations.filesystem(bucket_url=(here / "loaded").as_uri()),
    dataset_name="lists",
)
pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()
