"""Results of runs that nobody made, for the tests of reports: fast, and as strange as they need to be."""

import json

from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.result_file import digest, name_of, write_result
from bagged_envs.baselines.judging.judge import SCORES
from tests.baselines.benchmark.small import PROTOCOL_FILE, job

PROTOCOL = PROTOCOL_FILE.format(version="invented", tuning=[0, 1])
SCALES = "task,random,oracle,source\nInvertedPendulum,10.0,110.0,invented\nKeyDoor,0.0,4.0,exact\n"
PART = {"revision": "0123456789ab", "machine": {"processor": "a processor", "system": "a system"}}
ROW = {"episodes": 3, "return_std": 0.5, "length": 9.0, "success_rate": None, "paid": 1.0, "learner_updates": 7}


def protocol_file(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "invented.csv").write_text(SCALES)
    (folder / "invented.toml").write_text(PROTOCOL)
    return folder / "invented.toml"


def protocol(folder):
    return Protocol.load(protocol_file(folder))


def result(kept, name, seed, returns, id="BaggedInvertedPendulum-v0", task="InvertedPendulum", **changes):
    """A result of three evaluations, or however many returns there are.

    Changes are of the arm (source, trials), of the job (method, arguments, learner, versions, ...), or of the result.
    """
    told = job("identity-td3" if "dentity" in name else "uniform-td3").described()
    told |= {"id": id, "arguments": {}, "seed": seed, "steps": 40 * len(returns), "protocol": kept.hash}
    told |= {key: changes.pop(key) for key in list(changes) if key in told}
    final = kept.final(returns)
    content = {
        "format": 1,
        "kind": "training",
        "key": digest({"arm": name, **told})[:12],
        "arm": {"name": name, "source": changes.pop("source", "the tests' own"), "trials": changes.pop("trials", 0)},
        "job": told,
        "task": task,
        "environment": {},
        "parts": [PART],
        "rows": [{"step": 40 * place, "return": float(value), **ROW} for place, value in enumerate(returns, 1)],
        "final": final,
        "normalized": kept.normalized(task, final) if task in kept.references else None,
        "seconds": 1.0,
        **changes,
    }
    return json.loads(json.dumps({**content, "sha256": digest(content)}))


def judged(kept, name, seed, **scores):
    """A result of a redistributor that was judged."""
    trained = result(kept, name, seed, flat(0.0), kind="redistribution", scores=scores, refused="")
    scores = {**dict.fromkeys(SCORES), **scores}
    of_training = ("rows", "final", "normalized", "seconds", "sha256")
    content = {name: value for name, value in trained.items() if name not in of_training}
    content |= {"scores": scores, "seconds_per_update": None}
    return json.loads(json.dumps({**content, "key": digest(content)[:12], "sha256": ""}))


def write(out, *results):
    """Put results into folders of runs."""
    for one in results:
        folder = out / name_of(one["job"], one["key"])
        folder.mkdir(parents=True)
        write_result(folder, one)
    return out


def flat(value):
    """Returns of a run whose final score is a value."""
    return [0.0, value, value]


def benchmark(kept):
    """Two tasks with a scale and one without, two suites, two variants, three methods with one to three runs."""
    pendulum = {"id": "BaggedInvertedPendulum-v0", "task": "InvertedPendulum"}
    door = {"id": "EpisodicKeyDoor-v0", "task": "KeyDoor"}
    reacher = {"id": "EpisodicReacher-v0", "task": "Reacher"}
    found = []
    for place, seed in enumerate((7, 8, 9)):
        found += [
            result(kept, "identity", seed, flat(20.0 + 7 * place), **pendulum),
            result(kept, "ours", seed, flat(60.0 + 11 * place**2), **pendulum),
            result(kept, "ours", seed, flat(-3.0 + place), **reacher),
            result(kept, "identity", seed, flat(-5.0 + place / 2), **reacher),
        ]
    found += [result(kept, "identity", seed, flat(1.0 + seed / 10), **door) for seed in (7, 8)]
    found += [result(kept, "ours", seed, flat(3.5 - seed / 10), **door) for seed in (7, 8)]
    return [*found, result(kept, "single", 7, flat(50.0), **pendulum)]
