"""Programs by name, their factors from the cage, and the steps that they are tried on."""

import pickle
from functools import partial

import numpy as np
import pytest

import bagged_envs
from bagged_envs.baselines.latent_rewards import factors as module
from bagged_envs.baselines.latent_rewards.cage import seccomp
from bagged_envs.baselines.latent_rewards.cage.errors import CageError, ProgramError
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction
from bagged_envs.baselines.latent_rewards.factors import ProgramFactors
from bagged_envs.baselines.latent_rewards.program import Program, program_name
from bagged_envs.baselines.latent_rewards.steps import random_steps
from tests.baselines.programs import EVERYTHING

ROOT = "import numpy as np\ndef evaluation_func(observation, action):\n    return [np.sqrt(observation), 10 * action]\n"


def rows(*values):
    return np.array(values, np.float32)[:, None]


class TestProgram:
    def test_a_file_may_be_pinned_to_its_text(self, tmp_path):
        file = tmp_path / "mine.py"
        file.write_text(ROOT)
        digest = Program(ROOT).sha256
        for name in (str(file), f"{file}#{digest[:4]}", f"{file}#{digest}"):
            assert Program.named(name).text == ROOT
        with pytest.raises(ValueError, match="it has changed since"):
            Program.named(f"{file}#{digest[1:]}")
        file.write_text(ROOT.replace("10", "11"))
        with pytest.raises(ValueError, match="it has changed since"):
            Program.named(f"{file}#{digest[:4]}")

    def test_a_byte_order_mark_and_line_ends_make_no_difference(self, tmp_path):
        file, text = tmp_path / "mine.txt", f"# sizes: observation 3, action 2\n{ROOT}"
        file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        program = Program.named(str(file))
        assert program.sizes == (3, 2)
        assert program.sha256 == Program(text).sha256
        assert Program.named(program.pinned) == Program.named(f"{file}#{program.sha256[:16]}")

    def test_an_unknown_name_says_what_could_be_meant(self):
        with pytest.raises(ValueError, match=r"or a file that ends in \.txt or \.py, got 'my\.md'"):
            Program.named("my.md")

    def test_a_bundled_one_may_be_pinned_too(self):
        digest = Program.named("Hopper").sha256
        assert Program.named(f"Hopper#{digest[:8]}").sha256 == digest

    @pytest.mark.parametrize(
        ("comment", "sizes"),
        [
            ("", (None, None)),
            ("# sizes: observation 3, action 2", (3, 2)),
            ("# sizes: observation any, action 2", (None, 2)),
            ("# sizes: observation 3", (None, None)),
            ("x = '# sizes: observation 3, action 2'", (None, None)),
        ],
    )
    def test_a_comment_tells_its_sizes(self, comment, sizes):
        assert Program(f"import numpy as np\n{comment}\n").sizes == sizes

    def test_sizes_must_fit_where_they_are_told(self):
        program = Program("# sizes: observation any, action 2\n", "mine.txt")
        program.check_sizes(99, 2)
        with pytest.raises(ValueError, match=r"factors of mine\.txt are for actions of 2 elements, got 3"):
            program.check_sizes(99, 3)

    def test_every_variant_of_a_task_has_its_program(self):
        names = {program_name(id) for id in bagged_envs.list_ids() if id.endswith("HalfCheetah-v0")}
        assert names == {"HalfCheetah"}


