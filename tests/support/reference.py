"""The lists of the vendor's references, written by hand: the tests compare the schemas with them."""

from __future__ import annotations

from dataclasses import dataclass

DATE, TEXT, INTEGER, BOOLEAN, OBJECT, ARRAY = (
    {"type": "string", "format": "date-time"},
    {"type": "string"},
    {"type": "integer"},
    {"type": "boolean"},
    {"type": "object"},
    {"type": "array"},
)


@dataclass(frozen=True)
class Reference:
    """The fields of a list with their types, and the date-times that can be its replication key."""

    fields: dict[str, dict[str, str]]
    replication_keys: tuple[str, ...] = ()


_USE = {"first_used_at": DATE, "last_used_at": DATE, "first_sent_at": DATE, "last_sent_at": DATE}
_LIBRARY = {"id": TEXT, "product_id": TEXT, "name": TEXT, "display_name": TEXT, "description": TEXT}
_QUERY_LIBRARY = {"id": INTEGER, "product_id": INTEGER, "name": TEXT, "index": INTEGER, "visible": BOOLEAN, **_USE}
_LAST_USE = ("last_sent_at", "last_used_at")

CORE = {
    "accounts": Reference(
        {"id": TEXT, "name": TEXT, "status": TEXT, "created_at": DATE, "updated_at": DATE, "contact": OBJECT},
        replication_keys=("updated_at", "created_at"),
    ),
    "products": Reference(
        {
            "id": TEXT,
            "account_id": TEXT,
            "name": TEXT,
            "url": TEXT,
            "environment": TEXT,
            "status": TEXT,
            "timezone": TEXT,
            "created_at": DATE,
            "tracking_key": TEXT,  # in real responses, not in the reference
            "hosts": ARRAY,  # likewise
        },
        replication_keys=("created_at",),
    ),
    "reports": Reference(
        {
            "id": TEXT,
            "account_id": TEXT,
            "product_id": TEXT,
            "name": TEXT,
            "report_type": TEXT,
            "created_at": DATE,
        },
        replication_keys=("created_at",),
    ),
    "events": Reference(
        # `index` of events and properties is in real responses, not in the reference.
        {**_LIBRARY, "is_visible": BOOLEAN, "total": INTEGER, "index": INTEGER, **_USE},
        replication_keys=_LAST_USE,
    ),
    "properties": Reference(
        {**_LIBRARY, "is_visible": BOOLEAN, "type": TEXT, "index": INTEGER, **_USE},
        replication_keys=_LAST_USE,
    ),
    "metrics": Reference(
        {
            "id": TEXT,
            "product_id": TEXT,
            "title": TEXT,
            "description": TEXT,
            "is_visible": BOOLEAN,
            "unit_type": TEXT,
            "status": TEXT,  # the reference says boolean and shows text
            "color": TEXT,
            "sort_index": INTEGER,
            "config_last_changed_at": DATE,
        },
        replication_keys=("config_last_changed_at",),
    ),
}
"""The lists of the Core API, without the `links` that every record has."""

QUERY = {
    "products": Reference({"id": INTEGER, "account_id": INTEGER, "name": TEXT, "timezone": TEXT, "km_key": TEXT}),
    "reports": Reference({"id": INTEGER, "product_id": INTEGER, "name": TEXT, "report_type": TEXT}),
    "events": Reference(
        {**_QUERY_LIBRARY, "total": INTEGER, "property_indices": ARRAY},
        replication_keys=_LAST_USE,
    ),
    "properties": Reference(_QUERY_LIBRARY, replication_keys=_LAST_USE),
}
"""The lists of the Query API v3."""

FIELDS = {
    "core": {name: {**each.fields, "links": ARRAY} for name, each in CORE.items()},
    "query": {name: each.fields for name, each in QUERY.items()},
}
"""All fields of each list of each API."""

KEYS = {name: each.replication_keys for name, each in CORE.items() if each.replication_keys}
"""The replication keys of those streams of the Core API that have any; the first one is the best."""

QUERY_KEYS = {name: each.replication_keys for name, each in QUERY.items() if each.replication_keys}
"""The same of the Query API."""
