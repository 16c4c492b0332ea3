"""What a report takes from results: names, environments, controls, and what is left out."""

import dataclasses
import json
import math

import pytest

from bagged_envs.baselines.benchmark.arms import ARMS, Arm
from bagged_envs.baselines.benchmark.report import again
from bagged_envs.baselines.benchmark.report.content import Choice, gathered, missing, unfinished_runs
from bagged_envs.baselines.benchmark.report.control import controls
from bagged_envs.baselines.benchmark.report.released import released
from bagged_envs.baselines.benchmark.report.rows import cell_of, redistributions_of, runs_of, told_apart
from bagged_envs.baselines.benchmark.suite import Suite
from tests.baselines.benchmark.invented import benchmark, flat, judged, protocol, protocol_file, result, write
from tests.baselines.benchmark.small import job


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return protocol(tmp_path_factory.mktemp("protocol"))


class TestCells:
    @pytest.mark.parametrize(
        ("id", "task", "arguments", "label", "suite", "variant"),
        [
            ("BaggedKeyDoor-v0", "KeyDoor", {}, "BaggedKeyDoor-v0[bag_len=20]", "symbolic", "Bagged"),
            ("BaggedKeyDoor-v0", "KeyDoor", {"bag_len": 20}, "BaggedKeyDoor-v0[bag_len=20]", "symbolic", "Bagged"),
            ("BaggedHopper-v0", "Hopper", {"bag_len": [100, 500]}, "BaggedHopper-v0[bag_len=(100, 500)]", "mujoco",
             "Bagged"),
            ("EpisodicHopper-v0", "Hopper", {}, "EpisodicHopper-v0", "mujoco", "Episodic"),
            ("PartiallyLabeledHopper-v0", "Hopper", {"label_fraction": 0.1},
             "PartiallyLabeledHopper-v0[label_fraction=0.1]", "mujoco", "PartiallyLabeled"),
            ("not_there:BaggedMine-v0", "Mine", {}, "not_there:BaggedMine-v0[bag_len=20]", "other", "Bagged"),
            ("Strange-v3", "Mine", {"a": "b", "c": None}, "Strange-v3[a=b, c=null]", "other", "other"),
        ],
    )  # fmt: skip
    def test_labels(self, kept, id, task, arguments, label, suite, variant):
        cell = cell_of(result(kept, "a", 7, flat(1.0), id=id, task=task, arguments=arguments))
        assert (cell.label, cell.suite, cell.variant, cell.steps) == (label, suite, variant, 120)

    def test_the_order_of_arguments_does_not_matter(self, kept):
        first, second = (
            cell_of(result(kept, "a", 7, flat(1.0), id="Strange-v3", arguments=arguments))
            for arguments in ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
        )
        assert first == second
        assert first.label == 'Strange-v3[a=1, b={"c": 2, "d": 3}]'

    def test_other_lengths_are_other_cells(self, kept):
        first, second = (cell_of(result(kept, "a", 7, returns)) for returns in ([1.0], [1.0, 2.0]))
        assert first.label == second.label
        assert first != second

    def test_learning_offline_is_elsewhere(self, kept):
        online, offline = (cell_of(result(kept, "a", 7, flat(1.0), kind=kind)) for kind in ("training", "offline"))
        assert online != offline
        assert offline.label == "BaggedInvertedPendulum-v0[bag_len=20, offline]"
        assert cell_of(result(kept, "a", 7, flat(1.0), id="EpisodicHopper-v0", kind="offline")).label == (
            "EpisodicHopper-v0[offline]"
        )
        assert (online.length.words, offline.length.words) == ("120 steps", "120 updates")
        assert (online.length.name, offline.length.name) == ("120", "120-offline")


