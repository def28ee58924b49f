"""What all tests share."""

import signal

from tests.support.cases import load_profiles

pytest_plugins = ["tests.support.layers", "tests.support.fixtures", "tests.support.redis"]

load_profiles()

# A shell that starts its jobs in the background has them ignore Ctrl-C, and so would all the
# programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
