"""Asking a model over a real connection, and keeping what it said."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bagged_envs.baselines.latent_rewards.chat import ChatError, KeptAnswers, Server, question

pytest.importorskip("openai", reason="needs the llm extra")

ASKED = [{"role": "user", "content": "Grüße?"}]


class Model(ThreadingHTTPServer):
    """A server that speaks chat completions: what it is to say, and what it was asked."""

    def __init__(self, *replies):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies, self.asked, self.content_type = list(replies), [], "application/json"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        status, reply = self.server.replies.pop(0)
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", self.server.content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


def completion(*texts):
    choices = [
        {"index": place, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for place, text in enumerate(texts)
    ]
    return 200, {"id": "1", "object": "chat.completion", "created": 1, "model": "small", "choices": choices}


@pytest.fixture
def serve():
    servers = []

    def served(*replies):
        server = Model(*replies)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield served
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def ask(monkeypatch):
    """A model at a server, closed afterwards."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    made = []

    def asked(url, **settings):
        made.append(Server("small", url, retries=0, **settings))
        return made[-1]

    yield asked
    for one in made:
        one.close()


class TestServer:
    def test_it_is_asked_as_the_protocol_says(self, serve, ask):
        server = serve(completion("one", "two"))
        assert ask(server.url)(ASKED, 2, 0.7) == ["one", "two"]
        ((path, key, body),) = server.asked
        assert path == "/v1/chat/completions"
        assert key == "Bearer secret-key"
        assert body == {
            "model": "small",
            "messages": ASKED,
            "n": 2,
            "temperature": 0.7,
            "response_format": {"type": "json_object"},
        }

    def test_the_address_may_stand_in_the_environment(self, serve, ask, monkeypatch):
        server = serve(completion("yes"))
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert ask(None)(ASKED, 1, 0.0) == ["yes"]

    def test_a_server_that_gives_one_answer_at_a_time_is_asked_again(self, serve, ask):
        server = serve(completion("one"), completion("two"), completion("three", "four"))
        assert ask(server.url)(ASKED, 3, 1.0) == ["one", "two", "three"]
        assert [body["n"] for _, _, body in server.asked] == [3, 2, 1]

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            ((401, {"error": {"message": "wrong key"}}), "wrong key"),
            ((500, b"oops"), "500"),
            ((200, b"no JSON"), "small"),
            (completion(), "empty answer"),
            (completion("fine", None), "empty answer"),
            (completion(""), "empty answer"),
            ((200, {}), "empty answer"),
            ((200, None), "empty answer"),
            ((200, [1]), "empty answer"),
            ((200, {"choices": "abc"}), "empty answer"),
            ((200, {"choices": [{"message": None}]}), "empty answer"),
            ((200, {"choices": [{"message": {"content": 3}}]}), "empty answer"),
        ],
    )
    def test_what_is_no_answer_is_said(self, serve, ask, reply, words):
        server = serve(reply)
        with pytest.raises(ChatError, match=words) as error:
            ask(server.url)(ASKED, 2, 1.0)
        assert "small" in str(error.value)
        assert server.url in str(error.value)

    def test_a_page_is_no_answer(self, serve, ask):
        server = serve((200, b"<html>Please log in</html>"))
        server.content_type = "text/html"
        with pytest.raises(ChatError, match="small"):
            ask(server.url)(ASKED, 1, 1.0)

    def test_half_a_character_can_be_kept(self, serve, ask, tmp_path):
        server = serve((200, json.dumps(completion("a\ud800b")[1]).encode()))
        kept = KeptAnswers(tmp_path, "small", ask(server.url))
        assert kept(ASKED, 1, 1.0) == ["a?b"] == kept(ASKED, 1, 1.0)

    def test_nobody_there(self, serve, ask):
        server = serve()
        server.shutdown()
        server.server_close()
        with pytest.raises(ChatError, match="could not be asked"):
            ask(server.url)(ASKED, 1, 1.0)

    def test_a_server_that_takes_too_long(self, serve, ask):
        class Slow(list):
            def pop(self, place):
                event.wait(10)
                return completion("late")

        event, server = threading.Event(), serve()
        server.replies = Slow()
        with pytest.raises(ChatError, match="could not be asked"):
            ask(server.url, timeout=0.2)(ASKED, 1, 1.0)
        event.set()

    def test_without_a_key(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(ChatError, match="OPENAI_API_KEY"):
            Server("small", "http://127.0.0.1:1/v1")


class Once:
    """A chat that answers with numbers, and counts how often it was asked."""

    model = "small"

    def __init__(self):
        self.times = 0

    def __call__(self, messages, count, temperature, occasion=""):
        self.times += 1
        return [f"äöü {self.times}.{place}" for place in range(count)]


class TestKeptAnswers:
    def test_a_question_is_asked_once(self, tmp_path):
        chat = Once()
        kept = KeptAnswers(tmp_path / "answers", "small", chat)
        first = kept(ASKED, 2, 1.0)
        assert first == kept(ASKED, 2, 1.0) == KeptAnswers(tmp_path / "answers", "small")(ASKED, 2, 1.0)
        assert chat.times == 1

    @pytest.mark.parametrize(
        "other", [([{"role": "user", "content": "other"}], 2, 1.0), (ASKED, 1, 1.0), (ASKED, 2, 0.3)]
    )
    def test_another_question_is_another(self, tmp_path, other):
        kept = KeptAnswers(tmp_path, "small", Once())
        assert kept(ASKED, 2, 1.0) != kept(*other)
        assert len(list(tmp_path.iterdir())) == 2

    def test_models_are_kept_apart(self, tmp_path):
        KeptAnswers(tmp_path, "small", Once())(ASKED, 1, 1.0)
        with pytest.raises(ChatError, match="no answer of large"):
            KeptAnswers(tmp_path, "large")(ASKED, 1, 1.0)
        with pytest.raises(ValueError, match="'large'"):
            KeptAnswers(tmp_path, "large", Once())

    def test_the_file_tells_everything(self, tmp_path):
        KeptAnswers(tmp_path, "small", Once())(ASKED, 1, 0.3)
        (file,) = tmp_path.iterdir()
        told = json.loads(file.read_text(encoding="utf-8"))
        assert told.pop("date").endswith("+00:00")
        digest = question("small", ASKED, 1, 0.3)
        assert told == {
            "model": "small",
            "question": digest,
            "occasion": "",
            "temperature": 0.3,
            "messages": ASKED,
            "answers": ["äöü 1.0"],
        }
        assert file.name == f"{digest[:16]}.json"
        assert "äöü" in file.read_text(encoding="utf-8")  # to be read by people

    def test_an_answer_to_another_question_is_not_taken(self, tmp_path):
        kept = KeptAnswers(str(tmp_path), "small", Once())
        kept(ASKED, 1, 1.0)
        (file,) = tmp_path.iterdir()
        file.write_text(file.read_text().replace(question("small", ASKED, 1, 1.0), "0" * 64))
        with pytest.raises(ValueError, match="must answer question .*, got one to '000"):
            kept(ASKED, 1, 1.0)

    def test_the_same_question_on_another_occasion_is_asked_again(self, tmp_path):
        kept = KeptAnswers(tmp_path, "small", Once())
        assert kept(ASKED, 1, 1.0) != kept(ASKED, 1, 1.0, "again") == kept(ASKED, 1, 1.0, "again")

    def test_without_anybody_to_ask(self, tmp_path):
        with pytest.raises(ChatError, match="allow that the model is asked"):
            KeptAnswers(tmp_path / "none", "small")(ASKED, 1, 1.0)
        assert not (tmp_path / "none").exists()

    @pytest.mark.parametrize("answers", ["one", [], [1], ["one", "two"], None])
    def test_a_file_has_as_many_answers_as_were_asked_for(self, tmp_path, answers):
        kept = KeptAnswers(tmp_path, "small", Once())
        kept(ASKED, 1, 1.0)
        (file,) = tmp_path.iterdir()
        file.write_text(json.dumps({**json.loads(file.read_text()), "answers": answers}))
        with pytest.raises(ValueError, match="must have 1 answers, got .*: remove it to ask anew"):
            kept(ASKED, 1, 1.0)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"answers": ["one"]}'])
    def test_a_damaged_file_is_named(self, tmp_path, text):
        kept = KeptAnswers(tmp_path, "small", Once())
        kept(ASKED, 1, 1.0)
        (file,) = tmp_path.iterdir()
        file.write_text(text)
        with pytest.raises(ValueError, match="remove it to ask anew") as error:
            kept(ASKED, 1, 1.0)
        assert str(file) in str(error.value)
