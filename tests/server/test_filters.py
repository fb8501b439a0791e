"""Filters and orders of runs, as `wandb.Api().runs` sends them."""

import json
import math

import pytest

from jade.server.filters import MISSING, Subject, inside, matches, ordered
from jade.server.runs import RefusedError


def subject(number=1, **given):
    row = {
        "id": number, "name": f"run{number}", "display_name": "vae beta", "state": "finished", "group_name": None,
        "job_type": None, "notes": None, "description": None, "host": "h", "sweep_name": "sweep123",
        "tags": '["paper", "v2"]', "created_at": 1000.0 + number, "heartbeat_at": 2000.0, "commit_hash": None,
        "program": "train.py", "config": "{}", "summary": "{}",
    }  # fmt: skip
    row |= {key: json.dumps(value) if key in ("config", "summary") else value for key, value in given.items()}
    return Subject(row, lambda seconds: f"at {seconds:09.1f}")


SUBJECT = subject(
    config={
        "lr": {"value": 0.1},
        "model.params.beta": {"value": 2},
        "data": {"value": {"train": {"params": {"size": 60}}}},
        "amp": {"value": True},
        "name": {"value": "beta"},
        "none": {"value": None},
        "_wandb": {"value": {"t": 1}},
    },
    summary={"loss": 0.25, "bad": math.nan, "eval": {"acc": 0.9}, "text": "12", "epochs": 3},
)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({}, True),
        ({"state": "finished"}, True),
        ({"state": "running"}, False),
        ({"display_name": "vae beta", "displayName": "vae beta"}, True),
        ({"state": "finished", "host": "other"}, False),
        ({"$and": [{"sweep": "sweep123"}]}, True),
        ({"$and": []}, True),
        ({"$or": []}, False),
        ({"$or": [{"state": "x"}, {"state": "finished"}]}, True),
        ({"$nor": [{"state": "x"}]}, True),
        ({"$not": {"state": "x"}}, True),
        ({"tags": "paper"}, True),
        ({"tags": "v1"}, False),
        ({"tags": {"$in": ["v1", "v2"]}}, True),
        ({"tags": ["paper", "v2"]}, True),
        ({"config.lr": 0.1}, True),
        ({"config.lr.value": 0.1}, True),
        ({"config.model.params.beta": 2}, True),
        ({"config.data.train.params.size": {"$gte": 60, "$lt": 61}}, True),
        ({"config.data.train.params.size": {"$gt": 60}}, False),
        ({"config.amp": True}, True),
        ({"config.amp": 1}, False),
        ({"config.lr": "0.1"}, False),
        ({"config.missing": None}, True),
        ({"config.missing": {"$exists": False}}, True),
        ({"config.none": {"$exists": True}}, True),
        ({"config._wandb": {"$exists": True}}, False),
        ({"config.missing": {"$ne": 1}}, True),
        ({"config.missing": {"$lt": 1}}, False),
        ({"config.name": {"$lt": 1}}, False),
        ({"config.name": {"$in": ["beta", 1]}}, True),
        ({"config.name": {"$nin": ["beta", 1]}}, False),
        ({"config.lr": {"$not": {"$gt": 1}}}, True),
        ({"summary_metrics.loss": {"$lte": 0.25}}, True),
        ({"summaryMetrics.eval.acc": 0.9}, True),
        ({"summary.bad": {"$gt": 0}}, False),
        ({"summary_metrics.text": {"$gt": 1}}, False),
        ({"created_at": {"$gt": "at 0001000.0"}}, True),
        ({"createdAt": {"$gt": "at 0002000.0"}}, False),
        ({"display_name": {"$regex": "^VAE", "$options": "i"}}, True),
        ({"display_name": {"$regex": "^VAE"}}, False),
        ({"config.lr": {"$regex": "0"}}, False),
        ({"unknown": 1}, False),
        ({"unknown": {"$exists": False}}, True),
        ({"config": 1}, False),
        ({"config.": 1}, False),
        ({"": 1}, False),
        ({"config.name": {"a": 1}}, False),
    ],
)
def test_a_filter_holds_or_does_not(query, holds):
    assert matches(SUBJECT, query) is holds


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ([], "A filter is an object, not '[]'."),
        ("state", "A filter is an object, not 'state'."),
        (5, "A filter is an object, not '5'."),
        ({"$where": "1"}, "The filter $where is not known."),
        ({"config.lr": {"$near": 1}}, "The filter $near is not known."),
        ({"config.lr": {"$gt": 0, "and": 1}}, "The filter and is not known."),
        ({"$and": {"state": "x"}}, "$and takes a list of filters."),
        ({"$or": "x"}, "$or takes a list of filters."),
        ({"$and": [5]}, "A filter is an object, not '5'."),
        ({"$not": 5}, "A filter is an object, not '5'."),
        ({"state": {"$in": "finished"}}, "$in and $nin take a list."),
        ({"state": {"$nin": 5}}, "$in and $nin take a list."),
        (
            {"state": {"$regex": "("}},
            "'(' is no regular expression: missing ), unterminated subpattern at position 0.",
        ),
        ({"state": {"$regex": 5}}, "$regex takes a text of up to 1000 characters."),
        ({"state": {"$regex": "a", "$options": 5}}, "$options are letters of 'imsx', not '5'."),
    ],
)
def test_what_is_no_filter_is_refused(query, problem):
    with pytest.raises(RefusedError) as caught:
        matches(SUBJECT, query)

    assert str(caught.value) == problem


