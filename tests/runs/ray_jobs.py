"""Two jobs on a cluster of this process's own, for a network with nothing in it. See `test_jobs`."""

import fcntl
import json
import socket
import struct
import sys
from pathlib import Path

import test_jobs

from throughtime.runs.jobs import on_ray

SIOCSIFFLAGS, UP = 0x8914, 1


def connect(ray, address: str) -> None:
    """Instead of a cluster that runs elsewhere."""
    ray.init(num_cpus=1, include_dashboard=False, _node_ip_address=address, log_to_driver=False, logging_level="ERROR")


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP))
    on_ray.WORKER, on_ray._connect = "fake_worker", connect
    jobs = [test_jobs.job_of(Path(sys.argv[1]), name) for name in ("killed", "a")]
    outcomes, _ = on_ray.run_on_ray(jobs, "127.0.0.1")
    sys.stdout.write(json.dumps([(outcome.status, outcome.message) for outcome in outcomes]) + "\n")


if __name__ == "__main__":
    main()
