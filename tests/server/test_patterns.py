"""Regular expressions of clients: they cannot hold up the server."""

from contextlib import closing

import pytest

from jade.server.patterns import LONGEST_PATTERN, LONGEST_TEXT, Patterns
from jade.server.runs import RefusedError

FOR_EVER = "(a+)+$"
TEXT = "a" * 60 + "b"


@pytest.fixture
def patterns():
    with closing(Patterns()) as found:
        yield found


@pytest.mark.parametrize(
    ("pattern", "text", "options", "is_found"),
    [
        ("^vae", "vae_beta", None, True),
        ("beta$", "vae_beta", "", True),
        ("BETA", "vae_beta", None, False),
        ("BETA", "vae_beta", "i", True),
        ("^b", "a\nb", None, False),
        ("^b", "a\nb", "m", True),
        ("a.b", "a\nb", "is", True),
        ("a b", "ab", "x", True),
        ("", "", None, True),
        ("ü.*😀", "über\x00 😀", None, True),
        ("\ud800", "a", None, False),
    ],
)
def test_a_pattern_is_searched_for(patterns, pattern, text, options, is_found):
    assert patterns.found(pattern, text, options) is is_found


def test_a_pattern_that_takes_for_ever_is_refused_and_the_next_is_answered(patterns):
    with pytest.raises(RefusedError) as caught:
        patterns.found(FOR_EVER, TEXT)

    assert str(caught.value) == "The regular expression '(a+)+$' takes too long."
    assert patterns.found("a", "a") is True


@pytest.mark.parametrize(
    ("pattern", "options", "problem"),
    [
        ("(", None, "'(' is no regular expression: missing ), unterminated subpattern at position 0."),
        ("*", None, "'*' is no regular expression: nothing to repeat at position 0."),
        ("a{99999999999999999999}", None, "'a{99999999999999999999}' is no regular expression: "),
        ("(" * 900 + ")" * 100, None, "is no regular expression"),
        (5, None, "$regex takes a text of up to 1000 characters."),
        (None, None, "$regex takes a text of up to 1000 characters."),
        ("a" * (LONGEST_PATTERN + 1), None, "$regex takes a text of up to 1000 characters."),
        ("a", "q", "$options are letters of 'imsx', not 'q'."),
        ("a", 5, "$options are letters of 'imsx', not '5'."),
        ("a", ["i"], "$options are letters of 'imsx', not \"['i']\"."),
    ],
)
def test_what_is_no_pattern_is_refused(patterns, pattern, options, problem):
    with pytest.raises(RefusedError) as caught:
        patterns.found(pattern, "text", options)

    assert problem in str(caught.value)
    assert patterns.found("e", "text") is True


def test_the_beginning_of_a_long_text_is_searched(patterns):
    text = "a" * (LONGEST_TEXT - 1) + "bc"

    assert patterns.found("b", text) is True
    assert patterns.found("c", text) is False


def test_the_process_can_be_ended_and_is_started_again(patterns):
    patterns.found("a", "a")
    patterns.close()

    assert patterns.found("a", "a") is True
