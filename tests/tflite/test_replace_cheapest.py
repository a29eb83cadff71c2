"""The search for the cheapest set against trying all of them, with losses that do not add up."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.tflite.replace import cheapest as module
from embact.tflite.replace.cheapest import Task, cheapest


class World:
    """Places with moves, their gains, and losses of sets, with interactions as strong as asked."""

    def __init__(self, seed, moves, interaction, budget, most_runs=10_000):
        draw = np.random.default_rng(seed)
        self.moves = moves
        self.gains = [draw.integers(1, 9, (count, 2)) for count in moves]
        alone = [draw.uniform(-0.2, 1.0, count) for count in moves]
        self.losses = {}
        for picks in self.all():
            summed = sum(alone[i][n - 1] for i, n in enumerate(picks) if n)
            noise = draw.normal() * interaction if sum(map(bool, picks)) > 1 else 0.0
            self.losses[picks] = float(summed + noise)
        self.runs = []
        self.task = Task(tuple(moves), self.price, self.measure, budget, most_runs)

    def all(self):
        return itertools.product(*(range(count + 1) for count in self.moves))

    def price(self, picks):
        gains = [self.gains[i][n - 1] for i, n in enumerate(picks) if n]
        return tuple(100.0 - sum(int(gain[part]) for gain in gains) for part in range(2))

    def measure(self, picks):
        self.runs.append(picks)
        return self.losses[picks]

    def least(self, budget):
        """The lowest price of all sets within the budget, by trying them all."""
        return min(self.price(picks) for picks in self.all() if self.losses[picks] <= budget)


WORLDS = st.tuples(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0.0, 0.3, 3.0]),
    st.sampled_from([0.0, 0.5, 1.5]),
)


@settings(max_examples=200, deadline=None)
@given(WORLDS)
def test_the_answer_is_as_cheap_as_the_cheapest_of_all_sets(case):
    world = World(*case)
    answer = cheapest(world.task)
    budget = case[-1]
    assert answer.losses[answer.picks] <= budget
    assert world.price(answer.picks) == world.least(budget)
    assert answer.unmeasured == 0


def test_a_search_that_added_losses_up_would_be_seen():
    """With interactions the sum is wrong: the cheapest set by sums is often none within."""
    wrong = 0
    for seed in range(30):
        world = World(seed, (2, 2, 1, 1), 3.0, 0.5)
        alone = {p: loss for p, loss in world.losses.items() if sum(map(bool, p)) <= 1}
        base = alone[0, 0, 0, 0]

        def summed(picks, alone=alone, base=base):
            parts = (tuple(n if i == j else 0 for j in range(4)) for i, n in enumerate(picks) if n)
            return base + sum(alone[part] - base for part in parts)

        picks = min((p for p in world.all() if summed(p) <= 0.5), key=world.price)
        wrong += world.losses[picks] > 0.5 or world.price(picks) != world.least(0.5)
    assert wrong > 10


@settings(max_examples=100, deadline=None)
@given(WORLDS, st.integers(0, 5))
def test_with_few_runs_the_answer_is_still_measured_and_what_is_missing_is_counted(case, runs):
    world = World(*case, most_runs=runs)
    answer = cheapest(world.task)
    assert answer.losses[answer.picks] <= case[-1]
    assert len(world.runs) <= 1 + sum(case[1]) + runs
    cheaper = [p for p in world.all() if world.price(p) < world.price(answer.picks)]
    assert answer.unmeasured == sum(p not in answer.losses for p in cheaper)
    assert all(world.losses[p] > case[-1] for p in cheaper if p in answer.losses)


@given(WORLDS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_measured_twice_and_the_first_ones_are_no_move_and_each_alone(case):
    world = World(*case)
    answer = cheapest(world.task)
    assert len(world.runs) == len(set(world.runs))
    assert list(answer.losses) == world.runs
    assert answer.losses == {picks: world.losses[picks] for picks in world.runs}
    first = world.runs[: 1 + sum(case[1])]
    assert [sum(map(bool, picks)) for picks in first] == [0] + [1] * sum(case[1])
    prices = [world.price(picks) for picks in first[1:]]
    assert prices == sorted(prices)  # in order of gain
    again = World(*case)
    assert cheapest(again.task) == answer
    assert again.runs == world.runs


def test_where_nothing_but_no_move_is_within_the_budget_no_move_is_the_answer():
    world = World(3, (2, 2), 0.0, 0.0)
    world.losses = {p: float(any(p)) for p in world.losses}
    assert cheapest(world.task).picks == (0, 0)
    world = World(3, (2, 2), 0.0, 1.0)
    world.losses = {p: float(any(p)) for p in world.losses}
    assert any(cheapest(world.task).picks)


def test_an_infinite_loss_is_over_every_budget():
    world = World(3, (1, 1), 0.0, 5.0)
    world.losses = {p: math.inf if p[0] else 0.0 for p in world.losses}
    assert cheapest(world.task).picks == (0, 1)


def test_of_sets_that_cost_the_same_the_one_with_fewer_moves_and_then_less_loss_is_taken():
    losses = {(0, 0): 0.0, (1, 0): 0.3, (2, 0): 0.2, (0, 1): 0.25, (1, 1): 0.0, (2, 1): 0.0}
    price = {(0, 0): 9.0, (1, 0): 5.0, (2, 0): 5.0, (0, 1): 5.0, (1, 1): 5.0, (2, 1): 5.0}
    answer = cheapest(Task((2, 1), lambda p: (price[p],), losses.__getitem__, 1.0))
    assert answer.picks == (2, 0)


@pytest.mark.parametrize("seed", range(20))
def test_with_many_places_a_set_grows_within_the_budget_and_says_that_it_is_no_proof(
    seed, monkeypatch
):
    world = World(seed, (1, 2, 1, 2), 0.3, 0.8)
    monkeypatch.setattr(module, "FEW_PLACES", 3)
    answer = cheapest(world.task)
    assert answer.unmeasured is None
    assert answer.losses[answer.picks] <= 0.8
    assert world.price(answer.picks) <= min(
        world.price(p) for p in world.all() if sum(map(bool, p)) <= 1 and world.losses[p] <= 0.8
    )
    assert len(world.runs) <= 1 + 2 * sum(world.moves)


def test_growing_finds_what_adds_up(monkeypatch):
    """Without interactions and with room for all, every place takes its best move."""
    monkeypatch.setattr(module, "MOST_SETS", 10)
    for seed in range(20):
        world = World(seed, (1, 2, 3), 0.0, 100.0)
        answer = cheapest(world.task)
        assert answer.unmeasured is None
        assert world.price(answer.picks) == world.least(100.0)


def test_where_sums_mislead_and_runs_are_few_the_answer_is_as_good_as_one_that_grew(monkeypatch):
    """Every set of three or more moves loses more than its sum: best first alone finds one move."""
    draw = np.random.default_rng(0)
    gains = draw.integers(1, 99, 12)

    def price(picks):
        return (1000.0 - float(gains @ np.array(picks)),)

    def loss(picks):
        return 0.1 * sum(picks) + 0.3 * (sum(picks) > 2)

    task = Task((1,) * 12, price, loss, 0.65)
    answer = cheapest(task)
    assert sum(answer.picks) == 3
    assert answer.unmeasured > 0
    assert len(answer.losses) <= 1 + 12 + task.most_runs
    monkeypatch.setattr(module, "_grow", lambda *_: None)
    assert price(cheapest(task).picks) > price(answer.picks)


def test_thirty_places_take_few_runs():
    world = World(5, (1,), 0.0, 1.0)
    seen = []

    def loss(picks):
        seen.append(picks)
        return 0.1 * sum(map(bool, picks))

    task = Task((1,) * 30, lambda picks: (30.0 - sum(picks),), loss, 1.05)
    answer = cheapest(task)
    assert sum(answer.picks) == 10
    assert len(seen) <= 1 + 30 + task.most_runs
    assert world.task.budget == 1.0
