"""kazoo's recipes against the servers in argv[1]. Prints "ok NAME" or "FAIL NAME REASON" for each.

Waiting is always for a condition, with a limit that only a stuck server reaches.
"""
import logging
import socket
import struct
import sys
import threading
import time
import traceback

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (AuthFailedError, BadVersionError, CancelledError, LockTimeout, NoAuthError, NodeExistsError, NoNodeError,
                              NotEmptyError, RolledBackError, RuntimeInconsistency)
from kazoo.protocol.states import EventType, WatchedEvent
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from kazoo.recipe.partitioner import SetPartitioner
from kazoo.security import CREATOR_ALL_ACL, make_acl, make_digest_acl

logging.disable(logging.CRITICAL)
HOSTS = sys.argv[1]
LIMIT = 60.0


def wait(what, cond):
    end = time.time() + LIMIT
    while not cond():
        if time.time() > end:
            raise AssertionError("no %s in %d s" % (what, LIMIT))
        time.sleep(0.01)


class World:
    """Clients with a chroot of their own."""

    def __init__(self, name):
        self.root = "/kazoo-" + name
        first = KazooClient(HOSTS, timeout=10)
        first.start(LIMIT)
        first.ensure_path(self.root)
        self.clients = [first]

    def client(self, **kw):
        c = KazooClient(HOSTS + self.root, timeout=10, **kw)
        c.start(LIMIT)
        c.sync("/")
        self.clients.append(c)
        return c

    def close(self):
        for c in self.clients[1:]:
            c.stop()
            c.close()
        self.clients[0].sync("/")
        self.clients[0].add_auth("digest", "super:test")
        self.clients[0].delete(self.root, recursive=True)
        self.clients[0].stop()
        self.clients[0].close()


def end_session(session, password):
    """Takes a session over with a bare connection, and closes it."""
    host, port = HOSTS.split(",")[0].split(":")
    s = socket.create_connection((host, int(port)), LIMIT)
    for body in [struct.pack(">iqiqi16s", 0, 0, 10000, session, 16, password), struct.pack(">ii", 1, -11)]:
        s.sendall(struct.pack(">i", len(body)) + body)
    try:
        while s.recv(4096):
            pass
    except OSError:
        pass
    s.close()


def threads(*targets):
    failed = []

    def guard(target):
        try:
            target()
        except Exception:
            failed.append(traceback.format_exc())

    ts = [threading.Thread(target=guard, args=(t,), daemon=True) for t in targets]
    for t in ts:
        t.start()
    for t in ts:
        t.join(LIMIT)
        if t.is_alive():
            raise AssertionError("a thread does not end" + "".join(failed))
    if failed:
        raise AssertionError(failed[0])


def basics(w):
    a, b = w.client(), w.client()
    assert a.create("/n", b"1") == "/n"
    b.sync("/n")
    assert b.get("/n")[0] == b"1"
    data, stat = a.get("/n")
    assert (stat.version, stat.numChildren, stat.dataLength, stat.ephemeralOwner) == (0, 0, 1, 0)
    assert a.set("/n", b"22").version == 1
    for call, error in [
        (lambda: a.create("/n"), NodeExistsError), (lambda: a.get("/no"), NoNodeError), (lambda: a.set("/n", b"", version=7), BadVersionError),
        (lambda: a.delete("/n", version=7), BadVersionError), (lambda: a.create("/no/child"), NoNodeError),
    ]:
        try:
            call()
        except error:
            continue
        raise AssertionError("wanted %s" % error)
    assert a.create("/s-", sequence=True) == "/s-0000000001"
    path, stat = a.create("/t", b"x", include_data=True)
    assert path == "/t" and stat.version == 0
    assert a.exists("/t") and not a.exists("/u")
    a.create("/n/c")
    try:
        a.delete("/n")
        raise AssertionError("deleted a node with children")
    except NotEmptyError:
        pass
    assert sorted(a.get_children("/")) == ["n", "s-0000000001", "t"]
    children, stat = a.get_children("/n", include_data=True)
    assert children == ["c"] and stat.cversion == 1
    assert a.sync("/n") == "/n"
    assert a.server_version() >= (3, 4)
    assert a.command(b"ruok") == "imok"


