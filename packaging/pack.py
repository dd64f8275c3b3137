#!/usr/bin/env python3
"""pack.py FILE.tar.gz FOLDER: the folder as an archive that is the same however often and wherever it is made."""

import gzip
import os
import sys
import tarfile
from pathlib import Path


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def main(target: str, folder: str) -> None:
    files = sorted(path for path in Path(folder).rglob("*"))
    with (
        open(target, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in files:
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=plain)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
