"""What a process that is killed now would leave of its store: a copy that the next service opens."""

from __future__ import annotations

import shutil
from pathlib import Path


def crash_image(file: Path, name: str) -> Path:
    """Copy a store's file and its log. Nothing may be writing meanwhile."""
    folder = file.parent / name
    folder.mkdir()
    for part in (file, file.with_name(f"{file.name}-wal")):
        if part.exists():
            shutil.copy(part, folder / part.name)
    return folder / file.name
