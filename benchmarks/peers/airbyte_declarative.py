# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["airbyte-cdk==7.39.1"]
# ///
"""Airbyte's CDK: a declarative source, as its connector builder makes it.

Usage: `airbyte_declarative.py PAGE_SIZE STREAM...`, with the tap's variables for the address and the token.
"""

import json
import os
import sys
from pathlib import Path

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

page_size, streams = int(sys.argv[1]), sys.argv[2:]


def declare(stream: str) -> dict[str, object]:
    """Declare a stream."""
    return {
        "type": "DeclarativeStream",
        "name": stream,
        "primary_key": ["id"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": {}}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": {
                "type": "HttpRequester",
                "url_base": os.environ["TAP_KISSMETRICS_API_URL"],
                "path": f"/{stream}",
                "http_method": "GET",
                "authenticator": {"type": "BearerAuthenticator", "api_token": "{{ config['token'] }}"},
            },
            "record_selector": {
                "type": "RecordSelector",
                "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
            },
            "paginator": {
                "type": "DefaultPaginator",
                "page_token_option": {
                    "type": "RequestOption",
                    "inject_into": "request_parameter",
                    "field_name": "offset",
                },
                "page_size_option": {
                    "type": "RequestOption",
                    "inject_into": "request_parameter",
                    "field_name": "limit",
                },
                "pagination_strategy": {"type": "OffsetIncrement", "page_size": page_size},
            },
        },
    }


config = {"token": os.environ["TAP_KISSMETRICS_API_TOKEN"]}
catalog = {
    "streams": [
        {
            "stream": {"name": stream, "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
        for stream in streams
    ]
}
Path("config.json").write_text(json.dumps(config), encoding="utf-8")
Path("catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
manifest = {
    "version": "7.0.0",
    "type": "DeclarativeSource",
    "check": {"type": "CheckStream", "stream_names": streams},
    "streams": [declare(stream) for stream in streams],
    "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
}
configured = ConfiguredAirbyteCatalogSerializer.load(catalog)
source = ConcurrentDeclarativeSource(configured, config, [], source_config=manifest)
launch(source, ["read", "--config", "config.json", "--catalog", "catalog.json"])
