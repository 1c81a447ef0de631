"""Limited keys: an IAM user that can read one team's objects in one bucket, and nothing else."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from hindcast.errors import ConfigurationError, ObjectError
from hindcast.objects.keys import check_bucket, check_team
from hindcast.objects.teams import ROOT

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

POLICY_NAME: Final = "hindcast-read-one-team"
_LONGEST_USER: Final = 64  # IAM's own limit


@dataclass(frozen=True)
class ReadingKeys:
    """What the holder needs, as variables of the environment."""

    user: str
    environment: dict[str, str] = field(repr=False)


def make_policy(team: str, bucket: str) -> dict[str, Any]:
    """Two statements, for `s3:prefix` conditions listing only: it means nothing to GetObject."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ListOneTeam",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": f"arn:aws:s3:::{bucket}",
                "Condition": {"StringLike": {"s3:prefix": f"{ROOT}/{team}/*"}},
            },
            {
                "Sid": "ReadOneTeam",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/{ROOT}/{team}/*",
            },
        ],
    }


def user_name(team: str, bucket: str) -> str:
    """The IAM user of a team and a bucket."""
    name = f"hindcast-{team}-{bucket}"
    if len(name) > _LONGEST_USER:
        raise ConfigurationError(f"IAM user {name}: over {_LONGEST_USER} characters; choose a shorter bucket name")
    return name


def make_reading_keys(team: str, bucket: str, client: "IAMClient | None" = None) -> ReadingKeys:
    """Create the user, set its policy, make a key; a user that is there is given another key (IAM allows two).

    The secret is only in what is returned. A user made here goes again when a later step fails.
    """
    check_team(team)
    check_bucket(bucket)
    name = user_name(team, bucket)
    iam, region = client or _make_client(), _region()
    try:
        is_new = _create_user(iam, name)
        try:
            iam.put_user_policy(
                UserName=name, PolicyName=POLICY_NAME, PolicyDocument=json.dumps(make_policy(team, bucket))
            )
            key = iam.create_access_key(UserName=name)["AccessKey"]
        except (ClientError, BotoCoreError):
            if is_new:
                _delete_user(iam, name)
            raise
    except ClientError as error:
        raise ObjectError(f"IAM user {name}: {_describe(error)}") from error
    except BotoCoreError as error:
        raise ObjectError(f"IAM: {type(error).__name__}; check AWS_ENDPOINT_URL and the AWS credentials") from error
    environment = {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_REGION": region,
        "LLMA_S3_BUCKET": bucket,
        "LLMA_TEAM_ID": team,
    }
    return ReadingKeys(name, environment)


def remove_reading_keys(team: str, bucket: str, client: "IAMClient | None" = None) -> bool:
    """Delete the user with its policy and keys; False when there is none. Safe to run twice."""
    check_team(team)
    name = user_name(team, bucket)
    try:
        return _delete_user(client or _make_client(), name)
    except ClientError as error:
        raise ObjectError(f"IAM user {name}: {_describe(error)}") from error
    except BotoCoreError as error:
        raise ObjectError(f"IAM: {type(error).__name__}; check AWS_ENDPOINT_URL and the AWS credentials") from error


def _create_user(iam: "IAMClient", name: str) -> bool:
    try:
        iam.create_user(UserName=name, Tags=[{"Key": "made-by", "Value": "hindcast"}])
    except iam.exceptions.EntityAlreadyExistsException:
        return False
    return True


def _delete_user(iam: "IAMClient", name: str) -> bool:
    try:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    except iam.exceptions.NoSuchEntityException:
        return False
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    iam.delete_user(UserName=name)
    return True


def _make_client() -> "IAMClient":
    import boto3

    return boto3.client("iam", region_name=_region())


def _region() -> str:
    import os

    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _describe(error: ClientError) -> str:
    found = error.response.get("Error", {})
    return f"{found.get('Code', '')}: {' '.join(str(found.get('Message', '')).split())[:200]}"
