# /// script
# requires-python = ">=3.11"
# dependencies = ["requests==2.34.2", "singer-python==6.8.0"]
# ///
"""A tap of the classic kind: requests, and singer-python for the schema, the transformation and the messages.

Usage: `singer_python.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import os
import sys

import requests
import singer
from singer import metadata

page_size, streams = int(sys.argv[1]), sys.argv[2:]
url = os.environ["TAP_KISSMETRICS_API_URL"]
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['TAP_KISSMETRICS_API_TOKEN']}"

number = {"type": ["null", "integer"]}
text = {"type": ["null", "string"]}
date = {"type": ["null", "string"], "format": "date-time"}
link = {"type": "object", "properties": {"templated": {"type": "boolean"}, "href": text, "rel": text, "name": text}}
schema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("id", "product_id", "name", "display_name", "description", "type"), text),
        **dict.fromkeys(("index", "total"), number),
        **dict.fromkeys(("first_sent_at", "last_sent_at", "first_used_at", "last_used_at"), date),
        "is_visible": {"type": ["null", "boolean"]},
        "links": {"type": "array", "items": link},
    },
}
selected = metadata.to_map(metadata.get_standard_metadata(schema, key_properties=["id"]))
for stream in streams:
    singer.write_schema(stream, schema, ["id"])
    offset, total = 0, 1
    while offset < total:
        response = session.get(f"{url}/{stream}", params={"limit": page_size, "offset": offset}, timeout=60)
        response.raise_for_status()
        page = response.json()
        with singer.Transformer() as transformer:
            for record in page["data"]:
                singer.write_record(stream, transformer.transform(record, schema, selected))
        offset += len(page["data"])
        total = page["pagination"]["total"]
    singer.write_state({"bookmarks": {}})
