"""The benchmark compares what agrees; whether its goals are met is a matter of a quiet machine, not of tests."""

import csv

from bagged_envs.envs.key_door import KeyDoor
from benchmarks import symbolic
from tests.envs.cases import TASKS
from tests.wrappers.test_laws import assert_same


def test_both_sides_do_the_same():
    native, sync = symbolic.both(KeyDoor, {"distractors": 3}, 5, 4)
    assert type(native).__name__ == "NativeVectorEnv"
    assert type(sync).__name__ == "SyncVectorEnv"
    for envs in (native, sync):
        envs.action_space.seed(0)
    assert_same(native.reset(seed=0), sync.reset(seed=0))
    for _ in range(12):
        assert_same(native.step(native.action_space.sample()), sync.step(sync.action_space.sample()))


def test_it_runs_over_every_task_and_writes_its_rows(tmp_path, capsys):
    assert {task for task, _, _ in symbolic.TASKS} == set(TASKS)
    file = tmp_path / "rows.csv"
    assert symbolic.main(["--steps", "8", "--pairs", "1", "--num-envs", "8", "--out", str(file)]) == 0
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(float(row["ratio"]) > 0.0 for row in rows)
    assert rows[1]["name"] == "native / sync, KeyDoor, distractors=9, 8 environments"
    assert capsys.readouterr().out.count("goal >= 50.0") == len(rows)
