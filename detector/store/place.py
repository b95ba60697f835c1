"""Where a database may lie: network drives do not keep the locks that SQLite relies on."""

from __future__ import annotations

import re
from pathlib import Path

from detector.errors import StoreError

MOUNTS = Path("/proc/self/mounts")
NETWORK_TYPES = frozenset(
    {"9p", "afp", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"}
    | {"ocfs2", "orangefs", "smb2", "smb3", "smbfs", "vboxsf"}
)
NETWORK_FUSE = ("ceph", "curlftpfs", "davfs", "gcsfuse", "gluster", "gvfsd", "juicefs", "rclone", "s3fs", "smb", "sshfs")
_OCTAL = re.compile(r"\\([0-7]{3})")


def refuse_network_drive(path: Path) -> None:
    """Raise if the file lies, or would lie, on a network drive.

    Raises
    ------
    StoreError
        With the type of the drive. Where the system has no table of mounts, nothing can be known and nothing is raised.
    """
    if not MOUNTS.exists():
        return
    kind = file_system(path.resolve(), MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    if is_network(kind):
        raise StoreError(
            f"{path} is on a network drive ({kind}), where SQLite cannot lock reliably",
            "put the database on a disk of this machine: store.path in config.yaml, or --db; recordings may stay on the network",
        )


def file_system(path: Path, mounts: str) -> str:
    """Type of the file system that holds a resolved path, by a table in the form of /proc/mounts; "" if none does."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[1]))
        # Of two mounts on one point the later one is on top.
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def is_network(kind: str) -> bool:
    """Whether a file system of this type reaches over a network."""
    if kind.startswith("fuse."):
        return kind[len("fuse.") :].startswith(NETWORK_FUSE)
    return kind in NETWORK_TYPES