def ephemerals(w):
    a, b = w.client(), w.client()
    gone = threading.Event()
    a.create("/e", ephemeral=True)
    a.create("/e2-", ephemeral=True, sequence=True)
    b.sync("/")
    assert b.exists("/e", watch=lambda e: e.type == EventType.DELETED and gone.set())
    assert b.get("/e")[1].ephemeralOwner == a.client_id[0]
    a.stop()
    assert gone.wait(LIMIT)
    b.sync("/")
    assert b.get_children("/") == []


def expired(w):
    """Another connection takes the session over and ends it: what an expiry looks like."""
    a, b = w.client(), w.client()
    states = []
    a.add_listener(states.append)
    a.create("/e", ephemeral=True)
    session = a.client_id

    def lost():
        # The client may have moved the session back before it is closed.
        if KazooState.LOST not in states:
            end_session(*session)
        return KazooState.LOST in states
    wait("loss", lost)
    wait("deletion", lambda: not b.exists("/e"))
    wait("new session", lambda: a.connected and a.client_id)
    a.retry(a.create, "/e", ephemeral=True)
    b.sync("/e")
    assert b.get("/e")[1].ephemeralOwner == a.client_id[0]


def transactions(w):
    a = w.client()
    a.create("/n", b"0")
    t = a.transaction()
    t.check("/n", version=0)
    t.create("/m", b"1")
    t.create("/m/x-", sequence=True)
    t.set_data("/n", b"2")
    t.delete("/m/x-0000000000")
    r = t.commit()
    assert r[0] is True and r[1] == "/m" and r[2] == "/m/x-0000000000" and r[3].version == 1 and r[4] is True, r
    t = a.transaction()
    t.create("/k")
    t.delete("/none")
    t.create("/l")
    r = t.commit()
    assert [type(x) for x in r] == [RolledBackError, NoNodeError, RuntimeInconsistency], r
    assert not a.exists("/k")


def acls(w):
    a, b = w.client(), w.client()
    a.add_auth("digest", "alice:secret")
    a.create("/closed", b"x", acl=CREATOR_ALL_ACL)
    a.create("/mine", b"y", acl=[make_digest_acl("bob", "pw", read=True), make_acl("auth", "", all=True)])
    b.sync("/")
    for path in ["/closed", "/mine"]:
        try:
            b.get(path)
            raise AssertionError("read without the right")
        except NoAuthError:
            pass
    b.add_auth("digest", "bob:pw")
    assert b.get("/mine")[0] == b"y"
    try:
        b.set("/mine", b"z")
        raise AssertionError("written without the right")
    except NoAuthError:
        pass
    acl, stat = a.get_acls("/closed")
    assert acl[0].id.scheme == "digest" and acl[0].id.id.startswith("alice:") and stat.aversion == 0
    a.set_acls("/closed", [make_acl("world", "anyone", read=True)])
    b.sync("/")
    assert b.get("/closed")[0] == b"x"
    c = w.client()
    try:
        c.add_auth("nosuch", "x")
        raise AssertionError("a scheme that there is not")
    except AuthFailedError:
        pass


def lock(w):
    held, order, mutex = [], [], threading.Lock()

    def worker(n):
        c = w.client()

        def run():
            for i in range(5):
                with c.Lock("/lock", "worker %d" % n):
                    with mutex:
                        held.append(n)
                        assert len(held) == 1, held
                    order.append(n)
                    with mutex:
                        held.remove(n)
        return run

    threads(*[worker(n) for n in range(4)])
    assert len(order) == 20
    a, b = w.client(), w.client()
    la, lb = a.Lock("/lock", "a"), b.Lock("/lock", "b")
    assert la.acquire()
    b.sync("/lock")
    assert not lb.acquire(blocking=False)
    try:
        lb.acquire(timeout=0.1)
        raise AssertionError("got a lock that is held")
    except LockTimeout:
        pass
    wait("contender", lambda: la.contenders() == ["a"])
    got = threading.Event()
    threading.Thread(target=lambda: lb.acquire() and got.set(), daemon=True).start()
    wait("second contender", lambda: a.Lock("/lock").contenders() == ["a", "b"])
    assert not got.is_set()
    a.stop()  # the lock goes with the session
    assert got.wait(LIMIT)
    lb.release()


