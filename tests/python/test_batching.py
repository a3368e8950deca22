"""Batches of an epoch and the shares of processes."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest

from tdn.training.batching import EpochBatches, filled


def batches(**options):
    return EpochBatches(**({"n": 23, "batch_size": 4, "seed": 1} | options))


def in_epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


class TestEpochBatches:
    def test_order_depends_on_seed_and_epoch_only(self):
        assert in_epoch(batches(), 3) == in_epoch(batches(), 3)
        assert sorted(chain(*in_epoch(batches(), 3))) == list(range(23))
        assert in_epoch(batches(), 3) != in_epoch(batches(), 4) != in_epoch(batches(seed=2), 4)

    def test_without_seed_the_order_stays(self):
        assert in_epoch(batches(seed=None, n=6), 5) == [[0, 1, 2, 3], [4, 5]]

    @pytest.mark.parametrize("world", [2, 3, 5])
    @pytest.mark.parametrize("edges", [None, [10.0 + index for index in range(23)]])
    def test_shares_make_up_the_batches_of_one_process(self, world, edges):
        options = {"edges": edges, "max_edges": 60} if edges else {}
        whole = in_epoch(batches(**options), 2)
        shares = [in_epoch(batches(**options, rank=rank, world=world), 2) for rank in range(world)]
        assert {len(share) for share in shares} == {len(whole)}
        for number, batch in enumerate(whole):
            parts = [share[number] for share in shares]
            assert all(parts)
            labeled = [index for part in parts for index in part if index >= 0]
            assert sorted(labeled) == sorted(batch)
            sizes = [len(part) for part in parts]
            assert max(sizes) - min(sizes) <= 1
            assert all(~index in batch for part in parts for index in part if index < 0)

    def test_resumed_epoch_leaves_out_what_was_done(self):
        whole = in_epoch(batches(), 2)
        sampler = batches()
        sampler.set_epoch(2)
        sampler.first = 2
        assert list(sampler) == whole[2:]
        assert len(sampler) == len(whole) - 2


class TestFilled:
    def batches(self, edges, limit):
        starts = filled(edges, limit)
        return [edges[start:end] for start, end in pairwise([*starts, len(edges)])]

    def test_no_batch_has_more_edges_than_allowed(self):
        result = self.batches([3.0, 5.0, 2.0, 9.0, 1.0, 30.0, 4.0], 10.0)
        assert result == [[3.0, 5.0, 2.0], [9.0, 1.0], [30.0], [4.0]]

    def test_every_batch_could_not_take_the_next(self):
        result = self.batches([float(1 + index % 7) for index in range(50)], 12.0)
        assert sum(len(batch) for batch in result) == 50
        for batch, following in pairwise(result):
            assert sum(batch) <= 12.0 < sum(batch) + following[0]
