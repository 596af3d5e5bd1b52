"""A gateway whose wall clock is wrong: `python -m tests.system.nodes.skewed SECONDS ...`, then what `app` takes."""

import sys
import time

if __name__ == "__main__":
    ahead = float(sys.argv.pop(1))
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + ahead
    time.time_ns = lambda: true_time_ns() + int(ahead * 1e9)

    from app.__main__ import main  # it may keep a clock from its import on

    main(sys.argv[1:])
