#!/usr/bin/env python3
"""Three real `warren serve` processes, an unmodified client, and a leader that dies by SIGKILL.

Publishes durable messages with publisher confirms through one node, kills the queue's leader in the middle and starts
it again, consumes through another node, and checks that every confirmed message arrives, in order.

Needs pika (pip install pika). Uses free loopback ports and a temporary folder; stops only what it started.
"""

import argparse
import functools
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pika

QUEUE = "orders"
NODES = ("n1", "n2", "n3")
# How many publishes may await their confirm.
PIPELINE = 200


class Failed(Exception):
    """What was promised was not kept, or could not be found out."""


class Cluster:
    """The three processes, their ports, and what they say."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder
        ports = free_ports(2 * len(NODES))
        self.client_port = dict(zip(NODES, ports[: len(NODES)]))
        peer_port = dict(zip(NODES, ports[len(NODES) :]))
        self.peers = ",".join(f"{node}=127.0.0.1:{peer_port[node]}" for node in NODES)
        self.process = {}
        self.starts = dict.fromkeys(NODES, 0)

    def start(self, node):
        self.starts[node] += 1
        with open(self.log(node), "ab") as log:
            self.process[node] = subprocess.Popen(
                [
                    self.binary, "serve", "--node", node,
                    "--listen", f"127.0.0.1:{self.client_port[node]}",
                    "--peers", self.peers,
                    "--data", str(self.folder / node),
                ],
                stderr=log,
                stdout=subprocess.DEVNULL,
            )

    def log(self, node):
        return self.folder / f"{node}.log"

    def kill(self, node):
        self.process[node].send_signal(signal.SIGKILL)
        self.process[node].wait()

    def stop(self):
        for process in self.process.values():
            if process.poll() is None:
                process.terminate()
        for process in self.process.values():
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_ready(self, node, timeout=30):
        def ready():
            if self.process[node].poll() is not None:
                raise Failed(f"{node} ended by itself with code {self.process[node].returncode}\n{self.tail(node)}")
            return self.log(node).read_text(errors="replace").count("ready for clients on") >= self.starts[node]

        wait_for(ready, timeout, f"{node} is not ready for clients")

    def leader(self):
        """The node that last said it leads the queue's group, by term; None before the first election."""
        newest = (0, None)
        for node in NODES:
            for term in re.findall(r"became leader of g\d+ .*term=(\d+)", self.plain_log(node)):
                newest = max(newest, (int(term), node))
        return newest[1]

    def plain_log(self, node):
        return self.log(node).read_text(errors="replace")

    def tail(self, node):
        return "\n".join(self.plain_log(node).splitlines()[-15:])

    def connect(self, node):
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                "127.0.0.1", self.client_port[node], heartbeat=20, blocked_connection_timeout=30, socket_timeout=5
            )
        )


class Publisher(threading.Thread):
    """Publishes 0, 1, 2, … in order, confirms pipelined; goes back to the first unconfirmed one after a failure.

    A connection carries one attempt: what was unconfirmed when it broke is sent again, in order, so copies of a
    sequence may arrive more than once, and the first copies keep their order.
    """

    def __init__(self, cluster, node, count):
        super().__init__(daemon=True)
        self.cluster, self.node, self.count = cluster, node, count
        self.confirmed = set()
        self.reconnects = -1
        self.error = None
        self.done = threading.Event()

    def run(self):
        try:
            while len(self.confirmed) < self.count:
                self.reconnects += 1
                self.attempt()
        except Exception as error:  # the main thread raises it
            self.error = error
        finally:
            self.done.set()

    def attempt(self):
        first = next(sequence for sequence in range(self.count) if sequence not in self.confirmed)
        todo = iter(range(first, self.count))
        by_tag = {}
        outstanding = set()
        last_tag = 0
        connection = None

        def settle(frame):
            method = frame.method
            tags = [tag for tag in outstanding if tag <= method.delivery_tag] if method.multiple else [method.delivery_tag]
            for tag in tags:
                outstanding.discard(tag)
                if isinstance(method, pika.spec.Basic.Ack):
                    self.confirmed.add(by_tag[tag])

        finished = threading.Event()
        failed = []

        def on_channel(channel):
            channel.confirm_delivery(settle, lambda _: fill(channel))

        def fill(channel):
            nonlocal last_tag
            if not channel.is_open:
                return
            while len(outstanding) < PIPELINE:
                sequence = next(todo, None)
                if sequence is None:
                    break
                last_tag += 1
                by_tag[last_tag] = sequence
                outstanding.add(last_tag)
                channel.basic_publish("", QUEUE, str(sequence).encode(), pika.BasicProperties(delivery_mode=2))
            if not outstanding:
                finished.set()
                connection.close()
                return
            connection.ioloop.call_later(0.002, functools.partial(fill, channel))

        def on_closed(_, reason):
            failed.append(reason)
            connection.ioloop.stop()

        connection = pika.SelectConnection(
            pika.ConnectionParameters("127.0.0.1", self.cluster.client_port[self.node], heartbeat=20),
            on_open_callback=lambda open_: open_.channel(on_open_callback=on_channel),
            on_open_error_callback=on_closed,
            on_close_callback=on_closed,
        )
        connection.ioloop.start()
        if not finished.is_set():
            time.sleep(0.3)


