from pathlib import Path

import pytest
from archive_reading import Read

from nlp_service.archive.readers import ReadOptions, open_source
from nlp_service.archive.rows import Row, Unreadable
from nlp_service.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline.load("fake")


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Rows of a file with this name and content."""

    def rows(name: str, content: bytes, start: int = 0, **options: str) -> list[Row | Unreadable]:
        path = tmp_path / name
        path.write_bytes(content)
        return list(open_source(path, ReadOptions(**options)).rows(start))

    return rows