class TestNames:
    def test_one_setting_has_one_name(self, kept):
        assert told_apart([result(kept, "a", seed, flat(1.0)) for seed in (7, 8)]) == ["a", "a"]

    def test_settings_are_told_apart_though_seeds_differ(self, kept):
        learner = job().described()["learner"]
        changed = {**learner, "discount": 0.5}
        found = told_apart([
            result(kept, "a", 7, flat(1.0), learner=learner),
            result(kept, "a", 8, flat(1.0), learner=changed),
            result(kept, "b", 8, flat(1.0), learner=changed),
        ])  # fmt: skip
        assert found == ["a (learner.discount=0.99)", "a (learner.discount=0.5)", "b"]

    def test_versions_only_where_a_run_is_there_twice(self, kept):
        old, new = {"torch": "1", "numpy": "2"}, {"torch": "3", "numpy": "2"}
        alone = [result(kept, "a", 7, flat(1.0), versions=old), result(kept, "a", 8, flat(1.0), versions=new)]
        assert told_apart(alone) == ["a", "a"]
        twice = [*alone, result(kept, "a", 7, flat(1.0), versions=new)]
        assert told_apart(twice) == [f'a (versions.torch="{version}")' for version in (1, 3, 3)]

    def test_many_differences_stay_different(self, kept):
        learners = [{**job().described()["learner"], "a": x, "b": x, "c": x, "d": x, "discount": x} for x in (1, 2)]
        found = told_apart([result(kept, "a", 7, flat(1.0), learner=one) for one in learners])
        assert len(set(found)) == 2
        assert found[0].startswith("a (learner.a=1, learner.b=1, learner.c=1, and more: ")

    def test_released_rows_are_marked(self, kept):
        own = result(kept, "a", 7, flat(1.0))
        assert told_apart([own, {**own, "released": "file"}]) == ["a", "a (released)"]
        assert [run.released for run in runs_of([own, {**own, "released": "file"}])] == [False, True]


class TestTwice:
    """An environment may be spelt in two ways."""

    def both(self, kept, make, *contents):
        spelt = ({}, {"bag_len": 20})
        found = [make(arguments, content) for arguments, content in zip(spelt, contents, strict=True)]
        assert found[0]["key"] != found[1]["key"]
        return found

    def test_runs(self, kept):
        def make(arguments, value):
            return result(kept, "a", 7, flat(value), arguments=arguments)

        same = self.both(kept, make, 1.0, 1.0)
        (run,) = runs_of(same)
        assert run.result["key"] == min(one["key"] for one in same)
        first, second = differing = self.both(kept, make, 1.0, 2.0)
        with pytest.raises(ValueError, match=r"one run of 'a' in .*\[bag_len=20\] with seed 7, got two") as error:
            gathered(differing, [], kept, Choice())
        assert first["key"] in str(error.value)
        assert second["key"] in str(error.value)

    def test_redistributions(self, kept):
        def make(arguments, value):
            return (
                judged(kept, "a", 7, epic=value)
                | {"key": f"{len(arguments)}"}
                | {"job": {**judged(kept, "a", 7)["job"], "arguments": arguments}}
            )

        assert len(redistributions_of(self.both(kept, make, 1.0, 1.0))) == 1
        with pytest.raises(ValueError, match="whose keys are 0 and 1: take one of them away"):
            redistributions_of(self.both(kept, make, 1.0, None))


