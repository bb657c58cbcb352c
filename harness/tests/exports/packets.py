"""Gives captured packets to tshark: it must find every AMQP method that the run's record counts, and nothing wrong.

Usage: packets.py FERRET ROOT
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

FERRET, ROOT = sys.argv[1], Path(sys.argv[2])
HERE = Path(__file__).parent

METHODS = {
    (10, 40): "connection.open",
    (20, 10): "channel.open",
    (50, 10): "queue.declare",
    (60, 20): "basic.consume",
    (60, 40): "basic.publish",
    (60, 60): "basic.deliver",
    (60, 70): "basic.get",
    (60, 71): "basic.get-ok",
    (60, 80): "basic.ack",
    (85, 10): "confirm.select",
}

# What no capture at the senders may have: bytes that were not captured, in whatever order, and wrong sums.
WRONG = [
    "_ws.malformed",
    "_ws.unreassembled",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
    "tcp.analysis.out_of_order",
    "tcp.analysis.reused_ports",
    "tcp.analysis.window_full",
    'ip.checksum.status == "Bad"',
    'tcp.checksum.status == "Bad"',
]


def tshark(capture, query, *fields):
    options = ["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    columns = [option for field in fields for option in ("-e", field)]
    command = ["tshark", "-N", "n", "-r", capture, *options, "-Y", query, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,"]
    done = subprocess.run([*command, "-e", "frame.number", *columns], capture_output=True, text=True, check=True)
    return [line.split("\t")[1:] for line in done.stdout.splitlines()]


def methods(capture):
    found = Counter()
    for classes, numbers in tshark(capture, "amqp.method.method", "amqp.method.class", "amqp.method.method"):
        for pair in zip(classes.split(","), numbers.split(",")):
            found[METHODS.get(tuple(map(int, pair)), "another")] += 1
    return found


def expect(holds, sentence):
    if not holds:
        sys.exit(f"{sentence}")


def check(folder, scenario, options, calm):
    name = " ".join([scenario.stem, *options])
    out = folder / name.replace(" ", "")
    subprocess.run([FERRET, "run", scenario, "--out", out, *options], check=True, stdout=subprocess.DEVNULL)
    [record] = [json.loads(path.read_text()) for path in out.glob("*/*/run.json")]
    capture = folder / f"{out.name}.pcapng"
    told = subprocess.run(
        [FERRET, "export", out, "--format", "pcap", "--out", capture], check=True, capture_output=True, text=True
    ).stderr
    if tshark(capture, " || ".join(WRONG)):
        expect(False, f"{name}: tshark finds {', '.join(query for query in WRONG if tshark(capture, query))}")
    counts, messages = methods(capture), record["messages"]
    expected = set(METHODS.values()) - (set() if calm else {"basic.get", "basic.get-ok"})
    for method in expected:
        expect(counts[method] > 0, f"{name}: tshark finds no {method}")
    published = counts["basic.publish"]
    expect(published == messages["published"], f"{name}: {published} of {messages['published']} publishes")
    delivered = counts["basic.deliver"] + counts["basic.get-ok"]
    remarks = tshark(capture, "tcp.analysis.flags")
    gone = tshark(capture, 'frame.comment matches "^(lost|dropped|unheard)"')
    expect(f"({len(gone):,} never arrived)" in told, f"{name}: {len(gone)} lost packets, but ferret says {told}")
    if calm:
        expect(delivered == messages["delivered"], f"{name}: {delivered} of {messages['delivered']} deliveries")
        expect(not remarks, f"{name}: tshark has {len(remarks)} remarks about a calm network")
        expect(not gone, f"{name}: a calm network loses {len(gone)} packets")
    else:
        expect(delivered >= messages["delivered"], f"{name}: {delivered} of {messages['delivered']} deliveries")
        again = tshark(capture, "tcp.analysis.retransmission")
        # Who was killed sends nothing again, nor does anybody for its sake.
        lost = tshark(capture, 'frame.comment matches "^(lost|dropped)"')
        expect(again or not lost, f"{name}: {len(lost)} packets were lost, and nothing was sent again")
    # Of what nodes say to each other tshark knows nothing, but their names.
    between = tshark(capture, 'ip.host == "n1" && ip.host == "n2" && tcp.port == 25672')
    expect(between, f"{name}: n1 and n2 do not talk")
    print(f"{name}: {told.strip()}; {published} publishes, {delivered} deliveries, {counts['basic.ack']} acks decoded")


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    for client in [], ["--client", "lapin"]:
        check(folder, HERE / "calm.toml", client, calm=True)
        check(folder, HERE / "lossy.toml", client, calm=False)
    check(folder, ROOT / "scenarios/smoke/leader-partition.toml", [], calm=False)
    check(folder, ROOT / "scenarios/smoke/lapin-leader-change.toml", [], calm=False)
