"""Processes wait for each other however long it takes, and notice one that has stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
import torch.distributed as dist

from sslcore.compute.turns import Turns
from sslcore.errors import DataError, LostProcessError


def in_threads(count, body, *, patience=20.0, first=lambda rank: 0, ranks=None):
    """Run a body in the turns of processes that are threads; return what each raised."""
    store, raised = dist.HashStore(), {}

    def one(rank):
        try:
            with Turns(store, "point", rank, count, patience=patience).after(first(rank)):
                body(rank)
        except (DataError, LostProcessError) as error:
            raised[rank] = error
        else:
            raised[rank] = None

    threads = [threading.Thread(target=one, args=(rank,)) for rank in ranks or range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_the_first_process_of_each_machine_goes_first():
    order = []

    def body(rank):
        time.sleep(0.3 if rank in (0, 2) else 0)
        order.append(rank)

    assert in_threads(4, body, first=lambda rank: rank // 2 * 2) == dict.fromkeys(range(4))
    assert order.index(0) < order.index(1)
    assert order.index(2) < order.index(3)


def test_all_leave_together_when_the_last_has_passed():
    passed, left = [], []

    def body(rank):
        time.sleep(0.4 * rank)
        passed.append(rank)

    store = dist.HashStore()

    def one(rank):
        with Turns(store, "point", rank, 3).after(rank):
            body(rank)
        left.append(len(passed))

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [3, 3, 3]


def test_a_process_that_takes_longer_than_the_patience_is_waited_for():
    assert in_threads(3, lambda rank: time.sleep(1.5 if rank == 0 else 0), patience=0.5) == {
        0: None,
        1: None,
        2: None,
    }


@pytest.mark.parametrize("started", [False, True])
def test_a_process_that_has_stopped_is_noticed(started):
    # Rank 0 never arrives; or it has arrived once, and its heart beats no more.
    store = dist.HashStore()
    if started:
        store.set("point/beat/0", "17")
    begin = time.monotonic()
    with (
        pytest.raises(LostProcessError, match="process 0 of this run has given no sign of life"),
        Turns(store, "point", 1, 2, patience=0.5).after(0),
    ):
        pytest.fail("the body must not run")
    assert time.monotonic() - begin < 10


def test_an_error_in_the_first_process_lets_the_others_meet_it_too():
    def body(rank):
        raise DataError(f"{rank} can't read the images")

    raised = in_threads(3, body)
    assert [str(raised[rank]) for rank in range(3)] == [
        f"{rank} can't read the images" for rank in range(3)
    ]


SLOW_MAIN = """
import datetime, functools, os, sys, time
import torch, torch.distributed as dist

# A time-out of gloo that is shorter than the preparation.
dist.new_group = functools.partial(dist.new_group, timeout=datetime.timedelta(seconds=1))

from sslcore.compute.processes import process_group

with process_group(torch.device("cpu")) as processes:
    for _ in range(2):
        with processes.local_main_first():
            if processes.is_main:
                time.sleep(3)
                open(sys.argv[1], "a").write("made ")
            elif "made" not in open(sys.argv[1]).read():
                sys.exit("came too early")
    assert processes.all_equal(1)
    # In one write, so that the lines of two processes do not mix.
    os.write(1, f"done {processes.rank}\\n".encode())
"""


def test_a_preparation_that_outlasts_the_time_out_of_collectives_kills_nothing(tmp_path):
    (tmp_path / "main.py").write_text(SLOW_MAIN)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=2", str(tmp_path / "main.py"), str(tmp_path / "made")),
        ],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "done 0", "done 1"]
