"""Run as a process: a cluster of nodes of one CPU each; `hidden:FOLDER` is one that sees another FOLDER.

Prints a line of JSON when it is up and after each command: `kill N` ends all processes of a node at once, `drain N`
sends its raylet SIGTERM, as batch systems and clouds do before they take a node away.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys

from ray.cluster_utils import Cluster

_NEW_MOUNTS = 0x00020000


def hide(folder: str) -> None:
    """Give what is started from now on another file system at `folder`."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)


os.environ.update(RAY_worker_niceness="0")  # other tests compute beside it
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
nodes = [cluster.head_node]
for kind in sys.argv[1:]:
    if kind.startswith("hidden:"):
        hide(kind.removeprefix("hidden:"))
    nodes.append(cluster.add_node(num_cpus=1))
cluster.wait_for_nodes()
print(json.dumps({"address": cluster.address}), flush=True)
for line in sys.stdin:
    command, number = line.split()
    node = nodes[int(number)]
    if command == "kill":
        cluster.remove_node(node, allow_graceful=False)
    else:
        node.all_processes["raylet"][0].process.send_signal(signal.SIGTERM)
    print(json.dumps({"done": command}), flush=True)