def declare(cluster, node):
    """Declares the queue; a cluster that is still electing may take a moment."""
    connection = cluster.connect(node)
    channel = connection.channel()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    connection.close()


def consume(cluster, node, expected, timeout):
    """Takes messages until all of `expected` were seen; returns their sequences in order of first sight."""
    seen, order = set(), []
    deadline = time.monotonic() + timeout
    while not expected <= seen:
        try:
            connection = cluster.connect(node)
            channel = connection.channel()
            channel.basic_qos(prefetch_count=500)
            for method, _, body in channel.consume(QUEUE, inactivity_timeout=1):
                if method is not None:
                    sequence = int(body)
                    if sequence not in seen:
                        seen.add(sequence)
                        order.append(sequence)
                    channel.basic_ack(method.delivery_tag)
                if expected <= seen:
                    break
                if time.monotonic() > deadline:
                    break
            connection.close()
        except pika.exceptions.AMQPError as error:
            print(f"  the consumer's connection broke ({error!r}); once more")
            time.sleep(0.5)
        if time.monotonic() > deadline:
            missing = sorted(expected - seen)
            raise Failed(f"{len(missing)} confirmed messages never arrived, the first is {missing[0]}")
    return order


def check_order(order):
    """The first copies of the sequences must arrive in the order in which they were first published."""
    for before, after in zip(order, order[1:]):
        if after < before:
            raise Failed(f"message {after} arrived after {before}")


def wait_for(condition, timeout, otherwise):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{otherwise} after {timeout} s")
        time.sleep(0.05)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports


def run(cluster, count):
    for node in NODES:
        cluster.start(node)
    for node in NODES:
        cluster.wait_ready(node)
    # The declaring node stands first for election, so this makes n2 the likely leader.
    declare(cluster, "n2")
    wait_for(cluster.leader, 15, "no leader of the queue")
    leader = cluster.leader()
    publishing = next(node for node in NODES if node != leader)
    consuming = next(node for node in NODES if node not in (leader, publishing))
    print(f"{leader} leads the queue; publishing {count} through {publishing}, consuming through {consuming}")

    started = time.monotonic()
    publisher = Publisher(cluster, publishing, count)
    publisher.start()
    wait_for(lambda: publisher.done.is_set() or len(publisher.confirmed) >= count // 3, 120, "publishing is stuck")
    leader = cluster.leader()
    confirmed = len(publisher.confirmed)
    if publisher.error is None and confirmed >= count:
        raise Failed("everything was published before the leader could be killed: publish more")
    print(f"killing {leader} by SIGKILL, {confirmed} confirmed")
    cluster.kill(leader)
    wait_for(
        lambda: publisher.done.is_set() or len(publisher.confirmed) >= confirmed + count // 5,
        60,
        f"no confirms without {leader}",
    )
    successor = cluster.leader()
    print(f"{successor} leads; starting {leader} again, {len(publisher.confirmed)} confirmed")
    if successor == leader:
        raise Failed(f"nobody took over from {leader}")
    cluster.start(leader)
    cluster.wait_ready(leader)
    if not publisher.done.wait(120):
        raise Failed(f"only {len(publisher.confirmed)} of {count} confirmed after 120 s")
    if publisher.error is not None:
        raise publisher.error
    print(f"all {count} confirmed after {time.monotonic() - started:.1f} s, {publisher.reconnects} reconnects")

    order = consume(cluster, consuming, publisher.confirmed, 120)
    check_order(order)
    print(f"all {len(publisher.confirmed)} confirmed messages arrived through {consuming}, in order")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warren", required=True, type=pathlib.Path, help="the warren binary")
    parser.add_argument("--messages", type=int, default=10_000, help="how many to publish (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="warren-leader-kill-") as folder:
        cluster = Cluster(arguments.warren.resolve(), pathlib.Path(folder))
        try:
            run(cluster, arguments.messages)
        except Failed as failure:
            print(f"FAILED: {failure}", file=sys.stderr)
            for node in NODES:
                if cluster.starts[node]:
                    print(f"--- the end of {node}'s log ---\n{cluster.tail(node)}", file=sys.stderr)
            return 1
        finally:
            cluster.stop()
    print("PASSED")
    return 0


if __name__ == "__main__":
    sys.exit(main())
