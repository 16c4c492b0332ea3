"""Suites: what a file says is what is run, and what is wrong in it is said."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import pytest

from bagged_envs.baselines.benchmark.arms import ARMS
from bagged_envs.baselines.benchmark.protocol import FOLDER, Protocol
from bagged_envs.baselines.benchmark.suite import Suite, presets
from bagged_envs.registration import parts
from tests.baselines.benchmark.small import PROTOCOL_FILE

V1 = Protocol.load("v1")
MINE = """
steps = "quick"
first_seeds = 2
methods = ["identity-td3", "mine"]

[arms.mine]
method = "rrd-td3"
source = "chosen by hand"
trials = 4
redistributor = { bags = 8, hidden = [32, 32] }
training = { batch_size = 64 }

[[environments]]
ids = ["BaggedHopper-v0", "BaggedReacher-v0"]
schedules = ["bags_of_5", "random_bags"]

[[environments]]
id = "EpisodicKeyDoor-v0"
arguments = { delay = 40 }
"""


def load(folder, text):
    (folder / "mine.toml").write_text(text)
    return Suite.load(folder / "mine.toml")


def test_it_is_the_product_seed_by_seed(tmp_path):
    suite = load(tmp_path, MINE)
    jobs = suite.jobs()
    assert (suite.name, suite.steps, suite.seeds, len(jobs)) == ("mine", 20_000, V1.test[:2], 2 * 5 * 2)
    assert [job.seed for job in jobs] == [1000] * 10 + [1001] * 10
    assert [(job.arm.name, job.id, dict(job.arguments)) for job in jobs[:10:2]] == [
        ("identity-td3", "BaggedHopper-v0", {"bag_len": 5}),
        ("identity-td3", "BaggedHopper-v0", {"bag_len": [100, 500]}),
        ("identity-td3", "BaggedReacher-v0", {"bag_len": 5}),
        ("identity-td3", "BaggedReacher-v0", {"bag_len": [100, 500]}),
        ("identity-td3", "EpisodicKeyDoor-v0", {"delay": 40}),
    ]
    assert {job.arm.name for job in jobs[1::2]} == {"mine"}
    assert jobs[1].arm.trials == 4
    assert jobs[1].run().config.batch_size == 64
    assert jobs[1].run().config.evaluate_every == V1.every
    assert jobs[1].arm.made().redistributor_settings == {"bags": 8, "hidden": (32, 32)}


@pytest.mark.parametrize("spelt", ["bagged_envs:BaggedReacher-v0", "BaggedReacher"])
def test_an_id_that_is_spelt_in_two_ways_is_there_twice(tmp_path, spelt):
    assert '"BaggedReacher-v0"' in MINE
    with pytest.raises(ValueError, match="each run must be there once, got identity-td3-BaggedReacher-v0.* 2 times"):
        load(tmp_path, MINE.replace('"BaggedReacher-v0"', f'"BaggedReacher-v0", "{spelt}"'))


def test_a_protocol_may_have_no_schedules(tmp_path):
    (tmp_path / "rules.toml").write_text(PROTOCOL_FILE.format(version="bare", tuning=[0]))
    text = MINE.replace("first_seeds = 2", 'protocol = "rules.toml"').replace('"quick"', "120")
    with pytest.raises(ValueError, match=r"schedules must be left out, got \[.*\]: protocol bare has none"):
        load(tmp_path, text)


def test_seeds_are_the_protocol_s(tmp_path):
    tuning = load(tmp_path, MINE.replace("first_seeds = 2", 'seeds = "tuning"'))
    assert tuning.seeds == V1.tuning
    some = load(tmp_path, MINE.replace("first_seeds = 2", "seeds = [1003, 1001]"))
    assert some.seeds == (1003, 1001)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('steps = "quick"', "", "must have steps"),
        ('steps = "quick"', 'steps = "quik"', "steps must be .*got 'quik'. Did you mean 'quick'"),
        ('steps = "quick"', "steps = 10", "steps must be at least 5000, one evaluation, got 10"),
        ('steps = "quick"', 'stepz = "quick"', "setting must be .*got 'stepz'. Did you mean 'steps'"),
        ("first_seeds = 2", "first_seeds = 11", "first_seeds must be at most 10, got 11"),
        ("first_seeds = 2", "seeds = [1000, 0]", "all for tests .* or all for tuning .*, got 1000, 0"),
        ("first_seeds = 2", "seeds = []", "seeds of suite 'mine' must have at least one, got none"),
        ("first_seeds = 2", "seeds = [1000, 1000]", "each run must be there once, got .*Hopper.* 2 times"),
        ("first_seeds = 2", 'protocol = "v0"', "protocol must be one of teams, v1 or a file, got v0"),
        ('"mine"]', '"mien"]', "method must be .*got 'mien'.*'mine'"),
        ('"mine"]', '"mine", "rrd-td3", "rrd-td3"]', "each run must be there once, got rrd-td3-BaggedHopper.* 2 times"),
        ("[arms.mine]", '[arms."rrd-td3"]', "arms.rrd-td3 must have another name"),
        ("trials = 4", "", "arms.mine must have trials"),
        ("trials = 4", "trials = 4\nbags = 3", "setting of arms.mine must be .*got 'bags'"),
        ('"bags_of_5"', '"bags_of_6"', "schedule must be .*got 'bags_of_6'. Did you mean 'bags_of_5'"),
        ('id = "Ep', 'idd = "Ep', "setting of environments must be .*got 'idd'"),
        ('id = "EpisodicKeyDoor-v0"\n', "", "environments must have an id or ids, got"),
        ("first_seeds = 2", "first_seeds = ", "mine.toml: "),
        ("first_seeds = 2", "seeds = [true]", "mine.toml: seeds must be an int"),
        ("first_seeds = 2", "seeds = 3", "mine.toml: seeds must be test, tuning or a list of ints, got 3"),
        ("first_seeds = 2", "threads = 0", "mine.toml: threads must be .*got 0"),
        ("first_seeds = 2", 'device = "tpu"', "mine.toml: device must be .*got 'tpu'"),
        ("first_seeds = 2", "tuning_seeds = 6", "mine.toml: tuning_seeds must be an int from 0 to 5, got 6"),
        ('schedules = ["bags_of_5"', "arguments = { bag_len = 0 }\n#", "mine.toml: bag_len must"),
        ("trials = 4", "trials = 4\nlearner = 3", "mine.toml: arms.mine.learner must be a table, .*got 3"),
        ("trials = 4", "trials = 4\nlearner = [5]", r"arms.mine.learner must be a table, .*got \[5\]"),
        ("[arms.mine]", "[arms]\nother = 3\n[arms.mine]", "arms.other must be a table, .*got 3"),
        ("first_seeds = 2", 'device = "cuda:x"', "device must be cpu, cuda or such as cuda:1, got 'cuda:x'"),
        ("first_seeds = 2", "protocol = 3", "protocol must be a string, got 3"),
        ('schedules = ["bags_of_5"', "arguments = 3\n#", "arguments must be a table, .*got 3"),
        ('id = "Ep', 'schedules = []\nid = "Ep', "schedules must name some of bags_of_5, .*, got none"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, old, new, message):
    assert old in MINE
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(tmp_path, MINE.replace(old, new))


def test_what_does_not_fit_is_said_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="'identity-td3' must fit EpisodicKeyDoor-v0: action_space must be a Box"):
        load(tmp_path, MINE).check()
    load(tmp_path, MINE[: MINE.rindex("[[environments]]")]).check()


def test_a_protocol_is_looked_for_beside_the_suite(tmp_path):
    (tmp_path / "own.toml").write_text((FOLDER / "v1.toml").read_text().replace("episodes = 10", "episodes = 3"))
    assert load(tmp_path, 'protocol = "own.toml"' + MINE).protocol.episodes == 3


def test_the_documents_example_loads(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "benchmark.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    load(tmp_path, example).check()


def test_an_unknown_id_names_the_nearest(tmp_path):
    with pytest.raises(gym.error.Error, match="BaggedHopper"):
        load(tmp_path, MINE.replace('"BaggedHopper-v0"', '"BaggedHoper-v0"'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('methods = "rrd-td3"', "methods must be a sequence of strings, got 'rrd-td3'"),
        ('methods = ["rrd-td3"]\n[environments]\nid = "BaggedHopper-v0"', "environments must be tables"),
        ('methods = ["rrd-td3"]\n[[environments]]\nids = "BaggedHopper-v0"', "ids must be a sequence of strings"),
    ],
)
def test_a_word_where_a_list_is_wanted_is_told(tmp_path, text, message):
    more = "" if "environments" in text else '\n[[environments]]\nid = "BaggedHopper-v0"'
    with pytest.raises(ValueError, match=f"mine.toml: {message}"):
        load(tmp_path, f"steps = 5000\n{text}{more}")


def test_arms_are_tables(tmp_path):
    with pytest.raises(ValueError, match="mine.toml: arms must be a table, name = value, got 3"):
        load(tmp_path, f"arms = 3\n{MINE[: MINE.index('[arms.mine]')]}[[environments]]\nid = 'BaggedHopper-v0'")


def test_tuning_seeds_need_a_control(tmp_path):
    text = 'steps = 5000\ntuning_seeds = 2\nmethods = ["rrd-td3"]\n[[environments]]\nid = "BaggedHopper-v0"'
    with pytest.raises(ValueError, match="tuning_seeds=2 needs a control among methods, .*got rrd-td3"):
        load(tmp_path, text)


def test_a_folder_is_no_suite(tmp_path):
    with pytest.raises(FileNotFoundError, match="suite must be one of .* or a file, got "):
        Suite.load(tmp_path)


def test_keys_are_computed_once(tmp_path):
    suite = load(tmp_path, MINE)
    assert all(one is other for one, other in zip(suite.jobs(), suite.jobs(), strict=True))


def test_an_agent_is_a_control_where_it_is_there_with_a_redistributor_too(tmp_path):
    def agents_on_tuning_seeds(*names):
        arms = (*(ARMS[name] for name in names), ARMS["identity-td3"])
        suite = replace(load(tmp_path, MINE), arms=arms, tuning_seeds=1)
        return sorted({job.arm.name for job in suite.jobs() if job.seed in V1.tuning})

    assert agents_on_tuning_seeds("sb3-td3", "sb3-sac") == ["identity-td3"]
    assert agents_on_tuning_seeds("sb3-td3", "sb3-sac", "rrd-sb3-sac") == ["identity-td3", "sb3-sac"]


def test_controls_are_run_on_tuning_seeds_too(tmp_path):
    suite = load(tmp_path, MINE.replace("first_seeds = 2", "first_seeds = 2\ntuning_seeds = 2"))
    plain = load(tmp_path, MINE)
    keys = {job.key for job in plain.jobs()}
    more = [job for job in suite.jobs() if job.key not in keys]
    assert {job.seed for job in more} == set(V1.tuning[:2])
    assert {job.arm.method for job in more} == {"identity-td3"}
    assert len(more) == 2 * len(suite.environments)
    assert len(suite.jobs()) == len(plain.jobs()) + len(more)


def test_controls_learn_from_what_is_paid():
    controls = [name for name, arm in ARMS.items() if arm.is_control]
    assert {"identity-ppo discount=0.999", "identity-ppo discount=1"} <= set(controls)
    assert "identity-ppo n_step=10" not in ARMS
    assert {"identity-td3", "identity-td3 n_step=10", "identity-ppo", "sb3-td3", "torchrl-sac"} <= set(controls)
    assert not {"oracle-td3", "rrd-td3", "rrd-sb3-td3", "identity", "labels_only-td3"} & set(controls)


def test_an_agent_beside_its_methods(tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    name = ARMS["sb3-td3"].method
    suite = Suite.load(tmp_path / "mine.toml", method=name)
    assert [arm.name for arm in suite.arms[-2:]] == ["mine", name]
    assert suite.arms[-1].kind == "agent"


def test_no_such_suite():
    with pytest.raises(FileNotFoundError, match="suite must be one of .* or a file, got nothing"):
        Suite.load("nothing")


@pytest.mark.long
@pytest.mark.parametrize("name", presets())
def test_presets_load_and_their_tasks_have_a_scale(name):
    suite = Suite.load(name)
    assert suite.arms
    if name != "redistribution":
        assert {parts(id)[1].name for id, _ in suite.environments} <= set(suite.protocol.references)
