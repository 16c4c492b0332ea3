"""Where a result comes from: the machine and the commit."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path


def machine() -> dict[str, str]:
    """Return what the last digits of results depend on besides versions: processor and system."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    system = " ".join(filter(None, (platform.system(), platform.machine(), *platform.libc_ver())))
    return {"processor": models[0] if models else platform.machine(), "system": system}


def revision() -> str | None:
    """Return the git commit of the working copy that this package is used from, None where it is installed."""
    here = Path(__file__)

    def git(*words: str) -> str | None:
        try:
            found = subprocess.run(["git", "-C", str(here.parent), *words], capture_output=True, text=True, check=False)
        except FileNotFoundError:  # there is no git here
            return None
        return found.stdout.strip() if found.returncode == 0 else None

    if git("ls-files", "--error-unmatch", here.name) is None:  # of somebody else's repository, or of none
        return None
    return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