def test_a_regular_expression_that_takes_for_ever_is_refused():
    with pytest.raises(RefusedError, match="takes too long"):
        matches(subject(display_name="a" * 60 + "b"), {"display_name": {"$regex": "(a+)+$"}})


@pytest.mark.parametrize("dots", [99, 100, 100_000])
def test_a_path_of_any_length_leads_nowhere_at_once(dots):
    assert inside({"a": {"a": 1}}, ".".join(["a"] * dots)) is MISSING


def test_a_path_may_lead_through_keys_with_dots():
    values = {"a": {"b": 1}, "a.b": {"c.d": {"e": 2}}, "a.b.c": 3}

    assert inside(values, "a.b") == {"c.d": {"e": 2}}
    assert inside(values, "a.b.c.d.e") == 2
    assert inside(values, "a.b.c") == 3
    assert inside(values, "a.x") is MISSING


def numbers(subjects, order):
    return [found.row["id"] for found in ordered(subjects, order)]


def test_runs_are_ordered_by_a_value_and_those_without_come_last():
    losses = {1: 0.5, 2: 0.1, 3: math.nan, 4: "Infinity", 5: 0.1, 6: None, 7: 10**400}
    found = [subject(number, summary={"loss": loss}) for number, loss in losses.items()] + [subject(8)]

    assert numbers(found, "+summary_metrics.loss") == [2, 5, 1, 4, 7, 3, 6, 8]
    assert numbers(found, "-summary_metrics.loss") == [7, 4, 1, 5, 2, 3, 6, 8]


def test_numbers_come_before_texts():
    found = [
        subject(number, config={"a": {"value": value}}) for number, value in enumerate(["b", 2, "a", True])
    ]

    assert numbers(found, "config.a") == [3, 1, 2, 0]


def test_runs_are_ordered_by_their_begin_where_nothing_is_asked_for():
    found = [subject(2), subject(1), subject(3)]

    assert numbers(found, None) == numbers(found, "") == numbers(found, "+created_at") == [1, 2, 3]
    assert numbers(found, "-created_at") == [3, 2, 1]


@pytest.mark.parametrize("order", ["+nonsense", "-", "+", "--", "config", "summary_metrics.", "\x00"])
def test_an_order_that_is_unknown_is_that_of_their_ids(order):
    assert numbers([subject(2), subject(1)], order) == [1, 2]
