"""Whom to cite: every row of every table has entries, and they are BibTeX."""

import re

import pytest

import bagged_envs
from bagged_envs.baselines.benchmark.arms import ARMS, CONTROLS
from bagged_envs.baselines.cite import PARTS, bibliography, cite, keys_of
from bagged_envs.baselines.methods import LEARNERS
from bagged_envs.baselines.redistributors import REDISTRIBUTORS
from bagged_envs.cli import main
from bagged_envs.tasks import TASKS


def keys(text):
    return re.findall(r"^@\w+\{([^,]+),$", text, flags=re.MULTILINE)


def test_environment_engine_method_and_ours_in_this_order():
    assert keys(cite("EpisodicHopper-v0", "rrd-td3")) == [
        "towers2024gymnasium", "todorov2012mujoco", "ren2022rrd", "fujimoto2018td3", "bagged_envs",
    ]  # fmt: skip


def test_without_a_method():
    assert keys(cite("BaggedCheetahRun-v0")) == ["tassa2018dmcontrol", "todorov2012mujoco", "bagged_envs"]
    assert keys(cite("BaggedSimpleTag-v0")) == ["lowe2017multi", "terry2021pettingzoo", "bagged_envs"]


def test_an_entry_stands_once_although_it_is_of_the_task_and_of_the_method():
    assert keys(cite("EpisodicPocketWatch-v0", "rudder-ppo")).count("arjona2019rudder") == 1


def test_a_method_of_another_library_with_a_redistributor():
    assert keys_of("rrd-sb3-sac") == ["ren2022rrd", "haarnoja2018sac", "raffin2021sb3"]


def test_a_control_is_cited_as_the_learner_it_is():
    assert keys_of("identity-td3 discount=0.999") == ["fujimoto2018td3"]


def test_the_version_is_the_installed_one():
    assert f"version = {{{bagged_envs.__version__}}}" in cite("EpisodicHopper-v0")


@pytest.mark.parametrize("name", [*REDISTRIBUTORS, *LEARNERS])
def test_every_part_of_a_method_has_a_row_of_entries_that_exist(name):
    assert set(PARTS[name]) <= set(bibliography())


@pytest.mark.parametrize("arm", ARMS)
def test_every_method_of_a_benchmark_can_be_cited(arm):
    assert set(keys_of(arm)) <= set(bibliography())
    assert keys_of(arm) or arm in CONTROLS


def test_methods_that_only_a_preset_has_can_be_cited(capsys):
    assert main(["cite", "EpisodicHopper-v0", "rrd-td3 quick"]) == 0
    assert capsys.readouterr().out == cite("EpisodicHopper-v0", "rrd-td3") + "\n"


def test_every_task_names_an_entry():
    ours = {task.bibtex for task in TASKS.values() if not task.module}  # those of users name none
    assert ours <= set(bibliography())


@pytest.mark.parametrize(("key", "entry"), bibliography().items())
def test_an_entry_is_whole(key, entry):
    assert entry.count("{") == entry.count("}")
    assert entry.endswith("\n}")
    for field in ("author", "title", "year"):
        assert len(re.findall(rf"^  {field} = \{{.+", entry, flags=re.MULTILINE)) == 1


def test_keys_are_sorted_and_each_there_once():
    text = "\n".join(bibliography().values())
    assert keys(text) == sorted(set(keys(text)))


def test_the_command(capsys):
    assert main(["cite", "EpisodicHopper-v0", "rrd-td3"]) == 0
    assert capsys.readouterr().out == cite("EpisodicHopper-v0", "rrd-td3") + "\n"


def test_an_unknown_method_is_told_with_what_there_is(capsys):
    assert main(["cite", "EpisodicHopper-v0", "rdd-td3"]) == 2
    assert "rrd" in capsys.readouterr().err
