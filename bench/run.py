"""`make bench`: every bench_*.py, or those whose names are given, one after the other."""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    folder = Path(__file__).parent
    wanted = sys.argv[1:]
    failed = []
    for script in sorted(folder.glob("bench_*.py")):
        if wanted and not any(word in script.stem for word in wanted):
            continue
        if subprocess.run([sys.executable, str(script)], check=False).returncode:
            failed.append(script.name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
