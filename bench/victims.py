"""Commands as processes of their own, to be killed with all they started; and moto's server, for them to put to."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
import psutil

from bench.command import ROOT


def start_hindcast(arguments: list[str], settings: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a command, its output unread."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | settings,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def kill_family(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for a command, first, so that it starts no more, and for whatever it started."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(family, timeout=10)


@contextmanager
def serving_s3(bucket: str) -> Iterator[None]:
    """Moto's server, with an empty bucket, in the environment."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line a request
    moto = ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "LLMA_S3_BUCKET": bucket}
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_REGION": "us-east-1"}
    boto3.client("s3").create_bucket(Bucket=bucket)
    try:
        yield
    finally:
        moto.stop()
