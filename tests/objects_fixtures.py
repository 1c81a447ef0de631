"""Stores for tests: a folder, and moto's server, which speaks the real S3 protocol."""

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import boto3
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from storing import QUICK

from hindcast.objects.local import LocalStore
from hindcast.objects.s3 import S3Store
from hindcast.objects.store import ObjectStore

_bucket_numbers = count(1)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of somebody who uses moto's server; returns its address."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_endpoint)
    return moto_endpoint


@pytest.fixture
def bucket(aws: str) -> str:
    """A new, empty bucket."""
    name = f"bucket-{next(_bucket_numbers)}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "local":
        return LocalStore(tmp_path / "objects", "llma")
    return S3Store(request.getfixturevalue("bucket"), QUICK)
