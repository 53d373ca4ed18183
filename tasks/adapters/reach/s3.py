"""S3, or anything that speaks its protocol: a client of our terms, objects as streams, refusals as words.

Credentials, region and endpoint (``AWS_ENDPOINT_URL``) come from the AWS settings of this machine, which boto3 reads.
Laws: every read names the ETag that it wants, so that bytes of two versions never meet; boto3 repeats what was not
answered, ``transfer`` goes on where an answer was cut.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException
from typing import Any, cast

from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as Stalled

from cxr_core.errors import SourceError
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.terms import Terms
from tasks.adapters.reach.transfer import Interrupted, Stream

__all__ = ["ask", "connect", "object_stream"]

CONNECTIONS = 16
"""Requests that one client makes at once."""

_CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound"})
_DENIED = frozenset({"401", "403", "AccessDenied", "AllAccessDisabled", "InvalidObjectState"})
_BAD_KEY = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
)
_CHANGED = frozenset({"412", "PreconditionFailed"})
_BEYOND = frozenset({"416", "InvalidRange"})
_BUSY = frozenset({"429", "500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown"})
_CREDENTIALS = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`aws configure` keeps them in a file)."


def connect(terms: Terms) -> Any:
    """A boto3 client, safe to share between threads.

    Raises:
        SourceError: The AWS settings of this machine cannot be used.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    patience = Config(
        connect_timeout=terms.connect_seconds,
        read_timeout=terms.stall_seconds,
        retries={"mode": "standard", "total_max_attempts": terms.tries},
        max_pool_connections=CONNECTIONS,
    )
    try:
        return boto3.client("s3", config=patience)
    except (BotoCoreError, ValueError) as error:
        raise SourceError(
            f"The AWS settings of this machine cannot be used: {error}.",
            reason=ReachFault.REFUSED.value,
            hint="Check AWS_PROFILE, AWS_ENDPOINT_URL and ~/.aws/config.",
        ) from error


def ask(call: Any, *, shown: str, **arguments: Any) -> dict[str, Any]:
    """Call a method of the client.

    Raises:
        SourceError: S3 refuses or does not answer.
        Interrupted: The object is shorter than the range asked for.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call(**arguments)
    except ClientError as error:
        code = str(cast(Mapping[str, Any], error.response).get("Error", {}).get("Code", ""))
        if code in _BEYOND:
            words = "the object there is shorter than what came of it"
            raise Interrupted(ReachFault.INCOMPLETE, words, anew=True) from error
        raise _refusal(code, str(error), shown) from error
    except (BotoCoreError, HTTPError) as error:
        raise _no_answer(error, shown) from error


@contextmanager
def object_stream(
    client: Any, bucket: str, key: str, held: int, *, shown: str, tag: str, version_id: str = ""
) -> Generator[Stream]:
    """The bytes of an object from an offset on.

    Args:
        client: As ``connect`` makes it.
        bucket: The bucket.
        key: The object.
        held: Bytes that are here.
        shown: The object for messages.
        tag: The ETag it must have, as S3 writes it.
        version_id: The version in a bucket that keeps them; empty for the newest.

    Raises:
        SourceError: S3 refuses or does not answer, or the object there is another now.
        Interrupted: What is here cannot be gone on from.
    """
    wanted = {"IfMatch": tag} | ({"VersionId": version_id} if version_id else {})
    going_on = {"Range": f"bytes={held}-"} if held else {}
    found = ask(client.get_object, shown=shown, Bucket=bucket, Key=key, **wanted, **going_on)
    place = _RANGE.fullmatch(str(found.get("ContentRange", "")))
    start, total = (int(place[1]), int(place[2])) if place else (0, int(found["ContentLength"]))
    if start not in (0, held):
        raise Interrupted(ReachFault.INCOMPLETE, "the server went on at another place than asked", anew=True)
    with closing(found["Body"]) as body:
        yield Stream(start=start, total=total, version=tag, chunks=_chunks(body))


def _chunks(body: Any) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError, ReadTimeoutError

    while True:
        try:
            chunk = body.read(_CHUNK_BYTES)
        except (ReadTimeoutError, Stalled) as error:
            raise Interrupted(ReachFault.STALLED, "the line stood, and nothing came") from error
        except (BotoCoreError, HTTPError, HTTPException, OSError) as error:
            raise Interrupted(ReachFault.INCOMPLETE, "the line was cut") from error
        if not chunk:
            return
        yield chunk


def _refusal(code: str, words: str, shown: str) -> SourceError:
    if code == "NoSuchBucket":
        return SourceError(
            f"{shown}: there is no such bucket.",
            reason=ReachFault.NOT_FOUND.value,
            hint="Check the bucket's name and, for an S3 of your own, AWS_ENDPOINT_URL.",
        )
    if code in _ABSENT:
        return SourceError(
            f"{shown}: there is no such object.",
            reason=ReachFault.NOT_FOUND.value,
            hint="Check the key; a prefix, whose objects are meant, ends with a slash.",
        )
    if code in _CHANGED:
        return SourceError(
            f"{shown} was replaced while it was fetched.", reason=ReachFault.VERSION_GONE.value, hint="Run it again."
        )
    if code in _BAD_KEY:
        return SourceError(
            f"{shown}: S3 does not take the credentials ({code}).", reason=ReachFault.DENIED.value, hint=_CREDENTIALS
        )
    if code in _DENIED:
        return SourceError(
            f"{shown}: S3 does not let these credentials read it ({code}).",
            reason=ReachFault.DENIED.value,
            hint="Reading takes s3:GetObject on the objects and s3:ListBucket on the bucket; an archived object must "
            "be restored first.",
        )
    if code in _BUSY:
        return SourceError(
            f"{shown}: S3 is busy or fails by itself ({code}), as often as we asked.",
            reason=ReachFault.BUSY.value,
            hint="Run it again later.",
        )
    return SourceError(
        f"{shown}: {words.rstrip('.')}.", reason=ReachFault.REFUSED.value, hint="Check bucket, region and endpoint."
    )


def _no_answer(error: Exception, shown: str) -> SourceError:
    from botocore import exceptions

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        fault, words, hint = ReachFault.NO_S3_CREDENTIALS, "no AWS credentials are set here", _CREDENTIALS
    elif isinstance(error, exceptions.SSLError):
        fault, words = ReachFault.CERTIFICATE, "the endpoint's certificate is not trusted here"
        hint = "Set AWS_CA_BUNDLE to the file with its authority."
    elif isinstance(error, exceptions.ReadTimeoutError):
        fault, words, hint = ReachFault.STALLED, "no answer came", "Run it again later."
    elif isinstance(error, (exceptions.ConnectionError, exceptions.ConnectionClosedError)):
        fault, words = ReachFault.UNREACHABLE, "no connection to the endpoint"
        hint = "Check the network and, for an S3 of your own, AWS_ENDPOINT_URL."
    else:
        fault, words, hint = ReachFault.REFUSED, str(error).rstrip("."), _CREDENTIALS
    return SourceError(f"{shown}: {words}.", reason=fault.value, hint=hint)
