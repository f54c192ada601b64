"""What the Singer SDK lacks for a REST tap that emits each record exactly once.

It knows nothing of Kissmetrics, and imports nothing from the rest of the tap.

| Module | Replaces in the SDK | Because the SDK |
| --- | --- | --- |
| `tap` | `Tap.sync_all`, the signal handlers, `--test` | ends with the first failing stream, and code 0 on a signal |
| `stream` | the retries and messages of `RESTStream` | retries HTTP errors only, five times, without `Retry-After` |
| `pagination` | `OffsetPaginator` | adds `limit` to the offset, and loses or doubles records of a list that changes |
| `session` | `requests.Session` | sends one request at a time, and follows redirects with the token |
| `transport` | `requests.adapters.HTTPAdapter` | has no deadline for a whole response |
| `retry` | `request_decorator` | has no budget in seconds, and none for rate limits |
| `decoding` | `Response.json` | loses digits, and refuses raw control characters and `NaN` |
| `records` | `conform_record_data_types` | walks over each value of each record, and changes some |
| `state` | `StreamStateManager` | compares bookmarks as text, and lets them move back |
| `writer` | `SingerWriter` | flushes each line, and writes ACTIVATE_VERSION before the records |
| `batches` | `Stream.get_batches` | names deselected columns, and ends with a traceback if the disk is full |
| `shutdown` | `Tap._handle_termination` | exits wherever a signal arrives, even within a line |
| `logs` | log lines | shows secrets, and the name of a stream only as that of the logger |
| `progress` | the counters of `singer_sdk.metrics` | counts records, but not how many there are in all |
| `files`, `folder_urls` | `Stream.get_records` | reads no files |
| `inputs`, `catalog` | the reading of config, environment, state and catalog | ends with a traceback on many errors |
| `clock` | `time` | has no clock that a test can set |

Private names of the SDK that are in use, and the test that fails when one of them changes:

| Name | Use | Test |
| --- | --- | --- |
| `Stream._generate_record_messages` | overridden, and called | `test_fast_paths` |
| `Stream._stream_version` | read for RECORD messages | `test_fast_paths`, `test_deletions` |
| `Stream._sync_records` | called for BATCH | `test_batch_files` |
| `Stream._tap` | read | `test_lists` |
| `RESTStream._LOG_REQUEST_METRICS` | overridden | `test_logs` |
| `Tap._handle_termination` | overridden | `test_signals` |
| `Tap._reset_state_progress_markers` | called | `test_incremental_resumed` |
| `singer_sdk.streams._state` | base class of the state manager | `test_incremental`, `test_batch_files` |
| `singer_sdk.helpers._batch` | its `BatchConfig` validates `batch_config` | `test_wrong_settings` |

Of other libraries: `requests.Response._content` is emptied, `http.client.HTTPResponse.fp` replaced, and
`pool_classes_by_scheme` of urllib3 set.
"""
