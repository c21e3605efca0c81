"""Fixtures that several folders of tests share."""

import os
import tempfile
from pathlib import Path

# Before anything imports `datasets`: its tables of invented rows do not belong into the user's cache.
_CACHE = tempfile.TemporaryDirectory(prefix="nlp-service-tests-")
os.environ["HF_DATASETS_CACHE"] = _CACHE.name

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from tiny_bundle import build_tiny_bundle  # noqa: E402

# The same examples every time: a failure on one machine is a failure on all of them.
settings.register_profile("house", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("house")


@pytest.fixture(scope="session")
def tiny_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the BERT kind, to read; tests that change one build their own."""
    return build_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
