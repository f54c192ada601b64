# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["setuptools<81", "tap-rest-api-msdk==1.4.2"]
# ///
"""tap-rest-api-msdk, a tap for any REST API, configured for these lists; it guesses the schema from 50 records.

Usage: `rest_api_msdk.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import os
import sys

from tap_rest_api_msdk.tap import TapRestApiMsdk

page_size, streams = int(sys.argv[1]), sys.argv[2:]
config = {
    "api_url": os.environ["TAP_KISSMETRICS_API_URL"],
    "auth_method": "bearer_token",
    "bearer_token": os.environ["TAP_KISSMETRICS_API_TOKEN"],
    "pagination_request_style": "offset_paginator",
    "pagination_response_style": "offset",
    "pagination_page_size": page_size,
    "pagination_initial_offset": 0,
    "pagination_total_limit_param": "total",
    "streams": [
        {"name": stream, "path": f"/{stream}", "records_path": "$.data[*]", "primary_keys": ["id"]}
        for stream in streams
    ],
}
TapRestApiMsdk(config=config, parse_env_config=False).sync_all()
