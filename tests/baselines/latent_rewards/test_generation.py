"""From questions to a program that passed: how often a model is asked, what it is told, and what is kept."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.cage import seccomp
from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import CageError, ProgramError
from bagged_envs.baselines.latent_rewards.chat import ChatError, KeptAnswers, Server, question
from bagged_envs.baselines.latent_rewards.generation import GenerationConfig, GenerationError, generate, parsed
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.latent_rewards.prompts import TaskText, message
from tests.baselines.latent_rewards.answers import GOOD, Script, answer
from tests.baselines.latent_rewards.hostile import HOSTILE
from tests.baselines.latent_rewards.test_chat import Model, completion

TEXT = TaskText("Go far.", "3 elements: 0: place, 1: speed, 2: angle", "2 elements: 0: gas, 1: brake")
RNG = np.random.default_rng(0)
SEEN, DONE = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
ONE = GenerationConfig(candidates=1)
NAN = "import numpy as np\ndef evaluation_func(observation, action):\n    return [np.log(observation[:, :1])]\n"
SHAPE = "def evaluation_func(observation, action):\n    return [observation[:, 0]]\n"
CONSTANT = "def evaluation_func(observation, action):\n    return [observation[:, :1], 0 * action[:, :1]]\n"
SYNTAX = "def evaluation_func(observation, action)\n    return [observation[:, :1]]\n"
ENDLESS = (
    "def evaluation_func(observation, action):\n    x = 0\n    for i in range(10 ** 9):\n"
    "        for j in range(10 ** 9):\n            x = x + 1\n    return [observation[:, :1] * x]\n"
)
REWARD = "def evaluation_func(observation, action):\n    return [observation[:, :1]]\n"
IMPORT = "import os\ndef evaluation_func(observation, action):\n    return [observation[:, :1]]\n"


def made(chat, config=ONE, mode="factors"):
    return generate(TEXT, chat, SEEN, DONE, config, mode)


class TestQuestions:
    def test_one_candidate_is_taken_as_it_is(self):
        chat = Script(answer())
        found = made(chat)
        assert chat.asked == [([{"role": "user", "content": message(TEXT, "factors")}], 1, 1.0)]
        assert (found.size, found.failures) == (2, ())
        assert found.answer.understanding == "A task."
        assert found.text.endswith(GOOD)

    def test_several_are_shown_to_the_model_which_makes_one_of_them(self):
        candidates = [answer(analysis=f"number {i}") for i in range(5)]
        chat = Script(*candidates, answer())
        made(chat, GenerationConfig(seed=3))
        assert chat.occasions == ["seed 3", "seed 3"]
        (first, *_), (second, count, temperature) = chat.asked
        assert chat.asked[0][1:] == (5, 1.0)
        assert (count, temperature) == (1, 0.3)
        assert second[0] == first[0]
        assert [turn["role"] for turn in second] == ["user", "assistant", "user"]
        assert all(candidate in second[1]["content"] for candidate in candidates)

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("I cannot do that.", "one JSON object"),
            ('["function"]', "all strings"),
            (answer(function=["a list"]), "all strings"),
            ('{"function": "x"}', "understanding"),
            ("[" * 100_000, "one JSON object"),
            (answer(SYNTAX), "line 1"),
            (answer(SHAPE), r"\(40,\)|shape"),
            (answer(NAN), "finite"),
            (answer(CONSTANT), "2"),
            (answer(IMPORT), "line 1.*os"),
            (answer("x = 1"), "evaluation_func"),
        ],
        ids=["words", "list", "no text", "fields", "deep", "syntax", "shape", "nan", "constant", "import", "nothing"],
    )
    def test_what_is_wrong_is_told_and_mended(self, said, words):
        chat = Script(said, answer())
        found = made(chat)
        (failure,) = found.failures
        assert found.size == 2
        (turns, count, temperature) = chat.asked[1]
        assert (count, temperature) == (1, 0.3)
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        assert turns[0] == chat.asked[0][0][0]
        assert turns[1]["content"] == said[:100_000]
        assert failure in turns[2]["content"]
        assert __import__("re").search(words, failure), failure

    def test_only_the_latest_failure_is_shown(self):
        chat = Script("first", answer(SHAPE), answer())
        found = made(chat)
        assert len(found.failures) == 2
        turns = chat.asked[2][0]
        assert len(turns) == 3
        assert turns[1]["content"] == answer(SHAPE)
        assert found.failures[0] not in turns[2]["content"]

    @pytest.mark.long
    def test_a_program_that_never_ends_is_stopped(self):
        found = made(Script(answer(ENDLESS), answer()))
        assert "took more than" in found.failures[0]

    def test_a_model_that_repeats_itself_is_asked_in_each_round(self, tmp_path):
        chat = Script("no", "no", "no", answer())
        found = made(KeptAnswers(tmp_path, "scripted", chat))
        assert chat.occasions == ["seed 0", *(f"seed 0, repair {number}" for number in (1, 2, 3))]
        assert len(found.failures) == 3
        assert made(KeptAnswers(tmp_path, "scripted")) == found  # with nobody to ask

    @pytest.mark.long
    def test_another_seed_asks_anew(self, tmp_path):
        other = answer(GOOD.replace("** 2", "** 4"))
        chat = Script(answer(), other)
        texts = [
            made(KeptAnswers(tmp_path, "scripted", chat), GenerationConfig(candidates=1, seed=seed)).text
            for seed in (0, 1, 0, 1)
        ]
        assert texts[0] == texts[2] != texts[1] == texts[3]

    def test_what_is_allowed_of_the_cage_reaches_it(self, monkeypatch):
        monkeypatch.setattr(seccomp, "available", lambda: False)
        with pytest.raises(CageError, match="allow_weaker_sandbox=True"):
            made(Script(answer()))
        with pytest.warns(RuntimeWarning, match="without the kernel's lock"):
            assert made(Script(answer()), replace(ONE, allow_weaker_sandbox=True)).size == 2

    def test_after_all_rounds_it_gives_up(self):
        chat = Script(*["no"] * 3)
        with pytest.raises(GenerationError, match="no program that passed in 3 rounds.*JSON"):
            made(chat, GenerationConfig(candidates=1, rounds=3))
        assert len(chat.asked) == 3

    def test_a_reward_is_one_number(self):
        chat = Script(answer(), answer(REWARD))
        found = made(chat, mode="reward")
        assert chat.asked[0][0][0]["content"] == message(TEXT, "reward")
        assert "exactly one array" in found.failures[0]
        assert (found.size, found.text.startswith("# The reward as written by scripted")) == (1, True)

    @pytest.mark.parametrize(
        ("mode", "wanted"), [("factors", "returns every useful factor"), ("reward", "returns the best reward")]
    )
    def test_one_of_several_is_asked_for_by_what_it_is(self, mode, wanted):
        chat = Script("no", "no", answer(REWARD))
        made(chat, GenerationConfig(candidates=2), mode)
        assert f"one new function that {wanted}" in chat.asked[1][0][2]["content"]


class TestText:
    def test_it_tells_where_it_is_from_and_can_be_used(self, tmp_path):
        found = made(Script(answer()))
        lines = found.text.splitlines()
        assert lines[0].startswith("# Factors as written by scripted, 2")
        assert lines[0].endswith("for: Go far.")
        first = question("scripted", [{"role": "user", "content": message(TEXT)}], 1, 1.0, "seed 0")
        assert lines[1] == f"# question {first}, seed 0, 1 candidates at temperature 1, then 0.3"
        file = tmp_path / "mine.txt"
        file.write_text(found.text)
        program = Program.named(f"{file}#{Program(found.text).sha256[:6]}")
        assert program.sizes == (3, 2)
        check_source(program.text)

    def test_what_does_not_show_or_is_long_does_no_harm(self):
        text = replace(TEXT, task="Go\u200b far\u2028import os " + "x" * 20_000)
        found = generate(text, Script(answer()), SEEN, DONE, ONE)
        lines = found.text.splitlines()
        assert lines[0].endswith("x" * 200)
        assert "Go  far import os" in lines[0]
        assert [line.startswith("#") for line in lines[:4]] == [True, True, True, False]
        assert max(map(len, lines)) <= 402

    def test_a_program_that_its_comments_make_too_long_is_mended(self):
        almost = GOOD + "# " + "x" * (15_990 - len(GOOD))
        found = made(Script(answer(almost), answer()))
        assert "16000 bytes" in found.failures[0]

    def test_names_with_line_breaks_stay_comments(self):
        chat = Script(answer())
        chat.model = "model\nimport os"
        assert made(chat).text.splitlines()[0].startswith("# Factors as written by model import os, 2")

    @pytest.mark.parametrize("fence", ["```json\n{}\n```", " ```\n{}\n```\n"])
    def test_fences_around_an_answer_are_taken_off(self, fence):
        assert parsed(fence.replace("{}", answer())).function == GOOD

    def test_fences_around_the_function_are_taken_off(self):
        assert parsed(answer(f"```python\n{GOOD.strip()}\n```")).function == GOOD.strip()

    def test_other_fields_do_no_harm(self):
        assert parsed(answer(confidence=1)).function == GOOD

    def test_a_long_answer_is_cut_and_so_refused(self):
        with pytest.raises(ProgramError, match="one JSON object"):
            parsed(answer(analysis="x" * 200_000))


class TestOverTheWire:
    """The whole way: a server that speaks chat completions, the cache, and the cage."""

    @pytest.fixture
    def at(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "key")
        opened = []

        def served(*replies):
            server = Model(*replies)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            opened.append((server, Server("scripted", server.url, retries=0)))
            return opened[-1]

        yield served
        for server, client in opened:
            client.close()
            server.shutdown()
            server.server_close()

    def test_good_faulty_and_hostile_answers(self, at, tmp_path):
        pytest.importorskip("openai", reason="needs the llm extra")
        hostile = [completion(answer(text)) for _, _, text in HOSTILE[::40]]
        candidates = completion(answer(), "no JSON", answer(SHAPE), answer(NAN), answer(IMPORT))
        replies = [candidates, *hostile, completion("no JSON"), completion(answer())]
        server, client = at(*replies)
        config = GenerationConfig(rounds=len(hostile) + 3)
        found = made(KeptAnswers(tmp_path, "scripted", client), config)
        assert len(found.failures) == len(hostile) + 1
        assert len(server.asked) == len(replies)
        again = made(KeptAnswers(tmp_path, "scripted"), config)  # from what was kept, with nobody to ask
        assert again == found
        kept = [json.loads(file.read_text()) for file in tmp_path.iterdir()]
        assert {one["model"] for one in kept} == {"scripted"}

    def test_offline_is_the_default(self, tmp_path):
        with pytest.raises(ChatError, match="allow that the model is asked"):
            made(KeptAnswers(tmp_path, "scripted"))
