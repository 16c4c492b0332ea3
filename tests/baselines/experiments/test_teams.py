"""Teams: which runs are made, that their settings are settings, and what is told of the table."""

from dataclasses import replace

import pytest

from bagged_envs.baselines.command import grouped
from bagged_envs.baselines.experiments import sweep, teams
from bagged_envs.baselines.learners.ippo import IPPO_PAPER
from bagged_envs.baselines.methods import LEARNERS, Method
from bagged_envs.baselines.redistributors.tar2 import TAR2Config
from bagged_envs.baselines.team_training import TeamConfig

NAVIGATION = "EpisodicCooperativeNavigation-v0"


def write(out, rows):
    """A table of (method, id, arguments, seed, step, return)."""
    names = "method,id,arguments,seed,step,return,return_std,episodes,success_rate"
    out.write_text("\n".join([names, *(",".join(map(str, row)) + ",0,1," for row in rows)]) + "\n")
    return out


def test_every_method_on_every_task_one_seed_after_the_other(tmp_path):
    made = list(teams.commands(2, 100, tmp_path, tmp_path / "none.csv", list(teams.METHODS)))
    assert len(made) == 2 * len(teams.TASKS) * len(teams.METHODS)
    seeds = [command[command.index("--seed") + 1] for command in made]
    assert seeds == sorted(seeds)
    assert len({command[command.index("--out") + 1] for command in made}) == len(made)


def test_what_the_table_has_whole_is_left_out(tmp_path):
    rows = [("rd-ippo", NAVIGATION, "num_agents=6", 0, 100, 1.0), ("rd-ippo", NAVIGATION, "num_agents=6", 1, 99, 1.0)]
    made = list(teams.commands(2, 100, tmp_path, write(tmp_path / "table.csv", rows), ["rd-ippo"]))
    assert len(made) == 2 * len(teams.TASKS) - 1
    left = [command[command.index("--seed") + 1] for command in made if NAVIGATION in command]
    assert left == ["1"]


@pytest.mark.parametrize("preset", teams.PRESETS.values(), ids=list(teams.PRESETS))
@pytest.mark.parametrize("name", sorted(teams.METHODS))
def test_settings_are_settings_of_the_method(name, preset):
    groups = grouped([*preset.settings, *preset.methods[name]])
    method = Method.named(name, groups["redistributor"], groups["learner"])
    assert method.team
    resolved = method.resolved()["redistributor"]
    assert all(resolved[setting] == value for setting, value in groups["redistributor"].items())
    # 41 worlds of 25 steps make an iteration of two rounds.
    config = TeamConfig(**groups["training"])
    assert teams.ITERATION == 2 * 25 * config.worlds >= config.rollout > 25 * config.worlds
    assert config.evaluate_every == 10 * teams.ITERATION


class TestImprovement:
    def test_seeds_are_paired(self):
        ours, theirs = ({str(seed): {1: base + seed} for seed in (0, 10, 20)} for base in (1.0, 0.0))
        assert teams.gains(ours, theirs) == [1.0] * 3
        assert teams.gains(theirs, ours) == [-1.0] * 3

    def test_a_run_that_has_not_come_as_far_is_compared_where_it_is(self):
        ours = {"0": {10: 1.0, 20: 2.0}}
        theirs = {"0": {10: 0.0, 20: 1.0, 30: 50.0, 40: 60.0}}
        assert teams.gains(ours, theirs) == [1.0]

    def test_seeds_without_a_pair_are_left_out(self):
        assert teams.gains({"0": {10: 1.0}, "1": {10: 2.0}}, {"1": {10: 1.5}, "2": {10: 0.0}}) == [0.5]
        assert teams.gains({"0": {10: 1.0}}, {}) == []
        assert teams.gains({"0": {10: 1.0}}, {"0": {20: 1.0}}) == []

    def test_every_draw_counts(self):
        # Gains of 1, 1 and -1.5: three draws of three are above 0 with two or three times 1, so 8/27 + 12/27.
        assert teams.improvement([1.0, 1.0, -1.5]) == pytest.approx(20 / 27)
        assert teams.improvement([1.0, 1.0, -0.01]) == pytest.approx(26 / 27)
        assert teams.improvement([-1.0]) == 0.0