def lock_cancel(w):
    a, b = w.client(), w.client()
    la, lb = a.Lock("/lock"), b.Lock("/lock")
    la.acquire()
    result = []

    def run():
        try:
            lb.acquire()
            result.append("acquired")
        except CancelledError:
            result.append("cancelled")
    t = threading.Thread(target=run, daemon=True)
    t.start()
    wait("waiter", lambda: len(a.get_children("/lock")) == 2)
    lb.cancel()
    t.join(LIMIT)
    assert result == ["cancelled"], result


def read_write_lock(w):
    """Not in the thick of it: kazoo 2.8's readers wait for writers behind them, and so for ever."""
    a, b, c = w.client(), w.client(), w.client()
    r1, r2, w1 = a.ReadLock("/rw", "r1"), b.ReadLock("/rw", "r2"), c.WriteLock("/rw", "w1")
    assert r1.acquire() and r2.acquire()
    c.sync("/rw")
    assert not w1.acquire(blocking=False)
    got = threading.Event()
    threading.Thread(target=lambda: w1.acquire() and got.set(), daemon=True).start()
    wait("writer in the queue", lambda: len(a.get_children("/rw")) == 3)
    r1.release()
    assert not got.is_set()
    b.stop()  # the second reader goes with its session
    assert got.wait(LIMIT)
    r3 = a.ReadLock("/rw", "r3")
    a.sync("/rw")
    assert not r3.acquire(blocking=False)
    w1.release()
    assert r3.acquire(timeout=LIMIT)
    r3.release()


def semaphore(w):
    inside, most, mutex = [0], [0], threading.Lock()

    def worker(c):
        def run():
            for _ in range(4):
                with c.Semaphore("/sem", max_leases=2):
                    with mutex:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with mutex:
                        inside[0] -= 1
        return run
    threads(*[worker(w.client()) for _ in range(4)])
    assert most[0] <= 2
    a, b = w.client(), w.client()
    sa, sb = a.Semaphore("/sem2", "a"), b.Semaphore("/sem2", "b")
    assert sa.acquire()
    b.sync("/sem2")
    assert not sb.acquire(blocking=False)
    wait("holder", lambda: sa.lease_holders() == ["a"])
    sa.release()
    b.sync("/sem2")
    assert sb.acquire()


def election(w):
    led, stop = [], threading.Event()
    clients = [w.client() for _ in range(3)]
    elections = [c.Election("/election", str(n)) for n, c in enumerate(clients)]

    def leads(n):
        def run():
            led.append(n)
            stop.wait(LIMIT)
        return run
    ts = []
    for n, e in enumerate(elections):
        t = threading.Thread(target=e.run, args=(leads(n),), daemon=True)
        t.start()
        ts.append(t)
        wait("contender", lambda: len(clients[0].get_children("/election")) == n + 1 if clients[0].exists("/election") else False)
    wait("leader", lambda: led == [0])
    wait("contenders", lambda: elections[1].contenders() == ["0", "1", "2"])
    clients[0].stop()
    wait("second leader", lambda: led == [0, 1])
    stop.set()
    for t in ts:
        t.join(LIMIT)
    assert led == [0, 1, 2], led


def counter(w):
    clients = [w.client() for _ in range(3)]

    def run(c):
        def inner():
            n = c.Counter("/counter")
            for _ in range(20):
                n += 1
        return inner
    threads(*[run(c) for c in clients])
    clients[0].sync("/counter")
    assert clients[0].Counter("/counter").value == 60


def queue(w):
    a, b = w.client(), w.client()
    q = a.Queue("/queue")
    for i in range(10):
        q.put(b"%d" % i)
    q.put(b"first", priority=1)
    b.sync("/queue")
    assert len(b.Queue("/queue")) == 11
    got, mutex = [], threading.Lock()
    assert b.Queue("/queue").get() == b"first"

    def take(c):
        def run():
            mine = c.Queue("/queue")
            while True:
                c.sync("/queue")
                item = mine.get()
                if item is None:
                    return
                with mutex:
                    got.append(item)
        return run
    threads(take(a), take(b))
    assert sorted(got) == [b"%d" % i for i in range(10)], got


