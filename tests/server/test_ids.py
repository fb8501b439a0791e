"""Ids: the kind and the number of a row, and nothing that a client makes up."""

import base64

import pytest

from jade.server.ids import decode, encode


def test_an_id_says_of_what_it_is():
    assert decode("Run", encode("Run", 12)) == 12
    assert decode("Sweep", encode("Run", 12)) is None


@pytest.mark.parametrize(
    "text",
    [
        None, 5, [], {}, "", "x", "Run:1", "é", "=", base64.b64encode(b"Run").decode(),
        *(
            base64.b64encode(f"Run:{number}".encode()).decode()
            for number in ("", "-1", "1.0", " 1", "1_0", "²", "٣", "9" * 19, "9" * 5_000)
        ),
    ],
)  # fmt: skip
def test_what_is_no_id_is_none(text):
    assert decode("Run", text) is None
