"""Creating a bucket and setting it up, as far as the server and the credentials allow."""

from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .errors import Refused, StoreUnavailable
from .objects import BucketOptions

_DAYS_TO_KEEP_REPLACED_VERSIONS = 7
_DAYS_TO_FINISH_AN_UPLOAD = 7
_ATTEMPTS = 8  # about half a minute: servers are often started together with the store


def create_bucket(url: str, options: BucketOptions) -> list[str]:
    """Create the bucket of an ``s3://`` URL if it is missing, and have it keep replaced objects for some days.

    Returns:
        What was done, in words; empty if the bucket exists: its settings are its owner's.

    Raises:
        Refused: the URL is not of S3.
        StoreUnavailable: the bucket is missing and cannot be created.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3":
        raise Refused(f"{url} cannot be created here. Create the bucket with its provider's tools.")
    bucket, client = parts.netloc, _client(options)
    try:
        if _exists(client, bucket):
            return []
        client.create_bucket(Bucket=bucket)
    except (ClientError, BotoCoreError) as error:
        raise StoreUnavailable(f"The bucket {bucket} cannot be created: {error}.") from error
    return [f"bucket {bucket} created", *_set_up(client, bucket)]


def _exists(client: Any, bucket: str) -> bool:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    return True


def _set_up(client: Any, bucket: str) -> list[str]:
    """Each of these is worth having, and none is needed."""
    done = []
    try:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        done.append("versioning enabled")
        client.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [_housekeeping_rule()]}
        )
        done.append("lifecycle rule set")
    except (ClientError, BotoCoreError) as error:
        done.append(f"not allowed: {error}")
    return done


def _housekeeping_rule() -> dict[str, Any]:
    return {
        "ID": "e2e3d-housekeeping",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": _DAYS_TO_KEEP_REPLACED_VERSIONS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _DAYS_TO_FINISH_AN_UPLOAD},
    }


def _client(options: BucketOptions) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key and options.secret_access_key.get_secret_value(),
        aws_session_token=options.session_token and options.session_token.get_secret_value(),
        config=Config(
            s3={"addressing_style": "path" if options.path_style else "virtual"},
            retries={"mode": "standard", "max_attempts": _ATTEMPTS},
        ),
    )
