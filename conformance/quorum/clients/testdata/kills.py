"""kazoo while servers are killed: argv[1] hosts. Three clients append to /log and bump a counter
until a line comes on stdin. Prints one "ack CLIENT PATH NUMBER" for each append that was
acknowledged, "maybe CLIENT NUMBER" for each of which nobody knows, then "ok"/"FAIL" lines."""
import logging
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionLoss, OperationTimeoutError, SessionExpiredError
from kazoo.retry import KazooRetry

logging.disable(logging.CRITICAL)
mutex = threading.Lock()
stop = threading.Event()
problems = []


def say(line):
    with mutex:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def client():
    c = KazooClient(sys.argv[1], timeout=30, connection_retry=KazooRetry(max_tries=-1, delay=0.05, max_delay=0.5))
    c.start(60)
    return c


first = client()
first.ensure_path("/log")
lost = []


def work(n):
    c = client()
    c.add_listener(lambda state: lost.append(n) if state == KazooState.LOST else None)
    c.retry(c.create, "/alive-%d" % n, ephemeral=True)
    session = c.client_id[0]
    i = 0
    while not stop.is_set():
        i += 1
        try:
            path = c.create("/log/%d-" % n, b"%d %d" % (n, i), sequence=True)
            say("ack %d %s %d" % (n, path, i))
        except (ConnectionLoss, OperationTimeoutError, SessionExpiredError):
            say("maybe %d %d" % (n, i))
            time.sleep(0.02)
    c.retry(c.sync, "/")
    if not c.retry(c.exists, "/alive-%d" % n) or c.client_id[0] != session:
        problems.append("the session of client %d did not last" % n)
    counter = c.Counter("/counter")
    for _ in range(5):
        counter += 1
    c.stop()


workers = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
for t in workers:
    t.start()
say("ready")
sys.stdin.readline()
stop.set()
for t in workers:
    t.join(120)
    if t.is_alive():
        problems.append("a client is stuck")
first.retry(first.sync, "/")
for name in sorted(first.retry(first.get_children, "/log")):
    say("node /log/%s %s" % (name, first.retry(first.get, "/log/" + name)[0].decode()))
if first.Counter("/counter").value != 15:
    problems.append("the counter is %d" % first.Counter("/counter").value)
say("FAIL sessions " + "|".join(problems) if problems else "ok sessions")
