"""Answers that are given again in their order."""

import hashlib
import json

import pytest

from bagged_envs.baselines.latent_rewards.chat import ChatError, RecordedAnswers
from bagged_envs.baselines.latent_rewards.generation import parsed

ASKED = [{"role": "user", "content": "What?"}]
SAID = {"understanding": "größer", "analysis": "b", "function": "c"}


def test_they_come_in_their_order_whatever_the_question():
    chat = RecordedAnswers("nobody", ["a", "b", "c"])
    assert chat.model == "nobody"
    assert chat(ASKED, 2, 1.0) == ["a", "b"]
    assert chat([], 1, 0.3) == ["c"]
    assert chat.left == []


def test_what_is_missing_is_said_and_nothing_is_lost():
    chat = RecordedAnswers("nobody", ["a", "b"])
    with pytest.raises(ChatError, match="3 more answers must be recorded, got 2"):
        chat(ASKED, 3, 1.0)
    assert chat(ASKED, 2, 1.0) == ["a", "b"]


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_is_positive(count):
    with pytest.raises(ValueError, match="count"):
        RecordedAnswers("nobody", ["a"])(ASKED, count, 1.0)


def test_a_file_gives_answers_in_the_form_of_a_model_s(tmp_path):
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({"model": "nobody", "answers": [SAID], "note": "more"}), encoding="utf-8")
    chat = RecordedAnswers.read(file)
    (said,) = chat(ASKED, 1, 0.0)
    assert chat.model == "nobody"
    assert parsed(said)._asdict() == SAID


def test_a_file_may_say_what_was_asked(tmp_path):
    file = tmp_path / "answers.json"
    digest = hashlib.sha256(b"What?").hexdigest()
    file.write_text(json.dumps({"model": "nobody", "answers": [SAID, SAID], "prompt_sha256": digest}))
    chat = RecordedAnswers.read(file)
    assert chat([*ASKED, {"role": "user", "content": "Again?"}], 1, 0.0)
    for other in ([{"role": "user", "content": "What"}], []):
        with pytest.raises(ChatError, match=f"a prompt with SHA-256 {digest}, got "):
            chat(other, 1, 0.0)
    assert chat(ASKED, 1, 0.0)


@pytest.mark.parametrize("told", ["no JSON", "[1]", '{"answers": []}', '{"model": "nobody", "answers": "a"}'])
def test_another_form_is_refused(tmp_path, told):
    file = tmp_path / "answers.json"
    file.write_text(told, encoding="utf-8")
    with pytest.raises(ValueError, match=r"answers\.json must be a JSON object.*mend it"):
        RecordedAnswers.read(file)