def locking_queue(w):
    a, b = w.client(), w.client()
    q, p = a.LockingQueue("/queue"), b.LockingQueue("/queue")
    q.put_all([b"1", b"2", b"3"])
    a.sync("/queue")
    assert q.get() == b"1"
    b.sync("/queue")
    assert p.get() == b"2"
    assert q.get() == b"1"  # still held
    assert q.consume()
    a.stop()
    b.sync("/queue")
    assert p.holds_lock() and p.consume()
    assert p.get(LIMIT) == b"3" and p.consume()
    c = w.client()
    waiting = []
    t = threading.Thread(target=lambda: waiting.append(c.LockingQueue("/queue").get(LIMIT)), daemon=True)
    t.start()
    p.put(b"4")
    t.join(LIMIT)
    assert waiting == [b"4"]


def barrier(w):
    a, b = w.client(), w.client()
    ba = a.Barrier("/barrier")
    ba.create()
    b.sync("/barrier")
    passed = threading.Event()
    t = threading.Thread(target=lambda: b.Barrier("/barrier").wait(LIMIT) and passed.set(), daemon=True)
    t.start()
    assert not b.Barrier("/barrier").wait(0.05)
    assert ba.remove()
    t.join(LIMIT)
    assert passed.is_set()


def double_barrier(w):
    inside, left, mutex = [], [], threading.Lock()
    clients = [w.client() for _ in range(3)]

    def run(n, c):
        def inner():
            d = c.DoubleBarrier("/double", 3, str(n))
            d.enter()
            with mutex:
                inside.append(n)
            wait("all inside", lambda: len(inside) == 3)
            d.leave()
            with mutex:
                left.append(n)
        return inner
    threads(*[run(n, c) for n, c in enumerate(clients)])
    assert len(left) == 3


def party(w):
    a, b = w.client(), w.client()
    pa, pb = a.Party("/party", "a"), b.Party("/party", "b")
    pa.join()
    pb.join()
    a.sync("/party")
    assert sorted(pa) == ["a", "b"] and len(pb) == 2
    pa.leave()
    b.sync("/party")
    assert list(pb) == ["b"]
    b.stop()
    c = w.client()
    c.sync("/party")
    assert len(c.Party("/party")) == 0
    s = c.ShallowParty("/shallow", "c")
    s.join()
    assert list(s) == ["c"]


def partitioner(w):
    clients = [w.client() for _ in range(3)]
    items = tuple(str(i) for i in range(7))
    ps = [SetPartitioner(c, "/partition", set=items, time_boundary=0.2, identifier=str(n)) for n, c in enumerate(clients)]

    def run(p, end):
        def inner():
            limit = time.time() + LIMIT
            while time.time() < limit:
                if p.failed:
                    raise AssertionError("failed")
                if p.release:
                    p.release_set()
                elif p.acquired:
                    if end():
                        return
                    time.sleep(0.01)
                else:
                    p.wait_for_acquire(0.2)
            raise AssertionError("not acquired")
        return inner

    def all_have(some):
        return lambda: sorted(x for p in some if p.acquired for x in p) == sorted(items)
    threads(*[run(p, all_have(ps)) for p in ps])
    clients[2].stop()
    threads(*[run(p, all_have(ps[:2])) for p in ps[:2]])


def data_watch(w):
    a, b = w.client(), w.client()
    seen = []

    @a.DataWatch("/watched")
    def changed(data, stat, event):
        seen.append((data, stat.version if stat else None, event.type if event else None))
        return data != b"end"
    b.create("/watched", b"1")
    wait("creation", lambda: len(seen) == 2)
    b.set("/watched", b"2")
    wait("change", lambda: len(seen) == 3)
    b.delete("/watched")
    wait("deletion", lambda: len(seen) == 4)
    b.create("/watched", b"end")
    wait("end", lambda: len(seen) == 5)
    b.set("/watched", b"after")
    assert seen == [(None, None, None), (b"1", 0, "CREATED"), (b"2", 1, "CHANGED"), (None, None, "DELETED"), (b"end", 0, "CREATED")], seen


