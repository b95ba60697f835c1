"""The database: one writer, many readers.

sqlite-utils imports pandas wherever it is installed, to know one column type that is not used here. That would add a second or more
to the start of every command, so pandas is out of its sight while it is imported.
"""

import sys

if not {"pandas", "sqlite_utils"} & sys.modules.keys():
    sys.modules["pandas"] = None  # type: ignore[assignment]  # makes `import pandas` an ImportError
    try:
        import sqlite_utils  # noqa: F401
    finally:
        del sys.modules["pandas"]
