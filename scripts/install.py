"""Install carkinetics and its pinned packages into the environment that runs this script.

Usage: ``python scripts/install.py [EXTRA]``. Shows the lines of pip that tell how far it is; keeps
the others for the case that something fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIG = re.compile(r"(?:Downloading|Using cached) ([A-Za-z0-9_.]+)-\S+ \((\d{2,}\.\d MB|\d\.\d GB)\)")
RETRY = "WARNING: Retrying"


def progress(line: str) -> str | None:
    """Translate a line of pip's output into one for the user, or into nothing."""
    if big := BIG.search(line):
        return f"{big[1]} ({big[2]})"
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    if line.startswith(RETRY):
        return "the package index does not answer; trying again"
    return None


def main() -> int:
    """Run pip; return its exit code."""
    target = f"{ROOT}[{sys.argv[1]}]" if len(sys.argv) > 1 else str(ROOT)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--constraint", str(ROOT / "constraints.txt")]
    command += ["--editable", target]
    started = time.monotonic()
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            lines.append(line)
            if message := progress(line):
                print(f"    {message}", flush=True)
    if pip.returncode:
        print("".join(lines[-25:]), end="")
        print("Installing failed; the last lines of pip are above.")
        print("The first installation needs a package index (or its mirror, set as for any pip).")
        return pip.returncode
    print(f"    done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
