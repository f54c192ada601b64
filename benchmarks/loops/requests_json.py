"""The loop that anybody would write first: requests, the json of the standard library, one line for each record.

Usage: `requests_json.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import json
import os
import sys

import requests

page_size, streams = int(sys.argv[1]), sys.argv[2:]
url = os.environ["TAP_KISSMETRICS_API_URL"]
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['TAP_KISSMETRICS_API_TOKEN']}"
for stream in streams:
    offset, total = 0, 1
    while offset < total:
        response = session.get(f"{url}/{stream}", params={"limit": page_size, "offset": offset}, timeout=60)
        response.raise_for_status()
        answer = response.json()
        for record in answer["data"]:
            print(json.dumps({"type": "RECORD", "stream": stream, "record": record}))
        offset += len(answer["data"])
        total = answer["pagination"]["total"]
