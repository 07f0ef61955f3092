"""The fixtures of these tests."""

from bucket_server import bucket, object_store
from shared_fixtures import (
    _seeded,
    _short_trainings,
    _valid_files,
    chromium,
    figures,
    measured,
    no_heic,
    pytest_collection_finish,
    pytest_report_header,
    refused,
    refused_in,
    run,
    tiny_run,
)
