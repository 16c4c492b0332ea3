"""What keeps the protocol is told from what does not, and a run comes out again."""

import json
import re

import pytest

from bagged_envs import cli
from bagged_envs.baselines.benchmark.protocol import Protocol
from bagged_envs.baselines.benchmark.provenance import machine, revision
from bagged_envs.baselines.benchmark.result_file import RESULT, digest, write_result
from bagged_envs.baselines.benchmark.suite import Suite
from bagged_envs.baselines.benchmark.validate import misplaced, problems, reproduce
from tests.baselines.benchmark import invented
from tests.baselines.benchmark.kills import written
from tests.baselines.benchmark.small import PROTOCOL, PROTOCOL_FILE, job


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    one = job()
    one.work(out)
    return one.folder(out)


@pytest.fixture
def changed(made, tmp_path):
    """Returns a copy of the run whose result was changed by a function, and hashed anew."""

    def copy(change, seal=True):
        folder = tmp_path / "copy"
        folder.mkdir()
        result = json.loads((made / RESULT).read_text())
        change(result)
        if seal:
            result.pop("sha256")
            result["sha256"] = digest(result)
        (folder / RESULT).write_text(json.dumps(result))
        return folder

    return copy


def put(*places):
    *path, value = places

    def change(result):
        for place in path[:-1]:
            result = result[place]
        if value is ...:
            del result[path[-1]]
        else:
            result[path[-1]] = value

    return change


def test_what_keeps_it(made):
    assert problems(made, PROTOCOL) == []


def test_what_is_not_whole(made, tmp_path, changed):
    assert problems(tmp_path, PROTOCOL) == ["it has no result.json: it is not whole"]
    assert problems(changed(put("final", 1e9), seal=False), PROTOCOL) == [
        "result.json is damaged: its hash is not that of its content"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("final", 1e9), "final must be .*, from the last evaluations, got 1000000000.0"),
        (put("rows", 1, "return", float("inf")), "returns must be finite"),
        (put("rows", 1, "return", "12"), r"rows\[1\].return must be of type float, got '12'"),
        (put("rows", 1, ...), r"at every 40 steps up to 120, got \[40, 120\]"),
        (put("rows", 1, "step", 41), r"at every 40 steps up to 120, got \[40, 41, 120\]"),
        (put("rows", 1, "paid", ...), r"rows\[1\].paid must be of type int or float or null, got nothing"),
        (put("rows", "many"), "rows must be of type list, got 'many'"),
        (put("normalized", 0.5), "normalized must be None, got 0.5"),
        (put("job", "seed", 1), "seed must be one of the protocol's, got 1"),
        (put("job", "protocol", "abc"), f"protocol must be {PROTOCOL.hash}, version test, got abc"),
        (put("job", "learner", {"hidden": [9]}), "key must be .*the hash of job"),
        (put("job", "versions", ...), "job.versions must be of type dict, got nothing"),
        (put("job", []), r"job must be of type dict, got \[\]"),
        (put("arm", "source", " "), "arm must say where its settings come from"),
        (put("arm", "trials", "few"), "arm.trials must be of type int, got 'few'"),
        (put("arm", "name", ...), "arm.name must be of type str, got nothing"),
        (put("normalized", ...), "normalized must be of type float or null, got nothing"),
        (put("parts", 0, "revision", 3), r"parts\[0\].revision must be of type str or null, got 3"),
        (put("parts", []), "parts must say where the run was made, got none"),
        (put("parts", ["here"]), r"parts\[0\] must be a table, got 'here'"),
        (put("parts", 0, "machine", {"system": "x"}), r"parts\[0\].machine must have processor, got {'system': 'x'}"),
        (
            put("environment", {}),
            "environment must be the specification of BaggedInvertedPendulum-v0, got that of None",
        ),
        (put("job", "id", "BaggedInvertedPendulum"), "job.id must be BaggedInvertedPendulum-v0, with its version"),
        (
            put("job", "id", "this:BaggedHopper-v0"),
            "task must be none of ours, InvertedPendulum, where job.id is this:",
        ),
        (put("job", "method", "lies"), "job must be of a method and with settings that there are: .*lies"),
        (put("job", "learner", {"hiden": [8]}), "job must be of a method and with settings that there are: .*hiden"),
        (put("job", "method", "module:function"), "training of 'uniform-td3' must be empty for kind 'agent'"),
        (put("kind", "agent"), "kind must be 'training' for method 'uniform-td3', got 'agent'"),
        (put("job", "device", "abacus"), "job.device must be one of cpu, cuda, got 'abacus'"),
        (put("job", "threads", -1), "job.threads must be at least 1, got -1"),
        (put("job", "versions", "torch", None), "job.versions must have that of torch, got None"),
        (put("rows", 0, "length", -1), r"rows\[0\].length must be at least 0, got -1"),
        (put("rows", 2, "success_rate", 1.5), r"rows\[2\].success_rate must be between 0 and 1, got 1.5"),
        (put("rows", 1, "return_std", float("nan")), r"rows\[1\].return_std must be at least 0, got nan"),
        (put("seconds", -4), "seconds must be at least 0, got -4"),
        (put("task", "Hopper"), "task must be InvertedPendulum, got Hopper"),
        (put("job", "id", "BaggedNothing-v0"), "job.id must be a registered ID: .*BaggedNothing"),
        (put("job", "steps", "120"), "job.steps must be of type int, got '120'"),
        (put("job", "threads", True), "job.threads must be of type int, got True"),
        (put("format", 2), "format must be 1, got 2"),
        (put("parts", ...), "parts must be of type list, got nothing"),
        (put("kind", []), r"kind must be one of training, agent, redistribution, offline, got \[\]"),
        (put("arm", "final", 999.0), "arm.final must not be there: known are name, source, trials"),
        (put("more", 1), "more must not be there: known are format, key, arm"),
        (put("rows", 0, "more", 1), r"rows\[0\].more must not be there"),
        (put("arm", "name", "x\ud800"), r"all text must be Unicode that UTF-8 can say, got '\\ud800'"),
        (put("job", "versions", "x", ["a"]), r"job.versions.x must be of type str or null, got \['a'\]"),
        (
            put("parts", 0, "machine", "processor", ["x"]),
            r"parts\[0\].machine.processor must be of type str or null, got \['x'\]",
        ),
        (put("job", "steps", 10**19), "evaluations must be at every 40 steps up to 10000000000000000000, got"),
    ],
)
def test_what_does_not_is_said(changed, change, message):
    found = problems(changed(change), PROTOCOL)
    assert any(re.search(message, line) for line in found), found


