"""The loop of somebody in a hurry: urllib3 without requests, orjson, bytes from end to end.

Usage: `urllib3_orjson.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import os
import sys
from http import HTTPStatus

import orjson
import urllib3

page_size, streams = sys.argv[1], sys.argv[2:]
url = os.environ["TAP_KISSMETRICS_API_URL"]
headers = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {os.environ['TAP_KISSMETRICS_API_TOKEN']}"}
pool = urllib3.PoolManager(headers=headers, timeout=60)
write = sys.stdout.buffer.write
for stream in streams:
    offset, total = 0, 1
    while offset < total:
        answer = pool.request("GET", f"{url}/{stream}?limit={page_size}&offset={offset}")
        if answer.status != HTTPStatus.OK:
            sys.exit(f"HTTP {answer.status}")
        page = orjson.loads(answer.data)
        for record in page["data"]:
            write(
                orjson.dumps({"type": "RECORD", "stream": stream, "record": record}, option=orjson.OPT_APPEND_NEWLINE)
            )
        offset += len(page["data"])
        total = page["pagination"]["total"]
