"""Cuts of sources by trajectory, and the progress that long passes show."""

from __future__ import annotations

import random

import numpy as np
import pytest
from molecules import Grouped

from tdn.data import progress
from tdn.data.split import published_split, split_source
from tdn.errors import TDNError


class TestSplit:
    def test_trajectories_stay_together(self):
        source = Grouped(np.repeat(np.arange(10), 7))
        train, valid = split_source(source, 0.2, seed=1)
        assert (len(train), len(valid)) == (56, 14)
        assert not set(train.get_groups()) & set(valid.get_groups())

    def test_without_trajectories(self):
        source = Grouped(range(3))
        source.get_groups = lambda: None
        train, valid = split_source(source, 0.34)
        assert sorted([*train.indices, *valid.indices]) == [0, 1, 2]
        assert len(valid) == 1

    def test_seed(self):
        source = Grouped(np.arange(100))
        parts = [split_source(source, 0.5, seed)[1].indices.tolist() for seed in (0, 0, 1)]
        assert parts[0] == parts[1] != parts[2]

    @pytest.mark.parametrize("fraction", [0.0, 1.0, 0.01, -3])
    def test_empty_part(self, fraction):
        with pytest.raises(TDNError, match=rf"fraction of {fraction} of 5 trajectories leaves a part empty; give"):
            split_source(Grouped([0, 1, 2, 3, 4]), fraction)

    def test_published_order(self):
        ids = list(range(11))
        random.seed(42)
        random.shuffle(ids)
        parts = {part: published_split(11, part, (0.6, 0.2)).tolist() for part in ("train", "valid", "test")}
        assert parts == {"train": ids[:6], "valid": ids[6:8], "test": ids[8:]}


class TestProgress:
    def test_lines_now_and_then(self, monkeypatch, capsys):
        monkeypatch.setattr(progress, "INTERVAL", -1.0)
        assert list(progress.tracked("ab", 4, "reading", done=2)) == ["a", "b"]
        lines = capsys.readouterr().err.splitlines()
        assert lines == ["reading: 3 of 4, 0 min left", "reading: 4 of 4, 0 min left"]

    def test_quick_passes_print_nothing(self, capsys):
        assert list(progress.tracked(range(3), 3, "reading")) == [0, 1, 2]
        assert capsys.readouterr() == ("", "")

    def test_bar_on_a_terminal(self, monkeypatch, capsys):
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        assert list(progress.tracked(range(3), 3, "reading")) == [0, 1, 2]
        assert "reading" in capsys.readouterr().err
