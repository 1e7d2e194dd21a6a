import random

import numpy as np
import torch
from torch import nn

from worldmodels.common.seeding import Role, env_seeds, numpy_rng, stream_seed, torch_init, torch_rng


def test_streams_are_stable_and_apart() -> None:
    assert stream_seed(0, "vae", 1) == 5051982127483096296  # a change here would silently change every result
    assert len({stream_seed(seed, name, i) for seed in range(5) for name in ("a", "b") for i in range(50)}) == 500


def test_the_same_stream_gives_the_same_numbers() -> None:
    assert np.array_equal(numpy_rng(3, "x").random(5), numpy_rng(3, "x").random(5))
    assert torch.equal(torch.rand(5, generator=torch_rng(3, "x")), torch.rand(5, generator=torch_rng(3, "x")))


def test_no_role_shares_a_seed_with_another() -> None:
    drawn = [env_seeds(role, 10_000, run, "r1") for role in Role for run in (0, 1)]
    by_role = [set(drawn[2 * i]) | set(drawn[2 * i + 1]) for i in range(len(Role))]
    assert len(set.union(*by_role)) == sum(map(len, by_role))
    assert all(0 <= seed < 2**31 for seeds in drawn for seed in seeds)


def test_evaluation_seeds_do_not_depend_on_the_run() -> None:
    assert env_seeds(Role.EVALUATE, 3, 1, "r2") == env_seeds(Role.EVALUATE, 3, 2) == [0, 1, 2]


def test_global_generators_are_neither_used_nor_moved() -> None:
    states = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    with torch_init(0, "layer"):
        first = nn.Linear(3, 3).weight
    torch.manual_seed(99)
    with torch_init(0, "layer"):
        assert torch.equal(nn.Linear(3, 3).weight, first)
    numpy_rng(0, "x").random()
    torch.manual_seed(0)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], states[1])  # noqa: NPY002
    before = torch.get_rng_state()
    with torch_init(0, "layer"):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
