"""Threads that each run single-threaded operators."""

from __future__ import annotations

import torch

from models.threads import one_thread, thread_pool


def test_a_pool_has_as_many_threads_as_torch_and_gives_them_back() -> None:
    before = torch.get_num_threads()
    with thread_pool() as threads:
        assert threads.count == before
        assert list(threads.map(lambda _: torch.get_num_threads(), range(8))) == [1] * 8
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_one_thread_also_where_an_error_ends_it() -> None:
    before = torch.get_num_threads()
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
    except KeyError:
        assert torch.get_num_threads() == before
