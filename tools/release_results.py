"""Puts the whole runs of a benchmark's folder among the results that come with the package.

    python tools/release_results.py demo quick

Only runs that keep the protocol, made from a clean commit, on test and tuning seeds alike. A report has them by
`bench report --with reference`.
"""

import argparse
import json
import sys
from pathlib import Path

from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.report.released import FOLDER
from bagged_envs.baselines.benchmark.results import read_results
from bagged_envs.baselines.benchmark.validate import problems
from bagged_envs.whole_file import write_whole


def unfit(folder: Path, protocol: Protocol, found: list[dict]) -> list[str]:
    """Return why some results cannot be released, in words."""
    runs = {path.name.rpartition("-")[2]: path for path in folder.iterdir() if path.is_dir()}
    wrong = [f"{one['key']}: {line}" for one in found for line in problems(runs[one["key"]], protocol)]
    commits = [(one["key"], part["revision"]) for one in found for part in one["parts"]]
    dirty = sorted({key for key, commit in commits if commit is None or commit.endswith("-dirty")})
    return [*wrong, *(f"{key}: it was made from no clean commit" for key in dirty)]


def main(words: list[str] | None = None, place: Path = FOLDER) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that of bench run --out")
    parser.add_argument("name", help="what the file is called: the suite")
    parser.add_argument("--protocol", default="v1")
    chosen = parser.parse_args(words)
    protocol = Protocol.load(chosen.protocol)
    found, left_out = read_results(chosen.folder)
    wrong = [*left_out, *(unfit(chosen.folder, protocol, found) if found else [f"{chosen.folder} has no whole run"])]
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    file = place / protocol.hash / f"{chosen.name}.json"
    write_whole(file, json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} results in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