class TestControl:
    def found(self, kept, test, tuning=(), id="BaggedInvertedPendulum-v0"):
        results = [result(kept, name, seed, flat(value), method=method, id=id)
                   for seeds, some in (((7, 8), test), ((0, 1), tuning))
                   for name, method, value in some for seed in seeds]  # fmt: skip
        runs = runs_of(results)
        (control,) = controls([run for run in runs if run.seed > 1], [run for run in runs if run.seed <= 1]).values()
        return control

    def test_the_best_on_tuning_seeds_is_chosen_not_the_best_on_test_seeds(self, kept):
        test = [("i", "identity-td3", 9.0), ("far", "identity-td3", 1.0), ("rrd", "rrd-td3", 99.0)]
        tuning = [("i", "identity-td3", 1.0), ("far", "identity-td3", 2.0), ("rrd", "rrd-td3", 99.0)]
        control = self.found(kept, test, tuning)
        assert (control.chosen, control.among, control.seeds) == ("far", ("far", "i"), (0, 1))
        assert control.of("rrd-td3") == control.of("rrd-ppo") == "far"
        assert control.words == "Best Identity: far, chosen on the tuning seeds 0, 1 among 2."

    def test_one_without_test_runs_is_not_chosen(self, kept):
        tuning = [("i", "identity-td3", 1.0), ("gone", "identity-td3", 2.0)]
        assert self.found(kept, [("i", "identity-td3", 9.0)], tuning).chosen == "i"

    def test_without_tuning_seeds_it_is_the_plain_one_of_the_same_learner(self, kept):
        job_of = {
            name: ARMS[name].settings() for name in ("identity-td3", "identity-td3 discount=0.999", "identity-ppo")
        }
        results = [
            result(kept, name, 7, flat(value), **json.loads(json.dumps(job_of[name])))
            for name, value in (("identity-td3", 1.0), ("identity-td3 discount=0.999", 5.0), ("identity-ppo", 3.0))
        ]
        (control,) = controls(runs_of(results), []).values()
        assert control.chosen is None
        assert control.plain == {"td3": "identity-td3", "ppo": "identity-ppo"}
        assert [control.of(name) for name in ("rrd-td3", "rrd-ppo", "rrd-sac")] == [
            "identity-td3",
            "identity-ppo",
            None,
        ]
        assert "no runs on tuning seeds" in control.words

    def test_the_only_one_serves_other_learners(self, kept):
        assert self.found(kept, [("i", "identity-td3", 9.0)]).of("my_module:make") == "i"

    def test_only_some_have_tuning_runs(self, kept):
        test = [("i", "identity-td3", 9.0), ("far", "identity-td3", 1.0), ("third", "identity-td3", 1.0)]
        control = self.found(kept, test, [("far", "identity-td3", 2.0)])
        assert (control.chosen, control.untuned, control.plain) == (None, ("i", "third"), {"td3": "far"})
        assert control.words.startswith(
            "Not all Identities have runs on the same tuning seeds (i, third without): the plain one is taken (far)"
        )

    def test_only_seeds_that_all_have_are_compared(self, kept):
        told = [("i", 7, 1.0), ("far", 7, 1.0), ("i", 0, 1.0), ("i", 1, 99.0), ("far", 0, 2.0)]
        runs = runs_of([result(kept, name, seed, flat(value), method="identity-td3") for name, seed, value in told])
        (control,) = controls([run for run in runs if run.seed > 1], [run for run in runs if run.seed <= 1]).values()
        assert (control.chosen, control.seeds) == ("far", (0,))
        (control,) = controls(
            [run for run in runs if run.seed > 1],
            [run for run in runs if (run.method, run.seed) in {("i", 1), ("far", 0)}],
        ).values()
        assert (control.chosen, control.untuned) == (None, ("far", "i"))

    def test_the_only_one_is_not_called_the_best(self, kept):
        control = self.found(kept, [("i", "identity-td3", 9.0)], [("i", "identity-td3", 1.0)])
        assert control.words == "Identity: i, the only one that was run here."

    def test_agents_without_a_redistributor(self, kept):
        results = [
            result(kept, name, 7, flat(1.0), **json.loads(json.dumps(ARMS[name].settings())))
            for name in ("sb3-td3", "rrd-sb3-td3", "sb3-sac", "identity-td3")
        ]
        (control,) = controls(runs_of(results), []).values()
        td3, sac = (ARMS[name].method for name in ("sb3-td3", "sb3-sac"))
        assert control.plain == {td3: "sb3-td3", "td3": "identity-td3"}
        assert (control.of(td3), control.of(sac)) == ("sb3-td3", None)
        # Alone it may be anything, a method of somebody's own included.
        (control,) = controls(runs_of(results[2:]), []).values()
        assert control.of(sac) == "identity-td3"

    def test_without_any(self, kept):
        control = self.found(kept, [("rrd", "rrd-td3", 9.0)])
        assert control.of("rrd-td3") is None
        assert control.words == "No Identity was run here: gains cannot be stated."


