"""What the Python tours share: steps are registered in order and run by `finish`."""

import random
import sys
import time
import traceback

BOOTSTRAP, PREFIX = sys.argv[1], sys.argv[2]
_STEPS = []


def step(name):
    def register(run):
        _STEPS.append((name, run))
        return run

    return register


def finish(client, version):
    """Runs all steps, prints a line for each, and ends the program."""
    print(f"CLIENT\t{client}\t{version}", flush=True)
    failed = False
    for name, run in _STEPS:
        try:
            run()
            print(f"STEP\t{name}\tok", flush=True)
        except NotImplementedError as missing:
            print(f"STEP\t{name}\tn/a\t{missing}", flush=True)
        except BaseException as error:
            failed = True
            text = f"{type(error).__name__}: {error}".replace("\t", " ").replace("\n", " ")
            print(f"STEP\t{name}\tfailed\t{text}", flush=True)
            traceback.print_exc()
    print("END", flush=True)
    sys.exit(1 if failed else 0)


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def equal(actual, expected):
    check(actual == expected, f"got {str(actual)[:200]}, expected {str(expected)[:200]}")


def await_that(what, holds, limit=30):
    """Metadata spreads after the answer; a condition that never holds is the failure."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain for " + what)


def noise(length):
    return random.Random(7).randbytes(length)
