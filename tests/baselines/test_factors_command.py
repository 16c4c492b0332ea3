"""`bagged-envs factors`: programs and prompts, kept and asked for."""

import json
import threading

import pytest

from bagged_envs.baselines.latent_rewards.bundled import bundled
from bagged_envs.baselines.latent_rewards.cage import seccomp
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.baselines.latent_rewards.prompts import message, task_text
from bagged_envs.cli import main
from tests.baselines.latent_rewards.answers import GOOD, answer
from tests.baselines.latent_rewards.test_chat import Model, completion

ID = "EpisodicReacher-v0"


def test_the_hand_written_program_is_printed(capsys):
    assert main(["factors", ID]) == 0
    assert capsys.readouterr().out == bundled("Reacher")


def test_and_written(tmp_path, capsys):
    assert main(["factors", ID, "--out", str(tmp_path / "mine.txt")]) == 0
    assert (tmp_path / "mine.txt").read_text() == bundled("Reacher")


@pytest.mark.parametrize("mode", ["factors", "reward"])
def test_what_a_model_is_told(mode, capsys):
    words = ["--reward"] if mode == "reward" else []
    assert main(["factors", "EpisodicCooperativeNavigation-v0", "num_agents=3", "--prompt", *words]) == 0
    assert capsys.readouterr().out.strip() == message(task_text("CooperativeNavigation", num_agents=3), mode).strip()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["BaggedFishSwim-v0"], "for another task write a function of your own"),
        ([ID, "--ask"], "model must say whose program"),
        ([ID, "--reward"], "model must say whose program"),
        ([ID, "learner.hidden=3"], "settings must be of the environment, got learner.hidden"),
        ([ID, "--model", "small", "--rounds", "0"], "rounds must be an int of at least 1"),
        (["Nothing-v0"], "id must name one of the tasks"),
    ],
)
def test_a_wrong_call_is_one_clear_line(words, message, capsys):
    assert main(["factors", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_ask_nobody_is_asked(tmp_path, capsys):
    assert main(["factors", ID, "--model", "small", "--answers", str(tmp_path)]) == 1
    assert "no answer of small to this question" in capsys.readouterr().err


def test_a_model_is_asked_once(tmp_path, monkeypatch, capsys):
    pytest.importorskip("openai", reason="needs the llm extra")
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    server = Model(completion("no JSON"), completion(answer()))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    out = tmp_path / "mine.txt"
    words = [
        "factors",
        ID,
        "--model",
        "small",
        "--candidates",
        "1",
        "--answers",
        str(tmp_path / "a"),
        "--out",
        str(out),
    ]
    try:
        assert main([*words, "--ask", "--base-url", server.url]) == 0
    finally:
        server.shutdown()
        server.server_close()
    told = capsys.readouterr()
    assert "refused: The answer must be one JSON object" in told.err
    assert out.read_text().endswith(GOOD)
    assert "# sizes: observation 10, action 2" in out.read_text()
    out.unlink()
    assert main(words) == 0
    assert out.read_text().endswith(GOOD)


def test_where_programs_cannot_be_caged_it_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(seccomp, "available", lambda: False)
    file = tmp_path / "mine.txt"
    file.write_text(f"{GOOD}# of {tmp_path}, which no process has yet\n")
    settings = ["--steps", "10", f"redistributor.factors={file}", "--out", str(tmp_path / "run")]
    assert main(["train", "lare_rd-td3", "EpisodicSwimmer-v0", *settings]) == 2
    error = capsys.readouterr().err
    assert "allow_weaker_sandbox=True" in error
    assert error.count("\n") == 1


@pytest.mark.long
def test_a_run_keeps_the_program_and_goes_on_with_no_other(tmp_path, capsys):
    mine, run = tmp_path / "mine.txt", tmp_path / "run"
    mine.write_text(GOOD)
    words = ["train", "lare_rd-td3", "EpisodicSwimmer-v0", f"redistributor.factors={mine}", "max_episode_steps=5"]
    words += ["training.random_steps=10", "redistributor.warm_up=10", "--out", str(run), "--steps"]
    assert main([*words, "20"]) == 0
    assert (run / "factors.txt").read_text() == GOOD
    pinned = json.loads((run / "run.json").read_text())["method"]["redistributor_settings"]["factors"]
    assert pinned == f"{mine}#{Program(GOOD).sha256[:16]}"
    assert main([*words, "25"]) == 0
    mine.write_text(GOOD + "# other\n")
    capsys.readouterr()
    assert main([*words, "30"]) == 2
    assert "has a run with method=" in capsys.readouterr().err