def test_it_is_told_and_drawn(tmp_path, capsys):
    methods = {"identity-ippo": 1.0, "tar2-ippo": 3.0}
    rows = [
        (method, NAVIGATION, "num_agents=6", seed, step, value * step + seed)
        for method, value in methods.items()
        for seed in (0, 1)
        for step in (10, 20)
    ]
    picture = tmp_path / "teams.png"
    out = write(tmp_path / "table.csv", rows)
    assert teams.main(["--out", str(out), "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"| {NAVIGATION}[num_agents=6] | tar2-ippo | 20 | 45, 46 | 60, 61 |" in lines
    assert f"| {NAVIGATION}[num_agents=6] | tar2-ippo | 40.0, 40.0 | 1.00 |" in lines
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_a_table_is_for_these_settings(tmp_path, capsys):
    out = tmp_path / "table.csv"
    sweep.claim(out, ["training.worlds=7"])
    with pytest.raises(SystemExit):
        teams.main(["--out", str(out), "--seeds", "1", "--runs", str(tmp_path)])
    assert "is for runs with training.worlds=7" in " ".join(capsys.readouterr().err.split())


def test_without_identity_there_is_nothing_to_compare_with(tmp_path):
    out = write(tmp_path / "table.csv", [("tar2-ippo", NAVIGATION, "num_agents=6", 0, 10, 1.0)])
    assert teams.tell(out)[-1] == f"| {NAVIGATION}[num_agents=6] | tar2-ippo |  | – |"


def test_an_unknown_method_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        teams.main(["--methods", "nope", "--out", str(tmp_path / "table.csv")])
    assert "--methods must be some of identity-ippo" in " ".join(capsys.readouterr().err.split())


def test_presets_keep_their_runs_apart(tmp_path):
    made = [
        [
            command[command.index("--out") + 1]
            for command in teams.commands(2, 100, tmp_path, tmp_path / "none.csv", list(teams.METHODS), preset)
        ]
        for preset in teams.PRESETS.values()
    ]
    every = [folder for folders in made for folder in folders]
    assert len(set(every)) == len(every) == 3 * 2 * 3 * 8
    assert str(tmp_path / f"teams-rd-ippo-{NAVIGATION}-0") in made[list(teams.PRESETS).index("laptop")]


def test_with_frequent_updates_attention_has_as_many_as_regression(tmp_path):
    frequent = teams.PRESETS["frequent"]
    for name in ("rd-ippo", "arel-ippo", "stas-ippo", "tar2-ippo"):
        groups = grouped([*frequent.settings, *frequent.methods[name]])
        resolved = Method.named(name, groups["redistributor"], groups["learner"]).resolved()["redistributor"]
        assert resolved["updates"] == 20
        assert 2000 <= resolved["every"] <= teams.ITERATION


def test_the_published_sizes_are_those_of_the_configurations(tmp_path):
    published = teams.PRESETS["published"]
    made = list(teams.commands(1, 100, tmp_path, tmp_path / "none.csv", ["tar2-ippo"], published))
    words = [word for word in made[0] if "." in word.partition("=")[0] and "=" in word]
    groups = grouped(words)
    method = Method.named("tar2-ippo", groups["redistributor"], groups["learner"])
    assert TAR2Config(**method.redistributor_settings) == TAR2Config.paper()
    assert replace(LEARNERS["ippo"].config, **method.learner_settings) == IPPO_PAPER
    assert TeamConfig(**groups["training"]).decay_steps == 1000 * teams.ITERATION
    teams.claim(tmp_path / "table.csv", published)
    with pytest.raises(ValueError, match="is for runs with"):
        teams.claim(tmp_path / "table.csv")


def test_a_table_is_of_one_preset_even_if_only_one_methods_settings_differ(tmp_path):
    teams.claim(tmp_path / "table.csv")
    teams.claim(tmp_path / "table.csv")
    with pytest.raises(ValueError, match="is for runs with"):
        teams.claim(tmp_path / "table.csv", teams.PRESETS["frequent"])