class TestFactors:
    def test_they_are_what_the_program_says(self):
        factors = ProgramFactors(Program(ROOT), 1, 1)
        said = factors(rows(4, 9), rows(1, 2), rows(0, 0))
        assert said.dtype == np.float32
        assert said.tolist() == [[2, 10], [3, 20]]
        assert factors.size == 2
        assert factors(rows(4)[:0], rows(1)[:0], rows(0)[:0]).shape == (0, 2)

    def test_the_same_text_shares_a_process(self):
        ProgramFactors(Program(ROOT), 1, 1)
        started = module._worker.cache_info().misses
        ProgramFactors(Program(ROOT), 1, 1)(rows(4), rows(1), rows(0))
        assert module._worker.cache_info().misses == started
        for size in (1, 2):  # on which the number of factors depends
            assert ProgramFactors(Program.named(EVERYTHING), size, 1).size == size + 1

    @pytest.mark.parametrize(
        "factor",
        ["observation - np.mean(observation)", "observation / len(observation)", "np.cumsum(action, axis=0)"],
    )
    def test_a_file_whose_rows_see_each_other_is_refused(self, tmp_path, factor):
        file = tmp_path / "mine.txt"
        file.write_text(ROOT.replace("10 * action", factor))
        with pytest.raises(ProgramError, match="factor 2 must depend on its own row alone"):
            ProgramFactors(Program.named(str(file)), 1, 1)

    def test_a_text_that_says_other_things_in_another_process_is_refused(self, monkeypatch):
        monkeypatch.setattr(module, "CagedFunction", partial(CagedFunction, allow_list=False, names="all"))
        with pytest.raises(ProgramError, match="a second process gave others"):
            ProgramFactors(Program(ROOT.replace("10 * action", "action + hash('a') % 1000")), 1, 1)

    def test_what_is_not_finite_is_mended_counted_and_warned_of_once(self):
        factors = ProgramFactors(Program(ROOT, "mine.txt"), 1, 1)
        with pytest.warns(RuntimeWarning, match=r"Factor 1 of mine\.txt is nan in a step"):
            said = factors(rows(4, -1, -2), rows(1, 2, 3e6), rows(0, 0, 0))
        assert said.tolist() == [[2, 10], [0, 20], [0, 1e6]]
        assert factors.mended == 3
        assert factors(rows(-1), rows(1), rows(0)).tolist() == [[0, 10]]  # a second warning would be an error
        assert factors.mended == 4

    def test_infinities_are_no_large_numbers(self):
        factors = ProgramFactors(Program(ROOT.replace("np.sqrt(observation)", "1 / (observation - 2)")), 1, 1)
        with pytest.warns(RuntimeWarning, match="is inf in a step"):
            said = factors(rows(2, -0.0, 3), rows(1, 1, -2e5), rows(0, 0, 0))
        assert said.tolist() == [[0, 10], [-0.5, 10], [1, -1e6]]

    def test_steps_that_are_not_finite_stay_so(self):
        factors = ProgramFactors(Program(ROOT), 1, 1)
        said = factors(rows(4, np.nan, 9), rows(1, 2, np.inf), rows(0, 0, 0))
        assert said[0].tolist() == [2, 10]
        assert np.isnan(said[1:]).all()
        assert factors.mended == 0

    def test_what_is_allowed_of_the_cage_reaches_it(self, monkeypatch):
        monkeypatch.setattr(seccomp, "available", lambda: False)
        program = Program(f"{ROOT}# of which there is no process yet\n")
        with pytest.raises(CageError, match="allow_weaker_sandbox=True"):
            ProgramFactors(program, 1, 1)
        with pytest.warns(RuntimeWarning, match="without the kernel's lock"):
            assert ProgramFactors(program, 1, 1, allow_weaker_sandbox=True).size == 2

    def test_they_can_be_copied_to_other_processes(self):
        factors = pickle.loads(pickle.dumps(ProgramFactors(Program(ROOT), 1, 1)))
        assert factors(rows(4), rows(1), rows(0)).tolist() == [[2, 10]]


class TestSteps:
    def test_rows_are_single_steps_with_their_extremes(self):
        seen, acted = random_steps("BaggedInvertedPendulum-v0", 60, seed=3)
        assert seen.shape == (63, 4)
        assert acted.shape == (63, 1)
        assert not seen[-3].any()
        assert not acted[-3].any()
        np.testing.assert_array_equal(seen[-2], seen[:-3].min(axis=0))
        np.testing.assert_array_equal(acted[-1], acted[:-3].max(axis=0))
        assert np.abs(seen[:-3, 1]).max() > 0.2  # what ends an episode is seen

    def test_a_team_is_seen_agent_by_agent(self):
        seen, acted = random_steps("EpisodicTriangleArea-v0", 31)
        assert seen.shape == (36, 14)
        assert acted.shape == (36, 5)
        assert set(acted[:-3].sum(axis=1)) == {1.0}

    def test_the_seed_decides(self):
        one, same, other = (random_steps("EpisodicReacher-v0", 20, seed=seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)
