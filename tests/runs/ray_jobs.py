"""A cluster in a process of its own, and two jobs on it; for a network with nothing in it. See `test_jobs`."""

import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

CLUSTER = """
import ray, sys
ray.init(num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", logging_level="ERROR")
sys.stdout.write(ray.get_runtime_context().gcs_address + "\\n")
sys.stdout.flush()
sys.stdin.read()
"""
SIOCSIFFLAGS, UP = 0x8914, 1


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=pipe, stdout=pipe, text=True) as cluster:
        address = cluster.stdout.readline().strip()
        import test_jobs

        from throughtime.runs.jobs import on_ray

        on_ray.WORKER = "fake_worker"
        jobs = [test_jobs.job_of(Path(sys.argv[1]), name) for name in ("killed", "a")]
        outcomes, _ = on_ray.run_on_ray(jobs, address)
        cluster.stdin.close()
    sys.stdout.write(json.dumps([(outcome.status, outcome.message) for outcome in outcomes]) + "\n")


if __name__ == "__main__":
    main()