def children_watch(w):
    a, b = w.client(), w.client()
    a.create("/parent")
    b.sync("/parent")
    seen = []

    @a.ChildrenWatch("/parent", send_event=True)
    def changed(children, event):
        seen.append((sorted(children), event.type if event else None))
    for n in range(3):
        b.create("/parent/%d" % n)
        wait("child", lambda: seen[-1][0] == [str(i) for i in range(n + 1)])
    b.delete("/parent/1")
    wait("deletion", lambda: seen[-1] == (["0", "2"], "CHILD"))


def one_shot_watches(w):
    a, b = w.client(), w.client()
    events = []
    assert a.exists("/n", watch=events.append) is None
    b.create("/n", b"1")
    wait("event", lambda: len(events) == 1)
    a.get("/n", watch=events.append)
    a.get_children("/n", watch=events.append)
    b.set("/n", b"2")
    b.set("/n", b"3")
    b.create("/n/c")
    b.delete("/n/c")
    wait("events", lambda: len(events) == 3)
    a.sync("/")
    assert [(e.type, e.path) for e in events] == [("CREATED", "/n"), ("CHANGED", "/n"), ("CHILD", "/n")], events


def tree_cache(w):
    a, b = w.client(), w.client()
    b.ensure_path("/tree/a/b")
    a.sync("/tree")
    cache = TreeCache(a, "/tree")
    events = []
    cache.listen(lambda e: events.append(e.event_type))
    cache.start()
    wait("initialized", lambda: TreeEvent.INITIALIZED in events)
    assert cache.get_children("/tree/a") == frozenset(["b"])
    b.set("/tree/a/b", b"x")
    wait("data", lambda: cache.get_data("/tree/a/b").data == b"x")
    b.create("/tree/c", b"y")
    wait("child", lambda: cache.get_data("/tree/c") is not None)
    b.delete("/tree/a", recursive=True)
    wait("deletion", lambda: cache.get_children("/tree") == frozenset(["c"]))
    cache.close()


def leases(w):
    import datetime
    a, b = w.client(), w.client()
    hour = datetime.timedelta(hours=1)
    assert NonBlockingLease(a, "/lease", hour, identifier="a")
    b.sync("/lease")
    assert not NonBlockingLease(b, "/lease", hour, identifier="b")
    for n, c, want in [("a", a, True), ("b", b, True), ("c", w.client(), False)]:
        c.sync("/")
        assert bool(MultiNonBlockingLease(c, 2, "/leases", hour, identifier=n)) == want


def big(w):
    a = w.client()
    a.create("/big", b"x" * 1000000)
    assert len(a.get("/big")[0]) == 1000000
    for i in range(300):
        a.create_async("/big/%s-%04d" % ("n" * 200, i))
    wait("children", lambda: len(a.get_children("/big")) == 300)
    futures = [a.set_async("/big", b"%d" % i) for i in range(300)]
    assert [f.get(timeout=LIMIT).version for f in futures] == list(range(1, 301))


RECIPES = [basics, ephemerals, expired, transactions, acls, lock, lock_cancel, read_write_lock, semaphore, election, counter, queue, locking_queue,
           barrier, double_barrier, party, partitioner, data_watch, children_watch, one_shot_watches, tree_cache, leases, big]


def say(line, mutex=threading.Lock()):
    with mutex:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def run(recipe):
    w = None
    try:
        w = World(recipe.__name__)
        recipe(w)
        w.close()
        say("ok " + recipe.__name__)
    except Exception:
        say("FAIL %s %s" % (recipe.__name__, traceback.format_exc().replace("\n", "|")))


if __name__ == "__main__":
    only = sys.argv[2:]
    todo = [r for r in RECIPES if not only or r.__name__ in only]
    # Several at a time: most of them wait.
    mutex = threading.Lock()

    def work():
        while True:
            with mutex:
                if not todo:
                    return
                r = todo.pop(0)
            run(r)
    workers = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
