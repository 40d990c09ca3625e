"""The replay buffer against a list, and its state at any length."""

from __future__ import annotations

import pytest
import torch

from graphids.core.models.fusion.replay import FIELDS, ReplayBuffer


def transitions(rows: int, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    number = torch.arange(start, start + rows)
    return number.float().unsqueeze(-1).expand(rows, 2), number, number.float() / 2


def filled(rows: int, capacity: int = 10) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, 2)
    buffer.push(*transitions(rows))
    return buffer


def test_it_holds_the_latest_rows_as_a_list_would() -> None:
    buffer, kept = ReplayBuffer(10, 2), []
    start = 0
    for rows in (3, 4, 0, 5, 10, 1, 27, 9, 2):
        buffer.push(*transitions(rows, start))
        kept = [*kept, *range(start, start + rows)][-10:]
        start += rows
        held = buffer.contents()
        assert held["action"].tolist() == kept
        assert held["obs"][:, 1].tolist() == kept
        assert held["reward"].tolist() == [number / 2 for number in kept]
        assert len(buffer) == len(kept)


@pytest.mark.parametrize("rows", [0, 4, 10, 23])
def test_its_state_is_the_rows_held_and_loads_into_any_filling(rows: int) -> None:
    buffer = filled(rows)
    state = buffer.state_dict()
    assert list(state) == list(FIELDS)
    assert {len(values) for values in state.values()} == {min(rows, 10)}
    other = filled(7)
    other.load_state_dict(state)
    assert (other.contents() == buffer.contents()).all()
    other.push(*transitions(3, 100))
    buffer.push(*transitions(3, 100))
    assert (other.contents() == buffer.contents()).all()


def test_a_state_does_not_change_with_the_buffer() -> None:
    buffer = filled(10)
    state = buffer.state_dict()
    buffer.push(*transitions(5, 50))
    assert state["action"].tolist() == list(range(10))


def test_a_state_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"at most 10 transitions .* \[\(11, 2\)"):
        filled(3).load_state_dict(filled(11, capacity=20).state_dict())
    state = filled(5).state_dict()
    with pytest.raises(RuntimeError, match=r"shapes \[\(5, 2\), \(4,\)"):
        filled(3).load_state_dict({**state, "action": state["action"][:4]})
    del state["reward"]
    with pytest.raises(RuntimeError, match=r"Missing key.*reward"):
        filled(3).load_state_dict(state)


def test_a_seed_draws_the_same_rows_of_those_held() -> None:
    buffer = filled(6)
    draws = [buffer.sample(50, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert (draws[0] == draws[1]).all()
    assert set(draws[0]["action"].tolist()) == set(range(6))
    assert torch.equal(draws[0]["obs"][:, 0], draws[0]["action"].float())


def test_an_empty_buffer_and_no_capacity_are_named() -> None:
    with pytest.raises(ValueError, match="replay buffer is empty"):
        filled(0).sample(1, torch.Generator())
    with pytest.raises(ValueError, match=r"capacity .* at least 1 \(got 0\)"):
        ReplayBuffer(0, 2)
