"""The store starts fast."""

from __future__ import annotations

import subprocess
import sys


def test_pandas_is_left_alone_and_can_still_be_imported_afterwards() -> None:
    code = "import sys, detector.store.store; assert 'pandas' not in sys.modules; import pandas; pandas.DataFrame({'a': [1]})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
