"""What the Singer SDK lacks for a REST tap that emits each record exactly once.

It knows nothing of Kissmetrics, and imports nothing from the rest of the tap.

| Module | Replaces in the SDK | Because the SDK |
| --- | --- | --- |
| `tap` | `Tap.sync_all`, the signal handlers, `--test` | ends with the first failing stream, and code 0 on a signal |
| `stream` | the loop and the messages of `RESTStream` | hands data from hook to hook, and takes long for each record |
| `pagination` | `OffsetPaginator` | adds `limit` to the offset, and loses or doubles records of a list that changes |
| `http` | `requests.Session` | sends one request at a time, has no deadline, and follows redirects with the token |
| `retry` | `request_decorator` | retries five times, has no budget in seconds, and ignores `Retry-After` |
| `values` | `Response.json`, `conform_record_data_types` | loses digits, refuses control characters, changes values |
| `state` | `StreamStateManager` | compares bookmarks as text, and lets them move back |
| `writer` | `SingerWriter`, `Stream.get_batches` | flushes each line, and writes ACTIVATE_VERSION before the records |
| `waiting` | `Tap._handle_termination` | exits wherever a signal arrives, even within a line |
| `logs` | log lines, the counters of `singer_sdk.metrics` | shows secrets, no stream names, and no total |
| `files` | `Stream.get_records` | reads no files |
| `inputs` | the reading of config, environment, state and catalog | ends with a traceback on many errors |

Private names of the SDK that are in use, and the test that fails when one of them changes:

| Name | Use | Test |
| --- | --- | --- |
| `Stream._generate_record_messages` | overridden, and called | `test_fast_paths` |
| `Stream._stream_version` | read for RECORD messages | `test_fast_paths`, `test_deletions` |
| `Stream._sync_records` | called for BATCH | `test_maps_and_batches` |
| `Tap._handle_termination` | overridden | `test_signals` |
| `Tap._reset_state_progress_markers` | called | `test_bookmarks` |
| `singer_sdk.streams._state` | base class of the state manager | `test_bookmarks`, `test_maps_and_batches` |
| `singer_sdk.helpers._batch` | its `BatchConfig` validates `batch_config` | `test_settings` |

Of other libraries: `requests.Response._content` is emptied.
"""