class TestGathered:
    def test_seeds_and_numbers(self, kept):
        strange = result(kept, "ours", 8, flat(1.0))
        strange["rows"][0]["return"] = math.nan
        found = gathered(
            [
                result(kept, "ours", 7, flat(1.0)),
                result(kept, "ours", 0, flat(2.0)),
                result(kept, "identity", 1, flat(2.0)),
                result(kept, "identity", 0, flat(2.0), id="EpisodicKeyDoor-v0", task="KeyDoor"),
                result(kept, "ours", 99, flat(3.0)),
                strange,
            ],
            [],
            kept,
            Choice(),
        )
        assert [(run.seed, run.final) for run in found.runs] == [(7, 1.0)]
        assert [run.seed for run in found.tuning] == [1]  # what controls are chosen by
        assert found.notes == (
            "Left out: 1 run, which has returns that are no finite numbers.",
            "Left out: 1 run, which has a seed that is none of the protocol's.",
        )

    def test_choices_hide_but_the_control_stays(self, kept):
        found = gathered(benchmark(kept), [], kept, Choice(suite="mujoco", variant="Episodic", methods=("ours",)))
        assert {(run.method, run.cell.label) for run in found.runs} == {("ours", "EpisodicReacher-v0")}
        assert found.against[found.cells[0]].of("uniform-td3") == "identity"
        assert len(found.everything) == len(benchmark(kept))

    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            (Choice(suite="dmc"), "suite must be one of 'mujoco', 'symbolic', got 'dmc'"),
            (Choice(variant="Sparse"), "variant must be one of 'Bagged', 'Episodic', got 'Sparse'"),
            (Choice(methods=("our",)), "method must be one of .*got 'our'. Did you mean 'ours'"),
            (Choice(suite="symbolic", variant="Bagged"), "must leave a run to show"),
        ],
    )
    def test_choices_that_are_not_there(self, kept, choice, message):
        with pytest.raises(ValueError, match=message):
            gathered(benchmark(kept), [], kept, choice)

    def test_nothing_and_other_protocols(self, kept):
        with pytest.raises(ValueError, match="folder must have a run that is whole, got none"):
            gathered([], [], kept, Choice())
        with pytest.raises(ValueError, match="on a test seed, got none"):
            gathered([result(kept, "a", 0, flat(1.0))], [], kept, Choice())
        other = dataclasses.replace(kept, version="other")
        mixed = [result(kept, "a", 7, flat(1.0)), result(other, "a", 8, flat(1.0))]
        with pytest.raises(ValueError, match="rows must be of one protocol, got .*, .*: results under different rules"):
            gathered(mixed, [], kept, Choice())
        with pytest.raises(ValueError, match=rf"results, {kept.hash}, got {other.hash} \(version other\)"):
            gathered(mixed[:1], [], other, Choice())

    def test_missing_seeds(self, kept):
        found = [result(kept, "a", seed, flat(1.0)) for seed in (7, 8, 9)]
        found += [
            result(kept, "b", 7, flat(1.0)),
            result(kept, "b", 7, flat(1.0), id="EpisodicKeyDoor-v0", task="KeyDoor"),
        ]
        assert missing(runs_of(found)) == {"a": 0, "b": 2}

    def test_redistributions(self, kept):
        one = result(kept, "a", 7, flat(1.0), kind="redistribution", scores={"epic": 0.5, "regret": None})
        del one["job"]["steps"]
        (found,) = redistributions_of([{**one, "rows": [], "final": None}])
        assert (found.method, found.seed, found.scores, found.cell.steps) == ("a", 7, {"epic": 0.5, "regret": None}, 0)


def test_unfinished_folders(kept, tmp_path):
    write(tmp_path, result(kept, "a", 7, flat(1.0)))
    for name, file, text in (
        ("begun", "parts.json", "[]"),
        ("broken", "result.json", '{"sha256": "0"}'),
        ("failing", "failure.json", json.dumps({"error": f"ValueError: in {tmp_path / 'failing'}"})),
        ("unrelated", "notes.txt", ""),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    assert unfinished_runs(tmp_path) == [
        ("begun", "stopped"),
        ("broken", "damaged: result.json is not as it was written"),
        ("failing", "failed: ValueError: in failing"),
    ]


class TestReleased:
    def put(self, folder, kept, *results, name="all.json"):
        (folder / kept.hash).mkdir(parents=True, exist_ok=True)
        (folder / kept.hash / name).write_text(json.dumps(list(results)))

    def test_read_with_a_mark(self, kept, tmp_path):
        self.put(tmp_path, kept, result(kept, "a", 7, flat(1.0)), name="b.json")
        self.put(tmp_path, kept, result(kept, "b", 7, flat(1.0)), name="a.json")
        assert [(one["arm"]["name"], one["released"]) for one in released(kept.hash, tmp_path)] == [
            ("b", "a"),
            ("a", "b"),
        ]

    def test_none_for_the_protocol(self, kept, tmp_path):
        with pytest.raises(
            ValueError, match=f"protocol {kept.hash}: it has no released results, none are released yet"
        ):
            released(kept.hash, tmp_path / "nowhere")
        self.put(tmp_path, kept, result(kept, "a", 7, flat(1.0)))
        with pytest.raises(ValueError, match=f"abc: it has no released results, there are some for {kept.hash}"):
            released("abc", tmp_path)

    def test_changed_ones_are_refused(self, kept, tmp_path):
        one = result(kept, "a", 7, flat(1.0))
        self.put(tmp_path, kept, {**one, "final": 9.0})
        with pytest.raises(ValueError, match="got one at 0 whose hash is not its content's"):
            released(kept.hash, tmp_path)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "all.json").write_text(json.dumps([one]))
        with pytest.raises(ValueError, match=f"results of protocol other, got {kept.hash}"):
            released("other", tmp_path)
        (tmp_path / "other" / "all.json").write_text("{}")
        with pytest.raises(ValueError, match="must be a JSON list of results, got dict"):
            released("other", tmp_path)


