"""Gives the OpenMetrics text of runs to the strict parser of Prometheus's own client.

Usage: metrics.py FERRET ROOT
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

FERRET, ROOT = sys.argv[1], Path(sys.argv[2])
HERE = Path(__file__).parent


def export(folder, scenario, *options):
    out = Path(folder) / scenario.stem
    subprocess.run([FERRET, "run", scenario, "--out", out, *options], stdout=subprocess.DEVNULL)
    [record] = [json.loads(path.read_text()) for path in out.glob("*/*/run.json")]
    command = [FERRET, "export", out, "--format", "openmetrics"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return record, done.stdout


def check(scenario, *options):
    with tempfile.TemporaryDirectory() as folder:
        record, text = export(folder, scenario, *options)
    families = {family.name: family for family in parse(text)}
    [published] = families["ferret_publishes"].samples
    assert published.value == record["messages"]["published"], published
    assert published.labels == {"scenario": record["scenario"]["name"], "seed": "1"}, published
    counts = [sample for sample in families["ferret_confirm_latency_seconds"].samples if sample.name.endswith("_count")]
    assert [count.value for count in counts] == [record["messages"]["confirmed"]], counts
    [info] = families["ferret_run"].samples
    assert info.labels["verdict"] == record["verdict"], info
    print(f"{scenario.stem}: {len(families)} families of metrics, verdict {info.labels['verdict']}")
    return text


text = check(HERE / "calm.toml")
check(ROOT / "scenarios/smoke/leader-power-loss.toml")
check(ROOT / "scenarios/smoke/leader-power-loss.toml", "--sabotage", "confirm-before-sync")

# The parser is as strict as is hoped for: each of these is refused.
for bad in text.replace("# EOF\n", ""), text.replace("_total{", "{"), text.replace('le="+Inf"', 'le="60.0"'):
    try:
        list(parse(bad))
    except ValueError:
        continue
    sys.exit("the parser accepts what is no OpenMetrics text")