def test_a_file_that_nobody_would_write_is_damaged(tmp_path):
    (tmp_path / RESULT).write_text('{"sha256": "x", "a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert problems(tmp_path, PROTOCOL) == ["result.json is damaged: its hash is not that of its content"]


def test_returns_whose_sum_is_not_finite(changed):
    def change(result):
        for row in result["rows"]:
            row["return"] = 1.5e308
        result["final"] = 1.5e308

    assert problems(changed(change), PROTOCOL) == []


@pytest.mark.parametrize("digest", ["", "#1f0a", "#0123456789abcdef"])
def test_a_program_that_is_not_here_is_told_or_left(changed, digest):
    def change(result):
        result["job"] |= {"method": "lare_rd-td3", "redistributor": {"factors": f"not_there.txt{digest}"}}

    found = problems(changed(change), PROTOCOL)
    assert any("No such file" in line for line in found) is (len(digest) < 16)
    assert any("the hash of job" in line for line in found)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([50, 100, 150], True),  # as iterations of 50 steps come to an end
        ([40, 80, 120], True),
        ([130], True),  # one iteration
        ([90, 130], True),
        ([30, 50, 100, 150], False),
        ([50, 60, 100, 150], False),
        ([50, 100], False),
    ],
)
def test_teams_are_evaluated_after_the_iteration_that_is_due(changed, steps, kept):
    def change(result):
        result["rows"] = [{**result["rows"][0], "step": step} for step in steps]

    folder = changed(change)
    assert any("evaluations must be" in line for line in problems(folder, PROTOCOL)) is (steps != [40, 80, 120])
    result = json.loads((folder / RESULT).read_text())
    result["job"]["method"] = "uniform-ippo"
    write_result(folder, result)
    assert any("evaluations must be at every 40 steps" in line for line in problems(folder, PROTOCOL)) is not kept


@pytest.mark.parametrize("score", ["x", [], 1, True])
def test_a_score_is_a_number(tmp_path, score):
    kept = invented.protocol(tmp_path / "protocol")
    (folder,) = invented.write(tmp_path / "runs", invented.judged(kept, "rd", 7, extra=score)).iterdir()
    assert problems(folder, kept) == [f"scores.extra must be of type float or null, got {score!r}"]


def test_rows_that_are_none_are_told(changed):
    assert problems(changed(put("rows", [1])), PROTOCOL) == ["rows[0] must be a table, got 1"]


def test_trials_below_zero_are_told(changed):
    assert "arm.trials must be at least 0, got -4" in problems(changed(put("arm", "trials", -4)), PROTOCOL)


