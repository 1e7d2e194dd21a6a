"""Tests of shards: sizes follow from the batch, threads end, and memory is kept where supported."""

import platform

import pytest
import torch

from worldmodels.common.shards import keep_memory, shard_map, shard_sizes

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch", [1, 4, 16, 31, 32, 50, 64, 100, 1001])
def test_shards_are_alike_and_none_is_tiny(batch):
    sizes = shard_sizes(batch, CPU)
    assert sum(sizes) == batch and max(sizes) - min(sizes) <= 1
    assert len(sizes) == 1 or min(sizes) >= 16
    assert shard_sizes(batch, torch.device("cuda")) == [batch]


def test_a_shard_has_one_thread_and_torch_gets_its_own_back():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), shard_map(CPU) as map_shards:
        assert torch.get_num_threads() == 1
        assert list(map_shards(lambda number: (number, torch.get_num_threads()), range(3))) == [(0, 1), (1, 1), (2, 1)]
        list(map_shards(lambda number: 1 / number, range(3)))
    assert torch.get_num_threads() == threads


def test_memory_is_kept_with_glibc_alone(monkeypatch):
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert not keep_memory()
