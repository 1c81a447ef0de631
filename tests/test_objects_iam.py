"""Limited keys, with moto's enforcement of IAM policies switched on."""

from collections.abc import Iterator

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from flows.cli import cli
from hindcast.errors import ConfigurationError
from hindcast.objects.iam import make_policy, make_reading_keys, remove_reading_keys

pytest_plugins = ["objects_fixtures"]
OURS, THEIRS = "0f25663a3e84ea94", "ffffffffffffffff"


@pytest.fixture
def enforced(bucket: str, aws: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket with objects of two teams, and the environment of keys for the first; policies are enforced."""
    owner = boto3.client("s3", region_name="us-east-1")
    for team in (OURS, THEIRS, f"{OURS}x"):
        owner.put_object(Bucket=bucket, Key=f"llma/{team}/x", Body=b"x")
    environment = make_reading_keys(OURS, bucket).environment
    assert httpx.post(f"{aws}/moto-api/reset-auth", content=b"0").status_code == 200
    yield bucket, environment
    httpx.post(f"{aws}/moto-api/reset-auth", content=b"1000000000")
    assert remove_reading_keys(OURS, bucket)


def client_of(environment: dict[str, str]) -> object:
    return boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def refusal(call: object, **arguments: str) -> int:
    with pytest.raises(ClientError) as caught:
        call(**arguments)  # type: ignore[operator]
    return int(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_keys_read_and_list_one_team_and_do_nothing_else(enforced: tuple[str, dict[str, str]]) -> None:
    bucket, environment = enforced
    s3 = client_of(environment)
    assert s3.get_object(Bucket=bucket, Key=f"llma/{OURS}/x", Range="bytes=0-0")["Body"].read() == b"x"  # type: ignore[attr-defined]
    for team in (THEIRS, f"{OURS}x"):
        assert refusal(s3.get_object, Bucket=bucket, Key=f"llma/{team}/x") == 403  # type: ignore[attr-defined]
    assert refusal(s3.put_object, Bucket=bucket, Key=f"llma/{OURS}/new") == 403  # type: ignore[attr-defined]
    assert refusal(s3.delete_object, Bucket=bucket, Key=f"llma/{OURS}/x") == 403  # type: ignore[attr-defined]


def test_the_policy_has_two_statements_since_a_prefix_conditions_only_listing() -> None:
    listing, reading = make_policy(OURS, "bucket")["Statement"]
    assert listing["Action"] == "s3:ListBucket" and listing["Resource"] == "arn:aws:s3:::bucket"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": f"llma/{OURS}/*"}}
    assert reading["Action"] == "s3:GetObject" and "Condition" not in reading
    assert reading["Resource"] == f"arn:aws:s3:::bucket/llma/{OURS}/*"


@pytest.mark.parametrize(("team", "bucket"), [("*", "bucket"), ("a/b", "bucket"), ("../x", "bucket"), ("", "bucket")])
def test_a_team_that_would_widen_the_policy_is_refused(team: str, bucket: str) -> None:
    with pytest.raises(ConfigurationError):
        make_reading_keys(team, bucket)


def test_the_command_prints_the_environment_and_removes_it_again(aws: str) -> None:
    made = CliRunner().invoke(cli, ["s3-keys", OURS, "some-bucket"])
    assert made.exit_code == 0, made.output
    names = [line.removeprefix("export ").partition("=")[0] for line in made.stdout.splitlines()]
    assert names == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "LLMA_S3_BUCKET", "LLMA_TEAM_ID"]
    assert "deleted" in CliRunner().invoke(cli, ["s3-keys", OURS, "some-bucket", "--remove"]).output
    assert "no such user" in CliRunner().invoke(cli, ["s3-keys", OURS, "some-bucket", "--remove"]).output


def test_a_third_key_of_a_user_is_refused_in_one_line(aws: str) -> None:
    for _ in range(2):
        make_reading_keys(OURS, "full-bucket")
    refused = CliRunner().invoke(cli, ["s3-keys", OURS, "full-bucket"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1), refused.output
    remove_reading_keys(OURS, "full-bucket")
