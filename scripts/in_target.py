"""What `scripts.try_targets` and a test run with the Python of a target's environment, which has libraries of its own.

The first argument is the name of a command. Data comes in and goes out as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import override
else:

    def override(method: Any) -> Any:
        """Python has it from 3.12 on, and typing_extensions need not be there."""
        return method


Table = dict[str, Any]
"""`stream`, `types` by column, and `rows`."""


def snowflake_types(path: str) -> Iterator[Table]:
    """Yield a table without rows for each SCHEMA message, with the types that target-snowflake makes."""
    from snowflake.sqlalchemy.snowdialect import SnowflakeDialect
    from target_snowflake.connector import SnowflakeConnector

    connector = SnowflakeConnector(config={"account": "none", "user": "none", "database": "none"})
    return _sql_types(path, connector, SnowflakeDialect())


def redshift_types(path: str) -> Iterator[Table]:
    """Yield the same for target-redshift."""
    from sqlalchemy_redshift.dialect import RedshiftDialect_redshift_connector
    from target_redshift.connector import RedshiftConnector

    return _sql_types(path, RedshiftConnector(config={}), RedshiftDialect_redshift_connector())


def _sql_types(path: str, connector: Any, dialect: Any) -> Iterator[Table]:
    for stream, message in json.loads(Path(path).read_bytes()).items():
        fields = message["schema"]["properties"].items()
        types = {column: connector.to_sql_type(field).compile(dialect=dialect) for column, field in fields}
        yield {"stream": stream, "types": types, "rows": []}


def bigquery_types(path: str) -> Iterator[Table]:
    """Yield the same for target-bigquery with `denormalized`."""
    from target_bigquery.core import SchemaTranslator

    for stream, message in json.loads(Path(path).read_bytes()).items():
        fields = SchemaTranslator(message["schema"], {}).translated_schema
        repeated = {field.name: " REPEATED" if field.mode == "REPEATED" else "" for field in fields}
        types = {field.name: f"{field.field_type.upper()}{repeated[field.name]}" for field in fields}
        yield {"stream": stream, "types": types, "rows": []}


def read_parquet(place: str, endpoint: str = "") -> Iterator[Table]:
    """Yield each Parquet file below a folder or, with the address of a server of S3, below a bucket and prefix."""
    import pyarrow.fs
    import pyarrow.parquet

    if endpoint:
        files = pyarrow.fs.S3FileSystem(
            region="us-east-1",
            endpoint_override=endpoint,
            scheme="http",
            access_key="none",
            secret_key="none",  # noqa: S106 - any will do
        )
    else:
        files = pyarrow.fs.LocalFileSystem()
    for info in files.get_file_info(pyarrow.fs.FileSelector(place, recursive=True)):
        if info.is_file:
            with files.open_input_file(info.path) as file:
                table = pyarrow.parquet.read_table(file)
            stream = info.path.removeprefix(place).strip("/").partition("/")[0]
            types = {field.name: str(field.type) for field in table.schema}
            yield {"stream": stream, "types": types, "rows": table.to_pylist()}


def read_mysql(host: str, port: str, user: str, password: str, database: str) -> Iterator[Table]:
    """Yield each table of a MySQL database."""
    import MySQLdb
    import MySQLdb.cursors

    connection = MySQLdb.connect(
        host=host, port=int(port), user=user, password=password, database=database, charset="utf8mb4"
    )
    cursor = connection.cursor(MySQLdb.cursors.DictCursor)
    cursor.execute("SELECT table_name AS t FROM information_schema.tables WHERE table_schema = %s", [database])
    for table in [row["t"] for row in cursor.fetchall()]:
        cursor.execute(
            "SELECT column_name AS c, column_type AS k FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s",
            [database, table],
        )
        types = {row["c"]: row["k"] for row in cursor.fetchall()}
        cursor.execute(f"SELECT * FROM `{table}`")  # noqa: S608
        yield {"stream": table, "types": types, "rows": cursor.fetchall()}


def serve_clickhouse(folder: str, port: str) -> None:
    """Answer as a ClickHouse server does over HTTP, with the engine of chDB."""
    from chdb.session import Session

    session, lock = Session(folder), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Run a query."""
            options = parse_qs(urlsplit(self.path).query)
            text = options.get("query", [""])[0] + self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            with lock:
                try:
                    session.query(f"USE {options.get('database', ['default'])[0]}")
                    status, body = 200, session.query(text, "TabSeparatedWithNamesAndTypes").bytes()
                except RuntimeError as error:
                    status, body = 500, str(error).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_: object) -> None:
            """Log nothing."""

    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


COMMANDS: dict[str, Callable[..., Iterator[Table]]] = {
    "read-parquet": read_parquet,
    "read-mysql": read_mysql,
    "target-snowflake": snowflake_types,
    "target-redshift": redshift_types,
    "target-bigquery": bigquery_types,
}


def main(command: str, *arguments: str) -> None:
    """Serve ClickHouse, or print the tables that a command gives."""
    if command == "serve-clickhouse":
        serve_clickhouse(*arguments)
    else:
        for part in COMMANDS[command](*arguments):
            print(json.dumps(part, default=_text))


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