class TestAgain:
    """The suites that a report writes name exactly the runs that it has."""

    def keys(self, folder, texts):
        found = []
        for place, text in enumerate(texts):
            (folder / f"{place}.toml").write_text(text)
            found += [one.key for one in Suite.load(folder / f"{place}.toml").jobs()]
        return found

    def test_same_keys(self, tmp_path):
        kept = protocol(tmp_path)
        mine = Arm(
            'my "<b>" & \x7f é', "rrd-td3", 'a "source" \\ of\nmine', 3, {"bags": 8}, {"hidden": (8, 8)}, {"n_step": 3}
        )
        agent = Arm(
            "sb3", "tests.baselines.benchmark.test_agents:make", "s", 0, learner={"rate": 0.5, "deep": {"a b": [1]}}
        )
        pairs = [(mine, 7), (mine, 8), (mine, 0), (ARMS["identity-td3"], 7), (ARMS["identity-td3"], 8), (agent, 8)]
        places = [("BaggedInvertedPendulum-v0", {"bag_len": [3, 5]}), ("EpisodicInvertedPendulum-v0", {})]
        jobs = [
            dataclasses.replace(job(protocol=kept), arm=arm, seed=seed, id=id, arguments=arguments, steps=120)
            for arm, seed in pairs
            for id, arguments in places
        ]
        jobs.append(dataclasses.replace(jobs[0], steps=80, threads=2))
        results = [{"job": one.described(), "arm": one._told(), "key": one.key} for one in jobs]
        labels = [one.arm.name for one in jobs]
        assert sorted(self.keys(tmp_path, again.suites(results, labels, "invented.toml", kept.tuning))) == sorted(
            j.key for j in jobs
        )

    def test_a_name_of_ours_with_other_settings(self, tmp_path):
        kept = protocol(tmp_path)
        other = dataclasses.replace(ARMS["identity-td3"], learner={"discount": 0.5})
        one = dataclasses.replace(job(protocol=kept), arm=other)
        told = {"job": one.described(), "arm": one._told(), "key": one.key}
        texts = again.suites([told], ["identity-td3"], "invented.toml", kept.tuning)
        assert 'methods = ["identity-td3, as it was run"]' in texts[0]
        assert self.keys(tmp_path, texts) == [one.key]

    def test_runs_of_several_versions_are_one_method(self, tmp_path):
        kept = protocol(tmp_path)
        one = dataclasses.replace(job(protocol=kept), arm=Arm("mine", "rrd-td3", "s", 0))
        versions = one.described()["versions"]
        told = [
            {"job": {**one.described(), "versions": {**versions, "torch": torch}}, "arm": one._told(), "key": torch}
            for torch in ("1", "2")
        ]
        texts = again.suites(told, ["mine (torch=1)", "mine (torch=2)"], "invented.toml", kept.tuning)
        assert self.keys(tmp_path, texts) == [one.key]
        assert 'methods = ["mine"]' in texts[0]
        other = dataclasses.replace(one, arm=Arm("mine", "rd-td3", "s", 0))
        both = [*told, {"job": other.described(), "arm": other._told(), "key": other.key}]
        texts = again.suites(both, ["mine (torch=1)", "mine (torch=2)", "mine"], "invented.toml", kept.tuning)
        assert sorted(self.keys(tmp_path, texts)) == sorted([one.key, other.key])

    def test_toml_has_no_none(self):
        with pytest.raises(ValueError, match="a setting must have a value"):
            again.toml({"a": None})
        assert again.toml([1.5, float("inf"), True, "a", {}]) == '[1.5, inf, true, "a", {}]'


def test_a_protocol_file(tmp_path):
    assert protocol_file(tmp_path).exists()
    assert set(protocol(tmp_path).references) == {"InvertedPendulum", "KeyDoor"}
