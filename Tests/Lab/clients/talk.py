"""What every client here is told, and how it talks with the test that started it: a line each way, nothing sleeps."""

import collections
import os
import sys

Task = collections.namedtuple("Task", "service server address port extra")


def task():
    """The command line: SERVICE SERVER OWN-ADDRESS PORT [MORE...]."""
    service, server, address, port, *extra = sys.argv[1:]
    return Task(service, server, address, int(port), extra)


def say(word):
    print(word, flush=True)


def wait_for(word):
    """Waits for this line. If the test says another, or is gone, so is the client, without a word to its registry."""
    if sys.stdin.readline().strip() != word:
        os._exit(0)