def test_a_result_without_its_kind_is_told(changed):
    assert "kind must be one of training, agent, redistribution, offline, got nothing" in problems(
        changed(put("kind", ...)), PROTOCOL
    )


def test_a_copy_counts_nowhere(changed):
    folder = changed(put("seconds", 2.0))
    (told,) = misplaced(folder)
    name = job().name
    assert told == f"its folder must be called {name}, or it is not counted"
    other = folder.rename(folder.with_name(f"another-{job().key}"))
    assert misplaced(other) == [told]
    assert misplaced(other.rename(other.with_name(name))) == []


class TestReproduce:
    def test_it_comes_out_the_same(self, made):
        seen = []
        found = reproduce(made, PROTOCOL, lambda step, row: seen.append(step))
        assert (found.same, found.furthest, found.differs) == (True, 0.0, ())
        assert seen == list(range(1, 121))

    def test_what_differs_is_said(self, changed):
        def change(result):
            result["rows"][0]["return"] += 0.25
            (part,) = result["parts"]
            own = {**part, "revision": "another commit", "machine": {**part["machine"], "processor": "another"}}
            result["parts"] = [own, {**part, "machine": {**part["machine"], "old": "it had more"}}]

        found = reproduce(changed(change), PROTOCOL)
        assert (found.same, found.furthest) == (False, 0.25)
        here = machine()["processor"]
        assert found.differs == (
            ("revision", f"another commit and {revision()}", str(revision())),
            ("processor", f"another and {here}", here),
            ("old", " and it had more", "none"),
        )

    def test_ppo_comes_out_the_same(self, tmp_path):
        one = job("identity-ppo", training={"rollout": 40}, learner={"hidden": (8,), "epochs": 1})
        one.work(tmp_path)
        found = reproduce(one.folder(tmp_path), PROTOCOL)
        assert (found.same, found.differs) == (True, ())

    def test_what_does_not_keep_the_protocol_is_not_made_again(self, changed):
        with pytest.raises(ValueError, match="must have a result that keeps the protocol: final must be"):
            reproduce(changed(put("final", 0.0)), PROTOCOL)


@pytest.mark.long
def test_commands(tmp_path, capsys):
    suite = written(tmp_path, seeds=1)
    first, second = Suite.load(suite).jobs()
    out, protocol = tmp_path / "out", ["--protocol", str(tmp_path / "protocol.toml")]
    first.work(out)
    assert cli.main(["bench", "validate", str(out), *protocol]) == 0
    assert "1 of 1 runs keep protocol kills" in capsys.readouterr().out
    assert cli.main(["bench", "reproduce", str(first.folder(out)), *protocol]) == 0
    assert capsys.readouterr().out == "equal to the bit\n"
    second.folder(out).mkdir()
    (second.folder(out) / "log.txt").write_text("")
    assert cli.main(["bench", "validate", str(out)]) == 1
    told = capsys.readouterr().out
    assert f"{second.name}: it has no result.json: it is not whole" in told
    assert f"{first.name}: protocol must be " in told
    assert "0 of 2 runs keep protocol 1" in told
    assert cli.main(["bench", "validate", str(first.folder(out)), *protocol]) == 0
    assert "1 of 1 runs" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere", "protocol.toml"):
        assert cli.main(["bench", "validate", str(tmp_path / nothing)]) == 2
        assert f"folder must have runs in it, got {tmp_path / nothing} without any" in capsys.readouterr().err


def test_a_run_s_own_folder_may_be_the_current_one(made, monkeypatch, tmp_path, capsys):
    (tmp_path / "rules.toml").write_text(PROTOCOL_FILE.format(version="test", tuning=[0]))
    kept = Protocol.load(tmp_path / "rules.toml")
    one = job(protocol=kept)
    one.work(tmp_path / "out")
    monkeypatch.chdir(one.folder(tmp_path / "out"))
    assert cli.main(["bench", "validate", ".", "--protocol", str(tmp_path / "rules.toml")]) == 0
    assert "1 of 1 runs keep protocol" in capsys.readouterr().out


def test_nothing_that_a_row_names_is_imported(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')\n")
    folder = tmp_path / "run"
    folder.mkdir()
    result = json.loads((made / RESULT).read_text())
    result.pop("sha256")
    result["job"] |= {"id": "evil:BaggedHopper-v0", "method": "evil:factory"}
    (folder / RESULT).write_text(json.dumps({**result, "sha256": digest(result)}))
    assert cli.main(["bench", "validate", "."]) == 1
    assert "run: task must be none of ours, InvertedPendulum, where job.id is evil:" in capsys.readouterr().out
