import random

import numpy as np
import pytest
import torch

from jade.seeding import Stream, seed_everything


@pytest.fixture(autouse=True)
def put_generators_back():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seeded(seed: int, purpose: str) -> tuple[float, float, float]:
    seed_everything(seed, purpose)
    return draws()


def test_the_same_seed_and_purpose_draw_the_same_everywhere():
    assert seeded(42, "training") == seeded(42, "training")


@pytest.mark.parametrize(("seed", "purpose"), [(43, "training"), (42, "building"), (0, "training")])
def test_another_seed_or_purpose_draws_something_else_everywhere(seed, purpose):
    expected = seeded(42, "training")

    assert all(one != other for one, other in zip(seeded(seed, purpose), expected, strict=True))


def test_what_was_drawn_before_makes_no_difference():
    expected = seeded(42, "training")
    seed_everything(42, "building")
    draws()

    assert seeded(42, "training") == expected


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_every_seed_that_the_configuration_allows_is_allowed(seed):
    assert seeded(seed, "training") == seeded(seed, "training")


def test_a_seed_draws_the_same_in_every_release():
    # A changed stream would change the results of every configuration without a word.
    assert seeded(42, "training") == (0.7169003099686926, 0.3861466929223659, 0.8535518646240234)


def test_the_order_of_a_shuffled_loader_follows():
    data = list(range(50))

    def order() -> list[int]:
        seed_everything(7, "training")
        return [int(item) for item in torch.utils.data.DataLoader(data, shuffle=True)]

    assert order() == order()
    assert order() != data


# --- streams ---------------------------------------------------------------------------------------------


def numbers() -> list[float]:
    """Many numbers of every global generator, also of those that keep a second one."""
    values = [*draws(), random.gauss(0, 1), float(np.random.normal()), float(torch.randn(()))]
    return [*values, float(torch.randn((), dtype=torch.float64)), float(torch.randperm(1000)[0]), *draws()]


LEFTOVERS = {
    "nothing": lambda: None,
    "a number of each": draws,
    "python's second normal number": lambda: random.gauss(0, 1),
    "numpy's second normal number": np.random.normal,
    "torch's second normal number": lambda: torch.randn(1),
    "torch's second normal double": lambda: torch.randn(1, dtype=torch.float64),
    "another seed": lambda: (random.seed(1), np.random.seed(1), torch.manual_seed(1)),
    "many": lambda: [numbers() for _ in range(50)],
}


@pytest.mark.parametrize("leave", [pytest.param(leave, id=name) for name, leave in LEFTOVERS.items()])
@pytest.mark.parametrize("counter", [0, 1, 99_999, 2**32 - 1])
def test_a_part_of_a_stream_draws_the_same_whatever_was_drawn_before(leave, counter):
    stream = Stream(42, "steps")
    stream.start(counter)
    expected = numbers()
    leave()

    stream.start(counter)

    assert numbers() == expected


@pytest.mark.parametrize(
    "other",
    [(42, "steps", 1), (43, "steps", 0), (42, "step", 0), (0, "steps", 0), (4, "2/steps", 0)],
    ids=str,
)
def test_another_counter_seed_or_purpose_draws_something_else_everywhere(other):
    Stream(42, "steps").start(0)
    expected = numbers()
    seed, purpose, counter = other

    Stream(seed, purpose).start(counter)

    assert all(one != known for one, known in zip(numbers(), expected, strict=True))


@pytest.mark.parametrize(("seed", "purpose"), [(42, "steps"), (0, "train_loader, epoch 3"), (2**32 - 1, "")])
def test_no_two_counters_of_a_stream_share_a_seed(seed, purpose, monkeypatch):
    seeds = []
    monkeypatch.setattr(np.random, "seed", seeds.append)
    stream = Stream(seed, purpose)

    for counter in range(100_000):
        stream.start(counter)

    assert len(set(seeds)) == 100_000
    assert 0 <= min(seeds) < max(seeds) < 2**32


def test_neighbors_do_not_resemble_each_other():
    # The mean of many means would leave the middle, if the seeds of a stream went up together.
    stream = Stream(42, "steps")
    firsts = []
    for counter in range(4000):
        stream.start(counter)
        firsts.append(draws())
    values = np.array(firsts)

    assert np.abs(values.mean(axis=0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(values[1:].T, values[:-1].T) - np.eye(6)).max() < 0.06


def test_generators_of_the_roots_follow():
    class Root:
        def __init__(self):
            self.generator = np.random.default_rng()
            self.others = [random.Random(), torch.Generator()]

        def draw(self):
            python, torchs = self.others
            return self.generator.random(), python.random(), float(torch.rand((), generator=torchs))

    one, other = Root(), Root()
    other.draw()
    Stream(42, "steps", roots={"root": one}).start(5)
    Stream(42, "steps", roots={"root": other}).start(5)
    values = one.draw()

    assert other.draw() == values
    assert len({*values, *draws()}) == 6


def test_seeding_is_starting_the_first_part():
    Stream(42, "building").start(0)
    expected = numbers()

    seed_everything(42, "building")

    assert numbers() == expected
