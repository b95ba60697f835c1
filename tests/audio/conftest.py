from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """Real recordings beside the project."""
    folder = Path(__file__).parents[2].parent / "shared" / "audio"
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: the real recordings lie beside the project")
    return folder
