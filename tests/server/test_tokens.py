"""Addresses of files: what one allows, and that nobody else can make one."""

import base64

import pytest

from jade.server.tokens import SECONDS, Right, Tokens


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    return Tokens(b"secret", clock)


@pytest.mark.parametrize(
    "right",
    [
        Right("put", "files", 7, "media/images/a b_0.png"),
        Right("get", "artifact_files", 2**40),
        Right("get", "files", 1, "ünïcode/日本/😀\"'.txt"),
    ],
)
def test_a_token_says_what_it_was_made_for(tokens, right):
    assert tokens.read(tokens.make(right)) == right


def test_a_token_is_a_part_of_an_address_as_it_is(tokens):
    token = tokens.make(Right("put", "files", 7, "日" * 300))

    assert token.replace("-", "").replace("_", "").isalnum()
    assert token.isascii()
    assert len(token) < 2_000


def test_a_token_holds_for_seven_days(tokens, clock):
    token = tokens.make(Right("get", "files", 1, "a"))

    clock.now += SECONDS - 1
    assert tokens.read(token) == Right("get", "files", 1, "a")
    clock.now += 1
    assert tokens.read(token) is None


def test_a_token_of_another_server_is_none(tokens, clock):
    token = Tokens(b"another", clock).make(Right("get", "files", 1, "a"))

    assert tokens.read(token) is None


def test_a_token_that_was_changed_anywhere_is_none(tokens):
    data = base64.urlsafe_b64decode(tokens.make(Right("get", "files", 1, "ab")) + "==")
    changed = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]

    read = [tokens.read(base64.urlsafe_b64encode(one).decode()) for one in changed]

    assert len(read) > 40
    assert set(read) == {None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "=",
        "====",
        "é",
        "\x00",
        "../..",
        "a" * 10_000,
        "bnVsbA",
        base64.b64encode(b"[]" * 20).decode(),
    ],
)
def test_what_is_no_token_is_none(tokens, text):
    assert tokens.read(text) is None
